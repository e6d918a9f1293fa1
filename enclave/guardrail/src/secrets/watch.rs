//! Secrets in text that comes in pieces: what is held back, and what is let go, at one position after the other.
//!
//! A token is a run of bytes without space, quote or bracket. It is *hot* where a secret may begin: at a keyword that secrets
//! begin with, or within [`HOT`] bytes after a keyword that announces one. A hot token is held until it ends; then the rules
//! look at it with what came before. All else leaves at once.
//!
//! Does not: find secrets that begin before their keyword (none but `maxmind-license-key`); of `atlasv1` and `Q~`
//! keys, what stands before the mark, a few characters of no use alone, may have left.

use super::rules::RULES;
use super::{Span, find};
use std::collections::VecDeque;
use std::sync::LazyLock;
use zeroize::Zeroizing;

/// Bytes after an announcing keyword within which tokens are looked at, and bytes of the past that are kept for it.
pub(crate) const HOT: usize = 256;
/// Longest token that is held, in bytes. Of a longer one, the parts are judged one by one, and once one part holds a
/// secret that reaches its end, the rest of the token goes with it.
pub(crate) const TOKEN: usize = 1024;

/// What there is at one position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sight {
    Clear,
    /// A secret of so many bytes.
    Found(usize),
    NeedsMore,
}

/// Keywords by the byte that decides whether to look at them.
struct ByByte(Vec<Vec<&'static str>>);

impl ByByte {
    fn new(words: &'static [String], byte: impl Fn(&[u8]) -> Option<&u8>) -> ByByte {
        let mut lists = vec![Vec::new(); 256];
        for word in words {
            if let Some(list) = byte(word.as_bytes()).and_then(|byte| lists.get_mut(usize::from(*byte))) {
                list.push(word.as_str());
            }
        }
        ByByte(lists)
    }

    fn of(&self, byte: Option<&u8>) -> &[&'static str] {
        byte.and_then(|byte| self.0.get(usize::from(byte.to_ascii_lowercase()))).map_or(&[], Vec::as_slice)
    }
}

static STARTS: LazyLock<ByByte> = LazyLock::new(|| ByByte::new(&RULES.starts, <[u8]>::first));
static CONTEXTS: LazyLock<ByByte> = LazyLock::new(|| ByByte::new(&RULES.contexts, <[u8]>::last));

/// What is known of one stream. Positions count its bytes from the start.
#[derive(Clone, Debug, Default)]
pub(crate) struct Watch {
    hot_until: usize,
    /// Up to here it is decided what is a secret: `spans`.
    decided_until: usize,
    spans: VecDeque<Span>,
    /// The token that was decided last goes on and is a secret.
    swallows: bool,
}

impl Watch {
    /// Looks at position `at`, which `rest` begins with. `before` is what came before it, at most [`HOT`] bytes;
    /// `more` says whether text may follow.
    pub(crate) fn look(&mut self, at: usize, before: &str, rest: &str, more: bool) -> Sight {
        if at >= self.decided_until {
            if ends_with_any(before, CONTEXTS.of(before.as_bytes().last())) {
                self.hot_until = at.saturating_add(HOT);
            }
            let token = rest.bytes().take(TOKEN).take_while(|b| is_token(*b)).count();
            self.swallows &= token > 0;
            let hot = match starts_here(before, rest, more) {
                _ if token == 0 => return Sight::Clear,
                Sight::NeedsMore => return Sight::NeedsMore,
                start => start != Sight::Clear || at < self.hot_until || self.swallows,
            };
            if !hot {
                return Sight::Clear;
            }
            if token == rest.len() && more && token < TOKEN {
                return Sight::NeedsMore;
            }
            self.decide(at, before, rest, token);
        }
        self.decided(at)
    }

    /// Finds the secrets of the token that `rest` begins with.
    fn decide(&mut self, at: usize, before: &str, rest: &str, token: usize) {
        self.decided_until = at.saturating_add(token);
        // The character after the token is part of what some rules want to see.
        let after = rest.get(token..).and_then(|rest| rest.chars().next()).filter(|_| token < TOKEN);
        let whole = Zeroizing::new([before, rest.get(..token).unwrap_or_default()].concat());
        let text = Zeroizing::new(whole.chars().chain(after).collect::<String>());
        let all = Span { start: before.len(), end: whole.len(), kind: "secrets", score: 0 };
        let found = if self.swallows { vec![all] } else { find(&text).unwrap_or_else(|_| vec![all]) };
        let here = |span: Span| Span {
            start: at + span.start.max(before.len()) - before.len(),
            end: at + span.end.min(whole.len()).saturating_sub(before.len()),
            ..span
        };
        self.spans = found.into_iter().map(here).filter(|span| span.start < span.end).collect();
        self.swallows =
            token == TOKEN && self.spans.back().is_some_and(|last| last.end == self.decided_until);
    }

    fn decided(&mut self, at: usize) -> Sight {
        while self.spans.front().is_some_and(|span| span.end <= at) {
            self.spans.pop_front();
        }
        match self.spans.front() {
            Some(span) if span.start <= at => Sight::Found(span.end - at),
            _ => Sight::Clear,
        }
    }
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_graphic() && !b"'\"`;,<>(){}[]\\".contains(&byte)
}

fn ends_with_any(text: &str, words: &[&str]) -> bool {
    let bytes = text.as_bytes();
    let tail = |word: &str| bytes.len().checked_sub(word.len()).and_then(|from| bytes.get(from..));
    words.iter().any(|word| tail(word).is_some_and(|tail| tail.eq_ignore_ascii_case(word.as_bytes())))
}

/// Whether `rest` begins with a keyword that secrets begin with (`Found`), or may come to.
fn starts_here(before: &str, rest: &str, more: bool) -> Sight {
    let inside = before.bytes().last().is_some_and(|b| b.is_ascii_alphanumeric());
    let words = STARTS.of(rest.as_bytes().first());
    if words.is_empty() || inside && rest.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return Sight::Clear;
    }
    let begins = |text: &str, with: &str| {
        text.as_bytes().get(..with.len()).is_some_and(|head| head.eq_ignore_ascii_case(with.as_bytes()))
    };
    if words.iter().any(|word| begins(rest, word)) {
        return Sight::Found(0);
    }
    match more && words.iter().any(|word| begins(word, rest)) {
        true => Sight::NeedsMore,
        false => Sight::Clear,
    }
}

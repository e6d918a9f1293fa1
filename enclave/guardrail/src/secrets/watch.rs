//! Secrets in text that comes in pieces: what is held back, and what is let go, at one position after the other.
//!
//! A token is a run of bytes without space, quote or bracket. It is *hot* where a secret may begin: at a keyword that secrets
//! begin with, or within [`HOT`] bytes after a keyword that announces one. A hot token is held until it ends; then the rules
//! look at it with what came before. All else leaves at once.
//!
//! Does not: find secrets that begin before their keyword (none but `maxmind-license-key`). Where a keyword stands in the
//! middle of a word, it may have left before what comes after it is found; of `atlasv1` and `Q~` keys, so may the few
//! characters before it.

use super::rules::RULES;
use super::{Span, find};
use std::collections::VecDeque;
use std::sync::LazyLock;
use zeroize::Zeroizing;

/// Bytes after an announcing keyword within which tokens are looked at, and bytes of the past that are kept for it.
pub(crate) const HOT: usize = 256;
/// Longest token that is held, in bytes. Of a longer one the beginning is decided, and the rest, [`OVERLAP`] bytes at
/// least, is looked at again with what follows; once a secret reaches the end of what is held, the rest of the token goes too.
pub(crate) const TOKEN: usize = 1024;
/// See [`TOKEN`]. No longer than the past that is kept, so that what is looked at again is seen as before.
const OVERLAP: usize = HOT;
/// Shortest keyword that also announces what comes after it in the middle of a word, if it has a sign in it (`ghp_`).
const MARK: usize = 4;

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
static MARKS: LazyLock<ByByte> = LazyLock::new(|| ByByte::new(&RULES.starts, <[u8]>::last));

/// What is known of one stream. Positions count its bytes from the start.
#[derive(Clone, Debug, Default)]
pub(crate) struct Watch {
    hot_until: usize,
    /// Up to here it is decided what is a secret: `spans`.
    decided_until: usize,
    spans: VecDeque<Span>,
    /// The token of which a part was decided last goes on.
    continues: bool,
    /// It goes on, and is a secret.
    swallows: bool,
}

impl Watch {
    /// Looks at position `at`, which `rest` begins with. `before` is what came before it, at most [`HOT`] bytes;
    /// `more` says whether text may follow.
    pub(crate) fn look(&mut self, at: usize, before: &str, rest: &str, more: bool) -> Sight {
        if at >= self.decided_until {
            if is_announced(before) {
                self.hot_until = at.saturating_add(HOT);
            }
            let token = rest.bytes().take(TOKEN).take_while(|b| is_token(*b)).count();
            self.swallows &= token > 0;
            self.continues &= token > 0;
            let hot = match starts_here(before, rest, more) {
                _ if token == 0 => return Sight::Clear,
                Sight::NeedsMore => return Sight::NeedsMore,
                start => start != Sight::Clear || at < self.hot_until || self.continues,
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
        self.continues = token == TOKEN;
        let end = at.saturating_add(token);
        let decided = if self.continues { end.saturating_sub(OVERLAP) } else { end };
        self.spans = found.into_iter().map(here).filter(|s| s.start < s.end && s.start < decided).collect();
        let last = self.spans.back().map_or(at, |last| last.end);
        self.decided_until = decided.max(last);
        self.swallows = self.continues && last == end;
        // A keyword within the token announces what comes after it.
        if RULES.keywords.is_match(rest.get(..token).unwrap_or_default()) {
            self.hot_until = self.decided_until.saturating_add(HOT);
        }
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

/// Whether a secret may come after this text.
fn is_announced(before: &str) -> bool {
    let last = before.as_bytes().last();
    let is_mark = |word: &&&str| word.len() >= MARK && word.contains(|c: char| !c.is_ascii_alphanumeric());
    let marks: Vec<&str> = MARKS.of(last).iter().filter(is_mark).copied().collect();
    ends_with_any(before, CONTEXTS.of(last)) || ends_with_any(before, &marks)
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

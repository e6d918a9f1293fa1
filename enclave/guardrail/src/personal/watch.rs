//! Personal data in text that comes in pieces.
//!
//! A *stretch* is some words in a row that may belong together: it ends at a line's end, or with a word that is part of no
//! number, address or date. A stretch is held until it ends; then the recognisers look at it with what came before.
//!
//! Of a stretch that is longer than [`STRETCH`] the beginning is decided, and the rest is looked at again with what follows.

use super::find;
use crate::secrets::Sight;
use crate::span::Span;
use std::collections::VecDeque;
use zeroize::Zeroizing;

/// Longest stretch that is held, in bytes.
pub(crate) const STRETCH: usize = 1024;
/// Shortest word that ends a stretch. Shorter ones stand within plates, postcodes and accounts.
const WORD: usize = 4;
/// What is looked at again of a longer stretch, in bytes: no less than the longest number or address that is likely.
const OVERLAP: usize = 256;
const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];

/// What is known of one stream. Positions count its bytes from the start.
#[derive(Clone, Debug, Default)]
pub(crate) struct Watch {
    decided_until: usize,
    spans: VecDeque<Span>,
}

impl Watch {
    /// Looks at position `at`, which `rest` begins with, for data of the kinds that `wanted` says. If it finds some, the
    /// kind comes with it.
    pub(crate) fn look(
        &mut self,
        at: usize,
        before: &str,
        rest: &str,
        more: bool,
        wanted: impl Fn(&'static str) -> bool,
    ) -> (Sight, &'static str) {
        if at >= self.decided_until {
            let Some(length) = stretch(rest, more) else { return (Sight::NeedsMore, "") };
            // The character after it is part of what some expressions want to see.
            let after = rest.get(length..).and_then(|rest| rest.chars().next());
            let held = rest.get(..length).unwrap_or_default();
            let text = Zeroizing::new(before.chars().chain(held.chars()).chain(after).collect::<String>());
            let end = before.len() + length;
            let here = |span: Span| Span {
                start: at + span.start.max(before.len()) - before.len(),
                end: at + span.end.min(end).saturating_sub(before.len()),
                ..span
            };
            let whole = at.saturating_add(length.max(1));
            let decided = if length + OVERLAP > STRETCH { whole.saturating_sub(OVERLAP) } else { whole };
            let found = find(&text, wanted).into_iter().map(here);
            self.spans = found.filter(|s| s.start < s.end && s.start < decided).collect();
            self.decided_until = decided.max(self.spans.back().map_or(at + 1, |last| last.end));
        }
        while self.spans.front().is_some_and(|span| span.end <= at) {
            self.spans.pop_front();
        }
        match self.spans.front() {
            Some(span) if span.start <= at => (Sight::Found(span.end - at), span.kind),
            _ => (Sight::Clear, ""),
        }
    }
}

/// How long the stretch at the beginning of `text` is; `None` if more text must tell.
fn stretch(text: &str, more: bool) -> Option<usize> {
    let mut end = 0;
    while end < STRETCH {
        let rest = text.get(end..).unwrap_or_default();
        let word = rest.find(char::is_whitespace).unwrap_or(rest.len());
        let gap = rest.get(word..).and_then(|rest| rest.chars().next());
        let Some(gap) = gap else {
            return if more && text.len() < STRETCH { None } else { Some(text.floor_char_boundary(STRETCH)) };
        };
        end += word;
        if gap == '\n' || is_plain(rest.get(..word).unwrap_or_default()) || (word == 0 && end == 0) {
            return Some(end.min(text.floor_char_boundary(STRETCH)));
        }
        end += gap.len_utf8();
    }
    Some(text.floor_char_boundary(STRETCH))
}

/// A word of lower-case letters that is no month; what follows it begins something new.
fn is_plain(word: &str) -> bool {
    let letters =
        word.trim_matches(|c: char| matches!(c, ',' | ';' | '!' | '?' | '.' | '"' | '(' | ')' | '*'));
    let month =
        letters.get(..3).is_some_and(|head| MONTHS.iter().any(|month| head.eq_ignore_ascii_case(month)));
    let ends_in_a_letter = letters.chars().last().is_some_and(char::is_lowercase);
    letters.len() >= WORD
        && ends_in_a_letter
        && letters.chars().all(|c| c.is_alphabetic() || c == '\'')
        && !month
}

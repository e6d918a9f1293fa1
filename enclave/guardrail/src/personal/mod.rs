//! Personal data: numbers and addresses of persons, by form, check digits and the words around them.
//!
//! Promises
//! - Time is linear in the text: each recogniser goes over it a fixed number of times.
//! - A number whose check digits do not hold is none; a form that says little counts only beside a word that says more.
//! - [`find`] gives spans in order, without overlaps, on character boundaries.
//!
//! Does not: know names, streets or employers of persons. That takes a model; no such figure is claimed.
//!
//! Trusts: nothing. Each check cites the definition of its number.

mod america;
mod asia;
mod checks;
mod europe;
mod mask;
mod watch;
mod world;

pub use mask::{Masked, Restore, mask};
pub(crate) use mask::{Names, Placeholder};
pub(crate) use watch::Watch;

use crate::span::{Span, settle};
use aho_corasick::AhoCorasick;
use checks::{Check, Outcome};
use regex::bytes::{Regex, RegexBuilder};
use std::sync::{LazyLock, OnceLock};

/// From this score on a span is taken for what it looks like. A form alone that occurs in many texts is below it, a form
/// that is rare, check digits that hold or a word that says what it is are above.
pub(crate) const LIKELY: u8 = 50;
/// What check digits that hold make of a form's score; a form below [`WEAK`] stays unlikely, for one number in ten or
/// so passes a check of one digit.
const CHECKED: u8 = 90;
const WEAK: u8 = 20;
/// What a word beside a span makes of its score.
const BESIDE: u8 = 85;
/// Bytes before and after a span within which a word counts.
const NEAR: (usize, usize) = (64, 24);

static RECOGNISERS: LazyLock<Vec<Recogniser>> = LazyLock::new(|| {
    [world::recognisers(), america::recognisers(), europe::recognisers(), asia::recognisers()]
        .into_iter()
        .flatten()
        .collect()
});

/// How one kind of personal data is recognised.
pub(crate) struct Recogniser {
    kind: &'static str,
    patterns: Vec<Pattern>,
    check: Check,
    words: AhoCorasick,
}

struct Pattern {
    score: u8,
    source: String,
    /// The group that is the span; 0 is the whole.
    group: usize,
    compiled: OnceLock<Regex>,
}

impl Recogniser {
    #[expect(clippy::expect_used, reason = "words that are compiled in; a test makes every recogniser")]
    fn new(kind: &'static str, check: Check, words: &[&str]) -> Recogniser {
        let words = AhoCorasick::builder().ascii_case_insensitive(true).build(words);
        Recogniser { kind, patterns: Vec::new(), check, words: words.expect("a few words") }
    }

    /// A form that is the span as a whole.
    fn pattern(self, score: u8, source: &str) -> Recogniser {
        self.with(score, source, 0)
    }

    /// A form whose first group is the span.
    fn inside(self, score: u8, source: &str) -> Recogniser {
        self.with(score, source, 1)
    }

    fn with(mut self, score: u8, source: &str, group: usize) -> Recogniser {
        self.patterns.push(Pattern { score, source: source.to_owned(), group, compiled: OnceLock::new() });
        self
    }

    /// All that looks like this kind, the likelier first where two overlap.
    fn recognise(&self, text: &str) -> Vec<Span> {
        let mut spans: Vec<Span> =
            self.patterns.iter().flat_map(|pattern| self.matches(pattern, text)).collect();
        spans.sort_by_key(|s| (u8::MAX - s.score, usize::MAX - (s.end - s.start), s.start));
        let mut kept: Vec<Span> = Vec::new();
        for span in spans {
            if kept.iter().all(|other| span.end <= other.start || other.end <= span.start) {
                kept.push(span);
            }
        }
        kept.sort_by_key(|span| span.start);
        kept
    }

    fn matches(&self, pattern: &Pattern, text: &str) -> Vec<Span> {
        let (mut spans, mut from) = (Vec::new(), 0);
        let regex = pattern.regex();
        while let Some(found) = regex.captures_at(text.as_bytes(), from) {
            let Some(group) = found.get(pattern.group) else { break };
            // What ends one span may begin the next.
            from = group.end().max(from + 1);
            spans.extend(self.judged(pattern, text, group.start(), group.end()));
            if from > text.len() {
                break;
            }
        }
        spans
    }

    fn judged(&self, pattern: &Pattern, text: &str, start: usize, end: usize) -> Option<Span> {
        let score = match (self.check)(text.get(start..end)?) {
            Outcome::No => return None,
            Outcome::Sure if pattern.score >= WEAK => CHECKED,
            Outcome::Sure | Outcome::Unsure => pattern.score,
        };
        let (before, after) = (start.saturating_sub(NEAR.0), end.saturating_add(NEAR.1).min(text.len()));
        let around = [text.as_bytes().get(before..start), text.as_bytes().get(end..after)];
        let beside = around.into_iter().flatten().any(|part| self.words.is_match(part));
        let score = if beside { score.max(BESIDE) } else { score };
        Some(Span { start, end, kind: self.kind, score })
    }
}

impl Pattern {
    /// Bytes, not Unicode: numbers are ASCII.
    #[expect(clippy::expect_used, reason = "an expression that is compiled in; a test compiles all of them")]
    fn regex(&self) -> &Regex {
        let build = || RegexBuilder::new(&self.source).unicode(false).case_insensitive(true).build();
        self.compiled.get_or_init(|| build().expect("an expression that a test compiles"))
    }
}

/// The names of all kinds, as the settings name them.
pub fn kinds() -> impl Iterator<Item = &'static str> {
    RECOGNISERS.iter().map(|recogniser| recogniser.kind)
}

/// Whatever looks like one kind of personal data, however unlikely. Empty for a kind that is not in [`kinds`].
pub fn candidates(kind: &str, text: &str) -> Vec<Span> {
    let of_kind = RECOGNISERS.iter().find(|recogniser| recogniser.kind == kind);
    of_kind.map(|recogniser| recogniser.recognise(text)).unwrap_or_default()
}

/// The likely personal data of a text, of the kinds that `wanted` says.
pub fn find(text: &str, wanted: impl Fn(&'static str) -> bool) -> Vec<Span> {
    let kinds = RECOGNISERS.iter().filter(|recogniser| wanted(recogniser.kind));
    let spans = kinds.flat_map(|recogniser| recogniser.recognise(text));
    settle(spans.filter(|span| span.score >= LIKELY).collect(), text)
}

#[cfg(test)]
mod tests;

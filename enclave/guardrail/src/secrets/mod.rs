//! Secrets: keys, tokens and passwords, found by rules of a keyword, a regular expression and a least entropy.
//!
//! Promises
//! - Time is linear in the text: expressions run near keywords only, on at most [`SHARE`] bytes for each byte of the text;
//!   a text that would take more is told, not cut short.
//! - A span is the secret itself, on character boundaries; spans are in order and do not overlap.
//!
//! Does not: find passwords that no keyword announces, or ask a service whether a key is live.
//!
//! Trusts: the rules, which are compiled in (`data/secrets.toml`); a test compiles each of them.

mod rules;
mod watch;

pub(crate) use watch::{HOT, Sight, Watch};

use crate::span::{Span, settle};
use rules::{RULES, Rule};
use std::ops::Range;

/// Bytes before a keyword that an expression may reach back for: `[\w.-]{0,50}?` and what precedes it.
const BEFORE: usize = 80;
/// Bytes after a keyword within which a secret ends. The longest rules (JWT, 1Password) reach about 1,000.
const AFTER: usize = 2048;
/// Bytes that expressions may go over for each byte of text. A text that holds the keywords of more rules than this
/// everywhere is made for that.
const SHARE: usize = 24;
/// Bytes that they may go over however short the text is.
const SLACK: usize = 1 << 20;

/// The text holds so many keywords that looking at each would take too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManyKeywords;

/// The secrets of a text.
pub fn find(text: &str) -> Result<Vec<Span>, TooManyKeywords> {
    let mut windows: Vec<Vec<Range<usize>>> = vec![Vec::new(); RULES.list.len()];
    for hit in RULES.keywords.find_overlapping_iter(text) {
        let window = hit.start().saturating_sub(BEFORE)..hit.end().saturating_add(AFTER).min(text.len());
        for &rule in RULES.of_keyword(hit.pattern().as_usize()) {
            let Some(windows) = windows.get_mut(rule) else { continue };
            match windows.last_mut().filter(|last| last.end >= window.start) {
                Some(last) => last.end = window.end,
                None => windows.push(window.clone()),
            }
        }
    }
    let work: usize = windows.iter().flatten().map(Range::len).sum();
    if work > text.len().saturating_mul(SHARE).saturating_add(SLACK) {
        return Err(TooManyKeywords);
    }
    let mut spans = Vec::new();
    for (rule, windows) in RULES.list.iter().zip(windows) {
        windows.into_iter().for_each(|window| in_window(rule, text, window, &mut spans));
    }
    Ok(settle(spans, text))
}

/// What one rule finds in one window.
fn in_window(rule: &Rule, text: &str, window: Range<usize>, spans: &mut Vec<Span>) {
    let part = text.as_bytes().get(window.clone()).unwrap_or_default();
    for found in rule.regex().captures_iter(part) {
        let group = found.iter().skip(1).flatten().find(|group| !group.is_empty()).or(found.get(0));
        let (Some(whole), Some(secret)) = (found.get(0), group) else { continue };
        if rule.accepts(part, whole.range(), secret.as_bytes()) {
            let (start, end) = (window.start + secret.start(), window.start + secret.end());
            spans.push(Span { start, end, kind: "secrets", score: 0 });
        }
    }
}

#[cfg(test)]
mod tests;

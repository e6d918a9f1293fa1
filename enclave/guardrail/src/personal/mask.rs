//! Masking that can be taken back: each value becomes a placeholder such as `[EMAIL_1]`, the same value the same one.

use crate::span::Span;
use crate::text::Text;
use aho_corasick::{AhoCorasick, MatchKind};
use std::collections::{BTreeMap, BTreeSet};

/// A text without its personal data, and the table that gives it back.
#[derive(Clone, Debug)]
pub struct Masked {
    text: Text,
    /// Placeholder and value.
    table: BTreeMap<String, Text>,
}

impl Masked {
    /// The text with placeholders.
    pub fn text(&self) -> &Text {
        &self.text
    }

    /// Any text with the placeholders of this table replaced by their values: of [`Masked::text`] the original, of an
    /// answer that repeats placeholders the answer for its reader.
    pub fn unmask(&self, text: &str) -> Text {
        let (mut whole, mut rest) = (String::with_capacity(text.len()), text);
        while let Some(open) = rest.find('[') {
            let (before, from) = rest.split_at(open);
            whole.push_str(before);
            let placeholder = from.find(']').and_then(|close| from.get(..=close));
            let known = placeholder.and_then(|name| Some((name, self.table.get(name)?)));
            let taken = match known {
                Some((name, value)) => {
                    whole.push_str(value.expose());
                    name.len()
                }
                None => {
                    whole.push('[');
                    1
                }
            };
            rest = from.get(taken..).unwrap_or_default();
        }
        whole.push_str(rest);
        Text::from(whole)
    }
}

/// Masks the spans, which must be in order and not overlap, as [`super::find`] gives them, and wherever else in the text
/// one of their values stands.
pub fn mask(text: &str, spans: &[Span]) -> Masked {
    let spans = &everywhere(text, spans);
    // What the text calls so itself must not be taken for a placeholder.
    let taken: BTreeSet<&str> =
        text.split_inclusive(']').filter_map(|part| part.get(part.rfind('[')?..)).collect();
    let (mut masked, mut from) = (String::with_capacity(text.len()), 0);
    let mut names: BTreeMap<(&str, &str), String> = BTreeMap::new();
    let mut last: BTreeMap<&str, usize> = BTreeMap::new();
    for span in spans {
        let (Some(before), Some(value)) = (text.get(from..span.start), text.get(span.start..span.end)) else {
            continue;
        };
        let name = names.entry((span.kind, value)).or_insert_with(|| next(span.kind, &mut last, &taken));
        masked.push_str(before);
        masked.push_str(name);
        from = span.end;
    }
    masked.push_str(text.get(from..).unwrap_or_default());
    let table = names.into_iter().map(|((_, value), name)| (name, Text::from(value))).collect();
    Masked { text: Text::from(masked), table }
}

/// The spans, and where else their values stand.
fn everywhere(text: &str, spans: &[Span]) -> Vec<Span> {
    let values: Vec<&str> = spans.iter().filter_map(|span| text.get(span.start..span.end)).collect();
    let longest_first = AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(&values);
    let Ok(search) = longest_first else { return spans.to_vec() };
    let mut all = spans.to_vec();
    // Between spans only: an occurrence that overlaps one is broken by its placeholder.
    let starts = std::iter::once(0).chain(spans.iter().map(|span| span.end));
    let ends = spans.iter().map(|span| span.start).chain([text.len()]);
    for (start, end) in starts.zip(ends) {
        for found in search.find_iter(text.get(start..end).unwrap_or_default()) {
            let kind = spans.get(found.pattern().as_usize());
            all.extend(kind.map(|span| Span {
                start: start + found.start(),
                end: start + found.end(),
                ..*span
            }));
        }
    }
    all.sort_by_key(|span| span.start);
    all
}

fn next<'a>(kind: &'a str, last: &mut BTreeMap<&'a str, usize>, taken: &BTreeSet<&str>) -> String {
    let number = last.entry(kind).or_default();
    loop {
        *number += 1;
        let name = format!("[{}_{number}]", kind.to_ascii_uppercase());
        if !taken.contains(name.as_str()) {
            return name;
        }
    }
}

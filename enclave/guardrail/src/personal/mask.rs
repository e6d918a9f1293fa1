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
    let mut names = Names::over([text]);
    let (texts, _) = names.mask(&[(text, spans.to_vec())]);
    let table = names.table.into_iter().map(|((_, value), name)| (name, value)).collect();
    Masked { text: texts.into_iter().next().unwrap_or_else(|| Text::from("")), table }
}

/// The placeholders of one conversation: the same value has the same one in each of its texts.
#[derive(Debug)]
pub(crate) struct Names {
    /// What the texts call so themselves must not be taken for a placeholder.
    taken: BTreeSet<String>,
    last: BTreeMap<&'static str, usize>,
    /// Kind and value, and what stands for it.
    table: BTreeMap<(&'static str, Text), String>,
}

impl Names {
    /// None yet, for these texts.
    pub(crate) fn over<'a>(texts: impl IntoIterator<Item = &'a str>) -> Names {
        let own = |text: &'a str| text.split_inclusive(']').filter_map(|part| part.get(part.rfind('[')?..));
        let taken = texts.into_iter().flat_map(own).map(str::to_owned).collect();
        Names { taken, last: BTreeMap::new(), table: BTreeMap::new() }
    }

    /// Masks the spans of each text, and wherever else in any of the texts one of their values stands. With the texts come
    /// the numbers of those that changed.
    pub(crate) fn mask(&mut self, texts: &[(&str, Vec<Span>)]) -> (Vec<Text>, Vec<usize>) {
        let values: Vec<(&'static str, &str)> = texts
            .iter()
            .flat_map(|(text, spans)| spans.iter().filter_map(|s| Some((s.kind, text.get(s.start..s.end)?))))
            .collect();
        if values.is_empty() {
            return (texts.iter().map(|(text, _)| Text::from(*text)).collect(), Vec::new());
        }
        let mut changed = Vec::new();
        let masked = texts.iter().enumerate().map(|(at, (text, spans))| {
            let spans = everywhere(text, spans, &values);
            if !spans.is_empty() {
                changed.push(at);
            }
            self.without(text, &spans)
        });
        (masked.collect(), changed)
    }

    fn without(&mut self, text: &str, spans: &[Span]) -> Text {
        let (mut masked, mut from) = (String::with_capacity(text.len()), 0);
        for span in spans {
            let (Some(before), Some(value)) = (text.get(from..span.start), text.get(span.start..span.end))
            else {
                continue;
            };
            masked.push_str(before);
            masked.push_str(&self.name(span.kind, value));
            from = span.end;
        }
        masked.push_str(text.get(from..).unwrap_or_default());
        Text::from(masked)
    }

    fn name(&mut self, kind: &'static str, value: &str) -> String {
        let key = (kind, Text::from(value));
        if let Some(name) = self.table.get(&key) {
            return name.clone();
        }
        let name = next(kind, &mut self.last, &self.taken);
        self.table.insert(key, name.clone());
        name
    }

    /// What gives the values of some kinds back.
    pub(crate) fn restore(&self, wanted: impl Fn(&'static str) -> bool) -> Restore {
        let all: BTreeMap<String, Text> =
            self.table.iter().map(|((_, value), name)| (name.clone(), value.clone())).collect();
        let whole = Masked { text: Text::from(""), table: all };
        // A value may hold the placeholder of another one that was found before it.
        let one = |((kind, value), name): (&(&'static str, Text), &String)| {
            wanted(kind).then(|| (name.clone(), whole.unmask(value.expose())))
        };
        Restore(self.table.iter().filter_map(one).collect())
    }
}

/// Puts masked values back into what the model says, for whoever sent them.
#[derive(Clone, Debug, Default)]
pub struct Restore(BTreeMap<String, Text>);

/// What stands at the beginning of a text.
pub(crate) enum Placeholder<'a> {
    /// None, and none can begin here.
    None,
    /// One of so many bytes, which stands for this.
    For(usize, &'a Text),
    /// Perhaps one.
    NeedsMore,
}

impl Restore {
    /// Whether there is nothing to put back.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `rest` begins with a placeholder. `more` says whether text may follow.
    pub(crate) fn at(&self, rest: &str, more: bool) -> Placeholder<'_> {
        if self.0.is_empty() || !rest.starts_with('[') {
            return Placeholder::None;
        }
        let whole = rest.find(']').and_then(|close| rest.get(..=close));
        match whole {
            Some(name) => match self.0.get(name) {
                Some(value) => Placeholder::For(name.len(), value),
                None => Placeholder::None,
            },
            None if more && self.0.keys().any(|name| name.starts_with(rest)) => Placeholder::NeedsMore,
            None => Placeholder::None,
        }
    }
}

/// The spans of one text, and where else in it one of the values stands.
fn everywhere(text: &str, spans: &[Span], values: &[(&'static str, &str)]) -> Vec<Span> {
    let patterns = values.iter().map(|(_, value)| value);
    let longest_first = AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(patterns);
    let Ok(search) = longest_first else { return spans.to_vec() };
    let mut all = spans.to_vec();
    // Between spans only: an occurrence that overlaps one is broken by its placeholder.
    let starts = std::iter::once(0).chain(spans.iter().map(|span| span.end));
    let ends = spans.iter().map(|span| span.start).chain([text.len()]);
    for (from, to) in starts.zip(ends) {
        for found in search.find_iter(text.get(from..to).unwrap_or_default()) {
            let kind = values.get(found.pattern().as_usize()).map(|(kind, _)| *kind);
            let (start, end) = (from + found.start(), from + found.end());
            all.extend(kind.map(|kind| Span { start, end, kind, score: 0 }));
        }
    }
    all.sort_by_key(|span| span.start);
    all
}

fn next(kind: &'static str, last: &mut BTreeMap<&'static str, usize>, taken: &BTreeSet<String>) -> String {
    let number = last.entry(kind).or_default();
    loop {
        *number += 1;
        let name = format!("[{}_{number}]", kind.to_ascii_uppercase());
        if !taken.contains(&name) {
            return name;
        }
    }
}

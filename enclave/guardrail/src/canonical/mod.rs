//! One text, as a reader, a tokenizer and a decoder would each see it: the forms that detectors scan beside the raw one.
//!
//! Promises
//! - The first view is the raw text, unchanged; folding a folded text changes nothing.
//! - Work and memory are linear in the text: layers nest [`DEPTH`] deep, there are at most [`VIEWS`] of them, and together
//!   they hold at most as much again as the text, and [`SLACK`].
//! - What was stripped or folded is counted, and the counts carry no text.
//!
//! Does not: judge; a base64 picture is as good as a base64 order here. Does not: decrypt, decompress, or guess at keys.
//!
//! Trusts: nothing. Sources: UAX #15 (normal forms), UAX #24 (scripts), UTS #39 (confusables), RFC 4648 (base64, hex).

mod decode;
mod fold;

use crate::text::Text;

pub use fold::Evidence;

/// How deep encodings are followed. An order that is encoded four times is not read by a model either.
const DEPTH: usize = 3;
/// Most views of one text.
const VIEWS: usize = 16;
/// Bytes that views may hold however short the text is.
const SLACK: usize = 4096;

/// How a view came from the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layer {
    /// The text itself.
    Raw,
    /// Normalised, stripped of what is not seen, lookalikes folded.
    Folded,
    /// What invisible characters spelled (tag block, variation selectors).
    Hidden,
    /// Decoded from base64, standard or URL-safe.
    Base64,
    /// Decoded from hex digits, with or without `0x`, `\x` or spaces.
    Hex,
    /// Decoded from `%XX`.
    Percent,
    /// Letters turned by thirteen.
    Rot13,
    /// Digits and signs that stand for letters.
    Leet,
    /// Letters that were written apart.
    Spaced,
}

/// One form of the text.
#[derive(Clone, Debug)]
pub struct View {
    /// How it came to be; the last step, if there were several.
    pub layer: Layer,
    /// The form itself.
    pub text: Text,
}

/// All forms of one text, and what had to be done to see them.
#[derive(Clone, Debug)]
pub struct Canonical {
    /// The raw text first.
    pub views: Vec<View>,
    /// What was stripped and folded.
    pub evidence: Evidence,
}

impl Canonical {
    /// The forms of `raw`.
    pub fn of(raw: &str) -> Canonical {
        let (folded, hidden, evidence) = fold::fold(raw);
        let mut views = Views { list: Vec::new(), budget: raw.len().saturating_add(SLACK) };
        views.list.push(View { layer: Layer::Raw, text: raw.into() });
        if folded != raw {
            // Normalisation may lengthen a text; this one view does not count against the budget, it is bounded there.
            views.list.push(View { layer: Layer::Folded, text: folded.as_str().into() });
        }
        if !hidden.is_empty() {
            views.add(Layer::Hidden, hidden);
        }
        views.whole_forms(&folded);
        views.layers(&folded, 0);
        Canonical { views: views.list, evidence }
    }

    /// Only the forms that were decoded: neither the raw text nor its folded form.
    pub fn decoded(&self) -> impl Iterator<Item = &View> {
        self.views.iter().filter(|view| !matches!(view.layer, Layer::Raw | Layer::Folded))
    }

    /// The folded form, or the raw one if folding changes nothing.
    pub fn folded(&self) -> &str {
        let folded = self.views.iter().find(|view| view.layer == Layer::Folded).or(self.views.first());
        folded.map_or("", |view| view.text.expose())
    }
}

struct Views {
    list: Vec<View>,
    budget: usize,
}

impl Views {
    /// False if there is no room for it.
    fn add(&mut self, layer: Layer, text: String) -> bool {
        if self.list.len() >= VIEWS || text.len() > self.budget {
            return false;
        }
        self.budget = self.budget.saturating_sub(text.len());
        self.list.push(View { layer, text: text.into() });
        true
    }

    /// Forms of the whole text, each only where it reads more like language than the text does.
    fn whole_forms(&mut self, text: &str) {
        for (layer, form) in [
            (Layer::Rot13, decode::rot13(text)),
            (Layer::Leet, decode::leet(text)),
            (Layer::Spaced, decode::spaced(text)),
        ] {
            if let Some(form) = form {
                self.add(layer, form);
            }
        }
    }

    /// Encoded runs of the text, and of what they decode to.
    fn layers(&mut self, text: &str, depth: usize) {
        if depth == DEPTH {
            return;
        }
        for (layer, decode) in decode::RUNS {
            let decoded = decode(text);
            if decoded.is_empty() || self.list.iter().any(|view| view.text.expose() == decoded) {
                continue;
            }
            let (folded, _, _) = fold::fold(&decoded);
            if self.add(layer, folded.clone()) {
                self.layers(&folded, depth + 1);
            }
        }
    }
}

#[cfg(test)]
mod tests;

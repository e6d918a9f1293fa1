//! Prompt injection and jailbreaks: text that tries to be an order where it should be data, or to argue rules away.
//!
//! A linear model over hashed n-grams scores windows of the text as it is and as it looks without its disguises; the
//! highest score counts, against a threshold for its length. How it was trained and how often it is wrong: `docs/guardrails.md`.
//!
//! Promises
//! - Time is linear in the text and its views, whose number and size are bounded.
//! - The same text has the same score, everywhere.
//!
//! Does not: understand. An order in words that no attack it learned from had passes; a harmful question that is merely
//! asked is not its business. What is decided must not depend on it alone.
//!
//! Trusts: the weights, which are compiled in; a test reads them.

pub mod features;
pub mod model;

use crate::canonical::{Canonical, Layer};
use features::{Places, normalised, windows};
use model::{Model, Threshold};
use std::sync::LazyLock;
use zeroize::Zeroizing;

/// Decoded views that are shorter say nothing.
const SHORTEST_VIEW: usize = 12;

/// The model that is shipped.
#[expect(clippy::expect_used, reason = "weights that are compiled in; a test reads them")]
pub static SHIPPED: LazyLock<Model> = LazyLock::new(|| {
    Model::read(include_bytes!("../../data/injection.bin")).expect("weights that a test reads")
});

/// What came of scoring.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Score {
    /// The highest log odds of any window of any view.
    pub value: f32,
    /// What a text of this length must reach.
    pub threshold: Threshold,
}

impl Score {
    /// True if the text is taken for an attack.
    pub fn is_attack(&self) -> bool {
        self.value >= self.threshold.attack
    }

    /// The same in percent: 50 at the threshold, and each unit of log odds counts as in a probability.
    pub fn percent(&self) -> u8 {
        let odds = (self.value - self.threshold.attack).clamp(-20.0, 20.0);
        // Between 0 and 100 after rounding.
        (100.0 / (1.0 + (-odds).exp())).round() as u8
    }

    /// True if it may be one.
    pub fn is_suspected(&self) -> bool {
        self.value >= self.threshold.suspicion
    }
}

/// Scores a text with the shipped model.
pub fn score(text: &str) -> Score {
    score_with(&SHIPPED, text)
}

/// Scores a text with any model.
pub fn score_with(model: &Model, text: &str) -> Score {
    let canonical = Canonical::of(text);
    let mut places = Places::default();
    let mut highest = |text: &str| {
        let normalised = Zeroizing::new(normalised(text));
        windows(&normalised).map(|window| model.score(places.of(window))).fold(f32::NEG_INFINITY, f32::max)
    };
    let mut value = highest(canonical.folded());
    for view in canonical.decoded().filter(|view| view.text.expose().len() >= SHORTEST_VIEW) {
        // Of the whole text read otherwise, only what is higher is news; a decoded run is a text of its own.
        debug_assert!(view.layer != Layer::Raw);
        value = value.max(highest(view.text.expose()));
    }
    Score { value, threshold: model.threshold(text.chars().count()) }
}

#[cfg(test)]
mod tests;

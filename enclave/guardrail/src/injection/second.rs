//! The second tier, where the release has an encoder: what a text means decides where its n-grams leave a doubt, and orders in
//! data are found that are nobody's attack by their words.
//!
//! Promises
//! - Of one text of a person the encoder reads one window at most, so that its cost does not grow with the text.
//! - A text without a doubt is judged as by the first tier alone: it passes.
//! - Data is read whole, in no more than some 550 pieces, however long it is.

use super::model::Model;
use super::{SHIPPED, Score, Seen};
use crate::canonical::Canonical;
use crate::meaning::head::{self, Head};
use crate::meaning::pieces::{self, pieces};
use crate::meaning::{Reader, Unread};

/// Put under the score of a text without a doubt, so that it is under that of all that were read.
const UNDOUBTED: f32 = 40.0;

/// Scores a text of a person with what is shipped.
///
/// # Errors
/// [`Unread`], and then the text must not pass.
pub fn score(text: &str, reader: &Reader) -> Result<Score, Unread> {
    let [head, ..] = &*head::SHIPPED;
    score_with(&SHIPPED, head, text, reader)
}

/// Scores a text of a person: log odds of both tiers, added up.
///
/// # Errors
/// [`Unread`], and then the text must not pass.
pub fn score_with(model: &Model, head: &Head, text: &str, reader: &Reader) -> Result<Score, Unread> {
    let Seen { value, window, characters } = Seen::by(model, text);
    let threshold = head.threshold(characters);
    if value < head.doubt(characters) {
        return Ok(Score { value: value - UNDOUBTED, threshold });
    }
    let value = value + head.score(&reader.features(&window)?);
    Ok(Score { value, threshold })
}

/// Scores data with what is shipped: whether it gives an order, or asks, where nobody should.
///
/// # Errors
/// [`Unread`], and then the text must not pass.
pub fn orders(text: &str, reader: &Reader) -> Result<Score, Unread> {
    let [_, head, ..] = &*head::SHIPPED;
    orders_with(head, text, reader)
}

/// Scores a text with what is shipped: whether it insults, hates, or asks for help with harm.
///
/// # Errors
/// [`Unread`], and then the text must not pass.
pub fn manners(text: &str, reader: &Reader) -> Result<Score, Unread> {
    let [_, _, head] = &*head::SHIPPED;
    pieces_with(head, text, pieces::PARAGRAPH, reader)
}

/// Scores data with a head.
///
/// # Errors
/// [`Unread`], and then the text must not pass.
pub fn orders_with(head: &Head, text: &str, reader: &Reader) -> Result<Score, Unread> {
    pieces_with(head, text, pieces::SENTENCE, reader)
}

/// The highest score of any piece, in any form of the text.
fn pieces_with(head: &Head, text: &str, least: usize, reader: &Reader) -> Result<Score, Unread> {
    let canonical = Canonical::of(text);
    let forms = std::iter::once(canonical.folded()).chain(canonical.decoded().map(|view| view.text.expose()));
    let mut value = f32::MIN;
    for form in forms {
        for piece in pieces(form, least) {
            value = value.max(head.score(&reader.features(&piece)?));
        }
    }
    Ok(Score { value, threshold: head.threshold(text.chars().count()) })
}

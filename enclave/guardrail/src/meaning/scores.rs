//! What heads say of texts, where the release has an encoder: orders in data, which are nobody's attack by their words, and
//! inappropriate texts.
//!
//! Promises: a text is read whole, in every form that it has, in no more than some 550 pieces for each form.

use super::head::{self, Head};
use super::pieces::{self, pieces};
use super::{Reader, Unread};
use crate::canonical::Canonical;
use crate::injection::Score;

/// Scores data with what is shipped: whether it gives an order, or asks, where nobody should.
///
/// # Errors
/// [`Unread`], and then the text must not pass.
pub fn orders(text: &str, reader: &Reader) -> Result<Score, Unread> {
    let [head, _] = &*head::SHIPPED;
    orders_with(head, text, reader)
}

/// Scores a text with what is shipped: whether it insults, hates, or asks for help with harm.
///
/// # Errors
/// [`Unread`], and then the text must not pass.
pub fn manners(text: &str, reader: &Reader) -> Result<Score, Unread> {
    let [_, head] = &*head::SHIPPED;
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

//! A document in passages, as it is written into a store.
//!
//! # Promises
//! - What a grant names by its digest is what is written: one text, with every passage, field and vector in it.
//!
//! # Trusts
//! - Nobody with sizes.

use crate::passage::{PassageId, Written};
use adyton_wire::lookup::{Lookup, MAX_PASSAGES, payload_digest};
use serde::Serialize;
use std::fmt;
use zeroize::Zeroizing;

/// Dimensions of the vectors that stores hold: those of MiniLM-L6-v2.
pub const DIMENSIONS: usize = 384;
/// Longest name and title, in bytes.
pub const MAX_NAME: usize = 512;

/// All passages of one document.
#[derive(Clone)]
pub struct Document {
    pub(crate) name: String,
    pub(crate) title: String,
    pub(crate) classification: u8,
    pub(crate) passages: Vec<Written>,
    text: Zeroizing<String>,
}

/// It cannot be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a document has a name, 1 to 256 passages, vectors of 384 finite numbers, and no zero bytes")]
pub struct Unsound;

#[derive(Serialize)]
struct Payload<'a> {
    document: &'a str,
    title: &'a str,
    classification: u8,
    passages: &'a [Written],
}

impl Document {
    /// Judges it.
    ///
    /// # Errors
    /// [`Unsound`]
    pub fn new(
        name: impl Into<String>,
        title: impl Into<String>,
        classification: u8,
        passages: impl Into<Vec<Written>>,
    ) -> Result<Document, Unsound> {
        let (name, title, passages) = (name.into(), title.into(), passages.into());
        let plain = |text: &String| text.len() <= MAX_NAME && !text.contains('\0');
        let sound = |one: &Written| {
            let mut texts = one.fields.iter().flat_map(|(name, value)| [name, value]).chain([&one.text]);
            is_sound(&one.vector) && texts.all(|text| !text.contains('\0'))
        };
        let counted = (1..=MAX_PASSAGES as usize).contains(&passages.len());
        if name.is_empty() || !plain(&name) || !plain(&title) || !counted || !passages.iter().all(sound) {
            return Err(Unsound);
        }
        let payload = Payload { document: &name, title: &title, classification, passages: &passages };
        let text = Zeroizing::new(serde_json::to_string(&payload).map_err(|_| Unsound)?);
        Ok(Document { name, title, classification, passages, text })
    }

    /// The digest that a grant must name.
    pub fn digest(&self) -> [u8; 32] {
        payload_digest(self.text.as_bytes())
    }

    /// The names that its passages have where a grant of ingest lets them be written.
    pub fn names<'a>(&'a self, lookup: &'a Lookup) -> impl Iterator<Item = PassageId> + 'a {
        let name = |one: &Written| PassageId::of(&lookup.tenant, &lookup.collection, &self.name, one.ordinal);
        self.passages.iter().map(name)
    }

    /// How many passages.
    pub fn count(&self) -> usize {
        self.passages.len()
    }

    /// The text over which the digest is.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }
}

impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Document({} passages)", self.passages.len())
    }
}

/// Whether a store can hold a vector.
pub fn is_sound(vector: &[f32]) -> bool {
    vector.len() == DIMENSIONS && vector.iter().all(|number| number.is_finite())
}

//! A passage: a piece of a document, as a store gives it out.
//!
//! # Promises
//! - An id follows from tenant, collection, document and place alone: a store that renames passages is found out.
//! - `Debug` shows no text.
//!
//! # Does not
//! - Vouch for the text: it is data that nobody has screened.
//!
//! # Trusts
//! - Nobody.

use ring::digest::{SHA256, digest};
use std::collections::BTreeMap;
use std::fmt;

/// The name of a passage: 16 bytes of SHA-256 over the hashes of tenant, collection and document, and its ordinal.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PassageId(pub [u8; 16]);

impl PassageId {
    /// The id of one place.
    pub fn of(tenant: &str, collection: &str, document: &str, ordinal: u32) -> Self {
        let mut named: Vec<u8> = Vec::with_capacity(100);
        for part in [tenant, collection, document] {
            named.extend_from_slice(digest(&SHA256, part.as_bytes()).as_ref());
        }
        named.extend_from_slice(&ordinal.to_be_bytes());
        let mut id = [0; 16];
        id.iter_mut().zip(digest(&SHA256, &named).as_ref()).for_each(|(to, from)| *to = *from);
        Self(id)
    }
}

impl fmt::Debug for PassageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Display for PassageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// One passage, masked.
#[derive(Clone, PartialEq)]
pub struct Passage {
    /// Its name.
    pub id: PassageId,
    /// The document that it is of.
    pub document: String,
    /// The how-manieth of it.
    pub ordinal: u32,
    /// The document's title, or what stands for it.
    pub title: String,
    /// The text.
    pub text: String,
    /// Fields by name, those alone that may be shown.
    pub fields: BTreeMap<String, String>,
    /// 0 public, 1 internal, 2 confidential, 3 restricted.
    pub classification: u8,
    /// How near it is, -1 to 1, in hundredths.
    pub score: f32,
}

impl fmt::Debug for Passage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Passage({}, {} bytes)", self.id, self.text.len())
    }
}

/// One passage to be written, with its vector.
#[derive(Clone, PartialEq, serde::Serialize)]
pub struct Written {
    /// The how-manieth of its document.
    pub ordinal: u32,
    /// The text.
    pub text: String,
    /// Fields by name.
    pub fields: BTreeMap<String, String>,
    /// What it means.
    pub vector: Vec<f32>,
}

impl fmt::Debug for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Written({}, {} bytes)", self.ordinal, self.text.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_of_places() {
        let id = PassageId::of("air", "seats", "LH400", 0);
        let others =
            [("air", "seats", "LH400", 1), ("air", "seatsL", "H400", 0), ("airs", "eats", "LH400", 0)];
        for (tenant, collection, document, ordinal) in others {
            assert_ne!(id, PassageId::of(tenant, collection, document, ordinal));
        }
        assert_eq!(id.to_string().len(), 32);
    }
}

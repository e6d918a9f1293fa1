//! `protected.json` of a policy pack: the fingerprints of all protected documents, under one salt.
//!
//! Promises
//! - No text of a document is in it: names, which its maker chose, and fingerprints.
//! - Numbers of documents and fingerprints are bounded, and what is not of this form is an error.

use crate::{Key, fingerprints};
use base64::{Engine as _, prelude::BASE64_STANDARD_NO_PAD as B64};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Most documents.
pub const MAX_DOCUMENTS: usize = 1024;
/// Longest name of a document, in bytes.
const MAX_NAME: usize = 128;
/// Bytes of one fingerprint.
const WIDTH: usize = 8;

/// Why a list was refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ListError {
    /// Not the JSON of a list.
    #[error("protected.json: {0}")]
    Syntax(String),
    /// Not whole fingerprints in base64.
    #[error(
        "protected.json: document {0}, counted from 0, has no whole fingerprints; make the file again with adyton protect"
    )]
    Fingerprints(usize),
    /// Nothing to know it by.
    #[error("document {0} is too short to be known again")]
    Short(String),
    /// A name that is empty, long, or there already.
    #[error("document {0}, counted from 0, needs a name of its own, of 1 to {MAX_NAME} bytes")]
    Name(usize),
    /// Too many.
    #[error("there are more than {MAX_DOCUMENTS} documents")]
    TooMany,
}

/// One protected document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// What its maker called it.
    pub name: String,
    /// Its fingerprints, in the order of the text, each once.
    pub fingerprints: Vec<u64>,
}

/// All of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Protected {
    salt: [u8; 32],
    documents: Vec<Document>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(with = "hex::serde")]
    salt: [u8; 32],
    documents: Vec<Entry>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    fingerprints: String,
}

impl Protected {
    /// None yet. The salt must be random, and new for each list.
    pub fn new(salt: [u8; 32]) -> Protected {
        Protected { salt, documents: Vec::new() }
    }

    /// Adds a document.
    ///
    /// # Errors
    /// [`ListError`] if it is too short, its name is taken, or there is no room.
    pub fn add(&mut self, name: &str, text: &str) -> Result<usize, ListError> {
        let found = fingerprints(&self.key(), text);
        if found.is_empty() {
            return Err(ListError::Short(name.to_owned()));
        }
        let count = found.len();
        self.documents.push(Document { name: name.to_owned(), fingerprints: found });
        self.check()?;
        Ok(count)
    }

    /// Reads a list.
    ///
    /// # Errors
    /// [`ListError`]
    pub fn parse(json: &str) -> Result<Protected, ListError> {
        let file: File =
            serde_json::from_str(json).map_err(|e| ListError::Syntax(shortened(&e.to_string())))?;
        if file.documents.len() > MAX_DOCUMENTS {
            return Err(ListError::TooMany);
        }
        let read = |(at, entry): (usize, Entry)| {
            let bytes = B64.decode(&entry.fingerprints).map_err(|_| ListError::Fingerprints(at))?;
            let (whole, rest) = bytes.as_chunks::<WIDTH>();
            if whole.is_empty() || !rest.is_empty() {
                return Err(ListError::Fingerprints(at));
            }
            let fingerprints = whole.iter().map(|eight| u64::from_le_bytes(*eight)).collect();
            Ok(Document { name: entry.name, fingerprints })
        };
        let documents = file.documents.into_iter().enumerate().map(read).collect::<Result<_, _>>()?;
        let list = Protected { salt: file.salt, documents };
        list.check()?;
        Ok(list)
    }

    fn check(&self) -> Result<(), ListError> {
        let mut names = std::collections::HashSet::new();
        for (at, Document { name, .. }) in self.documents.iter().enumerate() {
            if !(1..=MAX_NAME).contains(&name.len()) || !names.insert(name.as_str()) {
                return Err(ListError::Name(at));
            }
        }
        if self.documents.len() > MAX_DOCUMENTS { Err(ListError::TooMany) } else { Ok(()) }
    }

    /// As [`Protected::parse`] reads it.
    pub fn write(&self) -> String {
        let entry = |document: &Document| {
            let bytes: Vec<u8> = document.fingerprints.iter().flat_map(|one| one.to_le_bytes()).collect();
            serde_json::json!({ "name": document.name, "fingerprints": B64.encode(bytes) })
        };
        let documents: Vec<_> = self.documents.iter().map(entry).collect();
        serde_json::json!({ "salt": hex::encode(self.salt), "documents": documents }).to_string()
    }

    /// Makes fingerprints that can be looked up here.
    pub fn key(&self) -> Key {
        Key::new(&self.salt)
    }

    /// The documents, in order: their numbers are their places.
    pub fn documents(&self) -> &[Document] {
        &self.documents
    }
}

/// Some messages quote what they were given; so much of them is enough.
fn shortened(message: &str) -> String {
    message.chars().take(240).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_holds_no_text() {
        let text = "Strictly for the board: the works at Eisenach will be sold before the end of the year.";
        let mut list = Protected::new([9; 32]);
        assert_eq!(list.add("a", "short"), Err(ListError::Short("a".into())));
        assert!(list.add("board/works.txt", text).unwrap() > 1);
        let written = list.write();
        assert_eq!(Protected::parse(&written), Ok(list.clone()));
        assert!(!written.contains("Eisenach"));
        assert_eq!(list.add("board/works.txt", text), Err(ListError::Name(1)));
    }

    #[test]
    fn what_is_not_of_this_form_is_refused() {
        let salt = "00".repeat(32);
        let with =
            |documents: &str| Protected::parse(&format!("{{\"salt\":\"{salt}\",\"documents\":{documents}}}"));
        assert!(with("[]").unwrap().documents().is_empty());
        assert!(matches!(Protected::parse("{}"), Err(ListError::Syntax(_))));
        for bad in ["", "AAAA", "AAAAAAAAAAA=", "!"] {
            let documents = format!("[{{\"name\":\"a\",\"fingerprints\":\"{bad}\"}}]");
            assert_eq!(with(&documents), Err(ListError::Fingerprints(0)), "{bad}");
        }
        let nameless = "[{\"name\":\"\",\"fingerprints\":\"AAAAAAAAAAA\"}]";
        assert_eq!(with(nameless), Err(ListError::Name(0)));
    }
}

//! Makes, signs, publishes, judges and loads reference values: what `adyton policy` and `--reference` do.
//!
//! Reading order: [`draft`] (a payload from a build), [`publish`] (the log of releases), [`load`] (what a relying party does
//! with a file), [`lint`] (what a publisher should know before he signs).
//!
//! # Promises
//! - A file is replaced whole or not at all.
//!
//! # Does not
//! - Judge signatures, versions or logs itself: `adyton_attestation::reference` does.
//!
//! # Trusts
//! - The clock and the files of the machine that it runs on.

pub mod draft;
pub mod lint;
pub mod load;
pub mod publish;

use adyton_attestation::reference::{FileError, MAX_FILE, Payload, ReferenceFile, ReferenceValues};
use serde::de::IgnoredAny;
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Which form of reference values a file has. A file that is none of them is taken for unsigned values, whose reader then
/// says what is wrong.
#[derive(Clone, Debug)]
pub enum Form {
    /// Unsigned reference values.
    Plain,
    /// What gets signed.
    Payload,
    /// The signed file.
    Signed,
}

impl Form {
    /// By the keys that only one form has.
    pub fn of(bytes: &[u8]) -> Form {
        let keys: HashMap<String, IgnoredAny> = serde_json::from_slice(bytes).unwrap_or_default();
        if keys.contains_key("signatures") || keys.contains_key("payload") {
            Form::Signed
        } else if keys.contains_key("signers") || keys.contains_key("version") {
            Form::Payload
        } else {
            Form::Plain
        }
    }
}

/// A file of reference values, read and not verified.
#[derive(Clone, Debug)]
pub enum Document {
    /// Unsigned reference values.
    Plain(ReferenceValues),
    /// What gets signed.
    Payload(Payload),
    /// The signed file.
    Signed(ReferenceFile),
}

impl Document {
    /// Reads whichever form it is.
    ///
    /// # Errors
    /// Why it is not readable.
    pub fn parse(bytes: &[u8]) -> Result<Document, FileError> {
        Ok(match Form::of(bytes) {
            Form::Plain => Document::Plain(ReferenceValues::from_json(bytes)?),
            Form::Payload => Document::Payload(Payload::parse(bytes)?),
            Form::Signed => Document::Signed(ReferenceFile::parse(bytes)?),
        })
    }

    /// What it says, if it has a version.
    pub fn payload(&self) -> Option<&Payload> {
        match self {
            Document::Plain(_) => None,
            Document::Payload(payload) => Some(payload),
            Document::Signed(file) => Some(file.payload()),
        }
    }
}

/// Reads a file of at most a little more than the largest that is accepted; a longer one is refused by whoever reads on.
///
/// # Errors
/// What the operating system says.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_FILE as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

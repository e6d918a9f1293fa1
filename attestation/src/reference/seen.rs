//! Remembers, for each name of reference values, the version seen last, who may sign the next, and the log's size.
//!
//! # Promises
//! - What is written is read back the same; anything else is refused, never taken for "nothing seen".
//! - A [`Seen`] is made by verifying a file, or read from what the caller kept.
//!
//! # Does not
//! - Keep the file; the caller does, where nobody else may write.
//!
//! # Trusts
//! - Whoever can write the caller's own file.

use serde::Serialize;

use super::ReferenceError;
use super::log::at_most;
use super::payload::{PayloadError, read_log_key};
use super::read::{self, Node};
use super::signers::Signers;
use crate::transparency::{Checkpoint, Hash, LogKey};

/// Most names that are remembered.
const MAX_NAMES: usize = 256;

/// Largest record: 256 names with three full sets of signers each are below it.
const MAX_RECORD: usize = 2 * 1024 * 1024;

/// Why what was seen cannot be read or kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SeenError {
    /// Too long.
    #[error("the record of versions seen is longer than 2 MiB; check that it is the right file")]
    TooLarge,
    /// Not the JSON that we write.
    #[error("the record of versions seen: {0}")]
    Record(#[from] PayloadError),
    /// A name more than fits.
    #[error("the record holds 256 names, the most that are kept; use another file for this one")]
    Full,
}

impl From<ReferenceError> for SeenError {
    fn from(error: ReferenceError) -> Self {
        Self::Record(error.into())
    }
}

/// What was seen last under one name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Seen {
    pub(super) name: String,
    pub(super) version: u64,
    #[serde(serialize_with = "hex::serialize")]
    pub(super) payload_sha256: Hash,
    /// What the relying party had pinned. Under other pins the chain of signers begins anew.
    pub(super) pinned: Signers,
    /// Who had to sign this version.
    pub(super) authority: Signers,
    /// Who may sign the next.
    pub(super) next: Signers,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) log: Option<SeenLog>,
}

/// The log, as it was seen last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SeenLog {
    #[serde(flatten)]
    pub(super) key: LogKey,
    pub(super) size: u64,
    #[serde(serialize_with = "hex::serialize")]
    pub(super) root: Hash,
}

impl Seen {
    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The version seen last.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Who may sign the next version.
    pub fn next(&self) -> &Signers {
        &self.next
    }

    /// How many leaves the log had, if there is one.
    pub fn log_size(&self) -> Option<u64> {
        self.log.as_ref().map(|log| log.size)
    }

    fn read(node: &Node<'_>) -> Result<Self, PayloadError> {
        let fields =
            node.fields(&["name", "version", "payload_sha256", "pinned", "authority", "next", "log"])?;
        Ok(Self {
            name: fields.get("name")?.text()?.to_owned(),
            version: fields.get("version")?.number()?,
            payload_sha256: fields.get("payload_sha256")?.hex()?,
            pinned: Signers::read(&fields.get("pinned")?)??,
            authority: Signers::read(&fields.get("authority")?)??,
            next: Signers::read(&fields.get("next")?)??,
            log: fields.maybe("log").map(|node| SeenLog::read(&node)).transpose()?,
        })
    }
}

impl SeenLog {
    fn read(node: &Node<'_>) -> Result<Self, PayloadError> {
        let fields = node.fields(&["origin", "ed25519", "size", "root"])?;
        Ok(Self {
            key: read_log_key(&fields)?,
            size: fields.get("size")?.number()?,
            root: fields.get("root")?.hex()?,
        })
    }

    pub(super) fn checkpoint(&self) -> Checkpoint {
        Checkpoint { size: self.size, root: self.root }
    }
}

/// All that was seen, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Record {
    seen: Vec<Seen>,
}

impl Record {
    /// From the JSON that [`Self::to_json`] wrote.
    pub fn parse(bytes: &[u8]) -> Result<Self, SeenError> {
        if bytes.len() > MAX_RECORD {
            return Err(SeenError::TooLarge);
        }
        let json = read::parse(bytes)?;
        let mut record = Self::default();
        for node in at_most(&Node::root(&json).fields(&["seen"])?.get("seen")?, MAX_NAMES)? {
            let seen = Seen::read(&node)?;
            if record.get(&seen.name).is_some() {
                return Err(ReferenceError::Twice { at: node.at().to_owned() }.into());
            }
            record.seen.push(seen);
        }
        Ok(record)
    }

    /// As JSON.
    pub fn to_json(&self) -> String {
        // Only a map with keys that are not text, or a failing `Serialize`, could fail; this type has neither.
        serde_json::to_string_pretty(self).unwrap_or_default()
    }

    /// What was seen under a name.
    pub fn get(&self, name: &str) -> Option<&Seen> {
        self.seen.iter().find(|seen| seen.name == name)
    }

    /// Remembers, in place of what was seen before under the same name.
    pub fn put(&mut self, seen: Seen) -> Result<(), SeenError> {
        if let Some(old) = self.seen.iter_mut().find(|old| old.name == seen.name) {
            *old = seen;
            return Ok(());
        }
        if self.seen.len() >= MAX_NAMES {
            return Err(SeenError::Full);
        }
        self.seen.push(seen);
        Ok(())
    }
}

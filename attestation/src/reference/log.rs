//! Shows that a payload is in the log that it names, and that the log only grew since a client last looked.
//!
//! The leaf of a payload, with `lp(x)` = length of x as four bytes big-endian, then x:
//!
//! ```text
//! lp("adyton/reference-leaf/v1") || lp(name) || lp(version as eight bytes big-endian) || lp(SHA-256 of the payload)
//! ```
//!
//! # Promises
//! - A proof counts only under a checkpoint whose signature was verified.
//! - A log that shows another root for a size that was seen, fewer leaves, or no proof that it kept those that were seen,
//!   is refused, each with its reason.
//!
//! # Does not
//! - Ask others what the log shows them; `adyton policy inspect --against` compares two files.
//!
//! # Trusts
//! - The log's key, which the signed payload names.

use serde::{Serialize, Serializer};

use super::ReferenceError;
use super::payload::Payload;
use super::read::Node;
use crate::binding::length_prefixed;
use crate::transparency::tree::{MAX_PROOF, leaf_hash, verify_inclusion};
use crate::transparency::{Checkpoint, CheckpointRefusal, Forked, Grown, Hash, LogKey, TreeRefusal};
use crate::transparency::{checkpoint, grown};

/// Domain separation: no other leaf of ours begins with this.
const LEAF_DOMAIN: &[u8] = b"adyton/reference-leaf/v1";

/// From how many earlier sizes a file shows growth. A client that missed more publications has to start anew.
pub const MAX_GROWTHS: usize = 256;

/// Why a file's log does not show what it must.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LogRefusal {
    /// The payload names a log, the file shows none.
    #[error("the file names a log and carries no proof that it is in it; get the file that was published")]
    Absent,
    /// The file shows a log, the payload names none.
    #[error(
        "the file carries proofs of a log that its payload does not name; get the file that was published"
    )]
    Unnamed,
    /// The checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointRefusal),
    /// Not in the log.
    #[error("the file is not shown to be in its log: {0}")]
    NotIncluded(TreeRefusal),
    /// The log contradicts what was seen.
    #[error(transparent)]
    Forked(#[from] Forked),
    /// No proof from the size that was seen.
    #[error(
        "the file does not show that the log kept the {before} leaves seen before; get the file as it was published last, or \
         compare by hand with `adyton policy inspect --against`"
    )]
    NoGrowthProof {
        /// Leaves seen before.
        before: u64,
    },
}

/// The file's `log` member: where its payload is in the log, and how the log grew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LogProof {
    /// The signed checkpoint, as text.
    pub checkpoint: String,
    /// The payload's leaf, from 0.
    pub index: u64,
    /// Its proof of inclusion.
    #[serde(serialize_with = "hex_list")]
    pub inclusion: Vec<Hash>,
    /// Growth from earlier sizes.
    pub consistency: Vec<Growth>,
}

/// That the log kept its first `from` leaves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Growth {
    /// The earlier size.
    pub from: u64,
    /// The proof of consistency.
    #[serde(serialize_with = "hex_list")]
    pub proof: Vec<Hash>,
}

fn hex_list<S: Serializer>(hashes: &[Hash], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(hashes.iter().map(hex::encode))
}

/// The leaf of a payload with this SHA-256.
pub fn leaf(name: &str, version: u64, payload_sha256: &Hash) -> Vec<u8> {
    length_prefixed(&[LEAF_DOMAIN, name.as_bytes(), &version.to_be_bytes(), payload_sha256])
}

impl LogProof {
    pub(super) fn read(node: &Node<'_>) -> Result<Self, ReferenceError> {
        let fields = node.fields(&["checkpoint", "index", "inclusion", "consistency"])?;
        Ok(Self {
            checkpoint: fields.get("checkpoint")?.text()?.to_owned(),
            index: fields.get("index")?.number()?,
            inclusion: hashes(&fields.get("inclusion")?)?,
            consistency: at_most(&fields.get("consistency")?, MAX_GROWTHS)?
                .iter()
                .map(growth)
                .collect::<Result<_, _>>()?,
        })
    }

    /// Verifies the checkpoint, and that the payload is in the log.
    pub(super) fn verify(
        &self,
        log: &LogKey,
        payload: &Payload,
        sha256: &Hash,
    ) -> Result<Checkpoint, LogRefusal> {
        let checkpoint = *checkpoint::verify(&self.checkpoint, log)?.checkpoint();
        let leaf = leaf_hash(&leaf(&payload.name, payload.version, sha256));
        verify_inclusion(&leaf, self.index, checkpoint.size, &self.inclusion, &checkpoint.root)
            .map_err(LogRefusal::NotIncluded)?;
        Ok(checkpoint)
    }

    /// Whether the log of this verified checkpoint kept what was seen before.
    pub(super) fn follows(&self, before: &Checkpoint, now: &Checkpoint) -> Result<Grown, LogRefusal> {
        if now.size <= before.size {
            return Ok(grown(before, now, &[])?);
        }
        let growth = self.consistency.iter().find(|growth| growth.from == before.size);
        let growth = growth.ok_or(LogRefusal::NoGrowthProof { before: before.size })?;
        Ok(grown(before, now, &growth.proof)?)
    }
}

fn growth(node: &Node<'_>) -> Result<Growth, ReferenceError> {
    let fields = node.fields(&["from", "proof"])?;
    Ok(Growth { from: fields.get("from")?.number()?, proof: hashes(&fields.get("proof")?)? })
}

fn hashes(node: &Node<'_>) -> Result<Vec<Hash>, ReferenceError> {
    at_most(node, MAX_PROOF)?.iter().map(|hash| hash.hex()).collect()
}

/// The entries of a list that may not have more than `most`.
pub(super) fn at_most<'a>(node: &Node<'a>, most: usize) -> Result<Vec<Node<'a>>, ReferenceError> {
    let entries: Vec<Node<'a>> = node.list()?.take(most.saturating_add(1)).collect();
    if entries.len() > most {
        return Err(ReferenceError::TooMany { at: node.at().to_owned(), most });
    }
    Ok(entries)
}

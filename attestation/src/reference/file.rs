//! Reads and writes the signed file: a payload byte for byte, signatures over those bytes, and a log's proofs.
//!
//! The JSON, in which unknown keys are refused and `log` may be absent:
//!
//! ```json
//! { "payload": "<base64 of the payload's bytes>",
//!   "signatures": [ { "ed25519": "<64 hex>", "signature": "<128 hex>" } ],
//!   "log": { "checkpoint": "..", "index": 0, "inclusion": [], "consistency": [ { "from": 1, "proof": [] } ] } }
//! ```
//!
//! What is signed, with `lp(x)` = length of x as four bytes big-endian, then x: `lp("adyton/reference/v1") || lp(payload)`.
//!
//! # Promises
//! - The bytes that are signed are the bytes that are read; no JSON is written anew before it is verified.
//!
//! # Does not
//! - Say that a file is good: a [`ReferenceFile`] is an allegation. [`ReferenceFile::verify`] judges it.
//!
//! # Trusts
//! - Nobody.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::json;

use super::ReferenceError;
use super::log::{LogProof, at_most};
use super::payload::{Payload, PayloadError};
use super::read::{self, Node};
use super::signers::{MAX_SIGNERS, Signature};
use crate::binding::length_prefixed;
use crate::ed25519::{PublicKey, Signer};
use crate::measurement::sha256;
use crate::transparency::Hash;

/// Domain separation: no other signature of ours is over this.
const DOMAIN: &[u8] = b"adyton/reference/v1";

/// Largest file: the largest payload in base64 is 342 KiB, and 256 proofs from a log of a million leaves 360 KiB.
pub const MAX_FILE: usize = 1024 * 1024;

/// Why bytes are no signed file of reference values.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// Too long.
    #[error("the file is longer than 1 MiB; check that it is the right one")]
    TooLarge,
    /// The envelope.
    #[error("the signed file: {0}")]
    Envelope(#[from] ReferenceError),
    /// The payload is not base64.
    #[error("the signed file's payload is not base64; get the file again")]
    NotBase64,
    /// The payload.
    #[error("the signed file's payload: {0}")]
    Payload(#[from] PayloadError),
    /// One more signature than fits.
    #[error("the file has 16 signatures, the most that are read; take one out first")]
    Full,
}

/// A signed file, parsed and not verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReferenceFile {
    bytes: Vec<u8>,
    payload: Payload,
    signatures: Vec<Signature>,
    log: Option<LogProof>,
}

impl ReferenceFile {
    /// From JSON, strictly.
    pub fn parse(bytes: &[u8]) -> Result<Self, FileError> {
        if bytes.len() > MAX_FILE {
            return Err(FileError::TooLarge);
        }
        let json = read::parse(bytes)?;
        let fields = Node::root(&json).fields(&["payload", "signatures", "log"])?;
        let payload = STANDARD.decode(fields.get("payload")?.text()?).map_err(|_| FileError::NotBase64)?;
        let mut file = Self::unsigned(&payload)?;
        for node in at_most(&fields.get("signatures")?, MAX_SIGNERS)? {
            let signature = read_signature(&node)?;
            if file.signatures.iter().any(|other| other.key == signature.key) {
                return Err(ReferenceError::Twice { at: node.at().to_owned() }.into());
            }
            file.signatures.push(signature);
        }
        file.log = fields.maybe("log").map(|node| LogProof::read(&node)).transpose()?;
        Ok(file)
    }

    /// Around these exact bytes of a payload, with no signature.
    pub fn unsigned(payload: &[u8]) -> Result<Self, FileError> {
        let read = Payload::parse(payload)?;
        Ok(Self { bytes: payload.to_vec(), payload: read, signatures: Vec::new(), log: None })
    }

    /// Adds a signature, in place of an earlier one by the same key.
    pub fn sign(&mut self, signer: &Signer) -> Result<(), FileError> {
        let key = signer.public();
        self.signatures.retain(|other| other.key != key);
        if self.signatures.len() >= MAX_SIGNERS {
            return Err(FileError::Full);
        }
        self.signatures.push(Signature { key, signature: signer.sign(&self.message()) });
        Ok(())
    }

    /// Puts in the log's proofs.
    pub fn set_log(&mut self, log: LogProof) {
        self.log = Some(log);
    }

    /// As JSON that [`Self::parse`] reads.
    pub fn to_json(&self) -> String {
        let signatures: Vec<_> = self
            .signatures
            .iter()
            .map(|one| json!({ "ed25519": one.key, "signature": hex::encode(one.signature) }))
            .collect();
        let mut file = json!({ "payload": STANDARD.encode(&self.bytes), "signatures": signatures });
        if let (Some(log), Some(map)) = (&self.log, file.as_object_mut()) {
            map.insert("log".to_owned(), json!(log));
        }
        format!("{file:#}\n")
    }

    /// What it says. Nothing of it was verified.
    pub fn payload(&self) -> &Payload {
        &self.payload
    }

    /// The payload's bytes.
    pub fn payload_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// SHA-256 of the payload's bytes, by which a log knows it.
    pub fn payload_sha256(&self) -> Hash {
        sha256(&[&self.bytes])
    }

    /// The signatures, not verified.
    pub fn signatures(&self) -> &[Signature] {
        &self.signatures
    }

    /// The keys whose signatures verify. This does not say that any of them may sign.
    pub fn signed_by(&self) -> Vec<PublicKey> {
        let message = self.message();
        let good = |one: &&Signature| one.key.verifies(&message, &one.signature);
        self.signatures.iter().filter(good).map(|one| one.key).collect()
    }

    /// The log's proofs, not verified.
    pub fn log(&self) -> Option<&LogProof> {
        self.log.as_ref()
    }

    /// What each signature is over.
    pub(super) fn message(&self) -> Vec<u8> {
        length_prefixed(&[DOMAIN, &self.bytes])
    }
}

fn read_signature(node: &Node<'_>) -> Result<Signature, ReferenceError> {
    let fields = node.fields(&["ed25519", "signature"])?;
    Ok(Signature { key: fields.get("ed25519")?.public_key()?, signature: fields.get("signature")?.hex()? })
}

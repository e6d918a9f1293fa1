//! Encodes what a receipt says, in one way only.
//!
//! # Promises
//! - `decode(encode(x)) == x`, and bytes that are not `encode(x)` for some `x` are refused.
//!
//! # Does not
//! - Sign.
//!
//! # Trusts
//! - Nobody: decoding is bounded and strict even though a signature is checked before.
//!
//! Source: RFC 8949, section 4.2 (deterministic encoding); map keys are small integers in ascending order.

use serde::{Deserialize, Serialize};

use crate::cbor::{CborError, Fields, Form, Item, Writer, decode};
use crate::time::Timestamp;

/// Domain separation, and the version of the format.
const DOMAIN: &str = "adyton/receipt/v1";

/// The same, of a receipt that names its entry in the audit log.
const DOMAIN_LOGGED: &str = "adyton/receipt/v2";

/// Most verdicts of one receipt: four stages with a dozen detectors each, and room.
pub const MAX_VERDICTS: usize = 64;

/// Longest name of a stage or word of a verdict, in bytes.
pub const MAX_WORD: usize = 64;

/// Entries of the map.
const ENTRIES: u64 = 15;

/// Entries of the map of a receipt that names its entry in the audit log.
const ENTRIES_LOGGED: u64 = 17;

/// Whether the answer was sent to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// All of it was sent.
    Complete,
    /// It was cut off: by the client, a limit or the sentinel.
    Cut,
}

/// What a receipt says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceiptBody {
    /// Chosen at random when the enclave started; sequences count within it.
    pub boot: [u8; 16],
    /// Counts the receipts of this boot, without gaps.
    pub sequence: u64,
    /// By the enclave's clock.
    pub issued_at: Timestamp,
    /// [`super::commit_request`].
    pub request: [u8; 32],
    /// [`super::ResponseChain::finish`].
    pub response: [u8; 32],
    /// Chunks of the response.
    pub chunks: u64,
    /// Bytes of all chunks together.
    pub response_bytes: u64,
    /// SHA-256 of the weights.
    pub weights: [u8; 32],
    /// SHA-384 of the release manifest.
    pub manifest: [u8; 48],
    /// SHA-256 of the policy in force.
    pub policy: [u8; 32],
    /// Pseudonym of the principal.
    pub principal: [u8; 32],
    /// Stage and word of each verdict, as ("input", "pass").
    pub verdicts: Vec<(String, String)>,
    /// Whether the answer was sent to its end.
    pub status: Status,
    /// Whether the enclave is a simulation.
    pub simulated: bool,
    /// Where the audit log has it. None in receipts of version 1.
    pub logged: Option<Logged>,
}

/// A receipt's place in the audit log of its boot, see [`crate::audit`]: in effect a checkpoint, signed with the receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Logged {
    /// The index of its entry.
    pub index: u64,
    /// The root of the log's first `index + 1` entries, this one being the last of them.
    pub root: [u8; 32],
}

/// Why a payload is not a receipt's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BodyError {
    /// Not the CBOR that a receipt is.
    #[error(transparent)]
    Cbor(#[from] CborError),
    /// The first field names another format.
    #[error(
        "the payload is no receipt of version 1 or 2; it was made for something else, or this program is too old"
    )]
    Domain,
    /// The status is neither complete nor cut.
    #[error("the receipt's status is unknown; discard it, or update this program")]
    Status,
    /// More verdicts or longer words than allowed.
    #[error("the receipt has more than 64 verdicts, or a word longer than 64 bytes; discard it")]
    Limits,
    /// The same content in another encoding.
    #[error("the receipt is not in its one encoding; it was written by another program, discard it")]
    NotDeterministic,
}

impl ReceiptBody {
    pub(super) fn within_limits(&self) -> bool {
        let fits = |(stage, word): &(String, String)| stage.len() <= MAX_WORD && word.len() <= MAX_WORD;
        self.verdicts.len() <= MAX_VERDICTS && self.verdicts.iter().all(fits)
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let (entries, domain) = match self.logged {
            None => (ENTRIES, DOMAIN),
            Some(_) => (ENTRIES_LOGGED, DOMAIN_LOGGED),
        };
        let mut writer = Writer::new();
        writer
            .map(entries)
            .unsigned(0)
            .text(domain)
            .unsigned(1)
            .bytes(&self.boot)
            .unsigned(2)
            .unsigned(self.sequence);
        writer.unsigned(3).unsigned(self.issued_at.as_millis());
        writer.unsigned(4).bytes(&self.request).unsigned(5).bytes(&self.response);
        writer.unsigned(6).unsigned(self.chunks).unsigned(7).unsigned(self.response_bytes);
        writer.unsigned(8).bytes(&self.weights).unsigned(9).bytes(&self.manifest);
        writer.unsigned(10).bytes(&self.policy).unsigned(11).bytes(&self.principal);
        writer.unsigned(12).array(self.verdicts.len() as u64);
        for (stage, word) in &self.verdicts {
            writer.array(2).text(stage).text(word);
        }
        writer.unsigned(13).unsigned(match self.status {
            Status::Complete => 0,
            Status::Cut => 1,
        });
        writer.unsigned(14).boolean(self.simulated);
        if let Some(Logged { index, root }) = &self.logged {
            writer.unsigned(15).unsigned(*index).unsigned(16).bytes(root);
        }
        writer.into_bytes()
    }

    pub(super) fn decode(payload: &[u8]) -> Result<Self, BodyError> {
        let mut fields = decode(payload, Form::Definite)?.fields("receipt")?;
        let logged = match fields.take_number(0, "domain")?.text("domain")?.as_str() {
            DOMAIN => false,
            DOMAIN_LOGGED => true,
            _ => return Err(BodyError::Domain),
        };
        let mut body = Self::from_fields(&mut fields)?;
        if logged {
            // One that lacks what version 2 added is of neither version; the corpus has such a one.
            let index = fields.take_number(15, "index").map_err(|_| BodyError::Domain)?.unsigned("index")?;
            body.logged = Some(Logged { index, root: fields.take_number(16, "root")?.array("root")? });
        }
        fields.finish()?;
        if !body.within_limits() {
            return Err(BodyError::Limits);
        }
        if body.encode() == payload { Ok(body) } else { Err(BodyError::NotDeterministic) }
    }

    fn from_fields(fields: &mut Fields) -> Result<Self, BodyError> {
        Ok(Self {
            boot: fields.take_number(1, "boot")?.array("boot")?,
            sequence: fields.take_number(2, "sequence")?.unsigned("sequence")?,
            issued_at: Timestamp::from_millis(fields.take_number(3, "issued_at")?.unsigned("issued_at")?),
            request: fields.take_number(4, "request")?.array("request")?,
            response: fields.take_number(5, "response")?.array("response")?,
            chunks: fields.take_number(6, "chunks")?.unsigned("chunks")?,
            response_bytes: fields.take_number(7, "response_bytes")?.unsigned("response_bytes")?,
            weights: fields.take_number(8, "weights")?.array("weights")?,
            manifest: fields.take_number(9, "manifest")?.array("manifest")?,
            policy: fields.take_number(10, "policy")?.array("policy")?,
            principal: fields.take_number(11, "principal")?.array("principal")?,
            verdicts: verdicts(fields.take_number(12, "verdicts")?)?,
            status: status(fields.take_number(13, "status")?)?,
            simulated: fields.take_number(14, "simulated")?.boolean("simulated")?,
            logged: None,
        })
    }
}

fn verdicts(item: Item) -> Result<Vec<(String, String)>, BodyError> {
    let read = |item: Item| {
        let mut words = item.items("verdict")?.into_iter();
        match (words.next(), words.next(), words.next()) {
            (Some(stage), Some(word), None) => Ok((stage.text("stage")?, word.text("verdict")?)),
            _ => Err(CborError::WrongType { field: "verdict", wanted: "a pair" }.into()),
        }
    };
    item.items("verdicts")?.into_iter().map(read).collect()
}

fn status(item: Item) -> Result<Status, BodyError> {
    match item.unsigned("status")? {
        0 => Ok(Status::Complete),
        1 => Ok(Status::Cut),
        _ => Err(BodyError::Status),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) fn sample() -> ReceiptBody {
        ReceiptBody {
            boot: [1; 16],
            sequence: 7,
            issued_at: Timestamp::from_secs(1_793_701_230),
            request: [2; 32],
            response: [3; 32],
            chunks: 4,
            response_bytes: 400,
            weights: [5; 32],
            manifest: [6; 48],
            policy: [7; 32],
            principal: [8; 32],
            verdicts: vec![("input".into(), "pass".into()), ("output".into(), "redact".into())],
            status: Status::Complete,
            simulated: true,
            logged: None,
        }
    }

    #[test]
    fn a_receipt_of_version_2_names_its_entry_and_version_1_cannot() {
        let logged = Some(Logged { index: 300, root: [9; 32] });
        let body = ReceiptBody { logged, ..sample() };
        let bytes = body.encode();
        assert_eq!(ReceiptBody::decode(&bytes), Ok(body));
        let with_version = |bytes: &[u8], version: u8| {
            let mut bytes = bytes.to_vec();
            bytes[2 + DOMAIN.len()] = version;
            ReceiptBody::decode(&bytes)
        };
        assert_eq!(with_version(&bytes, b'1'), Err(CborError::UnknownKey.into()));
        assert_eq!(with_version(&sample().encode(), b'2'), Err(BodyError::Domain));
        assert_eq!(with_version(&bytes, b'3'), Err(BodyError::Domain));
    }

    #[test]
    fn one_body_has_one_encoding() {
        let body = sample();
        let bytes = body.encode();
        assert_eq!(ReceiptBody::decode(&bytes), Ok(body.clone()));
        // The first two entries exchanged: the same map, another order.
        let mut swapped = vec![bytes[0]];
        let domain_end = 1 + 1 + 1 + DOMAIN.len();
        let boot_end = domain_end + 1 + 1 + 16;
        swapped.extend_from_slice(&bytes[domain_end..boot_end]);
        swapped.extend_from_slice(&bytes[1..domain_end]);
        swapped.extend_from_slice(&bytes[boot_end..]);
        assert_eq!(ReceiptBody::decode(&swapped), Err(BodyError::NotDeterministic));
        let text = bytes.iter().position(|byte| *byte == b'1').unwrap();
        let mut other = bytes.clone();
        other[text] = b'3';
        assert_eq!(ReceiptBody::decode(&other), Err(BodyError::Domain));
        let mut status = bytes.clone();
        let at = status.len() - 3;
        status[at] = 2;
        assert_eq!(ReceiptBody::decode(&status), Err(BodyError::Status));
    }
}

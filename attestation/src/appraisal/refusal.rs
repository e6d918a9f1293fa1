//! Says why a document was refused, one variant for each reason.
//!
//! # Promises
//! - Each message says what happened and what to do about it.
//! - A wrong clock is told apart from an expired certificate.
//!
//! # Does not
//! - Carry bytes of the document other than numbers and measurements.
//!
//! # Trusts
//! - Nobody.

use crate::cbor::CborError;
use crate::endorsement::EndorsementError;
use crate::evidence::{EvidenceError, FieldError};
use crate::measurement::Measurement;
use crate::time::Timestamp;

pub use crate::cose::EnvelopeError;
pub use crate::x509::CertificateError;

/// Why a document was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// More than 16 KiB.
    #[error("the document has {size} bytes, more than the 16384 allowed; discard it")]
    TooLarge {
        /// Bytes offered.
        size: usize,
    },
    /// Not the COSE_Sign1 that the module writes.
    #[error(transparent)]
    Envelope(EnvelopeError),
    /// The payload is not acceptable CBOR.
    #[error(transparent)]
    Payload(CborError),
    /// A field is missing, malformed or beyond its limit.
    #[error(transparent)]
    Fields(FieldError),
    /// The first certificate of the bundle is not the pinned root.
    #[error(
        "the document does not lead to the pinned root; it comes from a simulator or a forger, or you verify with the \
         wrong trust anchor"
    )]
    Root,
    /// A certificate is not one of the Nitro PKI, or not in its place.
    #[error("certificate {position} of the chain is refused: {problem}; discard the document")]
    Certificate {
        /// 0 is the root; the leaf comes last.
        position: usize,
        /// What is wrong.
        problem: CertificateError,
    },
    /// A certificate is not valid yet at the verifier's clock.
    #[error(
        "certificate {position} is valid only from {not_before}, {ahead_secs} s after this computer's clock; that clock \
         is probably behind, set it right and try again"
    )]
    NotYetValid {
        /// 0 is the root; the leaf comes last.
        position: usize,
        /// Start of its validity.
        not_before: Timestamp,
        /// How many seconds that is after the verifier's clock.
        ahead_secs: u64,
    },
    /// A certificate has expired at the verifier's clock, and nothing speaks for a wrong clock.
    #[error("certificate {position} expired at {not_after}; ask the enclave for a fresh document")]
    Expired {
        /// 0 is the root; the leaf comes last.
        position: usize,
        /// End of its validity.
        not_after: Timestamp,
    },
    /// A certificate has expired although the document carries the nonce that was just sent.
    #[error(
        "certificate {position} expired at {not_after}, {behind_secs} s before this computer's clock, yet the document \
         answers the nonce just sent; that clock is probably ahead, set it right and try again"
    )]
    ClockAhead {
        /// 0 is the root; the leaf comes last.
        position: usize,
        /// End of its validity.
        not_after: Timestamp,
        /// How many seconds that is before the verifier's clock.
        behind_secs: u64,
    },
    /// The document's own signature.
    #[error(
        "the document's signature does not verify under its leaf certificate; it was altered, discard it"
    )]
    Signature,
    /// The document's time lies outside its leaf's validity.
    #[error("the document says {timestamp}, when its own leaf certificate was not valid; discard it")]
    TimestampOutsideLeaf {
        /// The document's time.
        timestamp: Timestamp,
    },
    /// Older than the caller accepts.
    #[error("the document is {age_secs} s old, more than the {max_age_secs} s accepted; ask for a fresh one")]
    Stale {
        /// Its age.
        age_secs: u64,
        /// The caller's limit.
        max_age_secs: u64,
    },
    /// From the verifier's future, beyond the leeway.
    #[error(
        "the document was made {ahead_secs} s after this computer's clock; that clock is probably behind, set it right \
         and try again"
    )]
    FromTheFuture {
        /// How many seconds.
        ahead_secs: u64,
    },
    /// PCR0, 1 or 2 is all zero.
    #[error(
        "pcr{index} is all zero: the enclave runs in debug mode and its host can read its memory; do not talk to it"
    )]
    Debug {
        /// 0, 1 or 2.
        index: u8,
    },
    /// PCR0, 1 or 2 is not in the document.
    #[error("the document does not list pcr{index}, so it does not say which image runs; do not talk to it")]
    ImageMissing {
        /// 0, 1 or 2.
        index: u8,
    },
    /// No accepted image has these PCR0, 1 and 2 together.
    #[error(
        "the enclave runs an image that the reference values do not list; compare the release, or update them"
    )]
    Image,
    /// The register that the owner pin needs is missing or all zero.
    #[error(
        "the document says nothing in pcr{index}, so it does not show whose enclave it is; do not talk to it, or pin \
         something else"
    )]
    OwnerMissing {
        /// 3, 4 or 8.
        index: u8,
    },
    /// The register that the owner pin needs holds something else.
    #[error(
        "pcr{index} is not the one pinned: the image is accepted but it runs for somebody else; do not talk to it"
    )]
    Owner {
        /// 3, 4 or 8.
        index: u8,
    },
    /// The reference values name an operator, and nobody brought his endorsement.
    #[error(
        "no endorsement was given, and the reference values ask for one; ask the operator for the file and name it with \
         --endorsement"
    )]
    EndorsementMissing,
    /// The operator's endorsement does not hold for this enclave.
    #[error(transparent)]
    Endorsement(EndorsementError),
    /// PCR16 is missing or was never extended.
    #[error(
        "the document lists no locked, extended pcr16, so no release manifest was measured; do not talk to it"
    )]
    ManifestMissing,
    /// PCR16 is not among the accepted ones.
    #[error(
        "the enclave measured a release manifest ({seen}) that the reference values do not list; update them, or do not talk to it"
    )]
    Manifest {
        /// What PCR16 holds.
        seen: Measurement,
    },
    /// PCR16 is accepted, but the manifest of the session binding is another.
    #[error(
        "the manifest that the enclave showed is not the one that it measured in pcr16; do not talk to it"
    )]
    ManifestNotBound,
    /// The document has no nonce.
    #[error("the document carries no nonce, so it may be old; ask for one with yours")]
    NonceMissing,
    /// The document's nonce has another length than any that this program sends.
    #[error(
        "the document's nonce has {len} bytes and yours has 32; somebody else asked for it, do not talk to it"
    )]
    NonceLength {
        /// Its length.
        len: usize,
    },
    /// The document has another nonce.
    #[error("the document answers another nonce than yours; it was replayed, do not talk to it")]
    Nonce,
    /// The document has no user data.
    #[error("the document carries no session binding, so it may have been relayed; do not talk to it")]
    BindingMissing,
    /// The document is bound to this very connection, but speaks for the other end.
    #[error(
        "the document speaks for the other end of this connection; your own evidence was sent back to you, do not talk \
         to it"
    )]
    Reflected,
    /// The document is bound to something else.
    #[error(
        "the document is bound to another connection, certificate, role or manifest than yours; somebody stands in \
         between, do not talk to it"
    )]
    Binding,
    /// The document has no public key.
    #[error("the document carries no receipt key; the enclave runs an unknown program, do not talk to it")]
    ReceiptKeyMissing,
    /// The public key is not an Ed25519 SubjectPublicKeyInfo.
    #[error(
        "the document's public key is not an ed25519 receipt key; the enclave runs an unknown program, do not talk to it"
    )]
    ReceiptKey,
}

impl From<EvidenceError> for Refusal {
    fn from(error: EvidenceError) -> Self {
        match error {
            EvidenceError::TooLarge { size } => Self::TooLarge { size },
            EvidenceError::Envelope(error) => Self::Envelope(error),
            EvidenceError::Fields(error) => Self::Fields(error),
        }
    }
}

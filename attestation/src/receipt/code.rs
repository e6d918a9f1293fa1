//! Gives each reason for which a receipt is refused a code that programs can rely on.
//!
//! # Promises
//! - Every refusal has one code; codes of the document's refusals are those of [`crate::appraisal`].
//!
//! # Does not
//! - Carry details.
//!
//! # Trusts
//! - Nobody.

use super::{BodyError, BundleRefusal, ReceiptRefusal, SequenceRefusal};
use crate::cbor::CborError;
use crate::cose::EnvelopeError;

impl BundleRefusal {
    /// The reason, in one word that does not change.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Document(refusal) => refusal.code(),
            Self::Receipt(refusal) => receipt(refusal),
            Self::Manifest => "receipt-manifest",
            Self::Request => "receipt-request",
            Self::ChunkCount { .. } => "receipt-chunk-count",
            Self::ResponseBytes { .. } => "receipt-response-bytes",
            Self::Response => "receipt-response",
            Self::Cut => "receipt-cut",
            Self::IssuedBeforeEvidence { .. } => "receipt-before-evidence",
            Self::Simulated => "receipt-simulation",
            Self::Json { .. } => "bundle-unreadable",
        }
    }
}

impl SequenceRefusal {
    /// The reason, in one word that does not change.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Empty => "sequence-empty",
            Self::OtherBoot { .. } => "sequence-other-boot",
            Self::Repeat { .. } => "sequence-repeat",
            Self::BeforeFirst { .. } => "sequence-before-first",
            Self::Gap { .. } => "sequence-gap",
        }
    }
}

fn receipt(refusal: &ReceiptRefusal) -> &'static str {
    match refusal {
        ReceiptRefusal::TooLarge { .. } => "receipt-too-large",
        ReceiptRefusal::Envelope(error) => envelope(error),
        ReceiptRefusal::Key => "receipt-key-invalid",
        ReceiptRefusal::Signature => "receipt-signature",
        ReceiptRefusal::Body(BodyError::Cbor(error)) => body(error),
        ReceiptRefusal::Body(BodyError::Domain) => "receipt-domain",
        ReceiptRefusal::Body(BodyError::Status) => "receipt-status",
        ReceiptRefusal::Body(BodyError::Limits) => "receipt-limits",
        ReceiptRefusal::Body(BodyError::NotDeterministic) => "receipt-not-deterministic",
    }
}

fn envelope(error: &EnvelopeError) -> &'static str {
    match error {
        EnvelopeError::Truncated => "receipt-envelope-truncated",
        EnvelopeError::Tagged => "receipt-envelope-tagged",
        EnvelopeError::NotSign1 => "receipt-envelope-not-sign1",
        EnvelopeError::ProtectedHeader => "receipt-envelope-protected-header",
        EnvelopeError::UnprotectedHeader => "receipt-envelope-unprotected-header",
        EnvelopeError::Payload => "receipt-envelope-payload",
        EnvelopeError::SignatureLength => "receipt-envelope-signature-length",
        EnvelopeError::TrailingBytes => "receipt-envelope-trailing-bytes",
    }
}

fn body(error: &CborError) -> &'static str {
    match error {
        CborError::Missing { .. } => "receipt-field-missing",
        CborError::UnknownKey => "receipt-field-unknown",
        CborError::WrongType { .. } => "receipt-field-wrong-type",
        CborError::DuplicateKey => "receipt-field-duplicate",
        CborError::TrailingBytes { .. } => "receipt-payload-trailing-bytes",
        CborError::Truncated => "receipt-payload-truncated",
        CborError::NotShortest => "receipt-payload-not-shortest",
        CborError::IndefiniteLength => "receipt-payload-indefinite-length",
        CborError::Tag => "receipt-payload-tag",
        CborError::TooLarge { .. }
        | CborError::TooDeep
        | CborError::TooManyItems
        | CborError::SimpleValue
        | CborError::Reserved
        | CborError::KeyType
        | CborError::Undecodable => "receipt-payload-malformed",
    }
}

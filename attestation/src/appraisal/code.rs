//! Gives each refusal a code that programs can rely on, and a class for exit codes.
//!
//! The codes are part of the corpus (`docs/corpus.md`): one that was published is neither renamed nor reused.
//!
//! # Promises
//! - Every refusal has one code; a code names one reason.
//!
//! # Does not
//! - Carry details: those are in the refusal's own fields and words.
//!
//! # Trusts
//! - Nobody.

use serde::Serialize;

use super::Refusal;
use crate::cbor::CborError;
use crate::cose::EnvelopeError;
use crate::endorsement::EndorsementError;
use crate::evidence::FieldError;
use crate::x509::CertificateError;

/// What kind of thing is wrong, as a person would sort it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// The bytes are not a document of a Nitro Security Module.
    Form,
    /// Root, certificates or a signature: it does not come from where it says.
    Chain,
    /// A clock is wrong, or the document or a certificate is too old.
    Time,
    /// It is not the program that was expected, or the host can look into it.
    Measurement,
    /// It is the program that was expected, on somebody else's machine.
    Owner,
    /// It was made for another connection, another question or another role.
    Session,
}

impl Refusal {
    /// The kind of reason.
    pub fn class(&self) -> Class {
        match self {
            Self::TooLarge { .. } | Self::Envelope(_) | Self::Payload(_) | Self::Fields(_) => Class::Form,
            Self::Root | Self::Certificate { .. } | Self::Signature => Class::Chain,
            Self::NotYetValid { .. }
            | Self::Expired { .. }
            | Self::ClockAhead { .. }
            | Self::TimestampOutsideLeaf { .. }
            | Self::Stale { .. }
            | Self::FromTheFuture { .. } => Class::Time,
            Self::Debug { .. }
            | Self::ImageMissing { .. }
            | Self::Image
            | Self::ManifestMissing
            | Self::Manifest { .. }
            | Self::ManifestNotBound => Class::Measurement,
            Self::OwnerMissing { .. }
            | Self::Owner { .. }
            | Self::EndorsementMissing
            | Self::Endorsement(_) => Class::Owner,
            Self::NonceMissing
            | Self::NonceLength { .. }
            | Self::Nonce
            | Self::BindingMissing
            | Self::Reflected
            | Self::Binding
            | Self::ReceiptKeyMissing
            | Self::ReceiptKey => Class::Session,
        }
    }

    /// The reason, in one word that does not change.
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "document-too-large",
            Self::Envelope(error) => envelope(error),
            Self::Payload(error) => payload(error),
            Self::Fields(error) => field(error),
            Self::Root => "root-not-pinned",
            Self::Certificate { problem, .. } => certificate(problem),
            Self::NotYetValid { .. } => "certificate-not-yet-valid",
            Self::Expired { .. } => "certificate-expired",
            Self::ClockAhead { .. } => "clock-ahead",
            Self::Signature => "document-signature",
            Self::TimestampOutsideLeaf { .. } => "timestamp-outside-leaf",
            Self::Stale { .. } => "document-stale",
            Self::FromTheFuture { .. } => "document-from-the-future",
            Self::Debug { .. } => "debug-mode",
            Self::ImageMissing { .. } => "image-register-missing",
            Self::Image => "image-not-accepted",
            Self::OwnerMissing { .. } => "owner-register-missing",
            Self::Owner { .. } => "owner-not-accepted",
            Self::EndorsementMissing => "endorsement-missing",
            Self::Endorsement(error) => endorsement(error),
            Self::ManifestMissing => "manifest-register-missing",
            Self::Manifest { .. } => "manifest-not-accepted",
            Self::ManifestNotBound => "manifest-not-bound",
            Self::NonceMissing => "nonce-missing",
            Self::NonceLength { .. } => "nonce-length",
            Self::Nonce => "nonce-mismatch",
            Self::BindingMissing => "binding-missing",
            Self::Reflected => "binding-reflected",
            Self::Binding => "binding-mismatch",
            Self::ReceiptKeyMissing => "receipt-key-missing",
            Self::ReceiptKey => "receipt-key-invalid",
        }
    }
}

fn envelope(error: &EnvelopeError) -> &'static str {
    match error {
        EnvelopeError::Truncated => "envelope-truncated",
        EnvelopeError::Tagged => "envelope-tagged",
        EnvelopeError::NotSign1 => "envelope-not-sign1",
        EnvelopeError::ProtectedHeader => "envelope-protected-header",
        EnvelopeError::UnprotectedHeader => "envelope-unprotected-header",
        EnvelopeError::Payload => "envelope-payload",
        EnvelopeError::SignatureLength => "envelope-signature-length",
        EnvelopeError::TrailingBytes => "envelope-trailing-bytes",
    }
}

fn payload(error: &CborError) -> &'static str {
    match error {
        CborError::TooLarge { .. } => "payload-too-large",
        CborError::Truncated => "payload-truncated",
        CborError::TrailingBytes { .. } => "payload-trailing-bytes",
        CborError::TooDeep => "payload-too-deep",
        CborError::TooManyItems => "payload-too-many-items",
        CborError::Tag => "payload-tag",
        CborError::SimpleValue => "payload-simple-value",
        CborError::NotShortest => "payload-not-shortest",
        CborError::IndefiniteLength => "payload-indefinite-length",
        CborError::Reserved => "payload-reserved",
        CborError::KeyType => "payload-key-type",
        CborError::DuplicateKey => "payload-duplicate-key",
        CborError::Undecodable => "payload-undecodable",
        CborError::WrongType { .. } => "payload-not-a-map",
        CborError::Missing { .. } => "field-missing",
        CborError::UnknownKey => "field-unknown",
    }
}

fn field(error: &FieldError) -> &'static str {
    match error {
        FieldError::Shape(CborError::WrongType { .. }) => "field-wrong-type",
        FieldError::Shape(error) => payload(error),
        FieldError::ModuleId => "field-module-id",
        FieldError::Digest => "field-digest",
        FieldError::Timestamp => "field-timestamp",
        FieldError::PcrCount { .. } => "field-pcr-count",
        FieldError::PcrIndex { .. } => "field-pcr-index",
        FieldError::PcrLength { .. } => "field-pcr-length",
        FieldError::CertificateLength => "field-certificate-length",
        FieldError::CabundleCount { .. } => "field-cabundle-count",
        FieldError::OptionalLength { .. } => "field-optional-length",
    }
}

fn certificate(problem: &CertificateError) -> &'static str {
    match problem {
        CertificateError::Malformed => "certificate-malformed",
        CertificateError::Version => "certificate-version",
        CertificateError::SignatureAlgorithm => "certificate-signature-algorithm",
        CertificateError::KeyAlgorithm => "certificate-key-algorithm",
        CertificateError::Validity => "certificate-validity-form",
        CertificateError::DuplicateExtension => "certificate-duplicate-extension",
        CertificateError::UnknownCriticalExtension => "certificate-unknown-critical-extension",
        CertificateError::BasicConstraints => "certificate-basic-constraints",
        CertificateError::PathLength => "certificate-path-length",
        CertificateError::KeyUsage => "certificate-key-usage",
        CertificateError::IssuerMismatch => "certificate-issuer",
        CertificateError::SelfIssued => "certificate-self-issued",
        CertificateError::Signature => "certificate-signature",
    }
}

fn endorsement(error: &EndorsementError) -> &'static str {
    match error {
        EndorsementError::Json | EndorsementError::OperatorKey => "endorsement-unreadable",
        EndorsementError::Endorser => "endorsement-endorser",
        EndorsementError::Key => "endorsement-key",
        EndorsementError::Signature => "endorsement-signature",
        EndorsementError::Life => "endorsement-life",
        EndorsementError::NotYetValid { .. } => "endorsement-not-yet-valid",
        EndorsementError::Expired { .. } => "endorsement-expired",
    }
}

//! Parses an attestation document into [`Evidence`]: an *allegation*, in which nothing is verified.
//!
//! Having an `Evidence` tells you that the bytes have the one form which the NSM writes, and nothing else. Anybody can
//! write these bytes. Only [`crate::appraisal`] turns it into claims.
//!
//! # Promises
//! - Exactly nine keys, each once, each of its type and within its limits; absent optional fields are null.
//! - PCR indices are below 32 and every value has 48 bytes.
//!
//! # Does not
//! - Verify a signature, a certificate or a time.
//!
//! # Trusts
//! - Nobody.
//!
//! Source: AWS "Nitro Enclaves attestation process", sections 2.2, 3.2.1 and 3.2.2; what real documents look like was
//! taken from 87 of them (2021 to 2026).

use std::collections::BTreeMap;

use crate::cbor::{CborError, Fields, Form, decode};
use crate::cose::{ES384, ES384_SIGNATURE, Envelope, EnvelopeError};
use crate::measurement::{Measurement, PcrIndex};
use crate::time::Timestamp;

/// Largest document: see [`crate::cbor::MAX_SIZE`].
pub const MAX_DOCUMENT: usize = crate::cbor::MAX_SIZE;

/// Longest `user_data`, `nonce` and `public_key`. AWS says 1024 in section 2.2 and 512 in 3.2.2.2; real documents carry
/// 1024 (aws-nitro-enclaves-nsm-api issue 52).
pub const MAX_OPTIONAL: usize = 1024;

/// Longest certificate (section 3.2.2.2).
const MAX_CERTIFICATE: usize = 1024;

/// Most certificates in `cabundle`. All real documents have four: root, region, zone, instance.
const MAX_CABUNDLE: usize = 8;

/// Longest `module_id`. Real ones have 39 bytes.
const MAX_MODULE_ID: usize = 128;

/// Why a payload's fields are refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FieldError {
    /// A field is missing, doubled, unknown or of the wrong type.
    #[error(transparent)]
    Shape(#[from] CborError),
    /// `module_id` is empty or too long.
    #[error("\"module_id\" is empty or longer than 128 bytes; discard the document")]
    ModuleId,
    /// `digest` is not SHA384.
    #[error("\"digest\" is not SHA384, the only one that Nitro uses; discard the document")]
    Digest,
    /// `timestamp` is zero.
    #[error("\"timestamp\" is zero; discard the document")]
    Timestamp,
    /// `pcrs` has no entry or more than 32.
    #[error("\"pcrs\" has {count} entries, and 1 to 32 are allowed; discard the document")]
    PcrCount {
        /// How many.
        count: usize,
    },
    /// An index of 32 or more.
    #[error("\"pcrs\" has the index {index}, and 31 is the highest; discard the document")]
    PcrIndex {
        /// The index.
        index: u64,
    },
    /// A value that has not 48 bytes.
    #[error("pcr {index} has not 48 bytes; discard the document")]
    PcrLength {
        /// The index.
        index: u8,
    },
    /// A certificate is empty or too long.
    #[error("a certificate is empty or longer than 1024 bytes; discard the document")]
    CertificateLength,
    /// `cabundle` is empty or too long.
    #[error("\"cabundle\" has {count} certificates, and 1 to 8 are allowed; discard the document")]
    CabundleCount {
        /// How many.
        count: usize,
    },
    /// An optional field is too long.
    #[error("\"{field}\" has more than 1024 bytes; discard the document")]
    OptionalLength {
        /// Which field.
        field: &'static str,
    },
}

/// A document parsed and not verified.
#[derive(Clone, Debug)]
pub struct Evidence {
    pub(crate) module_id: String,
    pub(crate) timestamp: Timestamp,
    pub(crate) pcrs: BTreeMap<PcrIndex, Measurement>,
    pub(crate) certificate: Vec<u8>,
    pub(crate) cabundle: Vec<Vec<u8>>,
    pub(crate) public_key: Option<Vec<u8>>,
    pub(crate) user_data: Option<Vec<u8>>,
    pub(crate) nonce: Option<Vec<u8>>,
}

/// Why bytes are not even evidence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EvidenceError {
    /// More than 16 KiB.
    #[error("the document has {size} bytes, more than the 16384 allowed; discard it")]
    TooLarge {
        /// Bytes offered.
        size: usize,
    },
    /// The COSE envelope.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    /// The payload.
    #[error(transparent)]
    Fields(#[from] FieldError),
}

impl Evidence {
    /// Parses a document for display. What comes back is what somebody *says*.
    pub fn parse(document: &[u8]) -> Result<Self, EvidenceError> {
        check_size(document)?;
        Ok(Self::from_payload(envelope(document)?.payload)?)
    }

    /// Decodes and limits the nine fields.
    pub(crate) fn from_payload(payload: &[u8]) -> Result<Self, FieldError> {
        Self::from_fields(payload_fields(payload)?)
    }

    pub(crate) fn from_fields(mut fields: Fields) -> Result<Self, FieldError> {
        let evidence = Self {
            module_id: module_id(fields.take("module_id")?.text("module_id")?)?,
            timestamp: timestamp(fields.take("timestamp")?.unsigned("timestamp")?)?,
            pcrs: pcrs(fields.take("pcrs")?.fields("pcrs")?)?,
            certificate: certificate(fields.take("certificate")?.bytes("certificate")?)?,
            cabundle: cabundle(&mut fields)?,
            public_key: optional(&mut fields, "public_key")?,
            user_data: optional(&mut fields, "user_data")?,
            nonce: optional(&mut fields, "nonce")?,
        };
        if fields.take("digest")?.text("digest")? != "SHA384" {
            return Err(FieldError::Digest);
        }
        fields.finish()?;
        Ok(evidence)
    }

    /// The module that it says it comes from.
    pub fn module_id(&self) -> &str {
        &self.module_id
    }

    /// When it says that it was made.
    pub fn timestamp(&self) -> Timestamp {
        self.timestamp
    }

    /// The registers that it lists, by index.
    pub fn pcrs(&self) -> impl Iterator<Item = (PcrIndex, &Measurement)> {
        self.pcrs.iter().map(|(index, value)| (*index, value))
    }

    /// The nonce that it says it was asked with.
    pub fn nonce(&self) -> Option<&[u8]> {
        self.nonce.as_deref()
    }

    /// The user data that it says it was asked with.
    pub fn user_data(&self) -> Option<&[u8]> {
        self.user_data.as_deref()
    }

    /// The public key that it says it was asked with.
    pub fn public_key(&self) -> Option<&[u8]> {
        self.public_key.as_deref()
    }
}

/// The size limit, before anything is read.
pub(crate) fn check_size(document: &[u8]) -> Result<(), EvidenceError> {
    let size = document.len();
    if size > MAX_DOCUMENT { Err(EvidenceError::TooLarge { size }) } else { Ok(()) }
}

/// The COSE envelope of an NSM document.
pub(crate) fn envelope(document: &[u8]) -> Result<Envelope<'_>, EnvelopeError> {
    Envelope::parse(document, ES384, ES384_SIGNATURE)
}

/// The payload's map.
pub(crate) fn payload_fields(payload: &[u8]) -> Result<Fields, CborError> {
    decode(payload, Form::OutermostMapMayBeIndefinite)?.fields("payload")
}

fn module_id(id: String) -> Result<String, FieldError> {
    if id.is_empty() || id.len() > MAX_MODULE_ID { Err(FieldError::ModuleId) } else { Ok(id) }
}

fn timestamp(millis: u64) -> Result<Timestamp, FieldError> {
    if millis == 0 { Err(FieldError::Timestamp) } else { Ok(Timestamp::from_millis(millis)) }
}

fn pcrs(map: Fields) -> Result<BTreeMap<PcrIndex, Measurement>, FieldError> {
    let entries = map.numbered("pcrs")?;
    // The range also bounds what is collected below.
    if entries.is_empty() || entries.len() > usize::from(crate::measurement::MAX_PCRS) {
        return Err(FieldError::PcrCount { count: entries.len() });
    }
    let read = |(index, value): (u64, crate::cbor::Item)| {
        let index = u8::try_from(index).ok().and_then(PcrIndex::new).ok_or(FieldError::PcrIndex { index })?;
        let value = Measurement::from_slice(&value.bytes("pcrs")?);
        Ok((index, value.ok_or(FieldError::PcrLength { index: index.get() })?))
    };
    entries.into_iter().map(read).collect()
}

fn certificate(der: Vec<u8>) -> Result<Vec<u8>, FieldError> {
    if der.is_empty() || der.len() > MAX_CERTIFICATE { Err(FieldError::CertificateLength) } else { Ok(der) }
}

fn cabundle(fields: &mut Fields) -> Result<Vec<Vec<u8>>, FieldError> {
    let items = fields.take("cabundle")?.items("cabundle")?;
    if items.is_empty() || items.len() > MAX_CABUNDLE {
        return Err(FieldError::CabundleCount { count: items.len() });
    }
    items.into_iter().map(|item| certificate(item.bytes("cabundle")?)).collect()
}

fn optional(fields: &mut Fields, field: &'static str) -> Result<Option<Vec<u8>>, FieldError> {
    let bytes = fields.take(field)?.bytes_or_null(field)?;
    match &bytes {
        Some(long) if long.len() > MAX_OPTIONAL => Err(FieldError::OptionalLength { field }),
        _ => Ok(bytes),
    }
}

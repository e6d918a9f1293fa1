//! Gives each reason for which reference values are refused a code that programs can rely on.
//!
//! # Promises
//! - Every refusal has one code; the codes are part of the corpus (`docs/corpus.md`).
//!
//! # Does not
//! - Carry details.
//!
//! # Trusts
//! - Nobody.

use super::ReferenceError;

impl ReferenceError {
    /// The reason, in one word that does not change.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoImages => "policy-no-images",
            Self::NoManifests => "policy-no-manifests",
            Self::ZeroImage { .. } => "policy-zero-image",
            Self::ZeroManifest => "policy-zero-manifest",
            Self::ZeroOwner { .. } => "policy-zero-owner",
            Self::Json { .. } => "policy-not-json",
            Self::Missing { .. } => "policy-missing",
            Self::UnknownKey { .. } => "policy-unknown-key",
            Self::Twice { .. } => "policy-twice",
            Self::WrongType { .. } => "policy-wrong-type",
            Self::NotHex { .. } => "policy-not-hex",
            Self::WrongDigits { .. } => "policy-wrong-digits",
            Self::TooMany { .. } => "policy-too-many",
            Self::PartOfImage { .. } => "policy-part-of-image",
            Self::OwnerOnly { .. } => "policy-owner-only",
            Self::UnknownOwner => "policy-unknown-owner",
            Self::TooLarge => "policy-too-large",
        }
    }
}

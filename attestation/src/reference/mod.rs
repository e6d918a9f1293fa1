//! Holds what a relying party accepts: images, manifests and whose enclave it may be.
//!
//! [`ReferenceValues`] is the policy itself. [`ReferenceFile`] is how a publisher hands it out: signed, versioned,
//! expiring, and in a log; its [`ReferenceFile::verify`] is the only maker of a [`VerifiedReference`].
//!
//! # Promises
//! - A value of this type lists at least one image and one manifest and answers the question of the owner; there is no
//!   empty policy and no default.
//! - All-zero measurements cannot be listed: a debug enclave and an absent signer stay refused.
//! - A refusal names the field that is wrong, and repeats nothing else of the file.
//!
//! # Does not
//! - Read files, keep what was seen, or read a clock; the caller does.
//!
//! # Trusts
//! - Whoever supplies unsigned values: they *are* the policy. Of a signed file, the keys that the caller pinned.
//!
//! The JSON of unsigned values, in which unknown keys are refused:
//!
//! ```json
//! { "images": [ { "pcr0": "<96 hex>", "pcr1": "<96 hex>", "pcr2": "<96 hex>" } ],
//!   "manifests": [ "<96 hex>" ],
//!   "owner": { "signer": { "pcr8": "<96 hex>" } } }
//! ```
//!
//! `owner` may also be `{"role": {"pcr3": ..}}`, `{"instance": {"pcr4": ..}}`, `{"endorser": {"ed25519": "<64 hex>"}}` or
//! the words `"anyone-at-all"`. The signed file is described byte for byte in `docs/reference-values.md`.

mod code;
mod compare;
mod file;
mod log;
mod payload;
mod read;
mod seen;
mod signers;
mod verify;

use serde::{Deserialize, Serialize};

use crate::ed25519::PublicKey;
use crate::measurement::Measurement;

pub use compare::{Compared, Contradiction, compare};
pub use file::{FileError, MAX_FILE, ReferenceFile};
pub use log::{Growth, LogProof, LogRefusal, MAX_GROWTHS, leaf};
pub use payload::{
    MAX_NAME, MAX_PAYLOAD, MAX_VALIDITY_MS, NothingLeft, Payload, PayloadError, ReleasedImage,
};
pub use seen::{Record, Seen, SeenError, SeenLog};
pub use signers::{MAX_SIGNERS, Signature, Signers, SignersError, Trust};
pub use verify::{Authority, FileRefusal, VerifiedReference};

/// Largest JSON that is read: some four hundred images.
const MAX_JSON: usize = 256 * 1024;

/// The three registers that name an enclave image (AWS user guide, "PCR0", "PCR1", "PCR2").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Image {
    /// The whole image file.
    pub pcr0: Measurement,
    /// Kernel and boot file system.
    pub pcr1: Measurement,
    /// The application.
    pub pcr2: Measurement,
}

/// Whose enclave it may be. Anybody can start the same public image in an account of his own, so the image alone
/// does not say who could have tampered with its host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Owner {
    /// The image was signed with the certificate that PCR8 names.
    Signer {
        /// PCR8.
        pcr8: Measurement,
    },
    /// The parent instance has the IAM role that PCR3 names.
    Role {
        /// PCR3.
        pcr3: Measurement,
    },
    /// The parent is the one instance that PCR4 names.
    Instance {
        /// PCR4.
        pcr4: Measurement,
    },
    /// The operator with this key has looked at the enclave and endorsed it; see [`crate::endorsement`].
    Endorser {
        /// His Ed25519 key.
        ed25519: PublicKey,
    },
    /// It does not matter whose machine it is. Claims made under it say that the owner is unknown.
    AnyoneAtAll,
}

/// Why reference values are refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReferenceError {
    /// No image.
    #[error("the reference values list no image; add the pcr0, pcr1 and pcr2 of the release that you accept")]
    NoImages,
    /// No manifest.
    #[error("the reference values list no manifest; add the pcr16 of the release manifest that you accept")]
    NoManifests,
    /// An all-zero image register.
    #[error(
        "{register} is all zero, as in a debug enclave whose memory its host can read; remove that image"
    )]
    ZeroImage {
        /// `pcr0`, `pcr1` or `pcr2`.
        register: &'static str,
    },
    /// An all-zero manifest.
    #[error("a manifest is all zero, which is a register that nobody has extended; remove it")]
    ZeroManifest,
    /// An all-zero owner.
    #[error(
        "the owner's {register} is all zero, which means none; name a real one or write \"anyone-at-all\""
    )]
    ZeroOwner {
        /// `pcr3`, `pcr4` or `pcr8`.
        register: &'static str,
    },
    /// Not the JSON that we read.
    #[error(
        "the reference values are not readable at line {line}, column {column}; compare them with the documentation"
    )]
    Json {
        /// Line, from 1.
        line: usize,
        /// Column.
        column: usize,
    },
    /// A key that must be there.
    #[error("{at} is missing; add it, or compare the file with the documentation")]
    Missing {
        /// Where.
        at: String,
    },
    /// A key that nobody reads.
    #[error("{at} is not a key that is read; remove it, for what is not read does not protect")]
    UnknownKey {
        /// Where.
        at: String,
    },
    /// A key, or an entry that must be there once, that is there twice.
    #[error("{at} is there twice; remove one")]
    Twice {
        /// Where.
        at: String,
    },
    /// Another type.
    #[error("{at} is not {wanted}; compare it with the documentation")]
    WrongType {
        /// Where.
        at: String,
        /// What it should be.
        wanted: &'static str,
    },
    /// Not hexadecimal.
    #[error("{at} has a character that is not a hexadecimal digit; copy the value again")]
    NotHex {
        /// Where.
        at: String,
    },
    /// Too few or too many digits.
    #[error("{at} has {seen} digits instead of {wanted}; copy the whole value")]
    WrongDigits {
        /// Where.
        at: String,
        /// Characters seen.
        seen: usize,
        /// Digits wanted.
        wanted: usize,
    },
    /// More entries than are read.
    #[error("{at} has more than {most} entries; check that it is the right file")]
    TooMany {
        /// Where.
        at: String,
        /// Most entries.
        most: usize,
    },
    /// An image of which a register is left out.
    #[error(
        "{at} leaves out {missing}; pcr0 is the image file, pcr1 its kernel and boot file system, pcr2 its application, \
         and only together do they say what runs, so add what is missing from the same build"
    )]
    PartOfImage {
        /// Where.
        at: String,
        /// Which registers, as `pcr1 and pcr2`.
        missing: String,
    },
    /// A policy about the machine alone.
    #[error(
        "only {register} is named and no image; that says whose machine it is and nothing about what runs on it, so add \
         the pcr0, pcr1 and pcr2 of the release that you accept"
    )]
    OwnerOnly {
        /// `pcr3`, `pcr4` or `pcr8`.
        register: &'static str,
    },
    /// An owner of a form that is not known.
    #[error(
        "the owner is of no known form; name a signer, a role, an instance or an endorser, or write \"anyone-at-all\""
    )]
    UnknownOwner,
    /// Too long to be reference values.
    #[error("the reference values are longer than 256 KiB; check that it is the right file")]
    TooLarge,
}

/// What a relying party accepts. Never empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReferenceValues {
    images: Vec<Image>,
    manifests: Vec<Measurement>,
    owner: Owner,
}

impl ReferenceValues {
    /// From the parts. `manifests` are values of PCR16, see [`crate::binding::manifest_pcr16`].
    pub fn new(
        images: Vec<Image>,
        manifests: Vec<Measurement>,
        owner: Owner,
    ) -> Result<Self, ReferenceError> {
        if images.is_empty() {
            return Err(ReferenceError::NoImages);
        }
        if manifests.is_empty() {
            return Err(ReferenceError::NoManifests);
        }
        images.iter().try_for_each(check_image)?;
        if manifests.iter().any(Measurement::is_zero) {
            return Err(ReferenceError::ZeroManifest);
        }
        check_owner(&owner)?;
        Ok(Self { images, manifests, owner })
    }

    /// From JSON, strictly.
    pub fn from_json(json: &[u8]) -> Result<Self, ReferenceError> {
        if json.len() > MAX_JSON {
            return Err(ReferenceError::TooLarge);
        }
        let json = read::parse(json)?;
        let root = read::Node::root(&json);
        read::refuse_owner_only(&root)?;
        let fields = root.fields(&["images", "manifests", "owner"])?;
        let one = |node| read::image(&node, &[]).map(|(image, _)| image);
        let images = fields.get("images")?.list()?.map(one).collect::<Result<_, _>>()?;
        Self::new(images, fields.get("manifests")?.measurements()?, read::owner(&fields.get("owner")?)?)
    }

    /// As JSON that [`Self::from_json`] reads.
    pub fn to_json(&self) -> String {
        // Only a map with keys that are not text, or a failing `Serialize`, could fail; this type has neither.
        serde_json::to_string_pretty(self).unwrap_or_default()
    }

    /// The accepted images, at least one.
    pub fn images(&self) -> &[Image] {
        &self.images
    }

    /// The accepted values of PCR16, at least one.
    pub fn manifests(&self) -> &[Measurement] {
        &self.manifests
    }

    /// Whose enclave it may be.
    pub fn owner(&self) -> &Owner {
        &self.owner
    }
}

fn check_image(image: &Image) -> Result<(), ReferenceError> {
    for (register, value) in [("pcr0", &image.pcr0), ("pcr1", &image.pcr1), ("pcr2", &image.pcr2)] {
        if value.is_zero() {
            return Err(ReferenceError::ZeroImage { register });
        }
    }
    Ok(())
}

fn check_owner(owner: &Owner) -> Result<(), ReferenceError> {
    let (register, value) = match owner {
        Owner::Signer { pcr8 } => ("pcr8", pcr8),
        Owner::Role { pcr3 } => ("pcr3", pcr3),
        Owner::Instance { pcr4 } => ("pcr4", pcr4),
        Owner::Endorser { .. } | Owner::AnyoneAtAll => return Ok(()),
    };
    if value.is_zero() { Err(ReferenceError::ZeroOwner { register }) } else { Ok(()) }
}

/// The register that the owner is named by, if it is one; what a deny-list can hit.
fn owner_register(owner: &Owner) -> Option<(&'static str, &Measurement)> {
    match owner {
        Owner::Signer { pcr8 } => Some(("pcr8", pcr8)),
        Owner::Role { pcr3 } => Some(("pcr3", pcr3)),
        Owner::Instance { pcr4 } => Some(("pcr4", pcr4)),
        Owner::Endorser { .. } | Owner::AnyoneAtAll => None,
    }
}

#[cfg(test)]
mod signed_tests;
#[cfg(test)]
mod tests;

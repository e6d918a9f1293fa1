//! Holds what a relying party accepts: images, manifests and whose enclave it may be.
//!
//! # Promises
//! - A value of this type lists at least one image and one manifest and answers the question of the owner; there is no
//!   empty policy and no default.
//! - All-zero measurements cannot be listed: a debug enclave and an absent signer stay refused.
//!
//! # Does not
//! - Read files or verify the signature on a file of reference values; the caller does both first.
//!
//! # Trusts
//! - Whoever supplies the values: they *are* the policy.
//!
//! The JSON, in which unknown keys are refused:
//!
//! ```json
//! { "images": [ { "pcr0": "<96 hex>", "pcr1": "<96 hex>", "pcr2": "<96 hex>" } ],
//!   "manifests": [ "<96 hex>" ],
//!   "owner": { "signer": { "pcr8": "<96 hex>" } } }
//! ```
//!
//! `owner` may also be `{"role": {"pcr3": ..}}`, `{"instance": {"pcr4": ..}}` or the words `"anyone-at-all"`.

use serde::{Deserialize, Serialize};

use crate::measurement::Measurement;

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

/// The JSON before it was judged.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Unjudged {
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
        let unjudged: Unjudged = serde_json::from_slice(json)
            .map_err(|error| ReferenceError::Json { line: error.line(), column: error.column() })?;
        Self::new(unjudged.images, unjudged.manifests, unjudged.owner)
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
        Owner::AnyoneAtAll => return Ok(()),
    };
    if value.is_zero() { Err(ReferenceError::ZeroOwner { register }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(images: &str, manifests: &str, owner: &str) -> String {
        format!("{{\"images\":[{images}],\"manifests\":[{manifests}],\"owner\":{owner}}}")
    }

    #[test]
    fn the_table_of_policies() {
        let one = format!("\"{}\"", "11".repeat(48));
        let zero = format!("\"{}\"", "00".repeat(48));
        let image = format!("{{\"pcr0\":{one},\"pcr1\":{one},\"pcr2\":{one}}}");
        let debug = format!("{{\"pcr0\":{zero},\"pcr1\":{one},\"pcr2\":{one}}}");
        let any = "\"anyone-at-all\"";
        let signer = format!("{{\"signer\":{{\"pcr8\":{one}}}}}");
        for owner in [any, &signer, &format!("{{\"role\":{{\"pcr3\":{one}}}}}")] {
            let read = ReferenceValues::from_json(json(&image, &one, owner).as_bytes()).unwrap();
            assert_eq!(ReferenceValues::from_json(read.to_json().as_bytes()), Ok(read));
        }
        let refused = |text: String| ReferenceValues::from_json(text.as_bytes()).unwrap_err();
        assert_eq!(refused(json("", &one, any)), ReferenceError::NoImages);
        assert_eq!(refused(json(&image, "", any)), ReferenceError::NoManifests);
        assert_eq!(refused(json(&debug, &one, any)), ReferenceError::ZeroImage { register: "pcr0" });
        assert_eq!(refused(json(&image, &zero, any)), ReferenceError::ZeroManifest);
        let no_signer = signer.replace("11", "00");
        assert_eq!(refused(json(&image, &one, &no_signer)), ReferenceError::ZeroOwner { register: "pcr8" });
        let extra = signer.replace("pcr8\":", "pcr3\":\"\",\"pcr8\":");
        for bad in ["null", "\"anyone\"", &extra, &signer.replace("11", "1")] {
            assert!(matches!(refused(json(&image, &one, bad)), ReferenceError::Json { .. }), "{bad}");
        }
        let unknown = json(&image, &one, any).replace("\"owner\"", "\"debug\":true,\"owner\"");
        assert!(matches!(refused(unknown), ReferenceError::Json { .. }));
    }
}

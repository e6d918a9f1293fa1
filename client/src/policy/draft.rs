//! Makes the payload of a signed file from what a build printed, and from the version before.
//!
//! # Promises
//! - Whatever is drafted is read back by the reader that clients use; what they would refuse is refused here.
//! - Nothing of the version before is lost: images, manifests and denials are added to it.
//! - Whose enclave it may be is asked, never assumed.
//!
//! # Does not
//! - Build an image or check that a build is what its source says.
//!
//! # Trusts
//! - The files and values that the publisher names.

use adyton_attestation::Timestamp;
use adyton_attestation::binding::manifest_pcr16;
use adyton_attestation::ed25519::PublicKey;
use adyton_attestation::measurement::Measurement;
use adyton_attestation::reference::{
    Image, Owner, Payload, PayloadError, ReleasedImage, Signers, SignersError,
};
use adyton_attestation::transparency::LogKey;
use adyton_wire::manifest::{Manifest, ManifestError};
use serde::Deserialize;
use std::io;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Milliseconds of a day.
const DAY_MS: u64 = 86_400_000;

/// How the hash is named in what nitro-cli prints, as `Sha384 { ... }`.
const HASH: &str = "Sha384";

/// Why there is no draft.
#[derive(Debug, Error)]
pub enum DraftError {
    /// Not what nitro-cli prints.
    #[error("these are not the measurements that `nitro-cli build-enclave` prints: {0}")]
    Measurements(serde_json::Error),
    /// Another hash.
    #[error("the measurements are not SHA-384; build the image with a current nitro-cli")]
    Hash,
    /// The manifest.
    #[error("{path}: {reason}")]
    Manifest {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: ManifestError,
    },
    /// A file.
    #[error("{path}: {reason}; a manifest is 96 hexadecimal digits or the file of a release")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: io::Error,
    },
    /// No name.
    #[error("the reference values have no name; choose one with --name")]
    NoName,
    /// Another name than before.
    #[error("the version before has another name; versions count within one name, so leave --name out")]
    OtherName,
    /// No owner.
    #[error(
        "whose enclave it may be is not answered; pass --signer-pcr8, --role-pcr3, --instance-pcr4 or --endorser, or --anyone-at-all"
    )]
    NoOwner,
    /// The highest version.
    #[error("the version before is the last that can be; choose another name")]
    LastVersion,
    /// Who signs the next.
    #[error("{0}; name who may sign the next version with --signer-key")]
    Signers(#[from] SignersError),
    /// What clients would refuse.
    #[error(transparent)]
    Payload(#[from] PayloadError),
}

/// What `nitro-cli build-enclave` and `describe-eif` print (AWS user guide, "nitro-cli build-enclave").
#[derive(Debug, Deserialize)]
struct Printed {
    #[serde(rename = "Measurements")]
    measurements: Measurements,
}

/// What `make eif` prints.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Registers {
    #[serde(rename = "PCR0")]
    pcr0: Measurement,
    #[serde(rename = "PCR1")]
    pcr1: Measurement,
    #[serde(rename = "PCR2")]
    pcr2: Measurement,
}

/// The measurements of a build.
#[derive(Clone, Debug, Deserialize)]
pub struct Measurements {
    #[serde(rename = "HashAlgorithm")]
    hash: String,
    #[serde(rename = "PCR0")]
    pcr0: Measurement,
    #[serde(rename = "PCR1")]
    pcr1: Measurement,
    #[serde(rename = "PCR2")]
    pcr2: Measurement,
    #[serde(rename = "PCR8")]
    pcr8: Option<Measurement>,
}

impl Measurements {
    /// From what nitro-cli printed, or `make eif`, which prints the registers alone.
    ///
    /// # Errors
    /// [`DraftError::Measurements`], [`DraftError::Hash`]
    pub fn parse(json: &[u8]) -> Result<Measurements, DraftError> {
        if let Ok(Registers { pcr0, pcr1, pcr2 }) = serde_json::from_slice(json) {
            return Ok(Measurements { hash: HASH.to_owned(), pcr0, pcr1, pcr2, pcr8: None });
        }
        let printed: Printed = serde_json::from_slice(json).map_err(DraftError::Measurements)?;
        if !printed.measurements.hash.starts_with(HASH) {
            return Err(DraftError::Hash);
        }
        Ok(printed.measurements)
    }

    /// The image.
    pub fn image(&self) -> Image {
        Image { pcr0: self.pcr0, pcr1: self.pcr1, pcr2: self.pcr2 }
    }

    /// The signer of the image, if it was signed.
    pub fn owner(&self) -> Option<Owner> {
        self.pcr8.map(|pcr8| Owner::Signer { pcr8 })
    }
}

/// PCR16 from 96 digits, or from the manifest in a file.
///
/// # Errors
/// [`DraftError::Io`], [`DraftError::Manifest`]
pub fn manifest(text: &str) -> Result<Measurement, DraftError> {
    if let Some(value) = hex::decode(text).ok().and_then(|bytes| Measurement::from_slice(&bytes)) {
        return Ok(value);
    }
    let path = Path::new(text);
    let bytes = super::read(path).map_err(|reason| DraftError::Io { path: path.to_owned(), reason })?;
    Manifest::parse(&bytes).map_err(|reason| DraftError::Manifest { path: path.to_owned(), reason })?;
    Ok(manifest_pcr16(&bytes))
}

/// What the publisher asks for; what is absent is carried on from the version before.
#[derive(Clone, Debug, Default)]
pub struct Draft {
    /// The name.
    pub name: Option<String>,
    /// Images to add.
    pub images: Vec<Image>,
    /// Their release; one more than the newest before by default.
    pub release: Option<u32>,
    /// The oldest release that is still accepted.
    pub minimum_release: Option<u32>,
    /// Values of PCR16 to add.
    pub manifests: Vec<Measurement>,
    /// Measurements to deny.
    pub deny: Vec<Measurement>,
    /// Whose enclave it may be.
    pub owner: Option<Owner>,
    /// Who may sign the next version; as before by default.
    pub signers: Vec<PublicKey>,
    /// How many of them must; as before, or one, by default.
    pub threshold: Option<u32>,
    /// The log.
    pub log: Option<LogKey>,
    /// Days until it expires.
    pub valid_days: u64,
}

impl Draft {
    /// The payload that follows `previous`, issued `now`.
    ///
    /// # Errors
    /// [`DraftError`] says what is missing, or what clients would refuse.
    pub fn payload(self, previous: Option<&Payload>, now: Timestamp) -> Result<Payload, DraftError> {
        if let (Some(name), Some(previous)) = (&self.name, previous)
            && *name != previous.name
        {
            return Err(DraftError::OtherName);
        }
        let drafted = Payload {
            version: previous.map_or(Some(1), |p| p.version.checked_add(1)).ok_or(DraftError::LastVersion)?,
            issued: now,
            expires: now.plus_millis(self.valid_days.saturating_mul(DAY_MS)),
            images: self.images(previous),
            minimum_release: self.minimum_release.or(previous.map(|p| p.minimum_release)).unwrap_or(0),
            manifests: joined(previous.map(|p| &p.manifests), &self.manifests),
            deny: joined(previous.map(|p| &p.deny), &self.deny),
            owner: self.owner.or(previous.map(|p| p.owner)).ok_or(DraftError::NoOwner)?,
            signers: self.signers(previous)?,
            log: self.log.or_else(|| previous.and_then(|p| p.log.clone())),
            name: self.name.or_else(|| previous.map(|p| p.name.clone())).ok_or(DraftError::NoName)?,
        };
        // Read back as clients will.
        Ok(Payload::parse(drafted.to_json().as_bytes())?)
    }

    /// The images before, then the new ones; one that was there before keeps only its new release.
    fn images(&self, previous: Option<&Payload>) -> Vec<ReleasedImage> {
        let before = previous.map(|p| p.images.as_slice()).unwrap_or_default();
        let newest = before.iter().map(|released| released.release).max();
        let release = self.release.unwrap_or_else(|| newest.map_or(1, |newest| newest.saturating_add(1)));
        let kept = before.iter().filter(|released| !self.images.contains(&released.image)).copied();
        kept.chain(self.images.iter().map(|image| ReleasedImage { image: *image, release })).collect()
    }

    fn signers(&self, previous: Option<&Payload>) -> Result<Signers, SignersError> {
        let before = previous.map(|p| &p.signers);
        match (self.signers.as_slice(), before) {
            ([], Some(before)) => {
                Signers::new(before.keys().to_vec(), self.threshold.unwrap_or(before.threshold()))
            }
            (keys, _) => Signers::new(keys.to_vec(), self.threshold.unwrap_or(1)),
        }
    }
}

fn joined(before: Option<&Vec<Measurement>>, more: &[Measurement]) -> Vec<Measurement> {
    let mut all = before.cloned().unwrap_or_default();
    for value in more {
        if !all.contains(value) {
            all.push(*value);
        }
    }
    all
}

//! Boot, part two: fetches the release from the host and checks every byte against the measured manifest.
//!
//! Promises
//! - The manifest is in PCR16, and PCR16 locked, before anything that it names is fetched.
//! - A chunk of the weights is in the sealed memory file only if its SHA-256 is the manifest's; no parser has
//!   seen it before.
//! - Memory is taken by the manifest's sizes, which are bounded, never by what the host announces.
//!
//! Trusts: nothing that the host sends. A manifest that the host invents gives a PCR16 that no client accepts.

use crate::transport::{Stream, Transport};
use adyton_attestation::binding;
use adyton_attestation::measurement::MANIFEST_PCR;
use adyton_attestation::nsm::{self, Nsm, NsmError};
use adyton_wire::blob::{self, Malformed, REQUEST_LEN, RESPONSE_HEADER_LEN, Status, Wanted};
use adyton_wire::manifest::{File, Manifest, ManifestError, Weights};
use adyton_wire::ports::BLOB_PORT;
use ring::digest::{Context, SHA256, digest};
use rustix::fs::{MemfdFlags, SealFlags};
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::time::Duration;
use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Everything the enclave runs with, checked.
#[derive(Debug)]
pub struct Release {
    /// SHA-384 of the manifest's bytes, as extended into PCR16.
    pub manifest_sha384: [u8; 48],
    /// The manifest, read.
    pub manifest: Manifest,
    /// The policy pack: file name to contents.
    pub policy: BTreeMap<String, Vec<u8>>,
    /// Sealed memory file with the weights.
    pub weights: OwnedFd,
    /// Sealed memory file with the manifest's bytes.
    pub manifest_file: OwnedFd,
    /// `protected.json`, for the worker, as a sealed memory file.
    pub protected_file: OwnedFd,
    /// The encoder's files, if there is one.
    pub encoder: Option<EncoderFiles>,
}

/// Sealed memory files of the encoder.
#[derive(Debug)]
pub struct EncoderFiles {
    /// Its weights.
    pub weights: OwnedFd,
    /// Its tokenizer.
    pub tokenizer: OwnedFd,
}

/// Why a release was refused.
#[derive(Debug, Error)]
pub enum ReleaseError {
    /// The host does not serve blobs.
    #[error("the host's blob port could not be reached: {0}")]
    Unreachable(io::Error),
    /// The host answered late, or cut the stream.
    #[error("the host cut or stalled a blob: {0}")]
    Cut(io::Error),
    /// The host does not speak the protocol.
    #[error("the host's answer is malformed: {0}")]
    Malformed(#[from] Malformed),
    /// The host does not have a blob.
    #[error("the host does not have {0}")]
    Missing(&'static str),
    /// The host sent another number of bytes than were asked for.
    #[error("the host sent a part of {0} that is too short or too long")]
    Length(&'static str),
    /// The bytes are not what the manifest says.
    #[error("{0} does not match its digest in the manifest")]
    Digest(&'static str),
    /// The manifest is malformed.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The NSM refused to measure.
    #[error("the manifest could not be measured: {0}")]
    Measure(#[from] NsmError),
    /// Memory could not be had.
    #[error("memory for the release: {0}")]
    Memory(io::Error),
}

/// How long the host may take for one range.
const RANGE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long the host may take to listen at all; it may start after the enclave.
const REACH_TIMEOUT: Duration = Duration::from_secs(60);
/// Pause between two tries to reach it.
const REACH_PAUSE: Duration = Duration::from_millis(100);

/// Fetches, measures and checks the release. PCR16 is extended once and locked.
///
/// # Errors
/// [`ReleaseError`]; the enclave must not start after any of them.
pub async fn load(transport: &Transport, nsm: &mut dyn Nsm) -> Result<Release, ReleaseError> {
    let mut host = Blobs(reach(transport).await?);
    let bytes = host.get(Wanted::Manifest, "the manifest").await?;
    let manifest = Manifest::parse(&bytes)?;
    let manifest_sha384 = binding::manifest_sha384(&bytes);
    nsm::extend(nsm, MANIFEST_PCR, &manifest_sha384)?;
    nsm::lock(nsm, MANIFEST_PCR)?;

    let mut policy = BTreeMap::new();
    for (name, file) in &manifest.policy {
        policy.insert(name.clone(), host.file(file, "a policy file").await?);
    }
    let weights = host.weights(&manifest.weights, "the weights").await?;
    let encoder = match &manifest.encoder {
        Some(encoder) => {
            let weights = host.weights(&encoder.weights, "the encoder's weights").await?;
            let tokenizer = host.file(&encoder.tokenizer, "the encoder's tokenizer").await?;
            let tokenizer = sealed("adyton-tokenizer", |file| file.write_all(&tokenizer))?;
            Some(EncoderFiles { weights, tokenizer })
        }
        None => None,
    };
    let manifest_file = sealed("adyton-manifest", |file| file.write_all(&bytes))?;
    let protected = policy.get("protected.json").map(Vec::as_slice).unwrap_or_default();
    let protected_file = sealed("adyton-protected", |file| file.write_all(protected))?;
    Ok(Release { manifest_sha384, manifest, policy, weights, manifest_file, protected_file, encoder })
}

impl Release {
    /// SHA-256 over the policy pack: for each file in the order of names, the name, a zero byte, its SHA-256.
    pub fn policy_sha256(&self) -> [u8; 32] {
        let mut context = Context::new(&SHA256);
        for (name, file) in &self.manifest.policy {
            context.update(name.as_bytes());
            context.update(&[0]);
            context.update(&file.sha256);
        }
        let mut out = [0; 32];
        out.copy_from_slice(context.finish().as_ref());
        out
    }

    /// A policy file as text. Empty if absent, which no parser of one accepts.
    pub fn text(&self, name: &str) -> String {
        self.policy.get(name).map(|bytes| String::from_utf8_lossy(bytes).into_owned()).unwrap_or_default()
    }
}

async fn reach(transport: &Transport) -> Result<Box<dyn Stream>, ReleaseError> {
    let attempts = async {
        loop {
            match transport.connect(BLOB_PORT).await {
                Ok(stream) => return stream,
                Err(_not_yet) => tokio::time::sleep(REACH_PAUSE).await,
            }
        }
    };
    tokio::time::timeout(REACH_TIMEOUT, attempts).await.map_err(|e| ReleaseError::Unreachable(e.into()))
}

struct Blobs(Box<dyn Stream>);

impl Blobs {
    async fn get(&mut self, wanted: Wanted, what: &'static str) -> Result<Vec<u8>, ReleaseError> {
        match tokio::time::timeout(RANGE_TIMEOUT, self.exchange(wanted, what)).await {
            Ok(result) => result,
            Err(late) => Err(ReleaseError::Cut(late.into())),
        }
    }

    async fn exchange(&mut self, wanted: Wanted, what: &'static str) -> Result<Vec<u8>, ReleaseError> {
        let request: [u8; REQUEST_LEN] = wanted.encode();
        self.0.write_all(&request).await.map_err(ReleaseError::Cut)?;
        self.0.flush().await.map_err(ReleaseError::Cut)?;
        let mut header = [0; RESPONSE_HEADER_LEN];
        self.0.read_exact(&mut header).await.map_err(ReleaseError::Cut)?;
        let (status, length) = blob::decode_response(&header)?;
        if status == Status::Missing {
            return Err(ReleaseError::Missing(what));
        }
        if let Wanted::Range { length: asked, .. } = wanted
            && asked != length
        {
            return Err(ReleaseError::Length(what));
        }
        let mut bytes = vec![0; length as usize];
        self.0.read_exact(&mut bytes).await.map_err(ReleaseError::Cut)?;
        Ok(bytes)
    }

    /// A file of at most [`adyton_wire::manifest::MAX_POLICY_FILE`] bytes, so one range.
    async fn file(&mut self, file: &File, what: &'static str) -> Result<Vec<u8>, ReleaseError> {
        let length = u32::try_from(file.size).map_err(|_| ReleaseError::Length(what))?;
        let bytes = self.get(Wanted::Range { digest: file.sha256, offset: 0, length }, what).await?;
        if digest(&SHA256, &bytes).as_ref() == file.sha256 {
            Ok(bytes)
        } else {
            Err(ReleaseError::Digest(what))
        }
    }

    async fn weights(&mut self, weights: &Weights, what: &'static str) -> Result<OwnedFd, ReleaseError> {
        let mut file = memory_file("adyton-weights")?;
        let mut whole = Context::new(&SHA256);
        for (offset, length, expected) in weights.ranges() {
            let chunk = self.get(Wanted::Range { digest: weights.sha256, offset, length }, what).await?;
            if digest(&SHA256, &chunk).as_ref() != expected {
                return Err(ReleaseError::Digest(what));
            }
            whole.update(&chunk);
            file.write_all(&chunk).map_err(ReleaseError::Memory)?;
        }
        if whole.finish().as_ref() != weights.sha256 {
            return Err(ReleaseError::Digest(what));
        }
        seal(file)
    }
}

fn memory_file(name: &str) -> Result<std::fs::File, ReleaseError> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let file = rustix::fs::memfd_create(name, flags).map_err(|e| ReleaseError::Memory(e.into()))?;
    Ok(std::fs::File::from(file))
}

/// How often sealing is tried, and the pause between two tries.
const SEAL_TRIES: u32 = 100;
const SEAL_PAUSE: Duration = Duration::from_millis(20);

/// Nobody can change the file any more, neither we nor whoever gets it. While the kernel itself still holds a page of it, it says
/// EBUSY (fcntl(2), F_SEAL_WRITE); that passes, and nothing tells when.
fn seal(file: std::fs::File) -> Result<OwnedFd, ReleaseError> {
    let seals = SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL;
    let mut tries = 1;
    loop {
        match rustix::fs::fcntl_add_seals(&file, seals) {
            Err(rustix::io::Errno::BUSY) if tries < SEAL_TRIES => tries += 1,
            sealed => {
                sealed.map_err(|e| ReleaseError::Memory(e.into()))?;
                return Ok(file.into());
            }
        }
        std::thread::sleep(SEAL_PAUSE);
    }
}

fn sealed(
    name: &str,
    write: impl FnOnce(&mut std::fs::File) -> io::Result<()>,
) -> Result<OwnedFd, ReleaseError> {
    let mut file = memory_file(name)?;
    write(&mut file).map_err(ReleaseError::Memory)?;
    seal(file)
}

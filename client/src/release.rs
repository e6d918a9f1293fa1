//! Makes a release: the folder that a host serves, with a manifest that names every byte in it.
//!
//! Runs where the operator's builds are trusted. The folder itself needs no protection afterwards: the enclave checks
//! each blob against the manifest, and clients check the manifest's digest (PCR16).

use adyton_attestation::binding::manifest_pcr16;
use adyton_attestation::measurement::Measurement;
use adyton_wire::manifest::{
    CHUNK_SIZE, Digest, Encoder, File, Manifest, ManifestError, POLICY_FILES, VERSION, Weights,
};
use ring::digest::{Context, SHA256, digest};
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use thiserror::Error;

/// The manifest's name in a release folder. Blobs are named by their SHA-256 in hex, in `blobs/`.
pub const MANIFEST_FILE: &str = "manifest.json";
/// The folder of blobs in a release folder.
pub const BLOBS: &str = "blobs";

/// Why a release could not be made.
#[derive(Debug, Error)]
pub enum ReleaseError {
    /// A file could not be read or written.
    #[error("{path}: {reason}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: io::Error,
    },
    /// The result would not be a valid manifest.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The manifest could not be written as JSON.
    #[error("manifest: {0}")]
    Json(#[from] serde_json::Error),
}

/// A release as made.
#[derive(Debug)]
pub struct Release {
    /// What PCR16 will hold.
    pub pcr16: Measurement,
    /// The manifest.
    pub manifest: Manifest,
}

/// A sentence encoder, to go with a release.
#[derive(Clone, Debug)]
pub struct EncoderFiles {
    /// The name under which the API offers it.
    pub name: String,
    /// Its `model.safetensors`.
    pub weights: PathBuf,
    /// Its `tokenizer.json`.
    pub tokenizer: PathBuf,
}

/// Makes a release in `out` from a GGUF file, an encoder if there is to be one, and a policy folder. `progress` gets the bytes
/// of the model done so far.
///
/// # Errors
/// [`ReleaseError`] names the file.
pub fn build(
    model: &Path,
    name: &str,
    encoder: Option<&EncoderFiles>,
    policy: &Path,
    out: &Path,
    progress: impl FnMut(u64),
) -> Result<Release, ReleaseError> {
    let blobs = out.join(BLOBS);
    fs::create_dir_all(&blobs).map_err(at(&blobs))?;
    let mut files = BTreeMap::new();
    for name in POLICY_FILES {
        files.insert(name.to_owned(), file(&policy.join(name), &blobs)?);
    }
    let weights = weights(model, &blobs, progress)?;
    let encoder = encoder.map(|files| encoder_of(files, &blobs)).transpose()?;
    let manifest = Manifest { version: VERSION, model: name.to_owned(), weights, encoder, policy: files };
    let bytes = serde_json::to_vec_pretty(&manifest)?;
    // Read it back as the enclave will: what it would refuse is refused here.
    Manifest::parse(&bytes)?;
    put(&out.join(MANIFEST_FILE), &bytes)?;
    Ok(Release { pcr16: manifest_pcr16(&bytes), manifest })
}

/// Copies a small file among the blobs.
fn file(path: &Path, blobs: &Path) -> Result<File, ReleaseError> {
    let bytes = fs::read(path).map_err(at(path))?;
    let sha256 = hash(&bytes);
    put(&blobs.join(hex::encode(sha256)), &bytes)?;
    Ok(File { sha256, size: bytes.len() as u64 })
}

fn encoder_of(files: &EncoderFiles, blobs: &Path) -> Result<Encoder, ReleaseError> {
    let weights = weights(&files.weights, blobs, |_| ())?;
    let tokenizer = file(&files.tokenizer, blobs)?;
    Ok(Encoder { name: files.name.clone(), weights, tokenizer })
}

/// Digests a large file, and links it among the blobs.
fn weights(model: &Path, blobs: &Path, mut progress: impl FnMut(u64)) -> Result<Weights, ReleaseError> {
    let mut file = fs::File::open(model).map_err(at(model))?;
    let mut whole = Context::new(&SHA256);
    let mut chunks = Vec::new();
    let mut size = 0u64;
    loop {
        let mut chunk = Vec::new();
        let limit = u64::from(CHUNK_SIZE);
        (&mut file).take(limit).read_to_end(&mut chunk).map_err(at(model))?;
        if chunk.is_empty() {
            break;
        }
        whole.update(&chunk);
        chunks.push(Digest(hash(&chunk)));
        size += chunk.len() as u64;
        progress(size);
    }
    let mut sha256 = [0; 32];
    sha256.copy_from_slice(whole.finish().as_ref());
    link(model, &blobs.join(hex::encode(sha256)))?;
    Ok(Weights { sha256, size, chunks })
}

fn hash(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest(&SHA256, bytes).as_ref());
    out
}

/// A symbolic link: weights are large, and the host reads them where they are.
fn link(model: &Path, blob: &Path) -> Result<(), ReleaseError> {
    let model = fs::canonicalize(model).map_err(at(model))?;
    match fs::remove_file(blob) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(at(blob)(e)),
        _ => {}
    }
    std::os::unix::fs::symlink(model, blob).map_err(at(blob))
}

/// Writes beside and renames, so that a host that reads meanwhile sees the old file or the new one.
fn put(path: &Path, bytes: &[u8]) -> Result<(), ReleaseError> {
    let beside = path.with_extension("new");
    let mut file = fs::File::create(&beside).map_err(at(&beside))?;
    file.write_all(bytes).map_err(at(&beside))?;
    file.sync_all().map_err(at(&beside))?;
    fs::rename(&beside, path).map_err(at(path))
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> ReleaseError {
    let path = path.to_owned();
    move |reason| ReleaseError::Io { path, reason }
}

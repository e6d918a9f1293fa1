//! Keeps the log of releases: appends a signed file, signs a checkpoint, and writes the proofs into the file.
//!
//! The folder: `entries.jsonl` (one leaf a line), `checkpoint` (the text that was signed last), `payloads/` (what each leaf is
//! of, named by its SHA-256). Everything but the log's key is meant to be shown to everybody.
//!
//! # Promises
//! - Before a checkpoint is signed, the entries lead to the root that was signed last, and the new tree is shown to keep the
//!   old one, by the verifier that clients use.
//! - A leaf that was written and never signed, because the program was ended in between, is dropped; nothing else ever is.
//! - Publishing the same file again appends nothing, and changes the file only if the log has grown since.
//!
//! # Does not
//! - Decide who may sign reference values: it demands only that what is signed verifies.
//! - Protect from one who holds the log's key and two folders; clients that compare do.
//!
//! # Trusts
//! - Whoever may write the folder not to roll it back: then it would sign a second history. A file that was published in the
//!   longer one gives that away, see [`PublishError::Behind`].

use crate::files::replace;
use adyton_attestation::ed25519::Signer;
use adyton_attestation::reference::{Growth, LogProof, LogRefusal, MAX_GROWTHS, ReferenceFile, leaf};
use adyton_attestation::transparency::tree::{leaf_hash, prove_consistency, prove_inclusion, root};
use adyton_attestation::transparency::{
    Checkpoint, CheckpointRefusal, Forked, Hash, LogKey, checkpoint, grown,
};
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use thiserror::Error;

/// The leaves.
pub const ENTRIES_FILE: &str = "entries.jsonl";
/// The checkpoint that was signed last.
pub const CHECKPOINT_FILE: &str = "checkpoint";
/// What the leaves are of.
pub const PAYLOADS: &str = "payloads";

/// Largest file of entries: half a million releases.
const MAX_ENTRIES_FILE: u64 = 64 << 20;

/// For everybody to read.
const PUBLIC: u32 = 0o644;

/// Why nothing was published.
#[derive(Debug, Error)]
pub enum PublishError {
    /// A file.
    #[error("{path}: {reason}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: io::Error,
    },
    /// No log is named.
    #[error("the file names no log; draft it with --log-origin and --log-key-public")]
    NoLog,
    /// Another key.
    #[error("the file names a log with another key than this one; use the key of that log")]
    OtherKey,
    /// No signature, or one that does not verify.
    #[error("the file has no signature, or one that does not verify; sign it first")]
    Signatures,
    /// An entry is not what we write.
    #[error("line {line} of the log's entries is not readable; restore the folder from a copy")]
    Entry {
        /// From 1.
        line: usize,
    },
    /// Entries and checkpoint disagree.
    #[error(
        "the log's entries are not those that its checkpoint was signed over; restore the folder from a copy"
    )]
    Altered,
    /// The checkpoint is not readable.
    #[error("the log's own checkpoint: {0}")]
    Checkpoint(#[from] CheckpointRefusal),
    /// Another content under the same version.
    #[error("version {version} is in the log with other content; draft the next version")]
    SameVersion {
        /// The version.
        version: u64,
    },
    /// An older version.
    #[error("version {version} is older than {newest}, which is in the log; draft the next version")]
    OlderVersion {
        /// Of the file.
        version: u64,
        /// In the log.
        newest: u64,
    },
    /// The file was in a longer log than this, or in another under the same key.
    #[error(
        "the file was published in a log that this folder does not continue; restore the folder from a copy"
    )]
    Behind,
    /// The new tree is not shown to keep the old one.
    #[error(transparent)]
    Forked(#[from] Forked),
    /// The file is not shown to be in the log.
    #[error(transparent)]
    Proof(#[from] LogRefusal),
}

/// One leaf, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    version: u64,
    #[serde(with = "hex::serde")]
    payload_sha256: Hash,
}

impl Entry {
    fn of(file: &ReferenceFile) -> Entry {
        let payload = file.payload();
        let (name, version) = (payload.name.clone(), payload.version);
        Entry { name, version, payload_sha256: file.payload_sha256() }
    }

    fn hash(&self) -> Hash {
        leaf_hash(&leaf(&self.name, self.version, &self.payload_sha256))
    }
}

/// What publishing did.
#[derive(Clone, Debug)]
pub struct Published {
    /// The file, with its proofs.
    pub file: ReferenceFile,
    /// Its leaf, from 0.
    pub index: u64,
    /// How many leaves the log has.
    pub size: u64,
    /// Whether a leaf was appended; otherwise it was there.
    pub appended: bool,
}

/// Publishes a signed file in the log in `folder`, which is made if it is not there.
///
/// # Errors
/// [`PublishError`]; no checkpoint was signed then, unless it is about the last steps' files.
pub fn publish(folder: &Path, signer: &Signer, file: &ReferenceFile) -> Result<Published, PublishError> {
    let key = file.payload().log.clone().ok_or(PublishError::NoLog)?;
    if key.key() != signer.public() {
        return Err(PublishError::OtherKey);
    }
    if file.signatures().is_empty() || file.signed_by().len() != file.signatures().len() {
        return Err(PublishError::Signatures);
    }
    fs::create_dir_all(folder.join(PAYLOADS)).map_err(at(folder))?;
    let _held = lock(folder)?;
    let mut log = Log::open(folder, &key)?;
    log.continues(file)?;
    let (index, appended) = log.append(file, signer)?;
    let mut published = file.clone();
    published.set_log(log.proof(index)?);
    published.in_log()?;
    Ok(Published { file: published, index: index as u64, size: log.entries.len() as u64, appended })
}

struct Log<'a> {
    folder: &'a Path,
    key: &'a LogKey,
    entries: Vec<Entry>,
    leaves: Vec<Hash>,
    /// The text that was signed last, if any was.
    signed: Option<(String, Checkpoint)>,
}

impl<'a> Log<'a> {
    fn open(folder: &'a Path, key: &'a LogKey) -> Result<Log<'a>, PublishError> {
        let signed = match read(&folder.join(CHECKPOINT_FILE))? {
            Some(text) => {
                let verified = checkpoint::verify(&text, key)?;
                Some((text, *verified.checkpoint()))
            }
            None => None,
        };
        let mut entries = Vec::new();
        for (line, text) in (1..).zip(read(&folder.join(ENTRIES_FILE))?.unwrap_or_default().lines()) {
            entries.push(serde_json::from_str::<Entry>(text).map_err(|_| PublishError::Entry { line })?);
        }
        let size = signed.as_ref().map_or(0, |(_, checkpoint)| checkpoint.size as usize);
        // One leaf may have been written before the program was ended; it was never signed, so nobody saw it.
        if entries.len() < size || entries.len() > size + 1 {
            return Err(PublishError::Altered);
        }
        entries.truncate(size);
        let leaves: Vec<Hash> = entries.iter().map(Entry::hash).collect();
        if signed.as_ref().is_some_and(|(_, checkpoint)| checkpoint.root != root(&leaves)) {
            return Err(PublishError::Altered);
        }
        Ok(Log { folder, key, entries, leaves, signed })
    }

    /// Whether this log continues the one that the file was published in before, if it was.
    fn continues(&self, file: &ReferenceFile) -> Result<(), PublishError> {
        let Ok(Some(before)) = file.in_log() else { return Ok(()) };
        let kept = usize::try_from(before.size).ok().and_then(|size| self.leaves.get(..size));
        if kept.is_some_and(|leaves| root(leaves) == before.root) {
            Ok(())
        } else {
            Err(PublishError::Behind)
        }
    }

    /// The file's leaf, and whether it is new.
    fn append(&mut self, file: &ReferenceFile, signer: &Signer) -> Result<(usize, bool), PublishError> {
        let entry = Entry::of(file);
        if let Some(index) = self.entries.iter().position(|other| *other == entry) {
            return Ok((index, false));
        }
        let newest = self.entries.iter().filter(|e| e.name == entry.name).map(|e| e.version).max();
        match newest {
            Some(newest) if newest == entry.version => {
                return Err(PublishError::SameVersion { version: newest });
            }
            Some(newest) if newest > entry.version => {
                return Err(PublishError::OlderVersion { version: entry.version, newest });
            }
            _ => {}
        }
        let name = hex::encode(entry.payload_sha256);
        self.leaves.push(entry.hash());
        self.entries.push(entry);
        let checkpoint = Checkpoint { size: self.leaves.len() as u64, root: root(&self.leaves) };
        self.keeps(&checkpoint)?;
        let text = checkpoint.sign(self.key, signer);
        // In this order: what a checkpoint is over is there before it.
        self.put(&format!("{PAYLOADS}/{name}.json"), file.payload_bytes())?;
        self.put(ENTRIES_FILE, self.lines().as_bytes())?;
        self.put(CHECKPOINT_FILE, text.as_bytes())?;
        self.signed = Some((text, checkpoint));
        Ok((self.leaves.len() - 1, true))
    }

    /// Shows that the new tree keeps the one that was signed last, as a client would check it.
    fn keeps(&self, now: &Checkpoint) -> Result<(), PublishError> {
        if let Some((_, before)) = &self.signed {
            let proof = prove_consistency(&self.leaves, before.size as usize).unwrap_or_default();
            grown(before, now, &proof)?;
        }
        Ok(())
    }

    /// The `log` member of a file whose leaf is `index`.
    fn proof(&self, index: usize) -> Result<LogProof, PublishError> {
        let (text, _) = self.signed.as_ref().ok_or(PublishError::Altered)?;
        let size = self.leaves.len();
        let growth =
            |from: usize| Some(Growth { from: from as u64, proof: prove_consistency(&self.leaves, from)? });
        Ok(LogProof {
            checkpoint: text.clone(),
            index: index as u64,
            inclusion: prove_inclusion(&self.leaves, index).ok_or(PublishError::Altered)?,
            consistency: (size.saturating_sub(MAX_GROWTHS).max(1)..size).filter_map(growth).collect(),
        })
    }

    fn lines(&self) -> String {
        let line = |entry: &Entry| {
            let (name, version) = (&entry.name, entry.version);
            let hash = hex::encode(entry.payload_sha256);
            // Names are plain characters, so nothing in them needs an escape.
            format!("{{\"name\":\"{name}\",\"version\":{version},\"payload_sha256\":\"{hash}\"}}\n")
        };
        self.entries.iter().map(line).collect()
    }

    fn put(&self, name: &str, bytes: &[u8]) -> Result<(), PublishError> {
        let path = self.folder.join(name);
        replace(&path, bytes, PUBLIC).map_err(at(&path))
    }
}

fn lock(folder: &Path) -> Result<File, PublishError> {
    let path = folder.join("lock");
    let file = File::options().write(true).create(true).truncate(false).open(&path).map_err(at(&path))?;
    file.lock().map_err(at(&path))?;
    Ok(file)
}

/// The text of a file; `None` if it is not there.
fn read(path: &Path) -> Result<Option<String>, PublishError> {
    let file = match File::open(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(at(path))?,
    };
    let mut text = String::new();
    file.take(MAX_ENTRIES_FILE).read_to_string(&mut text).map_err(at(path))?;
    Ok(Some(text))
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> PublishError {
    let path = path.to_owned();
    move |reason| PublishError::Io { path, reason }
}

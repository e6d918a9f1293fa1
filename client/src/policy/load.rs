//! Loads what `--reference` names: a signed file under pinned signers, or unsigned values where none are pinned.
//!
//! # Promises
//! - A signed file counts only under pinned signers, and with pinned signers nothing unsigned does. Neither form can stand
//!   in for the other.
//! - What was seen is written only after the file passed every step, atomically, for its owner's eyes, and under a lock, so
//!   that two programs do not forget what the other saw.
//! - A record that cannot be read is an error, never "nothing seen".
//!
//! # Does not
//! - Look for a newer file: it takes the one that it is given.
//!
//! # Trusts
//! - The clock, and whoever may write the record.

use super::{Form, read};
use crate::files::replace;
use adyton_attestation::Timestamp;
use adyton_attestation::ed25519::PublicKey;
use adyton_attestation::reference::{
    FileError, FileRefusal, Record, ReferenceFile, ReferenceValues, SeenError, Signers, SignersError, Trust,
};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// The record's name in the folder of states.
const RECORD: &str = "reference-seen.json";

/// What a relying party pins.
#[derive(Clone, Debug, Default)]
pub struct Pins {
    /// Who may sign.
    pub signers: Vec<PublicKey>,
    /// How many of them must.
    pub threshold: u32,
    /// The name of the reference values that are meant.
    pub name: Option<String>,
    /// Where to remember what was seen; otherwise [`default_record`].
    pub record: Option<PathBuf>,
}

/// Reference values, and how long they hold.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What is accepted.
    pub values: ReferenceValues,
    /// Until when; `None` for unsigned ones, which nobody can withdraw.
    pub until: Option<Timestamp>,
}

/// Why reference values were not loaded.
#[derive(Debug, Error)]
pub enum LoadError {
    /// A file.
    #[error("{path}: {reason}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: io::Error,
    },
    /// The pins.
    #[error("the pinned signers: {0}")]
    Pins(#[from] SignersError),
    /// No place for the record.
    #[error("neither XDG_STATE_HOME nor HOME says where to remember versions; name a file with --seen")]
    NoStateFolder,
    /// The record.
    #[error("{path}: {reason}")]
    Record {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: SeenError,
    },
    /// Not readable.
    #[error("{path}: {reason}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: FileError,
    },
    /// Signed, and nobody pinned.
    #[error("{path}: the file is signed and no signer is pinned; {found}")]
    Unpinned {
        /// Which.
        path: PathBuf,
        /// Whose signatures verify, and what to do.
        found: String,
    },
    /// A payload without its signatures.
    #[error("{path}: this is what gets signed, without signatures; sign it with `adyton policy sign`")]
    Payload {
        /// Which.
        path: PathBuf,
    },
    /// Unsigned, and somebody pinned.
    #[error("{path}: a signer is pinned and the file is not signed; get the signed file from its publisher")]
    Unsigned {
        /// Which.
        path: PathBuf,
    },
    /// Judged and refused.
    #[error("{path}: {reason}")]
    Refused {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: FileRefusal,
    },
}

impl LoadError {
    /// Whether the reference values are at fault, and not a setting or a file of the machine.
    pub fn is_refusal(&self) -> bool {
        use LoadError as Is;
        matches!(
            self,
            Is::File { .. }
                | Is::Unpinned { .. }
                | Is::Payload { .. }
                | Is::Unsigned { .. }
                | Is::Refused { .. }
        )
    }
}

/// Loads reference values, and remembers the version if they are signed.
///
/// # Errors
/// [`LoadError`]; nothing was remembered then.
pub fn load(path: &Path, pins: &Pins, now: Timestamp) -> Result<Loaded, LoadError> {
    let named = || path.to_owned();
    let unreadable = |reason| LoadError::File { path: named(), reason };
    let bytes = read(path).map_err(at(path))?;
    match (Form::of(&bytes), pins.signers.is_empty()) {
        (Form::Plain, true) => {
            let values = ReferenceValues::from_json(&bytes).map_err(|e| unreadable(e.into()))?;
            Ok(Loaded { values, until: None })
        }
        (Form::Plain, false) => Err(LoadError::Unsigned { path: named() }),
        (Form::Payload, _) => Err(LoadError::Payload { path: named() }),
        (Form::Signed, pinned_nobody) => {
            let file = ReferenceFile::parse(&bytes).map_err(unreadable)?;
            if pinned_nobody {
                return Err(LoadError::Unpinned { path: named(), found: whose(&file) });
            }
            judge(path, &file, pins, now)
        }
    }
}

/// Verifies the file against the record, and writes the record.
fn judge(path: &Path, file: &ReferenceFile, pins: &Pins, now: Timestamp) -> Result<Loaded, LoadError> {
    let mut trust = Trust::new(Signers::new(pins.signers.clone(), pins.threshold)?);
    if let Some(name) = &pins.name {
        trust = trust.named(name);
    }
    let at_record = pins.record.clone().or_else(default_record).ok_or(LoadError::NoStateFolder)?;
    let in_record = |reason| LoadError::Record { path: at_record.clone(), reason };
    let _held = lock(&at_record)?;
    let mut record = read_record(&at_record)?;
    let before = record.clone();
    let verified = file
        .verify(&trust, record.get(&file.payload().name), now)
        .map_err(|reason| LoadError::Refused { path: path.to_owned(), reason })?;
    record.put(verified.seen().clone()).map_err(in_record)?;
    if record != before {
        replace(&at_record, record.to_json().as_bytes(), 0o600).map_err(at(&at_record))?;
    }
    Ok(Loaded { until: Some(verified.valid_until()), values: verified.into_values() })
}

/// Whose signatures verify, told to one who pinned nobody.
fn whose(file: &ReferenceFile) -> String {
    let keys: Vec<String> = file.signed_by().iter().map(PublicKey::to_string).collect();
    if keys.is_empty() {
        return "none of its signatures verifies, so do not use it".to_owned();
    }
    format!(
        "it is signed by {}; ask the publisher by another way whether that is his key, then pass it as --signer",
        keys.join(" and ")
    )
}

/// Where versions are remembered by default (XDG Base Directory Specification, `XDG_STATE_HOME`; a relative path there is
/// to be ignored).
pub fn default_record() -> Option<PathBuf> {
    let from = |variable| std::env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute());
    let states = from("XDG_STATE_HOME").or_else(|| Some(from("HOME")?.join(".local/state")))?;
    Some(states.join("adyton").join(RECORD))
}

fn read_record(path: &Path) -> Result<Record, LoadError> {
    match fs::read(path) {
        Ok(bytes) => {
            Record::parse(&bytes).map_err(|reason| LoadError::Record { path: path.to_owned(), reason })
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Record::default()),
        Err(e) => Err(at(path)(e)),
    }
}

/// Held until dropped; a lock file of its own, for the record is replaced and not written into.
fn lock(record: &Path) -> Result<File, LoadError> {
    if let Some(folder) = record.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(at(folder))?;
    }
    let path = record.with_extension("lock");
    let file = File::options().write(true).create(true).truncate(false).open(&path).map_err(at(&path))?;
    file.lock().map_err(at(&path))?;
    Ok(file)
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> LoadError {
    let path = path.to_owned();
    move |reason| LoadError::Io { path, reason }
}

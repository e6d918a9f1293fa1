//! Reads the audit log that a host keeps: whose it is, whether it is whole, and for auditors what is in it.
//!
//! Promises
//! - A [`Verified`] exists only where an attestation document shows whose key signed the log, and every
//!   checkpoint holds.
//! - A file is read once, frame by frame; of an entry no more is kept than its leaf hash.
//!
//! Does not
//! - Say that the log is complete. What clients have seen does: [`Verified::log`] and its `holds`.
//!
//! Trusts: the trust anchor, and the reference values if there are any. The file comes from the host.

use adyton_attestation::ChainCache;
use adyton_attestation::anchor::TrustAnchor;
use adyton_attestation::appraisal::{ArchivedExpectation, Refusal, appraise_archived_against};
use adyton_attestation::audit::{AuditRefusal, Entry, Record, RecordError, Replay, VerifiedLog};
use adyton_attestation::receipt::ReceiptKey;
use adyton_attestation::reference::ReferenceValues;
use adyton_wire::audit::{FILE_HEADER_LEN, Kind, Malformed, Next, read_file_header, read_frame};
use ring::rand::{SecureRandom, SystemRandom};
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;
use thiserror::Error;
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

/// Why a log is refused.
#[derive(Debug, Error)]
pub enum LogError {
    /// It could not be read.
    #[error("the audit log could not be read: {0}")]
    Io(#[from] io::Error),
    /// Another format.
    #[error(transparent)]
    Format(#[from] Malformed),
    /// The document in front of the log.
    #[error("the document of the audit log was refused: {0}")]
    Document(Refusal),
    /// The log itself.
    #[error(transparent)]
    Refused(#[from] AuditRefusal),
}

/// A log of which everything was checked.
#[derive(Debug)]
pub struct Verified {
    /// The log.
    pub log: VerifiedLog,
    /// The last checkpoint, as the enclave signed it.
    pub checkpoint: String,
    /// Bytes behind the last whole frame: what a crash left behind.
    pub torn: u64,
}

/// Reads and verifies a log. `on_record` is given each record as it is read: what nothing vouches for yet.
///
/// # Errors
/// [`LogError`], one variant a reason.
pub fn read(
    path: &Path,
    anchor: &TrustAnchor,
    reference: Option<&ReferenceValues>,
    mut on_record: impl FnMut(Record),
) -> Result<Verified, LogError> {
    let mut file = BufReader::new(File::open(path)?);
    let mut header = [0; FILE_HEADER_LEN];
    // One that is shorter was cut while it was made.
    file.read_exact(&mut header).map_err(|_| AuditRefusal::Unsigned)?;
    let boot = read_file_header(&header)?;
    let key = match next(&mut file)? {
        Next::Frame(Kind::Document, document) => key_of(&document, anchor, reference)?,
        Next::Frame(..) | Next::Torn(_) | Next::End => return Err(AuditRefusal::Unsigned.into()),
    };
    let mut replay = Replay::new(boot, key).map_err(|_| AuditRefusal::OtherLog)?;
    let mut checkpoint = String::new();
    let torn = loop {
        match next(&mut file)? {
            Next::Frame(Kind::Entry, body) => on_record(replay.record(&body)?),
            Next::Frame(Kind::Checkpoint, body) => {
                checkpoint = String::from_utf8_lossy(&body).into_owned();
                replay.checkpoint(&checkpoint)?;
            }
            Next::Frame(Kind::Document, _) => return Err(Malformed::Header.into()),
            Next::Torn(bytes) => break bytes,
            Next::End => break 0,
        }
    };
    Ok(Verified { log: replay.finish()?, checkpoint, torn })
}

fn next(file: &mut BufReader<File>) -> Result<Next, LogError> {
    read_frame(file).map_err(|error| {
        let malformed = error.get_ref().and_then(|inner| inner.downcast_ref::<Malformed>());
        match malformed {
            Some(Malformed::Kind(kind)) => LogError::Format(Malformed::Kind(*kind)),
            Some(Malformed::TooLong(length)) => LogError::Format(Malformed::TooLong(*length)),
            _ => LogError::Io(error),
        }
    })
}

/// The key that the document names. Any document of the enclave would do: it names the same key.
fn key_of(
    document: &[u8],
    anchor: &TrustAnchor,
    reference: Option<&ReferenceValues>,
) -> Result<ReceiptKey, LogError> {
    let expect = ArchivedExpectation { reference, ..ArchivedExpectation::default() };
    let (_, claims) = appraise_archived_against(document, anchor, &expect, &mut ChainCache::new());
    let claims = claims.map_err(LogError::Document)?;
    claims.receipt_key().ok_or(LogError::Document(Refusal::ReceiptKeyMissing))
}

/// An auditor's key. `Debug` shows the public half.
pub struct Auditor {
    secret: StaticSecret,
    public: [u8; 32],
}

impl std::fmt::Debug for Auditor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Auditor({})", hex::encode(self.public))
    }
}

impl Auditor {
    /// A new key; returns what its file holds: 64 hexadecimal digits and a line end.
    ///
    /// # Errors
    /// If the system's generator fails.
    pub fn generate() -> io::Result<(Auditor, Zeroizing<String>)> {
        let mut bytes = Zeroizing::new([0; 32]);
        let filled = SystemRandom::new().fill(bytes.as_mut_slice());
        filled.map_err(|_| io::Error::other("no randomness for a new key"))?;
        let text = Zeroizing::new(format!("{}\n", hex::encode(bytes.as_slice())));
        Ok((Auditor::new(*bytes), text))
    }

    /// From what its file holds; `None` for anything else.
    pub fn from_file(bytes: &[u8]) -> Option<Auditor> {
        let mut secret = Zeroizing::new([0; 32]);
        hex::decode_to_slice(bytes.trim_ascii_end(), secret.as_mut_slice()).ok()?;
        Some(Auditor::new(*secret))
    }

    fn new(secret: [u8; 32]) -> Auditor {
        let secret = StaticSecret::from(secret);
        let public = PublicKey::from(&secret).to_bytes();
        Auditor { secret, public }
    }

    /// What `auditors.json` names.
    pub fn public(&self) -> &[u8; 32] {
        &self.public
    }

    /// Opens a record of a log.
    ///
    /// # Errors
    /// [`RecordError`] says whether it is sealed to another key, or does not fit its place in the log.
    pub fn open(&self, boot: &[u8; 16], record: &Record) -> Result<Entry, RecordError> {
        record.open(boot, &self.public, |encapsulated| {
            let shared = self.secret.diffie_hellman(&PublicKey::from(*encapsulated));
            shared.was_contributory().then(|| shared.to_bytes())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use adyton_attestation::Timestamp;
    use adyton_attestation::seal::SealError;

    fn entry(index: u64) -> Entry {
        let (boot, at) = ([1; 16], Timestamp::from_millis(5));
        Entry { boot, index, at, principal: None, kind: "evidence".into(), details: Vec::new() }
    }

    fn record(index: u64, auditors: &[[u8; 32]]) -> Record {
        Record::make(&entry(index), &[7; 32], auditors, &SystemRandom::new()).unwrap()
    }

    /// RFC 9180, A.1.1: `skRm`, `pkRm`, `enc` and, from RFC 7748, the agreement itself.
    #[test]
    fn keys_are_those_of_the_rfc() {
        let secret = b"4612c550263fc8ad58375df3f557aac531d26850903e55a9f23f21d8534e8ac8\n";
        let auditor = Auditor::from_file(secret).unwrap();
        let public = "3948cfe0ad1ddb695d780e59077195da6c56506b027329794ab02bca80815c4d";
        assert_eq!(hex::encode(auditor.public()), public);
        for bad in [&b""[..], b"00", b"xx"] {
            assert!(Auditor::from_file(bad).is_none());
        }
    }

    #[test]
    fn an_entry_opens_for_its_auditors_and_nobody_else() {
        let (one, file) = Auditor::generate().unwrap();
        let (other, _) = Auditor::generate().unwrap();
        let record = record(3, &[*one.public(), *other.public()]);
        for auditor in [&one, &other, &Auditor::from_file(file.as_bytes()).unwrap()] {
            assert_eq!(auditor.open(&[1; 16], &record), Ok(entry(3)));
        }
        let (stranger, _) = Auditor::generate().unwrap();
        assert_eq!(stranger.open(&[1; 16], &record), Err(RecordError::NotForYou));
    }

    #[test]
    fn a_record_that_was_altered_or_moved_does_not_open() {
        let (auditor, _) = Auditor::generate().unwrap();
        let good = record(3, &[*auditor.public()]);
        let with = |change: &dyn Fn(&mut Record)| {
            let mut record = good.clone();
            change(&mut record);
            auditor.open(&[1; 16], &record).unwrap_err()
        };
        assert_eq!(auditor.open(&[2; 16], &good), Err(SealError::Open.into()));
        assert_eq!(with(&|r| r.index = 4), SealError::Open.into());
        assert_eq!(with(&|r| r.leaf[0] ^= 1), RecordError::Leaf);
        assert_eq!(with(&|r| r.copies[0].sealed.ciphertext[0] ^= 1), SealError::Open.into());
        assert_eq!(with(&|r| r.copies[0].sealed.encapsulated[0] ^= 1), SealError::Open.into());
        assert_eq!(with(&|r| r.copies[0].sealed.encapsulated = [0; 32]), SealError::Key.into());
        let other = record(4, &[*auditor.public()]);
        assert_eq!(with(&|r| r.copies.clone_from(&other.copies)), SealError::Open.into());
    }
}

//! Replays the audit log of one boot and compares it with what others have seen of it.
//!
//! # Promises
//! - Every checkpoint is signed by the key that the caller names, stands behind exactly the entries that it
//!   counts, and its root is theirs.
//! - What a client has seen, by a receipt or a checkpoint, is held against the same entries: a tail that is
//!   gone and a history that is another are told apart.
//!
//! # Does not
//! - Need an auditor's key: leaf hashes stand for the entries.
//! - Notice that entries behind the last checkpoint are gone, unless somebody has seen one that counted them.
//!
//! # Trusts
//! - The receipt key, which the caller takes from an attestation document.
//!
//! Source: RFC 9162, section 2.1; `docs/audit.md`.

use super::record::{Record, RecordError};
use super::{boot_of, log_key};
use crate::receipt::{Receipt, ReceiptKey};
use crate::transparency::checkpoint;
use crate::transparency::{Checkpoint, CheckpointRefusal, Frontier, Hash, LogKey, tree};

/// Why a log is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AuditRefusal {
    /// An entry that is none.
    #[error("entry {index}: {error}")]
    Record {
        /// Where it stands.
        index: u64,
        /// Why.
        error: RecordError,
    },
    /// An entry in another place than its own.
    #[error(
        "entry {found} stands where entry {expected} belongs; entries were reordered, added or taken out"
    )]
    Order {
        /// What would be next.
        expected: u64,
        /// What is there.
        found: u64,
    },
    /// A checkpoint that the enclave did not sign.
    #[error("the checkpoint behind {entries} entries: {error}")]
    Checkpoint {
        /// Entries in front of it.
        entries: u64,
        /// Why.
        error: CheckpointRefusal,
    },
    /// A checkpoint that counts another number of entries than stand in front of it.
    #[error("the enclave signed {signed} entries where the log has {found}; entries were added or taken out")]
    Count {
        /// What the checkpoint counts.
        signed: u64,
        /// What there is.
        found: u64,
    },
    /// Entries that are not those that were signed.
    #[error("the first {size} entries are not those that the enclave signed; at least one was changed")]
    Changed {
        /// Entries under the checkpoint.
        size: u64,
    },
    /// Nothing is signed.
    #[error("the log has no checkpoint, so nothing vouches for it; it was cut, or its enclave never started")]
    Unsigned,
    /// A client has seen more.
    #[error("a client has seen {seen} entries and the log has {found}; its tail is lost or was taken away")]
    Tail {
        /// What the client has seen.
        seen: u64,
        /// What there is.
        found: u64,
    },
    /// The enclave signed two histories.
    #[error("the enclave signed two different histories of {size} entries; keep both, and do not rely on it")]
    Fork {
        /// Entries.
        size: u64,
    },
    /// What a client has seen is of another boot or another key.
    #[error("what the client has seen is of another boot or signed by another key than this log")]
    OtherLog,
    /// No such entry under a checkpoint.
    #[error("entry {index} is not among the {size} that are signed")]
    NoSuchEntry {
        /// Which.
        index: u64,
        /// Entries under the last checkpoint.
        size: u64,
    },
}

impl AuditRefusal {
    /// The reason, in one word that does not change.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Record { .. } | Self::Changed { .. } => "audit-changed",
            Self::Order { .. } | Self::Count { .. } => "audit-reordered",
            Self::Checkpoint { .. } => "audit-checkpoint",
            Self::Unsigned => "audit-unsigned",
            Self::Tail { .. } => "audit-tail-lost",
            Self::Fork { .. } => "audit-fork",
            Self::OtherLog => "audit-other-log",
            Self::NoSuchEntry { .. } => "audit-no-such-entry",
        }
    }
}

/// What a client knows of a log: a size and a root that the enclave's key signed. Made from verified things
/// alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    boot: [u8; 16],
    key: ReceiptKey,
    checkpoint: Checkpoint,
}

impl Seen {
    /// From a receipt, if it names the log.
    pub fn by_receipt(receipt: &Receipt) -> Option<Self> {
        let body = receipt.body();
        let logged = body.logged?;
        let size = logged.index.checked_add(1)?;
        Some(Self {
            boot: body.boot,
            key: *receipt.key(),
            checkpoint: Checkpoint { size, root: logged.root },
        })
    }

    /// From a checkpoint that somebody has kept.
    pub fn by_checkpoint(text: &str, key: &ReceiptKey) -> Result<Self, CheckpointRefusal> {
        let boot = boot_of(text).ok_or(CheckpointRefusal::Origin)?;
        let verified = checkpoint::verify(text, &log_key(&boot, key)?)?;
        Ok(Self { boot, key: *key, checkpoint: *verified.checkpoint() })
    }

    /// Which boot.
    pub fn boot(&self) -> &[u8; 16] {
        &self.boot
    }

    /// How many entries.
    pub fn size(&self) -> u64 {
        self.checkpoint.size
    }
}

/// A log as it is read, record by record.
#[derive(Debug)]
pub struct Replay {
    boot: [u8; 16],
    key: ReceiptKey,
    log: LogKey,
    frontier: Frontier,
    leaves: Vec<Hash>,
    signed: Option<Checkpoint>,
}

impl Replay {
    /// Begins with an empty log.
    pub fn new(boot: [u8; 16], key: ReceiptKey) -> Result<Self, CheckpointRefusal> {
        let log = log_key(&boot, &key)?;
        Ok(Self { boot, key, log, frontier: Frontier::default(), leaves: Vec::new(), signed: None })
    }

    /// The next record.
    pub fn record(&mut self, bytes: &[u8]) -> Result<Record, AuditRefusal> {
        let expected = self.frontier.size();
        let record =
            Record::decode(bytes).map_err(|error| AuditRefusal::Record { index: expected, error })?;
        if record.index != expected {
            return Err(AuditRefusal::Order { expected, found: record.index });
        }
        self.frontier.push(record.leaf);
        self.leaves.push(record.leaf);
        Ok(record)
    }

    /// The next checkpoint.
    pub fn checkpoint(&mut self, text: &str) -> Result<(), AuditRefusal> {
        let found = self.frontier.size();
        let verified = checkpoint::verify(text, &self.log)
            .map_err(|error| AuditRefusal::Checkpoint { entries: found, error })?;
        let Checkpoint { size, root } = *verified.checkpoint();
        if size != found {
            return Err(AuditRefusal::Count { signed: size, found });
        }
        if root != self.frontier.root() {
            // An earlier signature of the same size vouches for what stands here.
            let fork = self.signed.is_some_and(|earlier| earlier.size == size);
            return Err(if fork { AuditRefusal::Fork { size } } else { AuditRefusal::Changed { size } });
        }
        self.signed = Some(Checkpoint { size, root });
        Ok(())
    }

    /// The end of the log.
    pub fn finish(self) -> Result<VerifiedLog, AuditRefusal> {
        let Self { boot, key, leaves, signed, .. } = self;
        Ok(VerifiedLog { boot, key, leaves, signed: signed.ok_or(AuditRefusal::Unsigned)? })
    }
}

/// A log that its enclave vouches for, up to its last checkpoint. Made by [`Replay::finish`] alone.
///
/// ```compile_fail,E0451
/// use adyton_attestation::audit::VerifiedLog;
/// let forged = VerifiedLog { boot: [0; 16], key: todo!(), leaves: Vec::new(), signed: todo!() };
/// ```
#[derive(Debug)]
pub struct VerifiedLog {
    boot: [u8; 16],
    key: ReceiptKey,
    leaves: Vec<Hash>,
    signed: Checkpoint,
}

impl VerifiedLog {
    /// Which boot.
    pub fn boot(&self) -> &[u8; 16] {
        &self.boot
    }

    /// The key that signed it.
    pub fn key(&self) -> &ReceiptKey {
        &self.key
    }

    /// The last checkpoint.
    pub fn signed(&self) -> &Checkpoint {
        &self.signed
    }

    /// Entries behind the last checkpoint, which nothing vouches for: the enclave ended before they were
    /// acknowledged.
    pub fn unsigned(&self) -> u64 {
        (self.leaves.len() as u64).saturating_sub(self.signed.size)
    }

    /// Compares the log with what a client has seen.
    pub fn holds(&self, seen: &Seen) -> Result<(), AuditRefusal> {
        if seen.boot != self.boot || seen.key != self.key {
            return Err(AuditRefusal::OtherLog);
        }
        let (size, found) = (seen.checkpoint.size, self.leaves.len() as u64);
        let leaves = usize::try_from(size).ok().and_then(|size| self.leaves.get(..size));
        let leaves = leaves.ok_or(AuditRefusal::Tail { seen: size, found })?;
        match (tree::root(leaves) == seen.checkpoint.root, size <= self.signed.size) {
            (true, _) => Ok(()),
            // The checkpoints in the log vouch for these entries, and the client's receipt for others.
            (false, true) => Err(AuditRefusal::Fork { size }),
            (false, false) => Err(AuditRefusal::Changed { size }),
        }
    }

    /// The leaf hash of an entry and the proof that it is in the tree of the last checkpoint.
    pub fn prove(&self, index: u64) -> Result<(Hash, Vec<Hash>), AuditRefusal> {
        let no_such = AuditRefusal::NoSuchEntry { index, size: self.signed.size };
        let leaves = usize::try_from(self.signed.size).ok().and_then(|size| self.leaves.get(..size));
        let (leaves, at) = leaves.zip(usize::try_from(index).ok()).ok_or(no_such.clone())?;
        let leaf = leaves.get(at).ok_or(no_such.clone())?;
        tree::prove_inclusion(leaves, at).map(|proof| (*leaf, proof)).ok_or(no_such)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::entry::tests::sample;
    use crate::audit::sign_checkpoint;
    use crate::receipt::ReceiptSigner;
    use ring::rand::SystemRandom;

    const BOOT: [u8; 16] = [1; 16];

    #[derive(Clone)]
    enum Line {
        Record(Vec<u8>),
        Checkpoint(String),
    }

    fn signer() -> ReceiptSigner {
        ReceiptSigner::generate(&SystemRandom::new()).unwrap()
    }

    fn record(index: u64, salt: u8) -> Record {
        Record::make(&sample(index), &[salt; 32], &[], &SystemRandom::new()).unwrap()
    }

    /// Entries with a checkpoint after each two.
    fn log(signer: &ReceiptSigner, entries: u64, salt: u8) -> Vec<Line> {
        let (mut frontier, mut lines) = (Frontier::default(), Vec::new());
        for index in 0..entries {
            let record = record(index, salt);
            frontier.push(record.leaf);
            lines.push(Line::Record(record.encode()));
            if index % 2 == 1 {
                let checkpoint = Checkpoint { size: frontier.size(), root: frontier.root() };
                lines.push(Line::Checkpoint(sign_checkpoint(&checkpoint, &BOOT, signer).unwrap()));
            }
        }
        lines
    }

    fn replay(lines: &[Line], key: &ReceiptKey) -> Result<VerifiedLog, AuditRefusal> {
        let mut replay = Replay::new(BOOT, *key).unwrap();
        for line in lines {
            match line {
                Line::Record(bytes) => drop(replay.record(bytes)?),
                Line::Checkpoint(text) => replay.checkpoint(text)?,
            }
        }
        replay.finish()
    }

    fn seen(lines: &[Line], at: usize, key: &ReceiptKey) -> Seen {
        let Line::Checkpoint(text) = &lines[at] else { panic!("no checkpoint at {at}") };
        Seen::by_checkpoint(text, key).unwrap()
    }

    #[test]
    fn a_log_is_verified_to_its_last_checkpoint_and_every_entry_shown() {
        let signer = signer();
        let lines = log(&signer, 7, 9);
        let log = replay(&lines, signer.public()).unwrap();
        assert_eq!((log.signed().size, log.unsigned()), (6, 1));
        for index in 0..6 {
            let (leaf, proof) = log.prove(index).unwrap();
            assert_eq!(tree::verify_inclusion(&leaf, index, 6, &proof, &log.signed().root), Ok(()));
        }
        assert_eq!(log.prove(6), Err(AuditRefusal::NoSuchEntry { index: 6, size: 6 }));
        for at in [2, 5, 8] {
            assert_eq!(log.holds(&seen(&lines, at, signer.public())), Ok(()));
        }
    }

    /// What is done to a log, and what is found.
    #[test]
    fn each_way_to_tamper_is_found_by_its_name() {
        let signer = signer();
        let good = log(&signer, 6, 9);
        let check = |change: &dyn Fn(&mut Vec<Line>)| {
            let mut lines = good.clone();
            change(&mut lines);
            replay(&lines, signer.public()).map(|log| log.signed().size)
        };
        assert_eq!(check(&|_| ()), Ok(6));
        let swap_in = |index: u64| Line::Record(record(index, 7).encode());
        assert_eq!(check(&|l| l[3] = swap_in(2)), Err(AuditRefusal::Changed { size: 4 }));
        assert_eq!(check(&|l| l.swap(3, 4)), Err(AuditRefusal::Order { expected: 2, found: 3 }));
        assert_eq!(check(&|l| drop(l.remove(3))), Err(AuditRefusal::Order { expected: 2, found: 3 }));
        assert_eq!(check(&|l| drop(l.remove(4))), Err(AuditRefusal::Count { signed: 4, found: 3 }));
        assert_eq!(check(&|l| l.insert(5, swap_in(4))), Err(AuditRefusal::Count { signed: 4, found: 5 }));
        assert_eq!(check(&|l| l.swap(2, 5)), Err(AuditRefusal::Count { signed: 4, found: 2 }));
        let cut = |l: &mut Vec<Line>| {
            if let Line::Record(bytes) = &mut l[3] {
                bytes.truncate(20);
            }
        };
        let error = RecordError::Form;
        assert_eq!(check(&cut), Err(AuditRefusal::Record { index: 2, error }));
        assert_eq!(check(&|l| l.clear()), Err(AuditRefusal::Unsigned));
        assert_eq!(check(&|l| l.truncate(2)), Err(AuditRefusal::Unsigned));
        // Whoever cuts at a checkpoint leaves a log that verifies; only what a client has seen tells.
        assert_eq!(check(&|l| l.truncate(6)), Ok(4));
        let other = ReceiptSigner::generate(&SystemRandom::new()).unwrap();
        let error = CheckpointRefusal::NotSigned;
        let refused = Err(AuditRefusal::Checkpoint { entries: 2, error });
        assert_eq!(replay(&good, other.public()).map(|_| ()), refused);
    }

    #[test]
    fn a_lost_tail_and_a_fork_show_beside_what_a_client_has_seen() {
        let signer = signer();
        let key = signer.public();
        let (good, other) = (log(&signer, 6, 9), log(&signer, 6, 7));
        let whole = replay(&good, key).unwrap();
        let short = replay(&good[..6], key).unwrap();
        let last = seen(&good, 8, key);
        assert_eq!(short.holds(&last), Err(AuditRefusal::Tail { seen: 6, found: 4 }));
        assert_eq!(whole.holds(&seen(&other, 5, key)), Err(AuditRefusal::Fork { size: 4 }));
        let mut behind = good[..6].to_vec();
        behind.extend([Line::Record(record(4, 7).encode()), Line::Record(record(5, 7).encode())]);
        assert_eq!(replay(&behind, key).unwrap().holds(&last), Err(AuditRefusal::Changed { size: 6 }));
        let mut twice = good.clone();
        twice.push(other[8].clone());
        assert_eq!(replay(&twice, key).map(|_| ()), Err(AuditRefusal::Fork { size: 6 }));
        let stranger = Seen { boot: [2; 16], ..last };
        assert_eq!(whole.holds(&stranger), Err(AuditRefusal::OtherLog));
    }
}

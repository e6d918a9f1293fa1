//! What leaves the enclave of one entry: its place, its leaf hash, and one sealed copy for each auditor.
//!
//! ```text
//! record    = index (8) || leaf hash (32) || number of copies (1) || copy ..
//! copy      = auditor's public key (32) || encapsulated key (32) || length (2) || ciphertext
//! plaintext = salt (32) || entry
//! leaf hash = SHA-256( 0x00 || plaintext )
//! ```
//!
//! Integers are big-endian.
//!
//! # Promises
//! - `decode(encode(x)) == x`; anything else is refused, and no length is believed before it is compared.
//! - A copy that opens to another entry than the leaf hash commits to is refused.
//!
//! # Does not
//! - Verify the tree; see [`super::verify`].
//!
//! # Trusts
//! - Nobody.

use zeroize::Zeroizing;

use super::entry::{Entry, EntryError, MAX_ENTRY};
use crate::seal::{self, Info, SEAL_OVERHEAD, SealError, Sealed};
use crate::transparency::Hash;
use crate::transparency::tree::leaf_hash;

/// Bytes of an entry's salt: 256 bits, so that nobody finds an entry by hashing guesses.
pub const SALT_LEN: usize = 32;

/// Most auditors.
pub const MAX_AUDITORS: usize = 8;

/// Longest record: every copy of the longest entry, below 33 KiB.
pub const MAX_RECORD: usize = FIXED + MAX_AUDITORS * (COPY + MAX_CIPHERTEXT);

const FIXED: usize = 8 + 32 + 1;
const COPY: usize = 32 + 32 + 2;
const MAX_CIPHERTEXT: usize = SALT_LEN + MAX_ENTRY + SEAL_OVERHEAD;

/// One entry as the host keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its place in the log.
    pub index: u64,
    /// Commits to the entry.
    pub leaf: Hash,
    /// For the auditors. None where there are none.
    pub copies: Vec<Copy>,
}

/// The entry, sealed to one auditor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copy {
    /// The auditor's public key.
    pub auditor: [u8; 32],
    /// What only its private key opens.
    pub sealed: Sealed,
}

/// Why bytes are no record, or a record does not open.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// Cut, too long, or with lengths that do not add up.
    #[error("the record's lengths do not add up; it was altered or cut")]
    Form,
    /// More than eight copies.
    #[error("the record has {0} sealed copies, more than the 8 allowed; it was altered")]
    Copies(u8),
    /// No copy for this auditor.
    #[error(
        "the record is not sealed to this auditor's key; use the key of an auditor that the policy named"
    )]
    NotForYou,
    /// The copy does not open.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// What was sealed is no entry.
    #[error(transparent)]
    Entry(#[from] EntryError),
    /// What was sealed is not what the leaf hash commits to.
    #[error("the sealed entry is not the one in the tree; the record was put together of two")]
    Leaf,
    /// The entry names another boot or index than its place.
    #[error("the sealed entry is of another place or another log; the record was moved")]
    Place,
}

impl Record {
    /// Hashes an entry with a salt and seals it to each auditor.
    pub fn make(
        entry: &Entry,
        salt: &[u8; SALT_LEN],
        auditors: &[[u8; 32]],
        random: &dyn ring::rand::SecureRandom,
    ) -> Result<Self, RecordError> {
        if auditors.len() > MAX_AUDITORS {
            return Err(RecordError::Copies(u8::try_from(auditors.len()).unwrap_or(u8::MAX)));
        }
        let plaintext = Zeroizing::new([salt.as_slice(), &entry.encode()?].concat());
        let aad = place(&entry.boot, entry.index);
        let copies = auditors.iter().map(|auditor| {
            Ok(Copy {
                auditor: *auditor,
                sealed: seal::seal(Info::Audit, auditor, &aad, &plaintext, random)?,
            })
        });
        let copies = copies.collect::<Result<_, SealError>>()?;
        Ok(Self { index: entry.index, leaf: leaf_hash(&plaintext), copies })
    }

    /// The record's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = self.index.to_be_bytes().to_vec();
        out.extend_from_slice(&self.leaf);
        // Bounded where records are made and read.
        out.push(u8::try_from(self.copies.len()).unwrap_or(u8::MAX));
        for copy in &self.copies {
            out.extend_from_slice(&copy.auditor);
            out.extend_from_slice(&copy.sealed.encapsulated);
            out.extend_from_slice(
                &u16::try_from(copy.sealed.ciphertext.len()).unwrap_or(u16::MAX).to_be_bytes(),
            );
            out.extend_from_slice(&copy.sealed.ciphertext);
        }
        out
    }

    /// Reads a record.
    pub fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        if bytes.len() > MAX_RECORD {
            return Err(RecordError::Form);
        }
        let mut rest = bytes;
        let index = u64::from_be_bytes(take(&mut rest)?);
        let leaf = take(&mut rest)?;
        let [count] = take(&mut rest)?;
        if usize::from(count) > MAX_AUDITORS {
            return Err(RecordError::Copies(count));
        }
        let copies = (0..count).map(|_| Copy::read(&mut rest)).collect::<Result<_, _>>()?;
        if rest.is_empty() { Ok(Self { index, leaf, copies }) } else { Err(RecordError::Form) }
    }

    /// Opens the copy for `auditor` and compares the entry with the leaf hash and with its place. `shared` is
    /// given the encapsulated key and returns the X25519 secret of it and the auditor's private key; `None`
    /// refuses.
    pub fn open(
        &self,
        boot: &[u8; 16],
        auditor: &[u8; 32],
        shared: impl FnOnce(&[u8; 32]) -> Option<[u8; 32]>,
    ) -> Result<Entry, RecordError> {
        let copy = self.copies.iter().find(|copy| copy.auditor == *auditor).ok_or(RecordError::NotForYou)?;
        let secret = Zeroizing::new(shared(&copy.sealed.encapsulated).ok_or(SealError::Key)?);
        let plaintext = seal::open(Info::Audit, &secret, auditor, &place(boot, self.index), &copy.sealed)?;
        if leaf_hash(&plaintext) != self.leaf {
            return Err(RecordError::Leaf);
        }
        let entry = Entry::decode(plaintext.get(SALT_LEN..).unwrap_or_default())?;
        if entry.boot == *boot && entry.index == self.index { Ok(entry) } else { Err(RecordError::Place) }
    }
}

impl Copy {
    fn read(rest: &mut &[u8]) -> Result<Self, RecordError> {
        let auditor = take(rest)?;
        let encapsulated = take(rest)?;
        let length = usize::from(u16::from_be_bytes(take(rest)?));
        let (ciphertext, after) = rest.split_at_checked(length).ok_or(RecordError::Form)?;
        *rest = after;
        if length > MAX_CIPHERTEXT {
            return Err(RecordError::Form);
        }
        Ok(Self { auditor, sealed: Sealed { encapsulated, ciphertext: ciphertext.to_vec() } })
    }
}

/// What a sealed copy is tied to.
fn place(boot: &[u8; 16], index: u64) -> [u8; 24] {
    let mut out = [0; 24];
    for (to, from) in out.iter_mut().zip(boot.iter().chain(&index.to_be_bytes())) {
        *to = *from;
    }
    out
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], RecordError> {
    let (taken, after) = rest.split_first_chunk::<N>().ok_or(RecordError::Form)?;
    *rest = after;
    Ok(*taken)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::entry::tests::sample;
    use ring::rand::SystemRandom;

    fn record(auditors: &[[u8; 32]]) -> Record {
        Record::make(&sample(5), &[9; 32], auditors, &SystemRandom::new()).unwrap()
    }

    #[test]
    fn records_round_trip_and_lengths_must_add_up() {
        for auditors in [&[][..], &[[9; 32]], &[[9; 32], [8; 32]]] {
            let record = record(auditors);
            let bytes = record.encode();
            assert_eq!(Record::decode(&bytes), Ok(record));
            for end in 0..bytes.len() {
                assert_eq!(Record::decode(&bytes[..end]), Err(RecordError::Form));
            }
            assert_eq!(Record::decode(&[bytes.as_slice(), &[0]].concat()), Err(RecordError::Form));
            let mut many = bytes.clone();
            many[40] = 9;
            assert_eq!(Record::decode(&many), Err(RecordError::Copies(9)));
        }
        assert_eq!(Record::decode(&vec![0; MAX_RECORD + 1]), Err(RecordError::Form));
    }

    #[test]
    fn the_leaf_is_salted_and_the_record_shows_nothing_of_the_entry() {
        let plain = sample(5).encode().unwrap();
        let (one, other) =
            (record(&[]), Record::make(&sample(5), &[8; 32], &[], &SystemRandom::new()).unwrap());
        assert_ne!(one.leaf, other.leaf);
        assert_eq!(one.leaf, leaf_hash(&[[9; 32].as_slice(), &plain].concat()));
        let bytes = record(&[[9; 32]]).encode();
        assert!(!bytes.windows(7).any(|window| window == b"general"));
    }

    #[test]
    fn more_auditors_than_a_record_holds_are_refused() {
        let made = Record::make(&sample(0), &[0; 32], &[[9; 32]; 9], &SystemRandom::new());
        assert_eq!(made, Err(RecordError::Copies(9)));
    }
}

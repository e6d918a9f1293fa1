//! Names who may sign: the keys of a version's successor, and the keys that a relying party pinned.
//!
//! # Promises
//! - At least one key, none twice, and a threshold that the keys can reach.
//! - A signature counts once for its key, however often it is there.
//!
//! # Does not
//! - Say that two keys belong to two people.
//!
//! # Trusts
//! - Whoever names the keys.

use serde::Serialize;

use super::ReferenceError;
use super::read::Node;
use crate::ed25519::{PublicKey, SIGNATURE_LEN};

/// Most keys of one set. A quorum of people is far smaller, and each costs a verification.
pub const MAX_SIGNERS: usize = 16;

/// Why keys are no set of signers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignersError {
    /// No key.
    #[error("no signer is named; name the public key of whoever publishes the reference values")]
    None,
    /// Too many keys.
    #[error("{keys} signers are named, more than the 16 allowed; name fewer")]
    TooMany {
        /// How many.
        keys: usize,
    },
    /// One key twice.
    #[error("a signer is named twice, which would let one person count as two; remove one")]
    Twice,
    /// A threshold of none, or of more than there are.
    #[error("a threshold of {threshold} out of {keys} signers cannot be; choose one from 1 to {keys}")]
    Threshold {
        /// What was asked for.
        threshold: u32,
        /// How many keys there are.
        keys: usize,
    },
}

/// Keys, and how many of them must sign.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Signers {
    keys: Vec<PublicKey>,
    threshold: u32,
}

impl Signers {
    /// From the keys, in any order.
    pub fn new(mut keys: Vec<PublicKey>, threshold: u32) -> Result<Self, SignersError> {
        if keys.is_empty() {
            return Err(SignersError::None);
        }
        if keys.len() > MAX_SIGNERS {
            return Err(SignersError::TooMany { keys: keys.len() });
        }
        keys.sort_unstable();
        if keys.windows(2).any(|pair| pair.first() == pair.last()) {
            return Err(SignersError::Twice);
        }
        if threshold == 0 || usize::try_from(threshold).map_or(true, |needed| needed > keys.len()) {
            return Err(SignersError::Threshold { threshold, keys: keys.len() });
        }
        Ok(Self { keys, threshold })
    }

    /// Reads `{"keys": [..], "threshold": n}`.
    pub(super) fn read(node: &Node<'_>) -> Result<Result<Self, SignersError>, ReferenceError> {
        let fields = node.fields(&["keys", "threshold"])?;
        let keys = fields.get("keys")?.list()?.map(|key| key.public_key()).collect::<Result<_, _>>()?;
        Ok(Self::new(keys, fields.get("threshold")?.number32()?))
    }

    /// The keys, sorted.
    pub fn keys(&self) -> &[PublicKey] {
        &self.keys
    }

    /// How many must sign.
    pub fn threshold(&self) -> u32 {
        self.threshold
    }

    /// How many of these keys signed the message.
    pub(super) fn count(&self, message: &[u8], signatures: &[Signature]) -> u32 {
        let signed = |key: &&PublicKey| {
            signatures.iter().any(|one| one.key == **key && key.verifies(message, &one.signature))
        };
        // At most sixteen keys.
        self.keys.iter().filter(signed).count() as u32
    }
}

/// One signature of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// Whose it says it is.
    pub key: PublicKey,
    /// The signature, not yet verified.
    pub signature: [u8; SIGNATURE_LEN],
}

/// What a relying party pins: who may sign for it, and the name of the reference values that it means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trust {
    signers: Signers,
    name: Option<String>,
}

impl Trust {
    /// Files that these signers sign, of whatever name.
    pub fn new(signers: Signers) -> Self {
        Self { signers, name: None }
    }

    /// Only files of this name. Without it, one who hands out files can choose among all that these signers sign.
    #[must_use]
    pub fn named(self, name: &str) -> Self {
        Self { name: Some(name.to_owned()), ..self }
    }

    /// The pinned signers.
    pub fn signers(&self) -> &Signers {
        &self.signers
    }

    pub(super) fn accepts_name(&self, name: &str) -> bool {
        self.name.as_deref().is_none_or(|wanted| wanted == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ed25519::tests::signer;

    #[test]
    fn the_table_of_sets() {
        let key = |seed| signer(seed).public();
        let many: Vec<PublicKey> = (1..=17).map(key).collect();
        for (keys, threshold, expected) in [
            (vec![], 1, Err(SignersError::None)),
            (many.clone(), 1, Err(SignersError::TooMany { keys: 17 })),
            (vec![key(1), key(2), key(1)], 1, Err(SignersError::Twice)),
            (vec![key(1)], 0, Err(SignersError::Threshold { threshold: 0, keys: 1 })),
            (vec![key(1)], 2, Err(SignersError::Threshold { threshold: 2, keys: 1 })),
            (many[..16].to_vec(), 16, Ok(16)),
        ] {
            assert_eq!(Signers::new(keys, threshold).map(|signers| signers.keys().len()), expected);
        }
        let (one, other) = (Signers::new(vec![key(1), key(2)], 1), Signers::new(vec![key(2), key(1)], 1));
        assert_eq!(one, other);
    }

    #[test]
    fn one_key_counts_once() {
        let signers = Signers::new(vec![signer(1).public(), signer(2).public()], 2).unwrap();
        let by = |seed: u8, message: &[u8]| Signature {
            key: signer(seed).public(),
            signature: signer(seed).sign(message),
        };
        let count = |signatures: &[Signature]| signers.count(b"m", signatures);
        assert_eq!(count(&[by(1, b"m"), by(1, b"m"), by(3, b"m")]), 1);
        assert_eq!(count(&[by(1, b"other"), by(1, b"m"), by(2, b"m")]), 2);
        assert_eq!(count(&[Signature { key: signer(2).public(), ..by(1, b"m") }]), 0);
    }
}

//! An operator's word that one running enclave is his: a signature over the receipt key that its evidence carries.
//!
//! Anybody can start the same public image. Where neither signer, role nor instance is pinned, an operator can look at
//! his own enclave once, and endorse it; clients who pin the operator's key then tell it from every other.
//!
//! What is signed, with `lp(x)` = length of x as four bytes big-endian, then x:
//!
//! ```text
//! lp("adyton/endorsement/v1") || lp(receipt key, 44 bytes) || not_before (8 bytes, ms) || not_after (8 bytes, ms)
//! ```
//!
//! # Promises
//! - An [`Endorsement`] is an allegation until [`Endorsement::check`] has said otherwise, for one key and one time.
//! - No endorsement outlives [`MAX_LIFE`].
//!
//! # Does not
//! - Name an image, a manifest or a connection: the document in which the receipt key stands is bound to all three.
//!
//! # Trusts
//! - The operator whose key the relying party pins.
//!
//! Source: RFC 9334, sections 4.1 and 7.3 (endorser, endorsement); RFC 8032 (Ed25519).

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::binding::length_prefixed;
use crate::ed25519::{PublicKey, Signer};
use crate::receipt::ReceiptKey;
use crate::time::Timestamp;

const DOMAIN: &[u8] = b"adyton/endorsement/v1";

/// Largest file that is read.
const MAX_JSON: usize = 4096;

/// Longest life of an endorsement: an enclave that runs longer than this is looked at again.
pub const MAX_LIFE: Duration = Duration::from_secs(366 * 24 * 3600);

/// Why an endorsement does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EndorsementError {
    /// Not the JSON that we write.
    #[error("the endorsement is not readable; ask the operator for the file again")]
    Json,
    /// Signed by somebody else than the pinned operator.
    #[error("the endorsement is not signed by the operator whom you pin; do not talk to the enclave")]
    Endorser,
    /// It is for another enclave.
    #[error("the endorsement is for another enclave or an earlier start; ask the operator for a new one")]
    Key,
    /// The signature.
    #[error("the endorsement's signature does not verify; it was altered, do not talk to the enclave")]
    Signature,
    /// It begins after it ends, or lives too long.
    #[error("the endorsement's life is empty or longer than 366 days; ask the operator for another")]
    Life,
    /// Not valid yet.
    #[error(
        "the endorsement begins {ahead_secs} s after this computer's clock; that clock is probably behind"
    )]
    NotYetValid {
        /// How many seconds.
        ahead_secs: u64,
    },
    /// Not valid any more.
    #[error("the endorsement ended {past_secs} s ago; ask the operator for a new one")]
    Expired {
        /// How many seconds.
        past_secs: u64,
    },
    /// The operator's key cannot sign.
    #[error("the operator's key is not ed25519 in pkcs#8; make a new one")]
    OperatorKey,
}

/// An operator's word about one enclave. Nothing in it is verified.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Endorsement {
    endorser: PublicKey,
    #[serde(with = "hex::serde")]
    receipt_key: [u8; 32],
    not_before_ms: Timestamp,
    not_after_ms: Timestamp,
    #[serde(with = "hex::serde")]
    signature: [u8; 64],
}

impl Endorsement {
    /// Signs. `pkcs8` is the operator's Ed25519 key.
    ///
    /// # Errors
    /// [`EndorsementError::OperatorKey`], or [`EndorsementError::Life`] for a life that no verifier would accept.
    pub fn sign(
        pkcs8: &[u8],
        receipt_key: &ReceiptKey,
        not_before: Timestamp,
        not_after: Timestamp,
    ) -> Result<Self, EndorsementError> {
        life(not_before, not_after)?;
        let signer = Signer::from_pkcs8(pkcs8).map_err(|_| EndorsementError::OperatorKey)?;
        let signature = signer.sign(&message(receipt_key, not_before, not_after));
        Ok(Self {
            endorser: signer.public(),
            receipt_key: *receipt_key.as_bytes(),
            not_before_ms: not_before,
            not_after_ms: not_after,
            signature,
        })
    }

    /// Reads the JSON of [`Self::to_json`], strictly.
    ///
    /// # Errors
    /// [`EndorsementError::Json`]
    pub fn from_json(json: &[u8]) -> Result<Self, EndorsementError> {
        if json.len() > MAX_JSON {
            return Err(EndorsementError::Json);
        }
        serde_json::from_slice(json).map_err(|_| EndorsementError::Json)
    }

    /// As JSON.
    pub fn to_json(&self) -> String {
        // Numbers and hexadecimal text: nothing in it can fail to serialize.
        serde_json::to_string_pretty(self).unwrap_or_default()
    }

    /// Who says that he signed it.
    pub fn endorser(&self) -> PublicKey {
        self.endorser
    }

    /// Until when it says that it holds.
    pub fn not_after(&self) -> Timestamp {
        self.not_after_ms
    }

    /// Whether `endorser` vouches for the enclave with this receipt key at `at`; `leeway_ms` on both sides.
    ///
    /// # Errors
    /// One [`EndorsementError`] for each reason.
    pub fn check(
        &self,
        endorser: &PublicKey,
        receipt_key: &ReceiptKey,
        at: Timestamp,
        leeway_ms: u64,
    ) -> Result<(), EndorsementError> {
        if self.endorser != *endorser {
            return Err(EndorsementError::Endorser);
        }
        if self.receipt_key != *receipt_key.as_bytes() {
            return Err(EndorsementError::Key);
        }
        if !endorser.verifies(&message(receipt_key, self.not_before_ms, self.not_after_ms), &self.signature) {
            return Err(EndorsementError::Signature);
        }
        life(self.not_before_ms, self.not_after_ms)?;
        let ahead = self.not_before_ms.millis_since(at.plus_millis(leeway_ms));
        if ahead > 0 {
            return Err(EndorsementError::NotYetValid {
                ahead_secs: self.not_before_ms.millis_since(at) / 1000,
            });
        }
        if at.millis_since(self.not_after_ms) > leeway_ms {
            return Err(EndorsementError::Expired { past_secs: at.millis_since(self.not_after_ms) / 1000 });
        }
        Ok(())
    }
}

fn life(from: Timestamp, to: Timestamp) -> Result<(), EndorsementError> {
    let life = to.millis_since(from);
    if life == 0 || u128::from(life) > MAX_LIFE.as_millis() { Err(EndorsementError::Life) } else { Ok(()) }
}

fn message(key: &ReceiptKey, not_before: Timestamp, not_after: Timestamp) -> Vec<u8> {
    let mut message = length_prefixed(&[DOMAIN, &key.spki()]);
    message.extend_from_slice(&not_before.as_millis().to_be_bytes());
    message.extend_from_slice(&not_after.as_millis().to_be_bytes());
    message
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::receipt::ReceiptSigner;

    const FROM: Timestamp = Timestamp::from_secs(1_793_701_230);
    const TO: Timestamp = Timestamp::from_secs(1_793_801_230);

    fn key() -> ReceiptKey {
        let signer = ReceiptSigner::generate(&ring::rand::SystemRandom::new()).unwrap();
        ReceiptKey::from_spki(&signer.public_key_spki()).unwrap()
    }

    #[test]
    fn each_reason_is_told() {
        let pkcs8 = Signer::new_pkcs8(&ring::rand::SystemRandom::new()).unwrap();
        let enclave = key();
        let good = Endorsement::sign(&pkcs8, &enclave, FROM, TO).unwrap();
        let operator = good.endorser();
        let check = |word: &Endorsement, at| word.check(&operator, &enclave, at, 60_000);
        assert_eq!(check(&good, FROM), Ok(()));
        assert_eq!(Endorsement::from_json(good.to_json().as_bytes()), Ok(good.clone()));
        assert_eq!(check(&good, Timestamp::from_millis(TO.as_millis() + 60_000)), Ok(()));
        let late = Timestamp::from_millis(TO.as_millis() + 61_000);
        assert_eq!(check(&good, late), Err(EndorsementError::Expired { past_secs: 61 }));
        let early = Timestamp::from_millis(FROM.as_millis() - 61_000);
        assert_eq!(check(&good, early), Err(EndorsementError::NotYetValid { ahead_secs: 61 }));
        assert_eq!(good.check(&operator, &key(), FROM, 0), Err(EndorsementError::Key));
        assert_eq!(good.check(&PublicKey::new([1; 32]), &enclave, FROM, 0), Err(EndorsementError::Endorser));
        let longer = Endorsement { not_after_ms: TO.plus_millis(1), ..good.clone() };
        assert_eq!(check(&longer, FROM), Err(EndorsementError::Signature));
        let mut flipped = good.clone();
        flipped.signature[63] ^= 1;
        assert_eq!(check(&flipped, FROM), Err(EndorsementError::Signature));
        for (from, to) in [(TO, FROM), (FROM, FROM), (FROM, Timestamp::from_millis(u64::MAX))] {
            assert_eq!(Endorsement::sign(&pkcs8, &enclave, from, to), Err(EndorsementError::Life));
        }
        assert_eq!(Endorsement::sign(&[1], &enclave, FROM, TO), Err(EndorsementError::OperatorKey));
        assert_eq!(Endorsement::from_json(b"{}"), Err(EndorsementError::Json));
    }
}

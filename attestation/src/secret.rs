//! Hands a secret to an enclave that runs: a key that it offers once, and a box sealed to it.
//!
//! ```text
//! enclave    makes a key, signs lp("adyton/secret-key/v1") || boot (16) || key (32) with the receipt key
//! person     checks it with the receipt key that the evidence names, seals, and signs a ballot over the box
//! enclave    agrees once, opens, forgets the key
//! ```
//!
//! `lp(x)` is the length of x as four bytes big-endian, then x.
//!
//! # Promises
//! - Nothing is sealed but to an [`OfferedKey`], which exists only where a given receipt key signed it for a given boot.
//! - A [`OneTimeKey`] opens one box and is gone, whether it opened or not: no key of the enclave opens a box of yesterday.
//! - A box is tied to the boot for which it was sealed.
//!
//! # Does not
//! - Say who may hand a secret over; [`crate::ballot`] says who did.
//!
//! # Trusts
//! - The receipt key that its caller names; an attestation document says whose it is.
//!
//! Source: RFC 9180 (sealing, [`crate::seal`]), RFC 8032 (Ed25519).

use ring::agreement::{EphemeralPrivateKey, UnparsedPublicKey, X25519, agree_ephemeral};
use ring::rand::SecureRandom;
use std::fmt;
use zeroize::Zeroizing;

use crate::binding::length_prefixed;
use crate::ed25519::{PublicKey, SIGNATURE_LEN};
use crate::measurement::sha256;
use crate::receipt::{ReceiptKey, ReceiptSigner};
use crate::seal::{self, Info, SealError, Sealed};

const OFFER: &[u8] = b"adyton/secret-key/v1";
/// Longest secret, in bytes.
pub const MAX_SECRET: usize = 4096;

/// The enclave's half: a key for one box.
pub struct OneTimeKey {
    private: EphemeralPrivateKey,
    public: [u8; 32],
}

impl fmt::Debug for OneTimeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OneTimeKey")
    }
}

impl OneTimeKey {
    /// Makes one.
    ///
    /// # Errors
    /// [`SealError::Randomness`]
    pub fn generate(random: &dyn SecureRandom) -> Result<Self, SealError> {
        let private = EphemeralPrivateKey::generate(&X25519, random).map_err(|_| SealError::Randomness)?;
        let public = private.compute_public_key().map_err(|_| SealError::Randomness)?;
        let public = public.as_ref().try_into().map_err(|_| SealError::Randomness)?;
        Ok(Self { private, public })
    }

    /// What it is known by.
    pub fn public(&self) -> &[u8; 32] {
        &self.public
    }

    /// Signs the offer: seal to this key, in this boot.
    pub fn offer(&self, boot: &[u8; 16], signer: &ReceiptSigner) -> [u8; SIGNATURE_LEN] {
        signer.sign_lines(&offered(boot, &self.public))
    }

    /// Opens a box.
    ///
    /// # Errors
    /// [`SealError`]
    pub fn open(self, boot: &[u8; 16], sealed: &Sealed) -> Result<Zeroizing<Vec<u8>>, SealError> {
        if sealed.ciphertext.len() > MAX_SECRET + seal::SEAL_OVERHEAD {
            return Err(SealError::Open);
        }
        let Self { private, public } = self;
        let peer = UnparsedPublicKey::new(&X25519, sealed.encapsulated);
        // ring refuses a point of low order here.
        let agreed = agree_ephemeral(private, &peer, |dh| {
            let mut secret = Zeroizing::new([0; 32]);
            secret.iter_mut().zip(dh).for_each(|(to, from)| *to = *from);
            seal::open(Info::Secret, &secret, &public, boot, sealed)
        });
        agreed.map_err(|_| SealError::Key)?
    }
}

/// A key to which a person may seal: the receipt key of this boot offered it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OfferedKey {
    boot: [u8; 16],
    key: [u8; 32],
}

impl OfferedKey {
    /// Checks an offer; `None` if `receipt` did not sign it.
    pub fn verify(
        boot: &[u8; 16],
        key: &[u8; 32],
        signature: &[u8; SIGNATURE_LEN],
        receipt: &ReceiptKey,
    ) -> Option<Self> {
        let signed = PublicKey::new(*receipt.as_bytes()).verifies(&offered(boot, key), signature);
        signed.then_some(Self { boot: *boot, key: *key })
    }

    /// Which boot offered it.
    pub fn boot(&self) -> &[u8; 16] {
        &self.boot
    }

    /// The key.
    pub fn key(&self) -> &[u8; 32] {
        &self.key
    }

    /// Seals a secret.
    ///
    /// # Errors
    /// [`SealError`]; [`SealError::Open`] for one that is longer than [`MAX_SECRET`], which would not be opened.
    pub fn seal(&self, secret: &[u8], random: &dyn SecureRandom) -> Result<Sealed, SealError> {
        if secret.len() > MAX_SECRET {
            return Err(SealError::Open);
        }
        seal::seal(Info::Secret, &self.key, &self.boot, secret, random)
    }
}

/// What a ballot names of a box: SHA-256 over the encapsulated key and the ciphertext.
pub fn box_digest(sealed: &Sealed) -> [u8; 32] {
    sha256(&[&sealed.encapsulated, &sealed.ciphertext])
}

fn offered(boot: &[u8; 16], key: &[u8; 32]) -> Vec<u8> {
    [&length_prefixed(&[OFFER])[..], boot, key].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ring::rand::SystemRandom;

    const BOOT: [u8; 16] = [5; 16];

    fn made() -> (OneTimeKey, OfferedKey, ReceiptSigner) {
        let random = SystemRandom::new();
        let (key, signer) =
            (OneTimeKey::generate(&random).unwrap(), ReceiptSigner::generate(&random).unwrap());
        let signature = key.offer(&BOOT, &signer);
        let offered = OfferedKey::verify(&BOOT, key.public(), &signature, signer.public()).unwrap();
        (key, offered, signer)
    }

    #[test]
    fn a_secret_arrives_in_the_boot_that_offered_the_key() {
        let random = SystemRandom::new();
        let (key, offered, _) = made();
        let sealed = offered.seal(b"password", &random).unwrap();
        assert_eq!(&**key.open(&BOOT, &sealed).unwrap(), b"password");
        let (key, offered, _) = made();
        let sealed = offered.seal(b"password", &random).unwrap();
        assert_eq!(key.open(&[6; 16], &sealed).unwrap_err(), SealError::Open);
        let (other, _, _) = made();
        assert_eq!(other.open(&BOOT, &sealed).unwrap_err(), SealError::Open);
    }

    #[test]
    fn an_offer_is_of_one_boot_one_key_and_one_signer() {
        let (key, _, signer) = made();
        let signature = key.offer(&BOOT, &signer);
        let (other, _, stranger) = made();
        let verify = |boot: &[u8; 16], key: &OneTimeKey, receipt: &ReceiptSigner| {
            OfferedKey::verify(boot, key.public(), &signature, receipt.public())
        };
        assert!(verify(&BOOT, &key, &signer).is_some());
        assert_eq!(verify(&[6; 16], &key, &signer), None);
        assert_eq!(verify(&BOOT, &other, &signer), None);
        assert_eq!(verify(&BOOT, &key, &stranger), None);
    }

    #[test]
    fn what_an_auditor_could_open_is_no_secret_and_what_is_too_long_neither() {
        let random = SystemRandom::new();
        let (key, offered, _) = made();
        let for_auditors = seal::seal(Info::Audit, offered.key(), &BOOT, b"password", &random).unwrap();
        assert_eq!(key.open(&BOOT, &for_auditors).unwrap_err(), SealError::Open);
        assert_eq!(offered.seal(&[0; MAX_SECRET + 1], &random), Err(SealError::Open));
        let (key, offered, _) = made();
        let sealed = offered.seal(&[7; MAX_SECRET], &random).unwrap();
        assert_eq!(key.open(&BOOT, &sealed).unwrap().len(), MAX_SECRET);
        let (key, _, _) = made();
        let low = Sealed { encapsulated: [0; 32], ciphertext: vec![0; 32] };
        assert_eq!(key.open(&BOOT, &low).unwrap_err(), SealError::Key);
    }
}

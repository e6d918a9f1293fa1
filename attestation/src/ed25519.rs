//! Holds the Ed25519 keys of those who sign reference values and logs.
//!
//! # Promises
//! - A public key is 32 bytes and is written as 64 hexadecimal digits.
//! - A [`Signer`] shows nobody its private key; ring keeps it.
//!
//! # Does not
//! - Say whose key it is. Whoever pins a key does.
//! - Store keys; it makes and reads PKCS#8 bytes.
//!
//! # Trusts
//! - The random source that the caller brings.
//!
//! Source: RFC 8032 (Ed25519), RFC 8410 (PKCS#8).

use std::fmt;

use ring::rand::SecureRandom;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// Bytes of a public key (RFC 8032, section 5.1.5).
pub const PUBLIC_KEY_LEN: usize = 32;

/// Bytes of a signature (RFC 8032, section 5.1.6).
pub const SIGNATURE_LEN: usize = 64;

/// An Ed25519 public key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey([u8; PUBLIC_KEY_LEN]);

impl PublicKey {
    /// From the 32 bytes.
    pub const fn new(bytes: [u8; PUBLIC_KEY_LEN]) -> Self {
        Self(bytes)
    }

    /// From 64 hexadecimal digits; `None` for anything else.
    pub fn from_hex(text: &str) -> Option<Self> {
        let mut bytes = [0; PUBLIC_KEY_LEN];
        hex::decode_to_slice(text, &mut bytes).ok()?;
        Some(Self(bytes))
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; PUBLIC_KEY_LEN] {
        &self.0
    }

    /// Whether the signature over the message is of this key.
    pub fn verifies(&self, message: &[u8], signature: &[u8; SIGNATURE_LEN]) -> bool {
        UnparsedPublicKey::new(&ED25519, self.0).verify(message, signature).is_ok()
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for PublicKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PublicKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::from_hex(&text).ok_or_else(|| D::Error::custom("a public key is 64 hexadecimal digits"))
    }
}

/// Why there is no signer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The bytes are not an Ed25519 key in PKCS#8.
    #[error("the key is not ed25519 in pkcs#8; make one with `adyton policy key`")]
    Key,
    /// The random source failed.
    #[error("the random source gave no key; try again")]
    Randomness,
}

/// Signs with an Ed25519 key.
pub struct Signer {
    pair: Ed25519KeyPair,
    public: PublicKey,
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Signer").field(&self.public).finish()
    }
}

impl Signer {
    /// From a key in PKCS#8 version 2.
    pub fn from_pkcs8(pkcs8: &[u8]) -> Result<Self, KeyError> {
        let pair = Ed25519KeyPair::from_pkcs8(pkcs8).map_err(|_| KeyError::Key)?;
        Self::from_pair(pair).ok_or(KeyError::Key)
    }

    /// From the 32 bytes of a seed (RFC 8032, section 5.1.5): for whoever derives keys, as tests do.
    pub fn from_seed(seed: &[u8; 32]) -> Result<Self, KeyError> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| KeyError::Key)?;
        Self::from_pair(pair).ok_or(KeyError::Key)
    }

    fn from_pair(pair: Ed25519KeyPair) -> Option<Self> {
        let public = PublicKey(pair.public_key().as_ref().try_into().ok()?);
        Some(Self { pair, public })
    }

    /// A new key in PKCS#8, wiped when it is dropped.
    pub fn new_pkcs8(random: &dyn SecureRandom) -> Result<zeroize::Zeroizing<Vec<u8>>, KeyError> {
        let key = Ed25519KeyPair::generate_pkcs8(random).map_err(|_| KeyError::Randomness)?;
        Ok(zeroize::Zeroizing::new(key.as_ref().to_vec()))
    }

    /// Its public key.
    pub fn public(&self) -> PublicKey {
        self.public
    }

    /// The signature. Ed25519 is deterministic: the same message gives the same bytes.
    pub fn sign(&self, message: &[u8]) -> [u8; SIGNATURE_LEN] {
        let mut out = [0; SIGNATURE_LEN];
        // Both have 64 bytes; zip cannot leave one unwritten.
        for (to, from) in out.iter_mut().zip(self.pair.sign(message).as_ref()) {
            *to = *from;
        }
        out
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A signer that is the same on each run.
    pub(crate) fn signer(seed: u8) -> Signer {
        Signer::from_seed(&[seed; 32]).unwrap()
    }

    #[test]
    fn a_key_signs_and_another_does_not_verify() {
        let random = ring::rand::SystemRandom::new();
        let one = Signer::from_pkcs8(&Signer::new_pkcs8(&random).unwrap()).unwrap();
        let signature = one.sign(b"message");
        assert!(one.public().verifies(b"message", &signature));
        assert!(!one.public().verifies(b"messagf", &signature));
        assert!(!signer(7).public().verifies(b"message", &signature));
        assert_eq!(PublicKey::from_hex(&one.public().to_string()), Some(one.public()));
        assert_eq!(PublicKey::from_hex("00"), None);
        assert_eq!(Signer::from_pkcs8(b"nothing").unwrap_err(), KeyError::Key);
    }
}

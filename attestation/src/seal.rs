//! Seals bytes to an X25519 key: HPKE in base mode, one message a context.
//!
//! The suite is DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-256-GCM; `info` is that of an [`Info`]. Each
//! message has an ephemeral key of its own, so the sequence number is always 0 and the nonce is the base
//! nonce.
//!
//! # Promises
//! - Only the holder of the recipient's private key opens a message, and only for the same use, with the same
//!   associated data.
//! - The ephemeral private key exists inside ring, for one agreement; nobody can read it.
//!
//! # Does not
//! - Say who sealed. Of entries the tree and its checkpoints do, of secrets a ballot.
//! - Compute the recipient's side of the agreement: ring has no long-lived X25519 keys, so whoever opens brings
//!   the secret.
//!
//! # Trusts
//! - The random source that the caller brings.
//!
//! Source: RFC 9180, sections 4.1, 5.1 and 5.2; the known answers are those of its appendix A.1.1.

use ring::aead::{AES_256_GCM, Aad, Algorithm, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::agreement::{EphemeralPrivateKey, UnparsedPublicKey, X25519, agree_ephemeral};
use ring::hkdf::{HKDF_SHA256, KeyType, Prk};
use ring::hmac;
use ring::rand::SecureRandom;
use zeroize::Zeroizing;

/// What an encryption adds: the tag of AES-256-GCM.
pub const SEAL_OVERHEAD: usize = 16;

/// What is sealed: ties keys to one use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Info {
    /// An entry, to an auditor.
    Audit,
    /// A secret, to a sentinel.
    Secret,
}

impl Info {
    fn bytes(self) -> &'static [u8] {
        match self {
            Info::Audit => b"adyton/audit-seal/v1",
            Info::Secret => b"adyton/secret-seal/v1",
        }
    }
}

/// DHKEM(X25519, HKDF-SHA256) (RFC 9180, section 7.1).
const KEM: u16 = 0x0020;

/// HKDF-SHA256 (section 7.2).
const KDF: u16 = 0x0001;

/// AES-256-GCM (section 7.3).
const AEAD: u16 = 0x0002;

/// Base mode (section 5).
const MODE_BASE: u8 = 0;

/// A sealed message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// The ephemeral public key.
    pub encapsulated: [u8; 32],
    /// With its tag.
    pub ciphertext: Vec<u8>,
}

/// Why nothing was sealed or opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    /// The key is a point of low order.
    #[error("the key is no usable x25519 key; an auditor's is made with `adyton audit key`")]
    Key,
    /// The random source failed.
    #[error("the random source gave no key; try again")]
    Randomness,
    /// Altered, or sealed to another key or for another place.
    #[error("what was sealed does not open; it was altered, moved, or sealed to another key")]
    Open,
}

/// Seals a message to a public key.
pub fn seal(
    info: Info,
    recipient: &[u8; 32],
    aad: &[u8],
    message: &[u8],
    random: &dyn SecureRandom,
) -> Result<Sealed, SealError> {
    let ephemeral = EphemeralPrivateKey::generate(&X25519, random).map_err(|_| SealError::Randomness)?;
    let public = ephemeral.compute_public_key().map_err(|_| SealError::Randomness)?;
    let encapsulated: [u8; 32] = public.as_ref().try_into().map_err(|_| SealError::Randomness)?;
    // ring refuses a point of low order here, as section 7.1.4 demands.
    let context = agree_ephemeral(ephemeral, &UnparsedPublicKey::new(&X25519, recipient), |dh| {
        Context::new(&Suite::OURS, &*shared_secret(dh, &encapsulated, recipient)?, info.bytes())
    });
    let context = context.map_err(|_| SealError::Key)??;
    let mut ciphertext = message.to_vec();
    let sealed = context.key()?.seal_in_place_append_tag(context.nonce(), Aad::from(aad), &mut ciphertext);
    sealed.map_err(|_| SealError::Key)?;
    Ok(Sealed { encapsulated, ciphertext })
}

/// Opens a message. `dh` is the X25519 secret of the recipient's private key and the encapsulated key.
pub fn open(
    info: Info,
    dh: &[u8; 32],
    recipient: &[u8; 32],
    aad: &[u8],
    sealed: &Sealed,
) -> Result<Zeroizing<Vec<u8>>, SealError> {
    // Section 7.1.4: the all-zero secret is that of a point of low order.
    if *dh == [0; 32] {
        return Err(SealError::Key);
    }
    let context =
        Context::new(&Suite::OURS, &*shared_secret(dh, &sealed.encapsulated, recipient)?, info.bytes())?;
    let mut message = Zeroizing::new(sealed.ciphertext.clone());
    let opened = context.key()?.open_in_place(context.nonce(), Aad::from(aad), &mut message);
    let length = opened.map_err(|_| SealError::Open)?.len();
    message.truncate(length);
    Ok(message)
}

/// The cipher of a suite. One is used; the RFC's known answers are of another.
struct Suite {
    id: [u8; 10],
    algorithm: &'static Algorithm,
}

impl Suite {
    const OURS: Suite = Suite::new(AEAD, &AES_256_GCM);

    const fn new(aead: u16, algorithm: &'static Algorithm) -> Suite {
        let ([a, b], [c, d], [e, f]) = (KEM.to_be_bytes(), KDF.to_be_bytes(), aead.to_be_bytes());
        Suite { id: [b'H', b'P', b'K', b'E', a, b, c, d, e, f], algorithm }
    }
}

/// `ExtractAndExpand` of DHKEM (section 4.1).
fn shared_secret(
    dh: &[u8],
    encapsulated: &[u8; 32],
    recipient: &[u8; 32],
) -> Result<Zeroizing<[u8; 32]>, SealError> {
    let [a, b] = KEM.to_be_bytes();
    let suite = [b'K', b'E', b'M', a, b];
    let prk = extract(&suite, &[], b"eae_prk", dh);
    expand(&suite, &prk, b"shared_secret", &[encapsulated.as_slice(), recipient].concat())
}

/// The key and the nonce of one message (section 5.1, `KeySchedule` in base mode).
struct Context {
    algorithm: &'static Algorithm,
    key: Zeroizing<[u8; 32]>,
    nonce: [u8; NONCE_LEN],
}

impl Context {
    fn new(suite: &Suite, shared_secret: &[u8; 32], info: &[u8]) -> Result<Context, SealError> {
        let psk_id = tag(&suite.id, &[], b"psk_id_hash", &[]);
        let info = tag(&suite.id, &[], b"info_hash", info);
        let context = [&[MODE_BASE], psk_id.as_ref(), info.as_ref()].concat();
        let secret = extract(&suite.id, shared_secret, b"secret", &[]);
        let nonce: Zeroizing<[u8; NONCE_LEN]> = expand(&suite.id, &secret, b"base_nonce", &context)?;
        let key = match suite.algorithm.key_len() {
            16 => {
                let short: Zeroizing<[u8; 16]> = expand(&suite.id, &secret, b"key", &context)?;
                let mut key = Zeroizing::new([0; 32]);
                key.iter_mut().zip(short.iter()).for_each(|(to, from)| *to = *from);
                key
            }
            _ => expand(&suite.id, &secret, b"key", &context)?,
        };
        Ok(Context { algorithm: suite.algorithm, key, nonce: *nonce })
    }

    fn key(&self) -> Result<LessSafeKey, SealError> {
        let bytes = self.key.get(..self.algorithm.key_len()).ok_or(SealError::Key)?;
        UnboundKey::new(self.algorithm, bytes).map(LessSafeKey::new).map_err(|_| SealError::Key)
    }

    /// Of sequence number 0, the base nonce itself. A context seals one message, so it is used once.
    fn nonce(&self) -> Nonce {
        Nonce::assume_unique_for_key(self.nonce)
    }
}

/// `LabeledExtract` (section 4): HKDF-Extract is HMAC with the salt as its key (RFC 5869, section 2.2).
fn tag(suite: &[u8], salt: &[u8], label: &[u8], ikm: &[u8]) -> hmac::Tag {
    let labeled = Zeroizing::new([b"HPKE-v1", suite, label, ikm].concat());
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, salt), &labeled)
}

fn extract(suite: &[u8], salt: &[u8], label: &[u8], ikm: &[u8]) -> Prk {
    Prk::new_less_safe(HKDF_SHA256, tag(suite, salt, label, ikm).as_ref())
}

/// `LabeledExpand` (section 4).
fn expand<const N: usize>(
    suite: &[u8],
    prk: &Prk,
    label: &[u8],
    info: &[u8],
) -> Result<Zeroizing<[u8; N]>, SealError> {
    let length = u16::try_from(N).unwrap_or(u16::MAX).to_be_bytes();
    let parts = [length.as_slice(), b"HPKE-v1", suite, label, info];
    let mut out = Zeroizing::new([0; N]);
    // Fails only beyond 255 times 32 bytes (RFC 5869, section 2.3).
    let expanded = prk.expand(&parts, Length(N)).and_then(|okm| okm.fill(out.as_mut_slice()));
    expanded.map(|()| out).map_err(|_| SealError::Key)
}

struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ring::aead::AES_128_GCM;
    use ring::rand::SystemRandom;

    fn bytes<const N: usize>(hex: &str) -> [u8; N] {
        hex::decode(hex).unwrap().try_into().unwrap()
    }

    /// RFC 9180, A.1.1: the same KEM and KDF with AES-128-GCM. Its secret of the agreement is recomputed by
    /// the client's tests, which hold private keys; here it is that of `skRm` and `enc`.
    #[test]
    fn the_key_schedule_is_that_of_the_rfc() {
        let shared = bytes("fe0e18c9f024ce43799ae393c7e8fe8fce9d218875e8227b0187c04e7d2ea1fc");
        let info = hex::decode("4f6465206f6e2061204772656369616e2055726e").unwrap();
        let context = Context::new(&Suite::new(1, &AES_128_GCM), &shared, &info).unwrap();
        assert_eq!(context.key[..16], bytes::<16>("4531685d41d65f03dc48f6b8302c05b0"));
        assert_eq!(context.nonce, bytes("56d890e5accaaf011cff4b7d"));
        let mut message = b"Beauty is truth, truth beauty".to_vec();
        let key = context.key().unwrap();
        key.seal_in_place_append_tag(context.nonce(), Aad::from(b"Count-0"), &mut message).unwrap();
        let expected =
            "f938558b5d72f1a23810b4be2ab4f84331acc02fc97babc53a52ae8218a355a96d8770ac83d07bea87e13c512a";
        assert_eq!(hex::encode(message), expected);
    }

    #[test]
    fn a_key_of_low_order_is_refused() {
        assert_eq!(seal(Info::Audit, &[0; 32], b"", b"m", &SystemRandom::new()), Err(SealError::Key));
        let sealed = seal(Info::Audit, &[9; 32], b"", b"m", &SystemRandom::new()).unwrap();
        assert_eq!(open(Info::Audit, &[0; 32], &[9; 32], b"", &sealed).unwrap_err(), SealError::Key);
    }

    #[test]
    fn two_messages_have_nothing_in_common() {
        let seal = || seal(Info::Audit, &[9; 32], b"", b"message", &SystemRandom::new()).unwrap();
        let (one, other) = (seal(), seal());
        assert_ne!(one.encapsulated, other.encapsulated);
        assert_ne!(one.ciphertext, other.ciphertext);
        assert_eq!(one.ciphertext.len(), b"message".len() + SEAL_OVERHEAD);
    }

    #[test]
    fn a_wrong_secret_opens_nothing() {
        let sealed = seal(Info::Audit, &[9; 32], b"aad", b"message", &SystemRandom::new()).unwrap();
        assert_eq!(open(Info::Audit, &[1; 32], &[9; 32], b"aad", &sealed).unwrap_err(), SealError::Open);
    }
}

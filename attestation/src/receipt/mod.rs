//! Signs and verifies receipts: what an enclave says it did with one request.
//!
//! A receipt is a COSE_Sign1 (RFC 9052) with EdDSA (RFC 9053, section 2.2) over a CBOR map whose keys 0 to 14 are, in
//! this order: the text "adyton/receipt/v1", boot, sequence, issued_at (ms), request, response, chunks,
//! response_bytes, weights, manifest, policy, principal, verdicts (array of `[stage, word]`), status (0 complete,
//! 1 cut), simulated. In version 2, "adyton/receipt/v2", keys 15 and 16 follow: the index of its entry in the audit log, and
//! the log's root up to and with that entry. Version 1 still verifies.
//!
//! # Promises
//! - One body has one encoding, and a payload in any other is refused.
//! - A [`Receipt`] exists only where its signature was verified.
//! - Neither the request nor the response is in it: only commitments, salted by a value that the client holds.
//!
//! # Does not
//! - Say whose key it is. The attestation document does, see [`Bundle`].
//!
//! # Trusts
//! - The key that the caller names.

mod body;
mod bundle;
mod code;
mod commit;
pub(crate) mod encoding;
mod sequence;

use std::fmt;

use ring::rand::SecureRandom;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};

use crate::cose::{EDDSA, EDDSA_SIGNATURE, Envelope, EnvelopeError, sig_structure, sign1};
use crate::ed25519::SIGNATURE_LEN;

pub use body::{BodyError, Logged, MAX_VERDICTS, MAX_WORD, ReceiptBody, Status};
pub use bundle::{Bundle, BundleRefusal, CutReceipts, VerifiedReceipt};
pub use commit::{ResponseChain, commit_request};
pub use sequence::{Sequence, SequenceRefusal};

/// The twelve bytes before the key in an Ed25519 SubjectPublicKeyInfo (RFC 8410, section 4).
const ED25519_SPKI_PREFIX: [u8; 12] =
    [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// Largest receipt: 64 verdicts of two words of 64 bytes, and the fixed fields.
const MAX_RECEIPT: usize = 12 * 1024;

/// Why bytes are not a receipt of that key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReceiptRefusal {
    /// Too long.
    #[error("the receipt has {size} bytes, more than the 12288 allowed; discard it")]
    TooLarge {
        /// Bytes offered.
        size: usize,
    },
    /// Not the COSE_Sign1 that we write.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    /// The key is not an Ed25519 SubjectPublicKeyInfo.
    #[error("the key is not an ed25519 key of 44 bytes; take the one from the attestation document")]
    Key,
    /// The signature.
    #[error(
        "the receipt's signature does not verify under this key; it was altered or comes from another enclave"
    )]
    Signature,
    /// The payload.
    #[error(transparent)]
    Body(#[from] BodyError),
}

/// Why a receipt was not signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignerError {
    /// The bytes are not an Ed25519 key in PKCS#8.
    #[error("the receipt key is not ed25519 in pkcs#8; make a new one")]
    Key,
    /// The random source failed.
    #[error("the random source gave no key; restart the enclave")]
    Randomness,
    /// The body has more verdicts, or longer words, than a verifier accepts.
    #[error("the receipt has more than 64 verdicts, or a word longer than 64 bytes; shorten them")]
    BodyTooLarge,
}

/// An Ed25519 public key that verifies receipts.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ReceiptKey([u8; 32]);

impl ReceiptKey {
    /// From a SubjectPublicKeyInfo of 44 bytes; `None` for every other key.
    pub fn from_spki(spki: &[u8]) -> Option<Self> {
        spki.strip_prefix(&ED25519_SPKI_PREFIX)?.try_into().ok().map(Self)
    }

    /// From the key alone.
    pub const fn new(key: [u8; 32]) -> Self {
        Self(key)
    }

    /// The key alone.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The SubjectPublicKeyInfo.
    pub fn spki(&self) -> [u8; 44] {
        let mut spki = [0; 44];
        for (to, from) in spki.iter_mut().zip(ED25519_SPKI_PREFIX.iter().chain(&self.0)) {
            *to = *from;
        }
        spki
    }
}

impl fmt::Debug for ReceiptKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReceiptKey({})", hex::encode(self.0))
    }
}

/// Holds the receipt key and signs. ring keeps the private key and shows no way to read it.
pub struct ReceiptSigner {
    pair: Ed25519KeyPair,
    public: ReceiptKey,
}

impl fmt::Debug for ReceiptSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ReceiptSigner").field(&self.public).finish()
    }
}

impl ReceiptSigner {
    /// From an Ed25519 key in PKCS#8 version 2.
    pub fn from_pkcs8(pkcs8: &[u8]) -> Result<Self, SignerError> {
        Self::new(Ed25519KeyPair::from_pkcs8(pkcs8).map_err(|_| SignerError::Key)?)
    }

    /// Makes a fresh key.
    pub fn generate(random: &dyn SecureRandom) -> Result<Self, SignerError> {
        let mut seed = zeroize::Zeroizing::new([0u8; 32]);
        random.fill(seed.as_mut_slice()).map_err(|_| SignerError::Randomness)?;
        Self::new(Ed25519KeyPair::from_seed_unchecked(seed.as_slice()).map_err(|_| SignerError::Key)?)
    }

    fn new(pair: Ed25519KeyPair) -> Result<Self, SignerError> {
        let public = pair.public_key().as_ref().try_into().map(ReceiptKey).map_err(|_| SignerError::Key)?;
        Ok(Self { pair, public })
    }

    /// What goes into the attestation document's `public_key`.
    pub fn public_key_spki(&self) -> [u8; 44] {
        self.public.spki()
    }

    /// The name and key of the audit log whose checkpoints this key signs.
    pub(crate) fn public(&self) -> &ReceiptKey {
        &self.public
    }

    /// A signature over a checkpoint's lines, or over the offer of a key. None can be taken for another: what is signed of a
    /// receipt begins with a CBOR array, of a checkpoint with the log's origin, of an offer with a length in four bytes.
    pub(crate) fn sign_lines(&self, lines: &[u8]) -> [u8; SIGNATURE_LEN] {
        let mut out = [0; SIGNATURE_LEN];
        // Both have 64 bytes; zip cannot leave one unwritten.
        for (to, from) in out.iter_mut().zip(self.pair.sign(lines).as_ref()) {
            *to = *from;
        }
        out
    }

    /// The receipt for a body. Ed25519 is deterministic: the same body gives the same bytes.
    pub fn sign(&self, body: &ReceiptBody) -> Result<Vec<u8>, SignerError> {
        if !body.within_limits() {
            return Err(SignerError::BodyTooLarge);
        }
        let payload = body.encode();
        let signature = self.pair.sign(&sig_structure(EDDSA, &payload));
        Ok(sign1(EDDSA, &payload, signature.as_ref()))
    }
}

/// A receipt whose signature was verified under a key that the caller named.
#[derive(Clone, Debug)]
pub struct Receipt {
    body: ReceiptBody,
    key: ReceiptKey,
}

impl Receipt {
    /// What it says.
    pub fn body(&self) -> &ReceiptBody {
        &self.body
    }

    /// Under which key it verified.
    pub fn key(&self) -> &ReceiptKey {
        &self.key
    }
}

/// Verifies a receipt under an Ed25519 SubjectPublicKeyInfo.
pub fn verify(cose: &[u8], spki: &[u8]) -> Result<Receipt, ReceiptRefusal> {
    if cose.len() > MAX_RECEIPT {
        return Err(ReceiptRefusal::TooLarge { size: cose.len() });
    }
    let key = ReceiptKey::from_spki(spki).ok_or(ReceiptRefusal::Key)?;
    let envelope = Envelope::parse(cose, EDDSA, EDDSA_SIGNATURE)?;
    UnparsedPublicKey::new(&ED25519, key.0)
        .verify(&envelope.sig_structure(), envelope.signature)
        .map_err(|_| ReceiptRefusal::Signature)?;
    Ok(Receipt { body: ReceiptBody::decode(envelope.payload)?, key })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receipt_verifies_and_no_bit_of_it_can_change() {
        let signer = ReceiptSigner::generate(&ring::rand::SystemRandom::new()).unwrap();
        let body = body::tests::sample();
        let cose = signer.sign(&body).unwrap();
        assert_eq!(cose, signer.sign(&body).unwrap());
        let spki = signer.public_key_spki();
        assert_eq!(verify(&cose, &spki).unwrap().body(), &body);
        for bit in 0..cose.len() * 8 {
            let mut changed = cose.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(verify(&changed, &spki).is_err(), "bit {bit}");
        }
        for end in 0..cose.len() {
            assert_eq!(verify(&cose[..end], &spki).unwrap_err(), EnvelopeError::Truncated.into());
        }
        let other = ReceiptSigner::generate(&ring::rand::SystemRandom::new()).unwrap();
        assert_eq!(verify(&cose, &other.public_key_spki()).unwrap_err(), ReceiptRefusal::Signature);
        assert_eq!(verify(&cose, &spki[1..]).unwrap_err(), ReceiptRefusal::Key);
    }

    #[test]
    fn a_body_beyond_the_limits_is_not_signed() {
        let signer = ReceiptSigner::generate(&ring::rand::SystemRandom::new()).unwrap();
        let mut body = body::tests::sample();
        body.verdicts = vec![("input".into(), "x".repeat(MAX_WORD)); MAX_VERDICTS];
        let largest = signer.sign(&body).unwrap();
        assert!(verify(&largest, &signer.public_key_spki()).is_ok());
        body.verdicts.push(("input".into(), "pass".into()));
        assert_eq!(signer.sign(&body), Err(SignerError::BodyTooLarge));
        body.verdicts = vec![("input".into(), "x".repeat(MAX_WORD + 1))];
        assert_eq!(signer.sign(&body), Err(SignerError::BodyTooLarge));
    }
}

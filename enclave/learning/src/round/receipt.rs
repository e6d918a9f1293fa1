//! What was done in a round, in 143 bytes that the enclave signs.
//!
//! ```text
//! "adyton/round-receipt/v1" || policy (32) || round (4) || cohort (4) || clip (8) || sigma (8) || sampling rate (8) || epsilon (8)
//!   || delta (8) || number in the ledger (8) || SHA-256 of the step (32)                                        all big-endian
//! ```

use ring::signature::{ECDSA_P384_SHA384_FIXED, UnparsedPublicKey};

const DOMAIN: &[u8] = b"adyton/round-receipt/v1";

/// One round.
#[derive(Clone, Debug, PartialEq)]
pub struct Receipt {
    /// Digest of the policy.
    pub policy: [u8; 32],
    /// From 1.
    pub round: u32,
    /// Updates in the sum.
    pub cohort: u32,
    /// L2 norm of each at most.
    pub clip: f64,
    /// Noise, in what one unit may change.
    pub sigma: f64,
    /// With what probability a unit took part.
    pub rate: f64,
    /// What all rounds so far have cost.
    pub epsilon: f64,
    /// See `epsilon`.
    pub delta: f64,
    /// Number of the ledger's entry.
    pub ledger: u64,
    /// SHA-256 of the step's values, little-endian.
    pub step: [u8; 32],
}

/// Signs for the enclave: ECDSA over P-384 with SHA-384, as receipts of answers are.
pub trait Signer {
    /// The signature, 96 bytes; none if the key is not to be had.
    fn sign(&self, message: &[u8]) -> Option<Vec<u8>>;
}

/// A receipt and its signature.
#[derive(Clone, Debug, PartialEq)]
pub struct Signed {
    /// What was signed.
    pub receipt: Receipt,
    /// 96 bytes.
    pub signature: Vec<u8>,
}

impl Receipt {
    /// The bytes that are signed.
    pub fn body(&self) -> Vec<u8> {
        let mut out = DOMAIN.to_vec();
        out.extend(self.policy);
        out.extend(self.round.to_be_bytes());
        out.extend(self.cohort.to_be_bytes());
        let reals = [self.clip, self.sigma, self.rate, self.epsilon, self.delta];
        reals.iter().for_each(|real| out.extend(real.to_be_bytes()));
        out.extend(self.ledger.to_be_bytes());
        out.extend(self.step);
        out
    }

    /// Signed.
    pub fn signed(self, signer: &dyn Signer) -> Option<Signed> {
        let signature = signer.sign(&self.body())?;
        Some(Signed { receipt: self, signature })
    }
}

impl Signed {
    /// Whether the key, an uncompressed point of P-384, signed it.
    pub fn verifies(&self, key: &[u8]) -> bool {
        let key = UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, key);
        key.verify(&self.receipt.body(), &self.signature).is_ok()
    }
}

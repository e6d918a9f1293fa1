//! Appraises documents of the mock module. What must be refused, and why, is in the corpus; here are the rest: the
//! report, the claims, clocks, the cache, and mutations without number.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test that cannot go on ends

mod cache;
mod live;
mod module;
mod mutations;
mod receipts;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use adyton_attestation::anchor::TrustAnchor;
use adyton_attestation::appraisal::{Expectation, Refusal, Report, VerifiedClaims, appraise_cached};
use adyton_attestation::binding::{Role, SessionBinding, manifest_pcr16, manifest_sha384};
use adyton_attestation::measurement::{MANIFEST_PCR, Measurement};
use adyton_attestation::nsm;
use adyton_attestation::receipt::ReceiptSigner;
use adyton_attestation::reference::{Image, Owner, ReferenceValues};
use adyton_attestation::{ChainCache, Timestamp};
use adyton_tests::mock_nsm::{InitialPcrs, MockConfig, MockNsm};

/// 2026-11-03T10:20:30Z, in milliseconds.
pub const START: u64 = 1_793_701_230_000;
pub const MANIFEST: &[u8] = b"{\"release\":1}";
pub const NONCE: [u8; 32] = [0x5a; 32];

/// A module with a clock that a test can turn, and everything that a verifier expects of it.
pub struct World {
    pub nsm: MockNsm,
    pub clock: Arc<AtomicU64>,
    pub anchor: TrustAnchor,
    pub reference: ReferenceValues,
    pub binding: SessionBinding,
    pub signer: ReceiptSigner,
    pub now: u64,
    pub max_age: Duration,
}

pub fn pcrs() -> InitialPcrs {
    InitialPcrs::named("test")
}

pub fn image(pcrs: &InitialPcrs) -> Image {
    Image { pcr0: pcrs.pcr0, pcr1: pcrs.pcr1, pcr2: pcrs.pcr2 }
}

impl World {
    pub fn good() -> Self {
        Self::with(pcrs(), Owner::Signer { pcr8: pcrs().pcr8 })
    }

    /// The module has these registers; the verifier expects those of [`pcrs`] and this owner.
    pub fn with(actual: InitialPcrs, owner: Owner) -> Self {
        let clock = Arc::new(AtomicU64::new(START));
        let ticking = clock.clone();
        let config = MockConfig {
            seed: [7; 32],
            clock: Arc::new(move || ticking.load(Ordering::Relaxed)),
            pcrs: actual,
        };
        let mut nsm = MockNsm::new(config).unwrap();
        nsm::extend(&mut nsm, MANIFEST_PCR, &manifest_sha384(MANIFEST)).unwrap();
        nsm::lock(&mut nsm, MANIFEST_PCR).unwrap();
        let reference =
            ReferenceValues::new(vec![image(&pcrs())], vec![manifest_pcr16(MANIFEST)], owner).unwrap();
        let binding = SessionBinding {
            role: Role::Enclave,
            exporter: [1; 48],
            spki_sha384: [2; 48],
            manifest_sha384: manifest_sha384(MANIFEST),
        };
        Self {
            anchor: nsm.trust_anchor(),
            signer: ReceiptSigner::generate(&ring::rand::SystemRandom::new()).unwrap(),
            max_age: Duration::from_secs(300),
            now: START,
            nsm,
            clock,
            reference,
            binding,
        }
    }

    pub fn document(&mut self) -> Vec<u8> {
        let (user_data, key) = (self.binding.user_data(), self.signer.public_key_spki());
        nsm::attest(&mut self.nsm, Some(&user_data), Some(&NONCE), Some(&key)).unwrap()
    }

    pub fn appraise(&self, document: &[u8]) -> (Report, Result<VerifiedClaims, Refusal>) {
        self.appraise_cached(document, &mut ChainCache::new())
    }

    pub fn appraise_cached(
        &self,
        document: &[u8],
        known: &mut ChainCache,
    ) -> (Report, Result<VerifiedClaims, Refusal>) {
        let expect = Expectation {
            anchor: &self.anchor,
            reference: &self.reference,
            now: Timestamp::from_millis(self.now),
            nonce: NONCE,
            max_age: self.max_age,
            binding: self.binding,
            endorsement: None,
        };
        appraise_cached(document, &expect, known)
    }

    pub fn refusal(&self, document: &[u8]) -> Refusal {
        self.appraise(document).1.unwrap_err()
    }
}

pub fn other() -> Measurement {
    Measurement::new([0x33; 48])
}

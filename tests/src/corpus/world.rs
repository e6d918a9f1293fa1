//! One enclave of the mock and its verifier, as every vector begins.
//!
//! # Promises
//! - The same seed, clock and registers each time.
//!
//! # Does not
//! - Spoil anything; the other files of this folder do.
//!
//! # Trusts
//! - The mock module.

use std::sync::Arc;

use adyton_attestation::binding::{Role, SessionBinding, manifest_pcr16, manifest_sha384};
use adyton_attestation::cbor::Writer;
use adyton_attestation::measurement::MANIFEST_PCR;
use adyton_attestation::nsm;
use adyton_attestation::receipt::ReceiptSigner;
use serde_json::{Value, json};

use crate::mock_nsm::document::{PROTECTED, Payload, seal};
use crate::mock_nsm::{InitialPcrs, MockConfig, MockNsm};
use crate::pki::{Chain, Place, SeededKey};

/// Of the mock's keys. Public, like everything here.
pub(super) const SEED: [u8; 32] = *b"adyton corpus v1: public, unsafe";
/// When the document is made: 2026-11-03T10:20:30Z, in milliseconds.
pub(super) const MADE: u64 = 1_793_701_230_000;
/// When the verifier looks at it.
pub(super) const NOW: u64 = MADE + 1_000;
/// The greatest age that the verifier accepts.
pub(super) const MAX_AGE: u64 = 300_000;
pub(super) const NONCE: [u8; 32] = [0x5a; 32];
pub(super) const MANIFEST: &[u8] = b"{\"release\":1}";
/// The receipt key's seed.
const RECEIPT_SEED: [u8; 32] = [9; 32];

/// The enclave.
pub(super) struct World {
    pub(super) nsm: MockNsm,
    pub(super) pcrs: InitialPcrs,
    pub(super) binding: SessionBinding,
    pub(super) signer: ReceiptSigner,
}

/// The four parts of an envelope, each as it stands in the document.
#[derive(Clone)]
pub(super) struct Envelope {
    pub(super) head: Vec<u8>,
    pub(super) protected: Vec<u8>,
    pub(super) unprotected: Vec<u8>,
    pub(super) payload: Vec<u8>,
    pub(super) signature: Vec<u8>,
    pub(super) tail: Vec<u8>,
}

impl Envelope {
    pub(super) fn bytes(&self) -> Vec<u8> {
        [&self.head, &self.protected, &self.unprotected, &self.payload, &self.signature, &self.tail]
            .into_iter()
            .flatten()
            .copied()
            .collect()
    }
}

impl World {
    pub(super) fn new() -> Self {
        Self::with_registers(InitialPcrs::named("corpus"))
    }

    /// The same verifier's enclave with other registers.
    pub(super) fn with_registers(pcrs: InitialPcrs) -> Self {
        let mut nsm = MockNsm::new(MockConfig { seed: SEED, clock: Arc::new(|| MADE), pcrs }).unwrap();
        nsm::extend(&mut nsm, MANIFEST_PCR, &manifest_sha384(MANIFEST)).unwrap();
        nsm::lock(&mut nsm, MANIFEST_PCR).unwrap();
        let binding = SessionBinding {
            role: Role::Enclave,
            exporter: [1; 48],
            spki_sha384: [2; 48],
            manifest_sha384: manifest_sha384(MANIFEST),
        };
        Self { nsm, pcrs, binding, signer: ed25519(RECEIPT_SEED) }
    }

    pub(super) fn root(&self) -> Vec<u8> {
        self.nsm.root_der().to_vec()
    }

    pub(super) fn chain(&mut self) -> Chain {
        self.nsm.chain().unwrap().clone()
    }

    /// The key of one place in the first chain.
    pub(super) fn key(place: Place) -> SeededKey {
        let number = if place == Place::Root { 0 } else { 1 };
        SeededKey::new(&SEED, &format!("{place:?}"), number).unwrap()
    }

    /// What a good document says.
    pub(super) fn payload(&mut self) -> Payload {
        let (user_data, key) = (self.binding.user_data().to_vec(), self.signer.public_key_spki().to_vec());
        self.nsm.payload(Some(user_data), Some(NONCE.to_vec()), Some(key)).unwrap()
    }

    /// A good document.
    pub(super) fn document(&mut self) -> Vec<u8> {
        let payload = self.payload();
        self.seal(&payload.encode())
    }

    /// Any payload, rightly signed.
    pub(super) fn seal(&mut self, payload: &[u8]) -> Vec<u8> {
        seal(payload, &self.chain())
    }

    /// A payload with something done to it, rightly signed.
    pub(super) fn altered(&mut self, alter: impl FnOnce(&mut Payload)) -> Vec<u8> {
        let mut payload = self.payload();
        alter(&mut payload);
        self.seal(&payload.encode())
    }

    /// A good document in its parts.
    pub(super) fn envelope(&mut self) -> Envelope {
        let payload = self.payload().encode();
        let mut whole = Writer::new();
        whole.bytes(&payload);
        let mut protected = Writer::new();
        protected.bytes(&PROTECTED);
        let document = self.seal(&payload);
        Envelope {
            head: vec![0x84],
            protected: protected.into_bytes(),
            unprotected: vec![0xa0],
            payload: whole.into_bytes(),
            signature: document[document.len() - 98..].to_vec(),
            tail: Vec::new(),
        }
    }

    /// The good payload's bytes without their envelope, and the leaf's signature over any message.
    pub(super) fn sign(&mut self, message: &[u8]) -> Vec<u8> {
        self.chain().key.sign_fixed(message)
    }

    /// What a corpus's cases have in common.
    pub(super) fn defaults(&self) -> Value {
        json!({
            "now_ms": NOW, "max_age_ms": MAX_AGE, "nonce": hex::encode(NONCE),
            "session": session(&self.binding), "policy": policy(&self.pcrs),
        })
    }
}

/// The reference values that accept the enclave with these registers, by its signer.
pub(super) fn policy(pcrs: &InitialPcrs) -> Value {
    json!({
        "images": [{ "pcr0": pcrs.pcr0, "pcr1": pcrs.pcr1, "pcr2": pcrs.pcr2 }],
        "manifests": [manifest_pcr16(MANIFEST)],
        "owner": { "signer": { "pcr8": pcrs.pcr8 } },
    })
}

/// A session's binding, with the user data that follows from it.
pub(super) fn session(binding: &SessionBinding) -> Value {
    json!({
        "role": binding.role.label(), "exporter": hex::encode(binding.exporter),
        "spki_sha384": hex::encode(binding.spki_sha384), "manifest_sha384": hex::encode(binding.manifest_sha384),
        "user_data": hex::encode(binding.user_data()),
    })
}

/// An Ed25519 key in PKCS#8 version 2 (RFC 8410, section 7).
pub(super) fn pkcs8(seed: [u8; 32]) -> Vec<u8> {
    use ring::signature::{Ed25519KeyPair, KeyPair as _};
    let pair = Ed25519KeyPair::from_seed_unchecked(&seed).unwrap();
    let head = [0x30, 0x53, 2, 1, 1, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
    [&head[..], &seed, &[0xa1, 0x23, 0x03, 0x21, 0x00], pair.public_key().as_ref()].concat()
}

/// A receipt signer from a seed.
pub(super) fn ed25519(seed: [u8; 32]) -> ReceiptSigner {
    ReceiptSigner::from_pkcs8(&pkcs8(seed)).unwrap()
}

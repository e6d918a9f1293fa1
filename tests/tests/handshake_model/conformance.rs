//! Holds the model's appraisal against the real one, with real documents of the mock module.
//!
//! # Promises
//! - For every document and every expectation that meet in a world with all rules, both say yes, or both
//!   refuse, in the same step. Manifests that no enclave of a world holds are left out.
//!
//! # Does not
//! - Compare servers and clients, only what they decide by.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use adyton_attestation::anchor::TrustAnchor;
use adyton_attestation::appraisal::{Expectation as Real, appraise_cached as really_appraise};
use adyton_attestation::binding::{manifest_pcr16, manifest_sha384};
use adyton_attestation::measurement::MANIFEST_PCR;
use adyton_attestation::nsm;
use adyton_attestation::receipt::ReceiptSigner;
use adyton_attestation::reference::{Image, Owner, ReferenceValues};
use adyton_attestation::{ChainCache, Timestamp};
use adyton_tests::mock_nsm::{InitialPcrs, MockConfig, MockNsm};
use stateright::Model;

use crate::appraisal::{Expectation, Step, appraise};
use crate::explore::HandshakeModel;
use crate::moves::expectations;
use crate::rules::{Ends, Other, Scenario};
use crate::state::{Call, End, State, server_expects};
use crate::terms::{Document, Of, Registers, Slot, manifest_bytes};

/// 2026-11-03T10:20:30Z, in milliseconds.
const START: u64 = 1_793_701_230_000;
/// The client's limit on a document's age (`client/src/session.rs`).
const MAX_AGE: Duration = Duration::from_secs(120);
/// More than that, and less than any certificate lives.
const HOURS: u64 = 3_600_000;

/// Every document beside every expectation that it may be held against.
fn meetings(scenario: Scenario) -> BTreeSet<(Document, Expectation)> {
    let model = HandshakeModel { scenario };
    let (mut seen, mut open) = (HashSet::new(), model.init_states());
    let mut found = BTreeSet::new();
    while let Some(state) = open.pop() {
        if seen.insert(state.clone()) {
            open.extend(model.next_states(&state));
            found.extend(meetings_of(&state, &scenario));
        }
    }
    found
}

fn meetings_of(state: &State, scenario: &Scenario) -> Vec<(Document, Expectation)> {
    let called = [Slot::Client, Slot::Peer]
        .into_iter()
        .flat_map(|who| [Of::Ours, Of::Other].map(|manifest| state.client_expects(who, manifest, scenario)));
    let peer = match state.calls[Slot::Peer as usize] {
        Call::Accepted { end: End::Server(server), .. } => {
            server_expects(Slot::Peer, server, &state.peer_session, Of::Ours, state.ended, scenario)
        }
        _ => None,
    };
    let expected: Vec<Expectation> =
        called.flatten().chain(expectations(state, scenario)).chain(peer).collect();
    let documents = state.documents.iter().map(|document| Document { made_on: None, ..*document });
    documents.flat_map(|document| expected.iter().map(move |expect| (document, *expect))).collect()
}

/// Real modules under one root, a clock for all, and the documents that they have signed.
struct World {
    clock: Arc<AtomicU64>,
    signer: ReceiptSigner,
    modules: BTreeMap<Registers, MockNsm>,
    signed: BTreeMap<Vec<u8>, Vec<u8>>,
    /// What was decided: many worlds have the same documents and expectations.
    decided: BTreeMap<Vec<u8>, Result<(), Step>>,
    /// Few chains sign many documents.
    known: ChainCache,
}

impl World {
    fn new() -> Self {
        let signer = ReceiptSigner::generate(&ring::rand::SystemRandom::new()).unwrap();
        let clock = Arc::new(AtomicU64::new(START));
        World {
            clock,
            signer,
            modules: BTreeMap::new(),
            signed: BTreeMap::new(),
            decided: BTreeMap::new(),
            known: ChainCache::new(),
        }
    }

    fn module(&mut self, registers: Registers) -> &mut MockNsm {
        let ticking = self.clock.clone();
        self.modules.entry(registers).or_insert_with(|| {
            let clock = Arc::new(move || ticking.load(Ordering::Relaxed));
            let mut module =
                MockNsm::new(MockConfig { seed: [7; 32], clock, pcrs: initial(registers) }).unwrap();
            let digest = manifest_sha384(manifest_bytes(registers.manifest));
            nsm::extend(&mut module, MANIFEST_PCR, &digest).unwrap();
            nsm::lock(&mut module, MANIFEST_PCR).unwrap();
            module
        })
    }

    fn sign(&mut self, document: &Document, scenario: &Scenario) -> Vec<u8> {
        let (user_data, nonce) = (document.binding.session(scenario).user_data(), document.nonce.bytes());
        let at = time(document.late, scenario);
        let key = [format!("{:?} {at}", document.registers).as_bytes(), &user_data, &nonce].concat();
        if let Some(signed) = self.signed.get(&key) {
            return signed.clone();
        }
        self.clock.store(at, Ordering::Relaxed);
        let public_key = self.signer.public_key_spki();
        let module = self.module(document.registers);
        let signed = nsm::attest(module, Some(&user_data), Some(&nonce), Some(&public_key)).unwrap();
        self.signed.insert(key, signed.clone());
        signed
    }

    fn appraise(
        &mut self,
        document: &Document,
        expect: &Expectation,
        scenario: &Scenario,
    ) -> Result<(), Step> {
        let signed = self.sign(document, scenario);
        let (nonce, binding) = (expect.nonce.bytes(), expect.binding.session(scenario));
        let now = time(expect.late, scenario);
        let manifest = binding.manifest_sha384;
        let key = [&signed[..], &nonce, &binding.user_data(), &manifest, &now.to_be_bytes()].concat();
        if let Some(decided) = self.decided.get(&key) {
            return *decided;
        }
        let (anchor, reference, now) = (self.anchor(), reference(), Timestamp::from_millis(now));
        let real = Real {
            anchor: &anchor,
            reference: &reference,
            now,
            nonce,
            max_age: MAX_AGE,
            binding,
            endorsement: None,
        };
        let (report, claims) = really_appraise(&signed, &real, &mut self.known);
        let decided = claims.map(|_| ()).map_err(|_| report.failed().unwrap().number);
        self.decided.insert(key, decided);
        decided
    }

    fn anchor(&mut self) -> TrustAnchor {
        self.module(crate::terms::ACCEPTED).trust_anchor()
    }
}

fn time(late: bool, scenario: &Scenario) -> u64 {
    if late && scenario.assumptions.ends == Ends::Hours { START + HOURS } else { START }
}

fn initial(registers: Registers) -> InitialPcrs {
    let (ours, other) = (InitialPcrs::named("ours"), InitialPcrs::named("other"));
    let image = if registers.image == Of::Ours { ours } else { other };
    let owner = if registers.owner == Of::Ours { ours } else { other };
    InitialPcrs { pcr3: owner.pcr3, pcr4: owner.pcr4, pcr8: owner.pcr8, ..image }
}

fn reference() -> ReferenceValues {
    let pcrs = InitialPcrs::named("ours");
    let image = Image { pcr0: pcrs.pcr0, pcr1: pcrs.pcr1, pcr2: pcrs.pcr2 };
    let manifests = vec![manifest_pcr16(manifest_bytes(Of::Ours))];
    ReferenceValues::new(vec![image], manifests, Owner::Signer { pcr8: pcrs.pcr8 }).unwrap()
}

#[test]
fn the_real_appraisal_decides_as_the_model_does() {
    let (mut world, mut compared) = (World::new(), BTreeMap::new());
    for scenario in Scenario::all() {
        // A manifest that nobody holds is refused alike everywhere; where there is a second, both are shown.
        let second = matches!(scenario.other, Other::Release | Other::Unmeasured);
        let shown = |met: &(Document, Expectation)| second || met.1.binding.manifest == Of::Ours;
        for (document, expect) in meetings(scenario).into_iter().filter(shown) {
            let modelled = appraise(&document, &expect, &scenario);
            let real = world.appraise(&document, &expect, &scenario);
            assert_eq!(real, modelled, "{}: {document:?} for {expect:?}", scenario.name);
            *compared.entry(modelled).or_insert(0) += 1;
        }
    }
    println!("{compared:?}, {} of them different", world.decided.len());
    let seen: BTreeSet<Step> = compared.keys().filter_map(|decided| decided.err()).collect();
    assert_eq!(seen, BTreeSet::from([11, 13, 14, 15, 16, 17]), "each step that is modelled has refused");
    assert!(compared.contains_key(&Ok(())));
}

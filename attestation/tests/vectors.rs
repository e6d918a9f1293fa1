//! Appraises 38 real documents, and asks rustls-webpki for a second opinion on each chain.
//!
//! The documents lie outside the repository; `ADYTON_VECTORS` names another folder than the one beside the workspace.
//! Where there is none, the tests say SKIPPED and pass.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test that cannot go on ends

use std::path::PathBuf;
use std::time::Duration;

use adyton_attestation::Timestamp;
use adyton_attestation::anchor::{TrustAnchor, dangerous};
use adyton_attestation::appraisal::{Expectation, Outcome, Refusal, appraise, appraise_archived};
use adyton_attestation::binding::{Role, SessionBinding};
use adyton_attestation::cbor;
use adyton_attestation::evidence::Evidence;
use adyton_attestation::measurement::Measurement;
use adyton_attestation::reference::{Image, Owner, ReferenceValues};

struct Document {
    name: String,
    debug: bool,
    bytes: Vec<u8>,
}

fn folder() -> PathBuf {
    match std::env::var_os("ADYTON_VECTORS") {
        Some(path) => PathBuf::from(path),
        None => PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/vectors/attestation"),
    }
}

fn documents() -> Vec<Document> {
    let Ok(entries) = std::fs::read_dir(folder()) else {
        println!("SKIPPED: no real documents in {}; set ADYTON_VECTORS", folder().display());
        return Vec::new();
    };
    let mut documents: Vec<Document> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "cbor"))
        .map(|path| {
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            Document { debug: name.ends_with("-debug"), bytes: std::fs::read(&path).unwrap(), name }
        })
        .collect();
    documents.sort_by(|one, other| one.name.cmp(&other.name));
    assert_eq!(documents.len(), 38, "the MANIFEST lists 38 documents");
    documents
}

#[test]
fn all_verify_at_their_own_time_and_debug_is_refused() {
    for document in documents() {
        let (report, result) = appraise_archived(&document.bytes, &TrustAnchor::aws_nitro_g1());
        match document.debug {
            true => assert_eq!(result.unwrap_err(), Refusal::Debug { index: 0 }, "{}", document.name),
            false => {
                let claims = result.unwrap_or_else(|refusal| panic!("{}: {refusal}", document.name));
                assert!(!claims.simulated());
                let seen =
                    |outcome| report.factors().iter().filter(|factor| factor.outcome == outcome).count();
                assert_eq!((seen(Outcome::Pass), seen(Outcome::NotChecked)), (11, 7), "{}", document.name);
            }
        }
    }
}

#[test]
fn none_passes_today() {
    let one = Measurement::new([1; 48]);
    let image = Image { pcr0: one, pcr1: one, pcr2: one };
    let reference = ReferenceValues::new(vec![image], vec![one], Owner::AnyoneAtAll).unwrap();
    let anchor = TrustAnchor::aws_nitro_g1();
    let binding = SessionBinding {
        role: Role::Enclave,
        exporter: [0; 48],
        spki_sha384: [0; 48],
        manifest_sha384: [0; 48],
    };
    let expect = Expectation {
        anchor: &anchor,
        reference: &reference,
        now: Timestamp::from_secs(1_793_701_230), // 2026-11-03T10:20:30Z
        nonce: [0; 32],
        max_age: Duration::from_secs(300),
        binding,
        endorsement: None,
    };
    for document in documents() {
        let (report, result) = appraise(&document.bytes, &expect);
        assert!(matches!(result, Err(Refusal::Expired { .. })), "{}: {result:?}", document.name);
        assert_eq!(report.failed().unwrap().name, "certificate validity");
        assert!(!report.passed_everything());
    }
}

#[test]
fn none_verifies_under_another_root() {
    let mut other = TrustAnchor::aws_nitro_g1().der().to_vec();
    *other.last_mut().unwrap() ^= 1;
    let anchor = dangerous::development_anchor(other);
    for document in documents() {
        assert_eq!(
            appraise_archived(&document.bytes, &anchor).1.unwrap_err(),
            Refusal::Root,
            "{}",
            document.name
        );
    }
}

/// The certificates of a payload, leaf first, read without this crate's X.509.
fn certificates(document: &[u8]) -> (Vec<u8>, Vec<Vec<u8>>) {
    // 84 44 a1013822 a0 59 xx xx, then the payload, then 58 60 and the signature.
    let payload = &document[10..document.len() - 98];
    let item = cbor::decode(payload, cbor::Form::OutermostMapMayBeIndefinite).unwrap();
    let mut fields = item.fields("payload").unwrap();
    let leaf = fields.take("certificate").unwrap().bytes("certificate").unwrap();
    let bundle = fields.take("cabundle").unwrap().items("cabundle").unwrap();
    (leaf, bundle.into_iter().map(|item| item.bytes("cabundle").unwrap()).collect())
}

#[test]
fn webpki_agrees_on_every_chain() {
    use rustls::pki_types::{CertificateDer, UnixTime};
    for document in documents() {
        let at = Evidence::parse(&document.bytes).unwrap().timestamp();
        let (leaf, bundle) = certificates(&document.bytes);
        let bundle: Vec<CertificateDer<'_>> = bundle.into_iter().map(CertificateDer::from).collect();
        let anchors = [webpki::anchor_from_trusted_cert(&bundle[0]).unwrap()];
        let leaf = CertificateDer::from(leaf);
        let leaf = webpki::EndEntityCert::try_from(&leaf).unwrap();
        let verified = leaf.verify_for_usage(
            &[webpki::ring::ECDSA_P384_SHA384],
            &anchors,
            &bundle[1..],
            UnixTime::since_unix_epoch(Duration::from_millis(at.as_millis())),
            webpki::KeyUsage::client_auth(),
            None,
            None,
        );
        assert!(verified.is_ok(), "{}", document.name);
    }
}

#[test]
fn no_mutation_panics_or_passes() {
    // A real document carries the largest optional fields; a mock one is mutated in the system tests.
    let Some(document) = documents().into_iter().find(|document| document.name.contains("72ffd835")) else {
        return;
    };
    let anchor = TrustAnchor::aws_nitro_g1();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        // xorshift64: seeded, so that a failure repeats.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as usize
    };
    for round in 0..2_000 {
        let mut bytes = document.bytes.clone();
        for _ in 0..=next() % 3 {
            let at = next() % bytes.len();
            match next() % 4 {
                0 => bytes[at] = bytes[at].wrapping_add(1 + (next() % 255) as u8),
                1 => bytes.truncate(at + 1),
                2 => bytes.insert(at, next() as u8),
                _ => bytes[at] ^= 1 << (next() % 8),
            }
        }
        if bytes != document.bytes {
            assert!(appraise_archived(&bytes, &anchor).1.is_err(), "round {round}");
        }
    }
}

//! Receipts and the bundles that prove them offline.

use adyton_attestation::Timestamp;
use adyton_attestation::appraisal::Refusal;
use adyton_attestation::binding::manifest_sha384;
use adyton_attestation::receipt::{
    Bundle, BundleRefusal, CutReceipts, ReceiptBody, ResponseChain, Status, commit_request,
};
use adyton_attestation::reference::{Owner, ReferenceValues};

use crate::{MANIFEST, NONCE, START, World, image, other, pcrs};

const SALT: [u8; 32] = [0x11; 32];
const REQUEST: &[u8] = b"{\"prompt\":\"who is there?\"}";
const RESPONSE: [&[u8]; 3] = [b"nobody", b" but", b" you"];

fn body() -> ReceiptBody {
    let mut chain = ResponseChain::new(&SALT);
    RESPONSE.iter().for_each(|chunk| chain.push(chunk));
    ReceiptBody {
        boot: [1; 16],
        sequence: 1,
        issued_at: Timestamp::from_millis(START),
        request: commit_request(&SALT, REQUEST),
        chunks: chain.chunks(),
        response_bytes: chain.bytes(),
        response: chain.finish(),
        weights: [2; 32],
        manifest: manifest_sha384(MANIFEST),
        policy: [3; 32],
        principal: [4; 32],
        verdicts: vec![("input".into(), "pass".into())],
        status: Status::Complete,
        simulated: true,
        logged: None,
    }
}

fn bundle(world: &mut World, body: &ReceiptBody) -> Bundle {
    Bundle {
        receipt: world.signer.sign(body).unwrap(),
        document: world.document(),
        manifest: MANIFEST.to_vec(),
        salt: SALT,
        nonce: NONCE,
        exporter: world.binding.exporter,
        spki_sha384: world.binding.spki_sha384,
        request: REQUEST.to_vec(),
        response: RESPONSE.iter().map(|chunk| chunk.to_vec()).collect(),
        endorsement: None,
    }
}

#[test]
fn a_good_bundle_verifies_years_later_and_through_json() {
    let mut world = World::good();
    let bundle = bundle(&mut world, &body());
    let read = Bundle::from_json(bundle.to_json().as_bytes()).unwrap();
    assert_eq!(read, bundle);
    let (report, receipt) = read.verify(&world.anchor, Some(&world.reference));
    let receipt = receipt.unwrap();
    assert_eq!(receipt.body(), &body());
    assert!(receipt.simulated());
    assert_eq!(report.factors().len(), 25);
    let unchecked: Vec<&str> = report
        .factors()
        .iter()
        .filter(|factor| factor.outcome != adyton_attestation::appraisal::Outcome::Pass)
        .map(|factor| factor.name)
        .collect();
    assert_eq!(unchecked, ["document age"]);
    assert!(read.verify(&world.anchor, None).1.is_ok());
    assert!(!format!("{bundle:?}").contains("prompt"));
}

#[test]
fn a_cut_answer_is_accepted_only_on_request() {
    let mut world = World::good();
    let cut = ReceiptBody { status: Status::Cut, ..body() };
    let bundle = bundle(&mut world, &cut);
    assert_eq!(bundle.verify(&world.anchor, None).1.unwrap_err(), BundleRefusal::Cut);
    assert!(bundle.verify_with(&world.anchor, None, CutReceipts::Accept).1.is_ok());
}

#[test]
fn reference_values_count_in_the_archive_too() {
    let mut world = World::good();
    let bundle = bundle(&mut world, &body());
    let manifests = vec![adyton_attestation::binding::manifest_pcr16(MANIFEST)];
    let foreign = Owner::Signer { pcr8: other() };
    let reference = ReferenceValues::new(vec![image(&pcrs())], manifests, foreign).unwrap();
    let refusal = bundle.verify(&world.anchor, Some(&reference)).1.unwrap_err();
    assert_eq!(refusal, Refusal::Owner { index: 8 }.into());
}

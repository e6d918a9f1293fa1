//! What comes with evidence: documents, receipts, bundles, reference values, and the CBOR below them.
//!
//! # Promises
//! - Unsigned bytes are offered as they are; payloads are also signed with the mock's keys, so that what lies behind
//!   the signature check is reached.
//!
//! # Does not
//! - Try keys of others; `tests/tests/attestation` does.
//!
//! # Trusts
//! - The mock module.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use adyton_attestation::Timestamp;
use adyton_attestation::anchor::TrustAnchor;
use adyton_attestation::appraisal::{Expectation, Refusal, appraise};
use adyton_attestation::binding::{Role, SessionBinding, manifest_pcr16, manifest_sha384};
use adyton_attestation::cbor::{self, Form, Item, Writer};
use adyton_attestation::evidence::Evidence;
use adyton_attestation::measurement::MANIFEST_PCR;
use adyton_attestation::nsm;
use adyton_attestation::receipt::{
    self, Bundle, CutReceipts, ReceiptBody, ReceiptKey, ReceiptSigner, ResponseChain, Status, commit_request,
};
use adyton_attestation::reference::{Image, Owner, ReferenceValues};
use ring::signature::{Ed25519KeyPair, KeyPair as _};

use crate::mock_nsm::document::{Payload, seal};
use crate::mock_nsm::{InitialPcrs, MockConfig, MockNsm};
use crate::pki::Chain;

/// 2026-11-03T10:20:30Z, in milliseconds.
const NOW: u64 = 1_793_701_230_000;
const NONCE: [u8; 32] = [0x5a; 32];
const SALT: [u8; 32] = [0x11; 32];
const MANIFEST: &[u8] = b"{\"release\":1}";
const REQUEST: &[u8] = b"{\"prompt\":\"who is there?\"}";
const RESPONSE: [&[u8]; 2] = [b"nobody", b" but you"];
/// Protected header `{1: -8}` (EdDSA; RFC 9053, section 2.2).
const EDDSA: [u8; 3] = [0xa1, 0x01, 0x27];
/// What stands before the seed, and before the public key, in an Ed25519 key of PKCS#8 version 2 (RFC 8410, section 7).
const PKCS8_SEED: &[u8] =
    &[0x30, 0x53, 0x02, 0x01, 0x01, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
const PKCS8_PUBLIC: &[u8] = &[0xa1, 0x23, 0x03, 0x21, 0x00];

/// One enclave with its verifier, made once.
pub(super) struct House {
    anchor: TrustAnchor,
    reference: ReferenceValues,
    binding: SessionBinding,
    pub(super) chain: Chain,
    /// What the document says.
    pub(super) good: Payload,
    payload: Vec<u8>,
    pub(super) document: Vec<u8>,
    pair: Ed25519KeyPair,
    signer: ReceiptSigner,
}

pub(super) static HOUSE: LazyLock<House> = LazyLock::new(House::build);

impl House {
    fn build() -> Self {
        let pcrs = InitialPcrs::named("fuzz");
        let mut nsm = MockNsm::new(MockConfig { seed: [7; 32], clock: Arc::new(|| NOW), pcrs }).unwrap();
        nsm::extend(&mut nsm, MANIFEST_PCR, &manifest_sha384(MANIFEST)).unwrap();
        nsm::lock(&mut nsm, MANIFEST_PCR).unwrap();
        let image = Image { pcr0: pcrs.pcr0, pcr1: pcrs.pcr1, pcr2: pcrs.pcr2 };
        let owner = Owner::Signer { pcr8: pcrs.pcr8 };
        let reference = ReferenceValues::new(vec![image], vec![manifest_pcr16(MANIFEST)], owner).unwrap();
        let binding = SessionBinding {
            role: Role::Enclave,
            exporter: [1; 48],
            spki_sha384: [2; 48],
            manifest_sha384: manifest_sha384(MANIFEST),
        };
        let (pair, signer) = receipt_key();
        let spki = signer.public_key_spki();
        let user_data = binding.user_data();
        let document = nsm::attest(&mut nsm, Some(&user_data), Some(&NONCE), Some(&spki)).unwrap();
        let payload =
            nsm.payload(Some(user_data.to_vec()), Some(NONCE.to_vec()), Some(spki.to_vec())).unwrap();
        let (anchor, chain) = (nsm.trust_anchor(), nsm.chain().unwrap().clone());
        House {
            anchor,
            reference,
            binding,
            chain,
            payload: payload.encode(),
            good: payload,
            document,
            pair,
            signer,
        }
    }

    fn believes(&self, document: &[u8]) -> bool {
        self.judge(document).is_ok()
    }

    /// Appraises, and sees that report and claims agree.
    pub(super) fn judge(&self, document: &[u8]) -> Result<(), Refusal> {
        let expect = Expectation {
            anchor: &self.anchor,
            reference: &self.reference,
            now: Timestamp::from_millis(NOW),
            nonce: NONCE,
            max_age: Duration::from_secs(300),
            binding: self.binding,
            endorsement: None,
        };
        let (report, claims) = appraise(document, &expect);
        assert_eq!(report.passed_everything(), claims.is_ok(), "report and claims must agree");
        claims.map(drop)
    }

    fn body() -> ReceiptBody {
        let mut chain = ResponseChain::new(&SALT);
        RESPONSE.iter().for_each(|chunk| chain.push(chunk));
        ReceiptBody {
            boot: [1; 16],
            sequence: 1,
            issued_at: Timestamp::from_millis(NOW),
            request: commit_request(&SALT, REQUEST),
            chunks: chain.chunks(),
            response_bytes: chain.bytes(),
            response: chain.finish(),
            weights: [2; 32],
            manifest: manifest_sha384(MANIFEST),
            policy: [3; 32],
            principal: [4; 32],
            verdicts: vec![("input".into(), "pass".into()), ("output".into(), "redact".into())],
            status: Status::Complete,
            simulated: true,
            logged: None,
        }
    }

    fn bundle(&self) -> Bundle {
        Bundle {
            receipt: self.signer.sign(&Self::body()).unwrap(),
            document: self.document.clone(),
            manifest: MANIFEST.to_vec(),
            salt: SALT,
            nonce: NONCE,
            exporter: self.binding.exporter,
            spki_sha384: self.binding.spki_sha384,
            request: REQUEST.to_vec(),
            response: RESPONSE.iter().map(|chunk| chunk.to_vec()).collect(),
            endorsement: None,
        }
    }

    /// A receipt's envelope around any payload, rightly signed.
    fn signed(&self, payload: &[u8]) -> Vec<u8> {
        let mut message = Writer::new();
        message.array(4).text("Signature1").bytes(&EDDSA).bytes(&[]).bytes(payload);
        let signature = self.pair.sign(&message.into_bytes());
        let mut envelope = Writer::new();
        envelope.array(4).bytes(&EDDSA).map(0).bytes(payload).bytes(signature.as_ref());
        envelope.into_bytes()
    }
}

/// The same key twice: bare, to sign anything, and as the enclave's signer.
fn receipt_key() -> (Ed25519KeyPair, ReceiptSigner) {
    let seed = [9; 32];
    let pair = Ed25519KeyPair::from_seed_unchecked(&seed).unwrap();
    let pkcs8 = [PKCS8_SEED, &seed, PKCS8_PUBLIC, pair.public_key().as_ref()].concat();
    let signer = ReceiptSigner::from_pkcs8(&pkcs8).unwrap();
    (pair, signer)
}

/// An attestation document, and a payload under the right signature. Of unsigned bytes only the one document that
/// the module made is believed.
pub fn attestation_document(data: &[u8]) {
    let house = &*HOUSE;
    if house.believes(data) {
        assert!(data == house.document, "a document that the module did not make is believed");
    }
    if matches!(data.first(), Some(0xa9 | 0xbf)) {
        let sealed = seal(data, &house.chain);
        if house.believes(&sealed) {
            let evidence = Evidence::parse(&sealed).unwrap();
            assert_eq!(evidence.nonce(), Some(NONCE.as_slice()));
            assert_eq!(evidence.user_data(), Some(house.binding.user_data().as_slice()));
        }
    }
}

/// CBOR: what the stricter form accepts the other does, and plain items have one encoding.
pub fn cbor_item(data: &[u8]) {
    let loose = cbor::decode(data, Form::OutermostMapMayBeIndefinite);
    let Ok(item) = cbor::decode(data, Form::Definite) else {
        if loose.is_ok() {
            assert_eq!(data.first(), Some(&0xbf), "only an indefinite outermost map may differ");
        }
        return;
    };
    assert!(cbor::check(data, Form::Definite).is_ok() && loose.is_ok());
    let again = || cbor::decode(data, Form::Definite).unwrap();
    let mut writer = Writer::new();
    if let Ok(number) = item.unsigned("item") {
        writer.unsigned(number);
    } else if let Ok(bytes) = again().bytes("item") {
        writer.bytes(&bytes);
    } else if let Ok(text) = again().text("item") {
        writer.text(&text);
    } else if let Ok(truth) = again().boolean("item") {
        writer.boolean(truth);
    } else {
        return entries(again());
    }
    assert_eq!(writer.into_bytes(), data, "one value, one encoding");
}

/// Arrays and maps are walked; a map with numbers for keys is sorted.
fn entries(item: Item) {
    if let Ok(fields) = item.fields("item")
        && let Ok(numbered) = fields.numbered("item")
    {
        assert!(numbered.is_sorted_by(|one, other| one.0 < other.0), "keys are unique and in order");
    }
}

/// A receipt, and a receipt's payload under the right signature: what verifies is what the signer would write.
pub fn receipt(data: &[u8]) {
    let house = &*HOUSE;
    if let Some(key) = ReceiptKey::from_spki(data) {
        assert_eq!(key.spki().as_slice(), data);
    }
    let spki = house.signer.public_key_spki();
    if receipt::verify(data, &spki).is_ok() {
        assert!(data == house.signer.sign(&House::body()).unwrap(), "a forged receipt verifies");
    }
    let signed = house.signed(data);
    if let Ok(read) = receipt::verify(&signed, &spki) {
        assert_eq!(
            house.signer.sign(read.body()).as_deref(),
            Ok(signed.as_slice()),
            "one body, one encoding"
        );
    }
}

/// A bundle as JSON: it round-trips, and none but the true one is believed.
pub fn receipt_bundle(data: &[u8]) {
    let house = &*HOUSE;
    let Ok(bundle) = Bundle::from_json(data) else { return };
    assert!(Bundle::from_json(bundle.to_json().as_bytes()).as_ref() == Ok(&bundle));
    let (report, receipt) = bundle.verify_with(&house.anchor, Some(&house.reference), CutReceipts::Accept);
    if receipt.is_ok() {
        assert!(report.failed().is_none());
        assert!(bundle == house.bundle(), "a bundle that was altered is believed");
    }
}

/// Reference values as JSON: they round-trip, and none that is read is empty or zero.
pub fn reference_values(data: &[u8]) {
    let Ok(values) = ReferenceValues::from_json(data) else { return };
    assert_eq!(ReferenceValues::from_json(values.to_json().as_bytes()).as_ref(), Ok(&values));
    assert!(!values.images().is_empty() && !values.manifests().is_empty());
    assert!(values.images().iter().all(|i| !i.pcr0.is_zero() && !i.pcr1.is_zero() && !i.pcr2.is_zero()));
    assert!(values.manifests().iter().all(|manifest| !manifest.is_zero()));
}

pub(super) fn document_seeds() -> Vec<Vec<u8>> {
    vec![HOUSE.document.clone(), HOUSE.payload.clone()]
}

pub(super) fn cbor_seeds() -> Vec<Vec<u8>> {
    let mut map = Writer::new();
    map.map(3).unsigned(1).text("one").unsigned(2).array(2).bytes(&[7; 30]).null().text("t").boolean(true);
    let single = |write: fn(&mut Writer) -> &mut Writer| {
        let mut writer = Writer::new();
        write(&mut writer);
        writer.into_bytes()
    };
    vec![
        map.into_bytes(),
        single(|w| w.unsigned(u64::MAX)),
        single(|w| w.bytes(&[1; 300])),
        single(|w| w.text("text")),
        HOUSE.payload.clone(),
    ]
}

pub(super) fn receipt_seeds() -> Vec<Vec<u8>> {
    let cose = HOUSE.signer.sign(&House::body()).unwrap();
    // The payload lies between the fixed head and the signature of 64 bytes with its head of two.
    let start = cose.windows(3).position(|bytes| bytes == [0xaf, 0x00, 0x71]).unwrap();
    let payload = cose.get(start..cose.len() - 66).unwrap().to_vec();
    vec![cose, payload, HOUSE.signer.public_key_spki().to_vec()]
}

pub(super) fn bundle_seeds() -> Vec<Vec<u8>> {
    vec![HOUSE.bundle().to_json().into_bytes()]
}

pub(super) fn reference_seeds() -> Vec<Vec<u8>> {
    let anyone = ReferenceValues::new(
        HOUSE.reference.images().to_vec(),
        HOUSE.reference.manifests().to_vec(),
        Owner::AnyoneAtAll,
    );
    vec![HOUSE.reference.to_json().into_bytes(), anyone.unwrap().to_json().into_bytes()]
}

//! Receipts with everything that they refer to, right and wrong.
//!
//! # Promises
//! - What says something else than the enclave did is signed by the enclave's own key, unless the signature is wrong.
//!
//! # Does not
//! - Repeat the corpus of documents.
//!
//! # Trusts
//! - The mock module.

use adyton_attestation::Timestamp;
use adyton_attestation::binding::manifest_sha384;
use adyton_attestation::cbor::Writer;
use adyton_attestation::endorsement::Endorsement;
use adyton_attestation::receipt::{Bundle, ReceiptBody, ReceiptKey, ResponseChain, Status, commit_request};
use ring::signature::Ed25519KeyPair;
use serde_json::{Value, json};

use super::world::{MADE, MANIFEST, NONCE, World, ed25519, pkcs8, policy};
use super::{Corpus, Level, Vector};
use crate::mock_nsm::InitialPcrs;

const SALT: [u8; 32] = [0x11; 32];
const REQUEST: &[u8] = br#"{"model":"m","messages":[{"role":"user","content":"who is there?"}]}"#;
const RESPONSE: [&[u8]; 4] = [
    b"data: {\"choices\":[{\"delta\":{\"content\":\"nobody\"}}]}\n\n",
    b"data: {\"choices\":[{\"delta\":{\"content\":\" but\"}}]}\n\n",
    b"data: {\"choices\":[{\"delta\":{\"content\":\" you\"}}]}\n\n",
    b"data: [DONE]\n\n",
];
/// Protected header `{1: -8}` (EdDSA; RFC 9053, section 2.2).
const EDDSA: [u8; 3] = [0xa1, 0x01, 0x27];
/// The order of the group of Ed25519, little-endian (RFC 8032, section 5.1).
const ORDER: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];
const BODY: &str = "docs/protocol.md section 9; RFC 8949 4.2";
const COSE: &str = "RFC 9052 4.2, 4.4; RFC 9053 2.2; RFC 8032 5.1.7";

/// The corpus of receipts.
pub fn receipts() -> Corpus {
    let mut world = World::new();
    let mut corpus = Corpus {
        format: "adyton/receipt-corpus/v1",
        document_key: "bundles",
        extension: "json",
        defaults: json!({}),
        root: world.root(),
        level: Level::Adyton,
        vectors: Vec::new(),
    };
    accepted(&mut corpus, &mut world);
    envelopes(&mut corpus, &mut world);
    signatures(&mut corpus, &mut world);
    encodings(&mut corpus, &mut world);
    statements(&mut corpus, &mut world);
    parts(&mut corpus, &mut world);
    streams(&mut corpus, &mut world);
    evidence(&mut corpus, &mut world);
    sequences(&mut corpus, &mut world);
    json_forms(&mut corpus, &mut world);
    corpus
}

/// What the enclave says of the request and the response above.
fn body() -> ReceiptBody {
    let mut chain = ResponseChain::new(&SALT);
    RESPONSE.iter().for_each(|chunk| chain.push(chunk));
    ReceiptBody {
        boot: [1; 16],
        sequence: 0,
        issued_at: Timestamp::from_millis(MADE + 5_000),
        request: commit_request(&SALT, REQUEST),
        chunks: chain.chunks(),
        response_bytes: chain.bytes(),
        response: chain.finish(),
        weights: [2; 32],
        manifest: manifest_sha384(MANIFEST),
        policy: [3; 32],
        principal: [4; 32],
        verdicts: vec![("input".into(), "pass".into()), ("output".into(), "pass".into())],
        status: Status::Complete,
        simulated: true,
        logged: None,
    }
}

fn bundle_of(world: &mut World, receipt: Vec<u8>) -> Bundle {
    Bundle {
        receipt,
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

fn signed(world: &World, alter: impl FnOnce(&mut ReceiptBody)) -> Vec<u8> {
    let mut body = body();
    alter(&mut body);
    world.signer.sign(&body).unwrap()
}

fn good(world: &mut World) -> Bundle {
    let receipt = signed(world, |_| {});
    bundle_of(world, receipt)
}

impl Corpus {
    fn refuse(
        &mut self,
        id: &str,
        bundle: &Bundle,
        code: &'static str,
        clause: &'static str,
        about: &str,
    ) -> &mut Vector {
        self.reject(id, bundle.to_json().into_bytes(), code, clause, about)
    }
}

fn accepted(corpus: &mut Corpus, world: &mut World) {
    let clause = "docs/protocol.md section 9";
    let whole = good(world);
    corpus.accept("good", whole.to_json().into_bytes(), clause, "a whole answer");
    corpus
        .accept(
            "good-with-policy",
            whole.to_json().into_bytes(),
            clause,
            "the enclave is also one that the policy names",
        )
        .with("policy", policy(&world.pcrs));
    let mut cut = whole.clone();
    cut.response.truncate(2);
    let mut chain = ResponseChain::new(&SALT);
    cut.response.iter().for_each(|chunk| chain.push(chunk));
    cut.receipt = signed(world, |body| {
        body.status = Status::Cut;
        (body.chunks, body.response_bytes, body.response) = (chain.chunks(), chain.bytes(), chain.finish());
    });
    corpus
        .accept(
            "cut-and-accepted",
            cut.to_json().into_bytes(),
            clause,
            "an answer that was cut, by one who accepts that",
        )
        .with("accept_cut", json!(true));
    corpus.refuse("cut", &cut, "receipt-cut", clause, "an answer that was cut");
    let mut silent = whole.clone();
    silent.response.clear();
    silent.receipt = signed(world, |body| {
        (body.chunks, body.response_bytes, body.response) = (0, 0, ResponseChain::new(&SALT).finish());
    });
    corpus.accept("empty-response", silent.to_json().into_bytes(), clause, "an answer without a byte");
    let value: Value = serde_json::from_str(&whole.to_json()).unwrap();
    corpus.accept(
        "compact-json",
        value.to_string().into_bytes(),
        clause,
        "the same bundle, its JSON written in another way",
    );
    let late = signed(world, |body| body.issued_at = Timestamp::from_millis(MADE + 365 * 24 * 3_600_000));
    let late = bundle_of(world, late);
    let about = "issued a year after the document, which is judged at its own time";
    corpus.accept("a-year-later", late.to_json().into_bytes(), clause, about);
}

/// The four parts of a receipt, rightly signed by default.
struct Parts {
    head: Vec<u8>,
    protected: Vec<u8>,
    unprotected: Vec<u8>,
    payload: Vec<u8>,
    signature: Vec<u8>,
    tail: Vec<u8>,
}

fn cbor_bytes(bytes: &[u8]) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.bytes(bytes);
    writer.into_bytes()
}

fn pair() -> Ed25519KeyPair {
    Ed25519KeyPair::from_pkcs8(&pkcs8([9; 32])).unwrap()
}

fn ed25519_signature(context: &str, protected: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut message = Writer::new();
    message.array(4).text(context).bytes(protected).bytes(&[]).bytes(payload);
    pair().sign(&message.into_bytes()).as_ref().to_vec()
}

/// The good body's bytes.
fn payload(world: &World) -> Vec<u8> {
    let cose = signed(world, |_| {});
    // 84, 43 and the header, a0, 59 and two bytes of length; then 58 40 and 64 bytes of signature.
    cose[9..cose.len() - 66].to_vec()
}

impl Parts {
    fn with_payload(payload: &[u8]) -> Self {
        Self {
            head: vec![0x84],
            protected: cbor_bytes(&EDDSA),
            unprotected: vec![0xa0],
            payload: cbor_bytes(payload),
            signature: cbor_bytes(&ed25519_signature("Signature1", &EDDSA, payload)),
            tail: vec![],
        }
    }

    fn bytes(&self) -> Vec<u8> {
        [&self.head, &self.protected, &self.unprotected, &self.payload, &self.signature, &self.tail]
            .into_iter()
            .flatten()
            .copied()
            .collect()
    }
}

fn envelopes(corpus: &mut Corpus, world: &mut World) {
    let payload = payload(world);
    let mut reject = |id: &str, code: &'static str, about: &str, spoil: &dyn Fn(&mut Parts)| {
        let mut parts = Parts::with_payload(&payload);
        spoil(&mut parts);
        let bundle = bundle_of(world, parts.bytes());
        corpus.refuse(&format!("receipt-{id}"), &bundle, code, COSE, about);
    };
    reject("empty", "receipt-envelope-truncated", "no byte", &|p| {
        *p = Parts {
            head: vec![],
            protected: vec![],
            unprotected: vec![],
            payload: vec![],
            signature: vec![],
            tail: vec![],
        };
    });
    reject("cut", "receipt-envelope-truncated", "without its last byte", &|p| p.signature.truncate(65));
    reject("tag-18", "receipt-envelope-tagged", "with the tag of COSE_Sign1", &|p| p.head.insert(0, 0xd2));
    reject("array-of-3", "receipt-envelope-not-sign1", "an array of three", &|p| p.head = vec![0x83]);
    reject("trailing", "receipt-envelope-trailing-bytes", "a byte follows", &|p| p.tail = vec![0]);
    let header = "receipt-envelope-protected-header";
    reject("es384", header, "the header names ES384", &|p| {
        p.protected = cbor_bytes(&[0xa1, 0x01, 0x38, 0x22])
    });
    reject("no-algorithm", header, "the header names no algorithm", &|p| p.protected = cbor_bytes(&[]));
    reject("content-type", header, "the header has a content type, too", &|p| {
        p.protected = cbor_bytes(&[0xa2, 0x01, 0x27, 0x03, 0x18, 0x3d])
    });
    let unsigned = "receipt-envelope-unprotected-header";
    reject("kid", unsigned, "a key identifier that nobody has signed", &|p| {
        p.unprotected = vec![0xa1, 0x04, 0x41, 0x00]
    });
    reject("detached", "receipt-envelope-payload", "the payload is somewhere else", &|p| {
        p.payload = vec![0xf6]
    });
    let length = "receipt-envelope-signature-length";
    reject("signature-63", length, "a signature of 63 bytes", &|p| p.signature = cbor_bytes(&[1; 63]));
    reject("signature-96", length, "a signature of 96 bytes", &|p| p.signature = cbor_bytes(&[1; 96]));
    reject("signature-empty", length, "no signature", &|p| p.signature = vec![0x40]);
    reject("large", "receipt-too-large", "12289 bytes", &|p| p.tail = vec![0; 12 * 1024]);
}

fn signatures(corpus: &mut Corpus, world: &mut World) {
    let payload = payload(world);
    let right = ed25519_signature("Signature1", &EDDSA, &payload);
    let mut reject = |id: &str, signature: Vec<u8>, about: &str| {
        let parts = Parts { signature: cbor_bytes(&signature), ..Parts::with_payload(&payload) };
        let bundle = bundle_of(world, parts.bytes());
        corpus.refuse(&format!("signature-{id}"), &bundle, "receipt-signature", COSE, about);
    };
    let flipped =
        |at: usize| right.iter().enumerate().map(|(i, b)| if i == at { b ^ 1 } else { *b }).collect();
    reject("r", flipped(0), "a bit of R is another");
    reject("s", flipped(32), "a bit of S is another");
    reject("zero", vec![0; 64], "64 zeros");
    reject("not-canonical", [&right[..32], &plus_order(&right[32..])].concat(), "S is not reduced: S + L");
    reject(
        "bare-payload",
        pair().sign(&payload).as_ref().to_vec(),
        "the payload was signed, not the Sig_structure",
    );
    reject("context", ed25519_signature("Signature", &EDDSA, &payload), "the context is that of COSE_Sign");
    let other = Ed25519KeyPair::from_pkcs8(&pkcs8([0x42; 32])).unwrap();
    let mut message = Writer::new();
    message.array(4).text("Signature1").bytes(&EDDSA).bytes(&[]).bytes(&payload);
    reject(
        "other-key",
        other.sign(&message.into_bytes()).as_ref().to_vec(),
        "another enclave's key, which is not in the evidence",
    );
    let mut status = payload.clone();
    let at = status.len() - 3;
    status[at] ^= 1;
    let parts = Parts { signature: cbor_bytes(&right), ..Parts::with_payload(&status) };
    let bundle = bundle_of(world, parts.bytes());
    let about = "complete was turned into cut after the receipt was signed";
    corpus.refuse("status-altered", &bundle, "receipt-signature", COSE, about);
}

/// `s + L`, little-endian.
fn plus_order(s: &[u8]) -> Vec<u8> {
    let mut carry = 0u16;
    s.iter()
        .zip(ORDER)
        .map(|(one, other)| {
            let sum = u16::from(*one) + u16::from(other) + carry;
            carry = sum >> 8;
            sum as u8
        })
        .collect()
}

/// The entries of a body: key and value, both encoded.
fn entries(world: &World) -> Vec<(Vec<u8>, Vec<u8>)> {
    let payload = payload(world);
    let mut rest = &payload[1..];
    let mut entries = Vec::new();
    while let Some((key, after)) = rest.split_first() {
        let len = item_len(after);
        entries.push((vec![*key], after[..len].to_vec()));
        rest = &after[len..];
    }
    entries
}

/// Bytes of the one item that `bytes` begin with; enough for what a receipt holds.
fn item_len(bytes: &[u8]) -> usize {
    let (major, info) = (bytes[0] >> 5, bytes[0] & 0x1f);
    let (head, argument) = match info {
        24 => (2, usize::from(bytes[1])),
        25 => (3, usize::from(bytes[1]) << 8 | usize::from(bytes[2])),
        26 => (5, 0),
        27 => (9, 0),
        info => (1, usize::from(info)),
    };
    match major {
        2 | 3 => head + argument,
        4 => (0..argument).fold(head, |at, _| at + item_len(&bytes[at..])),
        _ => head,
    }
}

fn map(head: &[u8], entries: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    entries.iter().fold(head.to_vec(), |all, (key, value)| [all, key.clone(), value.clone()].concat())
}

type Entries = Vec<(Vec<u8>, Vec<u8>)>;

/// Bodies that are rightly signed and are not the one encoding of a receipt.
fn encodings(corpus: &mut Corpus, world: &mut World) {
    let all = entries(world);
    assert_eq!(map(&[0xaf], &all), payload(world));
    let mut reject = |id: &str, payload: Vec<u8>, code: &'static str, about: &str| {
        let bundle = bundle_of(world, Parts::with_payload(&payload).bytes());
        corpus.refuse(&format!("body-{id}"), &bundle, code, BODY, about);
    };
    let with = |edit: &dyn Fn(&mut Entries)| {
        let mut entries = all.clone();
        edit(&mut entries);
        map(&[0xa0 | entries.len() as u8], &entries)
    };
    let set = |at: usize, value: &[u8]| with(&|e| e[at].1 = value.to_vec());
    for missing in [0, 1, 2, 4, 5, 9, 13, 14] {
        let about = format!("field {missing} is missing");
        reject(
            &format!("without-{missing}"),
            with(&|e| drop(e.remove(missing))),
            "receipt-field-missing",
            &about,
        );
    }
    let extra = [map(&[0xb0], &all), vec![0x0f, 0xf6]].concat();
    reject("unknown-field", extra, "receipt-field-unknown", "a sixteenth field");
    reject(
        "field-twice",
        [map(&[0xb0], &all), vec![0x0e, 0xf5]].concat(),
        "receipt-field-duplicate",
        "a field is there twice",
    );
    reject("order", with(&|e| e.swap(1, 2)), "receipt-not-deterministic", "two fields are exchanged");
    let indefinite = [map(&[0xbf], &all), vec![0xff]].concat();
    reject("indefinite", indefinite, "receipt-payload-indefinite-length", "a map of indefinite length");
    reject("long-sequence", set(2, &[0x18, 0x00]), "receipt-payload-not-shortest", "the number in two bytes");
    reject(
        "tagged",
        [vec![0xd9, 0xd9, 0xf7], map(&[0xaf], &all)].concat(),
        "receipt-payload-tag",
        "with a tag",
    );
    reject(
        "trailing",
        [map(&[0xaf], &all), vec![0xf6]].concat(),
        "receipt-payload-trailing-bytes",
        "a null follows",
    );
    let mut version = all[0].1.clone();
    *version.last_mut().unwrap() = b'2';
    reject("version-2", set(0, &version), "receipt-domain", "another version of the format");
    reject(
        "other-domain",
        set(0, &[&[0x71][..], b"adyton/session/v1"].concat()),
        "receipt-domain",
        "something else that the key might sign",
    );
    reject(
        "boot-15",
        set(1, &[&[0x4f][..], &[1; 15]].concat()),
        "receipt-field-wrong-type",
        "a boot of 15 bytes",
    );
    reject("sequence-negative", set(2, &[0x20]), "receipt-field-wrong-type", "the number -1");
    reject(
        "request-31",
        set(4, &[&[0x58, 0x1f][..], &[1; 31]].concat()),
        "receipt-field-wrong-type",
        "a commitment of 31 bytes",
    );
    reject(
        "manifest-32",
        set(9, &[&[0x58, 0x20][..], &[1; 32]].concat()),
        "receipt-field-wrong-type",
        "a manifest's SHA-256 in place of its SHA-384",
    );
    reject("status-2", set(13, &[0x02]), "receipt-status", "a status that does not exist");
    reject(
        "status-text",
        set(13, &[&[0x68][..], b"complete"].concat()),
        "receipt-field-wrong-type",
        "the status as text",
    );
    reject("simulated-number", set(14, &[0x01]), "receipt-field-wrong-type", "1 in place of true");
    reject(
        "verdict-of-three",
        set(12, &[0x81, 0x83, 0x61, b'a', 0x61, b'b', 0x61, b'c']),
        "receipt-field-wrong-type",
        "a verdict of three words",
    );
    let word = [&[0x81, 0x82, 0x61, b'a', 0x78, 0x41][..], &[b'x'; 65]].concat();
    reject("word-65", set(12, &word), "receipt-limits", "a word of 65 bytes");
    reject(
        "domain-bytes",
        set(0, &[&[0x51][..], b"adyton/receipt/v1"].concat()),
        "receipt-field-wrong-type",
        "the domain as bytes",
    );
    reject(
        "weights-text",
        set(8, &[&[0x78, 0x20][..], &[b'2'; 32]].concat()),
        "receipt-field-wrong-type",
        "text of the right length in place of bytes",
    );
    reject("verdicts-map", set(12, &[0xa0]), "receipt-field-wrong-type", "the verdicts as a map");
    reject(
        "verdict-text",
        set(12, &[0x81, 0x61, b'a']),
        "receipt-field-wrong-type",
        "a verdict that is one word",
    );
    reject(
        "verdict-bytes",
        set(12, &[0x81, 0x82, 0x61, b'a', 0x41, b'b']),
        "receipt-field-wrong-type",
        "a word of bytes",
    );
    let crowd = [&[0x98, 0x41][..], &[0x82, 0x61, b'a', 0x61, b'b'].repeat(65)].concat();
    reject("verdicts-65", set(12, &crowd), "receipt-payload-malformed", "65 verdicts");
    let values: Vec<u8> = all.iter().flat_map(|(_, value)| value.clone()).collect();
    reject(
        "array",
        [&[0x8f][..], &values].concat(),
        "receipt-field-wrong-type",
        "the values alone, in an array",
    );
    reject(
        "json",
        b"{\"status\":\"complete\"}".to_vec(),
        "receipt-payload-truncated",
        "JSON in place of CBOR",
    );
}

/// What the receipt says is not what happened.
fn statements(corpus: &mut Corpus, world: &mut World) {
    let clause = "docs/protocol.md section 9";
    let mut reject = |id: &str, code: &'static str, about: &str, alter: &dyn Fn(&mut ReceiptBody)| {
        let receipt = signed(world, |body| alter(body));
        let bundle = bundle_of(world, receipt);
        corpus.refuse(&format!("says-{id}"), &bundle, code, clause, about);
    };
    reject("other-manifest", "receipt-manifest", "another release than the one in the evidence", &|b| {
        b.manifest = [0; 48]
    });
    reject("other-request", "receipt-request", "another request", &|b| b.request = [0; 32]);
    reject("request-unsalted", "receipt-request", "the bare hash of the request", &|b| {
        b.request.copy_from_slice(ring::digest::digest(&ring::digest::SHA256, REQUEST).as_ref());
    });
    reject("other-response", "receipt-response", "another response", &|b| b.response = [0; 32]);
    reject("more-chunks", "receipt-chunk-count", "a chunk more", &|b| b.chunks += 1);
    reject("fewer-bytes", "receipt-response-bytes", "a byte fewer", &|b| b.response_bytes -= 1);
    reject(
        "before-evidence",
        "receipt-before-evidence",
        "it was issued before the document was made",
        &|b| {
            b.issued_at = Timestamp::from_millis(MADE - 1);
        },
    );
    reject("not-simulated", "receipt-simulation", "not simulated, under a development root", &|b| {
        b.simulated = false
    });
}

/// One part of the bundle is another.
fn parts(corpus: &mut Corpus, world: &mut World) {
    let clause = "docs/protocol.md sections 3, 9";
    let base = good(world);
    let mut reject = |id: &str, code: &'static str, about: &str, spoil: &dyn Fn(&mut Bundle)| {
        let mut bundle = base.clone();
        spoil(&mut bundle);
        corpus.refuse(&format!("bundle-{id}"), &bundle, code, clause, about);
    };
    reject("nonce", "nonce-mismatch", "another nonce", &|b| b.nonce = [0; 32]);
    reject("exporter", "binding-mismatch", "another connection's exporter", &|b| b.exporter = [0; 48]);
    reject("certificate", "binding-mismatch", "another certificate", &|b| b.spki_sha384 = [0; 48]);
    reject("manifest-reencoded", "manifest-not-bound", "the manifest with a space in it", &|b| {
        b.manifest = b"{\"release\": 1}".to_vec()
    });
    reject("salt", "receipt-request", "another salt", &|b| b.salt = [0; 32]);
    reject("request-altered", "receipt-request", "a letter of the request is another", &|b| {
        b.request[70 - 8] ^= 1
    });
    reject("request-reencoded", "receipt-request", "the same JSON, its keys in another order", &|b| {
        let value: Value = serde_json::from_slice(&b.request).unwrap();
        let (model, messages) = (&value["model"], &value["messages"]);
        b.request = format!("{{\"messages\":{messages},\"model\":{model}}}").into_bytes();
    });
    reject("request-spaces", "receipt-request", "the same JSON with spaces", &|b| {
        b.request = serde_json::to_vec_pretty(&serde_json::from_slice::<Value>(&b.request).unwrap()).unwrap();
    });
    reject("request-newline", "receipt-request", "a line feed after the request", &|b| b.request.push(b'\n'));
    reject("request-empty", "receipt-request", "no request", &|b| b.request.clear());
}

/// The response is not the one that was sent, or not cut where it was.
fn streams(corpus: &mut Corpus, world: &mut World) {
    let clause = "docs/protocol.md section 9: the hash chain over chunks";
    let base = good(world);
    let mut reject = |id: &str, code: &'static str, about: &str, spoil: &dyn Fn(&mut Vec<Vec<u8>>)| {
        let mut bundle = base.clone();
        spoil(&mut bundle.response);
        corpus.refuse(&format!("stream-{id}"), &bundle, code, clause, about);
    };
    reject(
        "cut-but-complete",
        "receipt-chunk-count",
        "the last two chunks are missing and the receipt says complete",
        &|r| r.truncate(2),
    );
    reject("without-end", "receipt-chunk-count", "[DONE] is missing", &|r| drop(r.pop()));
    reject("without-first", "receipt-chunk-count", "the first chunk is missing", &|r| drop(r.remove(0)));
    reject("chunk-twice", "receipt-chunk-count", "a chunk is there twice", &|r| r.insert(1, r[1].clone()));
    reject("empty-chunk", "receipt-chunk-count", "an empty chunk was added", &|r| r.push(Vec::new()));
    reject("none", "receipt-chunk-count", "no chunk at all", &|r| r.clear());
    reject("exchanged", "receipt-response", "two chunks of the same length are exchanged", &|r| r.swap(1, 2));
    reject("altered", "receipt-response", "a letter of a chunk is another", &|r| r[0][40] ^= 1);
    reject("moved-boundary", "receipt-response", "a byte moved from one chunk to the next", &|r| {
        let byte = r[0].pop().unwrap();
        r[1].insert(0, byte);
    });
    reject("merged", "receipt-chunk-count", "two chunks became one", &|r| {
        let second = r.remove(1);
        r[0].extend(second);
    });
    reject("split", "receipt-chunk-count", "one chunk became two", &|r| {
        let tail = r[0].split_off(10);
        r.insert(1, tail);
    });
    reject("longer", "receipt-response-bytes", "a byte was added", &|r| r[0].push(b' '));
    reject("reencoded", "receipt-response-bytes", "the JSON of a chunk with a space in it", &|r| {
        r[0].insert(13, b' ')
    });
}

/// The evidence is another enclave's, or none that this verifier trusts.
fn evidence(corpus: &mut Corpus, world: &mut World) {
    let clause = "docs/protocol.md section 5";
    let base = good(world);
    let with = |document: Vec<u8>| Bundle { document, ..base.clone() };
    let about = "a mock enclave's receipt, given to a verifier that trusts AWS's root";
    corpus.refuse("mock-to-production", &base, "root-not-pinned", clause, about).with("root", Value::Null);
    let other = ed25519([0x42; 32]).public_key_spki().to_vec();
    let document = world.altered(|p| p.public_key = Some(other));
    corpus.refuse(
        "key-not-in-evidence",
        &with(document),
        "receipt-signature",
        clause,
        "the evidence names another receipt key",
    );
    let document = world.altered(|p| p.public_key = None);
    corpus.refuse(
        "no-key-in-evidence",
        &with(document),
        "receipt-key-missing",
        clause,
        "the evidence names no receipt key",
    );
    let document = World::with_registers(world.pcrs.in_debug_mode()).document();
    corpus.refuse("debug-evidence", &with(document), "debug-mode", clause, "the enclave ran in debug mode");
    let mut altered = world.document();
    let last = altered.len() - 1;
    altered[last] ^= 1;
    corpus.refuse(
        "evidence-altered",
        &with(altered),
        "document-signature",
        clause,
        "a bit of the document's signature is another",
    );
    corpus.refuse("no-evidence", &with(vec![]), "envelope-truncated", clause, "no document");
    let document = world.altered(|p| drop(p.pcrs.remove(&16)));
    corpus.refuse(
        "no-manifest-register",
        &with(document),
        "manifest-register-missing",
        clause,
        "register 16 was not locked",
    );
    let stranger = InitialPcrs::named("somebody else's");
    endorsed(corpus, world, &base);
    let mut reject = |id: &str, pcrs: InitialPcrs, code: &'static str, about: &str| {
        corpus.refuse(id, &base, code, clause, about).with("policy", policy(&pcrs));
    };
    reject("policy-other-image", stranger, "image-not-accepted", "the policy accepts another image");
    let owner = InitialPcrs { pcr8: stranger.pcr8, ..world.pcrs };
    reject("policy-other-owner", owner, "owner-not-accepted", "the policy accepts another signer");
}

/// Several receipts of one start.
fn sequences(corpus: &mut Corpus, world: &mut World) {
    let clause = "docs/protocol.md section 9: numbers of one boot have no gaps";
    let numbered = |world: &mut World, boot: u8, sequence: u64| {
        let receipt = signed(world, |body| (body.boot, body.sequence) = ([boot; 16], sequence));
        (format!("sequence/{boot}-{sequence}.json"), bundle_of(world, receipt).to_json().into_bytes())
    };
    let mut add = |id: &str, numbers: &[(u8, u64)], first: u64, code: Option<&'static str>, about: &str| {
        let files = numbers.iter().map(|(boot, sequence)| numbered(world, *boot, *sequence)).collect();
        corpus
            .push(&format!("sequence-{id}"), files, code, clause, about)
            .with("sequence_from", json!(first));
    };
    add("whole", &[(1, 0), (1, 1), (1, 2)], 0, None, "0, 1, 2");
    add("any-order", &[(1, 2), (1, 0), (1, 1)], 0, None, "2, 0, 1: files have no order");
    add("from-one", &[(1, 1), (1, 2)], 1, None, "1, 2, by one who asks from 1");
    add("gap", &[(1, 0), (1, 2)], 0, Some("sequence-gap"), "1 is missing");
    add("first-missing", &[(1, 1), (1, 2)], 0, Some("sequence-gap"), "0 is missing");
    add("repeat", &[(1, 0), (1, 1), (1, 1)], 0, Some("sequence-repeat"), "1 is there twice");
    add(
        "before-first",
        &[(1, 0), (1, 1)],
        1,
        Some("sequence-before-first"),
        "0 is below where the sequence begins",
    );
    add("other-boot", &[(1, 0), (2, 1)], 0, Some("sequence-other-boot"), "the second is of another start");
    add("two-boots", &[(1, 0), (2, 0)], 0, Some("sequence-other-boot"), "two starts, the same number");
}

/// Bundles that are not the JSON that a client keeps.
fn json_forms(corpus: &mut Corpus, world: &mut World) {
    let base: Value = serde_json::from_str(&good(world).to_json()).unwrap();
    let mut reject = |id: &str, about: &str, spoil: &dyn Fn(&mut Value)| {
        let mut value = base.clone();
        spoil(&mut value);
        let bytes = serde_json::to_vec_pretty(&value).unwrap();
        corpus.reject(&format!("json-{id}"), bytes, "bundle-unreadable", "adyton: receipt::Bundle", about);
    };
    reject("unknown-key", "a key that nobody knows", &|v| v["trusted"] = json!(true));
    reject("no-salt", "no salt", &|v| drop(v.as_object_mut().unwrap().remove("salt")));
    reject("short-salt", "a salt of 31 bytes", &|v| {
        v["salt"] = json!(format!("{}EQ==", "ERER".repeat(10)));
    });
    reject("not-base64", "a receipt that is not base64", &|v| v["receipt"] = json!("!!!!"));
    reject("base64url", "a nonce in the alphabet of URLs, without padding", &|v| {
        v["nonce"] = json!("WlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlo")
    });
    reject("response-text", "a response that is one text", &|v| v["response"] = json!("nobody but you"));
    reject("response-object", "a response that is an object", &|v| v["response"] = json!({ "0": "" }));
    reject("base64-spare-bits", "a salt whose base64 has spare bits", &|v| {
        v["salt"] = json!(format!("{}ERF=", "ERER".repeat(10)));
    });
    reject("array", "an array in place of the object", &|v| *v = json!([v]));
}

/// Bundles of an enclave that its operator has endorsed.
fn endorsed(corpus: &mut Corpus, world: &mut World, base: &Bundle) {
    let clause = "docs/protocol.md section 5";
    let operator = pkcs8([0x21; 32]);
    let word = |seed: &[u8], key: &[u8]| {
        let key = ReceiptKey::from_spki(key).unwrap();
        let at = Timestamp::from_millis;
        Endorsement::sign(seed, &key, at(MADE - 1000), at(MADE + 1000)).unwrap()
    };
    let ours = world.signer.public_key_spki();
    let good = word(&operator, &ours);
    let mut pinned = policy(&world.pcrs);
    pinned["owner"] = json!({ "endorser": { "ed25519": good.endorser().to_string() } });
    let with = |endorsement| Bundle { endorsement, ..base.clone() };
    let mut add = |id: &str, endorsement: Option<Endorsement>, code: Option<&'static str>, about: &str| {
        let file = (format!("endorsed/{id}.json"), with(endorsement).to_json().into_bytes());
        corpus
            .push(&format!("endorsed-{id}"), vec![file], code, clause, about)
            .with("policy", pinned.clone());
    };
    add("good", Some(good), None, "an endorsement that held when the document was made");
    add(
        "none",
        None,
        Some("endorsement-missing"),
        "the policy pins an operator, and the bundle has no endorsement",
    );
    let other = word(&operator, &ed25519([0x42; 32]).public_key_spki());
    add("other", Some(other), Some("endorsement-key"), "the endorsement of another enclave");
    let stranger = word(&pkcs8([0x22; 32]), &ours);
    add("stranger", Some(stranger), Some("endorsement-endorser"), "an endorsement by another operator");
}

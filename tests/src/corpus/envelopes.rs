//! Envelopes that the module does not write, and signatures that are not its leaf's.
//!
//! # Promises
//! - Where the header is part of what is signed, the altered header is signed: only a check of the header refuses it.
//!
//! # Does not
//! - Touch the payload.
//!
//! # Trusts
//! - The mock module.

use adyton_attestation::cbor::Writer;
use p384::ecdsa::Signature;

use super::world::{Envelope, World};
use super::{Corpus, Level};
use crate::mock_nsm::document::PROTECTED;
use crate::pki::{Place, SeededKey};

const CLAUSE: &str = "RFC 9052 4.2; AWS attestation process 3.1";
const SIGNING: &str = "RFC 9052 4.4; RFC 9053 2.1; AWS attestation process 3.2.1";

/// The order of P-384's group (FIPS 186-5; SP 800-186, section 3.2.1.4).
const ORDER: &str =
    "ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973";

pub(super) fn add(corpus: &mut Corpus, world: &mut World) {
    corpus.group(Level::Evidence);
    let good = world.document();
    corpus.accept("good", good.clone(), "AWS attestation process", "what the module writes today");
    frames(corpus, &good);
    arrays(corpus, world);
    protected(corpus, world);
    unprotected(corpus, world);
    payloads(corpus, world);
    signature_forms(corpus, world);
    signatures(corpus, world);
}

/// What is around the document.
fn frames(corpus: &mut Corpus, good: &[u8]) {
    let code = "envelope-truncated";
    for (id, len) in
        [("empty", 0), ("one-byte", 1), ("cut-in-payload", 600), ("cut-before-signature", good.len() - 98)]
    {
        let about = format!("the first {len} bytes of a good document");
        corpus.reject(&format!("envelope-{id}"), good[..len].to_vec(), code, CLAUSE, &about);
    }
    let cut = good[..good.len() - 1].to_vec();
    corpus.reject("envelope-cut-last-byte", cut, code, CLAUSE, "a good document without its last byte");
    let with = |before: &[u8], after: &[u8]| [before, good, after].concat();
    let trailing = "envelope-trailing-bytes";
    corpus.reject("envelope-trailing-zero", with(&[], &[0]), trailing, CLAUSE, "a zero follows");
    corpus.reject("envelope-trailing-null", with(&[], &[0xf6]), trailing, CLAUSE, "a CBOR null follows");
    corpus.reject("envelope-twice", with(&[], good), trailing, CLAUSE, "the same document follows");
    let not = "envelope-not-sign1";
    corpus.reject("envelope-leading-zero", with(&[0], &[]), not, CLAUSE, "a zero comes first");
    corpus.reject("envelope-leading-space", with(b" ", &[]), not, CLAUSE, "a space comes first");
    let mut wrapped = Writer::new();
    wrapped.bytes(good);
    corpus.reject(
        "envelope-in-byte-string",
        wrapped.into_bytes(),
        not,
        CLAUSE,
        "the document inside a byte string",
    );
    corpus.reject(
        "envelope-as-hex",
        hex::encode(good).into_bytes(),
        not,
        CLAUSE,
        "the document as hexadecimal text",
    );
    let tagged = "envelope-tagged";
    corpus.reject(
        "envelope-tag-18",
        with(&[0xd2], &[]),
        tagged,
        CLAUSE,
        "the tag of COSE_Sign1; the module writes none",
    );
    corpus.reject(
        "envelope-tag-18-long",
        with(&[0xd8, 0x12], &[]),
        tagged,
        CLAUSE,
        "the same tag, not in shortest form",
    );
    corpus.reject("envelope-tag-98", with(&[0xd8, 0x62], &[]), tagged, CLAUSE, "the tag of COSE_Sign");
    corpus.reject("envelope-tag-61-18", with(&[0xd8, 0x3d, 0xd2], &[]), tagged, CLAUSE, "the tags of a CWT");
    let large = [good, &vec![0; 16 * 1024 + 1 - good.len()]].concat();
    let about = "16385 bytes; a real document has at most 12288";
    corpus.reject("document-too-large", large, "document-too-large", "adyton: 16384 bytes", about);
}

fn arrays(corpus: &mut Corpus, world: &mut World) {
    let not = "envelope-not-sign1";
    let mut spoil = |id: &str, head: &[u8], tail: &[u8], about: &str| {
        let envelope = Envelope { head: head.to_vec(), tail: tail.to_vec(), ..world.envelope() };
        corpus.reject(id, envelope.bytes(), not, CLAUSE, about);
    };
    spoil("envelope-array-of-3", &[0x83], &[], "an array of three, then the signature");
    spoil("envelope-array-of-5", &[0x85], &[0xf6], "an array of five, the last null");
    spoil("envelope-array-indefinite", &[0x9f], &[0xff], "an array of indefinite length");
    spoil("envelope-array-long-head", &[0x98, 0x04], &[], "an array head that is not in shortest form");
    spoil("envelope-map", &[0xa2], &[], "a map of two in place of the array");
}

/// The protected header: only `{1: -35}`. Each is signed as it stands.
fn protected(corpus: &mut Corpus, world: &mut World) {
    let code = "envelope-protected-header";
    let clause = "RFC 9052 3.1; RFC 9053 2.1; AWS attestation process 3.2.1";
    let table: [(&str, &[u8], &str); 14] = [
        ("empty", &[], "no algorithm is named"),
        ("empty-map", &[0xa0], "a map without an algorithm"),
        ("es256", &[0xa1, 0x01, 0x26], "ES256"),
        ("es512", &[0xa1, 0x01, 0x38, 0x23], "ES512"),
        ("eddsa", &[0xa1, 0x01, 0x27], "EdDSA"),
        ("ps384", &[0xa1, 0x01, 0x38, 0x25], "PS384"),
        ("hmac", &[0xa1, 0x01, 0x06], "HMAC 384/384"),
        ("text", &[0xa1, 0x01, 0x65, b'E', b'S', b'3', b'8', b'4'], "the algorithm's name as text"),
        ("long-integer", &[0xa1, 0x01, 0x39, 0x00, 0x22], "-35 in three bytes"),
        ("long-key", &[0xa1, 0x18, 0x01, 0x38, 0x22], "the key 1 in two bytes"),
        ("algorithm-twice", &[0xa2, 0x01, 0x38, 0x22, 0x01, 0x26], "ES384, then ES256 under the same key"),
        ("kid", &[0xa2, 0x01, 0x38, 0x22, 0x04, 0x41, 0x00], "a key identifier beside the algorithm"),
        ("crit", &[0xa2, 0x01, 0x38, 0x22, 0x02, 0x81, 0x18, 0x63], "a critical header that nobody knows"),
        ("indefinite", &[0xbf, 0x01, 0x38, 0x22, 0xff], "a map of indefinite length"),
    ];
    for (id, header, about) in table {
        let mut envelope = world.envelope();
        let mut bytes = Writer::new();
        bytes.bytes(header);
        envelope.protected = bytes.into_bytes();
        envelope.signature = signed(world, header);
        corpus.reject(&format!("protected-{id}"), envelope.bytes(), code, clause, about);
    }
    let bare = Envelope { protected: vec![0xa1, 0x01, 0x38, 0x22], ..world.envelope() };
    corpus.reject(
        "protected-bare-map",
        bare.bytes(),
        code,
        clause,
        "a map that is not wrapped in a byte string",
    );
    let long = Envelope { protected: vec![0x58, 0x04, 0xa1, 0x01, 0x38, 0x22], ..world.envelope() };
    corpus.reject("protected-long-length", long.bytes(), code, clause, "its length is not in shortest form");
}

/// What is in the unprotected header nobody has signed.
fn unprotected(corpus: &mut Corpus, world: &mut World) {
    let table: [(&str, &[u8], &str); 6] = [
        ("kid", &[0xa1, 0x04, 0x41, 0x00], "a key identifier"),
        ("algorithm", &[0xa1, 0x01, 0x38, 0x22], "the algorithm once more"),
        ("x5chain", &[0xa1, 0x18, 0x21, 0x41, 0x30], "a certificate"),
        ("null", &[0xf6], "null in place of the map"),
        ("array", &[0x80], "an array in place of the map"),
        ("indefinite", &[0xbf, 0xff], "an empty map of indefinite length"),
    ];
    for (id, header, about) in table {
        let envelope = Envelope { unprotected: header.to_vec(), ..world.envelope() };
        let id = format!("unprotected-{id}");
        corpus.reject(&id, envelope.bytes(), "envelope-unprotected-header", CLAUSE, about);
    }
}

fn payloads(corpus: &mut Corpus, world: &mut World) {
    let payload = world.payload().encode();
    let len = (payload.len() as u32).to_be_bytes();
    let mut text = Writer::new();
    text.text("payload");
    let table: [(&str, Vec<u8>, &str); 5] = [
        ("detached", vec![0xf6], "null: the payload is somewhere else"),
        ("text", text.into_bytes(), "text in place of bytes"),
        ("map", payload.clone(), "the map itself in place of a byte string"),
        ("long-length", [&[0x5a][..], &len, &payload].concat(), "its length is not in shortest form"),
        (
            "indefinite",
            [&[0x5f, 0x59], &len[2..], &payload, &[0xff]].concat(),
            "a byte string of indefinite length",
        ),
    ];
    for (id, bytes, about) in table {
        let envelope = Envelope { payload: bytes, ..world.envelope() };
        corpus.reject(&format!("envelope-payload-{id}"), envelope.bytes(), "envelope-payload", CLAUSE, about);
    }
}

fn signature_forms(corpus: &mut Corpus, world: &mut World) {
    let good = world.envelope().signature[2..].to_vec();
    let der = { Signature::from_slice(&good).unwrap().to_der().as_bytes().to_vec() };
    let bytes = |bytes: &[u8]| {
        let mut writer = Writer::new();
        writer.bytes(bytes);
        writer.into_bytes()
    };
    let table: [(&str, Vec<u8>, &str); 9] = [
        ("empty", bytes(&[]), "no signature"),
        ("short", bytes(&good[..95]), "one byte too few"),
        ("long", bytes(&[&good[..], &[0]].concat()), "one byte too many"),
        ("half", bytes(&good[..48]), "r alone"),
        ("64", bytes(&good[..64]), "as long as one of ES256"),
        ("der", bytes(&der), "in DER, as X.509 writes it"),
        ("null", vec![0xf6], "null in place of the signature"),
        ("text", [&[0x78, 0x60], &good[..]].concat(), "text in place of bytes"),
        ("long-length", [&[0x59, 0x00, 0x60], &good[..]].concat(), "its length is not in shortest form"),
    ];
    for (id, signature, about) in table {
        let envelope = Envelope { signature, ..world.envelope() };
        corpus.reject(
            &format!("signature-form-{id}"),
            envelope.bytes(),
            "envelope-signature-length",
            SIGNING,
            about,
        );
    }
}

fn signatures(corpus: &mut Corpus, world: &mut World) {
    let good = world.envelope();
    let (r, s) = (good.signature[2..50].to_vec(), good.signature[50..].to_vec());
    let payload = world.payload().encode();
    let with =
        |r: &[u8], s: &[u8]| Envelope { signature: [&[0x58, 0x60], r, s].concat(), ..good.clone() }.bytes();
    let flipped = |bytes: &[u8]| {
        bytes.iter().enumerate().map(|(at, b)| if at == 0 { b ^ 1 } else { *b }).collect::<Vec<_>>()
    };
    let order = hex::decode(ORDER).unwrap();
    let zero = [0; 48];
    let mut reject = |id: &str, document: Vec<u8>, about: &str| {
        corpus.reject(&format!("signature-{id}"), document, "document-signature", SIGNING, about);
    };
    reject("r-flipped", with(&flipped(&r), &s), "a bit of r is another");
    reject("s-flipped", with(&r, &flipped(&s)), "a bit of s is another");
    reject("exchanged", with(&s, &r), "s comes before r");
    reject("zero", with(&zero, &zero), "r and s are zero (CVE-2022-21449)");
    reject("r-zero", with(&zero, &s), "r is zero");
    reject("s-zero", with(&r, &zero), "s is zero");
    reject("r-order", with(&order, &s), "r is the order of the group");
    reject("s-order", with(&r, &order), "s is the order of the group");
    reject("out-of-range", with(&r, &[0xff; 48]), "s is above the order of the group");
    let other = SeededKey::new(&[1; 32], "another", 0).unwrap();
    let message = sig_structure("Signature1", &PROTECTED, &[], &payload);
    let by = |key: &SeededKey, message: &[u8]| {
        let signature = key.sign_fixed(message);
        with(&signature[..48], &signature[48..])
    };
    reject("another-key", by(&other, &message), "another key has signed");
    reject(
        "issuers-key",
        by(&World::key(Place::Instance), &message),
        "the instance's key has signed, not the leaf's",
    );
    let leaf = world.chain().key;
    reject("bare-payload", by(&leaf, &payload), "the payload was signed, not the Sig_structure");
    let context = sig_structure("Signature", &PROTECTED, &[], &payload);
    reject("context", by(&leaf, &context), "the context is that of COSE_Sign");
    let external = sig_structure("Signature1", &PROTECTED, b"aad", &payload);
    reject("external-data", by(&leaf, &external), "external data is part of what was signed");
    let mut later = good.clone();
    let zone = world.chain().cabundle[2].clone();
    let at = later.payload.windows(zone.len()).position(|window| window == zone).unwrap() + zone.len() - 1;
    later.payload[at] ^= 1;
    // Refused before the document's own signature is looked at.
    let code = "certificate-signature";
    corpus.reject(
        "payload-altered-in-certificate",
        later.bytes(),
        code,
        SIGNING,
        "a bit of the zone's certificate was altered later",
    );
    let later = Envelope { payload: wrapped(&renamed(&payload)), ..good.clone() };
    let about = "the module's name was altered after it was signed";
    corpus.reject("payload-altered-module", later.bytes(), "document-signature", SIGNING, about);
    // The other half of the same signature: also right, so a document must not be known by its hash.
    let other_half = {
        let (r, s) = Signature::from_slice(&good.signature[2..]).unwrap().split_scalars();
        Signature::from_scalars(r, -s).unwrap().to_bytes().to_vec()
    };
    let about = "(r, n - s), which verifies as (r, s) does: never identify a document by its hash";
    corpus.accept(
        "signature-other-half",
        with(&r, &other_half[48..]),
        "FIPS 186-5 6.4.2; SEC 1 4.1.4",
        about,
    );
}

/// `payload` as a byte string.
fn wrapped(payload: &[u8]) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.bytes(payload);
    writer.into_bytes()
}

/// The payload with the last digit of its module's name exchanged.
fn renamed(payload: &[u8]) -> Vec<u8> {
    let at = payload.windows(6).position(|window| window == b"digest").expect("the digest follows the name");
    let mut altered = payload.to_vec();
    // One byte before the key's own head.
    altered[at - 2] ^= 1;
    altered
}

/// The leaf's signature over the good payload under another protected header.
fn signed(world: &mut World, protected: &[u8]) -> Vec<u8> {
    let message = sig_structure("Signature1", protected, &[], &world.payload().encode());
    [&[0x58, 0x60][..], &world.sign(&message)].concat()
}

fn sig_structure(context: &str, protected: &[u8], external: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut message = Writer::new();
    message.array(4).text(context).bytes(protected).bytes(external).bytes(payload);
    message.into_bytes()
}

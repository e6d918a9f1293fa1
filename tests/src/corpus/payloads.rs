//! Payloads that the module does not write, each rightly signed.
//!
//! # Promises
//! - Apart from what its `about` says, each payload is what the module would write.
//!
//! # Does not
//! - Touch certificates' contents.
//!
//! # Trusts
//! - The mock module.

use adyton_attestation::cbor::Writer;

use super::world::World;
use super::{Corpus, Level};
use crate::mock_nsm::document::Payload;

const CBOR: &str = "RFC 8949 3; AWS attestation process 3.2.2";
const ITEMS: &str = "AWS attestation process 2.2, 3.2.2.1";
const LIMITS: &str = "AWS attestation process 3.2.2.2";

/// The nine keys in the module's order.
const KEYS: [&str; 9] = [
    "module_id",
    "digest",
    "timestamp",
    "pcrs",
    "certificate",
    "cabundle",
    "public_key",
    "user_data",
    "nonce",
];

/// A payload whose keys and values are CBOR, right or wrong.
#[derive(Clone)]
pub(crate) struct Raw {
    head: Vec<u8>,
    pub(crate) entries: Vec<(Vec<u8>, Vec<u8>)>,
    pub(crate) tail: Vec<u8>,
}

fn item(write: impl FnOnce(&mut Writer) -> &mut Writer) -> Vec<u8> {
    let mut writer = Writer::new();
    write(&mut writer);
    writer.into_bytes()
}

fn text(value: &str) -> Vec<u8> {
    item(|w| w.text(value))
}

fn bytes(value: &[u8]) -> Vec<u8> {
    item(|w| w.bytes(value))
}

fn unsigned(value: u64) -> Vec<u8> {
    item(|w| w.unsigned(value))
}

fn registers(entries: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    let head = item(|w| w.map(entries.len() as u64));
    entries.iter().fold(head, |mut all, (key, value)| {
        all.extend_from_slice(key);
        all.extend_from_slice(value);
        all
    })
}

fn list(items: &[Vec<u8>]) -> Vec<u8> {
    let head = item(|w| w.array(items.len() as u64));
    [head, items.concat()].concat()
}

impl Raw {
    pub(crate) fn of(payload: &Payload) -> Self {
        let pcrs: Vec<_> =
            payload.pcrs.iter().map(|(index, value)| (unsigned(*index), bytes(value))).collect();
        let cabundle: Vec<_> = payload.cabundle.iter().map(|der| bytes(der)).collect();
        let optional = |field: &Option<Vec<u8>>| field.as_deref().map_or(vec![0xf6], bytes);
        let values = [
            text(&payload.module_id),
            text(&payload.digest),
            unsigned(payload.timestamp),
            registers(&pcrs),
            bytes(&payload.certificate),
            list(&cabundle),
            optional(&payload.public_key),
            optional(&payload.user_data),
            optional(&payload.nonce),
        ];
        let entries = KEYS.iter().map(|key| text(key)).zip(values).collect();
        Self { head: vec![0xbf], entries, tail: vec![0xff] }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let entries = self.entries.iter().flat_map(|(key, value)| key.iter().chain(value)).copied();
        self.head.iter().copied().chain(entries).chain(self.tail.iter().copied()).collect()
    }

    fn at(&self, key: &str) -> usize {
        KEYS.iter().position(|known| *known == key).unwrap()
    }

    fn value(&self, key: &str) -> &[u8] {
        &self.entries[self.at(key)].1
    }

    fn set(mut self, key: &str, value: impl Into<Vec<u8>>) -> Self {
        let at = self.at(key);
        self.entries[at].1 = value.into();
        self
    }

    fn key(mut self, key: &str, by: impl Into<Vec<u8>>) -> Self {
        let at = self.at(key);
        self.entries[at].0 = by.into();
        self
    }

    fn add(mut self, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> Self {
        self.entries.push((key.into(), value.into()));
        self
    }

    fn without(mut self, key: &str) -> Self {
        let at = self.at(key);
        self.entries.remove(at);
        self
    }

    /// With a head of definite length, right for its entries.
    pub(crate) fn definite(mut self) -> Self {
        self.head = item(|w| w.map(self.entries.len() as u64));
        self.tail.clear();
        self
    }
}

pub(super) fn add(corpus: &mut Corpus, world: &mut World) {
    corpus.group(Level::Evidence);
    accepted(corpus, world);
    encodings(corpus, world);
    lengths(corpus, world);
    keys(corpus, world);
    types(corpus, world);
    fields(corpus, world);
    limits(corpus, world);
}

fn accepted(corpus: &mut Corpus, world: &mut World) {
    let raw = Raw::of(&world.payload());
    let definite = world.seal(&raw.clone().definite().bytes());
    corpus.accept("payload-definite", definite, CBOR, "the payload's map has definite length, as until 2025");
    let mut sorted = raw;
    sorted.entries.sort_by(|one, other| one.0.cmp(&other.0));
    let sorted = world.seal(&sorted.bytes());
    corpus.accept("payload-sorted", sorted, CBOR, "the keys are in another order: COSE does not ask for one");
    let more = world.altered(|p| (17..32).for_each(|index| drop(p.pcrs.insert(index, vec![0; 48]))));
    corpus.accept("pcrs-32", more, LIMITS, "all 32 registers are locked and listed");
    let renamed = world.altered(|p| p.module_id = "x".repeat(128));
    corpus
        .accept("module-id-128", renamed, "adyton: 128 bytes", "the longest module name")
        .level(Level::Adyton);
}

/// Payloads that are no acceptable CBOR.
fn encodings(corpus: &mut Corpus, world: &mut World) {
    let raw = Raw::of(&world.payload());
    let good = raw.bytes();
    let mut reject = |id: &str, payload: Vec<u8>, code: &'static str, about: &str| {
        let document = world.seal(&payload);
        corpus.reject(&format!("payload-{id}"), document, code, CBOR, about);
    };
    let set = |key: &str, value: &[u8]| raw.clone().set(key, value).bytes();
    let prefixed = |key: &str, prefix: &[u8]| [prefix, raw.value(key)].concat();
    reject("empty", vec![], "payload-truncated", "no byte");
    reject(
        "trailing-null",
        [&good[..], &[0xf6]].concat(),
        "payload-trailing-bytes",
        "a null follows the map",
    );
    reject("trailing-map", [&good[..], &good].concat(), "payload-trailing-bytes", "the same map follows");
    reject("no-break", good[..good.len() - 1].to_vec(), "payload-truncated", "the indefinite map has no end");
    let cut = good[..good.len() - 20].to_vec();
    reject("cut", cut, "payload-truncated", "it ends inside the nonce");
    reject(
        "tag-55799",
        [&[0xd9, 0xd9, 0xf7][..], &good].concat(),
        "payload-tag",
        "the tag of self-described CBOR",
    );
    reject(
        "tag-timestamp",
        set("timestamp", &prefixed("timestamp", &[0xc1])),
        "payload-tag",
        "an epoch time with its tag",
    );
    reject("tag-nonce", set("nonce", &prefixed("nonce", &[0xd7])), "payload-tag", "the nonce with a tag");
    reject(
        "tag-pcrs",
        set("pcrs", &prefixed("pcrs", &[0xd9, 0x01, 0x03])),
        "payload-tag",
        "the registers as a tagged map",
    );
    let bignum = [0xc2, 0x48, 0, 0, 1, 0xa1, 0xa0, 0, 0, 0];
    reject("bignum-timestamp", set("timestamp", &bignum), "payload-tag", "the time as a big number");
    let float = [&[0xfb][..], &(1_793_701_230_000.0f64).to_be_bytes()].concat();
    reject("float-timestamp", set("timestamp", &float), "payload-simple-value", "the time as a float");
    reject("undefined-nonce", set("nonce", &[0xf7]), "payload-simple-value", "undefined in place of null");
    reject(
        "simple-value",
        set("nonce", &[0xf8, 0x20]),
        "payload-simple-value",
        "a simple value that means nothing",
    );
    reject("break-as-value", set("nonce", &[0xff]), "payload-reserved", "a break where a value belongs");
    reject("reserved-28", set("nonce", &[0x5c, 0x00]), "payload-reserved", "a reserved length");
    reject("reserved-30", set("timestamp", &[0x1e]), "payload-reserved", "a reserved integer");
    reject("integer-31", set("timestamp", &[0x1f]), "payload-reserved", "an integer of indefinite length");
    reject(
        "negative-31",
        set("timestamp", &[0x3f]),
        "payload-reserved",
        "a negative integer of indefinite length",
    );
    let rows = list(&vec![list(&vec![vec![0x00]; 64]); 9]);
    let many = raw.clone().add(text("x"), rows).bytes();
    reject("600-items", many, "payload-too-many-items", "a field of nine arrays of 64 numbers");
    let mut wide = raw.clone();
    (0..56u64).for_each(|number| wide.entries.push((unsigned(number), vec![0xf6])));
    reject(
        "65-entries",
        wide.bytes(),
        "payload-too-many-items",
        "a map of indefinite length with 65 entries",
    );
    let name = |value: &[u8]| set("module_id", &[&[0x60 + value.len() as u8], value].concat());
    reject("text-not-utf8", name(&[b'i', 0xff]), "payload-undecodable", "the module's name is not UTF-8");
    reject("text-surrogate", name(&[0xed, 0xa0, 0x80]), "payload-undecodable", "half a surrogate pair");
    reject("text-overlong", name(&[0xc0, 0xaf]), "payload-undecodable", "an overlong slash");
    let deep = raw.clone().add(text("x"), [0x81, 0x81, 0x81, 0x81, 0x00]).bytes();
    reject("deep", deep, "payload-too-deep", "arrays five levels deep");
    let very = raw.clone().add(text("x"), vec![0x81; 4096]).bytes();
    reject("very-deep", very, "payload-too-deep", "arrays 4096 levels deep");
    let huge = |head: u8| set("nonce", &[head, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
    reject("huge-bytes", huge(0x5b), "payload-truncated", "a byte string that says it has 2^64 - 1 bytes");
    reject("huge-text", huge(0x7b), "payload-truncated", "a text that says it has 2^64 - 1 bytes");
    reject("huge-array", huge(0x9b), "payload-too-many-items", "an array that says it has 2^64 - 1 items");
    reject("huge-map", huge(0xbb), "payload-too-many-items", "a map that says it has 2^64 - 1 entries");
    reject("array", list(&[raw.clone().definite().bytes()]), "payload-not-a-map", "the map inside an array");
    reject("bytes", bytes(&good), "payload-not-a-map", "the map inside a byte string");
    reject("null", vec![0xf6], "payload-not-a-map", "null in place of the map");
    reject(
        "json",
        b"{\"nonce\":null}".to_vec(),
        "payload-truncated",
        "JSON, whose first byte announces text of 27 bytes",
    );
}

/// Lengths and numbers that are not written in the shortest or the definite form.
fn lengths(corpus: &mut Corpus, world: &mut World) {
    let payload = world.payload();
    let raw = Raw::of(&payload);
    let long = "payload-not-shortest";
    let indefinite = "payload-indefinite-length";
    let set = |key: &str, value: Vec<u8>| raw.clone().set(key, value);
    let body = |key: &str, head: usize| raw.value(key)[head..].to_vec();
    let nonce = payload.nonce.clone().unwrap();
    let head = |mut raw: Raw, head: &[u8]| {
        raw.head = head.to_vec();
        raw
    };
    let table: Vec<(&str, Raw, &'static str, &str)> = vec![
        ("long-map", head(raw.clone().definite(), &[0xb8, 0x09]), long, "the length of the map in two bytes"),
        (
            "long-key",
            raw.clone().key("nonce", [&[0x78, 0x05][..], b"nonce"].concat()),
            long,
            "the length of a key in two bytes",
        ),
        (
            "long-nonce",
            set("nonce", [&[0x59, 0x00, 0x20][..], &nonce].concat()),
            long,
            "the length of the nonce in three bytes",
        ),
        (
            "long-name",
            set("module_id", [&[0x79, 0x00, 0x27][..], &body("module_id", 2)].concat()),
            long,
            "the length of the name in three bytes",
        ),
        (
            "long-bundle",
            set("cabundle", [&[0x98, 0x04][..], &body("cabundle", 1)].concat()),
            long,
            "the length of the bundle in two bytes",
        ),
        (
            "long-index",
            set("pcrs", registers(&[(vec![0x18, 0x00], bytes(&[1; 48]))])),
            long,
            "register 0 in two bytes",
        ),
        (
            "long-value",
            set("pcrs", registers(&[(vec![0x00], [&[0x59, 0x00, 0x30][..], &[1; 48]].concat())])),
            long,
            "the length of a register in three bytes",
        ),
        (
            "indefinite-nonce",
            set("nonce", [&[0x5f, 0x58, 0x20][..], &nonce, &[0xff]].concat()),
            indefinite,
            "the nonce in pieces",
        ),
        (
            "indefinite-name",
            set("module_id", [&[0x7f], raw.value("module_id"), &[0xff]].concat()),
            indefinite,
            "the name in pieces",
        ),
        (
            "indefinite-pcrs",
            set("pcrs", [&[0xbf], &body("pcrs", 1)[..], &[0xff]].concat()),
            indefinite,
            "the registers' map has indefinite length",
        ),
        (
            "indefinite-bundle",
            set("cabundle", [&[0x9f], &body("cabundle", 1)[..], &[0xff]].concat()),
            indefinite,
            "the bundle has indefinite length",
        ),
        (
            "indefinite-certificate",
            set("certificate", [&[0x5f], raw.value("certificate"), &[0xff]].concat()),
            indefinite,
            "the certificate in pieces",
        ),
        (
            "map-too-long",
            head(raw.clone().definite(), &[0xaa]),
            "payload-truncated",
            "the map announces ten entries and has nine",
        ),
        (
            "map-too-short",
            head(raw.clone().definite(), &[0xa8]),
            "payload-trailing-bytes",
            "the map announces eight entries and has nine",
        ),
    ];
    for (id, raw, code, about) in table {
        let document = world.seal(&raw.bytes());
        corpus.reject(&format!("payload-{id}"), document, code, "RFC 8949 3, 4.2.1, 5.3.1", about);
    }
}

fn keys(corpus: &mut Corpus, world: &mut World) {
    let raw = Raw::of(&world.payload());
    let clause = "RFC 8949 5.6; AWS attestation process 3.2.2.1";
    let pcr = |index: u64, fill: u8| (unsigned(index), bytes(&[fill; 48]));
    for key in KEYS {
        let again = raw.clone().add(text(key), raw.value(key)).bytes();
        let document = world.seal(&again);
        let about = format!("\"{key}\" is there twice, with the same value");
        corpus.reject(&format!("payload-twice-{key}"), document, "payload-duplicate-key", clause, &about);
        let document = world.seal(&raw.clone().without(key).bytes());
        let about = format!("\"{key}\" is missing");
        corpus.reject(&format!("field-missing-{key}"), document, "field-missing", ITEMS, &about);
    }
    let mut reject = |id: &str, raw: Raw, code: &'static str, about: &str| {
        let document = world.seal(&raw.bytes());
        corpus.reject(&format!("payload-{id}"), document, code, clause, about);
    };
    let twice = |first, second| {
        raw.clone().set("pcrs", registers(&[pcr(0, first), pcr(1, 1), pcr(0, second), pcr(2, 1)]))
    };
    reject(
        "pcr-twice",
        twice(7, 1),
        "payload-duplicate-key",
        "register 0 twice, and the last one is the accepted one",
    );
    reject(
        "pcr-twice-first",
        twice(1, 7),
        "payload-duplicate-key",
        "register 0 twice, and the first one is the accepted one",
    );
    let first =
        Raw { entries: [&[(text("nonce"), bytes(&[0; 32]))][..], &raw.entries].concat(), ..raw.clone() };
    reject("other-nonce-first", first, "payload-duplicate-key", "another nonce comes first");
    reject("unknown-key", raw.clone().add(text("extra"), [0xf6]), "field-unknown", "a tenth key");
    reject("unknown-number", raw.clone().add([0x01], [0xf6]), "field-unknown", "a number among the keys");
    reject(
        "key-case",
        raw.clone().key("nonce", text("Nonce")),
        "field-missing",
        "\"Nonce\" in place of \"nonce\"",
    );
    reject("key-bytes", raw.clone().key("nonce", bytes(b"nonce")), "payload-key-type", "a key of bytes");
    reject(
        "key-negative",
        raw.clone().add([0x20], [0xf6]),
        "payload-key-type",
        "a negative number among the keys",
    );
    reject("key-null", raw.clone().add([0xf6], [0xf6]), "payload-key-type", "null among the keys");
    reject("key-array", raw.clone().add([0x80], [0xf6]), "payload-key-type", "an array among the keys");
}

/// Values of another type than theirs.
fn types(corpus: &mut Corpus, world: &mut World) {
    let payload = world.payload();
    let raw = Raw::of(&payload);
    let name = payload.module_id.as_bytes();
    let wrong = "field-wrong-type";
    let table: Vec<(&str, &str, Vec<u8>, &'static str, &str)> = vec![
        ("module-id-bytes", "module_id", bytes(name), wrong, "the name as bytes"),
        ("module-id-null", "module_id", vec![0xf6], wrong, "null in place of the name"),
        ("digest-bytes", "digest", bytes(b"SHA384"), wrong, "the digest's name as bytes"),
        ("digest-number", "digest", vec![0x18, 0x26], wrong, "the digest as a number"),
        ("digest-null", "digest", vec![0xf6], wrong, "null in place of the digest"),
        ("timestamp-text", "timestamp", text("1793701230000"), wrong, "the time as text"),
        (
            "timestamp-negative",
            "timestamp",
            vec![0x3b, 0, 0, 1, 0xa1, 0xa0, 0, 0, 0],
            wrong,
            "a negative time",
        ),
        ("timestamp-null", "timestamp", vec![0xf6], wrong, "null in place of the time"),
        ("pcrs-array", "pcrs", list(&[bytes(&[1; 48])]), wrong, "the registers as an array"),
        ("pcrs-null", "pcrs", vec![0xf6], wrong, "null in place of the registers"),
        ("pcr-text", "pcrs", registers(&[(vec![0], text(&"1".repeat(48)))]), wrong, "a register as text"),
        ("pcr-null", "pcrs", registers(&[(vec![0], vec![0xf6])]), wrong, "null in place of a register"),
        (
            "pcr-index-text",
            "pcrs",
            registers(&[(text("0"), bytes(&[1; 48]))]),
            wrong,
            "a register's index as text",
        ),
        (
            "pcr-index-negative",
            "pcrs",
            registers(&[(vec![0x20], bytes(&[1; 48]))]),
            "payload-key-type",
            "register -1",
        ),
        ("certificate-text", "certificate", text("certificate"), wrong, "the certificate as text"),
        (
            "certificate-array",
            "certificate",
            list(&[bytes(&payload.certificate)]),
            wrong,
            "the certificate in an array",
        ),
        ("certificate-null", "certificate", vec![0xf6], wrong, "null in place of the certificate"),
        (
            "cabundle-bytes",
            "cabundle",
            bytes(&payload.cabundle.concat()),
            wrong,
            "the bundle as one byte string",
        ),
        ("cabundle-map", "cabundle", vec![0xa0], wrong, "the bundle as a map"),
        ("cabundle-text", "cabundle", list(&[text("root")]), wrong, "text in the bundle"),
        ("cabundle-null", "cabundle", vec![0xf6], wrong, "null in place of the bundle"),
        ("nonce-text", "nonce", text(&"Z".repeat(32)), wrong, "the nonce as text"),
        ("nonce-number", "nonce", vec![0x00], wrong, "the nonce as a number"),
        ("nonce-false", "nonce", vec![0xf4], wrong, "false in place of the nonce"),
        ("user-data-text", "user_data", text("user data"), wrong, "the user data as text"),
        ("user-data-array", "user_data", list(&[]), wrong, "the user data as an array"),
        ("public-key-text", "public_key", text("key"), wrong, "the public key as text"),
        ("public-key-map", "public_key", vec![0xa0], wrong, "the public key as a map"),
    ];
    for (id, key, value, code, about) in table {
        let document = world.seal(&raw.clone().set(key, value).bytes());
        corpus.reject(&format!("field-{id}"), document, code, ITEMS, about);
    }
}

fn fields(corpus: &mut Corpus, world: &mut World) {
    let mut reject = |id: &str, alter: fn(&mut Payload), code: &'static str, about: &str| {
        let document = world.altered(alter);
        corpus.reject(&format!("field-{id}"), document, code, LIMITS, about);
    };
    reject("module-id-empty", |p| p.module_id.clear(), "field-module-id", "an empty name");
    reject("digest-sha256", |p| p.digest = "SHA256".into(), "field-digest", "SHA256");
    reject("digest-sha512", |p| p.digest = "SHA512".into(), "field-digest", "SHA512");
    reject("digest-lower-case", |p| p.digest = "sha384".into(), "field-digest", "in lower case");
    reject("digest-empty", |p| p.digest.clear(), "field-digest", "an empty name of a digest");
    reject("timestamp-zero", |p| p.timestamp = 0, "field-timestamp", "the epoch itself");
    reject("pcrs-empty", |p| p.pcrs.clear(), "field-pcr-count", "no register");
    let many = |p: &mut Payload| (17..33).for_each(|index| drop(p.pcrs.insert(index, vec![0; 48])));
    reject("pcrs-33", many, "field-pcr-count", "33 registers");
    reject(
        "pcr-32",
        |p| drop(p.pcrs.insert(32, vec![1; 48])),
        "field-pcr-index",
        "register 32; the highest is 31",
    );
    reject(
        "pcr-256",
        |p| drop(p.pcrs.insert(256, vec![1; 48])),
        "field-pcr-index",
        "register 256, which is 0 in a byte",
    );
    let wraps = |p: &mut Payload| drop(p.pcrs.insert(1 << 32, vec![1; 48]));
    reject("pcr-2-32", wraps, "field-pcr-index", "register 2^32, which is 0 in four bytes");
    reject(
        "pcr-2-64",
        |p| drop(p.pcrs.insert(u64::MAX, vec![1; 48])),
        "field-pcr-index",
        "register 2^64 - 1",
    );
    reject("pcr-empty", |p| drop(p.pcrs.insert(17, vec![])), "field-pcr-length", "a register without bytes");
    reject(
        "pcr-32-bytes",
        |p| drop(p.pcrs.insert(17, vec![1; 32])),
        "field-pcr-length",
        "a register as long as SHA-256",
    );
    reject(
        "pcr-47-bytes",
        |p| drop(p.pcrs.insert(17, vec![1; 47])),
        "field-pcr-length",
        "a register of 47 bytes",
    );
    reject(
        "pcr-49-bytes",
        |p| drop(p.pcrs.insert(17, vec![1; 49])),
        "field-pcr-length",
        "a register of 49 bytes",
    );
    reject(
        "pcr-64-bytes",
        |p| drop(p.pcrs.insert(17, vec![1; 64])),
        "field-pcr-length",
        "a register as long as SHA-512",
    );
    reject(
        "certificate-empty",
        |p| p.certificate.clear(),
        "field-certificate-length",
        "an empty certificate",
    );
    reject(
        "certificate-1025",
        |p| p.certificate = vec![0x30; 1025],
        "field-certificate-length",
        "a certificate of 1025 bytes",
    );
    reject("cabundle-empty", |p| p.cabundle.clear(), "field-cabundle-count", "an empty bundle");
    reject(
        "cabundle-empty-certificate",
        |p| p.cabundle[2].clear(),
        "field-certificate-length",
        "an empty certificate in the bundle",
    );
    reject(
        "cabundle-1025",
        |p| p.cabundle[3] = vec![0x30; 1025],
        "field-certificate-length",
        "a certificate of 1025 bytes in the bundle",
    );
}

fn limits(corpus: &mut Corpus, world: &mut World) {
    let clause = "AWS attestation process 2.2 (1024 bytes; 3.2.2.2 says 512)";
    type Field = fn(&mut Payload) -> &mut Option<Vec<u8>>;
    let table: [(&str, Field); 3] = [
        ("nonce", |p| &mut p.nonce),
        ("user-data", |p| &mut p.user_data),
        ("public-key", |p| &mut p.public_key),
    ];
    for (id, field) in table {
        let document = world.altered(|p| *field(p) = Some(vec![1; 1025]));
        let id = format!("field-{id}-1025");
        corpus.reject(&id, document, "field-optional-length", clause, "1025 bytes, and 1024 are allowed");
    }
    let own = "adyton: 8 certificates, 128 bytes of name";
    let document = world.altered(|p| p.cabundle = vec![p.cabundle[0].clone(); 9]);
    let about = "nine certificates in the bundle; real ones have four";
    corpus.reject("field-cabundle-9", document, "field-cabundle-count", own, about).level(Level::Adyton);
    let document = world.altered(|p| p.module_id = "x".repeat(129));
    corpus
        .reject("field-module-id-129", document, "field-module-id", own, "a name of 129 bytes")
        .level(Level::Adyton);
}

//! Chains with one thing wrong, of which every signature is right unless a signature is what is wrong.
//!
//! # Promises
//! - The document is signed by the key of the leaf that it carries.
//!
//! # Does not
//! - Touch the verifier's expectations, but for the clock.
//!
//! # Trusts
//! - The mock's PKI.

use p384::ecdsa::SigningKey;
use rcgen::{CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyUsagePurpose};
use serde_json::json;

use super::der::{self, Node};
use super::world::{MADE, NOW, World};
use super::{Corpus, Level};
use crate::mock_nsm::document::seal;
use crate::pki::{Chain, Pki, Place, SeededKey};

const PROFILE: &str = "AWS attestation process 3.2.3.3; RFC 5280 4.2.1.3, 4.2.1.9, 6.1.4";
const SYNTAX: &str = "RFC 5280 4.1; X.690 8.1, 10";
const ORDER: &str = "AWS attestation process 3.2.3; RFC 5280 6.1";
const KEYS: &str = "RFC 5480 2; RFC 5758 3.2; AWS attestation process 3.2.3";
const TIME: &str = "AWS attestation process 3.2.3.1; RFC 5280 4.1.2.5, 6.1.3(a)(2)";

/// The places in order, with the issuer of each.
const PLACES: [(Place, Place); 5] = [
    (Place::Root, Place::Root),
    (Place::Region, Place::Root),
    (Place::Zone, Place::Region),
    (Place::Instance, Place::Zone),
    (Place::Leaf, Place::Instance),
];

pub(super) fn add(corpus: &mut Corpus, world: &mut World) {
    corpus.group(Level::Evidence);
    orders(corpus, world);
    foreign(corpus, world);
    usages(corpus, world);
    extensions(corpus, world);
    syntax(corpus, world);
    algorithms(corpus, world);
    signatures(corpus, world);
    validities(corpus, world);
}

/// A document that carries this chain and is signed by its leaf.
fn document(world: &mut World, chain: &Chain) -> Vec<u8> {
    let mut payload = world.payload();
    payload.certificate = chain.certificate.clone();
    payload.cabundle = chain.cabundle.clone();
    seal(&payload.encode(), chain)
}

/// A good chain in which one certificate was edited and signed again; those below it still verify.
fn edited(world: &mut World, place: Place, edit: impl FnOnce(&mut Node)) -> Vec<u8> {
    let mut chain = world.chain();
    let at = PLACES.iter().position(|(known, _)| *known == place).unwrap();
    let issuer = World::key(PLACES[at].1);
    let der = if place == Place::Leaf { &mut chain.certificate } else { &mut chain.cabundle[at] };
    *der = der::reissue(der, &issuer, edit);
    document(world, &chain)
}

/// Certificates that are good, in another order or number.
fn orders(corpus: &mut Corpus, world: &mut World) {
    let mut reject = |id: &str, code: &'static str, about: &str, spoil: &dyn Fn(&mut Chain)| {
        let mut chain = world.chain();
        spoil(&mut chain);
        let document = document(world, &chain);
        corpus.reject(&format!("chain-{id}"), document, code, ORDER, about);
    };
    let root = "root-not-pinned";
    let path = "certificate-path-length";
    let issuer = "certificate-issuer";
    reject("reversed", root, "the bundle in the order of TLS, the root last", &|c| c.cabundle.reverse());
    reject("no-root", root, "the bundle begins with the region", &|c| drop(c.cabundle.remove(0)));
    reject("no-region", issuer, "the region is missing", &|c| drop(c.cabundle.remove(1)));
    reject("no-zone", issuer, "the zone is missing", &|c| drop(c.cabundle.remove(2)));
    reject("no-instance", issuer, "the instance is missing", &|c| drop(c.cabundle.remove(3)));
    reject("root-alone", issuer, "only the root, then the leaf", &|c| c.cabundle.truncate(1));
    reject("region-and-zone-exchanged", path, "the zone before the region", &|c| c.cabundle.swap(1, 2));
    reject("zone-and-instance-exchanged", path, "the instance before the zone", &|c| c.cabundle.swap(2, 3));
    reject("instance-twice", path, "the instance twice", &|c| c.cabundle.push(c.cabundle[3].clone()));
    reject(
        "root-twice",
        "certificate-self-issued",
        "the root twice, the second as an authority below the first",
        &|c| c.cabundle.insert(0, c.cabundle[0].clone()),
    );
    let no_ca = "certificate-basic-constraints";
    reject("leaf-in-bundle", path, "the leaf is in the bundle, too", &|c| {
        c.cabundle.push(c.certificate.clone())
    });
    reject("leaf-is-instance", no_ca, "the instance's certificate in the leaf's place", &|c| {
        c.certificate = c.cabundle[3].clone();
        c.key = World::key(Place::Instance);
    });
    reject("leaf-is-root", no_ca, "the root in the leaf's place", &|c| {
        c.certificate = c.cabundle[0].clone();
        c.key = World::key(Place::Root);
    });
}

/// Certificates of somebody else.
fn foreign(corpus: &mut Corpus, world: &mut World) {
    let at = (MADE / 1000) as i64;
    let other = Pki::new([8; 32]).issue(at).unwrap();
    let another = document(world, &other);
    corpus.reject(
        "chain-of-another-root",
        another,
        "root-not-pinned",
        ORDER,
        "a whole chain of another root of the same name",
    );
    let mut grafted = other.clone();
    grafted.cabundle[0] = world.root();
    let grafted = document(world, &grafted);
    let code = "certificate-signature";
    corpus.reject(
        "chain-grafted",
        grafted,
        code,
        ORDER,
        "another root's chain under the pinned root; the names fit",
    );
    let mut leaf = world.chain();
    (leaf.certificate, leaf.key) = (other.certificate.clone(), other.key.clone());
    let leaf = document(world, &leaf);
    corpus.reject(
        "chain-foreign-leaf",
        leaf,
        "certificate-issuer",
        ORDER,
        "another root's leaf under a good bundle",
    );
    let mut root = world.chain();
    root.cabundle[0] = der::reissue(&root.cabundle[0], &World::key(Place::Root), |tbs| {
        tbs.inner()[der::SERIAL].bytes()[1] ^= 1;
    });
    let root = document(world, &root);
    let about = "the root's own key signed another certificate for itself; only the bytes tell";
    corpus.reject(
        "chain-root-reissued",
        root,
        "root-not-pinned",
        "AWS attestation process 3.2.3; RFC 5280 6.1.1(d)",
        about,
    );
    let mut altered = world.chain();
    let last = altered.cabundle[0].len() - 1;
    altered.cabundle[0][last] ^= 1;
    let altered = document(world, &altered);
    corpus.reject(
        "chain-root-altered",
        altered,
        "root-not-pinned",
        ORDER,
        "the last byte of the root's own signature is another",
    );
    self_signed(corpus, world);
    leaf_of_leaf(corpus, world);
    forged(corpus, world, &other);
}

fn self_signed(corpus: &mut Corpus, world: &mut World) {
    let key = SeededKey::new(&[3; 32], "self", 0).unwrap();
    let mut params = leaf_params("self");
    (params.not_before, params.not_after) = around(MADE);
    let certificate = params.self_signed(&key).unwrap().der().to_vec();
    let chain = Chain { cabundle: vec![certificate.clone()], certificate, key, ..world.chain() };
    let document = document(world, &chain);
    corpus.reject(
        "chain-self-signed",
        document,
        "root-not-pinned",
        ORDER,
        "one certificate that signed itself",
    );
}

/// A key that AWS never gave the right to issue anything.
fn leaf_of_leaf(corpus: &mut Corpus, world: &mut World) {
    let forger = SeededKey::new(&[9; 32], "forger", 0).unwrap();
    let mut params = leaf_params("forged");
    (params.not_before, params.not_after) = around(MADE);
    let mut chain = world.chain();
    // The issuer's name is taken from the leaf, so that the names fit.
    let mut issuer = CertificateParams::default();
    issuer.distinguished_name = name("leaf");
    let forged = params.signed_by(&forger, &Issuer::new(issuer, chain.key.clone())).unwrap().der().to_vec();
    let leaf_name = Node::parse(&chain.certificate).inner()[0].inner()[der::SUBJECT].clone();
    let forged = der::reissue(&forged, &chain.key, |tbs| tbs.inner()[der::ISSUER] = leaf_name);
    // In the instance's place, so that no path length but the leaf's own basicConstraints forbids it.
    let mut short = chain.clone();
    chain.cabundle.push(std::mem::replace(&mut chain.certificate, forged.clone()));
    chain.key = forger.clone();
    let long = document(world, &chain);
    let about = "an enclave's own leaf has issued a leaf";
    corpus.reject("chain-leaf-issues-leaf", long, "certificate-path-length", PROFILE, about);
    short.cabundle[3] = std::mem::replace(&mut short.certificate, forged);
    short.key = forger;
    let short = document(world, &short);
    let about = "the same in a chain of the usual length";
    corpus.reject("chain-leaf-as-authority", short, "certificate-basic-constraints", PROFILE, about);
}

/// As many forged authorities as fit: the first signature that fails must be the last that is checked.
fn forged(corpus: &mut Corpus, world: &mut World, other: &Chain) {
    let mut chain = world.chain();
    let forged = der::reissue(&other.cabundle[1], &World::key(Place::Zone), |tbs| {
        der::replace_extension(
            tbs,
            der::BASIC_CONSTRAINTS,
            Some(constraints(true, &[0x30, 0x03, 0x01, 0x01, 0xff])),
        );
    });
    chain.cabundle = vec![world.root(); 1];
    chain.cabundle.extend(vec![forged; 7]);
    let document = document(world, &chain);
    let about = "seven authorities that nobody has issued, to be paid for with one signature check at most";
    corpus.reject("chain-forged-authorities", document, "certificate-issuer", ORDER, about);
}

fn leaf_params(common: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = name(common);
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.serial_number = Some(rcgen::SerialNumber::from(vec![1; 16]));
    params
}

fn around(millis: u64) -> (time::OffsetDateTime, time::OffsetDateTime) {
    let at = time::OffsetDateTime::from_unix_timestamp((millis / 1000) as i64).unwrap();
    (at, at + time::Duration::hours(3))
}

fn name(common: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common);
    name
}

/// basicConstraints with this content.
fn constraints(critical: bool, content: &[u8]) -> Node {
    der::extension(der::BASIC_CONSTRAINTS, critical, content)
}

fn key_usage(critical: bool, bits: &[u8]) -> Node {
    der::extension(der::KEY_USAGE, critical, &der::tlv(0x03, bits))
}

/// basicConstraints and keyUsage.
fn usages(corpus: &mut Corpus, world: &mut World) {
    let mut reject = |id: &str, place, oid: &[u8], by: Option<Node>, code: &'static str, about: &str| {
        let document = edited(world, place, |tbs| der::replace_extension(tbs, oid, by));
        corpus.reject(&format!("certificate-{id}"), document, code, PROFILE, about);
    };
    let usage = "certificate-key-usage";
    let basic = "certificate-basic-constraints";
    for (place, word) in [(Place::Region, "region"), (Place::Zone, "zone"), (Place::Instance, "instance")] {
        let bits = key_usage(true, &[0x07, 0x80]);
        let about = format!("the {word} may sign documents and not certificates");
        reject(&format!("{word}-no-cert-sign"), place, der::KEY_USAGE, Some(bits), usage, &about);
        let about = format!("the {word} has no keyUsage");
        reject(&format!("{word}-no-key-usage"), place, der::KEY_USAGE, None, usage, &about);
        let about = format!("the {word} has no basicConstraints");
        reject(&format!("{word}-no-basic-constraints"), place, der::BASIC_CONSTRAINTS, None, basic, &about);
        let about = format!("the {word} says that it is no authority");
        let no = constraints(true, &[0x30, 0x00]);
        reject(&format!("{word}-no-authority"), place, der::BASIC_CONSTRAINTS, Some(no), basic, &about);
    }
    let lax = constraints(false, &[0x30, 0x06, 0x01, 0x01, 0xff, 0x02, 0x01, 0x01]);
    reject(
        "zone-not-critical",
        Place::Zone,
        der::BASIC_CONSTRAINTS,
        Some(lax),
        basic,
        "basicConstraints of an authority that are not critical",
    );
    let leaf = |bits: &[u8]| Some(key_usage(false, bits));
    reject(
        "leaf-no-signature",
        Place::Leaf,
        der::KEY_USAGE,
        leaf(&[0x06, 0x40]),
        usage,
        "a leaf that may not sign documents",
    );
    reject(
        "leaf-cert-sign",
        Place::Leaf,
        der::KEY_USAGE,
        leaf(&[0x02, 0x84]),
        usage,
        "a leaf that may sign certificates, too",
    );
    reject("leaf-no-key-usage", Place::Leaf, der::KEY_USAGE, None, usage, "a leaf without keyUsage");
    reject(
        "leaf-key-usage-empty",
        Place::Leaf,
        der::KEY_USAGE,
        leaf(&[0x00]),
        usage,
        "a leaf whose keyUsage has no bit",
    );
    reject(
        "leaf-unused-bits-8",
        Place::Leaf,
        der::KEY_USAGE,
        leaf(&[0x08, 0x80]),
        usage,
        "a keyUsage with eight unused bits",
    );
    reject(
        "leaf-key-usage-long",
        Place::Leaf,
        der::KEY_USAGE,
        leaf(&[0x07, 0x80, 0x00, 0x00]),
        usage,
        "a keyUsage of three bytes",
    );
    let ca = constraints(true, &[0x30, 0x03, 0x01, 0x01, 0xff]);
    reject(
        "leaf-authority",
        Place::Leaf,
        der::BASIC_CONSTRAINTS,
        Some(ca),
        basic,
        "a leaf that is an authority",
    );
    reject(
        "leaf-no-basic-constraints",
        Place::Leaf,
        der::BASIC_CONSTRAINTS,
        None,
        basic,
        "a leaf without basicConstraints",
    );
    let path = "certificate-path-length";
    for (place, word, allowed) in
        [(Place::Region, "region", 1), (Place::Region, "region", 0), (Place::Zone, "zone", 0)]
    {
        let short = constraints(true, &[0x30, 0x06, 0x01, 0x01, 0xff, 0x02, 0x01, allowed]);
        let about = format!("a pathLenConstraint of {allowed} on the {word}, and more authorities below it");
        reject(&format!("{word}-path-{allowed}"), place, der::BASIC_CONSTRAINTS, Some(short), path, &about);
    }
    let on_leaf = constraints(true, &[0x30, 0x03, 0x02, 0x01, 0x00]);
    reject(
        "leaf-path",
        Place::Leaf,
        der::BASIC_CONSTRAINTS,
        Some(on_leaf),
        basic,
        "a pathLenConstraint on a leaf",
    );
    let negative = constraints(true, &[0x30, 0x06, 0x01, 0x01, 0xff, 0x02, 0x01, 0xff]);
    reject(
        "zone-path-negative",
        Place::Zone,
        der::BASIC_CONSTRAINTS,
        Some(negative),
        basic,
        "a negative pathLenConstraint",
    );
    let truth = constraints(true, &[0x30, 0x06, 0x01, 0x01, 0x01, 0x02, 0x01, 0x01]);
    reject(
        "zone-boolean",
        Place::Zone,
        der::BASIC_CONSTRAINTS,
        Some(truth),
        "certificate-malformed",
        "a BOOLEAN that is 1 in place of 255",
    );
}

fn extensions(corpus: &mut Corpus, world: &mut World) {
    let clause = "RFC 5280 4.2, 6.1.4(o), 6.1.5(f)";
    let null = [0x05, 0x00];
    for (place, word) in [(Place::Region, "region"), (Place::Instance, "instance"), (Place::Leaf, "leaf")] {
        let add = |critical, oid: &'static [u8]| {
            move |tbs: &mut Node| der::extensions(tbs).push(der::extension(oid, critical, &null))
        };
        let document = edited(world, place, add(true, der::UNKNOWN));
        let id = format!("certificate-{word}-critical-unknown");
        let about = format!("a critical extension on the {word} that nobody knows");
        corpus.reject(&id, document, "certificate-unknown-critical-extension", clause, &about);
        let document = edited(world, place, add(false, der::UNKNOWN));
        let about = format!("an extension on the {word} that nobody knows and that is not critical");
        corpus.accept(&format!("certificate-{word}-unknown-extension"), document, clause, &about);
    }
    let constraints = der::extension(der::NAME_CONSTRAINTS, true, &[0x30, 0x00]);
    let document = edited(world, Place::Zone, |tbs| der::extensions(tbs).push(constraints));
    let code = "certificate-unknown-critical-extension";
    corpus.reject(
        "certificate-name-constraints",
        document,
        code,
        clause,
        "critical nameConstraints, which Nitro does not use",
    );
    for (place, word) in [(Place::Zone, "zone"), (Place::Leaf, "leaf")] {
        let document = edited(world, place, |tbs| {
            let again = der::extensions(tbs)[0].clone();
            der::extensions(tbs).push(again);
        });
        let about = format!("an extension of the {word} is there twice");
        corpus.reject(
            &format!("certificate-{word}-extension-twice"),
            document,
            "certificate-duplicate-extension",
            clause,
            &about,
        );
    }
    let document = edited(world, Place::Leaf, |tbs| {
        let extension = key_usage(false, &[0x07, 0x80]);
        der::extensions(tbs).push(extension);
    });
    corpus.reject(
        "certificate-key-usage-twice",
        document,
        "certificate-duplicate-extension",
        clause,
        "keyUsage twice, with other bits",
    );
    let document = edited(world, Place::Leaf, |tbs| {
        for number in 0..16u8 {
            der::extensions(tbs).push(der::extension(&[0x2a, 0x03, 0x05, number], false, &null));
        }
    });
    let about = "eighteen extensions; real certificates have at most six";
    corpus
        .reject(
            "certificate-18-extensions",
            document,
            "certificate-malformed",
            "adyton: 16 extensions",
            about,
        )
        .level(Level::Adyton);
    let document = edited(world, Place::Leaf, |tbs| drop(tbs.inner().remove(der::EXTENSIONS)));
    corpus.reject(
        "certificate-no-extensions",
        document,
        "certificate-malformed",
        clause,
        "a leaf without extensions",
    );
    let document = edited(world, Place::Leaf, |tbs| der::extensions(tbs).clear());
    corpus.reject(
        "certificate-empty-extensions",
        document,
        "certificate-malformed",
        clause,
        "a leaf with an empty list of extensions",
    );
}

/// What is no certificate of the Nitro PKI, or no DER.
fn syntax(corpus: &mut Corpus, world: &mut World) {
    let mut reject = |id: &str, code: &'static str, about: &str, edit: &dyn Fn(&mut Node)| {
        let document = edited(world, Place::Leaf, |tbs| edit(tbs));
        corpus.reject(&format!("certificate-{id}"), document, code, SYNTAX, about);
    };
    let malformed = "certificate-malformed";
    let version =
        |number: u8| move |tbs: &mut Node| *tbs.inner()[der::VERSION].inner()[0].bytes() = vec![number];
    reject("version-1", "certificate-version", "version 1, which has no extensions", &|tbs| {
        drop(tbs.inner().remove(der::VERSION))
    });
    reject("version-2", "certificate-version", "version 2", &version(1));
    reject("version-4", "certificate-version", "version 4, which does not exist", &version(3));
    reject("serial-empty", malformed, "a serial number without bytes", &|tbs| {
        tbs.inner()[der::SERIAL].bytes().clear()
    });
    reject("serial-22", malformed, "a serial number of 22 bytes; real ones have at most 21", &|tbs| {
        *tbs.inner()[der::SERIAL].bytes() = vec![1; 22]
    });
    reject("serial-zero", malformed, "the serial number 0", &|tbs| {
        *tbs.inner()[der::SERIAL].bytes() = vec![0]
    });
    reject("serial-negative", malformed, "a negative serial number", &|tbs| {
        tbs.inner()[der::SERIAL].bytes()[0] = 0x81;
    });
    reject("serial-padded", malformed, "a serial number with a needless zero before it", &|tbs| {
        tbs.inner()[der::SERIAL].bytes().insert(0, 0);
    });
    reject("long-form-length", malformed, "a length in two bytes where one is enough", &|tbs| {
        tbs.inner()[der::VERSION] = Node::Raw(vec![0xa0, 0x81, 0x03, 0x02, 0x01, 0x02]);
    });
    reject("serial-not-integer", malformed, "a serial number that is an OCTET STRING", &|tbs| {
        let bytes = tbs.inner()[der::SERIAL].bytes().clone();
        tbs.inner()[der::SERIAL] = Node::Leaf(0x04, bytes);
    });
    reject("unique-id", malformed, "a subjectUniqueID", &|tbs| {
        tbs.inner().insert(der::EXTENSIONS, Node::Leaf(0x82, vec![0, 1]))
    });
    reject("extra-element", malformed, "an element after the extensions", &|tbs| {
        tbs.inner().push(Node::Leaf(0x05, vec![]))
    });
    reject("subject-missing", malformed, "no subject", &|tbs| drop(tbs.inner().remove(der::SUBJECT)));
    reject("validity-missing", "certificate-validity-form", "no validity", &|tbs| {
        drop(tbs.inner().remove(der::VALIDITY))
    });
    let from = |tag: u8, text: &'static str| {
        move |tbs: &mut Node| {
            tbs.inner()[der::VALIDITY].inner()[0] = Node::Leaf(tag, text.as_bytes().to_vec())
        }
    };
    let form = "certificate-validity-form";
    reject("time-no-seconds", form, "a time without seconds", &from(0x17, "2611031020Z"));
    reject("time-offset", form, "a time with an offset", &from(0x17, "261103102030+0100"));
    reject("time-not-z", form, "a time that ends with another letter than Z", &from(0x17, "261103102030Y"));
    reject("time-no-zone", form, "a time without its Z", &from(0x17, "261103102030"));
    reject("time-generalized", form, "a GeneralizedTime before 2050", &from(0x18, "20261103102030Z"));
    reject("time-fraction", form, "a time with a fraction of a second", &from(0x18, "20261103102030.5Z"));
    reject("time-month-13", form, "a thirteenth month", &from(0x17, "261303102030Z"));
    reject("time-day-31", form, "the 31st of November", &from(0x17, "261131102030Z"));
    reject("time-hour-24", form, "a 25th hour", &from(0x17, "261103242030Z"));
    reject("time-text", form, "a time that is text", &from(0x0c, "261103102030Z"));
    reject("time-letters", form, "letters among the digits", &from(0x17, "26110310203aZ"));
    let document = edited(world, Place::Leaf, |tbs| {
        *tbs.inner()[der::SERIAL].bytes() = [&[0x00, 0x80][..], &[1; 19]].concat()
    });
    let about = "a serial number of 21 bytes that rightly begins with a zero, as real leaves have";
    corpus.accept("certificate-serial-21", document, SYNTAX, about);
    raw(corpus, world);
}

/// Bytes of the whole certificate that are no DER. The signature over the TBSCertificate stays right.
fn raw(corpus: &mut Corpus, world: &mut World) {
    let mut reject = |id: &str, about: &str, alter: &dyn Fn(&[u8]) -> Vec<u8>| {
        let mut chain = world.chain();
        chain.certificate = alter(&chain.certificate);
        let document = document(world, &chain);
        corpus.reject(&format!("certificate-{id}"), document, "certificate-malformed", SYNTAX, about);
    };
    reject("trailing-byte", "a byte follows the leaf", &|der| [der, &[0]].concat());
    reject("twice", "the leaf twice in one field", &|der| {
        if der.len() > 512 { [der, &[0x30, 0]].concat() } else { [der, der].concat() }
    });
    reject("cut", "the leaf without its last byte", &|der| der[..der.len() - 1].to_vec());
    reject("indefinite", "BER of indefinite length", &|der| [&[0x30, 0x80], &der[4..], &[0, 0]].concat());
    reject("long-length", "a length in three bytes where two are enough", &|der| {
        [&[0x30, 0x83, 0], &der[2..]].concat()
    });
    reject("pem", "PEM in place of DER", &|_| b"-----BEGIN CERTIFICATE-----\n".to_vec());
    reject("set", "a SET in place of the SEQUENCE", &|der| [&[0x31], &der[1..]].concat());
    reject("unused-bits", "a signature with an unused bit", &|der| {
        let mut certificate = Node::parse(der);
        certificate.inner()[2].bytes()[0] = 1;
        certificate.encode()
    });
}

/// Other keys and other algorithms than P-384 and SHA-384.
fn algorithms(corpus: &mut Corpus, world: &mut World) {
    let key = "certificate-key-algorithm";
    let signing = "certificate-signature-algorithm";
    let generator = hex::decode(
        "046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c2964fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5",
    )
    .unwrap();
    let p256 = spki(&[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07], &generator);
    let with_key = |node: Node| move |tbs: &mut Node| tbs.inner()[der::SPKI] = node.clone();
    let point = Node::parse(&world.chain().certificate).inner()[0].inner()[der::SPKI].inner()[1].bytes()[1..]
        .to_vec();
    let secp384r1 = [0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22];
    let even_or_odd = 2 + (point[96] & 1);
    let compressed = spki(&secp384r1, &[&[even_or_odd], &point[1..49]].concat());
    let infinity = spki(&secp384r1, &[0]);
    let ed25519 = Node::Raw(
        [&[0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00][..], &[7; 32]].concat(),
    );
    let other_curve = spki(&[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x23], &point);
    let other_algorithm = {
        let mut bytes = spki(&secp384r1, &point).encode();
        // The last byte of id-ecPublicKey.
        bytes[12] = 0x02;
        Node::Raw(bytes)
    };
    let no_curve = Node::Inner(
        0x30,
        vec![
            Node::Inner(0x30, vec![Node::Leaf(0x06, vec![0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01])]),
            Node::Leaf(0x03, [&[0], &point[..]].concat()),
        ],
    );
    let table = [
        ("leaf-p256", Place::Leaf, p256.clone(), "a leaf with a key on P-256"),
        ("zone-p256", Place::Zone, p256, "a zone with a key on P-256"),
        ("leaf-ed25519", Place::Leaf, ed25519, "a leaf with an Ed25519 key"),
        ("leaf-compressed", Place::Leaf, compressed, "a leaf's key as a compressed point"),
        ("leaf-infinity", Place::Leaf, infinity, "the point at infinity as a leaf's key"),
        (
            "leaf-other-curve",
            Place::Leaf,
            other_curve,
            "a leaf's key that says secp521r1 and has the length of P-384",
        ),
        ("leaf-other-algorithm", Place::Leaf, other_algorithm, "a leaf's key of another algorithm"),
        ("leaf-no-curve", Place::Leaf, no_curve, "a leaf's key without its curve"),
    ];
    for (id, place, node, about) in table {
        let document = edited(world, place, with_key(node));
        corpus.reject(&format!("certificate-{id}"), document, key, KEYS, about);
    }
    for (place, word) in [(Place::Region, "region"), (Place::Instance, "instance"), (Place::Leaf, "leaf")] {
        let document =
            edited(world, place, |tbs| tbs.inner()[der::SIGNATURE] = Node::Raw(der::ECDSA_SHA256.to_vec()));
        let about = format!("the {word} is signed with SHA-256");
        corpus.reject(&format!("certificate-{word}-sha256"), document, signing, KEYS, &about);
    }
    let mut chain = world.chain();
    let mut outer = Node::parse(&chain.certificate);
    outer.inner()[1] = Node::Raw(der::ECDSA_SHA256.to_vec());
    chain.certificate = outer.encode();
    let outer = document(world, &chain);
    corpus.reject(
        "certificate-algorithms-differ",
        outer,
        signing,
        "RFC 5280 4.1.1.2",
        "SHA-256 outside, SHA-384 inside",
    );
    let with_null = [&[0x30, 0x0c], &der::ECDSA_SHA256[2..11], &[0x03, 0x05, 0x00][..]].concat();
    let document = edited(world, Place::Leaf, |tbs| tbs.inner()[der::SIGNATURE] = Node::Raw(with_null));
    corpus.reject(
        "certificate-algorithm-null",
        document,
        signing,
        "RFC 5758 3.2",
        "the algorithm with a NULL for parameters",
    );
    off_the_curve(corpus, world, &secp384r1);
}

/// A key that is no point: only arithmetic refuses it, and then no signature of it verifies.
fn off_the_curve(corpus: &mut Corpus, world: &mut World, curve: &[u8]) {
    let mut off = World::key(Place::Leaf).point().to_vec();
    off[96] ^= 1;
    let document = edited(world, Place::Leaf, |tbs| tbs.inner()[der::SPKI] = spki(curve, &off));
    let about = "a leaf's key that is not a point on the curve";
    corpus.reject("certificate-leaf-off-curve", document, "document-signature", KEYS, about);
}

/// A SubjectPublicKeyInfo of an elliptic curve.
fn spki(curve: &[u8], point: &[u8]) -> Node {
    let algorithm =
        der::tlv(0x30, &[&[0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01], curve].concat());
    Node::Raw(der::tlv(0x30, &[algorithm, der::tlv(0x03, &[&[0], point].concat())].concat()))
}

/// Signatures of certificates that are not their issuers'.
fn signatures(corpus: &mut Corpus, world: &mut World) {
    let code = "certificate-signature";
    let clause = "AWS attestation process 3.2.3; RFC 5280 6.1.3(a)(1)";
    for (at, word) in [(1, "region"), (2, "zone"), (3, "instance"), (4, "leaf")] {
        let mut chain = world.chain();
        let der = chain.cabundle.get_mut(at).unwrap_or(&mut chain.certificate);
        let mut certificate = Node::parse(der);
        let other = SigningKey::from_slice(&[0x17; 48]).unwrap();
        let tbs = certificate.inner()[0].encode();
        certificate.inner()[2] = Node::Leaf(0x03, [&[0], der::sign(&other, &tbs, false).as_slice()].concat());
        *der = certificate.encode();
        let document = document(world, &chain);
        let about = format!("the {word}'s certificate is signed by another key");
        corpus.reject(&format!("certificate-{word}-signature"), document, code, clause, &about);
    }
    let mut reject = |id: &str, about: &str, signature: &dyn Fn(&[u8]) -> Vec<u8>| {
        let mut chain = world.chain();
        let mut certificate = Node::parse(&chain.certificate);
        let old = certificate.inner()[2].bytes()[1..].to_vec();
        certificate.inner()[2] = Node::Leaf(0x03, [&[0], signature(&old).as_slice()].concat());
        chain.certificate = certificate.encode();
        let document = document(world, &chain);
        corpus.reject(&format!("certificate-signature-{id}"), document, code, clause, about);
    };
    reject("empty", "no signature on the leaf", &|_| Vec::new());
    reject("zero", "a signature of two zeros on the leaf", &|_| {
        vec![0x30, 0x06, 0x02, 0x01, 0x00, 0x02, 0x01, 0x00]
    });
    reject("raw", "a signature that is not DER on the leaf", &|old| old[4..].to_vec());
    reject("trailing", "a byte after the leaf's signature", &|old| [old, &[0]].concat());
    reject("negative", "a negative r in the leaf's signature", &|old| {
        let mut node = Node::parse(old);
        let r = node.inner()[0].bytes();
        if r[0] == 0 {
            r.remove(0);
        } else {
            r[0] |= 0x80;
        }
        node.encode()
    });
    reject("padded", "a needless zero before s in the leaf's signature", &|old| {
        let mut node = Node::parse(old);
        node.inner()[1].bytes().insert(0, 0);
        node.encode()
    });
    let document = edited(world, Place::Leaf, |tbs| {
        let subject = tbs.inner()[der::ISSUER].inner();
        let last = subject.len() - 1;
        let text = subject[last].inner()[0].inner()[1].bytes();
        text[0] = text[0].to_ascii_uppercase();
    });
    let about = "an issuer that differs from the subject above it in the case of a letter";
    corpus.reject("certificate-issuer-case", document, "certificate-issuer", "RFC 5280 6.1.3(a)(4)", about);
}

/// UTCTime of a second since the epoch.
fn utc(millis: u64) -> Node {
    let text = adyton_attestation::Timestamp::from_millis(millis).to_string();
    let digits: String = text.chars().filter(char::is_ascii_digit).skip(2).collect();
    Node::Leaf(0x17, format!("{digits}Z").into_bytes())
}

/// Certificates whose time has not come or has gone, at the verifier's clock or at the document's.
fn validities(corpus: &mut Corpus, world: &mut World) {
    let hour = 3_600_000;
    let times = |from: u64, to: u64| {
        move |tbs: &mut Node| *tbs.inner()[der::VALIDITY].inner() = vec![utc(from), utc(to)]
    };
    for (place, word) in [(Place::Region, "region"), (Place::Zone, "zone"), (Place::Instance, "instance")] {
        let document = edited(world, place, times(MADE - 48 * hour, MADE - hour));
        let about = format!("the {word}'s certificate ended an hour ago; the nonce is the right one");
        corpus.reject(&format!("time-{word}-ended"), document, "clock-ahead", TIME, &about);
        let document = edited(world, place, times(MADE + hour, MADE + 48 * hour));
        let about = format!("the {word}'s certificate begins in an hour");
        corpus.reject(&format!("time-{word}-begins"), document, "certificate-not-yet-valid", TIME, &about);
    }
    let document = edited(world, Place::Instance, times(MADE + hour, MADE - hour));
    corpus.reject(
        "time-ends-before-it-begins",
        document,
        "certificate-not-yet-valid",
        TIME,
        "a validity that ends before it begins",
    );
    let clause = "AWS attestation process 2.2; RFC 5280 4.1.2.5";
    let document = edited(world, Place::Leaf, times(MADE + 30_000, MADE + 3 * hour));
    let about =
        "the leaf begins 30 s after the document: within a verifier's leeway, but one clock wrote both";
    corpus.reject("time-document-before-leaf", document, "timestamp-outside-leaf", clause, about);
    let document = edited(world, Place::Leaf, times(MADE - 3 * hour, MADE - 30_000));
    let about = "the leaf ended 30 s before the document";
    corpus.reject("time-document-after-leaf", document, "timestamp-outside-leaf", clause, about);
    let document = edited(world, Place::Leaf, times(MADE - 3 * hour, MADE));
    corpus.accept(
        "time-document-in-leafs-last-second",
        document,
        clause,
        "notAfter names a second that is part of the validity",
    );
    // The old chain and clock of the seed: nothing is wrong but that somebody looks at it years later.
    let old = world.document();
    let at = NOW + 365 * 24 * hour;
    corpus
        .reject(
            "time-a-year-later",
            old,
            "certificate-expired",
            TIME,
            "a document from a year ago, answering another nonce",
        )
        .with("now_ms", json!(at))
        .with("nonce", json!(hex::encode([0x77; 32])));
}

//! Good documents of the module, and verifiers that expect something else.
//!
//! # Promises
//! - Each document here is authentic: only the clock, the registers, the nonce or the binding is not what is wanted.
//!
//! # Does not
//! - Touch envelopes and certificates.
//!
//! # Trusts
//! - The mock module.

use adyton_attestation::Timestamp;
use adyton_attestation::binding::{Role, SessionBinding, manifest_pcr16, manifest_sha384};
use adyton_attestation::endorsement::Endorsement;
use adyton_attestation::measurement::{Measurement, ZERO};
use adyton_attestation::receipt::ReceiptKey;
use serde_json::{Value, json};

use super::world::{MADE, MANIFEST, MAX_AGE, NONCE, NOW, World, pkcs8, policy, session};
use super::{Corpus, Level};
use crate::mock_nsm::InitialPcrs;
use crate::mock_nsm::document::Payload;

const HOUR: u64 = 3_600_000;

pub(super) fn add(corpus: &mut Corpus, world: &mut World) {
    corpus.group(Level::Evidence);
    clocks(corpus, world);
    corpus.group(Level::Policy);
    debug(corpus, world);
    images(corpus, world);
    owners(corpus, world);
    policies(corpus, world);
    corpus.group(Level::Session);
    nonces(corpus, world);
    bindings(corpus, world);
    receipt_keys(corpus, world);
    corpus.group(Level::Adyton);
    manifests(corpus, world);
    endorsements(corpus, world);
}

/// One good document, many clocks.
fn clocks(corpus: &mut Corpus, world: &mut World) {
    let good = world.document();
    let clause = "AWS attestation process 3.2.3.1; RFC 5280 6.1.3(a)(2); RFC 9334 10";
    let table = [
        ("59-s-behind", MADE - 59_000, None, "the verifier's clock is 59 s behind: within the leeway"),
        ("oldest", MADE + MAX_AGE, None, "as old as the verifier accepts"),
        (
            "61-s-behind",
            MADE - 61_000,
            Some("certificate-not-yet-valid"),
            "the verifier's clock is 61 s behind",
        ),
        (
            "a-day-behind",
            MADE - 24 * HOUR,
            Some("certificate-not-yet-valid"),
            "the verifier's clock is a day behind",
        ),
        ("epoch", 0, Some("certificate-not-yet-valid"), "the verifier's clock was never set"),
        ("stale", MADE + MAX_AGE + 1000, Some("document-stale"), "a second older than the verifier accepts"),
        ("hour-old", MADE + HOUR, Some("document-stale"), "an hour old; all certificates are still valid"),
        (
            "leaf-ended",
            MADE + 3 * HOUR + 61_000,
            Some("clock-ahead"),
            "the leaf ended 61 s ago, and the nonce is the right one",
        ),
        ("far-ahead", MADE + 24 * HOUR, Some("clock-ahead"), "the verifier's clock is a day ahead"),
        ("year-9999", 253_402_300_799_000, Some("clock-ahead"), "the last second of the year 9999"),
    ];
    for (id, now, code, about) in table {
        let id = format!("clock-{id}");
        match code {
            Some(code) => corpus.reject(&id, good.clone(), code, clause, about),
            None => corpus.accept(&id, good.clone(), clause, about),
        }
        .with("now_ms", json!(now));
    }
    let about = "the leaf has ended and the nonce is another's: nothing speaks for a wrong clock";
    corpus
        .reject("clock-leaf-ended-other-nonce", good.clone(), "certificate-expired", clause, about)
        .with("now_ms", json!(MADE + 4 * HOUR))
        .with("nonce", json!(hex::encode([0x77; 32])));
    let later = world.altered(|p| p.timestamp = MADE + HOUR);
    let about = "made in the middle of the leaf's life, an hour after the verifier's clock";
    corpus.reject("clock-document-ahead", later.clone(), "document-from-the-future", clause, about);
    corpus
        .accept(
            "clock-document-59-s-ahead",
            later,
            clause,
            "the document is 59 s ahead of the verifier's clock",
        )
        .with("now_ms", json!(MADE + HOUR - 59_000));
    let clause = "AWS attestation process 2.2: timestamp is in milliseconds";
    let seconds = world.altered(|p| p.timestamp /= 1000);
    corpus.reject("timestamp-in-seconds", seconds, "timestamp-outside-leaf", clause, "the time in seconds");
    let last = world.altered(|p| p.timestamp = u64::MAX);
    corpus.reject("timestamp-largest", last, "timestamp-outside-leaf", clause, "the largest time there is");
    let about = "an archived document is judged at its own time, which no clock of the verifier changes";
    corpus.accept("archived", good, "RFC 9334 10.3", about).with("now_ms", Value::Null);
}

fn with_registers(pcrs: InitialPcrs) -> Vec<u8> {
    World::with_registers(pcrs).document()
}

/// A register that is zero or missing says nothing about what runs.
fn debug(corpus: &mut Corpus, world: &mut World) {
    let all = world.pcrs;
    let clause = "AWS user guide, \"Cryptographic attestation\": debug enclaves have zero PCRs";
    let table = [
        ("", all.in_debug_mode(), "a debug enclave: registers 0, 1 and 2 are zero"),
        ("-pcr0", InitialPcrs { pcr0: ZERO, ..all }, "register 0 is zero"),
        ("-pcr1", InitialPcrs { pcr1: ZERO, ..all }, "register 1 is zero"),
        ("-pcr2", InitialPcrs { pcr2: ZERO, ..all }, "register 2 is zero"),
    ];
    for (id, pcrs, about) in table {
        corpus.reject(&format!("debug{id}"), with_registers(pcrs), "debug-mode", clause, about);
    }
    let mut zeros = policy(&all);
    zeros["images"][0] = json!({ "pcr0": ZERO, "pcr1": ZERO, "pcr2": ZERO });
    let about = "a debug enclave, and a policy that lists zeros: such a policy cannot be made";
    corpus
        .reject("debug-listed", with_registers(all.in_debug_mode()), "policy-zero-image", clause, about)
        .with("policy", zeros);
    for index in 0..3u64 {
        let document = world.altered(|p| drop(p.pcrs.remove(&index)));
        let about = format!("register {index} is not listed");
        corpus.reject(
            &format!("pcr{index}-missing"),
            document,
            "image-register-missing",
            "RFC 9334 8.4",
            &about,
        );
    }
}

fn images(corpus: &mut Corpus, world: &mut World) {
    let clause = "AWS user guide, PCR0, PCR1, PCR2; RFC 9334 8.4";
    let all = world.pcrs;
    let other = Measurement::new([0x33; 48]);
    let code = "image-not-accepted";
    for (id, pcrs) in [
        ("pcr0", InitialPcrs { pcr0: other, ..all }),
        ("pcr1", InitialPcrs { pcr1: other, ..all }),
        ("pcr2", InitialPcrs { pcr2: other, ..all }),
    ] {
        let about = format!("{id} is another");
        corpus.reject(&format!("image-{id}"), with_registers(pcrs), code, clause, &about);
    }
    let swapped = InitialPcrs { pcr1: all.pcr2, pcr2: all.pcr1, ..all };
    corpus.reject(
        "image-exchanged",
        with_registers(swapped),
        code,
        clause,
        "registers 1 and 2 are exchanged",
    );
    let mut last = all.pcr0.as_bytes().to_owned();
    last[47] ^= 1;
    let close = InitialPcrs { pcr0: Measurement::new(last), ..all };
    corpus.reject(
        "image-last-bit",
        with_registers(close),
        code,
        clause,
        "the last bit of register 0 is another",
    );
    let image = |pcr0, pcr2| json!({ "pcr0": pcr0, "pcr1": all.pcr1, "pcr2": pcr2 });
    let mut mixed = policy(&all);
    mixed["images"] = json!([image(all.pcr0, other), image(other, all.pcr2)]);
    let about = "each register is one of an accepted image, but no accepted image has them together";
    corpus.reject("image-mixed", world.document(), code, clause, about).with("policy", mixed);
    let mut second = policy(&all);
    second["images"] = json!([image(other, other), image(all.pcr0, all.pcr2)]);
    corpus
        .accept("image-second", world.document(), clause, "the second of two accepted images")
        .with("policy", second);
}

fn owned(pcrs: &InitialPcrs, owner: Value) -> Value {
    let mut policy = policy(pcrs);
    policy["owner"] = owner;
    policy
}

fn owners(corpus: &mut Corpus, world: &mut World) {
    let clause = "AWS user guide, PCR3, PCR4, PCR8";
    let all = world.pcrs;
    let other = Measurement::new([0x33; 48]);
    let good = world.document();
    for (word, register, index, value) in
        [("signer", "pcr8", 8u64, all.pcr8), ("role", "pcr3", 3, all.pcr3), ("instance", "pcr4", 4, all.pcr4)]
    {
        let owner = |value: Measurement| owned(&all, json!({ word: { register: value } }));
        let about = format!("the {word} is pinned by {register}");
        corpus.accept(&format!("owner-{word}"), good.clone(), clause, &about).with("policy", owner(value));
        let about =
            format!("{register} is not the pinned one: the image is right, the machine is somebody else's");
        corpus
            .reject(&format!("owner-{word}-other"), good.clone(), "owner-not-accepted", clause, &about)
            .with("policy", owner(other));
        for (id, about, document) in [
            ("zero", "zero", world.altered(|p| drop(p.pcrs.insert(index, vec![0; 48])))),
            ("missing", "not listed", world.altered(|p| drop(p.pcrs.remove(&index)))),
        ] {
            let about = format!("{register} is pinned, and {about} in the document");
            corpus
                .reject(&format!("owner-{word}-{id}"), document, "owner-register-missing", clause, &about)
                .with("policy", owner(value));
        }
        let about = format!("a policy that pins {register} to zero cannot be made");
        corpus
            .reject(&format!("owner-{word}-pinned-zero"), good.clone(), "policy-zero-owner", clause, &about)
            .with("policy", owner(ZERO));
    }
    let anyone = owned(&all, json!("anyone-at-all"));
    let about = "the policy says that it does not matter whose machine it is";
    corpus.accept("owner-anyone", good, clause, about).with("policy", anyone);
}

/// Policies that no verifier should be able to have.
fn policies(corpus: &mut Corpus, world: &mut World) {
    let good = world.document();
    let base = policy(&world.pcrs);
    let mut reject = |id: &str, code: &'static str, about: &str, spoil: &dyn Fn(&mut Value)| {
        let mut policy = base.clone();
        spoil(&mut policy);
        let clause = "RFC 9334 8.5: an appraisal policy that accepts everything is none";
        corpus.reject(&format!("policy-{id}"), good.clone(), code, clause, about).with("policy", policy);
    };
    let registers = base["images"][0].clone();
    reject("empty", "policy-missing", "no image, no manifest, no owner", &|p| *p = json!({}));
    reject("images-empty", "policy-owner-only", "an owner, and an empty list of images", &|p| {
        p["images"] = json!([])
    });
    reject("images-empty-anyone", "policy-no-images", "anyone at all, and an empty list of images", &|p| {
        (p["images"], p["owner"]) = (json!([]), json!("anyone-at-all"));
    });
    reject("manifests-empty", "policy-no-manifests", "an empty list of manifests", &|p| {
        p["manifests"] = json!([])
    });
    reject("no-owner", "policy-missing", "nothing is said about the owner", &|p| {
        drop(p.as_object_mut().unwrap().remove("owner"))
    });
    reject("owner-null", "policy-unknown-owner", "null for the owner", &|p| p["owner"] = Value::Null);
    reject("only-pcr4", "policy-owner-only", "an instance is pinned, and no image", &|p| {
        drop(p.as_object_mut().unwrap().remove("images"))
    });
    reject("pcr0-alone", "policy-part-of-image", "register 0 without 1 and 2", &|p| {
        p["images"][0] = json!({ "pcr0": registers["pcr0"] })
    });
    reject("no-pcr2", "policy-part-of-image", "registers 0 and 1 without 2", &|p| {
        p["images"][0] = json!({ "pcr0": registers["pcr0"], "pcr1": registers["pcr1"] });
    });
    reject("bad-hex", "policy-not-hex", "a register with a letter that is no digit", &|p| {
        p["images"][0]["pcr0"] = json!("zz".repeat(48))
    });
    reject("short-hex", "policy-wrong-digits", "a register of 64 digits, as of SHA-256", &|p| {
        p["images"][0]["pcr0"] = json!("11".repeat(32))
    });
    reject("long-hex", "policy-wrong-digits", "a register of 98 digits", &|p| {
        p["images"][0]["pcr1"] = json!("11".repeat(49))
    });
    reject("empty-hex", "policy-wrong-digits", "a register without digits", &|p| {
        p["images"][0]["pcr2"] = json!("")
    });
    reject("hex-prefix", "policy-not-hex", "a register that begins with 0x", &|p| {
        p["images"][0]["pcr0"] = json!(format!("0x{}", "11".repeat(47)))
    });
    reject("zero-manifest", "policy-zero-manifest", "a manifest of zeros", &|p| {
        p["manifests"] = json!([ZERO])
    });
    reject("unknown-key", "policy-unknown-key", "a key that nobody knows", &|p| p["debug"] = json!(true));
    reject("two-owners", "policy-unknown-owner", "two answers to the question of the owner", &|p| {
        p["owner"] = json!({ "signer": { "pcr8": "11".repeat(48) }, "role": { "pcr3": "11".repeat(48) } });
    });
    reject("owner-bare-pcr4", "policy-unknown-owner", "a register in the owner's place", &|p| {
        p["owner"] = json!({ "pcr4": "11".repeat(48) });
    });
    reject("owner-empty", "policy-unknown-owner", "a signer without his register", &|p| {
        p["owner"] = json!({ "signer": {} })
    });
    reject("register-number", "policy-wrong-type", "a number in place of a register", &|p| {
        p["images"][0]["pcr0"] = json!(7)
    });
    reject("manifests-text", "policy-wrong-type", "one manifest that is not in a list", &|p| {
        p["manifests"] = json!("11".repeat(48))
    });
    reject("not-a-map", "policy-wrong-type", "text in place of the policy", &|p| *p = json!("anyone-at-all"));
    reject("images-a-map", "policy-wrong-type", "one image that is not in a list", &|p| {
        p["images"] = registers.clone()
    });
}

fn nonces(corpus: &mut Corpus, world: &mut World) {
    let clause = "AWS attestation process 2.2; RFC 9334 10.2";
    let mut reject = |id: &str, nonce: Option<Vec<u8>>, code: &'static str, about: &str| {
        let document = world.altered(|p| p.nonce = nonce);
        corpus.reject(&format!("nonce-{id}"), document, code, clause, about);
    };
    let flipped = |at: usize| {
        NONCE.iter().enumerate().map(|(i, b)| if i == at { b ^ 1 } else { *b }).collect::<Vec<u8>>()
    };
    reject("missing", None, "nonce-missing", "the document answers no question");
    reject("empty", Some(vec![]), "nonce-length", "an empty nonce");
    reject("short", Some(NONCE[..31].to_vec()), "nonce-length", "the first 31 bytes of the nonce");
    reject("long", Some([&NONCE[..], &[0]].concat()), "nonce-length", "the nonce and a zero");
    reject("1024", Some(vec![0x5a; 1024]), "nonce-length", "a nonce of 1024 bytes that begins rightly");
    reject("other", Some(vec![0x77; 32]), "nonce-mismatch", "the document answers somebody else");
    reject("first-bit", Some(flipped(0)), "nonce-mismatch", "the nonce's first byte differs in a bit");
    reject("last-bit", Some(flipped(31)), "nonce-mismatch", "the nonce's last byte differs in a bit");
    reject("zero", Some(vec![0; 32]), "nonce-mismatch", "a nonce of zeros");
    let about = "a good document, shown again to a verifier that has sent a new nonce since";
    corpus
        .reject("nonce-reused", world.document(), "nonce-mismatch", clause, about)
        .with("nonce", json!(hex::encode([0x5b; 32])))
        .with("now_ms", json!(NOW + 10_000));
}

fn bindings(corpus: &mut Corpus, world: &mut World) {
    let clause = "RFC 8446 7.5; draft-fossati-seat-expat; docs/protocol.md section 3";
    let good = world.document();
    let base = world.binding;
    let mut expects = |id: &str, binding: SessionBinding, code: &'static str, about: &str| {
        corpus
            .reject(&format!("binding-{id}"), good.clone(), code, clause, about)
            .with("session", session(&binding));
    };
    let other = [9; 48];
    expects(
        "exporter",
        SessionBinding { exporter: other, ..base },
        "binding-mismatch",
        "made for another connection: relayed",
    );
    expects(
        "certificate",
        SessionBinding { spki_sha384: other, ..base },
        "binding-mismatch",
        "made for another certificate: somebody stands in between",
    );
    expects(
        "reflected",
        SessionBinding { role: Role::PeerEnclave, ..base },
        "binding-reflected",
        "made for the other end of this very connection",
    );
    let relayed = SessionBinding { role: Role::PeerEnclave, exporter: other, ..base };
    expects(
        "other-role-and-connection",
        relayed,
        "binding-mismatch",
        "made for the other end of another connection",
    );
    let mut says = |id: &str, user_data: Option<Vec<u8>>, code: &'static str, about: &str| {
        let document = world.altered(|p| p.user_data = user_data);
        corpus.reject(&format!("user-data-{id}"), document, code, clause, about);
    };
    let right = base.user_data();
    says("missing", None, "binding-missing", "no user data");
    says("empty", Some(vec![]), "binding-mismatch", "empty user data");
    says(
        "short",
        Some(right[..47].to_vec()),
        "binding-mismatch",
        "the first 47 bytes of the right user data",
    );
    says("long", Some([&right[..], &[0]].concat()), "binding-mismatch", "the right user data and a zero");
    says(
        "exporter-itself",
        Some(base.exporter.to_vec()),
        "binding-mismatch",
        "the exporter itself, not its commitment",
    );
    says("zero", Some(vec![0; 48]), "binding-mismatch", "user data of zeros");
    let loose = [&b"enclave"[..], &base.exporter, &base.spki_sha384, &base.manifest_sha384].concat();
    let loose = ring::digest::digest(&ring::digest::SHA384, &loose).as_ref().to_vec();
    says("no-lengths", Some(loose), "binding-mismatch", "the parts hashed without domain and lengths");
}

fn receipt_keys(corpus: &mut Corpus, world: &mut World) {
    let clause = "AWS attestation process 2.2; RFC 8410 4";
    let right = world.signer.public_key_spki().to_vec();
    let mut reject = |id: &str, key: Option<Vec<u8>>, code: &'static str, about: &str| {
        let document = world.altered(|p| p.public_key = key);
        corpus.reject(&format!("public-key-{id}"), document, code, clause, about);
    };
    let invalid = "receipt-key-invalid";
    let x25519 = [&right[..8], &[0x6e], &right[9..]].concat();
    reject("missing", None, "receipt-key-missing", "no public key");
    reject("empty", Some(vec![]), invalid, "an empty public key");
    reject("bare", Some(right[12..].to_vec()), invalid, "32 bytes without their SubjectPublicKeyInfo");
    reject("x25519", Some(x25519), invalid, "an X25519 key");
    reject("trailing", Some([&right[..], &[0]].concat()), invalid, "a byte after the key");
    reject("cut", Some(right[..43].to_vec()), invalid, "a key without its last byte");
}

/// PCR16, which the enclave itself extends and locks.
fn manifests(corpus: &mut Corpus, world: &mut World) {
    let clause = "adyton: PCR16 = extend(0, SHA-384(manifest)), locked";
    let other = b"{\"release\":2}";
    let mut reject = |id: &str, alter: &dyn Fn(&mut Payload), code: &'static str, about: &str| {
        let document = world.altered(|p| alter(p));
        corpus.reject(&format!("manifest-{id}"), document, code, clause, about);
    };
    let missing = "manifest-register-missing";
    reject(
        "unlocked",
        &|p| drop(p.pcrs.remove(&16)),
        missing,
        "register 16 was not locked, so it is not listed",
    );
    reject(
        "zero",
        &|p| drop(p.pcrs.insert(16, vec![0; 48])),
        missing,
        "register 16 was locked and never extended",
    );
    let measured = manifest_pcr16(other).as_bytes().to_vec();
    reject(
        "other",
        &|p| drop(p.pcrs.insert(16, measured.clone())),
        "manifest-not-accepted",
        "another manifest was measured",
    );
    let bare = manifest_sha384(MANIFEST).to_vec();
    reject(
        "bare-digest",
        &|p| drop(p.pcrs.insert(16, bare.clone())),
        "manifest-not-accepted",
        "the digest itself, not extended",
    );
    let mut twice = policy(&world.pcrs);
    twice["manifests"] = json!([manifest_pcr16(MANIFEST), manifest_pcr16(other)]);
    let binding = SessionBinding { manifest_sha384: manifest_sha384(other), ..world.binding };
    let user_data = binding.user_data().to_vec();
    let document = world.altered(|p| p.user_data = Some(user_data));
    let about = "another accepted manifest was shown than the one that was measured";
    corpus
        .reject("manifest-shown-is-other", document, "manifest-not-bound", clause, about)
        .with("policy", twice)
        .with("session", session(&binding));
}

fn endorsements(corpus: &mut Corpus, world: &mut World) {
    let clause = "RFC 9334 4.1, 7.3; docs/protocol.md section 5";
    let operator = pkcs8([0x21; 32]);
    let key = |seed| ReceiptKey::from_spki(&super::world::ed25519(seed).public_key_spki()).unwrap();
    let ours = ReceiptKey::from_spki(&world.signer.public_key_spki()).unwrap();
    let signed = |pkcs8: &[u8], key: &ReceiptKey, from: u64, to: u64| {
        Endorsement::sign(pkcs8, key, Timestamp::from_millis(from), Timestamp::from_millis(to)).unwrap()
    };
    let good = signed(&operator, &ours, MADE - HOUR, MADE + 24 * HOUR);
    let value = |endorsement: &Endorsement| serde_json::to_value(endorsement).unwrap();
    let pinned = owned(&world.pcrs, json!({ "endorser": { "ed25519": good.endorser().to_string() } }));
    let document = world.document();
    let about = "the operator has endorsed this enclave's receipt key";
    corpus
        .accept("endorsed", document.clone(), clause, about)
        .with("policy", pinned.clone())
        .with("endorsement", value(&good));
    let about = "the policy pins an operator, and nobody brought an endorsement";
    corpus
        .reject("endorsement-missing", document.clone(), "endorsement-missing", clause, about)
        .with("policy", pinned.clone());
    let mut altered = value(&good);
    altered["not_after_ms"] = json!(MADE + 48 * HOUR);
    let mut lived = value(&good);
    lived["not_after_ms"] = lived["not_before_ms"].clone();
    lived["signature"] = json!(hex::encode(endorsed(&operator, &ours, MADE - HOUR, MADE - HOUR)));
    let mut negative = value(&good);
    negative["not_before_ms"] = json!(-1);
    let mut short = value(&good);
    short["endorser"] = json!("11".repeat(31));
    let mut unknown = value(&good);
    unknown["debug"] = json!(true);
    let table = [
        (
            "other-enclave",
            value(&signed(&operator, &key([0x44; 32]), MADE - HOUR, MADE + HOUR)),
            "endorsement-key",
            "for another enclave",
        ),
        (
            "other-operator",
            value(&signed(&pkcs8([0x22; 32]), &ours, MADE - HOUR, MADE + HOUR)),
            "endorsement-endorser",
            "by another operator",
        ),
        (
            "expired",
            value(&signed(&operator, &ours, MADE - 2 * HOUR, MADE - HOUR)),
            "endorsement-expired",
            "ended an hour ago",
        ),
        (
            "early",
            value(&signed(&operator, &ours, MADE + HOUR, MADE + 2 * HOUR)),
            "endorsement-not-yet-valid",
            "begins in an hour",
        ),
        ("altered", altered, "endorsement-signature", "its end was put off after it was signed"),
        ("no-life", lived, "endorsement-life", "ends when it begins, and is rightly signed"),
        ("negative-time", negative, "endorsement-unreadable", "begins before 1970"),
        ("short-key", short, "endorsement-unreadable", "its endorser's key has 31 bytes"),
        ("unknown-key", unknown, "endorsement-unreadable", "has a key that nobody knows"),
    ];
    for (id, endorsement, code, about) in table {
        corpus
            .reject(
                &format!("endorsement-{id}"),
                document.clone(),
                code,
                clause,
                &format!("the endorsement: {about}"),
            )
            .with("policy", pinned.clone())
            .with("endorsement", endorsement);
    }
}

/// The signature of an endorsement that the library would not sign.
fn endorsed(pkcs8: &[u8], key: &ReceiptKey, from: u64, to: u64) -> Vec<u8> {
    let lp = |part: &[u8]| [&(part.len() as u32).to_be_bytes(), part].concat();
    let message = [
        lp(b"adyton/endorsement/v1"),
        lp(&key.spki()),
        from.to_be_bytes().to_vec(),
        to.to_be_bytes().to_vec(),
    ];
    ring::signature::Ed25519KeyPair::from_pkcs8(pkcs8).unwrap().sign(&message.concat()).as_ref().to_vec()
}

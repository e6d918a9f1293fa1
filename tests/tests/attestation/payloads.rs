//! Payloads and envelopes that are signed well and still must be refused.

use adyton_attestation::appraisal::{EnvelopeError, Refusal};
use adyton_attestation::cbor::{CborError, Writer};
use adyton_attestation::evidence::FieldError;
use adyton_tests::mock_nsm::document::{Payload, seal};

use crate::{NONCE, World};

fn payload(world: &mut World) -> Payload {
    let (user_data, key) = (world.binding.user_data().to_vec(), world.signer.public_key_spki().to_vec());
    world.nsm.payload(Some(user_data), Some(NONCE.to_vec()), Some(key)).unwrap()
}

fn refused(world: &mut World, bytes: &[u8]) -> Refusal {
    let document = seal(bytes, world.nsm.chain().unwrap());
    world.refusal(&document)
}

#[test]
fn fields_beyond_their_limits() {
    type Spoil = fn(&mut Payload);
    let table: Vec<(Spoil, FieldError)> = vec![
        (|p| p.module_id.clear(), FieldError::ModuleId),
        (|p| p.module_id = "x".repeat(129), FieldError::ModuleId),
        (|p| p.digest = "SHA256".into(), FieldError::Digest),
        (|p| p.timestamp = 0, FieldError::Timestamp),
        (|p| p.pcrs.clear(), FieldError::PcrCount { count: 0 }),
        (|p| p.pcrs.extend((17..=33).map(|index| (index, vec![0; 48]))), FieldError::PcrCount { count: 34 }),
        (|p| drop(p.pcrs.insert(32, vec![0; 48])), FieldError::PcrIndex { index: 32 }),
        (|p| drop(p.pcrs.insert(u64::MAX, vec![0; 48])), FieldError::PcrIndex { index: u64::MAX }),
        (|p| drop(p.pcrs.insert(256, vec![0; 48])), FieldError::PcrIndex { index: 256 }),
        (|p| drop(p.pcrs.insert(17, vec![0; 32])), FieldError::PcrLength { index: 17 }),
        (|p| p.certificate.clear(), FieldError::CertificateLength),
        (|p| p.cabundle.clear(), FieldError::CabundleCount { count: 0 }),
        (|p| p.cabundle = vec![vec![1]; 9], FieldError::CabundleCount { count: 9 }),
        (|p| p.cabundle.push(vec![0; 1025]), FieldError::CertificateLength),
        (|p| p.nonce = Some(vec![0; 1025]), FieldError::OptionalLength { field: "nonce" }),
        (|p| p.user_data = Some(vec![0; 1025]), FieldError::OptionalLength { field: "user_data" }),
        (|p| p.public_key = Some(vec![0; 1025]), FieldError::OptionalLength { field: "public_key" }),
    ];
    for (spoil, expected) in table {
        let mut world = World::good();
        let mut payload = payload(&mut world);
        spoil(&mut payload);
        assert_eq!(refused(&mut world, &payload.encode()), Refusal::Fields(expected));
    }
}

#[test]
fn encodings_that_the_module_does_not_write() {
    let mut world = World::good();
    let good = payload(&mut world).encode();
    let inner = &good[1..good.len() - 1];
    let with = |extra: &[u8]| [&[0xbf], inner, extra, &[0xff]].concat();
    let mut key = Writer::new();
    key.text("nonce").null();
    let doubled = with(&key.into_bytes());
    let mut key = Writer::new();
    key.text("extra").null();
    let unknown = with(&key.into_bytes());
    let without_nonce =
        good[..good.len() - 1 - 6 - 2 - 32].iter().copied().chain([0xff]).collect::<Vec<u8>>();
    let nested_indefinite = with(&[0x61, b'x', 0xbf, 0xff]);
    let table: Vec<(Vec<u8>, Refusal)> = vec![
        (doubled, Refusal::Payload(CborError::DuplicateKey)),
        (nested_indefinite, Refusal::Payload(CborError::IndefiniteLength)),
        ([&good[..], &[0xf6]].concat(), Refusal::Payload(CborError::TrailingBytes { count: 1 })),
        ([&[0xd8, 0x20], &good[..]].concat(), Refusal::Payload(CborError::Tag)),
        (good[..good.len() - 1].to_vec(), Refusal::Payload(CborError::Truncated)),
        (unknown, Refusal::Fields(CborError::UnknownKey.into())),
        (without_nonce, Refusal::Fields(CborError::Missing { field: "nonce" }.into())),
        (vec![0x80], Refusal::Payload(CborError::WrongType { field: "payload", wanted: "a map" })),
    ];
    for (bytes, expected) in table {
        assert_eq!(refused(&mut world, &bytes), expected);
    }
    // A definite map is what modules wrote until 2025, and stays good.
    let definite = [&[0xa9], inner].concat();
    let document = seal(&definite, world.nsm.chain().unwrap());
    assert!(world.appraise(&document).1.is_ok());
}

#[test]
fn types_are_exact() {
    let mut world = World::good();
    let good = payload(&mut world).encode();
    let at = |needle: &[u8]| {
        good.windows(needle.len()).position(|window| window == needle).unwrap() + needle.len()
    };
    // A byte string of the same length where text belongs, and the other way round.
    let mut digest = good.clone();
    digest[at(b"\x66digest")] = 0x46;
    let wrong = |field, wanted| Refusal::Fields(CborError::WrongType { field, wanted }.into());
    assert_eq!(refused(&mut world, &digest), wrong("digest", "text"));
    let mut nonce = good.clone();
    nonce[at(b"\x65nonce")] = 0x78;
    assert_eq!(refused(&mut world, &nonce), wrong("nonce", "a byte string"));
    let mut timestamp = good.clone();
    timestamp[at(b"\x69timestamp")] |= 0x20;
    assert_eq!(refused(&mut world, &timestamp), wrong("timestamp", "an unsigned integer"));
}

#[test]
fn envelopes_that_the_module_does_not_write() {
    let mut world = World::good();
    let document = world.document();
    let spoilt = |range: std::ops::Range<usize>, bytes: &[u8]| {
        [&document[..range.start], bytes, &document[range.end..]].concat()
    };
    let table: Vec<(Vec<u8>, Refusal)> = vec![
        (vec![], Refusal::Envelope(EnvelopeError::Truncated)),
        (spoilt(0..0, &[0xd2]), Refusal::Envelope(EnvelopeError::Tagged)),
        (spoilt(0..1, &[0x85]), Refusal::Envelope(EnvelopeError::NotSign1)),
        (spoilt(0..1, &[0x9f]), Refusal::Envelope(EnvelopeError::NotSign1)),
        // ES256 in the protected header, and an algorithm of two bytes.
        (spoilt(1..6, &[0x43, 0xa1, 0x01, 0x26]), Refusal::Envelope(EnvelopeError::ProtectedHeader)),
        (spoilt(1..6, &[0x40]), Refusal::Envelope(EnvelopeError::ProtectedHeader)),
        // Something in the unprotected header, which nobody has signed.
        (spoilt(6..7, &[0xa1, 0x04, 0x41, 0x00]), Refusal::Envelope(EnvelopeError::UnprotectedHeader)),
        (spoilt(7..8, &[0x5a, 0x00, 0x00]), Refusal::Envelope(EnvelopeError::Payload)),
        (spoilt(document.len()..document.len(), &[0x00]), Refusal::Envelope(EnvelopeError::TrailingBytes)),
        (vec![0x84; 16 * 1024 + 1], Refusal::TooLarge { size: 16 * 1024 + 1 }),
    ];
    for (bytes, expected) in table {
        assert_eq!(world.refusal(&bytes), expected);
    }
    let at = document.len() - 98;
    let short = [&document[..at], &[0x58, 0x5f], &document[at + 2..document.len() - 1]].concat();
    assert_eq!(world.refusal(&short), Refusal::Envelope(EnvelopeError::SignatureLength));
}

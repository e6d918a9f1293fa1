//! The audit log: entries and records that a host may have altered, and the protocol on its port.
//!
//! # Promises
//! - What was read and is written again is the same bytes.
//!
//! # Does not
//! - Verify signatures; checkpoints have a target of their own.
//!
//! # Trusts
//! - Nobody.

use adyton_attestation::Timestamp;
use adyton_attestation::audit::{Entry, Record};
use adyton_attestation::cbor::Scalar;
use adyton_wire::audit::{
    ANSWER_LEN, FRAME_HEADER_LEN, HELLO_LEN, Hello, Kind, Next, Status, decode_answer, decode_frame_header,
    encode_answer, encode_frame_header, read_frame,
};
use ring::rand::SystemRandom;

/// An entry of the log.
pub fn audit_entry(data: &[u8]) {
    if let Ok(entry) = Entry::decode(data) {
        assert_eq!(entry.encode().unwrap(), data);
    }
}

/// A record: an entry's leaf and its sealed copies.
pub fn audit_record(data: &[u8]) {
    let Ok(record) = Record::decode(data) else { return };
    assert_eq!(record.encode(), data);
    let auditor = record.copies.first().map_or([0; 32], |copy| copy.auditor);
    assert!(record.open(&[1; 16], &auditor, |_| Some([7; 32])).is_err(), "a record opens without its key");
}

/// A hello, an answer, and a file of frames.
pub fn audit_protocol(data: &[u8]) {
    if let Some(bytes) = data.first_chunk::<HELLO_LEN>()
        && let Ok(hello) = Hello::decode(bytes)
    {
        assert_eq!(hello.encode(), *bytes);
    }
    if let Some(bytes) = data.first_chunk::<ANSWER_LEN>()
        && let Ok((status, entries)) = decode_answer(bytes)
    {
        assert_eq!(encode_answer(status, entries), *bytes);
    }
    if let Some(bytes) = data.first_chunk::<FRAME_HEADER_LEN>()
        && let Ok((kind, length)) = decode_frame_header(bytes)
    {
        assert_eq!(encode_frame_header(kind, length), *bytes);
    }
    let mut rest = data;
    while let Ok(Next::Frame(_, body)) = read_frame(&mut rest) {
        assert!(body.len() < data.len());
    }
}

fn entry() -> Entry {
    Entry {
        boot: [1; 16],
        index: 5,
        at: Timestamp::from_millis(1_793_701_230_000),
        principal: Some([2; 32]),
        kind: "grant".into(),
        details: vec![
            ("purpose".into(), Scalar::Text("general".into())),
            ("max-tokens".into(), Scalar::Unsigned(1024)),
            ("digest".into(), Scalar::Bytes(vec![3; 32])),
            ("attested".into(), Scalar::Boolean(false)),
        ],
    }
}

pub(super) fn entry_seeds() -> Vec<Vec<u8>> {
    let bare = Entry { principal: None, details: Vec::new(), kind: "evidence".into(), ..entry() };
    vec![entry().encode().unwrap(), bare.encode().unwrap()]
}

pub(super) fn record_seeds() -> Vec<Vec<u8>> {
    let bare = Record::make(&entry(), &[4; 32], &[], &SystemRandom::new()).unwrap();
    // Copies made by hand: real ones differ each time, and seeds are always the same.
    let copy = |key: u8| adyton_attestation::audit::record::Copy {
        auditor: [key; 32],
        sealed: adyton_attestation::seal::Sealed { encapsulated: [9; 32], ciphertext: vec![5; 90] },
    };
    let sealed = Record { copies: vec![copy(1), copy(2)], ..bare.clone() };
    vec![bare.encode(), sealed.encode()]
}

pub(super) fn protocol_seeds() -> Vec<Vec<u8>> {
    let frame = |kind, body: &[u8]| {
        let length = u32::try_from(body.len()).unwrap();
        [encode_frame_header(kind, length).as_slice(), body].concat()
    };
    let file =
        [frame(Kind::Document, b"document"), frame(Kind::Entry, &[7; 41]), frame(Kind::Checkpoint, b"x")];
    vec![
        Hello { boot: [1; 16], stored: 1 << 40 }.encode().to_vec(),
        encode_answer(Status::Stored, 7).to_vec(),
        encode_answer(Status::Lost, 0).to_vec(),
        file.concat(),
    ]
}

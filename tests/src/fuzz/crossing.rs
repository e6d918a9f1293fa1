//! What crosses a wall: the manifest, the blob protocol, the hybrid line, the control messages.
//!
//! # Promises
//! - What was read and is written again reads the same; where a format has one encoding, it is the same bytes.
//!
//! # Does not
//! - Open sockets: frames are bytes here.
//!
//! # Trusts
//! - Nobody.

use std::fmt::Debug;

use adyton_wire::blob::{self, REQUEST_LEN, RESPONSE_HEADER_LEN, Status, Wanted};
use adyton_wire::control::{
    Account, Action, Decision, Denial, GrantId, MAX_PURPOSE, MAX_TOKEN, ToSentinel, ToWorker, Token, Told,
    Wish,
};
use adyton_wire::hybrid;
use adyton_wire::manifest::{CHUNK_SIZE, Digest, File, Manifest, POLICY_FILES, VERSION, Weights};
use serde::{Serialize, de::DeserializeOwned};

/// A release manifest: its chunks cover the weights without gap or overlap.
pub fn manifest(data: &[u8]) {
    let Ok(manifest) = Manifest::parse(data) else { return };
    assert_eq!(Manifest::parse(&serde_json::to_vec(&manifest).unwrap()).as_ref(), Ok(&manifest));
    let mut end = 0;
    for (offset, length, _) in manifest.weights.ranges() {
        assert_eq!(offset, end);
        assert!(length > 0 && length <= CHUNK_SIZE);
        end = offset + u64::from(length);
    }
    assert_eq!(end, manifest.weights.size);
    assert!(manifest.policy.keys().all(|name| POLICY_FILES.contains(&name.as_str())));
}

/// A blob request, and a response's header.
pub fn blob_request_and_response(data: &[u8]) {
    if let Some(bytes) = data.first_chunk::<REQUEST_LEN>()
        && let Ok(wanted) = Wanted::decode(bytes)
    {
        assert_eq!(Wanted::decode(&wanted.encode()), Ok(wanted));
        // A request for the manifest carries fields that nobody reads.
        assert!(wanted == Wanted::Manifest || wanted.encode() == *bytes);
    }
    if let Some(header) = data.first_chunk::<RESPONSE_HEADER_LEN>()
        && let Ok((status, length)) = blob::decode_response(header)
    {
        assert_eq!(blob::encode_response(status, length), *header);
    }
}

/// A line of the hybrid vsock convention.
pub fn hybrid_line(data: &[u8]) {
    if let Some(port) = hybrid::parse_connect(data) {
        assert_eq!(hybrid::parse_connect(hybrid::connect_line(port).as_bytes()), Some(port));
        assert!(!hybrid::is_ok(data));
    }
    if hybrid::is_ok(data) {
        assert!(data.starts_with(b"OK ") && data.ends_with(b"\n"));
    }
}

/// A control frame, in both directions.
pub fn control_to_sentinel(data: &[u8]) {
    reread::<ToSentinel>(data);
    reread::<ToWorker>(data);
}

fn reread<T: Serialize + DeserializeOwned + Debug>(frame: &[u8]) {
    let Ok((message, rest)) = postcard::take_from_bytes::<T>(frame) else { return };
    let written = postcard::to_stdvec(&message).unwrap();
    assert!(written.len() + rest.len() <= frame.len(), "a message grows by being written again");
    let (again, rest) = postcard::take_from_bytes::<T>(&written).unwrap();
    assert!(rest.is_empty());
    assert_eq!(postcard::to_stdvec(&again).unwrap(), written);
}

pub(super) fn manifest_seeds() -> Vec<Vec<u8>> {
    let file = File { sha256: [1; 32], size: 10 };
    let manifest = Manifest {
        encoder: None,
        version: VERSION,
        model: "smollm2-135m".into(),
        weights: Weights {
            sha256: [2; 32],
            size: u64::from(CHUNK_SIZE) + 5,
            chunks: vec![Digest([3; 32]), Digest([4; 32])],
        },
        policy: POLICY_FILES.iter().map(|name| ((*name).to_owned(), file.clone())).collect(),
    };
    vec![serde_json::to_vec(&manifest).unwrap(), serde_json::to_vec_pretty(&manifest).unwrap()]
}

pub(super) fn blob_seeds() -> Vec<Vec<u8>> {
    let range = Wanted::Range { digest: [7; 32], offset: 1 << 40, length: 1 << 20 };
    vec![
        range.encode().to_vec(),
        Wanted::Manifest.encode().to_vec(),
        blob::encode_response(Status::Found, 1 << 20).to_vec(),
        blob::encode_response(Status::Missing, 0).to_vec(),
    ]
}

pub(super) fn hybrid_seeds() -> Vec<Vec<u8>> {
    let lines = [hybrid::connect_line(0), hybrid::connect_line(u32::MAX), "OK 1073741824\n".to_owned()];
    lines.map(String::into_bytes).to_vec()
}

pub(super) fn control_seeds() -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> = to_sentinel().iter().map(|m| postcard::to_stdvec(m).unwrap()).collect();
    seeds.extend(to_worker().iter().map(|m| postcard::to_stdvec(m).unwrap()));
    seeds
}

fn to_sentinel() -> Vec<ToSentinel> {
    let account = Account {
        request: [1; 32],
        response: [2; 32],
        chunks: 3,
        response_bytes: 400,
        verdicts: vec![("input".into(), "pass".into())],
        complete: true,
        screened: adyton_wire::control::Screened::default(),
    };
    let generate = Action::Generate {
        model: "m".into(),
        purpose: "p".repeat(MAX_PURPOSE),
        max_tokens: 1024,
        prompt_bytes: 200_000,
        request: [7; 32],
        untrusted: true,
        held: Vec::new(),
    };
    let ask =
        |token, action| ToSentinel::Ask { id: 7, token: Token(token), attested: true, session: 1, action };
    let wish = |wish| ToSentinel::People { id: 8, token: Token(vec![b'x'; 9]), attested: false, wish };
    vec![
        ToSentinel::Ready { spki: vec![3; 91] },
        ToSentinel::Evidence { id: u64::MAX, nonce: [5; 32], exporter: vec![6; 48] },
        ask(vec![b'x'; MAX_TOKEN], generate),
        ask(Vec::new(), Action::ListModels),
        ToSentinel::Seal { id: 1, grant: GrantId([8; 16]), account },
        ToSentinel::Called { grant: GrantId([8; 16]), bytes: 100, came: true },
        ask(
            vec![b'x'],
            Action::CallTool { tool: "t".into(), purpose: "p".into(), request: [7; 32], argument_bytes: 9 },
        ),
        wish(Wish::State),
        wish(Wish::Holds),
        wish(Wish::Hold([1; 16])),
        wish(Wish::Ballot { statement: vec![2; 83], signer: [3; 32], signature: vec![4; 64] }),
    ]
}

fn to_worker() -> Vec<ToWorker> {
    let granted = Decision::Granted {
        grant: GrantId([8; 16]),
        principal: [9; 32],
        max_tokens: 100,
        section: 0,
        valid_for_ms: 60_000,
    };
    vec![
        ToWorker::Start {
            guardrails: "max_messages = 1".into(),
            peers: "[]".into(),
            tools: Vec::new(),
            stores: Default::default(),
        },
        ToWorker::Connection,
        ToWorker::Lease { valid_for_ms: 3000 },
        ToWorker::Decision(4, Decision::Held { hold: [1; 16], missing: 2, ends_in_ms: 900_000 }),
        ToWorker::People(5, Ok(Told::Counted { missing: 1 })),
        ToWorker::People(6, Err(Denial::BallotRefused)),
        ToWorker::Evidence(1, Some(vec![4; 100])),
        ToWorker::Decision(2, granted),
        ToWorker::Decision(3, Decision::Denied(Denial::AuditUnavailable)),
        ToWorker::Receipt(4, None),
    ]
}

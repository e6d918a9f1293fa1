//! The audit log: what is acknowledged survives everything, what cannot be recorded does not happen, what is
//! altered is found.

use crate::support::{HANG, ask, ask_as, plan, question, session, world};
use adyton_attestation::audit::Seen;
use adyton_client::audit::{Auditor, Verified, read};
use adyton_client::chat::{Answered, ChatError};
use adyton_tests::world::{AUDIT_FOLDER, Plan, World};
use adyton_wire::audit::{FILE_HEADER_LEN, FRAME_HEADER_LEN, Kind, Next, read_frame};
use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};
use std::fs;
use std::path::Path;
use std::process::Output;

fn log(world: &World) -> Verified {
    read(&world.audit_log().unwrap(), &world.anchor().unwrap(), None, drop).unwrap()
}

/// The log on disk has the answer's entry under a checkpoint, and the receipt's root is that of the log.
fn assert_kept(world: &World, answered: &Answered) {
    let log = log(world).log;
    let seen = Seen::by_receipt(answered.receipt.receipt()).expect("the receipt names no entry");
    assert!(seen.size() <= log.signed().size, "the entry is not under a checkpoint");
    assert_eq!(log.holds(&seen), Ok(()));
}

fn pid(pid: u32) -> Pid {
    Pid::from_raw(i32::try_from(pid).unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answers_entry_is_on_disk_when_its_end_arrives() {
    let world = world();
    let session = session(&world).await;
    let mut last = None;
    for _ in 0..3 {
        let answered = ask(&world, &session, &question(4)).await.unwrap();
        assert_kept(&world, &answered);
        let index = answered.receipt.body().logged.unwrap().index;
        assert!(last < Some(index), "entries do not grow");
        last = Some(index);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killing_any_process_loses_no_acknowledged_entry() {
    for victim in ["host", "adyton-sim-enclave", "adyton-sim-worker"] {
        let mut world = world();
        let answered = ask(&world, &session(&world).await, &question(4)).await.unwrap();
        let target = match victim {
            "host" => world.host().id(),
            name => world.descendants(name).unwrap()[0],
        };
        kill_process(pid(target), Signal::KILL).unwrap();
        if victim != "adyton-sim-worker" {
            // The host ends with its enclave.
            world.host().wait().unwrap();
        }
        assert_kept(&world, &answered);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_stops_generation_with_a_clear_error_and_room_lets_it_go_on() {
    let mut world = world();
    let session = session(&world).await;
    let answered = ask(&world, &session, &question(4)).await.unwrap();
    let host = pid(world.host().id());
    let size = fs::metadata(world.audit_log().unwrap()).unwrap().len();
    let limit = |current| prlimit(Some(host), Resource::Fsize, Rlimit { current, maximum: None }).map(drop);
    limit(Some(size)).unwrap();
    let refused = |ended: &Result<Answered, ChatError>| matches!(ended, Err(ChatError::Refused { status: 503, code, .. }) if code == "audit_unavailable");
    for _ in 0..2 {
        let ended = ask(&world, &session, &question(4)).await;
        assert!(refused(&ended), "{:?}", ended.err());
    }
    assert_kept(&world, &answered);
    limit(None).unwrap();
    let again = async {
        loop {
            match ask(&world, &session, &question(4)).await {
                Ok(answered) => break answered,
                ended => assert!(refused(&ended), "{:?}", ended.err()),
            }
        }
    };
    let again = tokio::time::timeout(HANG, again).await.expect("the log stays closed");
    assert_kept(&world, &again);
    assert_kept(&world, &answered);
}

#[tokio::test(flavor = "multi_thread")]
async fn auditors_read_what_happened_and_nobody_else_does() {
    let (auditor, key) = Auditor::generate().unwrap();
    let auditors = serde_json::json!([{ "name": "ann", "x25519": hex::encode(auditor.public()) }]);
    let world = World::start(&Plan { auditors: auditors.to_string(), ..plan() }).unwrap();
    let session = session(&world).await;
    let answered = ask(&world, &session, &question(4)).await.unwrap();
    ask_as(&world, &session, "no.such.token", &question(4)).await.map(drop).unwrap_err();
    // What comes after the denial says that the denial is on disk.
    ask(&world, &session, &question(4)).await.unwrap();
    fs::write(world.path("auditor.key"), key.as_bytes()).unwrap();
    let mut show = world.client().unwrap();
    show.args(["--json", "audit", "show"]).arg(world.path(AUDIT_FOLDER));
    let shown = show.arg("--auditor-key").arg(world.path("auditor.key")).output().unwrap();
    assert!(shown.status.success(), "{}", String::from_utf8_lossy(&shown.stderr));
    let shown = String::from_utf8(shown.stdout).unwrap();
    let entries: Vec<serde_json::Value> =
        shown.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |kind: &str| entries.iter().filter(|e| e["kind"] == kind).collect::<Vec<_>>();
    for kind in ["boot", "worker-ready", "evidence", "models", "grant", "denial", "receipt"] {
        assert!(!of(kind).is_empty(), "no entry says {kind}");
    }
    assert_eq!(of("denial")[0]["details"]["code"], "invalid_api_key");
    let body = answered.receipt.body();
    let entry = &entries[usize::try_from(body.logged.unwrap().index).unwrap()];
    assert_eq!(entry["kind"], "receipt");
    assert_eq!(entry["details"]["request"], hex::encode(body.request));
    assert_eq!(entry["details"]["response-bytes"], body.response_bytes);
    assert_eq!(entry["principal"], hex::encode(body.principal));
    assert!(!shown.contains("dragon"), "text of a prompt is in the log");
    let bytes = fs::read(world.audit_log().unwrap()).unwrap();
    for open in [&b"general"[..], b"receipt", b"dragon"] {
        assert!(
            !bytes.windows(open.len()).any(|window| window == open),
            "an entry can be read without a key"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tampering_is_found_by_its_name() {
    let world = world();
    let session = session(&world).await;
    let answered = ask(&world, &session, &question(4)).await.unwrap();
    let seen = world.path("receipt.json");
    fs::write(&seen, answered.bundle.to_json()).unwrap();
    let path = world.audit_log().unwrap();
    let good = fs::read(&path).unwrap();
    let copy = world.path("copy.audit");
    let verify = |bytes: &[u8], seen: Option<&Path>| {
        fs::write(&copy, bytes).unwrap();
        let mut verify = world.client().unwrap();
        verify.args(["audit", "verify"]).arg(&copy);
        if let Some(seen) = seen {
            verify.arg("--checkpoint").arg(seen);
        }
        code(verify.output().unwrap())
    };
    let with_receipt = |bytes: &[u8]| verify(bytes, Some(&seen));
    assert_eq!(with_receipt(&good), 0);
    let frames = frames(&good);
    let nth = |kind: Kind, n: usize| frames.iter().filter(|f| f.0 == kind).nth(n).unwrap().clone().1;
    let (first, second) = (nth(Kind::Entry, 0), nth(Kind::Entry, 1));
    // A leaf hash, behind the frame's header and the index.
    let mut changed = good.clone();
    changed[first.start + FRAME_HEADER_LEN + 8] ^= 1;
    assert_eq!(with_receipt(&changed), 20);
    let mut without = good.clone();
    without.drain(first);
    assert_eq!(with_receipt(&without), 21);
    let mut twice = good.clone();
    twice.splice(second.start..second.start, good[second.clone()].iter().copied());
    assert_eq!(with_receipt(&twice), 21);
    let checkpoint = nth(Kind::Checkpoint, 0);
    let mut unsigned = good.clone();
    unsigned[checkpoint.end - 4] ^= 1;
    assert_eq!(with_receipt(&unsigned), 22);
    // Cut at a checkpoint, a log verifies; the receipt says that more was there.
    let short = &good[..checkpoint.end];
    assert_eq!(verify(short, None), 0);
    assert_eq!(with_receipt(short), 23);
    // Cut in the middle of a frame, as by a crash.
    assert_eq!(verify(&good[..checkpoint.end + 3], None), 0);
    fs::remove_file(&copy).unwrap();
}

fn code(output: Output) -> i32 {
    output.status.code().unwrap_or_else(|| panic!("{}", String::from_utf8_lossy(&output.stderr)))
}

/// Where each frame of a log's file is.
fn frames(file: &[u8]) -> Vec<(Kind, std::ops::Range<usize>)> {
    let mut rest = &file[FILE_HEADER_LEN..];
    let mut found = Vec::new();
    loop {
        let start = file.len() - rest.len();
        match read_frame(&mut rest).unwrap() {
            Next::Frame(kind, body) => found.push((kind, start..start + FRAME_HEADER_LEN + body.len())),
            Next::Torn(_) | Next::End => return found,
        }
    }
}

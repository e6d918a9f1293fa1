//! The log against hosts that behave and hosts that do not, over the Unix form of the bus.

use super::*;
use adyton_attestation::audit::{Replay, Seen};
use adyton_attestation::receipt::{ReceiptBody, Status as AnswerStatus, verify};
use adyton_wire::audit::{FRAME_HEADER_LEN, HELLO_LEN, Hello, Status, decode_frame_header, encode_answer};
use adyton_wire::hybrid;
use adyton_wire::ports::AUDIT_PORT;
use std::path::PathBuf;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::LocalSet;

const BOOT: [u8; 16] = [3; 16];

struct Host {
    listener: UnixListener,
    path: PathBuf,
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(hybrid::host_listener(&self.path, AUDIT_PORT));
    }
}

impl Host {
    fn new(name: &str) -> Host {
        let path = std::env::temp_dir().join(format!("adyton-log-{name}-{}", std::process::id()));
        let socket = hybrid::host_listener(&path, AUDIT_PORT);
        let _ = std::fs::remove_file(&socket);
        Host { listener: UnixListener::bind(socket).unwrap(), path }
    }

    fn transport(&self) -> Transport {
        Transport::Unix(self.path.clone())
    }

    /// Accepts a connection and its hello, and answers it.
    async fn accept(&self, status: Status) -> (UnixStream, Hello) {
        let (mut stream, _) = self.listener.accept().await.unwrap();
        let mut hello = [0; HELLO_LEN];
        stream.read_exact(&mut hello).await.unwrap();
        let hello = Hello::decode(&hello).unwrap();
        stream.write_all(&encode_answer(status, hello.stored)).await.unwrap();
        (stream, hello)
    }
}

async fn frame_of(stream: &mut UnixStream) -> (Kind, Vec<u8>) {
    let mut header = [0; FRAME_HEADER_LEN];
    stream.read_exact(&mut header).await.unwrap();
    let (kind, length) = decode_frame_header(&header).unwrap();
    let mut body = vec![0; length as usize];
    stream.read_exact(&mut body).await.unwrap();
    (kind, body)
}

/// Reads to the next checkpoint; returns the entries in front of it.
async fn batch_of(stream: &mut UnixStream) -> (Vec<Vec<u8>>, String) {
    let mut entries = Vec::new();
    loop {
        match frame_of(stream).await {
            (Kind::Entry, body) => entries.push(body),
            (Kind::Checkpoint, body) => return (entries, String::from_utf8(body).unwrap()),
            (Kind::Document, body) => assert_eq!(body, b"document"),
        }
    }
}

async fn acknowledge(stream: &mut UnixStream, entries: u64) {
    stream.write_all(&encode_answer(Status::Stored, entries)).await.unwrap();
}

fn signer() -> Rc<ReceiptSigner> {
    Rc::new(ReceiptSigner::generate(&SystemRandom::new()).unwrap())
}

fn log(signer: &Rc<ReceiptSigner>) -> Log {
    Log::new(BOOT, Rc::clone(signer), Vec::new(), Arc::default())
}

async fn open(log: &Log, host: &Host) -> Result<(), AuditError> {
    log.open(&host.transport(), b"document", &Event::Evidence).await
}

#[tokio::test]
async fn what_the_host_gets_verifies_and_roots_in_receipts_are_those_of_its_log() {
    let (host, signer) = (Host::new("verifies"), signer());
    let log = log(&signer);
    let working = async {
        let key = adyton_attestation::receipt::ReceiptKey::from_spki(&signer.public_key_spki()).unwrap();
        let mut replay = Replay::new(BOOT, key).unwrap();
        let (mut stream, hello) = host.accept(Status::Stored).await;
        assert_eq!(hello, Hello { boot: BOOT, stored: 0 });
        let mut stored = 0;
        while stored < 4 {
            let (entries, checkpoint) = batch_of(&mut stream).await;
            stored += entries.len() as u64;
            entries.iter().for_each(|entry| drop(replay.record(entry).unwrap()));
            replay.checkpoint(&checkpoint).unwrap();
            acknowledge(&mut stream, stored).await;
        }
        replay.finish().unwrap()
    };
    let asking = async {
        open(&log, &host).await.unwrap();
        assert!(log.is_open());
        let placed: Vec<Logged> = (0..3).map(|_| log.append(&Event::Evidence).unwrap()).collect();
        assert!(log.kept_now(3).await);
        placed
    };
    let (verified, placed) = LocalSet::new().run_until(async { tokio::join!(working, asking) }).await;
    assert_eq!(verified.signed().size, 4);
    for logged in placed {
        let receipt = signer.sign(&body(logged)).unwrap();
        let receipt = verify(&receipt, &signer.public_key_spki()).unwrap();
        assert_eq!(verified.holds(&Seen::by_receipt(&receipt).unwrap()), Ok(()));
    }
}

fn body(logged: Logged) -> ReceiptBody {
    ReceiptBody {
        boot: BOOT,
        sequence: 0,
        issued_at: adyton_attestation::Timestamp::from_millis(0),
        request: [0; 32],
        response: [0; 32],
        chunks: 1,
        response_bytes: 1,
        weights: [0; 32],
        manifest: [0; 48],
        policy: [0; 32],
        principal: [0; 32],
        verdicts: Vec::new(),
        status: AnswerStatus::Complete,
        simulated: true,
        logged: Some(logged),
    }
}

#[tokio::test]
async fn what_was_not_acknowledged_is_sent_again() {
    let (host, log) = (Host::new("again"), log(&signer()));
    let working = async {
        let (mut stream, _) = host.accept(Status::Stored).await;
        let (first, _) = batch_of(&mut stream).await;
        acknowledge(&mut stream, 1).await;
        let (second, _) = batch_of(&mut stream).await;
        // Killed before it could answer.
        drop(stream);
        let (mut stream, hello) = host.accept(Status::Stored).await;
        assert_eq!(hello.stored, first.len() as u64);
        let (again, _) = batch_of(&mut stream).await;
        assert_eq!(again[..second.len()], second);
        acknowledge(&mut stream, 1 + again.len() as u64).await;
        stream
    };
    let asking = async {
        open(&log, &host).await.unwrap();
        let index = log.append(&Event::Evidence).unwrap().index;
        // Whoever has nothing to lose yet is refused at once; whoever waits gets it.
        assert!(!log.kept_now(index).await);
        assert!(!log.is_open());
        assert!(log.kept(index).await);
        assert!(log.is_open());
    };
    LocalSet::new().run_until(async { tokio::join!(working, asking) }).await;
}

#[tokio::test]
async fn a_host_that_lost_entries_or_has_no_room_does_not_open_the_log() {
    for (status, expected) in [(Status::Lost, Trouble::Lost), (Status::Disk, Trouble::Disk)] {
        let (host, log) = (Host::new(&format!("{status:?}")), log(&signer()));
        let opened =
            LocalSet::new().run_until(async { tokio::join!(host.accept(status), open(&log, &host)).1 }).await;
        assert!(matches!(opened, Err(AuditError::NotKept(trouble)) if trouble == expected));
        assert!(!log.is_open());
    }
}

#[tokio::test]
async fn an_acknowledgement_of_another_number_is_none() {
    let (host, log) = (Host::new("number"), log(&signer()));
    let working = async {
        let (mut stream, _) = host.accept(Status::Stored).await;
        batch_of(&mut stream).await;
        acknowledge(&mut stream, 2).await;
        stream
    };
    let opened = LocalSet::new().run_until(async { tokio::join!(working, open(&log, &host)).1 }).await;
    assert!(matches!(opened, Err(AuditError::NotKept(Trouble::Malformed))));
}

#[test]
fn what_waits_is_bounded_and_what_was_refused_is_counted() {
    let log = log(&signer());
    let mut appended = 0u64;
    while log.append(&Event::Evidence).is_some() {
        appended += 1;
    }
    assert!(appended > 1000);
    assert_eq!(log.next(), appended);
    let book = log.book.borrow();
    assert!(book.pending_bytes < MAX_PENDING + 1024);
    assert_eq!(book.refused, 1);
}

//! What the system tests share: a world, a client in it, and relays that misbehave.

use adyton_client::audit::Auditor;
use adyton_client::chat::{Answered, ChatError, Question, chat};
use adyton_client::session::{AttestedSession, ConnectError, Policy, Target, connect};
use adyton_tests::world::{AUDIT_FOLDER, Plan, World, default_model};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

/// Longer than anything here takes; a test that reaches it has found a hang.
pub(crate) const HANG: Duration = Duration::from_secs(60);

/// An ordinary world.
pub(crate) fn world() -> World {
    World::start(&plan()).unwrap()
}

/// The plan of an ordinary world.
pub(crate) fn plan() -> Plan {
    Plan::new(default_model().unwrap())
}

/// A question whose answer is long; greedy, so always the same.
pub(crate) fn question(max_tokens: u32) -> Question {
    Question {
        prompt: "Write a long story about a dragon who learns to cook.".into(),
        max_tokens: Some(max_tokens),
        temperature: Some(0.0),
        ..Question::default()
    }
}

/// Connects and asks, through `target` instead of the world's own address.
pub(crate) async fn ask_through(world: &World, target: Target, asked: &Question) -> Result<Answered, String> {
    let whole = async {
        let session = connect(&target, &world.policy().unwrap()).await.map_err(|e| e.to_string())?;
        ask(world, &session, asked).await.map_err(|e| e.to_string())
    };
    tokio::time::timeout(HANG, whole).await.expect("the client hangs")
}

/// Asks over a session with an ordinary token.
pub(crate) async fn ask(
    world: &World,
    session: &AttestedSession,
    asked: &Question,
) -> Result<Answered, ChatError> {
    ask_as(world, session, &world.chat_token().unwrap(), asked).await
}

/// Asks with a token.
pub(crate) async fn ask_as(
    world: &World,
    session: &AttestedSession,
    token: &str,
    asked: &Question,
) -> Result<Answered, ChatError> {
    let anchor = world.anchor().unwrap();
    let asking = chat(session, &anchor, Some(token), asked, |_| ());
    tokio::time::timeout(HANG, asking).await.expect("the client hangs")
}

/// A session under the world's own policy.
pub(crate) async fn session(world: &World) -> AttestedSession {
    connect(&world.target(), &world.policy().unwrap()).await.unwrap()
}

/// Why a policy refuses the world's enclave.
pub(crate) async fn refused(target: &Target, policy: &Policy) -> adyton_attestation::appraisal::Refusal {
    match connect(target, policy).await.map(|_| ()) {
        Err(ConnectError::Refused { refusal, .. }) => *refusal,
        other => panic!("expected refused evidence, got {other:?}"),
    }
}

/// What a relay does to the bytes that pass it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mischief {
    /// Nothing.
    None,
    /// Flips a bit of the byte at this position from the client.
    FlipUp(usize),
    /// Flips a bit of the byte at this position to the client.
    FlipDown(usize),
    /// Closes both sides after so many bytes to the client.
    Cut(usize),
}

/// A relay between client and host. Keeps what passes it.
pub(crate) struct Relay {
    /// Where it listens.
    pub(crate) target: Target,
    /// What came from the client.
    pub(crate) said: Arc<Mutex<Vec<u8>>>,
    /// What went to the client.
    pub(crate) heard: Arc<Mutex<Vec<u8>>>,
}

/// Starts a relay for one connection.
pub(crate) async fn relay(world: &World, mischief: Mischief) -> Relay {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = Target::Tcp(listener.local_addr().unwrap().to_string());
    let (said, heard) = (Arc::new(Mutex::default()), Arc::new(Mutex::default()));
    let (upward, downward) = (Arc::clone(&said), Arc::clone(&heard));
    let host = world.address().to_owned();
    tokio::spawn(async move {
        let (client, _) = listener.accept().await.unwrap();
        let (from_client, to_client) = client.into_split();
        let (from_host, to_host) = TcpStream::connect(host).await.unwrap().into_split();
        let (flip_up, flip_down, cut) = match mischief {
            Mischief::None => (None, None, None),
            Mischief::FlipUp(at) => (Some(at), None, None),
            Mischief::FlipDown(at) => (None, Some(at), None),
            Mischief::Cut(at) => (None, None, Some(at)),
        };
        tokio::select! {
            () = pass(from_client, to_host, flip_up, None, upward) => (),
            () = pass(from_host, to_client, flip_down, cut, downward) => (),
        }
    });
    Relay { target, said, heard }
}

async fn pass(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    flip: Option<usize>,
    cut: Option<usize>,
    transcript: Arc<Mutex<Vec<u8>>>,
) {
    let mut buffer = [0; 4096];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        let before = {
            let mut transcript = transcript.lock().unwrap();
            transcript.extend_from_slice(&buffer[..read]);
            transcript.len() - read
        };
        if let Some(at) = flip.filter(|at| (before..before + read).contains(at)) {
            buffer[at - before] ^= 1;
        }
        let end = cut.map_or(read, |at| at.saturating_sub(before).min(read));
        if to.write_all(&buffer[..end]).await.is_err() || end < read {
            return;
        }
    }
}

/// A world whose audit log can be read: an auditor's key stands in it.
pub(crate) fn audited(plan: Plan) -> World {
    let (auditor, key) = Auditor::generate().unwrap();
    let auditors = json!([{ "name": "ann", "x25519": hex::encode(auditor.public()) }]).to_string();
    let world = World::start(&Plan { auditors, ..plan }).unwrap();
    std::fs::write(world.path("auditor.key"), key.as_bytes()).unwrap();
    world
}

/// The entries in the log of an [`audited`] world, up to the last one that somebody has waited for.
pub(crate) fn entries(world: &World) -> Vec<Value> {
    let mut show = world.client().unwrap();
    show.args(["--json", "audit", "show"]).arg(world.path(AUDIT_FOLDER));
    let shown = show.arg("--auditor-key").arg(world.path("auditor.key")).output().unwrap();
    assert!(shown.status.success(), "{}", String::from_utf8_lossy(&shown.stderr));
    let lines = String::from_utf8(shown.stdout).unwrap();
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

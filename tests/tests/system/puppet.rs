//! The other end of `adyton-sim-puppet`: what a worker says that has been taken over, and what it hears.

use crate::support::{HANG, audited, entries};
use adyton_tests::world::{MODEL_NAME, Plan, World, program};
use adyton_wire::control::{
    Account, Action, Decision, Denial, GrantId, ToSentinel, ToWorker, Token, Told, Wish,
};
use serde_json::Value;
use std::path::Path;
use std::time::Instant;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

/// The program.
pub(crate) const PUPPET: &str = "adyton-sim-puppet";

/// A world whose worker obeys. An auditor's key is in `auditor.key`.
pub(crate) fn puppets(policy: Vec<(&'static str, String)>) -> World {
    let worker = program(PUPPET).unwrap().display().to_string();
    // Nobody reads the weights: any file will do.
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    let enclave_arguments = vec!["--worker".into(), worker];
    audited(Plan { enclave_arguments, policy, ..Plan::new(model) })
}

/// The entries of one kind.
pub(crate) fn of<'a>(entries: &'a [Value], kind: &str) -> Vec<&'a Value> {
    entries.iter().filter(|entry| entry["kind"] == kind).collect()
}

/// Waits until the entries on disk are as wanted, and returns them.
pub(crate) async fn entries_with(world: &World, wanted: impl Fn(&[Value]) -> bool) -> Vec<Value> {
    let found = async {
        loop {
            let entries = entries(world);
            if wanted(&entries) {
                return entries;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(HANG, found).await.expect("the entries do not come")
}

/// A request for text.
pub(crate) fn generate(purpose: &str, max_tokens: u32) -> Action {
    Action::Generate {
        model: MODEL_NAME.into(),
        purpose: purpose.into(),
        max_tokens,
        prompt_bytes: 10,
        request: [7; 32],
        untrusted: false,
        held: Vec::new(),
    }
}

/// What an honest worker might say of an answer.
pub(crate) fn account() -> Account {
    Account {
        request: [1; 32],
        response: [2; 32],
        chunks: 1,
        response_bytes: 10,
        verdicts: vec![("input".into(), "pass".into())],
        complete: true,
        screened: adyton_wire::control::Screened::default(),
    }
}

/// A token of somebody who chats.
pub(crate) fn token(world: &World, subject: &str, clearance: u8) -> String {
    world.token_of(subject, &["chat"], clearance, 0, 3600).unwrap()
}

/// A datagram as an honest worker would encode it.
pub(crate) fn encoded(message: &ToSentinel) -> Vec<u8> {
    postcard::to_stdvec(message).unwrap()
}

/// `Ask` as a datagram's message.
pub(crate) fn question(id: u64, token: &str, attested: bool, action: Action) -> ToSentinel {
    ToSentinel::Ask { id, token: Token(token.as_bytes().to_vec()), attested, session: 1, action }
}

/// What the worker hears.
pub(crate) struct Ear(OwnedReadHalf);

/// What it says.
pub(crate) struct Mouth(OwnedWriteHalf);

/// A worker, spoken through.
pub(crate) struct Puppet {
    /// Its ear.
    pub(crate) ear: Ear,
    /// Its mouth.
    pub(crate) mouth: Mouth,
    next: u64,
    /// The latest lease that came, in milliseconds, and when.
    pub(crate) lease: Option<(u32, Instant)>,
}

impl Ear {
    /// The next message; `None` when the worker is gone.
    pub(crate) async fn hear(&mut self) -> Option<ToWorker> {
        let heard = async {
            let length = self.0.read_u32().await?;
            let mut bytes = vec![0; length as usize];
            self.0.read_exact(&mut bytes).await?;
            std::io::Result::Ok(bytes)
        };
        let bytes = tokio::time::timeout(HANG, heard).await.expect("the sentinel hangs").ok()?;
        Some(postcard::from_bytes(&bytes).unwrap())
    }
}

impl Mouth {
    /// Sends one datagram. A worker that is gone is seen by its ear.
    pub(crate) async fn raw(&mut self, datagram: &[u8]) {
        let _ = self.0.write_u32(u32::try_from(datagram.len()).unwrap()).await;
        let _ = self.0.write_all(datagram).await;
    }

    /// Sends one message.
    pub(crate) async fn say(&mut self, message: &ToSentinel) {
        self.raw(&encoded(message)).await;
    }
}

impl Puppet {
    /// The worker that runs now.
    pub(crate) async fn connect(world: &World) -> Puppet {
        let stream = TcpStream::connect(world.address()).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (ear, mouth) = stream.into_split();
        Puppet { ear: Ear(ear), mouth: Mouth(mouth), next: 1, lease: None }
    }

    /// The worker that was started after another one ended: it answers.
    pub(crate) async fn another(world: &World) -> Puppet {
        let answers = async {
            loop {
                let mut puppet = Puppet::connect(world).await;
                if puppet.try_ask("", false, Action::ListModels).await.is_some() {
                    return puppet;
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(HANG, answers).await.expect("no worker was started again")
    }

    /// The answer that `pick` takes; `None` when the worker is gone. Leases are noted, all else is passed over.
    async fn answer<T>(&mut self, pick: impl Fn(ToWorker) -> Option<T>) -> Option<T> {
        loop {
            match self.ear.hear().await? {
                ToWorker::Lease { valid_for_ms } => self.lease = Some((valid_for_ms, Instant::now())),
                other => match pick(other) {
                    Some(found) => return Some(found),
                    None => continue,
                },
            }
        }
    }

    fn id(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Asks; `None` when the worker is gone.
    pub(crate) async fn try_ask(&mut self, token: &str, attested: bool, action: Action) -> Option<Decision> {
        let id = self.id();
        self.mouth.say(&question(id, token, attested, action)).await;
        let mine = |heard| match heard {
            ToWorker::Decision(of, decision) if of == id => Some(decision),
            _ => None,
        };
        self.answer(mine).await
    }

    /// Asks as a client without evidence.
    pub(crate) async fn ask(&mut self, token: &str, action: Action) -> Decision {
        self.try_ask(token, false, action).await.expect("the worker is gone")
    }

    /// Asks for what must be granted.
    pub(crate) async fn grant(&mut self, token: &str, action: Action) -> GrantId {
        match self.ask(token, action).await {
            Decision::Granted { grant, .. } => grant,
            other => panic!("{other:?}"),
        }
    }

    /// Asks for a receipt. `Some(None)` if there is none, `None` when the worker is gone.
    pub(crate) async fn try_seal(&mut self, grant: GrantId, account: Account) -> Option<Option<Vec<u8>>> {
        let id = self.id();
        self.mouth.say(&ToSentinel::Seal { id, grant, account }).await;
        let mine = |heard| match heard {
            ToWorker::Receipt(of, receipt) if of == id => Some(receipt),
            _ => None,
        };
        self.answer(mine).await
    }

    /// Asks for a receipt; whether there was one.
    pub(crate) async fn seal(&mut self, grant: GrantId, account: Account) -> bool {
        self.try_seal(grant, account).await.expect("the worker is gone").is_some()
    }

    /// Asks for what is for approvers.
    pub(crate) async fn people(&mut self, token: &str, wish: Wish) -> Result<Told, Denial> {
        let (id, token) = (self.id(), Token(token.as_bytes().to_vec()));
        self.mouth.say(&ToSentinel::People { id, token, attested: true, wish }).await;
        let mine = |heard| match heard {
            ToWorker::People(of, told) if of == id => Some(told),
            _ => None,
        };
        self.answer(mine).await.expect("the worker is gone")
    }

    /// Waits until the worker is gone.
    pub(crate) async fn gone(mut self) {
        while self.ear.hear().await.is_some() {}
    }
}

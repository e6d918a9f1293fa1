//! How the worker asks the sentinel: evidence, grants, receipts. The only way out of the worker but its sockets.

use crate::lease::Lease;
use adyton_wire::channel::{Channel, ChannelError};
use adyton_wire::control::{
    Account, Action, Decision, Denial, GrantId, RequestId, ToSentinel, ToWorker, Token,
};
use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

/// How long the sentinel may take to answer. It decides in microseconds; evidence takes some milliseconds.
const PATIENCE: Duration = Duration::from_secs(10);
/// Most sockets that were handed over and not yet taken.
const MAX_ARRIVING: usize = 64;

/// The sentinel did not answer: it is gone, and so is this process in a moment.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("the sentinel does not answer")]
pub struct Silent;

/// Having a `Grant` tells you that the sentinel permitted one generation. Good once: whoever generates takes it by
/// value and gets a [`Spent`] back.
///
/// ```compile_fail,E0451
/// let forged = adyton_enclave::gate::Grant { id: todo!(), max_tokens: 1, until: todo!() };
/// ```
#[derive(Debug)]
pub struct Grant {
    id: GrantId,
    max_tokens: u32,
    until: Instant,
}

impl Grant {
    /// Most tokens under this grant.
    pub fn max_tokens(&self) -> u32 {
        self.max_tokens
    }

    /// Begins to use the grant.
    pub fn spend(self) -> Spent {
        Spent { id: self.id, until: self.until }
    }
}

/// A grant in use. A receipt can be had for it once.
#[derive(Debug)]
pub struct Spent {
    id: GrantId,
    until: Instant,
}

impl Spent {
    /// When the work under the grant must be over.
    pub fn until(&self) -> Instant {
        self.until
    }
}

enum Waiting {
    Evidence(oneshot::Sender<Option<Vec<u8>>>),
    Decision(oneshot::Sender<Decision>),
    Receipt(oneshot::Sender<Option<Vec<u8>>>),
}

/// The worker's end of the control channel.
pub struct Gate {
    channel: Arc<Channel>,
    waiting: Arc<Mutex<HashMap<RequestId, Waiting>>>,
    next: AtomicU64,
}

impl Gate {
    /// Takes the channel after the `Start` message. Returns the gate, and the sockets of clients as they come.
    /// Ends the stream of sockets when the sentinel is gone.
    pub fn open(channel: Channel, lease: Arc<Lease>) -> (Gate, mpsc::Receiver<OwnedFd>) {
        let (sockets, incoming) = mpsc::channel(MAX_ARRIVING);
        let channel = Arc::new(channel);
        let waiting = Arc::new(Mutex::new(HashMap::new()));
        tokio::spawn(listen(Arc::clone(&channel), Arc::clone(&waiting), Arc::clone(&lease), sockets));
        (Gate { channel, waiting, next: AtomicU64::new(0) }, incoming)
    }

    /// Tells the sentinel that clients may come.
    ///
    /// # Errors
    /// If the sentinel is gone.
    pub async fn ready(&self, spki: Vec<u8>) -> Result<(), ChannelError> {
        self.channel.send(&ToSentinel::Ready { spki }, &[]).await
    }

    /// Evidence for one connection; `None` if the NSM is busy.
    ///
    /// # Errors
    /// [`Silent`] if the sentinel is gone.
    pub async fn evidence(&self, nonce: [u8; 32], exporter: &[u8]) -> Result<Option<Vec<u8>>, Silent> {
        let exporter = exporter.to_vec();
        self.ask(Waiting::Evidence, |id| ToSentinel::Evidence { id, nonce, exporter }).await
    }

    /// Asks for a grant.
    ///
    /// # Errors
    /// The outer error if the sentinel is gone, the inner one if it says no.
    pub async fn grant(
        &self,
        token: Token,
        attested: bool,
        action: Action,
    ) -> Result<Result<Grant, Denial>, Silent> {
        let decision =
            self.ask(Waiting::Decision, |id| ToSentinel::Ask { id, token, attested, action }).await?;
        Ok(match decision {
            Decision::Denied(denial) => Err(denial),
            Decision::Granted { grant, max_tokens, valid_for_ms } => {
                let until = Instant::now() + Duration::from_millis(u64::from(valid_for_ms));
                Ok(Grant { id: grant, max_tokens, until })
            }
        })
    }

    /// Asks for the receipt of what was done under a grant. `None` if the sentinel refuses.
    ///
    /// # Errors
    /// [`Silent`] if the sentinel is gone.
    pub async fn seal(&self, spent: Spent, account: Account) -> Result<Option<Vec<u8>>, Silent> {
        self.ask(Waiting::Receipt, |id| ToSentinel::Seal { id, grant: spent.id, account }).await
    }

    async fn ask<T>(
        &self,
        kind: impl FnOnce(oneshot::Sender<T>) -> Waiting,
        message: impl FnOnce(RequestId) -> ToSentinel,
    ) -> Result<T, Silent> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, answer) = oneshot::channel();
        self.waiting.lock().map_err(|_| Silent)?.insert(id, kind(sender));
        let sent = timeout(PATIENCE, self.channel.send(&message(id), &[])).await;
        sent.map_err(|_late| Silent)?.map_err(|_| Silent)?;
        match timeout(PATIENCE, answer).await {
            Ok(answer) => answer.map_err(|_| Silent),
            Err(_late) => Err(Silent),
        }
    }
}

async fn listen(
    channel: Arc<Channel>,
    waiting: Arc<Mutex<HashMap<RequestId, Waiting>>>,
    lease: Arc<Lease>,
    sockets: mpsc::Sender<OwnedFd>,
) {
    loop {
        let Ok((message, mut descriptors)) = channel.receive::<ToWorker>().await else { break };
        match message {
            ToWorker::Lease { valid_for_ms } => {
                lease.renew(Instant::now(), Duration::from_millis(u64::from(valid_for_ms)));
            }
            ToWorker::Connection => {
                let Some(socket) = descriptors.pop() else { break };
                // Full means that connections come faster than they are taken: this one is dropped, which closes it.
                let _ = sockets.try_send(socket);
            }
            ToWorker::Start { .. } => break,
            ToWorker::Evidence(id, document) => answer(&waiting, id, |w| match w {
                Waiting::Evidence(sender) => drop(sender.send(document)),
                Waiting::Decision(_) | Waiting::Receipt(_) => {}
            }),
            ToWorker::Decision(id, decision) => answer(&waiting, id, |w| match w {
                Waiting::Decision(sender) => drop(sender.send(decision)),
                Waiting::Evidence(_) | Waiting::Receipt(_) => {}
            }),
            ToWorker::Receipt(id, receipt) => answer(&waiting, id, |w| match w {
                Waiting::Receipt(sender) => drop(sender.send(receipt)),
                Waiting::Evidence(_) | Waiting::Decision(_) => {}
            }),
        }
    }
    // Whoever waits learns that nobody will answer; the lease ends now, not in two seconds.
    lease.withdraw();
    if let Ok(mut waiting) = waiting.lock() {
        waiting.clear();
    }
}

fn answer(waiting: &Mutex<HashMap<RequestId, Waiting>>, id: RequestId, deliver: impl FnOnce(Waiting)) {
    if let Some(who) = waiting.lock().ok().and_then(|mut waiting| waiting.remove(&id)) {
        deliver(who);
    }
}

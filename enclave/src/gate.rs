//! How the worker asks the sentinel: evidence, grants, receipts. The only way out of the worker but its sockets.

use crate::lease::Lease;
use adyton_guardrail::Disclosed;
use adyton_wire::channel::Channel;
use adyton_wire::control::{
    Account, Action, Decision, Denial, GrantId, NoStatistic, RequestId, Screened, Statistic, ToSentinel,
    ToWorker, Token, Told, Wish,
};
use adyton_wire::lookup::{Lookup, SignedLookup};
use adyton_wire::stores::Password;
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

/// Whose request the sentinel is asked about.
#[derive(Clone, Debug)]
pub struct Asker {
    /// The client's bearer token, unread.
    pub token: Token,
    /// Whether the client proved to be an enclave of `peers.json`.
    pub attested: bool,
    /// Its connection.
    pub session: u64,
}

/// Why there is no grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotGranted {
    /// There is none.
    Denied(Denial),
    /// Persons must approve first.
    Held {
        /// Which hold.
        hold: [u8; 16],
        /// How many more it takes.
        missing: u8,
        /// How long it stays open.
        ends_in: Duration,
    },
}

/// Having a `Grant` tells you that the sentinel permitted one generation. Good once: whoever generates takes it by
/// value and gets a [`Spent`] back. Dropped unused, it goes back to the sentinel.
///
/// ```compile_fail,E0451
/// let forged = adyton_enclave::gate::Grant { held: todo!(), max_tokens: 1, until: todo!(), principal: [0; 32], section: 0 };
/// ```
#[derive(Debug)]
pub struct Grant {
    held: Held,
    max_tokens: u32,
    until: Instant,
    principal: [u8; 32],
    section: u16,
}

impl Grant {
    /// The section of the guardrail settings by which text under it is screened.
    pub fn section(&self) -> u16 {
        self.section
    }

    /// Gives it back, because the guardrail refused what it was for.
    pub fn refuse(mut self, screened: Screened) {
        self.held.screened = screened;
    }

    /// The pseudonym of whoever it was given to.
    pub fn principal(&self) -> [u8; 32] {
        self.principal
    }

    /// Most tokens under this grant.
    pub fn max_tokens(&self) -> u32 {
        self.max_tokens
    }

    /// Begins to use the grant.
    pub fn spend(self) -> Spent {
        Spent { held: self.held, until: self.until }
    }
}

/// A grant in use. A receipt can be had for it once.
#[derive(Debug)]
pub struct Spent {
    held: Held,
    until: Instant,
}

impl Spent {
    /// Names the grant, for what is asked while it is in use.
    pub fn id(&self) -> GrantId {
        self.held.id
    }

    /// When the work under the grant must be over.
    pub fn until(&self) -> Instant {
        self.until
    }
}

/// A grant's name. Gives it back when dropped, unless a receipt was asked for, which uses it up.
#[derive(Debug)]
struct Held {
    id: GrantId,
    outgoing: mpsc::UnboundedSender<ToSentinel>,
    used_up: bool,
    screened: Screened,
}

impl Held {
    fn new(id: GrantId, outgoing: &mpsc::UnboundedSender<ToSentinel>) -> Held {
        Held { id, outgoing: outgoing.clone(), used_up: false, screened: Screened::default() }
    }

    fn use_up(mut self) -> GrantId {
        self.used_up = true;
        self.id
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if !self.used_up {
            // If the sentinel is gone, so are its grants.
            let _ = self.outgoing.send(ToSentinel::Release { grant: self.id, screened: self.screened });
        }
    }
}

/// Having a `Passage` tells you that the sentinel permitted one call of a tool and has opened the way to it. Good once.
///
/// ```compile_fail,E0451
/// let forged = adyton_enclave::gate::Passage { held: todo!(), socket: todo!() };
/// ```
#[derive(Debug)]
pub struct Passage {
    held: Held,
    socket: OwnedFd,
}

/// What came of a passage is to be told. Dropped untold, the grant goes back.
#[derive(Debug)]
pub struct Report(Held);

impl Passage {
    /// The socket to call over, and the duty to report.
    pub fn open(self) -> (OwnedFd, Report) {
        (self.socket, Report(self.held))
    }
}

impl Report {
    /// Tells the sentinel of a result of so many bytes, or that there was none.
    pub fn tell(self, bytes: Option<usize>) {
        let outgoing = self.0.outgoing.clone();
        let grant = self.0.use_up();
        let length = u32::try_from(bytes.unwrap_or(0)).unwrap_or(u32::MAX);
        // If the sentinel is gone, nobody keeps books any more.
        let _ = outgoing.send(ToSentinel::Called { grant, bytes: length, came: bytes.is_some() });
    }
}

/// Having a `Ticket` tells you that the sentinel permitted one look-up in a collection, or the writing of one document, within the
/// limits that it signed. Good once.
///
/// ```compile_fail,E0451
/// let forged = adyton_enclave::gate::Ticket { held: todo!(), signed: todo!(), lookup: todo!(), section: 0, connection: None };
/// ```
#[derive(Debug)]
pub struct Ticket {
    held: Held,
    signed: SignedLookup,
    lookup: Lookup,
    section: u16,
    connection: Option<(OwnedFd, Password)>,
}

impl Ticket {
    /// What it permits.
    pub fn lookup(&self) -> &Lookup {
        &self.lookup
    }

    /// The same, for a store that believes nothing but the sentinel's keyed hash.
    pub fn signed(&self) -> &SignedLookup {
        &self.signed
    }

    /// The section of the guardrail settings by which passages are screened.
    pub fn section(&self) -> u16 {
        self.section
    }

    /// The socket that came with it, if a connection was asked for, and what to log in with. Once.
    pub fn connection(&mut self) -> Option<(OwnedFd, Password)> {
        self.connection.take()
    }

    /// Tells the sentinel what came of it: the passages' names, their size, and how many were read and not used.
    /// `None` if the store did not answer.
    pub fn tell(self, found: Option<(Vec<[u8; 16]>, usize, usize)>) {
        let outgoing = self.held.outgoing.clone();
        let grant = self.held.use_up();
        let came = found.is_some();
        let (passages, bytes, dropped) = found.unwrap_or_default();
        let bounded = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let (bytes, dropped) = (bounded(bytes), bounded(dropped));
        // If the sentinel is gone, nobody keeps books any more.
        let _ = outgoing.send(ToSentinel::LookedUp { grant, passages, bytes, dropped, came });
    }
}

enum Waiting {
    Evidence(oneshot::Sender<Option<Vec<u8>>>),
    Decision(oneshot::Sender<(Decision, Option<OwnedFd>)>),
    Receipt(oneshot::Sender<Option<Vec<u8>>>),
    People(oneshot::Sender<Result<Told, Denial>>),
    Disclosed(oneshot::Sender<bool>),
    Statistic(oneshot::Sender<Result<Statistic, NoStatistic>>),
}

/// The worker's end of the control channel.
pub struct Gate {
    // Unbounded, but bounded by nature: each entry belongs to a request under way.
    outgoing: mpsc::UnboundedSender<ToSentinel>,
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
        let (outgoing, messages) = mpsc::unbounded_channel();
        tokio::spawn(speak(channel, messages));
        (Gate { outgoing, waiting, next: AtomicU64::new(0) }, incoming)
    }

    /// Tells the sentinel that clients may come.
    ///
    /// # Errors
    /// If the sentinel is gone.
    pub fn ready(&self, spki: Vec<u8>) -> Result<(), Silent> {
        self.outgoing.send(ToSentinel::Ready { spki }).map_err(|_| Silent)
    }

    /// Evidence for one connection; `None` if the NSM is busy.
    ///
    /// # Errors
    /// [`Silent`] if the sentinel is gone.
    pub async fn evidence(&self, nonce: [u8; 32], exporter: &[u8]) -> Result<Option<Vec<u8>>, Silent> {
        let exporter = exporter.to_vec();
        self.ask(Waiting::Evidence, |id| ToSentinel::Evidence { id, nonce, exporter }).await
    }

    /// Asks for the right to generate.
    ///
    /// # Errors
    /// The outer error if the sentinel is gone, the inner one if it does not say yes.
    pub async fn grant(&self, asker: Asker, action: Action) -> Result<Result<Grant, NotGranted>, Silent> {
        match self.decide(asker, action).await?.0 {
            Decision::Denied(denial) => Ok(Err(NotGranted::Denied(denial))),
            Decision::Held { hold, missing, ends_in_ms } => {
                let ends_in = Duration::from_millis(u64::from(ends_in_ms));
                Ok(Err(NotGranted::Held { hold, missing, ends_in }))
            }
            Decision::Permitted | Decision::LookUp { .. } => Err(Silent),
            Decision::Granted { grant, principal, max_tokens, valid_for_ms, section } => {
                let held = Held::new(grant, &self.outgoing);
                let until = Instant::now() + Duration::from_millis(u64::from(valid_for_ms));
                Ok(Ok(Grant { held, max_tokens, until, principal, section }))
            }
        }
    }

    /// Asks for the right to call a tool, and the way to it.
    ///
    /// # Errors
    /// As [`Gate::grant`].
    pub async fn passage(&self, asker: Asker, action: Action) -> Result<Result<Passage, NotGranted>, Silent> {
        match self.decide(asker, action).await? {
            (Decision::Denied(denial), _) => Ok(Err(NotGranted::Denied(denial))),
            (Decision::Held { hold, missing, ends_in_ms }, _) => {
                let ends_in = Duration::from_millis(u64::from(ends_in_ms));
                Ok(Err(NotGranted::Held { hold, missing, ends_in }))
            }
            (Decision::Granted { grant, .. }, Some(socket)) => {
                let held = Held::new(grant, &self.outgoing);
                Ok(Ok(Passage { held, socket }))
            }
            (Decision::Granted { .. } | Decision::Permitted | Decision::LookUp { .. }, _) => Err(Silent),
        }
    }

    /// Asks for the right to read or write a collection.
    ///
    /// # Errors
    /// As [`Gate::grant`].
    pub async fn ticket(&self, asker: Asker, action: Action) -> Result<Result<Ticket, NotGranted>, Silent> {
        let (decision, socket) = self.decide(asker, action).await?;
        match decision {
            Decision::Denied(denial) => Ok(Err(NotGranted::Denied(denial))),
            Decision::Held { hold, missing, ends_in_ms } => {
                let ends_in = Duration::from_millis(u64::from(ends_in_ms));
                Ok(Err(NotGranted::Held { hold, missing, ends_in }))
            }
            Decision::LookUp { grant, signed, section, password } => {
                let lookup = signed.lookup().map_err(|_| Silent)?;
                let held = Held::new(grant, &self.outgoing);
                Ok(Ok(Ticket { held, signed, lookup, section, connection: socket.zip(password) }))
            }
            Decision::Granted { .. } | Decision::Permitted => Err(Silent),
        }
    }

    /// Asks whether something may be done that leaves nothing to seal.
    ///
    /// # Errors
    /// The outer error if the sentinel is gone, the inner one if it says no.
    pub async fn permit(&self, asker: Asker, action: Action) -> Result<Result<(), Denial>, Silent> {
        match self.decide(asker, action).await?.0 {
            Decision::Denied(denial) => Ok(Err(denial)),
            Decision::Permitted => Ok(Ok(())),
            Decision::Granted { .. } | Decision::LookUp { .. } | Decision::Held { .. } => Err(Silent),
        }
    }

    /// Asks for what only approvers may have or do.
    ///
    /// # Errors
    /// As [`Gate::permit`].
    pub async fn people(&self, asker: Asker, wish: Wish) -> Result<Result<Told, Denial>, Silent> {
        let Asker { token, attested, .. } = asker;
        self.ask(Waiting::People, |id| ToSentinel::People { id, token, attested, wish }).await
    }

    /// Asks for a release of a metric, for so many thousandths of epsilon.
    ///
    /// # Errors
    /// The outer error if the sentinel is gone, the inner one if it says no.
    pub async fn statistic(
        &self,
        asker: Asker,
        (metric, purpose): (String, String),
        epsilon_milli: u32,
    ) -> Result<Result<Statistic, NoStatistic>, Silent> {
        let Asker { token, attested, .. } = asker;
        let message = |id| ToSentinel::Statistic { id, token, attested, metric, purpose, epsilon_milli };
        self.ask(Waiting::Statistic, message).await
    }

    async fn decide(&self, asker: Asker, action: Action) -> Result<(Decision, Option<OwnedFd>), Silent> {
        let Asker { token, attested, session } = asker;
        self.ask(Waiting::Decision, |id| ToSentinel::Ask { id, token, attested, session, action }).await
    }

    /// Asks whether text under a grant in use may leave that has these passages of protected documents in it. Silence is a no.
    pub async fn disclose(&self, grant: GrantId, passages: &[Disclosed]) -> bool {
        let passages = passages.iter().map(|one| (one.document, one.fingerprint)).collect();
        let asked = self.ask(Waiting::Disclosed, |id| ToSentinel::Disclose { id, grant, passages });
        asked.await.unwrap_or(false)
    }

    /// Asks for the receipt of what was done under a grant. `None` if the sentinel refuses.
    ///
    /// # Errors
    /// [`Silent`] if the sentinel is gone.
    pub async fn seal(&self, spent: Spent, account: Account) -> Result<Option<Vec<u8>>, Silent> {
        let grant = spent.held.use_up();
        self.ask(Waiting::Receipt, |id| ToSentinel::Seal { id, grant, account }).await
    }

    async fn ask<T>(
        &self,
        kind: impl FnOnce(oneshot::Sender<T>) -> Waiting,
        message: impl FnOnce(RequestId) -> ToSentinel,
    ) -> Result<T, Silent> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, answer) = oneshot::channel();
        self.waiting.lock().map_err(|_| Silent)?.insert(id, kind(sender));
        self.outgoing.send(message(id)).map_err(|_| Silent)?;
        match timeout(PATIENCE, answer).await {
            Ok(answer) => answer.map_err(|_| Silent),
            Err(_late) => {
                self.waiting.lock().map_err(|_| Silent)?.remove(&id);
                Err(Silent)
            }
        }
    }
}

/// Sends what is asked, in order, until the sentinel is gone.
async fn speak(channel: Arc<Channel>, mut messages: mpsc::UnboundedReceiver<ToSentinel>) {
    while let Some(message) = messages.recv().await {
        if channel.send(&message, &[]).await.is_err() {
            return;
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
            ToWorker::Evidence(id, document) => answer(&waiting, id, |w| {
                if let Waiting::Evidence(sender) = w {
                    drop(sender.send(document))
                }
            }),
            ToWorker::Decision(id, decision) => answer(&waiting, id, |w| {
                if let Waiting::Decision(sender) = w {
                    drop(sender.send((decision, descriptors.pop())))
                }
            }),
            ToWorker::Receipt(id, receipt) => answer(&waiting, id, |w| {
                if let Waiting::Receipt(sender) = w {
                    drop(sender.send(receipt))
                }
            }),
            ToWorker::Disclosed(id, allowed) => answer(&waiting, id, |w| {
                if let Waiting::Disclosed(sender) = w {
                    // Whoever asked may have hung up.
                    let _ = sender.send(allowed);
                }
            }),
            ToWorker::Statistic(id, told) => answer(&waiting, id, |w| {
                if let Waiting::Statistic(sender) = w {
                    let _ = sender.send(told);
                }
            }),
            ToWorker::People(id, told) => answer(&waiting, id, |w| {
                if let Waiting::People(sender) = w {
                    drop(sender.send(told))
                }
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

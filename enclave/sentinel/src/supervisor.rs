//! Starts the worker, hands it sockets, answers it, renews its lease, and ends it.
//!
//! Promises
//! - The worker gets descriptors one by one and has no other way to the outside.
//! - A worker that breaks the protocol, or was stopped by its seccomp filter, is not started again: the
//!   enclave ends and stays closed until its owner starts it anew.
//! - A worker that merely crashed while it served is started again at most [`MAX_RESTARTS`] times, and so is one that was killed
//!   where that changed nothing, because the AI was offline already.
//! - Where the AI is offline the worker has no lease; it is withdrawn in the moment in which that is decided.
//! - A grant and a receipt reach the worker after their entries in the audit log are on the host's disk, or not at all.
//! - When the worker ends, every client's socket ends with it: nobody else holds one.

use crate::audit::event::Event;
use crate::desk::{Asked, Desk, Due, Found, Paid, WantedStatistic};
use crate::egress;
use crate::notary::Notary;
use crate::release::Release;
use crate::transport::{Accepted, Listener, Transport};
use crate::watch::LESSONS;
use adyton_attestation::binding::{EXPORTER_LEN, Role, SessionBinding, spki_sha384};
use adyton_wire::channel::{self, Channel, ChannelError};
use adyton_wire::control::{Decision, Denial, NoStatistic, Screened, ToSentinel, ToWorker};
use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::rc::Rc;
use std::time::Duration;
use thiserror::Error;
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio::time::{interval, timeout};

/// How long a lease is good. A hung sentinel means closed after this time.
const LEASE: Duration = Duration::from_secs(2);
/// How often it is renewed: three renewals may be late before it ends.
const RENEW: Duration = Duration::from_millis(500);
/// How long the worker may take to load the model.
const READY_TIMEOUT: Duration = Duration::from_secs(300);
/// How long the worker may leave its channel unread.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);
/// How often a crashed worker is started again in the life of an enclave.
pub const MAX_RESTARTS: u32 = 3;
/// Most connections whose `CONNECT` line is still to be read.
const MAX_PENDING: usize = 64;
/// SIGSYS on Linux: what a seccomp filter that kills sends.
const SIGSYS: i32 = 31;

/// Which program the worker is.
#[derive(Clone, Debug)]
pub struct WorkerProgram {
    /// Its path.
    pub path: PathBuf,
    /// Its whole environment.
    pub environment: Vec<(String, String)>,
    /// Whether its standard error is ours. Nowhere but in a simulation: it would be a way out for a broken worker.
    pub may_speak: bool,
    /// The user and the group that it becomes. Another one than the sentinel's has none of its rights; a simulation has none
    /// to give.
    pub user: Option<u32>,
}

/// Why the worker ended.
#[derive(Debug, Error)]
pub enum WorkerEnd {
    /// It could not be started.
    #[error("the worker could not be started: {0}")]
    Start(io::Error),
    /// It did not become ready.
    #[error("the worker was not ready in time")]
    NotReady,
    /// It ended by itself or by a signal.
    #[error("the worker ended: {0}")]
    Ended(ExitStatus),
    /// It broke the protocol.
    #[error("the worker broke the control protocol: {0}")]
    Protocol(ChannelError),
    /// It did not read its channel.
    #[error("the worker hung")]
    Hung,
    /// It was killed: by order, or because it used grants that it did not have. Another one answers `offline`.
    #[error("the worker was killed")]
    Killed,
    /// Connections can no longer be accepted.
    #[error("the listener failed: {0}")]
    Listener(io::Error),
}

impl WorkerEnd {
    /// True if the worker may be started again: it crashed, and nothing points to an attack.
    fn may_restart(&self) -> bool {
        match self {
            WorkerEnd::Ended(status) => status.signal() != Some(SIGSYS),
            WorkerEnd::Hung | WorkerEnd::Killed => true,
            WorkerEnd::Start(_) | WorkerEnd::NotReady | WorkerEnd::Protocol(_) | WorkerEnd::Listener(_) => {
                false
            }
        }
    }

    /// For the audit log.
    fn word(&self) -> &'static str {
        match self {
            WorkerEnd::Start(_) => "not started",
            WorkerEnd::NotReady => "not ready",
            WorkerEnd::Ended(status) if status.signal() == Some(SIGSYS) => "seccomp",
            WorkerEnd::Ended(_) => "ended",
            WorkerEnd::Protocol(_) => "protocol",
            WorkerEnd::Hung => "hung",
            WorkerEnd::Killed => "killed",
            WorkerEnd::Listener(_) => "listener",
        }
    }
}

/// Everything that outlives a worker.
pub struct Supervisor {
    /// Decisions and receipts. Shared with what waits for the audit log.
    pub desk: Rc<RefCell<Desk>>,
    /// Evidence.
    pub notary: Notary,
    /// What the worker loads.
    pub release: Release,
    /// The worker.
    pub program: WorkerProgram,
    /// The way to the host, for what is granted to leave.
    pub transport: Transport,
}

impl Supervisor {
    /// Runs workers until one ends in a way after which none may be started.
    /// `listen` is called once, when the first worker is ready.
    pub async fn run(&mut self, listen: impl FnOnce() -> io::Result<Listener>) -> WorkerEnd {
        let mut listen = Some(listen);
        let mut listener = None;
        let mut restarts = 0;
        loop {
            // One that does not become ready would not the next time either: it has the same release.
            let mut worker = match self.start().await {
                Ok(worker) => worker,
                Err(end) => return self.ended(end, false),
            };
            self.note(&Event::WorkerReady { spki: worker.spki_sha384 });
            if let Some(listen) = listen.take() {
                match listen() {
                    Ok(open) => listener = Some(open),
                    Err(e) => return self.ended(WorkerEnd::Listener(e), false),
                }
            }
            let epoch = self.desk.borrow().epoch();
            self.desk.borrow().metrics().worker_ready();
            let end = match &listener {
                Some(listener) => self.serve(&mut worker, listener).await,
                None => return WorkerEnd::NotReady,
            };
            drop(worker);
            self.desk.borrow_mut().revoke_all();
            // A kill that a quorum ordered, or that takes the AI offline until there is one, is a new state, and no crash.
            let killed = matches!(end, WorkerEnd::Killed) && self.desk.borrow().epoch() != epoch;
            let again = end.may_restart() && (killed || restarts < MAX_RESTARTS);
            let end = self.ended(end, again);
            if !again {
                return end;
            }
            restarts += u32::from(!killed);
            eprintln!("sentinel: {end}; starting it again ({restarts} of {MAX_RESTARTS})");
        }
    }

    /// Records that a worker is gone.
    fn ended(&self, end: WorkerEnd, again: bool) -> WorkerEnd {
        self.desk.borrow().metrics().worker_ended(again);
        self.note(&Event::WorkerEnded { reason: end.word(), again });
        end
    }

    /// Records what happens whether it can be recorded or not. What finds no room is counted by the log.
    fn note(&self, event: &Event<'_>) {
        self.desk.borrow().log().append(event);
    }

    /// Starts a worker and waits until it has loaded the model.
    async fn start(&self) -> Result<Worker, WorkerEnd> {
        let (ours, theirs) = channel::pair().map_err(WorkerEnd::Start)?;
        // The channel is the worker's standard input: the one descriptor that every process is born with.
        let mut command = Command::new(&self.program.path);
        if let Some(user) = self.program.user {
            command.uid(user).gid(user);
        }
        let child = command
            .env_clear()
            .envs(self.program.environment.iter().cloned())
            .stdin(theirs)
            .stdout(Stdio::null())
            .stderr(if self.program.may_speak { Stdio::inherit() } else { Stdio::null() })
            .kill_on_drop(true)
            .spawn()
            .map_err(WorkerEnd::Start)?;
        // It holds the worker's end of the channel, which must end with the worker.
        drop(command);
        let channel = Rc::new(Channel::new(ours).map_err(WorkerEnd::Start)?);
        let mut worker = Worker { child, channel, spki_sha384: [0; 48], leased: Cell::new(false) };
        let start = ToWorker::Start {
            guardrails: self.release.text("guardrails.toml"),
            peers: self.release.text("peers.json"),
            tools: self.desk.borrow().tools().list(),
            stores: self.desk.borrow().stores().clone(),
        };
        let Release { weights, manifest_file, protected_file, encoder, .. } = &self.release;
        let mut files = vec![weights.as_fd(), manifest_file.as_fd(), protected_file.as_fd()];
        if let Some(encoder) = encoder {
            files.extend([encoder.weights.as_fd(), encoder.tokenizer.as_fd()]);
        }
        worker.send(&start, &files).await?;
        let hello = timeout(READY_TIMEOUT, worker.channel.receive::<ToSentinel>());
        match hello.await.map_err(|_| WorkerEnd::NotReady)? {
            Ok((ToSentinel::Ready { spki }, _)) => worker.spki_sha384 = spki_sha384(&spki),
            Ok(_) => return Err(WorkerEnd::Protocol(ChannelError::Malformed)),
            Err(ChannelError::Closed) => return Err(worker.ended().await),
            Err(e) => return Err(WorkerEnd::Protocol(e)),
        }
        Ok(worker)
    }

    /// Serves one worker until it ends. Dropping it kills it.
    async fn serve(&mut self, worker: &mut Worker, listener: &Listener) -> WorkerEnd {
        let (handed, mut sockets) = mpsc::channel::<OwnedFd>(MAX_PENDING);
        let (mut renew, mut lessons) = (interval(RENEW), interval(LESSONS));
        loop {
            let outcome = tokio::select! {
                _ = renew.tick() => self.lease(worker).await,
                _ = lessons.tick() => { self.learn(); Ok(()) }
                accepted = listener.accept() => match accepted {
                    Ok(accepted) => { prepare(accepted, handed.clone()); Ok(()) }
                    Err(e) if is_passing(&e) => Ok(()),
                    Err(e) => Err(WorkerEnd::Listener(e)),
                },
                Some(socket) = sockets.recv() => {
                    worker.send(&ToWorker::Connection, &[socket.as_fd()]).await
                }
                message = worker.channel.receive::<ToSentinel>() => match message {
                    Ok((message, _)) => self.answer(worker, message).await,
                    Err(ChannelError::Closed) => Err(worker.ended().await),
                    Err(e) => Err(WorkerEnd::Protocol(e)),
                },
                status = worker.child.wait() => Err(status.map_or_else(WorkerEnd::Start, WorkerEnd::Ended)),
            };
            if let Err(end) = outcome {
                return end;
            }
        }
    }

    /// Renews the lease, or says that there is none.
    async fn lease(&self, worker: &Worker) -> Result<(), WorkerEnd> {
        let online = self.desk.borrow().is_online();
        worker.leased.set(online);
        let lease = if online { LEASE } else { Duration::ZERO };
        let valid_for_ms = u32::try_from(lease.as_millis()).unwrap_or(0);
        worker.send(&ToWorker::Lease { valid_for_ms }, &[]).await
    }

    /// Lets behaviour learn, beside the main loop, if there is something to learn.
    fn learn(&self) {
        let now = self.desk.borrow().clock().now();
        let Some(lesson) = self.desk.borrow_mut().watch().lesson(now) else { return };
        let desk = Rc::clone(&self.desk);
        tokio::task::spawn_local(async move {
            // A lesson that fails leaves the baseline as it is; the next one is due in a period.
            if let Ok(Ok(learned)) = tokio::task::spawn_blocking(move || lesson.learn()).await {
                desk.borrow_mut().watch().adopt(learned);
            }
        });
    }

    /// Answers one message; then the worker learns of a change of the state, if there was one.
    async fn answer(&mut self, worker: &Worker, message: ToSentinel) -> Result<(), WorkerEnd> {
        self.reply(worker, message).await?;
        let kill = self.desk.borrow_mut().must_kill();
        if kill {
            return Err(WorkerEnd::Killed);
        }
        self.reflect(worker).await
    }

    /// Tells the worker of a change of the state, if it has not been told.
    async fn reflect(&self, worker: &Worker) -> Result<(), WorkerEnd> {
        if self.desk.borrow().is_online() == worker.leased.get() { Ok(()) } else { self.lease(worker).await }
    }

    async fn reply(&mut self, worker: &Worker, message: ToSentinel) -> Result<(), WorkerEnd> {
        match message {
            ToSentinel::Ready { .. } => return Err(WorkerEnd::Protocol(ChannelError::Malformed)),
            ToSentinel::Ask { id, token, attested, session, action } => {
                let asked = Asked { token: &token, attested, session, action: &action };
                let decided = self.desk.borrow_mut().decide(&asked);
                match decided {
                    (decision, Some(due)) => self.grant_when_kept(worker, id, decision, due),
                    (decision, None) => return worker.send(&ToWorker::Decision(id, decision), &[]).await,
                }
            }
            ToSentinel::People { id, token, attested, wish } => {
                let told = self.desk.borrow_mut().hear(&token, attested, &wish);
                // Whoever is told that the state has changed finds it changed.
                self.reflect(worker).await?;
                return worker.send(&ToWorker::People(id, told), &[]).await;
            }
            ToSentinel::Statistic { id, token, attested, metric, purpose, epsilon_milli } => {
                let wanted = WantedStatistic { metric, purpose, epsilon_milli };
                let paid = self.desk.borrow_mut().pay(&token, attested, &wanted);
                match paid {
                    Ok(paid) => self.release_when_kept(worker, id, paid),
                    Err(why) => return worker.send(&ToWorker::Statistic(id, Err(why)), &[]).await,
                }
            }
            ToSentinel::Called { grant, bytes, came } => self.desk.borrow_mut().called(grant, bytes, came),
            ToSentinel::Disclose { id, grant, passages } => {
                let allowed = self.desk.borrow_mut().disclose(grant, &passages);
                return worker.send(&ToWorker::Disclosed(id, allowed), &[]).await;
            }
            ToSentinel::LookedUp { grant, passages, bytes, dropped, came } => {
                self.desk.borrow_mut().looked_up(grant, &Found { passages, bytes, dropped, came });
            }
            ToSentinel::Release { grant, screened } => self.desk.borrow_mut().release(grant, screened),
            ToSentinel::Seal { id, grant, account } => {
                let sealed = self.desk.borrow_mut().seal(grant, account);
                match sealed {
                    Some((receipt, entry)) => self.seal_when_kept(worker, id, receipt, entry),
                    None => return worker.send(&ToWorker::Receipt(id, None), &[]).await,
                }
            }
            ToSentinel::Evidence { id, nonce, exporter } => {
                let exporter: [u8; EXPORTER_LEN] =
                    exporter.try_into().map_err(|_| WorkerEnd::Protocol(ChannelError::Malformed))?;
                self.note(&Event::Evidence);
                self.desk.borrow().metrics().evidence();
                self.attest(worker, id, nonce, exporter);
            }
        }
        Ok(())
    }

    /// Hands a grant over once its entry is on the host's disk, with a socket to where it reaches if it reaches anywhere;
    /// takes it back if either is not in time.
    fn grant_when_kept(&self, worker: &Worker, id: u64, decision: Decision, due: Due) {
        let Due { entry, reach } = due;
        let (desk, channel) = (Rc::clone(&self.desk), Rc::clone(&worker.channel));
        let (log, transport) = (desk.borrow().log().clone(), self.transport.clone());
        let metrics = desk.borrow().metrics().clone();
        tokio::task::spawn_local(async move {
            let kept = log.kept_now(entry).await;
            let reaches = reach.is_some();
            let socket = match reach.filter(|_| kept) {
                Some(reach) => egress::open(&transport, reach).await,
                None => None,
            };
            let decision = if kept && socket.is_some() == reaches {
                metrics.granted();
                decision
            } else {
                if let Decision::Granted { grant, .. } | Decision::LookUp { grant, .. } = decision {
                    desk.borrow_mut().release(grant, Screened::default());
                }
                if !kept {
                    log.refuse();
                }
                let denial = if kept { Denial::Unreachable } else { Denial::AuditUnavailable };
                metrics.denied(denial);
                Decision::Denied(denial)
            };
            let sockets: Vec<BorrowedFd<'_>> = socket.iter().map(OwnedFd::as_fd).collect();
            // If the worker is gone, the main loop sees it.
            let _ = channel.send(&ToWorker::Decision(id, decision), &sockets).await;
        });
    }

    /// Releases a metric once the entry of what it costs is on the host's disk. What is not kept is spent all the same.
    fn release_when_kept(&self, worker: &Worker, id: u64, paid: Paid) {
        let (desk, channel) = (Rc::clone(&self.desk), Rc::clone(&worker.channel));
        let log = desk.borrow().log().clone();
        tokio::task::spawn_local(async move {
            let released = if log.kept_now(paid.entry).await {
                desk.borrow_mut().statistic(paid)
            } else {
                log.refuse();
                Err(NoStatistic::Denied(Denial::AuditUnavailable))
            };
            let _ = channel.send(&ToWorker::Statistic(id, released), &[]).await;
        });
    }

    /// Hands a receipt over once its entry is on the host's disk.
    fn seal_when_kept(&self, worker: &Worker, id: u64, receipt: Vec<u8>, entry: u64) {
        let (log, channel) = (self.desk.borrow().log().clone(), Rc::clone(&worker.channel));
        tokio::task::spawn_local(async move {
            let receipt = log.kept(entry).await.then_some(receipt);
            let _ = channel.send(&ToWorker::Receipt(id, receipt), &[]).await;
        });
    }

    /// Asks the NSM in the background; decisions need not wait for it.
    fn attest(&self, worker: &Worker, id: u64, nonce: [u8; 32], exporter: [u8; EXPORTER_LEN]) {
        let binding = SessionBinding {
            role: Role::Enclave,
            exporter,
            spki_sha384: worker.spki_sha384,
            manifest_sha384: self.release.manifest_sha384,
        };
        let (notary, channel) = (self.notary.clone(), Rc::clone(&worker.channel));
        let key = self.desk.borrow().receipt_key().to_vec();
        tokio::task::spawn_local(async move {
            let document = notary.attest(binding.user_data(), nonce, key).await;
            // If the worker is gone, the main loop sees it.
            let _ = channel.send(&ToWorker::Evidence(id, document), &[]).await;
        });
    }
}

struct Worker {
    child: Child,
    channel: Rc<Channel>,
    spki_sha384: [u8; 48],
    /// Whether it was last told that it has a lease.
    leased: Cell<bool>,
}

impl Worker {
    async fn send(&self, message: &ToWorker, descriptors: &[BorrowedFd<'_>]) -> Result<(), WorkerEnd> {
        match timeout(SEND_TIMEOUT, self.channel.send(message, descriptors)).await {
            // The wait for the child tells how it ended.
            Ok(Ok(()) | Err(ChannelError::Closed)) => Ok(()),
            Ok(Err(e)) => Err(WorkerEnd::Protocol(e)),
            Err(_late) => Err(WorkerEnd::Hung),
        }
    }

    /// The channel is closed: how did the process end? One that closed the channel and lives on is killed.
    async fn ended(&mut self) -> WorkerEnd {
        match timeout(SEND_TIMEOUT, self.child.wait()).await {
            Ok(Ok(status)) => WorkerEnd::Ended(status),
            Ok(Err(e)) => WorkerEnd::Start(e),
            Err(_lives_on) => WorkerEnd::Hung,
        }
    }
}

/// Reads the `CONNECT` line beside the main loop. Over the bound the connection is dropped, which closes it.
fn prepare(accepted: Accepted, handed: mpsc::Sender<OwnedFd>) {
    let Ok(place) = handed.try_reserve_owned() else { return };
    tokio::task::spawn_local(async move {
        if let Ok(socket) = accepted.into_socket().await {
            place.send(socket);
        }
    });
}

/// Errors of `accept` that concern one connection and not the listener.
fn is_passing(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted)
}

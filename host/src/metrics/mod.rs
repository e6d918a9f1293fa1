//! The operator's view: what the enclave tells of itself, beside what the host counts, for Prometheus.
//!
//! Promises
//! - Every name and every word is fixed in the source; the rest is numbers. What the enclave says is bounded and
//!   cannot add a line.
//! - What is old is not shown as present: without a fresh snapshot the enclave is down, and its numbers are left out.
//!
//! Does not: vouch for anything. Whoever reads this page reads what the host says, and the enclave's numbers came
//! over a bus on which the host may say anything too.
//!
//! Trusts: nobody; a snapshot is of one size, and of two connections the later one counts.

mod page;
mod server;
mod text;

pub use server::Server;

use crate::audit::Disk;
use crate::enclave::Stream;
use crate::relay::Counters;
use adyton_wire::metrics::{SNAPSHOT_LEN, Snapshot, State};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::io::AsyncReadExt;
use tokio::sync::watch;

/// A snapshot that is older says nothing of now. They come each second: four may be late.
const FRESH: Duration = Duration::from_secs(5);

/// What is known of the enclave and of this host.
#[derive(Debug)]
pub struct Board {
    since: Instant,
    relay: Arc<Counters>,
    disk: Arc<Disk>,
    enclave: Mutex<Enclave>,
    /// The state in the last snapshot, for whoever waits for another.
    state: watch::Sender<Option<State>>,
}

/// How an enclave is, as far as it says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// It says that it is online.
    Online,
    /// It has said something else, or nothing for a while.
    Other,
    /// It has said nothing since it was started.
    Unknown,
}

/// What the enclave has said.
#[derive(Debug, Default)]
struct Enclave {
    last: Option<Seen>,
    /// The last snapshot was of the boot that runs now.
    current: bool,
    /// The number of the connection that counts: the latest.
    connection: u64,
    boots: u64,
}

/// The last snapshot.
#[derive(Clone, Copy, Debug)]
struct Seen {
    snapshot: Snapshot,
    at: Instant,
    /// The connection that it came on is still there.
    connected: bool,
}

impl Seen {
    /// Whether it says something of `now`.
    fn fresh(&self, now: Instant) -> bool {
        self.connected && now.saturating_duration_since(self.at) < FRESH
    }
}

impl Board {
    /// Nothing is known of the enclave yet.
    pub fn new(relay: Arc<Counters>, disk: Arc<Disk>) -> Board {
        let state = watch::Sender::new(None);
        Board { since: Instant::now(), relay, disk, enclave: Mutex::default(), state }
    }

    /// What state the enclave says it is in, and when that changes. As little to be believed as the rest.
    pub fn states(&self) -> watch::Receiver<Option<State>> {
        self.state.subscribe()
    }

    /// Takes snapshots from one connection until it ends, or a later one comes.
    ///
    /// # Errors
    /// If the connection breaks or speaks another protocol.
    pub async fn take(&self, mut stream: Box<dyn Stream>) -> io::Result<()> {
        let connection = self.begin();
        let taken = loop {
            let mut bytes = [0; SNAPSHOT_LEN];
            match stream.read_exact(&mut bytes).await {
                Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => break Ok(()),
                Err(e) => break Err(e),
                Ok(_) => {}
            }
            match Snapshot::decode(&bytes) {
                Ok(snapshot) if self.note(connection, snapshot) => {}
                Ok(_superseded) => break Ok(()),
                Err(e) => break Err(io::Error::new(io::ErrorKind::InvalidData, e)),
            }
        };
        self.end(connection);
        taken
    }

    /// How the enclave is, as of `now`.
    pub fn health(&self, now: Instant) -> Health {
        let enclave = self.lock();
        match enclave.last.filter(|_| enclave.current) {
            None => Health::Unknown,
            Some(last) => match last.snapshot.state {
                State::Online if last.fresh(now) => Health::Online,
                _ => Health::Other,
            },
        }
    }

    /// The enclave has ended: what it said says nothing of the next one.
    pub(crate) fn forget(&self) {
        let mut enclave = self.lock();
        // Whoever still sends snapshots of the old boot is not listened to.
        enclave.connection += 1;
        enclave.current = false;
        if let Some(last) = &mut enclave.last {
            last.connected = false;
        }
        self.state.send_if_modified(|state| state.take().is_some());
    }

    /// One snapshot on a connection of its own that stays.
    #[cfg(test)]
    pub(crate) fn said(&self, snapshot: Snapshot) {
        let connection = self.begin();
        self.note(connection, snapshot);
    }

    /// The page for Prometheus, as of `now`.
    pub fn page(&self, now: Instant) -> String {
        page::write(self, now)
    }

    fn begin(&self) -> u64 {
        let mut enclave = self.lock();
        enclave.connection += 1;
        enclave.connection
    }

    /// False if a later connection has come.
    fn note(&self, connection: u64, snapshot: Snapshot) -> bool {
        let mut enclave = self.lock();
        if enclave.connection != connection {
            return false;
        }
        // Time that goes back is another boot's.
        if enclave.last.is_none_or(|last| snapshot.uptime_s < last.snapshot.uptime_s) {
            enclave.boots += 1;
        }
        enclave.last = Some(Seen { snapshot, at: Instant::now(), connected: true });
        enclave.current = true;
        let now = Some(snapshot.state);
        self.state.send_if_modified(|state| std::mem::replace(state, now) != now);
        true
    }

    fn end(&self, connection: u64) {
        let mut enclave = self.lock();
        if enclave.connection == connection
            && let Some(last) = &mut enclave.last
        {
            last.connected = false;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Enclave> {
        // Whoever panicked with the lock left whole numbers behind.
        self.enclave.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;

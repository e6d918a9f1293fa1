//! The audit log: every decision and its outcome, hashed into a tree, sealed to auditors, and kept by the
//! host.
//!
//! ```text
//! event -> entry + salt -> leaf -> tree -> root in the receipt
//!                     \-> record -> pending -> host's disk -> acknowledged -> the receipt may leave
//! ```
//!
//! Promises
//! - An entry has its place and its leaf in the tree before anybody learns of what it records.
//! - [`Log::kept`] is true only after the host has said that the entry, and all before it, are on disk.
//!   Whoever waits for it lets go of nothing that could be lost.
//! - Memory is bounded ([`MAX_PENDING`]): where no more can be kept, nothing more is appended, and the caller
//!   must refuse.
//! - A host that has lost what it acknowledged closes the log for good.
//!
//! Does not: keep a host from acknowledging what it does not store. Roots in receipts tell, later: see
//! `adyton_attestation::audit::verify`.
//!
//! Source: RFC 9162; `docs/audit.md`.

pub mod auditors;
pub mod event;
mod writer;

use crate::clock::Clock;
use crate::transport::Transport;
use adyton_attestation::audit::entry::Entry;
use adyton_attestation::audit::record::{Record, SALT_LEN};
use adyton_attestation::audit::sign_checkpoint;
use adyton_attestation::receipt::{Logged, ReceiptSigner};
use adyton_attestation::transparency::{Checkpoint, Frontier};
use adyton_wire::audit::{Kind, encode_frame_header};
use event::Event;
use ring::rand::{SecureRandom, SystemRandom};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::sync::{Notify, watch};
use tokio::time::timeout;

/// Most bytes that wait for the host. Some ten thousand entries of one auditor.
pub const MAX_PENDING: usize = 8 << 20;
/// How long whoever waits for an entry waits. Below the worker's patience (10 s, `enclave/src/gate.rs`).
const KEEP_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the host may take to keep the first entry; it may start after the enclave.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// Why the host does not keep the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Trouble {
    /// Nobody listens.
    #[error("the host's audit port could not be reached; start the host with --audit")]
    Unreachable,
    /// The connection broke.
    #[error("the host's audit port closed the connection")]
    Broken,
    /// No answer in time.
    #[error("the host did not acknowledge entries in time; its disk may hang")]
    Slow,
    /// The host says that its disk does not take them.
    #[error("the host's disk is full or fails; make room in the folder of its audit log")]
    Disk,
    /// Another connection of this boot is still open.
    #[error("the host still serves an earlier connection of this log")]
    Busy,
    /// The host has fewer entries than it acknowledged.
    #[error("the host has lost entries that it acknowledged; this log can never be continued")]
    Lost,
    /// Other answers than the protocol has.
    #[error("the host's answers on the audit port are malformed")]
    Malformed,
}

/// Why the enclave did not start.
#[derive(Debug, Error)]
pub enum AuditError {
    /// The first entry was not kept.
    #[error("the audit log cannot be kept: {0}")]
    NotKept(Trouble),
    /// The NSM gave no document.
    #[error("the security module gave no document for the audit log")]
    Document,
    /// An entry could not be made.
    #[error("an entry of the audit log could not be made")]
    Entry,
}

/// How far the host is.
#[derive(Clone, Copy, Debug)]
struct State {
    /// Entries on its disk.
    stored: u64,
    /// Why it does not take more; none while it does.
    trouble: Option<Trouble>,
}

/// The log of this boot. Clones are the same log.
#[derive(Clone, Debug)]
pub struct Log {
    book: Rc<RefCell<Book>>,
    wake: Rc<Notify>,
    state: Rc<watch::Sender<State>>,
}

impl Log {
    /// An empty log, kept by nobody yet.
    pub fn new(boot: [u8; 16], signer: Rc<ReceiptSigner>, auditors: Vec<[u8; 32]>, clock: Arc<Clock>) -> Log {
        let book = Book {
            boot,
            signer,
            auditors,
            clock,
            random: SystemRandom::new(),
            tree: Frontier::default(),
            pending: VecDeque::new(),
            pending_bytes: 0,
            stored: 0,
            refused: 0,
        };
        let state = State { stored: 0, trouble: Some(Trouble::Unreachable) };
        Log {
            book: Rc::new(RefCell::new(book)),
            wake: Rc::default(),
            state: Rc::new(watch::channel(state).0),
        }
    }

    /// Records the start and hands everything to the host from now on. Returns when the first entry is on
    /// disk.
    ///
    /// # Errors
    /// [`AuditError::NotKept`] if the host does not keep it: then nothing may start.
    pub async fn open(
        &self,
        transport: &Transport,
        document: &[u8],
        boot: &Event<'_>,
    ) -> Result<(), AuditError> {
        let first = self.append(boot).ok_or(AuditError::Entry)?.index;
        let document = frame(Kind::Document, document).ok_or(AuditError::Document)?;
        tokio::task::spawn_local(writer::run(self.clone(), transport.clone(), document));
        let mut state = self.state.subscribe();
        let hopeless = |trouble| matches!(trouble, Trouble::Disk | Trouble::Lost | Trouble::Malformed);
        let settled = state.wait_for(|s| s.stored > first || s.trouble.is_some_and(hopeless));
        let waited = timeout(START_TIMEOUT, settled).await;
        let stored = waited.is_ok_and(|state| state.is_ok_and(|state| state.stored > first));
        let trouble = self.state.borrow().trouble;
        if stored { Ok(()) } else { Err(AuditError::NotKept(trouble.unwrap_or(Trouble::Slow))) }
    }

    /// True while the host keeps what it is given.
    pub fn is_open(&self) -> bool {
        self.state.borrow().trouble.is_none()
    }

    /// As if a host kept everything.
    #[cfg(test)]
    pub(crate) fn open_for_tests(&self) {
        self.state.send_replace(State { stored: u64::MAX, trouble: None });
    }

    /// The index of the next entry.
    pub fn next(&self) -> u64 {
        self.book.borrow().tree.size()
    }

    /// How many entries the host has acknowledged, and how many it has not.
    pub fn progress(&self) -> (u64, u64) {
        let book = self.book.borrow();
        (book.stored, book.tree.size().saturating_sub(book.stored))
    }

    /// Appends an entry. `None` if no more can wait for the host: then what it records must not happen.
    pub fn append(&self, event: &Event<'_>) -> Option<Logged> {
        let appended = self.book.borrow_mut().append(event);
        self.wake.notify_one();
        appended
    }

    /// Counts something that was refused without an entry of its own.
    pub fn refuse(&self) {
        let mut book = self.book.borrow_mut();
        book.refused = book.refused.saturating_add(1);
    }

    /// Waits until an entry is on disk. False if it is not in time.
    pub async fn kept(&self, index: u64) -> bool {
        let mut state = self.state.subscribe();
        timeout(KEEP_TIMEOUT, state.wait_for(|s| s.stored > index)).await.is_ok_and(|state| state.is_ok())
    }

    /// The same, and false as soon as the host is in trouble.
    pub async fn kept_now(&self, index: u64) -> bool {
        let mut state = self.state.subscribe();
        let settled = state.wait_for(|s| s.stored > index || s.trouble.is_some());
        let waited = timeout(KEEP_TIMEOUT, settled).await;
        waited.is_ok_and(|state| state.is_ok_and(|state| state.stored > index))
    }

    fn acknowledged(&self, size: u64) {
        self.book.borrow_mut().acknowledged(size);
        self.state.send_replace(State { stored: size, trouble: None });
        if self.book.borrow().refused > 0 {
            self.record_refused();
        }
    }

    /// Records an interruption, and how much was refused in it.
    fn record_refused(&self) {
        let refused = std::mem::take(&mut self.book.borrow_mut().refused);
        // No more can wait: then the count goes on.
        if self.append(&Event::Interrupted { refused }).is_none() {
            let mut book = self.book.borrow_mut();
            book.refused = book.refused.saturating_add(refused);
        }
    }

    fn troubled(&self, trouble: Trouble) {
        self.state.send_modify(|state| state.trouble = Some(trouble));
    }
}

/// The tree, and what the host has not acknowledged.
struct Book {
    boot: [u8; 16],
    signer: Rc<ReceiptSigner>,
    auditors: Vec<[u8; 32]>,
    clock: Arc<Clock>,
    random: SystemRandom,
    tree: Frontier,
    /// Frames of entries; the first is entry `stored`.
    pending: VecDeque<Vec<u8>>,
    pending_bytes: usize,
    stored: u64,
    /// Things refused without an entry, since the last `interrupted`.
    refused: u64,
}

impl std::fmt::Debug for Book {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Book({} entries, {} stored)", self.tree.size(), self.stored)
    }
}

impl Book {
    fn append(&mut self, event: &Event<'_>) -> Option<Logged> {
        if self.pending_bytes >= MAX_PENDING {
            self.refused = self.refused.saturating_add(1);
            return None;
        }
        let (kind, principal, details) = event.parts();
        let (boot, index, at) = (self.boot, self.tree.size(), self.clock.now());
        let entry = Entry { boot, index, at, principal, kind: kind.to_owned(), details };
        let mut salt = [0; SALT_LEN];
        self.random.fill(&mut salt).ok()?;
        let record = Record::make(&entry, &salt, &self.auditors, &self.random).ok()?;
        let frame = frame(Kind::Entry, &record.encode())?;
        self.pending_bytes = self.pending_bytes.saturating_add(frame.len());
        self.pending.push_back(frame);
        self.tree.push(record.leaf);
        Some(Logged { index, root: self.tree.root() })
    }

    /// What the host has not been sent after `sent` entries, with a checkpoint over everything, and how many
    /// entries there are then. `None` if there is nothing new.
    fn batch(&self, sent: u64) -> Option<(Vec<u8>, u64)> {
        let size = self.tree.size();
        if size == sent {
            return None;
        }
        let skip = usize::try_from(sent.checked_sub(self.stored)?).ok()?;
        let checkpoint = Checkpoint { size, root: self.tree.root() };
        let text = sign_checkpoint(&checkpoint, &self.boot, &self.signer).ok()?;
        let mut bytes: Vec<u8> = self.pending.iter().skip(skip).flatten().copied().collect();
        bytes.extend(frame(Kind::Checkpoint, text.as_bytes())?);
        Some((bytes, size))
    }

    fn acknowledged(&mut self, size: u64) {
        while self.stored < size {
            let Some(frame) = self.pending.pop_front() else { break };
            self.pending_bytes = self.pending_bytes.saturating_sub(frame.len());
            self.stored = self.stored.saturating_add(1);
        }
    }
}

/// A frame's bytes. `None` over the limit, which nothing that we write reaches.
fn frame(kind: Kind, body: &[u8]) -> Option<Vec<u8>> {
    let length = u32::try_from(body.len()).ok().filter(|length| *length <= adyton_wire::audit::MAX_BODY)?;
    let mut out = encode_frame_header(kind, length).to_vec();
    out.extend_from_slice(body);
    Some(out)
}

#[cfg(test)]
mod tests;

//! Hands entries to the host and notes what it acknowledges. The only one who speaks on the audit port.
//!
//! Entries that come while the host syncs go together in the next batch, under one checkpoint. After any
//! trouble the connection is made anew, and what was not acknowledged is sent again.
//!
//! Trusts: nothing that the host answers but that entries are on its disk, which it alone can know.

use super::{Log, Trouble};
use crate::transport::{Stream, Transport};
use adyton_wire::audit::{ANSWER_LEN, Hello, Status, decode_answer};
use adyton_wire::blob::WRITE_PIECE;
use adyton_wire::ports::AUDIT_PORT;
use std::future::Future;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{sleep, timeout};

/// How long the host may take to connect, and to keep a batch.
const HOST_TIMEOUT: Duration = Duration::from_secs(5);
/// Pause between two tries to reach it.
const PAUSE: Duration = Duration::from_millis(250);

/// Runs until the host has lost what it acknowledged, which nothing repairs. `document` is a frame.
pub(super) async fn run(log: Log, transport: Transport, document: Vec<u8>) {
    let mut told = Some(Trouble::Unreachable);
    loop {
        let trouble = match connection(&log, &transport, &document).await {
            Ok(never) => match never {},
            Err(trouble) => trouble,
        };
        // What worked and works no more is told once, not at each try.
        if log.is_open() || told != Some(trouble) {
            eprintln!("sentinel: audit log: {trouble}");
        }
        told = Some(trouble);
        log.troubled(trouble);
        if trouble == Trouble::Lost {
            return;
        }
        sleep(PAUSE).await;
        log.note_interruption();
    }
}

async fn connection(
    log: &Log,
    transport: &Transport,
    document: &[u8],
) -> Result<std::convert::Infallible, Trouble> {
    let connected = timeout(HOST_TIMEOUT, transport.connect(AUDIT_PORT)).await;
    let mut host = connected.map_err(|_| Trouble::Slow)?.map_err(|_| Trouble::Unreachable)?;
    let (boot, stored) = log.place();
    let hello = Hello { boot, stored }.encode();
    exchange(&mut host, &hello, stored).await?;
    if stored == 0 {
        in_time(write(&mut host, document)).await?;
    }
    let mut sent = stored;
    loop {
        let batch = log.book.borrow().batch(sent);
        let Some((bytes, size)) = batch else {
            tokio::select! {
                () = log.wake.notified() => continue,
                // The host says nothing unasked: this is its end.
                _ = host.read_u8() => return Err(Trouble::Broken),
            }
        };
        exchange(&mut host, &bytes, size).await?;
        sent = size;
        log.acknowledged(size);
    }
}

/// Sends bytes and waits for the answer that so many entries are stored.
async fn exchange(host: &mut Box<dyn Stream>, bytes: &[u8], size: u64) -> Result<(), Trouble> {
    // A host whose disk fails answers in the middle of what it is sent, and closes: the answer counts, not
    // the failed write.
    let written = in_time(write(host, bytes)).await;
    let mut answer = [0; ANSWER_LEN];
    let read = in_time(host.read_exact(&mut answer)).await;
    match (written, read) {
        (_, Ok(_)) => {}
        (Err(trouble), Err(_)) | (Ok(()), Err(trouble)) => return Err(trouble),
    }
    match decode_answer(&answer) {
        Ok((Status::Stored, entries)) if entries == size => Ok(()),
        Ok((Status::Disk, _)) => Err(Trouble::Disk),
        Ok((Status::Lost, _)) => Err(Trouble::Lost),
        Ok((Status::Busy, _)) => Err(Trouble::Busy),
        Ok((Status::Stored, _)) | Err(_) => Err(Trouble::Malformed),
    }
}

async fn write(host: &mut Box<dyn Stream>, bytes: &[u8]) -> io::Result<()> {
    for piece in bytes.chunks(WRITE_PIECE) {
        host.write_all(piece).await?;
    }
    host.flush().await
}

async fn in_time<T>(work: impl Future<Output = io::Result<T>>) -> Result<T, Trouble> {
    timeout(HOST_TIMEOUT, work).await.map_err(|_| Trouble::Slow)?.map_err(|_| Trouble::Broken)
}

impl Log {
    fn place(&self) -> ([u8; 16], u64) {
        let book = self.book.borrow();
        (book.boot, book.stored)
    }

    /// Makes sure that something is sent once the host can be reached again: only an acknowledgement opens
    /// the log.
    fn note_interruption(&self) {
        if self.book.borrow().pending.is_empty() {
            self.record_refused();
        }
    }
}

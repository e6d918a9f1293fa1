//! Relays clients' bytes to an enclave and back, unseen.
//!
//! Back-pressure is TCP's and vsock's own: a side that does not read stops the other after one buffer.

use crate::enclave::Stream;
use crate::pool::{Place, Pool};
use adyton_wire::blob::WRITE_PIECE;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, copy_bidirectional_with_sizes};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

/// Where clients connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// `host:port`
    Tcp(String),
    /// `unix:PATH`
    Unix(PathBuf),
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Listen, String> {
        match text.strip_prefix("unix:") {
            Some(path) if !path.is_empty() => Ok(Listen::Unix(path.into())),
            Some(_) => Err("expected unix:PATH".into()),
            None => match text.rsplit_once(':') {
                Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok() => {
                    Ok(Listen::Tcp(text.into()))
                }
                _ => Err("expected ADDRESS:PORT or unix:PATH".into()),
            },
        }
    }
}

impl std::fmt::Display for Listen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Listen::Tcp(address) => f.write_str(address),
            Listen::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Bounds of the relay.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at a time; one more is closed at once.
    pub connections: usize,
    /// A connection without a byte in either direction for so long is closed.
    pub idle: Duration,
    /// How long the enclave may take to accept.
    pub connect: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        // The client's keep-alive comes every 10 s: 90 s of silence is a dead client.
        Limits { connections: 256, idle: Duration::from_secs(90), connect: Duration::from_secs(10) }
    }
}

/// Numbers for the operator: connections and bytes, nothing of what is in them.
#[derive(Debug, Default)]
pub struct Counters {
    /// Connections relayed now.
    pub open: AtomicU64,
    /// Connections relayed so far.
    pub relayed: AtomicU64,
    /// Connections refused because the limit was reached.
    pub refused: AtomicU64,
    /// Connections that the enclave did not take.
    pub unreachable: AtomicU64,
    /// Bytes from clients.
    pub upward: AtomicU64,
    /// Bytes to clients.
    pub downward: AtomicU64,
}

/// A bound listener for clients.
#[derive(Debug)]
pub enum Listener {
    /// See [`Listen::Tcp`].
    Tcp(TcpListener),
    /// See [`Listen::Unix`].
    Unix(UnixListener),
}

impl Listener {
    /// Binds.
    ///
    /// # Errors
    /// What the operating system says.
    pub async fn bind(listen: &Listen) -> io::Result<Listener> {
        Ok(match listen {
            Listen::Tcp(address) => Listener::Tcp(TcpListener::bind(address).await?),
            Listen::Unix(path) => Listener::Unix(UnixListener::bind(path)?),
        })
    }

    /// Where it listens, for people and scripts; a port of 0 is shown as the one chosen.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn address(&self) -> io::Result<String> {
        match self {
            Listener::Tcp(listener) => Ok(listener.local_addr()?.to_string()),
            Listener::Unix(listener) => {
                let address = listener.local_addr()?;
                Ok(format!("unix:{}", address.as_pathname().unwrap_or(std::path::Path::new("")).display()))
            }
        }
    }

    async fn accept(&self) -> io::Result<Box<dyn Stream>> {
        Ok(match self {
            Listener::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                Box::new(stream)
            }
            Listener::Unix(listener) => Box::new(listener.accept().await?.0),
        })
    }
}

/// Relays until the listener fails.
///
/// # Errors
/// What the listener says.
pub async fn run(
    listener: Listener,
    pool: Arc<Pool>,
    limits: Limits,
    counters: Arc<Counters>,
) -> io::Result<()> {
    let places = Arc::new(Semaphore::new(limits.connections));
    loop {
        let client = match listener.accept().await {
            Ok(client) => client,
            Err(e) if concerns_one_connection(&e) => continue,
            Err(e) => return Err(e),
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            counters.refused.fetch_add(1, Ordering::Relaxed);
            continue;
        };
        let (pool, counters) = (Arc::clone(&pool), Arc::clone(&counters));
        tokio::spawn(async move {
            // A connection that breaks is seen by its two ends; the host has nobody to tell.
            let _ = relay(client, &pool, limits, &counters).await;
            drop(place);
        });
    }
}

async fn relay(client: Box<dyn Stream>, pool: &Pool, limits: Limits, counters: &Counters) -> io::Result<()> {
    let Some((inside, _place)) = reach(pool, limits.connect).await else {
        counters.unreachable.fetch_add(1, Ordering::Relaxed);
        return Ok(());
    };
    counters.relayed.fetch_add(1, Ordering::Relaxed);
    let _open = Open::one(&counters.open);
    let start = Instant::now();
    let last = Arc::new(AtomicU64::new(0));
    let watch = |stream, bytes| Watched { stream, start, last: Arc::clone(&last), bytes };
    let mut client = watch(client, &counters.upward);
    let mut inside = watch(inside, &counters.downward);
    tokio::select! {
        ended = copy_bidirectional_with_sizes(&mut client, &mut inside, WRITE_PIECE, WRITE_PIECE) => ended.map(drop),
        () = silence(start, &last, limits.idle) => Ok(()),
    }
}

/// A connection to the best enclave that takes it, and its place there.
async fn reach(pool: &Pool, patience: Duration) -> Option<(Box<dyn Stream>, Place)> {
    let mut tried = Vec::new();
    while let Some(place) = pool.choose(&tried) {
        if let Ok(Ok(inside)) = timeout(patience, place.member().enclave.connect()).await {
            return Some((inside, place));
        }
        tried.push(place.member().number);
    }
    None
}

/// Counts a connection while it lasts.
struct Open<'a>(&'a AtomicU64);

impl Open<'_> {
    fn one(open: &AtomicU64) -> Open<'_> {
        open.fetch_add(1, Ordering::Relaxed);
        Open(open)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Returns when no byte has moved for `idle`.
async fn silence(start: Instant, last: &AtomicU64, idle: Duration) {
    loop {
        let until = start + Duration::from_millis(last.load(Ordering::Relaxed)) + idle;
        if until <= Instant::now() {
            return;
        }
        tokio::time::sleep_until(until).await;
    }
}

/// A stream that notes when a byte was last read from it, and counts.
struct Watched<'a> {
    stream: Box<dyn Stream>,
    start: Instant,
    last: Arc<AtomicU64>,
    bytes: &'a AtomicU64,
}

impl AsyncRead for Watched<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        let read = buf.filled().len() - before;
        if read > 0 {
            let elapsed = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
            self.last.store(elapsed, Ordering::Relaxed);
            self.bytes.fetch_add(read as u64, Ordering::Relaxed);
        }
        polled
    }
}

impl AsyncWrite for Watched<'_> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

fn concerns_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted)
}

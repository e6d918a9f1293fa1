//! Connections: handshake, HTTP/2, limits. Knows bytes and bounds, nothing of what is said.

use crate::api;
use crate::request::House;
use crate::session::{Identity, Session, SharedTls};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::io;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

/// Most connections at a time. One more is closed at once.
const MAX_CONNECTIONS: usize = 128;
/// How long a handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a connection may go on without evidence having been asked for.
const UNATTESTED_LIFETIME: Duration = Duration::from_secs(30);
/// Most requests at a time on one connection.
const MAX_STREAMS: u32 = 16;
/// A silent connection is asked for a sign of life after this, and closed when none comes in as long again.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// Largest header list, in bytes: a token of 4 KiB and ordinary headers fit.
const MAX_HEADERS: u32 = 16 * 1024;

/// Serves connections as the sentinel hands them over; returns when the sentinel is gone.
pub async fn serve(
    house: Arc<House>,
    identity: Arc<Identity>,
    config: Arc<rustls::ServerConfig>,
    mut sockets: mpsc::Receiver<OwnedFd>,
) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let acceptor = TlsAcceptor::from(config);
    while let Some(socket) = sockets.recv().await {
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
        let (house, identity, acceptor) = (Arc::clone(&house), Arc::clone(&identity), acceptor.clone());
        tokio::spawn(async move {
            // How a connection ends is the client's business; there is nobody to tell and nothing to log.
            let _ = connection(house, identity, acceptor, socket).await;
            drop(place);
        });
    }
}

async fn connection(
    house: Arc<House>,
    identity: Arc<Identity>,
    acceptor: TlsAcceptor,
    socket: OwnedFd,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    // AF_VSOCK or AF_UNIX: for reading and writing a stream socket it is the same, and std's type never asks.
    let stream = std::os::unix::net::UnixStream::from(socket);
    stream.set_nonblocking(true)?;
    let stream = UnixStream::from_std(stream)?;
    let tls = timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await??;
    let tls: SharedTls = Arc::new(Mutex::new(tls));
    let session = Arc::new(Session::new(Arc::clone(&tls), identity));
    let served = Arc::clone(&session);
    house.generator.remember(session.id());
    let _forgotten = Forgotten { house: Arc::clone(&house), session: session.id() };
    let service = service_fn(move |request| {
        let (house, session) = (Arc::clone(&house), Arc::clone(&served));
        async move { Ok::<_, std::convert::Infallible>(api::route(&house, &session, request).await) }
    });
    let connection = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HEADERS)
        .keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE)
        .serve_connection(TokioIo::new(Shared(tls)), service);
    tokio::select! {
        ended = connection => Ok(ended?),
        () = unattested(&session) => Ok(()),
    }
}

/// When a connection ends, what its conversations left in the engine is wiped.
struct Forgotten {
    house: Arc<House>,
    session: u64,
}

impl Drop for Forgotten {
    fn drop(&mut self) {
        self.house.generator.forget(self.session);
    }
}

/// Returns if no evidence was asked for in time, and never if it was.
async fn unattested(session: &Session) {
    tokio::time::sleep(UNATTESTED_LIFETIME).await;
    if session.attested().is_some() {
        std::future::pending::<()>().await;
    }
}

/// The HTTP/2 layer's view of the shared TLS stream. All users run on one thread and none holds the lock over an
/// `await`, so the lock is never contended.
struct Shared(SharedTls);

impl Shared {
    fn with<T>(
        &self,
        act: impl FnOnce(Pin<&mut tokio_rustls::server::TlsStream<UnixStream>>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        match self.0.lock() {
            Ok(mut tls) => act(Pin::new(&mut *tls)),
            Err(_poisoned) => Poll::Ready(Err(io::ErrorKind::Other.into())),
        }
    }
}

impl AsyncRead for Shared {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.with(|tls| tls.poll_read(cx, buf))
    }
}

impl AsyncWrite for Shared {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.with(|tls| tls.poll_write(cx, buf))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with(|tls| tls.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with(|tls| tls.poll_shutdown(cx))
    }
}

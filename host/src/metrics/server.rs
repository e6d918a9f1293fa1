//! Serves the pages over HTTP, and answers whether the host is ready.
//!
//! `/metrics` is the page of the first enclave, `/metrics/N` of the one with number N. `/ready` is 200 while a new connection
//! would be answered, as far as that is known, and 503 otherwise; `/alive` is 200.
//!
//! Promises
//! - One request a connection, bounded in size, time and number; what is over is closed.
//! - What happens here stops neither the relay nor the audit log.

use super::page;
use super::text::CONTENT_TYPE;
use crate::pool::Pool;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE as CONTENT_TYPE_HEADER, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

/// Where the page is.
const PATH: &str = "/metrics";
/// Whether connections would be answered.
const READY: &str = "/ready";
/// Whether this process works at all.
const ALIVE: &str = "/alive";
/// Connections at a time.
const MAX_CONNECTIONS: usize = 16;
/// How long one may take, from its first byte to our last.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Longest head of a request. hyper takes none below 8 KiB.
const MAX_HEAD: usize = 8 * 1024;
/// Pause after a failed accept: where descriptors have run out, the next one fails too.
const PAUSE: Duration = Duration::from_millis(100);

/// A bound listener.
#[derive(Debug)]
pub struct Server(TcpListener);

impl Server {
    /// Binds.
    ///
    /// # Errors
    /// In words for the operator: the address is taken, or what else the operating system says.
    pub async fn bind(address: SocketAddr) -> io::Result<Server> {
        TcpListener::bind(address).await.map(Server).map_err(|e| match e.kind() {
            io::ErrorKind::AddrInUse => {
                let words = format!("{address} is taken by another program; name another with --metrics");
                io::Error::new(e.kind(), words)
            }
            _ => io::Error::new(e.kind(), format!("{address}: {e}")),
        })
    }

    /// Where the page is, with the port that was chosen.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn url(&self) -> io::Result<String> {
        Ok(format!("http://{}{PATH}", self.0.local_addr()?))
    }

    /// Serves until it is dropped.
    pub async fn run(self, pool: Arc<Pool>) {
        let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        loop {
            let Ok((stream, _)) = self.0.accept().await else {
                tokio::time::sleep(PAUSE).await;
                continue;
            };
            let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
            let pool = Arc::clone(&pool);
            tokio::spawn(async move {
                // Whoever asked sees that it was cut.
                let _ = tokio::time::timeout(TIMEOUT, one(stream, &pool)).await;
                drop(place);
            });
        }
    }
}

async fn one(stream: TcpStream, pool: &Pool) -> Result<(), hyper::Error> {
    let service = service_fn(|request: Request<Incoming>| {
        let response = respond(request.method(), request.uri().path(), pool);
        async { Ok::<_, Infallible>(response) }
    });
    let mut http = http1::Builder::new();
    http.keep_alive(false).max_buf_size(MAX_HEAD);
    http.serve_connection(TokioIo::new(stream), service).await
}

fn respond(method: &Method, path: &str, pool: &Pool) -> Response<Full<Bytes>> {
    let (status, body) = match (found(path, pool), method) {
        (None, _) => (StatusCode::NOT_FOUND, format!("metrics are at {PATH}\n")),
        (Some(answer), &Method::GET | &Method::HEAD) => answer,
        (Some(_), _) => (StatusCode::METHOD_NOT_ALLOWED, "GET only\n".to_owned()),
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE_HEADER, HeaderValue::from_static(CONTENT_TYPE));
    if status == StatusCode::METHOD_NOT_ALLOWED {
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    }
    response
}

fn found(path: &str, pool: &Pool) -> Option<(StatusCode, String)> {
    let now = Instant::now();
    match path {
        ALIVE => return Some((StatusCode::OK, "alive\n".to_owned())),
        READY if pool.ready() => return Some((StatusCode::OK, "ready\n".to_owned())),
        READY => return Some((StatusCode::SERVICE_UNAVAILABLE, "not ready\n".to_owned())),
        _ => {}
    }
    let number = match path.strip_prefix(PATH)? {
        "" => 0,
        rest => rest
            .strip_prefix('/')
            .filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()))?
            .parse()
            .ok()?,
    };
    let member = pool.members().get::<usize>(number)?;
    Some((StatusCode::OK, member.board.page(now) + &page::pool(pool, now)))
}

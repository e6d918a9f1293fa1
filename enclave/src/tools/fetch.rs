//! One HTTP GET over a socket that the sentinel opened, with TLS that ends here.
//!
//! Promises
//! - The server's certificate leads to the one root that the measured policy names, and is for the name in it.
//! - No redirect is followed, no longer result read, no longer waited, than the policy says. A result is text, or none.
//!
//! Does not: keep connections, cookies or anything else for another call.

use adyton_attestation::tls::tool_config;
use adyton_wire::tools::Tool;
use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, CONTENT_TYPE, HOST};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use std::os::fd::OwnedFd;
use std::time::Duration;
use thiserror::Error;
use tokio::net::UnixStream;
use tokio_rustls::TlsConnector;

/// Why there is no result. For the model, so without any of the server's words.
#[derive(Debug, Error, PartialEq, Eq)]
pub(super) enum Failed {
    /// The policy's root or name cannot be used.
    #[error("its root certificate or its name cannot be used")]
    Settings,
    /// The other end is not who the policy names, or broke off.
    #[error("the other end cannot be reached, or is not the one that is named")]
    Connection,
    /// It did not say 200.
    #[error("it answered with status {0}")]
    Status(u16),
    /// It is not text.
    #[error("its answer is not text")]
    NotText,
    /// It is too long.
    #[error("its answer is too long")]
    TooLong,
    /// It took too long.
    #[error("it took too long")]
    Late,
}

/// Gets a path.
pub(super) async fn get(socket: OwnedFd, tool: &Tool, target: &str) -> Result<String, Failed> {
    let within = Duration::from_millis(u64::from(tool.timeout_ms));
    tokio::time::timeout(within, attempt(socket, tool, target)).await.map_err(|_| Failed::Late)?
}

async fn attempt(socket: OwnedFd, tool: &Tool, target: &str) -> Result<String, Failed> {
    // AF_VSOCK or AF_UNIX: for reading and writing a stream socket it is the same, and std's type never asks.
    let stream = std::os::unix::net::UnixStream::from(socket);
    stream.set_nonblocking(true).map_err(|_| Failed::Connection)?;
    let stream = UnixStream::from_std(stream).map_err(|_| Failed::Connection)?;
    let config = tool_config(tool.root.as_bytes()).map_err(|_| Failed::Settings)?;
    let name = ServerName::try_from(tool.host().to_owned()).map_err(|_| Failed::Settings)?;
    let tls = TlsConnector::from(config).connect(name, stream).await.map_err(|_| Failed::Connection)?;
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(tls)).await.map_err(|_| Failed::Connection)?;
    let request = Request::get(target)
        .header(HOST, tool.host())
        .header(ACCEPT, "application/json, text/*")
        .body(Empty::<Bytes>::new())
        .map_err(|_| Failed::Settings)?;
    // Driven here and not in a task of its own: it ends with the call, whatever comes of it.
    tokio::select! {
        answered = read(&mut sender, request, tool.max_bytes as usize) => answered,
        _ = connection => Err(Failed::Connection),
    }
}

async fn read(
    sender: &mut http1::SendRequest<Empty<Bytes>>,
    request: Request<Empty<Bytes>>,
    limit: usize,
) -> Result<String, Failed> {
    let response = sender.send_request(request).await.map_err(|_| Failed::Connection)?;
    if response.status() != StatusCode::OK {
        return Err(Failed::Status(response.status().as_u16()));
    }
    let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if !(kind.starts_with("text/") || kind.starts_with("application/json")) {
        return Err(Failed::NotText);
    }
    let body = Limited::new(response.into_body(), limit).collect().await;
    let bytes = body.map_err(|e| match e.is::<http_body_util::LengthLimitError>() {
        true => Failed::TooLong,
        false => Failed::Connection,
    })?;
    String::from_utf8(bytes.to_bytes().to_vec()).map_err(|_| Failed::NotText)
}

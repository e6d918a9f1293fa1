//! The OpenAI-compatible proxy on loopback: any SDK, one attested session behind it.
//!
//! Promises
//! - A request goes out only over an [`AttestedSession`]; each new connection is verified anew; if verification fails,
//!   every request fails.
//! - The end of an answer (`[DONE]`, or the whole body where nothing is streamed) is passed on only after its receipt
//!   was verified. Anything less ends as a broken stream, never as a short answer.
//! - It listens on loopback only, and answers no web page: a request with an `Origin`, or for another `Host`, is refused.
//!
//! Does not: change a request's body or an answer. If it was given a token, all its callers speak with that one (an SDK
//! insists on sending some API key); otherwise each sends its own.

use crate::answer::{Kept, check};
use crate::chat::{AGAIN, HOLD_HEADER};
use crate::files::write_private;
use crate::session::{AttestedSession, ConnectError, Policy, Target, connect};
use adyton_attestation::receipt::Bundle;
use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Frame, Incoming};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderMap, HeaderValue, ORIGIN, RETRY_AFTER};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::net::TcpListener;
use tokio::sync::{Mutex, mpsc};

/// Largest request body; the enclave's own limit.
const MAX_BODY: usize = 1 << 20;
/// Frames that may wait for a slow reader.
const FRAMES: usize = 32;
/// The last event of a whole stream.
const DONE: &[u8] = b"data: [DONE]\n\n";

type Body = BoxBody<Bytes, io::Error>;

/// The proxy.
pub struct Proxy {
    target: Target,
    policy: Policy,
    token: Option<String>,
    receipts: Option<PathBuf>,
    session: Mutex<Option<AttestedSession>>,
}

impl Proxy {
    /// A proxy for one enclave. With a `token` all callers use it; verified receipts are kept in `receipts`.
    pub fn new(target: Target, policy: Policy, token: Option<String>, receipts: Option<PathBuf>) -> Proxy {
        Proxy { target, policy, token, receipts, session: Mutex::new(None) }
    }

    /// The session, or a new one, verified.
    ///
    /// # Errors
    /// [`ConnectError`]
    pub async fn session(&self) -> Result<AttestedSession, ConnectError> {
        let mut session = self.session.lock().await;
        match &*session {
            Some(open) if !open.is_closed() => Ok(open.clone()),
            _ => {
                let new = connect(&self.target, &self.policy).await?;
                Ok(session.insert(new).clone())
            }
        }
    }

    /// Listens.
    ///
    /// # Errors
    /// If the address is not on loopback, or taken.
    pub async fn bind(address: SocketAddr) -> io::Result<TcpListener> {
        if !address.ip().is_loopback() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the proxy listens on loopback only"));
        }
        TcpListener::bind(address).await
    }

    /// Serves until the listener fails.
    ///
    /// # Errors
    /// If `listener` is not on loopback, or fails.
    pub async fn serve(self: Arc<Self>, listener: TcpListener) -> io::Result<()> {
        let address = listener.local_addr()?;
        if !address.ip().is_loopback() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the proxy listens on loopback only"));
        }
        loop {
            let (stream, _) = listener.accept().await?;
            let proxy = Arc::clone(&self);
            tokio::spawn(async move {
                let service = service_fn(move |request| {
                    let proxy = Arc::clone(&proxy);
                    async move { Ok::<_, std::convert::Infallible>(proxy.answer(address, request).await) }
                });
                // How a connection of an SDK ends is its own business.
                let _ = auto::Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    }

    async fn answer(self: &Arc<Self>, address: SocketAddr, request: Request<Incoming>) -> Response<Body> {
        match self.relay(address, request).await {
            Ok(response) => response,
            Err((status, code, message)) => refusal(status, code, &message),
        }
    }

    async fn relay(
        self: &Arc<Self>,
        address: SocketAddr,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, Refused> {
        let (parts, body) = request.into_parts();
        if parts.headers.contains_key(ORIGIN) || !is_ours(&parts.headers, parts.uri.host(), address) {
            let message = "this proxy answers programs of its user, not web pages".to_owned();
            return Err((StatusCode::FORBIDDEN, "not_for_browsers", message));
        }
        if !relayed(&parts.method, parts.uri.path()) {
            return Err((StatusCode::NOT_FOUND, "unknown_url", "the proxy does not relay this route".into()));
        }
        let body = Limited::new(body, MAX_BODY).collect().await.map_err(|_| {
            (
                StatusCode::PAYLOAD_TOO_LARGE,
                "request_too_large",
                format!("the body broke off, or is over {MAX_BODY} bytes"),
            )
        })?;
        let body = body.to_bytes();
        let unverified = |e: ConnectError| (StatusCode::BAD_GATEWAY, "enclave_unverified", e.to_string());
        let session = self.session().await.map_err(unverified)?;
        let token = self.token.as_deref().or_else(|| bearer(&parts.headers));
        let (method, path) = (parts.method, parts.uri.path());
        let response = ask(&session, method, path, token, &body).await?;
        let is_answer = response.status().is_success() && SEALED.contains(&parts.uri.path());
        Ok(if is_answer { self.stream(session, &body, response) } else { pass(response) })
    }

    /// Passes an answer on as it comes, and its end once its receipt holds.
    fn stream(
        self: &Arc<Self>,
        session: AttestedSession,
        request: &[u8],
        response: Response<Incoming>,
    ) -> Response<Body> {
        let (frames, body) = mpsc::channel(FRAMES);
        let (parts, incoming) = response.into_parts();
        let kept = Kept::begin(request, &parts.headers);
        let proxy = Arc::clone(self);
        tokio::spawn(async move {
            let ended = match kept {
                Ok(kept) => proxy.forward(session, kept, incoming, &frames).await,
                Err(e) => Err(io::Error::other(e)),
            };
            if let Err(e) = ended {
                eprintln!("adyton proxy: {e}");
                let _ = frames.send(Err(e)).await;
            }
        });
        let mut out = Response::new(Frames(body).boxed());
        copy(&parts.headers, out.headers_mut());
        out
    }

    async fn forward(
        &self,
        session: AttestedSession,
        mut kept: Kept,
        mut incoming: Incoming,
        frames: &mpsc::Sender<io::Result<Frame<Bytes>>>,
    ) -> io::Result<()> {
        let (mut held, mut trailers) = (Vec::new(), None);
        while let Some(frame) = incoming.frame().await {
            match frame.map_err(io::Error::other)?.into_data() {
                Ok(bytes) => {
                    let events = kept.push(&bytes).map_err(io::Error::other)?;
                    if events.is_empty() && !kept.is_stream() {
                        held.extend_from_slice(&bytes);
                    }
                    for event in events {
                        if event == DONE {
                            held = event;
                        } else if frames.send(Ok(Frame::data(event.into()))).await.is_err() {
                            return Ok(());
                        }
                    }
                }
                Err(frame) => trailers = frame.into_trailers().ok(),
            }
        }
        let bundle = kept.finish(trailers.as_ref(), &session).map_err(io::Error::other)?;
        let (_, receipt) =
            check(&bundle, &self.policy.anchor, &self.policy.chains).map_err(io::Error::other)?;
        let body = receipt.body();
        self.keep(&bundle, &format!("{}-{:08}.json", hex::encode(body.boot), body.sequence)).await?;
        // If the reader is gone there is nobody to tell.
        let _ = frames.send(Ok(Frame::data(held.into()))).await;
        Ok(())
    }

    async fn keep(&self, bundle: &Bundle, name: &str) -> io::Result<()> {
        match &self.receipts {
            Some(folder) => write_private(&folder.join(name), bundle.to_json().as_bytes()),
            None => Ok(()),
        }
    }
}

type Refused = (StatusCode, &'static str, String);

/// Asks, and again while the request waits for persons. A caller that goes away ends this with its connection.
async fn ask(
    session: &AttestedSession,
    method: Method,
    path: &str,
    token: Option<&str>,
    body: &Bytes,
) -> Result<Response<Incoming>, Refused> {
    let mut told = false;
    loop {
        let sent = session.send(method.clone(), path, token, body.clone()).await;
        let response = sent.map_err(|e| (StatusCode::BAD_GATEWAY, "enclave_lost", e.to_string()))?;
        let hold = response.headers().get(HOLD_HEADER).and_then(|hold| hold.to_str().ok());
        let Some(hold) = hold.filter(|_| response.status() == StatusCode::CONFLICT) else {
            return Ok(response);
        };
        if !told {
            eprintln!("adyton proxy: a request waits for persons to approve it (hold {hold})");
            told = true;
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// The routes whose answers have receipts.
const SEALED: [&str; 2] = ["/v1/chat/completions", "/v1/embeddings"];

/// The routes that go to the enclave. Those of the session itself are the proxy's own business.
fn relayed(method: &Method, path: &str) -> bool {
    match method.as_str() {
        "POST" => SEALED.contains(&path),
        "GET" => matches!(path, "/v1/models" | "/healthz"),
        _ => false,
    }
}

/// True if the request names this proxy by a loopback name. A page that rebinds its own name to 127.0.0.1 sends that.
fn is_ours(headers: &HeaderMap, authority: Option<&str>, address: SocketAddr) -> bool {
    let host = headers.get(HOST).and_then(|v| v.to_str().ok());
    let name = match host {
        Some(host) => host.strip_suffix(&format!(":{}", address.port())).unwrap_or(host),
        None => authority.unwrap_or_default(),
    };
    let name = name.trim_start_matches('[').trim_end_matches(']');
    name == "localhost" || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    headers.get(AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ").filter(|t| !t.is_empty())
}

fn pass(response: Response<Incoming>) -> Response<Body> {
    let (parts, body) = response.into_parts();
    let mut out = Response::new(body.map_err(io::Error::other).boxed());
    *out.status_mut() = parts.status;
    copy(&parts.headers, out.headers_mut());
    out
}

fn copy(from: &HeaderMap, to: &mut HeaderMap) {
    for name in [CONTENT_TYPE, RETRY_AFTER] {
        if let Some(value) = from.get(&name) {
            to.insert(name, value.clone());
        }
    }
}

fn refusal(status: StatusCode, code: &str, message: &str) -> Response<Body> {
    let error = serde_json::json!({
        "error": { "message": message, "type": "adyton_proxy_error", "param": null, "code": code },
    });
    let mut response = Response::new(Full::from(error.to_string()).map_err(|never| match never {}).boxed());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

struct Frames(mpsc::Receiver<io::Result<Frame<Bytes>>>);

impl hyper::body::Body for Frames {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.0.poll_recv(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_names_are_ours() {
        let ours = |host: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, host.parse().unwrap());
            is_ours(&headers, None, "127.0.0.1:8080".parse().unwrap())
        };
        for host in ["127.0.0.1:8080", "localhost:8080", "localhost", "[::1]:8080"] {
            assert!(ours(host), "{host}");
        }
        for host in ["evil.example", "evil.example:8080", "127.0.0.1.evil.example:8080", "10.0.0.1:8080", ""]
        {
            assert!(!ours(host), "{host}");
        }
    }
}

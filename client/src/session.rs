//! From an address to an attested session: connect, ask for evidence, appraise it, and only then let a prompt through.

use adyton_attestation::anchor::TrustAnchor;
use adyton_attestation::appraisal::{Expectation, Refusal, Report, VerifiedClaims, appraise_cached};
use adyton_attestation::binding::{Role, SessionBinding, manifest_sha384, spki_sha384};
use adyton_attestation::endorsement::Endorsement;
use adyton_attestation::reference::ReferenceValues;
use adyton_attestation::tls::{self, KeyExchange};
use adyton_attestation::{ChainCache, Timestamp};
use adyton_wire::manifest::{MAX_MANIFEST, Manifest};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD as B64};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use ring::rand::{SecureRandom, SystemRandom};
use rustls_pki_types::ServerName;
use serde::Deserialize;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

/// How long connecting, the handshake and the evidence may take together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// How old a document may be. It is made for our nonce, so seconds are enough; clocks differ by more.
const MAX_AGE: Duration = Duration::from_secs(120);
/// Largest answer to the request for evidence: a document, and a manifest in base64.
const MAX_EVIDENCE_BODY: usize = 2 * MAX_MANIFEST;
/// A silent enclave is asked for a sign of life after this, and given up on when none comes in as long again. A
/// relay that died without a word shows up here.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// Where an enclave's host listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// `host:port`
    Tcp(String),
    /// `unix:/path`
    Unix(PathBuf),
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Target, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            return Ok(Target::Unix(path.into()));
        }
        match text.rsplit_once(':') {
            Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok() => {
                Ok(Target::Tcp(text.into()))
            }
            _ => Err("expected HOST:PORT or unix:PATH".into()),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Tcp(address) => f.write_str(address),
            Target::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// What the relying party demands.
#[derive(Clone, Debug)]
pub struct Policy {
    /// The root.
    pub anchor: TrustAnchor,
    /// Images, manifests, owner.
    pub reference: ReferenceValues,
    /// Whether classical key exchange will do.
    pub key_exchange: KeyExchange,
    /// The operator's word about the enclave, where the reference values ask for it.
    pub endorsement: Option<Endorsement>,
    /// Certificate signatures that were verified before; clones of a policy share them.
    pub chains: Chains,
}

/// Certificate signatures that this process has verified.
#[derive(Clone, Debug, Default)]
pub struct Chains(Arc<Mutex<ChainCache>>);

impl Chains {
    /// Lends the cache out. One that was left in the middle by a panic is as good as an empty one.
    pub fn with<T>(&self, work: impl FnOnce(&mut ChainCache) -> T) -> T {
        match self.0.lock() {
            Ok(mut cache) => work(&mut cache),
            Err(_) => work(&mut ChainCache::new()),
        }
    }
}

/// Why there is no session.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// Nobody there, or a relay that hung up.
    #[error("{target} cannot be reached: {reason}")]
    Unreachable {
        /// Where.
        target: Target,
        /// What the operating system or TLS said.
        reason: io::Error,
    },
    /// Somebody is there, but does not speak the protocol.
    #[error("the other side does not behave like an Adyton enclave: {0}")]
    Protocol(String),
    /// The evidence was refused.
    #[error("the evidence was refused: {refusal}")]
    Refused {
        /// Step by step.
        report: Box<Report>,
        /// The step that refused.
        refusal: Box<Refusal>,
    },
}

/// What a request came to nothing from.
#[derive(Debug, Error)]
#[error("the connection to the enclave broke: {0}")]
pub struct Broken(pub String);

/// The evidence of a session, as receipts need it.
#[derive(Clone)]
pub struct Evidence {
    /// The attestation document.
    pub document: Vec<u8>,
    /// The manifest's bytes.
    pub manifest: Vec<u8>,
    /// Our nonce.
    pub nonce: [u8; 32],
    /// The connection's exporter for it.
    pub exporter: [u8; 48],
    /// SHA-384 of the enclave's SubjectPublicKeyInfo.
    pub spki_sha384: [u8; 48],
    /// The operator's endorsement, if there was one.
    pub endorsement: Option<Endorsement>,
}

/// Having an `AttestedSession` tells you that the enclave at the other end of *this* TLS connection is the one that
/// the policy names. Only it can carry a prompt. Made by [`connect`] alone.
///
/// ```compile_fail,E0451
/// let forged = adyton_client::session::AttestedSession { sender: todo!() };
/// ```
#[derive(Clone)]
pub struct AttestedSession {
    sender: SendRequest<Full<Bytes>>,
    evidence: Arc<Evidence>,
    claims: Arc<VerifiedClaims>,
    report: Arc<Report>,
    chains: Chains,
    challenge: [u8; 32],
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Connects, asks for evidence and appraises it.
///
/// # Errors
/// [`ConnectError`]; no prompt has left then.
pub async fn connect(target: &Target, policy: &Policy) -> Result<AttestedSession, ConnectError> {
    let unreachable = |reason| ConnectError::Unreachable { target: target.clone(), reason };
    match tokio::time::timeout(CONNECT_TIMEOUT, attempt(target, policy)).await {
        Ok(result) => result,
        Err(_late) => Err(unreachable(io::Error::new(
            io::ErrorKind::TimedOut,
            format!("no session within {} s", CONNECT_TIMEOUT.as_secs()),
        ))),
    }
}

async fn attempt(target: &Target, policy: &Policy) -> Result<AttestedSession, ConnectError> {
    let unreachable = |reason| ConnectError::Unreachable { target: target.clone(), reason };
    let protocol = |e: &dyn fmt::Display| ConnectError::Protocol(e.to_string());
    let stream = open(target).await.map_err(unreachable)?;
    let config = tls::client_config(policy.key_exchange).map_err(|e| protocol(&e))?;
    // The name is not sent and not checked: evidence says who this is.
    let name = ServerName::try_from("adyton").map_err(|e| protocol(&e))?;
    let tls = TlsConnector::from(Arc::new(config)).connect(name, stream).await.map_err(unreachable)?;

    let mut nonce = [0; 32];
    SystemRandom::new().fill(&mut nonce).map_err(|_| ConnectError::Protocol("no randomness".into()))?;
    let exporter = tls::exporter(tls.get_ref().1, &nonce).map_err(|e| protocol(&e))?;
    let spki = tls::peer_spki(tls.get_ref().1).map_err(|e| protocol(&e))?;

    let (mut sender, connection) = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE)
        .handshake(TokioIo::new(tls))
        .await
        .map_err(|e| unreachable(io::Error::other(e)))?;
    // The connection's end reaches whoever waits for a response; here it has no other meaning.
    tokio::spawn(async move { drop(connection.await) });

    let given = ask(&mut sender, &nonce).await?;
    let evidence = Evidence {
        document: given.document,
        manifest: given.manifest,
        nonce,
        exporter,
        spki_sha384: spki_sha384(&spki),
        endorsement: policy.endorsement.clone(),
    };
    let expect = expectation(policy, &evidence);
    let (report, appraised) = policy.chains.with(|known| appraise_cached(&evidence.document, &expect, known));
    let claims = appraised.map_err(|refusal| ConnectError::Refused {
        report: Box::new(report.clone()),
        refusal: Box::new(refusal),
    })?;
    Ok(AttestedSession {
        sender,
        evidence: Arc::new(evidence),
        claims: Arc::new(claims),
        report: Arc::new(report),
        chains: policy.chains.clone(),
        challenge: given.challenge,
    })
}

async fn open(target: &Target) -> io::Result<Box<dyn Stream>> {
    Ok(match target {
        Target::Tcp(address) => {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            Box::new(stream)
        }
        Target::Unix(path) => Box::new(UnixStream::connect(path).await?),
    })
}

fn expectation<'a>(policy: &'a Policy, evidence: &Evidence) -> Expectation<'a> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    Expectation {
        anchor: &policy.anchor,
        reference: &policy.reference,
        now: Timestamp::from_millis(u64::try_from(now).unwrap_or(u64::MAX)),
        nonce: evidence.nonce,
        max_age: MAX_AGE,
        binding: SessionBinding {
            role: Role::Enclave,
            exporter: evidence.exporter,
            spki_sha384: evidence.spki_sha384,
            manifest_sha384: manifest_sha384(&evidence.manifest),
        },
        endorsement: policy.endorsement.as_ref(),
    }
}

#[derive(Deserialize)]
struct GivenJson {
    document: String,
    manifest: String,
    challenge: String,
}

struct Given {
    document: Vec<u8>,
    manifest: Vec<u8>,
    challenge: [u8; 32],
}

/// Asks for evidence. Carries a random nonce and nothing of the user's.
async fn ask(sender: &mut SendRequest<Full<Bytes>>, nonce: &[u8; 32]) -> Result<Given, ConnectError> {
    let protocol = |e: &dyn fmt::Display| ConnectError::Protocol(e.to_string());
    let body = serde_json::json!({ "nonce": B64.encode(nonce) }).to_string();
    let request =
        request(Method::POST, "/adyton/v1/evidence", None, body.into()).map_err(|e| protocol(&e))?;
    let response = sender.send_request(request).await.map_err(|e| protocol(&e))?;
    let status = response.status();
    let body =
        Limited::new(response.into_body(), MAX_EVIDENCE_BODY).collect().await.map_err(|e| protocol(&e))?;
    if status != StatusCode::OK {
        return Err(ConnectError::Protocol(format!("it gave no evidence (HTTP {status})")));
    }
    let json: GivenJson = serde_json::from_slice(&body.to_bytes()).map_err(|e| protocol(&e))?;
    let challenge = B64.decode(json.challenge).map_err(|e| protocol(&e))?;
    Ok(Given {
        document: B64.decode(json.document).map_err(|e| protocol(&e))?,
        manifest: B64.decode(json.manifest).map_err(|e| protocol(&e))?,
        challenge: challenge
            .try_into()
            .map_err(|_| ConnectError::Protocol("a challenge of another size".into()))?,
    })
}

fn request(
    method: Method,
    path: &str,
    token: Option<&str>,
    body: Bytes,
) -> Result<Request<Full<Bytes>>, hyper::http::Error> {
    let mut request = Request::builder().method(method).uri(format!("https://enclave{path}"));
    request = request.header(CONTENT_TYPE, "application/json");
    if let Some(token) = token {
        let mut value = HeaderValue::try_from(format!("Bearer {token}"))?;
        value.set_sensitive(true);
        request = request.header(AUTHORIZATION, value);
    }
    request.body(Full::new(body))
}

impl AttestedSession {
    /// Sends a request into the enclave.
    ///
    /// # Errors
    /// [`Broken`] if the connection ended before the response began.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        token: Option<&str>,
        body: Bytes,
    ) -> Result<Response<Incoming>, Broken> {
        let request = request(method, path, token, body).map_err(|e| Broken(e.to_string()))?;
        let mut sender = self.sender.clone();
        sender.ready().await.map_err(|e| Broken(e.to_string()))?;
        sender.send_request(request).await.map_err(|e| Broken(e.to_string()))
    }

    /// True if no further request can be sent.
    pub fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Presents the client's own evidence: for a client that is itself an enclave. `attest` gets `user_data` and
    /// `nonce`, and asks its NSM for a document. `manifest` is the client's own release manifest.
    ///
    /// # Errors
    /// [`Broken`] with the enclave's answer if the evidence was refused.
    pub async fn present(
        &self,
        manifest: &[u8],
        attest: impl FnOnce([u8; 48], [u8; 32]) -> Option<Vec<u8>>,
    ) -> Result<(), Broken> {
        let binding = SessionBinding {
            role: Role::PeerEnclave,
            exporter: self.evidence.exporter,
            spki_sha384: self.evidence.spki_sha384,
            manifest_sha384: manifest_sha384(manifest),
        };
        let document = attest(binding.user_data(), self.challenge)
            .ok_or_else(|| Broken("the client's own security module gave no document".into()))?;
        let body = serde_json::json!({ "document": B64.encode(document), "manifest": B64.encode(manifest) });
        let response = self.send(Method::POST, "/adyton/v1/peer", None, body.to_string().into()).await?;
        if response.status() == StatusCode::NO_CONTENT {
            return Ok(());
        }
        let body = Limited::new(response.into_body(), MAX_EVIDENCE_BODY).collect().await;
        let body = body.map_err(|e| Broken(e.to_string()))?.to_bytes();
        Err(Broken(String::from_utf8_lossy(&body).into_owned()))
    }

    /// What the enclave was shown to be.
    pub fn claims(&self) -> &VerifiedClaims {
        &self.claims
    }

    /// How it was shown, step by step.
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// Certificate signatures that were verified for this session and others of its policy.
    pub fn chains(&self) -> &Chains {
        &self.chains
    }

    /// What receipts of this session are checked against.
    pub fn evidence(&self) -> &Evidence {
        &self.evidence
    }

    /// The manifest, read. Its bytes are what PCR16 holds, so what it says is what runs.
    ///
    /// # Errors
    /// If it is malformed.
    pub fn manifest(&self) -> Result<Manifest, adyton_wire::manifest::ManifestError> {
        Manifest::parse(&self.evidence.manifest)
    }
}

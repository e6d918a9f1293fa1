//! How a TLS connection becomes an attested session.
//!
//! ```text
//! client                                   enclave
//!   | ---- TLS 1.3, X25519MLKEM768 ---------> |   proves nothing yet: the certificate is self-signed
//!   | ---- POST evidence { nonce } ---------> |
//!   | <--- { document, manifest, challenge }- |   the document binds nonce, exporter, key and manifest
//!   | ---- POST peer { document, manifest }-> |   only from a client that is an enclave: the same, for the challenge
//! ```
//!
//! Promises
//! - An [`AttestedSession`] exists only for a connection on which evidence was given. Requests without one are refused.
//! - A client is `attested` only if its own evidence, bound to this connection, passed the same appraisal that
//!   clients use, against the reference values in the measured `peers.json`.

use crate::gate::Gate;
use adyton_attestation::anchor::TrustAnchor;
use adyton_attestation::appraisal::{Expectation, appraise_cached};
use adyton_attestation::binding::{Role, SessionBinding, manifest_sha384};
use adyton_attestation::reference::ReferenceValues;
use adyton_attestation::tls;
use adyton_attestation::{ChainCache, Timestamp};
use ring::rand::{SecureRandom, SystemRandom};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use thiserror::Error;
use tokio::net::UnixStream;
use tokio_rustls::server::TlsStream;

/// Times that one connection may ask for evidence: each costs the NSM about 5 ms, and it serves one at a time.
const MAX_EVIDENCE: u32 = 4;
/// How old a client's document may be.
const PEER_MAX_AGE: Duration = Duration::from_secs(60);

/// The connection's TLS state, shared between the HTTP/2 layer, which moves bytes through it, and the session,
/// which exports keying material from it.
pub type SharedTls = Arc<Mutex<TlsStream<UnixStream>>>;

/// What all sessions have in common.
pub struct Identity {
    /// SHA-384 of the worker's SubjectPublicKeyInfo.
    pub spki_sha384: [u8; 48],
    /// The release manifest's bytes.
    pub manifest: Vec<u8>,
    /// Who may present evidence.
    pub peers: Vec<ReferenceValues>,
    /// Under which root.
    pub anchor: TrustAnchor,
    /// Certificate signatures of peers that were verified before.
    pub chains: Mutex<ChainCache>,
}

/// Why a session step was refused. The client is to blame, unless the variant says otherwise.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum SessionError {
    /// The connection asked too often.
    #[error("evidence was asked for more than {MAX_EVIDENCE} times on this connection")]
    TooOften,
    /// The NSM's queue is full.
    #[error("the security module is busy, try again")]
    Busy,
    /// The sentinel is gone, or the system's generator failed. Our fault.
    #[error("the enclave cannot give evidence")]
    Unavailable,
    /// Client evidence before enclave evidence: there is no challenge to answer yet.
    #[error("ask for evidence first: its challenge is the nonce of yours")]
    NoChallenge,
    /// The client's evidence was refused.
    #[error("the client's evidence was refused: {0}")]
    Peer(String),
}

/// Evidence as it goes to the client.
#[derive(Debug)]
pub struct Given {
    /// The attestation document.
    pub document: Vec<u8>,
    /// The nonce for the client's own evidence.
    pub challenge: [u8; 32],
}

/// One connection.
pub struct Session {
    tls: SharedTls,
    identity: Arc<Identity>,
    state: Mutex<State>,
    /// Tells this session from all others of this boot.
    id: u64,
}

#[derive(Default)]
struct State {
    asked: u32,
    /// The open challenge, and the exporter that its answer must be bound to.
    challenge: Option<([u8; 32], [u8; 48])>,
    given: bool,
    peer: bool,
}

/// Having an `AttestedSession` tells you that the enclave gave evidence on this connection, so that its client could
/// know whom it talks to before it sent a prompt.
#[derive(Debug)]
pub struct AttestedSession {
    peer: bool,
    id: u64,
}

impl AttestedSession {
    /// Tells the session from all others of this boot.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// True if the client proved to be an enclave of the measured `peers.json`.
    pub fn peer_attested(&self) -> bool {
        self.peer
    }
}

impl Session {
    /// A session for a connection whose handshake is done.
    pub fn new(tls: SharedTls, identity: Arc<Identity>) -> Session {
        static SESSIONS: AtomicU64 = AtomicU64::new(0);
        Session { tls, identity, state: Mutex::default(), id: SESSIONS.fetch_add(1, Ordering::Relaxed) }
    }

    /// Tells this session from all others of this boot.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The proof that evidence was given, if it was.
    pub fn attested(&self) -> Option<AttestedSession> {
        let state = self.state.lock().ok()?;
        state.given.then_some(AttestedSession { peer: state.peer, id: self.id })
    }

    /// The manifest's bytes, which go to the client beside the document.
    pub fn manifest(&self) -> &[u8] {
        &self.identity.manifest
    }

    /// Gives evidence for this connection and the client's nonce.
    ///
    /// # Errors
    /// [`SessionError`]
    pub async fn give_evidence(&self, gate: &Gate, nonce: [u8; 32]) -> Result<Given, SessionError> {
        self.count()?;
        let mut challenge = [0; 32];
        SystemRandom::new().fill(&mut challenge).map_err(|_| SessionError::Unavailable)?;
        let exporter = self.exporter(&nonce)?;
        let document = gate.evidence(nonce, &exporter).await.map_err(|_| SessionError::Unavailable)?;
        let document = document.ok_or(SessionError::Busy)?;
        let mut state = self.state.lock().map_err(|_| SessionError::Unavailable)?;
        state.challenge = Some((challenge, exporter));
        state.given = true;
        Ok(Given { document, challenge })
    }

    /// Appraises the client's own evidence. Its challenge is used up, whatever comes of it.
    ///
    /// # Errors
    /// [`SessionError::Peer`] names the failed step; the session goes on as that of an ordinary client.
    pub fn take_evidence(&self, document: &[u8], manifest: &[u8]) -> Result<(), SessionError> {
        let mut state = self.state.lock().map_err(|_| SessionError::Unavailable)?;
        let (challenge, exporter) = state.challenge.take().ok_or(SessionError::NoChallenge)?;
        let binding = SessionBinding {
            role: Role::PeerEnclave,
            exporter,
            spki_sha384: self.identity.spki_sha384,
            manifest_sha384: manifest_sha384(manifest),
        };
        let mut chains = self.identity.chains.lock().map_err(|_| SessionError::Unavailable)?;
        let mut refusal = "peers.json names no enclave".to_owned();
        for reference in &self.identity.peers {
            let expectation = Expectation {
                anchor: &self.identity.anchor,
                reference,
                now: now(),
                nonce: challenge,
                max_age: PEER_MAX_AGE,
                binding,
                endorsement: None,
            };
            match appraise_cached(document, &expectation, &mut chains).1 {
                Ok(_claims) => {
                    state.peer = true;
                    return Ok(());
                }
                Err(e) => refusal = e.to_string(),
            }
        }
        Err(SessionError::Peer(refusal))
    }

    fn count(&self) -> Result<(), SessionError> {
        let mut state = self.state.lock().map_err(|_| SessionError::Unavailable)?;
        state.asked = state.asked.saturating_add(1);
        if state.asked > MAX_EVIDENCE { Err(SessionError::TooOften) } else { Ok(()) }
    }

    fn exporter(&self, nonce: &[u8; 32]) -> Result<[u8; 48], SessionError> {
        let tls = self.tls.lock().map_err(|_| SessionError::Unavailable)?;
        tls::exporter(tls.get_ref().1, nonce).map_err(|_| SessionError::Unavailable)
    }
}

fn now() -> Timestamp {
    let millis = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    Timestamp::from_millis(u64::try_from(millis).unwrap_or(u64::MAX))
}

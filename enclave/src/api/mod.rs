//! The routes inside the session.
//!
//! | route | needs | answers |
//! |---|---|---|
//! | `POST /adyton/v1/evidence` | nothing | document, manifest, challenge |
//! | `POST /adyton/v1/peer` | evidence given | 204, the client is attested |
//! | `GET /healthz` | nothing | whether the lease holds |
//! | `GET /v1/models` | evidence given, a token | OpenAI's list |
//! | `POST /v1/chat/completions` | evidence given, a token | OpenAI's answer, and a receipt |
//! | `POST /v1/embeddings` | evidence given, a token | OpenAI's vectors, and a receipt |
//! | `PUT /adyton/v1/collections/{collection}/documents` | the same | how many passages were written |
//! | `GET /adyton/v1/state`, `holds`, `holds/{hold}` | evidence given, an approver's token | the state; what waits for persons |
//! | `POST /adyton/v1/statistics` | evidence given, a token | a release of a metric, with noise in it |
//! | `POST /adyton/v1/ballots` | the same | how many ballots are missing |

pub mod embeddings;
pub(crate) mod envelope;
pub mod error;
pub mod openai;
mod people;
mod secrets;
mod statistics;
pub(crate) mod tools;

use crate::answer::{Body, whole};
use crate::request::{self, House, Untrusted};
use crate::session::{AttestedSession, Session};
use adyton_wire::control::Token;
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD as B64};
use bytes::Bytes;
use error::ApiError;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode, header};
use serde::Deserialize;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Largest chat request, in bytes.
pub const MAX_BODY: usize = 1 << 20;
/// Largest request for evidence: a nonce in JSON.
const MAX_EVIDENCE_BODY: usize = 1024;
/// Largest client evidence: a document and a manifest, in base64.
const MAX_PEER_BODY: usize = 2 << 20;
/// Bodies that are read at a time over all connections: bounds the memory that clients without a token can take.
pub const MAX_READING: usize = 64;
/// How long a client may take to send it.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// Answers one request.
pub async fn route(house: &Arc<House>, session: &Session, request: Request<Incoming>) -> Response<Body> {
    let answered = match (request.method(), request.uri().path()) {
        (&Method::POST, "/adyton/v1/evidence") => evidence(house, session, request).await,
        (&Method::POST, "/adyton/v1/peer") => peer(house, session, request).await,
        (&Method::GET, "/healthz") => Ok(health(house)),
        (&Method::GET, "/v1/models") => match proven(session) {
            Ok(proof) => request::models(house, &proof, token(&request)).await,
            Err(e) => Err(e),
        },
        (&Method::POST, "/v1/chat/completions") => chat(house, session, request).await,
        (&Method::POST, "/v1/embeddings") => embeddings(house, session, request).await,
        (&Method::POST, "/adyton/v1/statistics") => statistics::release(house, session, request).await,
        (&Method::POST, "/adyton/v1/ballots") => people::ballot(house, session, request).await,
        (&Method::POST, "/adyton/v1/secrets/key") => secrets::key(house, session, request).await,
        (&Method::POST, "/adyton/v1/secrets") => secrets::take(house, session, request).await,
        (&Method::PUT, path) if collection(path).is_some() => document(house, session, request).await,
        (&Method::GET, path) if path == "/adyton/v1/state" || path.starts_with("/adyton/v1/holds") => {
            people::look(house, session, request).await
        }
        _ => Err(ApiError::not_found()),
    };
    answered.unwrap_or_else(|error| error.response())
}

/// What a connection on which evidence was given has delivered: the proof of it, token and body.
async fn taken(
    house: &House,
    session: &Session,
    request: Request<Incoming>,
) -> Result<(AttestedSession, Untrusted), ApiError> {
    let proof = proven(session)?;
    let token = token(&request);
    let body = read(house, request, MAX_BODY).await?;
    Ok((proof, Untrusted::new(token, body)))
}

async fn chat(
    house: &Arc<House>,
    session: &Session,
    request: Request<Incoming>,
) -> Result<Response<Body>, ApiError> {
    let (proof, untrusted) = taken(house, session, request).await?;
    request::chat(house, &proof, untrusted).await
}

/// The collection that a path names.
fn collection(path: &str) -> Option<&str> {
    let name = path.strip_prefix("/adyton/v1/collections/")?.strip_suffix("/documents")?;
    (!name.is_empty() && !name.contains('/')).then_some(name)
}

async fn document(
    house: &Arc<House>,
    session: &Session,
    request: Request<Incoming>,
) -> Result<Response<Body>, ApiError> {
    let collection = collection(request.uri().path()).unwrap_or_default().to_owned();
    let (proof, untrusted) = taken(house, session, request).await?;
    request::write_document(house, &proof, &collection, untrusted).await
}

async fn embeddings(
    house: &Arc<House>,
    session: &Session,
    request: Request<Incoming>,
) -> Result<Response<Body>, ApiError> {
    let (proof, untrusted) = taken(house, session, request).await?;
    request::embeddings(house, &proof, untrusted).await
}

fn proven(session: &Session) -> Result<AttestedSession, ApiError> {
    session.attested().ok_or_else(ApiError::unattested)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EvidenceRequest {
    nonce: String,
}

async fn evidence(
    house: &House,
    session: &Session,
    request: Request<Incoming>,
) -> Result<Response<Body>, ApiError> {
    let asked: EvidenceRequest = read_json(house, request, MAX_EVIDENCE_BODY).await?;
    let nonce = decode(&asked.nonce, "nonce")?;
    let nonce: [u8; 32] = nonce
        .try_into()
        .map_err(|_| ApiError::parameter("nonce", "invalid_value", "the nonce must be 32 bytes"))?;
    let given = session.give_evidence(&house.gate, nonce).await?;
    let json = serde_json::json!({
        "document": B64.encode(given.document),
        "manifest": B64.encode(session.manifest()),
        "challenge": B64.encode(given.challenge),
    });
    Ok(whole(StatusCode::OK, json.to_string().into_bytes()))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PeerRequest {
    document: String,
    manifest: String,
}

async fn peer(
    house: &House,
    session: &Session,
    request: Request<Incoming>,
) -> Result<Response<Body>, ApiError> {
    proven(session)?;
    let given: PeerRequest = read_json(house, request, MAX_PEER_BODY).await?;
    let document = decode(&given.document, "document")?;
    let manifest = decode(&given.manifest, "manifest")?;
    session.take_evidence(&document, &manifest)?;
    Ok(whole(StatusCode::NO_CONTENT, Vec::new()))
}

fn health(house: &House) -> Response<Body> {
    if house.lease.holds(Instant::now()) {
        whole(StatusCode::OK, br#"{"status":"ok"}"#.to_vec())
    } else {
        ApiError::offline().response()
    }
}

/// The bearer token, unread; empty if there is none.
fn token(request: &Request<Incoming>) -> Token {
    let value =
        request.headers().get(header::AUTHORIZATION).map(header::HeaderValue::as_bytes).unwrap_or_default();
    // The scheme's name is not case-sensitive (RFC 9110, section 11.1).
    let bearer = value.split_at_checked(7).filter(|(scheme, _)| scheme.eq_ignore_ascii_case(b"Bearer "));
    Token(bearer.map(|(_, token)| token.to_vec()).unwrap_or_default())
}

async fn read(house: &House, request: Request<Incoming>, limit: usize) -> Result<Bytes, ApiError> {
    let _place = house.reading.try_acquire().map_err(|_| ApiError::busy())?;
    let body = Limited::new(request.into_body(), limit).collect();
    match tokio::time::timeout(BODY_TIMEOUT, body).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(e)) if e.is::<http_body_util::LengthLimitError>() => Err(ApiError::too_large(limit)),
        Ok(Err(_)) | Err(_) => {
            Err(ApiError::invalid("incomplete_body", "the request body did not arrive whole"))
        }
    }
}

async fn read_json<T: for<'a> Deserialize<'a>>(
    house: &House,
    request: Request<Incoming>,
    limit: usize,
) -> Result<T, ApiError> {
    let body = read(house, request, limit).await?;
    serde_json::from_slice(&body)
        .map_err(|_| ApiError::invalid("invalid_json", "the body is not the JSON object of this route"))
}

fn decode(text: &str, name: &str) -> Result<Vec<u8>, ApiError> {
    B64.decode(text).map_err(|_| {
        ApiError::parameter(name, "invalid_value", format!("{name} is not base64url without padding"))
    })
}

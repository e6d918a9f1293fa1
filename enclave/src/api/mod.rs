//! The routes inside the session.
//!
//! | route | needs | answers |
//! |---|---|---|
//! | `POST /adyton/v1/evidence` | nothing | document, manifest, challenge |
//! | `POST /adyton/v1/peer` | evidence given | 204, the client is attested |
//! | `GET /healthz` | nothing | whether the lease holds |
//! | `GET /v1/models` | evidence given, a token | OpenAI's list |
//! | `POST /v1/chat/completions` | evidence given, a token | OpenAI's answer, and a receipt |

pub mod error;
pub mod openai;

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

/// Largest request body, in bytes.
pub const MAX_BODY: usize = 1 << 20;
/// How long a client may take to send it.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// Answers one request.
pub async fn route(house: &Arc<House>, session: &Session, request: Request<Incoming>) -> Response<Body> {
    let answered = match (request.method(), request.uri().path()) {
        (&Method::POST, "/adyton/v1/evidence") => evidence(house, session, request).await,
        (&Method::POST, "/adyton/v1/peer") => peer(session, request).await,
        (&Method::GET, "/healthz") => Ok(health(house)),
        (&Method::GET, "/v1/models") => match proven(session) {
            Ok(proof) => request::models(house, &proof, token(&request)).await,
            Err(e) => Err(e),
        },
        (&Method::POST, "/v1/chat/completions") => chat(house, session, request).await,
        _ => Err(ApiError::not_found()),
    };
    answered.unwrap_or_else(|error| error.response())
}

async fn chat(
    house: &Arc<House>,
    session: &Session,
    request: Request<Incoming>,
) -> Result<Response<Body>, ApiError> {
    let proof = proven(session)?;
    let token = token(&request);
    let body = read(request).await?;
    request::chat(house, &proof, Untrusted::new(token, body)).await
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
    let asked: EvidenceRequest = read_json(request).await?;
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

async fn peer(session: &Session, request: Request<Incoming>) -> Result<Response<Body>, ApiError> {
    let given: PeerRequest = read_json(request).await?;
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
    Token(value.strip_prefix(b"Bearer ").unwrap_or_default().to_vec())
}

async fn read(request: Request<Incoming>) -> Result<Bytes, ApiError> {
    let body = Limited::new(request.into_body(), MAX_BODY).collect();
    match tokio::time::timeout(BODY_TIMEOUT, body).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(e)) if e.is::<http_body_util::LengthLimitError>() => Err(ApiError::too_large(MAX_BODY)),
        Ok(Err(_)) | Err(_) => {
            Err(ApiError::invalid("incomplete_body", "the request body did not arrive whole"))
        }
    }
}

async fn read_json<T: for<'a> Deserialize<'a>>(request: Request<Incoming>) -> Result<T, ApiError> {
    let body = read(request).await?;
    serde_json::from_slice(&body)
        .map_err(|_| ApiError::invalid("invalid_json", "the body is not the JSON object of this route"))
}

fn decode(text: &str, name: &str) -> Result<Vec<u8>, ApiError> {
    B64.decode(text).map_err(|_| {
        ApiError::parameter(name, "invalid_value", format!("{name} is not base64url without padding"))
    })
}

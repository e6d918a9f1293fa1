//! The routes of approvers. What is asked goes to the sentinel, which alone knows who may ask.

use super::error::ApiError;
use super::{decode, proven, read_json, token};
use crate::answer::{Body, whole};
use crate::request::{House, asker};
use crate::session::Session;
use adyton_wire::control::{Denial, HoldView, StateView, Told, Wish};
use base64::{Engine as _, prelude::BASE64_STANDARD as B64};
use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

/// Largest ballot: 128 bytes of statement, a key and a signature, in JSON.
const MAX_BALLOT: usize = 1024;

/// `GET /adyton/v1/state`, `GET /adyton/v1/holds`, `GET /adyton/v1/holds/{hold}`.
///
/// # Errors
/// [`ApiError`]
pub(super) async fn look(
    house: &House,
    session: &Session,
    request: Request<Incoming>,
) -> Result<Response<Body>, ApiError> {
    let wish = match request.uri().path() {
        "/adyton/v1/state" => Wish::State,
        "/adyton/v1/holds" => Wish::Holds,
        path => {
            let name = path.strip_prefix("/adyton/v1/holds/").unwrap_or_default();
            let mut hold = [0; 16];
            hex::decode_to_slice(name, &mut hold).map_err(|_| ApiError::from(Denial::NoSuchHold))?;
            Wish::Hold(hold)
        }
    };
    let told = ask(house, session, request, wish).await?;
    let json = match told {
        Told::State(state) => state_json(&state),
        Told::Holds(holds) => json!({ "holds": holds.iter().map(hold_json).collect::<Vec<_>>() }),
        Told::Hold(hold) => {
            let mut json = hold_json(&hold);
            json["text"] = house.held.text(&hold.hold).map(|text| B64.encode(&text)).into();
            json
        }
        Told::Counted { .. } | Told::SecretKey { .. } | Told::Taken => return Err(ApiError::offline()),
    };
    Ok(whole(StatusCode::OK, json.to_string().into_bytes()))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Ballot {
    statement: String,
    signer: String,
    signature: String,
}

impl Ballot {
    /// Nothing is verified.
    pub(super) fn read(&self) -> Result<Signed, ApiError> {
        let mut signer = [0; 32];
        hex::decode_to_slice(&self.signer, &mut signer).map_err(|_| {
            ApiError::parameter("signer", "invalid_value", "signer is not 64 hexadecimal digits")
        })?;
        let statement = decode(&self.statement, "statement")?;
        Ok(Signed { statement, signer, signature: decode(&self.signature, "signature")? })
    }
}

/// A ballot's parts.
pub(super) struct Signed {
    pub(super) statement: Vec<u8>,
    pub(super) signer: [u8; 32],
    pub(super) signature: Vec<u8>,
}

/// `POST /adyton/v1/ballots`.
///
/// # Errors
/// [`ApiError`]
pub(super) async fn ballot(
    house: &House,
    session: &Session,
    request: Request<Incoming>,
) -> Result<Response<Body>, ApiError> {
    let asker = asker(&proven(session)?, token(&request));
    let given: Ballot = read_json(house, request, MAX_BALLOT).await?;
    let Signed { statement, signer, signature } = given.read()?;
    let told = house.gate.people(asker, Wish::Ballot { statement, signer, signature }).await;
    match told.map_err(|_silent| ApiError::offline())?? {
        Told::Counted { missing } => {
            Ok(whole(StatusCode::OK, json!({ "missing": missing }).to_string().into_bytes()))
        }
        _ => Err(ApiError::offline()),
    }
}

pub(super) async fn ask(
    house: &House,
    session: &Session,
    request: Request<Incoming>,
    wish: Wish,
) -> Result<Told, ApiError> {
    let asker = asker(&proven(session)?, token(&request));
    let told = house.gate.people(asker, wish).await;
    Ok(told.map_err(|_silent| ApiError::offline())??)
}

fn state_json(state: &StateView) -> Value {
    json!({
        "boot": hex::encode(state.boot),
        "epoch": state.epoch,
        "online": state.offline.is_none(),
        "reason": state.offline,
        "since_ms": state.since_ms,
        "quarantined": state.quarantined.iter().map(hex::encode).collect::<Vec<_>>(),
        "drift": state.drift,
        "cold": state.cold,
    })
}

fn hold_json(hold: &HoldView) -> Value {
    json!({
        "hold": hex::encode(hold.hold),
        "boot": hex::encode(hold.boot),
        "principal": hold.principal,
        "tenant": hold.tenant,
        "purpose": hold.purpose,
        "request": hex::encode(hold.request),
        "max_tokens": hold.max_tokens,
        "prompt_bytes": hold.prompt_bytes,
        "risk": hold.risk,
        "policies": hold.policies,
        "persons": hold.persons,
        "allowed": hold.allowed,
        "opened_ms": hold.opened_ms,
        "ends_ms": hold.ends_ms,
    })
}

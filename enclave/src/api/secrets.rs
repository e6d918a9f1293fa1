//! The routes by which an approver hands the sentinel a secret. The worker carries a box that it cannot open.

use super::error::ApiError;
use super::people::{Ballot, Signed, ask};
use super::{decode, proven, read_json, token};
use crate::answer::{Body, whole};
use crate::request::{House, asker};
use crate::session::Session;
use adyton_wire::control::{Told, Wish};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as B64;
use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode};
use serde::Deserialize;
use serde_json::json;

/// Largest request: a ballot, and a box of 4 KiB in base64.
const MAX_BODY: usize = 8 * 1024;

/// `POST /adyton/v1/secrets/key`: a key of the sentinel's, good for one box.
///
/// # Errors
/// [`ApiError`]
pub(super) async fn key(
    house: &House,
    session: &Session,
    request: Request<Incoming>,
) -> Result<Response<Body>, ApiError> {
    let Told::SecretKey { boot, key, signature } = ask(house, session, request, Wish::SecretKey).await?
    else {
        return Err(ApiError::offline());
    };
    let json = json!({
        "boot": hex::encode(boot),
        "key": hex::encode(key),
        "signature": B64.encode(signature),
    });
    Ok(whole(StatusCode::OK, json.to_string().into_bytes()))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SecretRequest {
    ballot: Ballot,
    encapsulated: String,
    ciphertext: String,
}

/// `POST /adyton/v1/secrets`: a box, and the ballot over it.
///
/// # Errors
/// [`ApiError`]
pub(super) async fn take(
    house: &House,
    session: &Session,
    request: Request<Incoming>,
) -> Result<Response<Body>, ApiError> {
    let asker = asker(&proven(session)?, token(&request));
    let given: SecretRequest = read_json(house, request, MAX_BODY).await?;
    let Signed { statement, signer, signature } = given.ballot.read()?;
    let mut encapsulated = [0; 32];
    hex::decode_to_slice(&given.encapsulated, &mut encapsulated).map_err(|_| {
        ApiError::parameter("encapsulated", "invalid_value", "encapsulated is not 64 hexadecimal digits")
    })?;
    let ciphertext = decode(&given.ciphertext, "ciphertext")?;
    let wish = Wish::Secret { statement, signer, signature, encapsulated, ciphertext };
    let told = house.gate.people(asker, wish).await;
    match told.map_err(|_silent| ApiError::offline())?? {
        Told::Taken => Ok(whole(StatusCode::OK, json!({ "taken": true }).to_string().into_bytes())),
        _ => Err(ApiError::offline()),
    }
}

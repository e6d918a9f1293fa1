//! What an approver asks an enclave for, and says to it.
//!
//! Promises
//! - A vote is signed over the digest of the text that was shown, and only if the enclave names the same one.
//! - What an enclave answers is bounded before it is read.
//!
//! Trusts: the enclave behind the session, for what it says of holds and of its state.

use crate::chat::ChatError;
use crate::session::{AttestedSession, Broken};
use adyton_attestation::Timestamp;
use adyton_attestation::ballot::{Ballot, Order, Statement};
use adyton_attestation::ed25519::Signer;
use base64::{Engine as _, prelude::BASE64_STANDARD, prelude::BASE64_URL_SAFE_NO_PAD};
use bytes::Bytes;
use hyper::Method;
use ring::digest::{SHA256, digest};
use serde::Deserialize;
use serde_json::{Value, json};
use thiserror::Error;

/// Why an approver's wish came to nothing.
#[derive(Debug, Error)]
pub enum PeopleError {
    /// The connection broke, or the enclave refused.
    #[error(transparent)]
    Refused(#[from] ChatError),
    /// It answered something else.
    #[error("the enclave's answer is not that of this route: {0}")]
    Answer(String),
    /// The text is not what is asked to be approved.
    #[error("the enclave shows a text that is not the one it asks to approve; do not vote")]
    Text,
}

/// One hold.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields)]
pub struct Hold {
    /// Its name.
    #[serde(with = "hex::serde")]
    pub hold: [u8; 16],
    /// Which boot.
    #[serde(with = "hex::serde")]
    pub boot: [u8; 16],
    /// Who asks.
    pub principal: String,
    /// Of which tenant.
    pub tenant: String,
    /// What for.
    pub purpose: String,
    /// SHA-256 of the request.
    #[serde(with = "hex::serde")]
    pub request: [u8; 32],
    /// Most tokens.
    pub max_tokens: u32,
    /// Size of the request, in bytes.
    pub prompt_bytes: u32,
    /// 0 to 100, by behaviour.
    pub risk: u8,
    /// The policies that want persons.
    pub policies: String,
    /// How many they want.
    pub persons: u8,
    /// Who has allowed it.
    pub allowed: Vec<String>,
    /// Milliseconds since 1970.
    pub opened_ms: u64,
    /// The same.
    pub ends_ms: u64,
    /// The request, base64, where one hold was asked for and its text is still there.
    #[serde(default)]
    text: Option<String>,
}

impl Hold {
    /// The request's bytes: what is asked to be approved.
    ///
    /// # Errors
    /// [`PeopleError::Text`] if they are not those whose digest the hold names.
    pub fn text(&self) -> Result<Option<Vec<u8>>, PeopleError> {
        let Some(text) = &self.text else { return Ok(None) };
        let text = BASE64_STANDARD.decode(text).map_err(|_| PeopleError::Text)?;
        if digest(&SHA256, &text).as_ref() == self.request { Ok(Some(text)) } else { Err(PeopleError::Text) }
    }

    /// A vote on it.
    pub fn vote(&self, signer: &Signer, allow: bool) -> Ballot {
        let Hold { boot, hold, request, .. } = *self;
        Ballot::sign(signer, &Statement::Vote { boot, hold, request, allow })
    }
}

/// The state of the AI.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// Which boot.
    #[serde(with = "hex::serde")]
    pub boot: [u8; 16],
    /// Which state of it.
    pub epoch: u64,
    /// Whether it works.
    pub online: bool,
    /// Why not.
    pub reason: Option<String>,
    /// Since when, in milliseconds since 1970.
    pub since_ms: u64,
    /// Pseudonyms of the principals that are shut out.
    pub quarantined: Vec<String>,
    /// What normal has drifted by.
    pub drift: Option<String>,
    /// Whether nothing is known of behaviour yet.
    pub cold: bool,
}

impl State {
    /// An order for this state.
    pub fn order(&self, signer: &Signer, order: Order, until: Timestamp) -> Ballot {
        let State { boot, epoch, .. } = *self;
        Ballot::sign(signer, &Statement::Order { boot, epoch, until, order })
    }
}

/// The state.
///
/// # Errors
/// [`PeopleError`]
pub async fn state(session: &AttestedSession, token: Option<&str>) -> Result<State, PeopleError> {
    get(session, token, "/adyton/v1/state").await
}

/// What waits for persons.
///
/// # Errors
/// [`PeopleError`]
pub async fn holds(session: &AttestedSession, token: Option<&str>) -> Result<Vec<Hold>, PeopleError> {
    #[derive(Deserialize)]
    struct Holds {
        holds: Vec<Hold>,
    }
    get::<Holds>(session, token, "/adyton/v1/holds").await.map(|list| list.holds)
}

/// One of them, with its text.
///
/// # Errors
/// [`PeopleError`]
pub async fn hold(
    session: &AttestedSession,
    token: Option<&str>,
    hold: &[u8; 16],
) -> Result<Hold, PeopleError> {
    get(session, token, &format!("/adyton/v1/holds/{}", hex::encode(hold))).await
}

/// Hands a ballot in. Returns how many more are needed.
///
/// # Errors
/// [`PeopleError`]
pub async fn cast(
    session: &AttestedSession,
    token: Option<&str>,
    ballot: &Ballot,
) -> Result<u8, PeopleError> {
    let body = Bytes::from(written(ballot).to_string());
    let answered: Value = ask(session, Method::POST, "/adyton/v1/ballots", token, body).await?;
    let missing = answered.get("missing").and_then(Value::as_u64).and_then(|n| u8::try_from(n).ok());
    missing.ok_or_else(|| PeopleError::Answer("no number of missing ballots".into()))
}

/// A ballot, as an enclave reads it.
pub(crate) fn written(ballot: &Ballot) -> Value {
    json!({
        "statement": BASE64_URL_SAFE_NO_PAD.encode(&ballot.statement),
        "signer": ballot.signer.to_string(),
        "signature": BASE64_URL_SAFE_NO_PAD.encode(ballot.signature),
    })
}

async fn get<T: for<'a> Deserialize<'a>>(
    session: &AttestedSession,
    token: Option<&str>,
    path: &str,
) -> Result<T, PeopleError> {
    ask(session, Method::GET, path, token, Bytes::new()).await
}

pub(crate) async fn ask<T: for<'a> Deserialize<'a>>(
    session: &AttestedSession,
    method: Method,
    path: &str,
    token: Option<&str>,
    body: Bytes,
) -> Result<T, PeopleError> {
    let response = session.send(method, path, token, body).await.map_err(ChatError::from)?;
    let response = crate::chat::accepted(response).await?;
    let bytes = crate::chat::read(response, MAX_ANSWER).await.map_err(|e: Broken| ChatError::from(e))?;
    serde_json::from_slice(&bytes).map_err(|e| PeopleError::Answer(e.to_string()))
}

/// Largest answer: a request of 1 MiB in base64, and what is said about it.
const MAX_ANSWER: usize = 2 << 20;

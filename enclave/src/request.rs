//! The main path: `Untrusted -> (Grant, Screened<Prompt>) -> TokenStream -> Released -> bytes`.
//!
//! This file joins the parts and nothing else. Each arrow is a value with one maker, and the next step takes it:
//! leaving a step out does not compile.

use crate::answer::{self, Body, whole};
use crate::api::error::ApiError;
use crate::api::openai::ChatRequest;
use crate::gate::{Gate, Grant};
use crate::lease::Lease;
use crate::scheduler::Scheduler;
use crate::session::AttestedSession;
use adyton_guardrail::{Guardrail, Refused};
use adyton_wire::control::{Action, MAX_TOKEN, Token};
use bytes::Bytes;
use hyper::{Response, StatusCode};
use std::sync::Arc;
use std::time::Instant;

/// The parts that the path runs through.
pub struct House {
    /// The name under which the model is offered.
    pub name: String,
    /// The sentinel.
    pub gate: Gate,
    /// What enters and what leaves is screened here.
    pub guardrail: Guardrail,
    /// The engine.
    pub scheduler: Scheduler,
    /// The right to generate.
    pub lease: Arc<Lease>,
}

/// A request as it came: bytes that anybody may have written.
pub struct Untrusted {
    token: Token,
    body: Bytes,
}

impl Untrusted {
    /// What a connection delivered.
    pub fn new(token: Token, body: Bytes) -> Untrusted {
        Untrusted { token, body }
    }
}

/// `POST /v1/chat/completions`.
///
/// # Errors
/// [`ApiError`] if any step refuses. Nothing was generated then.
pub async fn chat(
    house: &Arc<House>,
    session: &AttestedSession,
    untrusted: Untrusted,
) -> Result<Response<Body>, ApiError> {
    let asked = ChatRequest::parse(&untrusted.body)?;
    let action = Action::Generate {
        model: asked.model,
        purpose: asked.purpose,
        max_tokens: asked.max_tokens,
        prompt_bytes: u32::try_from(untrusted.body.len()).unwrap_or(u32::MAX),
    };
    let grant = permitted(house, session, untrusted.token, action).await?;
    let (prompt, verdict) = house.guardrail.screen(asked.prompt).map_err(refused)?;
    let tokens = house.scheduler.generate(grant, &prompt, asked.sampling)?;
    answer::respond(house, tokens, verdict, asked.stream, &untrusted.body).await
}

/// `GET /v1/models`.
///
/// # Errors
/// [`ApiError`] if the sentinel does not permit it.
pub async fn models(
    house: &House,
    session: &AttestedSession,
    token: Token,
) -> Result<Response<Body>, ApiError> {
    permitted(house, session, token, Action::ListModels).await?;
    let model =
        serde_json::json!({ "id": house.name, "object": "model", "created": 0, "owned_by": "adyton" });
    let list = serde_json::json!({ "object": "list", "data": [model] });
    Ok(whole(StatusCode::OK, list.to_string().into_bytes()))
}

/// The sentinel's grant for one action.
async fn permitted(
    house: &House,
    session: &AttestedSession,
    token: Token,
    action: Action,
) -> Result<Grant, ApiError> {
    if !house.lease.holds(Instant::now()) {
        return Err(ApiError::offline());
    }
    // Longer ones are refused anyway; this keeps the control frame within its bound.
    let token = if token.0.len() > MAX_TOKEN { Token(b"too long".to_vec()) } else { token };
    let decided = house.gate.grant(token, session.peer_attested(), action).await;
    decided.map_err(|_silent| ApiError::offline())?.map_err(ApiError::from)
}

fn refused(refused: Refused) -> ApiError {
    let message = refused.to_string();
    match refused {
        Refused::Blocked(_) => ApiError::blocked(message),
        Refused::Empty | Refused::TooLong { .. } | Refused::TooMany { .. } => {
            ApiError::parameter("messages", "invalid_value", message)
        }
    }
}

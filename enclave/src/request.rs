//! The main path: `Untrusted -> (Grant, Screened<Prompt>) -> TokenStream -> Released -> bytes`.
//!
//! This file joins the parts and nothing else. Each arrow is a value with one maker, and the next step takes it:
//! leaving a step out does not compile.

use crate::answer::{self, Body, Inputs, Manner, whole};
use crate::api;
use crate::api::embeddings::EmbeddingRequest;
use crate::api::error::ApiError;
use crate::api::openai::ChatRequest;
use crate::embedder::Embedder;
use crate::gate::{Asker, Gate, Grant, NotGranted};
use crate::generator::{Asked, Generator, TokenStream};
use crate::held::HeldTexts;
use crate::lease::Lease;
use crate::library::{self, Library, Sent};
use crate::session::AttestedSession;
use crate::tools::Tools;
use crate::tools::rounds::{self, Turn};
use adyton_guardrail::{Guardrail, Prompt, Refused, Screened, Verdict};
use adyton_wire::control::{Action, MAX_TOKEN, Token};
use bytes::Bytes;
use hyper::{Response, StatusCode};
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::Semaphore;

/// The parts that the path runs through.
pub struct House {
    /// The name under which the model is offered.
    pub name: String,
    /// The sentinel.
    pub gate: Gate,
    /// What enters and what leaves is screened here.
    pub guardrail: Guardrail,
    /// The engine.
    pub generator: Generator,
    /// The right to generate.
    pub lease: Arc<Lease>,
    /// Places for request bodies that are being read.
    pub reading: Semaphore,
    /// Requests that wait for persons, for approvers to read.
    pub held: HeldTexts,
    /// The tools that the enclave calls itself.
    pub tools: Tools,
    /// Documents that answers are made of.
    pub library: Library,
    /// The encoder, if the release has one.
    pub embedder: Option<Embedder>,
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
    let mut asked = ChatRequest::parse(&untrusted.body, &house.tools)?;
    let asker = asker(session, untrusted.token);
    let sources = match &asked.wanted {
        Some(wanted) => {
            let (purpose, prompt) = (&asked.purpose, &mut asked.prompt);
            // Whatever a document says, nobody vouches for it.
            asked.unvouched = true;
            Some(library::consult(house, &asker, purpose, wanted, prompt, &untrusted.body).await?)
        }
        None => None,
    };
    let mut turns = 0;
    loop {
        let manner = Manner { stream: asked.stream, calls: asked.form.calls() };
        let (tokens, verdict) = begin(house, &asker, &asked, &untrusted.body).await?;
        let inputs = Inputs { verdict, sources: sources.clone() };
        if !asked.inside {
            return answer::respond(house, tokens, inputs, manner, &untrusted.body).await;
        }
        match rounds::listen(house, tokens, manner.calls).await {
            Turn::Words(tokens) => {
                let manner = Manner { calls: None, ..manner };
                return answer::respond(house, tokens, inputs, manner, &untrusted.body).await;
            }
            Turn::Calls(said) => {
                rounds::answer_calls(house, &asker, &asked.purpose, &mut asked.prompt, &said).await?;
                turns += 1;
                asked.form = rounds::next(asked.form, turns);
                asked.unvouched = true;
            }
        }
    }
}

/// Asks for a grant, screens the prompt and begins to generate.
async fn begin(
    house: &Arc<House>,
    asker: &Asker,
    asked: &ChatRequest,
    body: &Bytes,
) -> Result<(TokenStream, Verdict), ApiError> {
    let action = Action::Generate {
        model: asked.model.clone(),
        purpose: asked.purpose.clone(),
        max_tokens: asked.max_tokens.saturating_mul(asked.answers),
        prompt_bytes: u32::try_from(body.len()).unwrap_or(u32::MAX),
        request: digest(body),
        untrusted: asked.unvouched,
    };
    let grant = granted(house, asker.clone(), action, body).await?;
    let answers = asked.answers as usize;
    let places = house.generator.places(&grant, answers)?;
    let (sampling, limit, session) = (asked.sampling.clone(), asked.limit, asker.session);
    let (prompt, form) = (asked.prompt.clone(), asked.form.clone());
    let working = Arc::clone(house);
    // Screening and encoding take long for a long prompt; this thread serves every connection and the lease.
    let begun = tokio::task::spawn_blocking(move || {
        let (prompt, verdict) = working.guardrail.screen(prompt).map_err(refused)?;
        let sampling = match form.shape()? {
            Some(shape) => sampling.shape(shape),
            None => sampling,
        };
        let asked_for = Asked { sampling, limit, answers, session };
        let tokens = working.generator.generate(places, grant, &prompt, asked_for)?;
        Ok::<_, ApiError>((tokens, verdict))
    });
    begun.await.map_err(|_panicked| ApiError::offline())?
}

/// The sentinel's grant.
async fn granted(house: &House, asker: Asker, action: Action, body: &Bytes) -> Result<Grant, ApiError> {
    house.check_lease()?;
    let decided = house.gate.grant(asker, action).await.map_err(|_silent| ApiError::offline())?;
    decided.map_err(|not| refuse_held(house, not, body))
}

/// Why there is no grant, for the client. What waits for persons is kept for them to read.
pub(crate) fn refuse_held(house: &House, not: NotGranted, body: &[u8]) -> ApiError {
    match not {
        NotGranted::Denied(denial) => denial.into(),
        NotGranted::Held { hold, missing, ends_in } => {
            house.held.keep(hold, body, Instant::now() + ends_in);
            ApiError::held(&hold, missing, ends_in)
        }
    }
}

/// `POST /v1/embeddings`: as [`chat`], with vectors for tokens.
///
/// # Errors
/// [`ApiError`] if any step refuses.
pub async fn embeddings(
    house: &Arc<House>,
    session: &AttestedSession,
    untrusted: Untrusted,
) -> Result<Response<Body>, ApiError> {
    let asked = EmbeddingRequest::parse(&untrusted.body)?;
    let action = Action::Embed {
        model: asked.model.clone(),
        purpose: asked.purpose.clone(),
        texts: u32::try_from(asked.texts.len()).unwrap_or(u32::MAX),
        text_bytes: asked.bytes(),
        request: digest(&untrusted.body),
    };
    let grant = granted(house, asker(session, untrusted.token), action, &untrusted.body).await?;
    // Without an encoder the sentinel knows no such model.
    let embedder = house.embedder.as_ref().ok_or_else(ApiError::offline)?;
    if asked.dimensions.is_some_and(|asked| asked != embedder.width()) {
        let message = format!("this model has {} dimensions", embedder.width());
        return Err(ApiError::parameter("dimensions", "invalid_value", message));
    }
    let (texts, verdict) = screened(house, asked.texts).await?;
    let embedded = embedder.embed(&texts).await?;
    let body = api::embeddings::answer(embedder.name(), &embedded.vectors, embedded.tokens, asked.packed);
    answer::sealed(house, grant.spend(), verdict, &untrusted.body, body).await
}

/// `PUT /adyton/v1/collections/{collection}/documents`.
///
/// # Errors
/// [`ApiError`] if any step refuses. Nothing was written then.
pub async fn write_document(
    house: &Arc<House>,
    session: &AttestedSession,
    collection: &str,
    untrusted: Untrusted,
) -> Result<Response<Body>, ApiError> {
    let sent: Sent = serde_json::from_slice(&untrusted.body)
        .map_err(|_| ApiError::invalid("invalid_json", "the body is not the JSON object of this route"))?;
    let asker = asker(session, untrusted.token);
    let passages = library::take_in(house, &asker, collection, sent, &untrusted.body).await?;
    Ok(whole(StatusCode::OK, serde_json::json!({ "passages": passages }).to_string().into_bytes()))
}

/// Screens texts, each for itself, beside the thread that serves the connections. With them comes the strictest verdict.
pub(crate) async fn screened(
    house: &Arc<House>,
    texts: Vec<Prompt>,
) -> Result<(Vec<Screened<Prompt>>, &'static str), ApiError> {
    let working = Arc::clone(house);
    let screen = move || -> Result<Vec<_>, Refused> {
        texts.into_iter().map(|text| working.guardrail.screen(text)).collect()
    };
    let screened = tokio::task::spawn_blocking(screen).await.map_err(|_panicked| ApiError::offline())?;
    let (texts, verdicts): (Vec<_>, Vec<_>) = screened.map_err(refused)?.into_iter().unzip();
    let word = verdicts.iter().map(Verdict::word).find(|word| *word != "pass").unwrap_or("pass");
    Ok((texts, word))
}

/// Who asks, for the sentinel.
pub(crate) fn asker(session: &AttestedSession, token: Token) -> Asker {
    Asker { token: bounded(token), attested: session.peer_attested(), session: session.id() }
}

/// SHA-256.
pub(crate) fn digest(body: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(ring::digest::digest(&ring::digest::SHA256, body).as_ref());
    out
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
    house.check_lease()?;
    let decided = house.gate.permit(asker(session, token), Action::ListModels).await;
    decided.map_err(|_silent| ApiError::offline())??;
    let names = [house.name.as_str()].into_iter().chain(house.embedder.as_ref().map(Embedder::name));
    let models: Vec<_> = names
        .map(|id| serde_json::json!({ "id": id, "object": "model", "created": 0, "owned_by": "adyton" }))
        .collect();
    let list = serde_json::json!({ "object": "list", "data": models });
    Ok(whole(StatusCode::OK, list.to_string().into_bytes()))
}

impl House {
    pub(crate) fn check_lease(&self) -> Result<(), ApiError> {
        if self.lease.holds(Instant::now()) { Ok(()) } else { Err(ApiError::offline()) }
    }
}

/// A token over the limit is refused anyway; this keeps the control frame within its bound.
fn bounded(token: Token) -> Token {
    if token.0.len() > MAX_TOKEN { Token(b"too long".to_vec()) } else { token }
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

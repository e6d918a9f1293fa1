//! The main path: `Untrusted -> (Grant, Screened<Prompt>) -> TokenStream -> Released -> bytes`.
//!
//! This file joins the parts and nothing else. Each arrow is a value with one maker, and the next step takes it:
//! leaving a step out does not compile.

use crate::answer::{self, Body, Exit, Manner, whole};
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
use adyton_guardrail::{
    Examined, Guardrails, Instructions, Passed, Prompt, Refused, Role, Screened, Verdict, Watch,
};
use adyton_wire::control::{Action, MAX_TOKEN, Screened as Told, Token};
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
    /// What enters and what leaves is screened here, by the section that a grant names.
    pub guardrails: Guardrails,
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
        // What persons would be shown: later turns have more than the client sent.
        let shown = if turns == 0 { untrusted.body.clone() } else { rounds::transcript(&asked.prompt) };
        let (tokens, exit) = begin(house, &asker, &asked, &shown, &untrusted.body).await?;
        let exit = Exit { sources: sources.clone(), ..exit };
        if !asked.inside {
            return answer::respond(house, tokens, exit, manner, &untrusted.body).await;
        }
        match rounds::listen(house, &exit, tokens, manner.calls).await {
            Turn::Words(tokens) => {
                let manner = Manner { calls: None, ..manner };
                return answer::respond(house, tokens, exit, manner, &untrusted.body).await;
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

/// Asks for a grant, screens the prompt and begins to generate. `shown` is what persons read, where they must approve.
async fn begin(
    house: &Arc<House>,
    asker: &Asker,
    asked: &ChatRequest,
    shown: &Bytes,
    body: &Bytes,
) -> Result<(TokenStream, Exit), ApiError> {
    let action = |request: &Bytes, held: Vec<String>| Action::Generate {
        model: asked.model.clone(),
        purpose: asked.purpose.clone(),
        max_tokens: asked.max_tokens.saturating_mul(asked.answers),
        prompt_bytes: u32::try_from(body.len()).unwrap_or(u32::MAX),
        request: digest(request),
        untrusted: asked.unvouched,
        held,
    };
    let grant = granted(house, asker.clone(), action(body, Vec::new()), body).await?;
    let answers = asked.answers as usize;
    let places = house.generator.places(&grant, answers)?;
    let (grant, section, passed) = match examined(house, grant, asked).await? {
        (grant, section, Examined::Clear(passed)) => (grant, section, passed),
        (grant, section, Examined::Held(held)) => {
            // This one was for a prompt with nothing in it that waits; the sentinel decides anew.
            grant.refuse(told(held.verdict()));
            let detectors = held.detectors().into_iter().map(str::to_owned).collect();
            let approved = granted(house, asker.clone(), action(shown, detectors), shown).await?;
            if approved.section() != section {
                return Err(ApiError::offline());
            }
            (approved, section, held.lift())
        }
    };
    let guardrail = house.guardrails.section(section).ok_or_else(ApiError::offline)?.clone();
    let Passed { prompt, verdict, restore } = passed;
    let exit =
        Exit { guardrail, restore, input: verdict, watch: watch(house, section, &prompt)?, sources: None };
    let (sampling, limit, session) = (asked.sampling.clone(), asked.limit, asker.session);
    let (form, working) = (asked.form.clone(), Arc::clone(house));
    let begun = tokio::task::spawn_blocking(move || {
        let sampling = match form.shape()? {
            Some(shape) => sampling.shape(shape),
            None => sampling,
        };
        let asked_for = Asked { sampling, limit, answers, session };
        Ok::<_, ApiError>(working.generator.generate(places, grant, &prompt, asked_for)?)
    });
    let tokens = begun.await.map_err(|_panicked| ApiError::offline())??;
    Ok((tokens, exit))
}

/// Screens what the engine would get, by the section that the grant names. A refusal gives the grant back, and says why.
async fn examined(
    house: &Arc<House>,
    grant: Grant,
    asked: &ChatRequest,
) -> Result<(Grant, u16, Examined), ApiError> {
    let section = grant.section();
    let (working, prompt, beside) = (Arc::clone(house), asked.prompt.clone(), asked.beside.clone());
    // Screening and encoding take long for a long prompt; this thread serves every connection and the lease.
    let examined = tokio::task::spawn_blocking(move || {
        let guardrail = working.guardrails.section(section)?;
        Some(guardrail.examine(prompt, &beside))
    });
    let examined = examined.await.ok().flatten().ok_or_else(ApiError::offline)?;
    match examined {
        Ok(examined) => Ok((grant, section, examined)),
        Err(refusal) => {
            if let Refused::Blocked(verdict) = &refusal {
                grant.refuse(told(verdict));
            }
            Err(refused(refusal))
        }
    }
}

/// What looks for protected material in the answers, the instructions of this prompt among it.
fn watch(house: &House, section: u16, prompt: &Screened<Prompt>) -> Result<Watch, ApiError> {
    let salt = answer::random().ok_or_else(ApiError::offline)?;
    let system = prompt.get().messages.iter().filter(|message| message.role == Role::System);
    let instructions = Instructions::of(system.map(|message| message.content.expose()), &salt);
    house.guardrails.watch(section, &Arc::new(instructions)).ok_or_else(ApiError::offline)
}

/// A verdict, for the sentinel.
pub(crate) fn told(verdict: &Verdict) -> Told {
    Told { findings: u8::try_from(verdict.findings.len()).unwrap_or(u8::MAX), score: verdict.score }
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
    let (texts, verdict) = screened(house, grant.section(), asked.texts).await?;
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
    section: u16,
    texts: Vec<Prompt>,
) -> Result<(Vec<Screened<Prompt>>, &'static str), ApiError> {
    let guardrail = house.guardrails.section(section).ok_or_else(ApiError::offline)?.clone();
    let screen =
        move || -> Result<Vec<_>, Refused> { texts.into_iter().map(|text| guardrail.screen(text)).collect() };
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

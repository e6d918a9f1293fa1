//! One question, one streamed answer, one verified receipt.

use crate::answer::{Kept, Unreliable, check};
use crate::session::{AttestedSession, Broken};
use adyton_attestation::anchor::TrustAnchor;
use adyton_attestation::appraisal::Report;
use adyton_attestation::receipt::{Bundle, VerifiedReceipt};
use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::{Method, Response};
use serde_json::{Value, json};
use std::time::Duration;
use thiserror::Error;

/// Largest error body that is read.
const MAX_ERROR: usize = 64 * 1024;

/// What to ask, and how.
#[derive(Clone, Debug, Default)]
pub struct Question {
    /// The model; the enclave's first if `None`.
    pub model: Option<String>,
    /// Instructions in front of the prompt.
    pub system: Option<String>,
    /// The prompt.
    pub prompt: String,
    /// The declared purpose.
    pub purpose: Option<String>,
    /// Tools of the enclave that it may call, by name.
    pub tools: Vec<String>,
    /// The collection to answer from.
    pub collection: Option<String>,
    /// Most passages of it.
    pub passages: Option<u32>,
    /// Most tokens of the answer.
    pub max_tokens: Option<u32>,
    /// Sampling temperature.
    pub temperature: Option<f32>,
    /// Sampling seed.
    pub seed: Option<i64>,
}

/// Why there is no whole answer.
#[derive(Debug, Error)]
pub enum ChatError {
    /// The connection broke. What was shown until then is not an answer.
    #[error(transparent)]
    Broken(#[from] Broken),
    /// The enclave refused the request.
    #[error("{message} ({status}, {code})")]
    Refused {
        /// HTTP status.
        status: u16,
        /// OpenAI's code.
        code: String,
        /// For people.
        message: String,
    },
    /// The enclave cut the answer. What was shown until then is not an answer.
    #[error("the enclave cut the answer short: {0}")]
    Cut(String),
    /// The receipt does not hold.
    #[error(transparent)]
    Unreliable(#[from] Unreliable),
}

impl ChatError {
    /// Whether the request waits for persons. It may be sent again, and is answered once they have approved.
    pub fn is_pending(&self) -> bool {
        matches!(self, ChatError::Refused { status, code, .. } if *status == 409 && code == "approval_pending")
    }
}

/// How long to wait before a request that waits for persons is sent again.
pub const AGAIN: Duration = Duration::from_secs(2);

/// Header of a refusal that names the hold on which the request waits.
pub(crate) const HOLD_HEADER: &str = "adyton-hold";

/// A whole answer.
pub struct Answered {
    /// Everything needed to verify it again later.
    pub bundle: Bundle,
    /// The verified receipt.
    pub receipt: VerifiedReceipt,
    /// How it was verified.
    pub report: Report,
    /// Why the model stopped.
    pub finish_reason: String,
    /// The text.
    pub text: String,
    /// The passages that it was made from, as the enclave lists them: covered by the receipt.
    pub passages: Vec<Value>,
}

/// Asks, and hands each piece of text to `on_text` as it comes.
///
/// # Errors
/// [`ChatError`]; only `Ok` is an answer.
pub async fn chat(
    session: &AttestedSession,
    anchor: &TrustAnchor,
    token: Option<&str>,
    question: &Question,
    mut on_text: impl FnMut(&str),
) -> Result<Answered, ChatError> {
    let model = match &question.model {
        Some(model) => model.clone(),
        None => first_model(session, token).await?,
    };
    let body = Bytes::from(request_body(question, &model).to_string());
    let response = session.send(Method::POST, "/v1/chat/completions", token, body.clone()).await?;
    let response = accepted(response).await?;
    let mut kept = Kept::begin(&body, response.headers())?;
    let mut body = response.into_body();
    let (mut text, mut said, mut trailers) = (String::new(), Said::default(), None);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|e| Broken(e.to_string()))?;
        match frame.into_data() {
            Ok(bytes) => {
                for event in kept.push(&bytes)? {
                    let piece = read_event(&event, &mut said)?;
                    on_text(&piece);
                    text.push_str(&piece);
                }
            }
            Err(frame) => trailers = frame.into_trailers().ok(),
        }
    }
    let bundle = kept.finish(trailers.as_ref(), session)?;
    let (report, receipt) = check(&bundle, anchor, session.chains())?;
    let Said { finish_reason, passages } = said;
    Ok(Answered { bundle, receipt, report, finish_reason, text, passages })
}

fn request_body(question: &Question, model: &str) -> Value {
    let mut messages = Vec::new();
    if let Some(system) = &question.system {
        messages.push(json!({ "role": "system", "content": system }));
    }
    messages.push(json!({ "role": "user", "content": question.prompt }));
    let mut body = json!({ "model": model, "messages": messages, "stream": true });
    let mut set = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            body[name] = value;
        }
    };
    set("max_tokens", question.max_tokens.map(Value::from));
    set("temperature", question.temperature.map(Value::from));
    set("seed", question.seed.map(Value::from));
    let mut metadata = serde_json::Map::new();
    if let Some(purpose) = &question.purpose {
        metadata.insert("purpose".to_owned(), json!(purpose));
    }
    if !question.tools.is_empty() {
        metadata.insert("tools".to_owned(), json!(question.tools.join(",")));
    }
    if let Some(collection) = &question.collection {
        metadata.insert("collection".to_owned(), json!(collection));
    }
    if let Some(passages) = question.passages {
        metadata.insert("passages".to_owned(), json!(passages.to_string()));
    }
    set("metadata", (!metadata.is_empty()).then_some(Value::Object(metadata)));
    body
}

async fn first_model(session: &AttestedSession, token: Option<&str>) -> Result<String, ChatError> {
    let response = accepted(session.send(Method::GET, "/v1/models", token, Bytes::new()).await?).await?;
    let list: Value =
        serde_json::from_slice(&read(response, MAX_ERROR).await?).map_err(|e| Broken(e.to_string()))?;
    let id = list.pointer("/data/0/id").and_then(Value::as_str);
    Ok(id.ok_or_else(|| Broken("the enclave lists no model".into()))?.to_owned())
}

/// The response if its status says success, else OpenAI's error.
pub(crate) async fn accepted(response: Response<Incoming>) -> Result<Response<Incoming>, ChatError> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let error: Value = serde_json::from_slice(&read(response, MAX_ERROR).await?).unwrap_or_default();
    let field =
        |name: &str| error.pointer(&format!("/error/{name}")).and_then(Value::as_str).unwrap_or("unknown");
    Err(ChatError::Refused {
        status: status.as_u16(),
        code: field("code").to_owned(),
        message: field("message").to_owned(),
    })
}

pub(crate) async fn read(response: Response<Incoming>, limit: usize) -> Result<Bytes, Broken> {
    let body = Limited::new(response.into_body(), limit).collect().await;
    Ok(body.map_err(|e| Broken(e.to_string()))?.to_bytes())
}

/// What events say beside text.
#[derive(Default)]
struct Said {
    finish_reason: String,
    passages: Vec<Value>,
}

/// The text of one event. Notes why the model stopped, and which passages there were, if the event says so.
fn read_event(event: &[u8], said: &mut Said) -> Result<String, ChatError> {
    let data = event.strip_prefix(b"data: ").unwrap_or_default().trim_ascii_end();
    if data == b"[DONE]" {
        return Ok(String::new());
    }
    let event: Value = serde_json::from_slice(data).map_err(|e| Broken(e.to_string()))?;
    if let Some(message) = event.pointer("/error/message").and_then(Value::as_str) {
        return Err(ChatError::Cut(message.to_owned()));
    }
    if let Some(passages) = event.pointer("/adyton/passages").and_then(Value::as_array) {
        said.passages.clone_from(passages);
    }
    if let Some(reason) = event.pointer("/choices/0/finish_reason").and_then(Value::as_str) {
        reason.clone_into(&mut said.finish_reason);
    }
    Ok(event.pointer("/choices/0/delta/content").and_then(Value::as_str).unwrap_or_default().to_owned())
}

//! The answers' JSON, as OpenAI's API gives it.
//!
//! Promises: the only source of text is a [`Released`]; tokens and their likelihoods are those that the caller settled.

use crate::answer::random;
use crate::api::tools::Call;
use crate::library::citations;
use adyton_engine::{Candidate, Likelihood, Usage};
use adyton_guardrail::Released;
use serde_json::{Value, json};
use std::time::{SystemTime, UNIX_EPOCH};

/// An event for the client, or a whole answer.
pub(crate) struct Written(pub(crate) Value);

/// How one answer ended.
#[derive(Clone, Copy)]
pub(crate) struct Ended {
    /// OpenAI's word for it.
    pub(crate) reason: &'static str,
    pub(crate) usage: Usage,
}

/// A piece of one answer.
pub(crate) struct Choice {
    pub(crate) text: Released,
    pub(crate) likelihoods: Vec<Likelihood>,
    /// Calls of tools, as OpenAI gives them.
    pub(crate) calls: Vec<Call>,
    /// If this is the last piece.
    pub(crate) end: Option<Ended>,
}

/// The fields that all objects of one response share.
pub(crate) struct Envelope {
    id: String,
    created: u64,
    model: String,
    /// The passages that the prompt was made with, if any were looked up.
    passages: Option<Vec<Value>>,
}

impl Envelope {
    /// `None` if there is no randomness for an identifier.
    pub(crate) fn new(model: String, passages: Option<Vec<Value>>) -> Option<Envelope> {
        let id: [u8; 32] = random()?;
        let created = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let id = format!("chatcmpl-{}", hex::encode(id.first_chunk::<12>()?));
        Some(Envelope { id, created, model, passages })
    }

    pub(crate) fn opening(&self, answer: usize) -> Written {
        let opening = self.chunk(answer, &json!({ "role": "assistant", "content": "" }), &Value::Null, None);
        self.with_passages(opening)
    }

    /// Says which passages there were, beside OpenAI's fields.
    fn with_passages(&self, mut written: Written) -> Written {
        if let Some(passages) = &self.passages {
            written.0["adyton"] = json!({ "passages": passages });
        }
        written
    }

    /// The citations in a text; none where nothing was looked up.
    fn annotations(&self, text: &str) -> Option<Vec<Value>> {
        self.passages.as_ref().map(|passages| citations(text, passages))
    }

    /// The next text of an answer; `None` if there is nothing to say.
    pub(crate) fn piece(&self, answer: usize, choice: &Choice) -> Option<Written> {
        if choice.text.is_empty() && choice.likelihoods.is_empty() {
            return None;
        }
        let likelihoods = logprobs(choice.likelihoods.iter());
        Some(self.chunk(answer, &json!({ "content": choice.text.expose() }), &likelihoods, None))
    }

    /// The calls of an answer; `None` if there are none.
    pub(crate) fn calls(&self, answer: usize, calls: &[Call]) -> Option<Written> {
        let one = |(index, call): (usize, &Call)| {
            let mut call = call.0.clone();
            call["index"] = index.into();
            call
        };
        let list: Vec<Value> = calls.iter().enumerate().map(one).collect();
        let delta = json!({ "tool_calls": list });
        (!calls.is_empty()).then(|| self.chunk(answer, &delta, &Value::Null, None))
    }

    pub(crate) fn closing(&self, answer: usize, reason: &str, said: &str) -> Written {
        let delta = self.annotations(said).map_or(json!({}), |list| json!({ "annotations": list }));
        self.chunk(answer, &delta, &Value::Null, Some(reason))
    }

    fn chunk(&self, answer: usize, delta: &Value, logprobs: &Value, reason: Option<&str>) -> Written {
        let choice =
            json!({ "index": answer, "delta": delta, "logprobs": logprobs, "finish_reason": reason });
        Written(self.object("chat.completion.chunk", json!([choice]), Value::Null))
    }

    pub(crate) fn usage(&self, usage: Usage) -> Written {
        Written(self.object("chat.completion.chunk", json!([]), counts(usage)))
    }

    /// All answers, whole, from their pieces.
    pub(crate) fn completion(&self, said: &[Vec<Choice>], usage: Usage) -> Written {
        let one = |(answer, pieces): (usize, &Vec<Choice>)| {
            let text: String = pieces.iter().map(|piece| piece.text.expose()).collect();
            let calls: Vec<&Value> =
                pieces.iter().flat_map(|piece| &piece.calls).map(|call| &call.0).collect();
            let reason = pieces.iter().find_map(|piece| piece.end).map(|end| end.reason);
            let mut message = json!({ "role": "assistant", "content": text, "refusal": null });
            if let Some(annotations) = self.annotations(&text) {
                message["annotations"] = annotations.into();
            }
            if !calls.is_empty() {
                message["tool_calls"] = json!(calls);
                if text.is_empty() {
                    message["content"] = Value::Null;
                }
            }
            let logprobs = logprobs(pieces.iter().flat_map(|piece| &piece.likelihoods));
            json!({ "index": answer, "message": message, "logprobs": logprobs, "finish_reason": reason })
        };
        let choices: Vec<Value> = said.iter().enumerate().map(one).collect();
        self.with_passages(Written(self.object("chat.completion", choices.into(), counts(usage))))
    }

    fn object(&self, kind: &str, choices: Value, usage: Value) -> Value {
        json!({
            "id": self.id, "object": kind, "created": self.created, "model": self.model,
            "choices": choices, "usage": usage,
        })
    }
}

fn counts(usage: Usage) -> Value {
    json!({
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens.saturating_add(usage.completion_tokens),
    })
}

/// OpenAI's `logprobs`; null if there are none.
fn logprobs<'a>(likelihoods: impl Iterator<Item = &'a Likelihood>) -> Value {
    let one = |likelihood: &Likelihood| {
        let mut token = token(&likelihood.chosen);
        token["top_logprobs"] = likelihood.likeliest.iter().map(self::token).collect();
        token
    };
    let content: Vec<Value> = likelihoods.map(one).collect();
    if content.is_empty() { Value::Null } else { json!({ "content": content, "refusal": null }) }
}

fn token(candidate: &Candidate) -> Value {
    let bytes = candidate.bytes.as_slice();
    json!({ "token": String::from_utf8_lossy(bytes), "logprob": candidate.logprob, "bytes": bytes })
}

//! OpenAI's embeddings: the request, read strictly, and the answer.
//!
//! Does not: take token numbers in place of text (nobody could screen them), nor cut vectors to fewer dimensions.

use crate::api::error::ApiError;
use crate::api::openai;
use adyton_encoder::Embedding;
use adyton_guardrail::{Message, Prompt, Role, Text};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// Most texts of one request. OpenAI allows 2048.
pub const MAX_TEXTS: usize = 256;

/// A request, read.
#[derive(Debug)]
pub struct EmbeddingRequest {
    /// The model asked for.
    pub model: String,
    /// The declared purpose.
    pub purpose: String,
    /// The texts, each as a prompt of one message.
    pub texts: Vec<Prompt>,
    /// How vectors are written.
    pub packed: bool,
    /// The number of dimensions that was asked for.
    pub dimensions: Option<usize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    model: String,
    input: Input,
    encoding_format: Option<String>,
    dimensions: Option<usize>,
    metadata: Option<Map<String, Value>>,
    /// Changes nothing here.
    #[serde(rename = "user")]
    _user: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Input {
    One(String),
    Many(Vec<String>),
}

impl EmbeddingRequest {
    /// Reads a request body.
    ///
    /// # Errors
    /// [`ApiError`] names the parameter at fault.
    pub fn parse(body: &[u8]) -> Result<EmbeddingRequest, ApiError> {
        let syntax = |_| ApiError::invalid("invalid_json", "the request body is not a JSON object");
        let fields: Map<String, Value> = serde_json::from_slice(body).map_err(syntax)?;
        let raw: Raw = serde_json::from_value(Value::Object(fields)).map_err(|e| match e.to_string() {
            untagged if untagged.starts_with("data did not match") => {
                let message = "input is a text or a list of texts; numbers of tokens cannot be screened";
                ApiError::parameter("input", "invalid_type", message)
            }
            _ => openai::shape_error(&e),
        })?;
        let packed = match raw.encoding_format.as_deref() {
            None | Some("float") => false,
            Some("base64") => true,
            Some(_) => {
                let message = "the format must be float or base64";
                return Err(ApiError::parameter("encoding_format", "invalid_value", message));
            }
        };
        let texts = match raw.input {
            Input::One(text) => vec![text],
            Input::Many(texts) => texts,
        };
        if texts.is_empty() || texts.len() > MAX_TEXTS {
            let message = format!("input has {} texts; 1 to {MAX_TEXTS} are possible", texts.len());
            return Err(ApiError::parameter("input", "invalid_value", message));
        }
        let purpose = openai::purpose(raw.metadata.as_ref())?;
        let texts = texts.into_iter().map(one).collect();
        Ok(EmbeddingRequest { model: raw.model, purpose, texts, packed, dimensions: raw.dimensions })
    }

    /// Size of all texts, in bytes.
    pub fn bytes(&self) -> u32 {
        let lengths = self.texts.iter().flat_map(|text| &text.messages).map(|m| m.content.expose().len());
        u32::try_from(lengths.sum::<usize>()).unwrap_or(u32::MAX)
    }
}

/// A text as a prompt.
pub(crate) fn one(text: String) -> Prompt {
    Prompt { messages: vec![Message { role: Role::User, content: Text::from(text) }] }
}

/// The answer.
pub(crate) fn answer(model: &str, vectors: &[Embedding], tokens: usize, packed: bool) -> Vec<u8> {
    let data: Vec<Value> = vectors
        .iter()
        .enumerate()
        .map(|(index, vector)| {
            let numbers = vector.elements();
            let embedding = if packed {
                let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
                Value::from(BASE64_STANDARD.encode(bytes))
            } else {
                Value::from(numbers)
            };
            json!({ "object": "embedding", "index": index, "embedding": embedding })
        })
        .collect();
    let usage = json!({ "prompt_tokens": tokens, "total_tokens": tokens });
    json!({ "object": "list", "data": data, "model": model, "usage": usage }).to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::openai::fields::{MARKER, texts};

    #[test]
    fn every_text_of_a_request_is_screened_or_goes_nowhere() {
        // The model and the purpose go to the sentinel, the format is one of two words, and of the user nothing is kept.
        assert_eq!(texts::<Raw>(""), ["model", "input", "encoding_format", "metadata", "user"]);
        for input in [json!(MARKER), json!(["a", MARKER])] {
            let body =
                json!({ "model": MARKER, "input": input, "user": MARKER, "metadata": { "other": MARKER } });
            let asked = EmbeddingRequest::parse(body.to_string().as_bytes()).unwrap();
            let said = |prompt: &Prompt| prompt.messages.iter().any(|m| m.content.expose().contains(MARKER));
            // What reaches the encoder are these, and only as `Screened`, by its type.
            assert_eq!(asked.texts.iter().filter(|text| said(text)).count(), 1);
            let words =
                [&asked.purpose, &format!("{:?}", asked.dimensions)].map(|text| text.contains(MARKER));
            assert_eq!(words, [false, false]);
        }
    }

    #[test]
    fn requests_are_read_strictly() {
        let parse = |body: Value| {
            EmbeddingRequest::parse(body.to_string().as_bytes())
                .map_err(|e| (e.param.unwrap_or_default(), e.code.unwrap_or_default()))
        };
        let read = parse(json!({ "model": "m", "input": "a" })).unwrap();
        assert_eq!(
            (read.purpose.as_str(), read.texts.len(), read.packed, read.bytes()),
            ("general", 1, false, 1)
        );
        let read = parse(json!({
            "model": "m", "input": ["a", ""], "encoding_format": "base64", "dimensions": 384, "user": "u",
            "metadata": { "purpose": "draft" },
        }));
        let read = read.unwrap();
        assert_eq!((read.purpose.as_str(), read.texts.len(), read.packed), ("draft", 2, true));
        for (body, param, code) in [
            (json!({ "model": "m", "input": [] }), "input", "invalid_value"),
            (json!({ "model": "m", "input": vec!["a"; 257] }), "input", "invalid_value"),
            (json!({ "model": "m", "input": [1, 2] }), "input", "invalid_type"),
            (json!({ "model": "m", "input": [[1, 2]] }), "input", "invalid_type"),
            (json!({ "model": "m" }), "input", "missing_required_parameter"),
            (
                json!({ "model": "m", "input": "a", "encoding_format": "xml" }),
                "encoding_format",
                "invalid_value",
            ),
            (json!({ "model": "m", "input": "a", "truncate": true }), "truncate", "unknown_parameter"),
            (
                json!({ "model": "m", "input": "a", "metadata": { "purpose": 3 } }),
                "metadata.purpose",
                "invalid_value",
            ),
        ] {
            assert_eq!(parse(body).unwrap_err(), (param.to_owned(), code));
        }
    }
}

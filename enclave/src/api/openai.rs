//! The chat request of OpenAI's API, read strictly: what is not known is refused, what is known and not
//! supported is refused by name, and what changes nothing is ignored. `docs/protocol.md` has the table.

use crate::api::error::ApiError;
use crate::api::tools::{self, RawCall, RawChoice, RawTool, Tools, Written};
use crate::generator::Limit;
use crate::library::{DEFAULT_PASSAGES, MAX_WANTED, Wanted};
use crate::tools::Tools as OwnTools;
use adyton_engine::{Sampling, SamplingError, Shape, ShapeError};
use adyton_guardrail::{Message, Prompt, Role, Text};
use adyton_wire::control::MAX_PURPOSE;
use adyton_wire::tools::{MAX_NAME, MAX_TOOLS};
use ring::rand::{SecureRandom, SystemRandom};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// The purpose of a request that names none (`metadata.purpose`).
pub const DEFAULT_PURPOSE: &str = "general";
/// Tokens of the answers to a request that sets no limit, together. OpenAI has none, but a small model can repeat itself for long.
pub const DEFAULT_MAX_TOKENS: u32 = 1024;

/// Parameters of OpenAI's API that this enclave does not have. Given and not null, they are refused.
const UNSUPPORTED: [&str; 10] = [
    "audio",
    "function_call",
    "functions",
    "modalities",
    "prediction",
    "reasoning_effort",
    "service_tier",
    "store",
    "verbosity",
    "web_search_options",
];
/// Parameters that change nothing here, whatever their value.
const IGNORED: [&str; 3] = ["prompt_cache_key", "safety_identifier", "user"];

/// Most answers to one request. OpenAI allows 128, which is more than this engine runs at a time.
pub const MAX_ANSWERS_EACH: u32 = 8;

/// A chat request, read.
#[derive(Debug)]
pub struct ChatRequest {
    /// The model asked for.
    pub model: String,
    /// The conversation.
    pub prompt: Prompt,
    /// What else of the request reaches the engine as text: stop strings, schemas, declared tools.
    pub beside: Vec<Text>,
    /// How to sample; how much is the grant's business.
    pub sampling: Sampling,
    /// How many answers.
    pub answers: u32,
    /// Most tokens of each.
    pub max_tokens: u32,
    /// Whether the client named that number.
    pub limit: Limit,
    /// The declared purpose.
    pub purpose: String,
    /// Whether the conversation has text that nobody vouches for: the result of a tool, or passages.
    pub unvouched: bool,
    /// What it is to be answered from.
    pub wanted: Option<Wanted>,
    /// Whether to stream, and whether with usage.
    pub stream: Option<StreamOptions>,
    /// What the answer must be.
    pub(crate) form: Form,
    /// Whether its tools are those of the enclave, which are called here.
    pub(crate) inside: bool,
}

/// `stream_options`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StreamOptions {
    /// Send a last chunk with the usage.
    #[serde(default)]
    pub include_usage: bool,
    /// OpenAI's padding against side channels; ignored, TLS records are what a relay sees.
    #[serde(default, rename = "include_obfuscation")]
    _include_obfuscation: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    model: String,
    messages: Vec<RawMessage>,
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
    max_tokens: Option<u32>,
    max_completion_tokens: Option<u32>,
    temperature: Option<f32>,
    top_p: Option<f32>,
    top_k: Option<u32>,
    min_p: Option<f32>,
    seed: Option<i64>,
    presence_penalty: Option<f32>,
    frequency_penalty: Option<f32>,
    repetition_penalty: Option<f32>,
    stop: Option<Stop>,
    n: Option<u32>,
    logprobs: Option<bool>,
    top_logprobs: Option<u32>,
    logit_bias: Option<Map<String, Value>>,
    response_format: Option<ResponseFormat>,
    tools: Option<Vec<RawTool>>,
    tool_choice: Option<RawChoice>,
    parallel_tool_calls: Option<bool>,
    metadata: Option<Map<String, Value>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawMessage {
    role: String,
    content: Option<Content>,
    refusal: Option<Value>,
    tool_calls: Option<Vec<RawCall>>,
    /// Which call a tool's answer is to.
    tool_call_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Content {
    Plain(String),
    Parts(Vec<Part>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Part {
    r#type: String,
    text: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Stop {
    One(String),
    Many(Vec<String>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ResponseFormat {
    r#type: String,
    json_schema: Option<JsonSchema>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct JsonSchema {
    #[serde(rename = "name")]
    _name: String,
    #[serde(rename = "description")]
    _description: Option<String>,
    schema: Option<Value>,
    /// An answer is always held to its schema.
    #[serde(rename = "strict")]
    _strict: Option<bool>,
}

/// What an answer must be.
#[derive(Clone, Debug)]
pub(crate) enum Form {
    /// Text.
    Free,
    /// A JSON object.
    Object,
    /// JSON under a schema.
    Schema(Value),
    /// Text or calls.
    Tools(Tools),
}

impl Form {
    /// The engine's shape. Takes its time over large schemas: not for the thread that serves the connections.
    pub(crate) fn shape(&self) -> Result<Option<Shape>, ApiError> {
        let wrong = |e: ShapeError| ApiError::parameter("response_format", "invalid_value", e.to_string());
        match self {
            Form::Free => Ok(None),
            Form::Object => Shape::json_object().map(Some).map_err(wrong),
            Form::Schema(schema) => Shape::json_schema(schema).map(Some).map_err(wrong),
            Form::Tools(tools) => tools.shape().map(Some),
        }
    }

    /// How calls show in the answer, if there can be any.
    pub(crate) fn calls(&self) -> Option<Written> {
        match self {
            Form::Tools(tools) => Some(tools.written()),
            Form::Free | Form::Object | Form::Schema(_) => None,
        }
    }
}

impl ChatRequest {
    /// Reads a request body.
    ///
    /// # Errors
    /// [`ApiError`] names the parameter at fault.
    pub fn parse(body: &[u8], own: &OwnTools) -> Result<ChatRequest, ApiError> {
        let syntax = |_| ApiError::invalid("invalid_json", "the request body is not a JSON object");
        let mut fields: Map<String, Value> = serde_json::from_slice(body).map_err(syntax)?;
        for name in UNSUPPORTED {
            refuse_if_set(&mut fields, name)?;
        }
        for name in IGNORED {
            fields.remove(name);
        }
        // The text of serde's message names fields and types; values of strings are cut out of it below.
        let mut raw: Raw = serde_json::from_value(Value::Object(fields)).map_err(|e| shape_error(&e))?;
        raw.refuse_unsupported()?;
        let inside = raw.take_own_tools(own)?;
        let form = raw.form()?;
        let beside = beside(&raw, &form, inside);
        let asked = raw.max_completion_tokens.or(raw.max_tokens);
        Ok(ChatRequest {
            sampling: raw.sampling()?,
            purpose: purpose(raw.metadata.as_ref())?,
            wanted: wanted(raw.metadata.as_ref())?,
            unvouched: raw.messages.iter().any(|message| message.role == "tool"),
            stream: raw.stream.unwrap_or(false).then(|| raw.stream_options.unwrap_or_default()),
            prompt: prompt(raw.messages, &form)?,
            form,
            beside,
            inside,
            model: raw.model,
            answers: raw.n.unwrap_or(1),
            max_tokens: asked.unwrap_or(DEFAULT_MAX_TOKENS / raw.n.unwrap_or(1).max(1)),
            limit: if asked.is_some() { Limit::Exactly } else { Limit::RoomLeft },
        })
    }
}

/// Null and the harmless defaults that SDKs send pass; everything else is refused by name.
fn refuse_if_set(fields: &mut Map<String, Value>, name: &'static str) -> Result<(), ApiError> {
    let harmless = match (name, fields.remove(name)) {
        (_, None | Some(Value::Null)) | ("store", Some(Value::Bool(false))) => true,
        ("service_tier", Some(Value::String(tier))) => tier == "auto" || tier == "default",
        ("functions", Some(Value::Array(list))) => list.is_empty(),
        ("modalities", Some(Value::Array(list))) => list == [Value::from("text")],
        _ => false,
    };
    if harmless { Ok(()) } else { Err(unsupported(name, "this enclave does not support it")) }
}

fn unsupported(name: &str, why: &str) -> ApiError {
    ApiError::parameter(name, "unsupported_parameter", format!("unsupported parameter: {name}: {why}"))
}

/// serde's messages, without anything that could quote a value of the request.
pub(crate) fn shape_error(error: &serde_json::Error) -> ApiError {
    let text = error.to_string();
    let quoted =
        text.split('`').nth(1).filter(|name| name.len() <= 64 && name.is_ascii()).unwrap_or_default();
    if text.starts_with("unknown field") {
        return ApiError::parameter(quoted, "unknown_parameter", format!("unknown parameter: {quoted}"));
    }
    if text.starts_with("missing field") {
        let message = format!("missing required parameter: {quoted}");
        return ApiError::parameter(quoted, "missing_required_parameter", message);
    }
    ApiError::invalid("invalid_type", "a parameter has the wrong type or is out of range")
}

impl Raw {
    /// Declares the tools of the enclave that the request names (`metadata.tools`, with commas), if it names any.
    fn take_own_tools(&mut self, own: &OwnTools) -> Result<bool, ApiError> {
        let Some(named) = self.metadata.as_ref().and_then(|m| m.get("tools")) else { return Ok(false) };
        let wrong = |message: &str| ApiError::parameter("metadata.tools", "invalid_value", message);
        let named =
            named.as_str().ok_or_else(|| wrong("tools is a string: names with commas between them"))?;
        if self.tools.as_ref().is_some_and(|tools| !tools.is_empty()) || self.n.unwrap_or(1) != 1 {
            return Err(wrong("tools of the enclave go with no others, and with one answer"));
        }
        if named.len() > MAX_TOOLS * MAX_NAME {
            return Err(wrong("there are not as many tools"));
        }
        let names: Vec<String> = named.split(',').map(|name| name.trim().to_owned()).collect();
        self.tools = Some(own.declared(&names)?.into_iter().map(RawTool::from).collect());
        // One call a turn unless the client wants more: there are further turns, and small models do not stop calling.
        self.parallel_tool_calls.get_or_insert(false);
        Ok(true)
    }

    fn refuse_unsupported(&self) -> Result<(), ApiError> {
        if self.n.is_some_and(|n| !(1..=MAX_ANSWERS_EACH).contains(&n)) {
            return Err(ApiError::parameter("n", "invalid_value", "n must be from 1 to 8"));
        }
        if self.top_logprobs.is_some() && self.logprobs != Some(true) {
            let message = "top_logprobs is only allowed with logprobs";
            return Err(ApiError::parameter("top_logprobs", "invalid_parameter", message));
        }
        if self.stream_options.is_some() && self.stream != Some(true) {
            let message = "stream_options is only allowed with stream";
            return Err(ApiError::parameter("stream_options", "invalid_parameter", message));
        }
        for (name, value) in
            [("max_tokens", self.max_tokens), ("max_completion_tokens", self.max_completion_tokens)]
        {
            if value == Some(0) {
                return Err(ApiError::parameter(name, "invalid_value", "an answer has at least one token"));
            }
        }
        if self.max_tokens.is_some() && self.max_completion_tokens.is_some() {
            let message = "max_tokens and max_completion_tokens say the same: give one";
            return Err(ApiError::parameter("max_tokens", "invalid_parameter", message));
        }
        Ok(())
    }

    /// What is said of tools and of the response's format, taken out.
    fn form(&mut self) -> Result<Form, ApiError> {
        let tools = Tools::read(self.tools.take(), self.tool_choice.take(), self.parallel_tool_calls)?;
        let wrong = |message: &str| ApiError::parameter("response_format", "invalid_value", message);
        let format = self.response_format.take();
        let kind = format.as_ref().map_or("text", |format| format.r#type.as_str());
        let form = match (kind, tools) {
            ("text", None) => Form::Free,
            ("text", Some(_)) if self.logprobs == Some(true) => {
                return Err(unsupported("logprobs", "not together with tools"));
            }
            ("text", Some(tools)) => Form::Tools(tools),
            ("json_object" | "json_schema", Some(_)) => {
                return Err(unsupported("response_format", "not together with tools"));
            }
            ("json_object", None) => Form::Object,
            ("json_schema", None) => {
                let schema = format.and_then(|format| format.json_schema).and_then(|given| given.schema);
                Form::Schema(schema.ok_or_else(|| wrong("json_schema.schema is missing"))?)
            }
            _ => return Err(wrong("the type must be text, json_object or json_schema")),
        };
        Ok(form)
    }

    fn sampling(&self) -> Result<Sampling, ApiError> {
        let seed = match self.seed {
            // OpenAI's seed is a signed integer; the bits are what counts.
            Some(seed) => u64::from_ne_bytes(seed.to_ne_bytes()),
            None => random_seed()?,
        };
        let stops: Vec<Text> = match &self.stop {
            None => Vec::new(),
            Some(Stop::One(stop)) => vec![Text::from(stop.as_str())],
            Some(Stop::Many(stops)) => stops.iter().map(|s| Text::from(s.as_str())).collect(),
        };
        let biases = biases(self.logit_bias.as_ref())?;
        let likeliest = self.logprobs.unwrap_or(false).then(|| self.top_logprobs.unwrap_or(0) as usize);
        let build = || {
            let sampling = Sampling::new(seed)
                .temperature(self.temperature.unwrap_or(1.0))?
                .top_p(self.top_p.unwrap_or(1.0))?
                .top_k(self.top_k.unwrap_or(0))
                .min_p(self.min_p.unwrap_or(0.0))?
                .presence_penalty(self.presence_penalty.unwrap_or(0.0))?
                .frequency_penalty(self.frequency_penalty.unwrap_or(0.0))?
                .repetition_penalty(self.repetition_penalty.unwrap_or(1.0))?
                .biases(biases)?
                .stop(stops)?;
            likeliest.map_or(Ok(sampling.clone()), |count| sampling.likeliest(count))
        };
        build().map_err(|e: SamplingError| {
            ApiError::parameter(sampling_field(&e), "invalid_value", e.to_string())
        })
    }
}

fn sampling_field(error: &SamplingError) -> &'static str {
    match error {
        SamplingError::Temperature => "temperature",
        SamplingError::TopP => "top_p",
        SamplingError::MinP => "min_p",
        SamplingError::PresencePenalty => "presence_penalty",
        SamplingError::FrequencyPenalty => "frequency_penalty",
        SamplingError::RepetitionPenalty => "repetition_penalty",
        SamplingError::Stop => "stop",
        SamplingError::MaxTokens => "max_tokens",
        SamplingError::Likeliest => "top_logprobs",
        SamplingError::Biases => "logit_bias",
    }
}

/// OpenAI names tokens by their numbers, as strings.
fn biases(map: Option<&Map<String, Value>>) -> Result<Vec<(u32, f32)>, ApiError> {
    let wrong =
        || ApiError::parameter("logit_bias", "invalid_value", "logit_bias maps token numbers to numbers");
    let one = |(token, bias): (&String, &Value)| {
        let bias = bias.as_f64().ok_or_else(wrong)? as f32;
        Ok((token.parse().map_err(|_| wrong())?, bias))
    };
    map.into_iter().flatten().map(one).collect()
}

fn random_seed() -> Result<u64, ApiError> {
    let mut seed = [0; 8];
    SystemRandom::new().fill(&mut seed).map_err(|_| ApiError::offline())?;
    Ok(u64::from_ne_bytes(seed))
}

pub(crate) fn purpose(metadata: Option<&Map<String, Value>>) -> Result<String, ApiError> {
    let wrong = |message: &str| ApiError::parameter("metadata.purpose", "invalid_value", message);
    match metadata.and_then(|m| m.get("purpose")) {
        None => Ok(DEFAULT_PURPOSE.to_owned()),
        Some(Value::String(purpose)) if (1..=MAX_PURPOSE).contains(&purpose.len()) => Ok(purpose.clone()),
        Some(_) => Err(wrong("the purpose must be a string of 1 to 64 bytes")),
    }
}

/// The texts that the engine gets beside the conversation. The enclave's own tools are measured.
fn beside(raw: &Raw, form: &Form, inside: bool) -> Vec<Text> {
    let stops = match &raw.stop {
        None => Vec::new(),
        Some(Stop::One(stop)) => vec![stop.clone()],
        Some(Stop::Many(stops)) => stops.clone(),
    };
    let declared = match form {
        Form::Schema(schema) => vec![tools::words(schema)],
        Form::Tools(tools) if !inside => tools.words(),
        Form::Free | Form::Object | Form::Tools(_) => Vec::new(),
    };
    stops.into_iter().chain(declared).map(Text::from).collect()
}

/// The collection that a request names (`metadata.collection`), and how many passages of it (`metadata.passages`).
fn wanted(metadata: Option<&Map<String, Value>>) -> Result<Option<Wanted>, ApiError> {
    let given = |name: &str| metadata.and_then(|m| m.get(name));
    let wrong = |name: &str, message: &str| ApiError::parameter(name, "invalid_value", message);
    let passages = match given("passages") {
        None => DEFAULT_PASSAGES,
        Some(number) => {
            let number = number.as_str().and_then(|number| number.parse().ok());
            number.filter(|number| (1..=MAX_WANTED).contains(number)).ok_or_else(|| {
                wrong("metadata.passages", "the number of passages is a string, from \"1\" to \"20\"")
            })?
        }
    };
    match given("collection") {
        None if given("passages").is_some() => {
            Err(wrong("metadata.passages", "passages of which collection? name it in metadata.collection"))
        }
        None => Ok(None),
        Some(Value::String(name)) if (1..=MAX_PURPOSE).contains(&name.len()) => {
            Ok(Some(Wanted { collection: name.clone(), passages }))
        }
        Some(_) => Err(wrong("metadata.collection", "a collection is named by a string of 1 to 64 bytes")),
    }
}

/// The conversation as the engine's templates know it: the tools are told in the system's message, calls and answers of tools
/// stand in the messages of assistant and user.
fn prompt(raw: Vec<RawMessage>, form: &Form) -> Result<Prompt, ApiError> {
    let mut messages: Vec<Message> = Vec::with_capacity(raw.len() + 1);
    let mut after_tool = false;
    let mut called: BTreeMap<String, String> = BTreeMap::new();
    for raw in raw {
        let from_tool = raw.role == "tool";
        for (id, name) in raw.tool_calls.iter().flatten().map(RawCall::named) {
            called.insert(id.to_owned(), name.to_owned());
        }
        let source = raw.tool_call_id.as_ref().and_then(|id| called.get(id));
        let message = message(raw, source.map_or("a tool", String::as_str))?;
        match messages.last_mut().filter(|_| from_tool && after_tool) {
            // Templates expect turns to alternate.
            Some(last) => {
                last.content = Text::from([last.content.expose(), message.content.expose()].join("\n"))
            }
            None => messages.push(message),
        }
        after_tool = from_tool;
    }
    if let Form::Tools(tools) = form {
        let told = tools.instructions();
        match messages.first_mut().filter(|first| first.role == Role::System) {
            Some(first) => first.content = Text::from([first.content.expose(), &told].join("\n\n")),
            None => messages.insert(0, Message { role: Role::System, content: Text::from(told) }),
        }
    }
    Ok(Prompt { messages })
}

fn message(raw: RawMessage, source: &str) -> Result<Message, ApiError> {
    let role = match raw.role.as_str() {
        "system" | "developer" => Role::System,
        "user" => Role::User,
        "tool" => Role::Data,
        "assistant" => Role::Assistant,
        _ => {
            let message = "the role must be system, developer, user, assistant or tool";
            return Err(ApiError::parameter("messages.role", "invalid_value", message));
        }
    };
    if raw.refusal.is_some_and(|r| !r.is_null()) {
        return Err(unsupported("messages.refusal", "send what was said as content"));
    }
    let calls = raw.tool_calls.unwrap_or_default();
    if !calls.is_empty() && role != Role::Assistant {
        return Err(ApiError::parameter(
            "messages.tool_calls",
            "invalid_value",
            "only an assistant calls tools",
        ));
    }
    let missing =
        || ApiError::parameter("messages.content", "missing_required_parameter", "a message has no content");
    let content = match raw.content {
        Some(Content::Plain(text)) => text,
        Some(Content::Parts(parts)) => joined(parts)?,
        None if calls.is_empty() => return Err(missing()),
        None => String::new(),
    };
    let content = match raw.role.as_str() {
        "tool" => tools::as_data(source, &content),
        _ => [content, tools::recalled(&calls)?].concat(),
    };
    Ok(Message { role, content: Text::from(content) })
}

fn joined(parts: Vec<Part>) -> Result<String, ApiError> {
    let mut text = String::new();
    for part in parts {
        match (part.r#type.as_str(), part.text) {
            ("text", Some(piece)) => text.push_str(&piece),
            _ => return Err(unsupported("messages.content", "only parts of type text")),
        }
    }
    Ok(text)
}

#[cfg(test)]
pub(crate) mod fields;
#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(change: Value) -> Result<ChatRequest, (String, &'static str)> {
        let mut body = json!({ "model": "m", "messages": [{ "role": "user", "content": "hi" }] });
        body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        ChatRequest::parse(body.to_string().as_bytes(), &OwnTools::default())
            .map_err(|e| (e.param.unwrap_or_default(), e.code.unwrap_or_default()))
    }

    #[test]
    fn what_changes_nothing_is_ignored() {
        for change in [
            json!({ "user": "u", "safety_identifier": "s", "prompt_cache_key": 1 }),
            json!({ "tools": [], "store": false, "service_tier": "auto", "n": 1, "logprobs": false }),
            json!({ "response_format": { "type": "text" }, "modalities": ["text"], "tools": null }),
            json!({ "stream": true, "stream_options": { "include_usage": true } }),
            json!({ "messages": [{ "role": "developer", "content": [{ "type": "text", "text": "a" }] }] }),
        ] {
            check(change.clone()).unwrap_or_else(|e| panic!("{change}: {e:?}"));
        }
    }

    #[test]
    fn what_is_not_supported_is_refused_by_name() {
        for (change, param, code) in [
            (json!({ "frobnicate": 1 }), "frobnicate", "unknown_parameter"),
            (json!({ "tools": [{}] }), "type", "missing_required_parameter"),
            (json!({ "tool_choice": "required" }), "tool_choice", "invalid_value"),
            (json!({ "logit_bias": { "five": 1 } }), "logit_bias", "invalid_value"),
            (json!({ "logit_bias": { "5": "1" } }), "logit_bias", "invalid_value"),
            (json!({ "logit_bias": { "5": 101 } }), "logit_bias", "invalid_value"),
            (json!({ "store": true }), "store", "unsupported_parameter"),
            (json!({ "n": 0 }), "n", "invalid_value"),
            (json!({ "n": 9 }), "n", "invalid_value"),
            (json!({ "top_logprobs": 2 }), "top_logprobs", "invalid_parameter"),
            (json!({ "logprobs": true, "top_logprobs": 21 }), "top_logprobs", "invalid_value"),
            (json!({ "response_format": { "type": "xml" } }), "response_format", "invalid_value"),
            (json!({ "stream_options": {} }), "stream_options", "invalid_parameter"),
            (json!({ "max_tokens": 1, "max_completion_tokens": 1 }), "max_tokens", "invalid_parameter"),
            (json!({ "max_tokens": 0 }), "max_tokens", "invalid_value"),
            (json!({ "max_completion_tokens": 0 }), "max_completion_tokens", "invalid_value"),
            (json!({ "temperature": 2.5 }), "temperature", "invalid_value"),
            (json!({ "top_p": 0 }), "top_p", "invalid_value"),
            (json!({ "stop": ["a", "b", "c", "d", "e"] }), "stop", "invalid_value"),
            (json!({ "stop": "" }), "stop", "invalid_value"),
            (json!({ "metadata": { "purpose": "" } }), "metadata.purpose", "invalid_value"),
            (json!({ "metadata": { "purpose": 7 } }), "metadata.purpose", "invalid_value"),
            (json!({ "response_format": { "type": "json_schema" } }), "response_format", "invalid_value"),
            (json!({ "messages": [{ "role": "robot", "content": "x" }] }), "messages.role", "invalid_value"),
            (json!({ "messages": [{ "role": "user" }] }), "messages.content", "missing_required_parameter"),
            (
                json!({ "messages": [{ "role": "user", "content": "x", "name": "n" }] }),
                "name",
                "unknown_parameter",
            ),
            (json!({ "temperature": "hot" }), "", "invalid_type"),
            (json!({ "model": null }), "", "invalid_type"),
        ] {
            let refused = check(change.clone()).map(|_| ()).unwrap_err();
            assert_eq!(refused, (param.to_owned(), code), "{change}");
        }
    }

    #[test]
    fn no_error_quotes_a_value() {
        for body in [
            r#"{"model":"m","messages":"SECRET"}"#,
            r#"{"model":"m","messages":[{"role":"SECRET","content":"x"}]}"#,
            r#"{"model":"m","messages":[{"role":"user","content":{"SECRET":1}}]}"#,
            r#"{"model":"m","messages":[],"temperature":"SECRET"}"#,
            r#"SECRET"#,
        ] {
            let error = ChatRequest::parse(body.as_bytes(), &OwnTools::default()).map(|_| ()).unwrap_err();
            assert!(!format!("{error:?}").contains("SECRET"), "{error:?}");
        }
    }

    #[test]
    fn defaults_are_those_that_the_documentation_names() {
        let asked = check(json!({})).unwrap();
        assert_eq!((asked.max_tokens, asked.purpose.as_str()), (DEFAULT_MAX_TOKENS, DEFAULT_PURPOSE));
        assert_eq!((asked.stream, asked.limit), (None, Limit::RoomLeft));
    }
}

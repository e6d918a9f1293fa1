//! What an answer must be, compiled and checked before a sequence starts.
//!
//! Promises
//! - A [`Shape`] was compiled within the limits; a schema that was not is a [`ShapeError`] for the client.
//! - No error carries a name or a value of the schema, only keywords of JSON Schema.
//! - Outside of strings there is no white space but one space after a comma or colon: a small model cannot get lost in
//!   it.
//!
//! Does not: wipe the grammar, which holds names and constants of the schema.
//!
//! Sources: JSON Schema 2020-12; OpenAI API, "Function calling" (names, counts); the chat format of Hermes 2 Pro, which
//! Qwen took over (`<tool_call>`).

use super::limits;
use super::schema::Document;
use llguidance::api::{GrammarInit, GrammarWithLexer, TopLevelGrammar};
use llguidance::earley::{Grammar, lexerspec::LexerSpec};
use llguidance::{JsonCompileOptions, panic_utils};
use serde_json::{Map, Value, json};
use std::collections::HashSet;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use thiserror::Error;

/// Most tools (OpenAI API, `tools`).
const MAX_TOOLS: usize = 128;
/// Longest name of a tool, in bytes (OpenAI API, `function.name`).
const MAX_TOOL_NAME: usize = 64;
/// Most calls in an answer, beyond the first: with none, a small model calls until its context ends.
const MAX_FURTHER_CALLS: usize = 15;

/// Why a schema, or a list of tools, cannot be held to. The request is to blame.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ShapeError {
    /// A length, count, depth or number over its limit.
    #[error("the schema is too large: {what}, at most {limit}")]
    TooLarge {
        /// What was measured, a fixed phrase.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
    /// A keyword of JSON Schema that answers cannot be held to.
    #[error("the schema uses {0}, or a value of it, that answers cannot be held to; leave it out")]
    Unsupported(&'static str),
    /// A keyword whose value is not of the kind that JSON Schema asks for.
    #[error("the schema is malformed at {0}")]
    Malformed(&'static str),
    /// A `$ref` to something other than a schema in the same document.
    #[error("$ref must name a schema of the same document, as #/$defs/name does")]
    Reference,
    /// Tools without a name, with a bad one or the same one, none or too many, or a choice that is none of them.
    #[error("the tools are malformed: {0}")]
    Tools(&'static str),
    /// The compiler of grammars found a contradiction, a pattern that it does not know, or its limit.
    #[error("the schema contradicts itself, or is too complex to hold an answer to")]
    Refused,
}

/// A function that an answer may call.
#[derive(Clone)]
pub struct Tool {
    /// 1 to 64 letters, digits, underscores and dashes.
    pub name: String,
    /// The schema of its arguments; `None` for a function that takes none.
    pub parameters: Option<Value>,
}

/// Whether the answer calls a tool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice<'a> {
    /// The model decides: text, or text that `<tool_call>` ends, and a call, closed by `</tool_call>`.
    Auto,
    /// A call.
    Required,
    /// A call of this tool.
    Named(&'a str),
}

/// How many calls there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Calls {
    /// One. Where a call is a must, the answer is one JSON object and nothing else.
    One,
    /// One or more, each between `<tool_call>` and `</tool_call>`.
    Many,
}

/// What an answer must be. A clone is a reference.
#[derive(Clone)]
pub struct Shape(Arc<(Grammar, LexerSpec)>);

/// Shapes are equal if one is a clone of the other.
impl PartialEq for Shape {
    fn eq(&self, other: &Shape) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Shape {
    /// Any JSON object, nested to a fixed depth.
    ///
    /// # Errors
    /// None that a client could cause.
    pub fn json_object() -> Result<Shape, ShapeError> {
        Shape::json_schema(&json!({"type": "object"}))
    }

    /// JSON that is valid under this schema.
    ///
    /// Where a schema says nothing of further properties and is not combined with others by `allOf`, `$ref` or the
    /// like, there are none: small models would not stop inventing them.
    ///
    /// # Errors
    /// [`ShapeError`]
    pub fn json_schema(schema: &Value) -> Result<Shape, ShapeError> {
        let mut document = Document::default();
        let root = document.add(schema)?;
        compile(vec![json_grammar(document.finish(root)?)])
    }

    /// Calls of these tools, each an object `{"name": .., "arguments": {..}}`.
    ///
    /// # Errors
    /// [`ShapeError`]
    pub fn tool_calls(tools: &[Tool], choice: Choice<'_>, calls: Calls) -> Result<Shape, ShapeError> {
        check(tools)?;
        let named = |tool: &&Tool| !matches!(choice, Choice::Named(name) if name != tool.name);
        let tools: Vec<&Tool> = tools.iter().filter(named).collect();
        if tools.is_empty() {
            return Err(ShapeError::Tools("the choice names none of them"));
        }
        let call = GrammarWithLexer { name: Some("call".to_owned()), ..call_grammar(&tools)? };
        let tagged = |start: &str| {
            let lark = [&format!("start: {start}\n"), TAGS, &further(calls)].concat();
            vec![GrammarWithLexer::from_lark(lark), call.clone()]
        };
        compile(match (choice, calls) {
            (Choice::Auto, _) => tagged("TEXT? | opening body further"),
            (_, Calls::Many) => tagged("\"<tool_call>\" body further"),
            (_, Calls::One) => vec![call],
        })
    }

    /// A copy for one sequence.
    pub(super) fn grammar(&self) -> GrammarInit {
        GrammarInit::Internal(self.0.0.clone(), self.0.1.clone())
    }
}

impl std::fmt::Debug for Shape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Shape({} symbols)", self.0.0.num_symbols())
    }
}

/// Text without a call, the beginning of a call after text, and what stands between the tags. Models of the Hermes
/// format put a line break inside each tag.
const TAGS: &str = r#"
TEXT: /(?s:.+)/ & ~/(?s:.*)<tool_call>(?s:.*)/
opening[lazy]: /(?s:.*)<tool_call>/
body: NL? @call NL? "</tool_call>"
again: NL? "<tool_call>" body
NL: "\n"
"#;

fn further(calls: Calls) -> String {
    match calls {
        Calls::One => "further:\n".to_owned(),
        Calls::Many => format!("further: again{{0,{MAX_FURTHER_CALLS}}}\n"),
    }
}

fn check(tools: &[Tool]) -> Result<(), ShapeError> {
    if tools.is_empty() || tools.len() > MAX_TOOLS {
        return Err(ShapeError::Tools("there must be 1 to 128"));
    }
    let letter = |b: u8| b.is_ascii_alphanumeric() || b"_-".contains(&b);
    if !tools.iter().all(|t| (1..=MAX_TOOL_NAME).contains(&t.name.len()) && t.name.bytes().all(letter)) {
        return Err(ShapeError::Tools("a name must be 1 to 64 letters, digits, underscores and dashes"));
    }
    let mut seen = HashSet::new();
    if !tools.iter().all(|t| seen.insert(&t.name)) {
        return Err(ShapeError::Tools("two have the same name"));
    }
    Ok(())
}

/// One call, of any of the tools. Each schema of parameters becomes a definition, with its references moved along.
fn call_grammar(tools: &[&Tool]) -> Result<GrammarWithLexer, ShapeError> {
    let mut document = Document::default();
    let mut options = Vec::new();
    for tool in tools {
        let arguments = document.add(&parameters(tool)?)?;
        options.push(json!({
            "type": "object",
            "properties": {"name": {"const": tool.name}, "arguments": arguments},
            "required": ["name", "arguments"],
            "additionalProperties": false,
        }));
    }
    Ok(json_grammar(document.finish(json!({"anyOf": options}))?))
}

/// The schema of a tool's parameters, which is that of an object.
fn parameters(tool: &Tool) -> Result<Value, ShapeError> {
    match &tool.parameters {
        None => Ok(json!({"type": "object", "properties": {}})),
        Some(Value::Object(schema)) => {
            let mut schema = schema.clone();
            let kind = schema.entry("type").or_insert_with(|| "object".into());
            if kind == "object" { Ok(Value::Object(schema)) } else { Err(ShapeError::Malformed("type")) }
        }
        Some(_) => Err(ShapeError::Malformed("parameters")),
    }
}

/// The options are ours: `narrow` drops what a schema says of them under `x-guidance`.
fn json_grammar(schema: Map<String, Value>) -> GrammarWithLexer {
    let options = JsonCompileOptions {
        item_separator: ", ?".to_owned(),
        key_separator: ": ?".to_owned(),
        whitespace_flexible: false,
        whitespace_pattern: None,
        // With \u a free property name could spell one that the schema names.
        json_allowed_escapes: Some("nrbtf\\\"".to_owned()),
        ..JsonCompileOptions::default()
    };
    let mut schema = Value::Object(schema);
    options.apply_to(&mut schema);
    GrammarWithLexer::from_json_schema(schema)
}

fn compile(grammars: Vec<GrammarWithLexer>) -> Result<Shape, ShapeError> {
    let init = GrammarInit::Serialized(TopLevelGrammar { grammars, max_tokens: None });
    // Its words quote the schema.
    let compiled = panic_utils::catch_unwind(AssertUnwindSafe(|| init.to_internal(None, limits())));
    compiled.map(|parts| Shape(Arc::new(parts))).map_err(|_| ShapeError::Refused)
}

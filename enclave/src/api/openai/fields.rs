//! Every field of a chat request, found from its types, and what becomes of text in it.
//!
//! Promises
//! - A field that is added to the types and not to the table here fails the test.
//! - Text in a field that the table calls screened is refused by a guardrail that refuses it.

use super::{ChatRequest, OwnTools, Part, RawMessage};
use crate::api::tools::{RawCall, RawName, RawTool};
use adyton_guardrail::{Action, Guardrail, Refused, Settings};
use serde::de::value::Error;
use serde::de::{DeserializeSeed, IntoDeserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, forward_to_deserialize_any};
use serde_json::{Value, json};
use std::cell::RefCell;
use std::collections::BTreeMap;

/// What it cannot miss, and what no ordinary text has.
pub(crate) const MARKER: &str = "adyton\u{202e}marker";

/// What becomes of text in a field.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    /// It is screened with the prompt.
    Screened,
    /// It reaches the engine neither as text nor as a shape.
    Nowhere,
}

use Fate::{Nowhere, Screened};

/// All text of a request, each field with a request that has the marker in it.
fn table() -> BTreeMap<&'static str, (Fate, Value)> {
    let message =
        |change: Value| json!({ "messages": [with(json!({ "role": "user", "content": "hi" }), change)] });
    let call = |id: &str, name: &str, arguments: &str| {
        let call =
            json!({ "id": id, "type": "function", "function": { "name": name, "arguments": arguments } });
        json!({ "messages": [{ "role": "assistant", "content": "a", "tool_calls": [call] }] })
    };
    let tool = |change: Value| json!({ "tools": [{ "type": "function", "function": with(json!({ "name": "f" }), change) }] });
    let format = |change: Value| {
        let schema = with(json!({ "name": "n", "schema": { "type": "object" } }), change);
        json!({ "response_format": { "type": "json_schema", "json_schema": schema } })
    };
    let parts = |kind: &str, text: &str| message(json!({ "content": [{ "type": kind, "text": text }] }));
    BTreeMap::from([
        ("model", (Nowhere, json!({ "model": MARKER }))),
        ("messages[].role", (Nowhere, message(json!({ "role": MARKER })))),
        ("messages[].content", (Screened, message(json!({ "content": MARKER })))),
        ("messages[].content[].type", (Nowhere, parts(MARKER, "a"))),
        ("messages[].content[].text", (Screened, parts("text", MARKER))),
        ("messages[].refusal", (Nowhere, message(json!({ "refusal": MARKER })))),
        ("messages[].tool_calls[].id", (Nowhere, call(MARKER, "f", "{}"))),
        (
            "messages[].tool_calls[].type",
            (
                Nowhere,
                message(
                    json!({ "tool_calls": [{ "id": "1", "type": MARKER, "function": { "name": "f", "arguments": "{}" } }] }),
                ),
            ),
        ),
        ("messages[].tool_calls[].function.name", (Screened, call("1", MARKER, "{}"))),
        (
            "messages[].tool_calls[].function.arguments",
            (Screened, call("1", "f", &json!({ "a": MARKER }).to_string())),
        ),
        ("messages[].tool_call_id", (Nowhere, message(json!({ "role": "tool", "tool_call_id": MARKER })))),
        ("stop", (Screened, json!({ "stop": [MARKER] }))),
        ("logit_bias", (Nowhere, json!({ "logit_bias": { MARKER: 1 } }))),
        ("response_format.type", (Nowhere, json!({ "response_format": { "type": MARKER } }))),
        ("response_format.json_schema.name", (Nowhere, format(json!({ "name": MARKER })))),
        ("response_format.json_schema.description", (Nowhere, format(json!({ "description": MARKER })))),
        (
            "response_format.json_schema.schema",
            (Screened, format(json!({ "schema": { "const": { MARKER: 1 } } }))),
        ),
        ("tools[].type", (Nowhere, json!({ "tools": [{ "type": MARKER, "function": { "name": "f" } }] }))),
        ("tools[].function.name", (Screened, tool(json!({ "name": MARKER })))),
        ("tools[].function.description", (Screened, tool(json!({ "description": MARKER })))),
        (
            "tools[].function.parameters",
            (
                Screened,
                tool(
                    json!({ "parameters": { "type": "object", "properties": { MARKER: { "enum": [1] } } } }),
                ),
            ),
        ),
        ("tool_choice", (Nowhere, with(tool(json!({})), json!({ "tool_choice": MARKER })))),
        (
            "tool_choice.function.name",
            (
                Nowhere,
                with(
                    tool(json!({})),
                    json!({ "tool_choice": { "type": "function", "function": { "name": MARKER } } }),
                ),
            ),
        ),
        // The purpose goes to the sentinel; the tools named there are the enclave's, and measured.
        ("metadata", (Nowhere, json!({ "metadata": { "purpose": MARKER, "other": MARKER } }))),
    ])
}

fn with(mut base: Value, change: Value) -> Value {
    base.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    base
}

/// Gives a type whatever it asks for, and notes what it asked for as text.
#[derive(Clone)]
struct Probe<'a> {
    path: String,
    texts: &'a RefCell<Vec<String>>,
}

impl Probe<'_> {
    fn note(&self) {
        self.texts.borrow_mut().push(self.path.clone());
    }

    /// What a type of several shapes is given, so that the rest can be asked for; its other shapes are probed on their own.
    fn sample(&self) -> Value {
        match self.path.as_str() {
            "messages[].content" | "stop" | "tool_choice" | "input" => json!("text"),
            "messages[].refusal" | "response_format.json_schema.schema" | "tools[].function.parameters" => {
                Value::Null
            }
            other => panic!("{other} may have any shape: say here which, and probe each"),
        }
    }
}

macro_rules! numbers {
    ($($method:ident $visit:ident $value:expr;)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            visitor.$visit($value)
        })*
    };
}

impl<'de> Deserializer<'de> for Probe<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.note();
        let sample = self.sample();
        match sample {
            Value::String(text) => visitor.visit_string(text),
            _ => visitor.visit_unit(),
        }
    }

    numbers! {
        deserialize_bool visit_bool true;
        deserialize_u8 visit_u8 1;
        deserialize_u32 visit_u32 1;
        deserialize_u64 visit_u64 1;
        deserialize_i64 visit_i64 1;
        deserialize_f32 visit_f32 1.0;
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.note();
        visitor.visit_string("text".into())
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_string(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_seq(One(Some(Probe { path: self.path + "[]", ..self })))
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.note();
        visitor.visit_map(Fields { probe: self, fields: [].iter(), now: "" })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_map(Fields { probe: self, fields: fields.iter(), now: "" })
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i128 u16 u128 f64 char bytes byte_buf unit unit_struct newtype_struct tuple tuple_struct enum
        identifier ignored_any
    }
}

struct One<'a>(Option<Probe<'a>>);

impl<'de> SeqAccess<'de> for One<'_> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        self.0.take().map(|probe| seed.deserialize(probe)).transpose()
    }
}

struct Fields<'a> {
    probe: Probe<'a>,
    fields: std::slice::Iter<'static, &'static str>,
    now: &'static str,
}

impl<'de> MapAccess<'de> for Fields<'_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        let Some(field) = self.fields.next() else { return Ok(None) };
        self.now = field;
        seed.deserialize((*field).into_deserializer()).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        let dot = if self.probe.path.is_empty() { "" } else { "." };
        seed.deserialize(Probe {
            path: format!("{}{dot}{}", self.probe.path, self.now),
            ..self.probe.clone()
        })
    }
}

/// The fields of a type that take text, with a path in front.
pub(crate) fn texts<'de, T: Deserialize<'de>>(path: &str) -> Vec<String> {
    let texts = RefCell::default();
    T::deserialize(Probe { path: path.to_owned(), texts: &texts }).map(drop).unwrap();
    texts.into_inner()
}

#[test]
fn no_text_of_a_request_reaches_the_engine_unscreened() {
    let mut found = texts::<super::Raw>("");
    // The other shapes of the fields that have several.
    found.extend(texts::<Part>("messages[].content[]"));
    found.extend(texts::<RawName>("tool_choice.function"));
    let table = table();
    for path in &found {
        assert!(table.contains_key(path.as_str()), "{path} takes text: say in the table what becomes of it");
    }
    for path in table.keys() {
        assert!(found.iter().any(|one| one == path), "{path} is in the table and in no type");
    }
    // Types that are reached, so that the probe cannot have stopped early.
    for inner in [
        texts::<RawMessage>("messages[]"),
        texts::<RawTool>("tools[]"),
        texts::<RawCall>("messages[].tool_calls[]"),
    ] {
        assert!(inner.iter().all(|path| found.contains(path)), "{inner:?}");
    }
    let guardrail = Guardrail::new(Settings::of_what_hides(1 << 16, 16, Action::Block), []);
    for (path, (fate, change)) in table {
        let body = with(json!({ "model": "m", "messages": [{ "role": "user", "content": "hi" }] }), change);
        let parsed = ChatRequest::parse(body.to_string().as_bytes(), &OwnTools::default());
        match (fate, parsed) {
            (Screened, Ok(asked)) => {
                let refused = guardrail.examine(asked.prompt, &asked.beside).map(drop);
                assert!(matches!(refused, Err(Refused::Blocked(_))), "{path} is not screened");
            }
            (Screened, Err(error)) => panic!("{path}: the request was not read: {error:?}"),
            // Nothing of it may be text that the engine gets.
            (Nowhere, Ok(asked)) => {
                let inside = |text: &str| text.contains(MARKER);
                assert!(!asked.prompt.messages.iter().any(|m| inside(m.content.expose())), "{path}");
                assert!(!asked.beside.iter().any(|text| inside(text.expose())), "{path}");
                assert!(!inside(&format!("{:?}", asked.form)) || path.starts_with("tool_choice"), "{path}");
            }
            (Nowhere, Err(_refused)) => {}
        }
    }
}

#[test]
fn what_the_api_does_not_have_is_refused_or_dropped_whole() {
    for name in super::IGNORED {
        let body = json!({ "model": "m", "messages": [{ "role": "user", "content": "hi" }], name: MARKER });
        let asked = ChatRequest::parse(body.to_string().as_bytes(), &OwnTools::default()).unwrap();
        assert!(!format!("{:?}{:?}", asked.form, asked.sampling).contains("marker"), "{name}");
    }
    for name in super::UNSUPPORTED {
        let body = json!({ "model": "m", "messages": [{ "role": "user", "content": "hi" }], name: MARKER });
        assert!(ChatRequest::parse(body.to_string().as_bytes(), &OwnTools::default()).is_err(), "{name}");
    }
}

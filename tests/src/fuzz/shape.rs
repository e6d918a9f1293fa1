//! What clients say an answer must be: JSON schemas, and the parameters of tools.
//!
//! # Promises
//! - Any JSON value is a shape or an error value, and the error is a short phrase.
//! - The same value gives the same outcome.
//!
//! # Does not
//! - Draw answers; the engine's own tests do.
//!
//! # Trusts
//! - Nobody.

use adyton_engine::{Calls, Choice, Shape, ShapeError, Tool};
use serde_json::{Value, json};

/// Longest error. A fixed phrase and a limit are shorter.
const LONGEST: usize = 160;

/// A schema, alone and as the parameters of a tool.
pub fn shape(data: &[u8]) {
    let Ok(value) = serde_json::from_slice::<Value>(data) else { return };
    let outcome = Shape::json_schema(&value).map(drop);
    assert_eq!(outcome, Shape::json_schema(&value).map(drop), "the outcome changes");
    fits(outcome);
    let tools = [
        Tool { name: "first".to_owned(), parameters: Some(value) },
        Tool { name: "second".to_owned(), parameters: None },
    ];
    for (choice, calls) in [(Choice::Auto, Calls::Many), (Choice::Named("first"), Calls::One)] {
        fits(Shape::tool_calls(&tools, choice, calls).map(drop));
    }
}

/// An error must be a short phrase: what quotes a value is longer, or not ASCII, sooner or later.
fn fits(outcome: Result<(), ShapeError>) {
    let Err(error) = outcome else { return };
    let message = error.to_string();
    assert!(message.is_ascii() && message.len() <= LONGEST, "{message}");
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let schemas = [
        json!({
            "type": "object",
            "properties": {
                "name": { "type": "string", "minLength": 1, "maxLength": 20, "pattern": "^[A-Z][a-z]+$" },
                "age": { "type": "integer", "minimum": 0, "maximum": 150 },
                "mail": { "type": ["string", "null"], "format": "email" },
                "tags": { "type": "array", "items": { "enum": ["a", "b", 3, null] }, "maxItems": 5 }
            },
            "required": ["name", "age"],
            "additionalProperties": false
        }),
        json!({
            "$defs": { "node": {
                "type": "object",
                "properties": { "value": { "type": "number", "multipleOf": 0.01 },
                                "next": { "anyOf": [{ "$ref": "#/$defs/node" }, { "type": "null" }] } },
                "required": ["value", "next"]
            } },
            "$ref": "#/$defs/node"
        }),
        json!({
            "oneOf": [
                { "type": "object", "properties": { "kind": { "const": "a" } }, "required": ["kind"] },
                { "type": "object", "properties": { "kind": { "const": "b" } }, "required": ["kind"] }
            ]
        }),
        json!({
            "allOf": [{ "required": ["a"] }, { "properties": { "a": { "prefixItems": [true, false] } } }],
            "patternProperties": { "^x-": { "exclusiveMinimum": 1 } }, "minProperties": 1, "description": "d"
        }),
        json!({ "type": "object", "properties": { "day": { "format": "date" } }, "x-guidance": { "lenient": true } }),
        json!({ "not": { "type": "string" } }),
        json!(true),
    ];
    schemas.iter().map(|schema| schema.to_string().into_bytes()).collect()
}

//! The keywords of JSON Schema: what each holds, and the values of those that hold no schema.
//!
//! Promises: [`narrow`] lets a value through only if the compiler obeys it in the sense of JSON Schema 2020-12.

use super::pattern::ecmascript;
use super::{MAX_COUNT, MAX_NUMBER, MAX_TEXT, SMALLEST_STEP, within};
use crate::grammar::shape::ShapeError;
use serde_json::{Map, Value};

/// What stands under a keyword.
pub(super) enum Holds {
    Schema,
    List(&'static str),
    Named(&'static str),
    Reference,
    Constants(&'static str),
    Other,
}

/// Keywords that say something of a value and that llguidance does not know, or not in full.
const UNSUPPORTED: [&str; 17] = [
    "not",
    "if",
    "then",
    "else",
    "contains",
    "minContains",
    "maxContains",
    "propertyNames",
    "dependencies",
    "dependentRequired",
    "dependentSchemas",
    "unevaluatedItems",
    "unevaluatedProperties",
    "$dynamicRef",
    "$recursiveRef",
    "$recursiveAnchor",
    "$dynamicAnchor",
];
/// llguidance, `json/formats.rs`. An unknown format is an annotation to many, but a client that names one counts on it.
const FORMATS: [&str; 10] =
    ["date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid", "uri"];
const TYPES: [&str; 7] = ["null", "boolean", "number", "integer", "string", "array", "object"];
/// Largest `multipleOf`, in its last decimal: llguidance follows remainders digit by digit, in 32 bits.
const MAX_STEP: f64 = 1e8;

pub(super) fn holds(keyword: &str, value: &Value) -> Holds {
    match keyword {
        "items" if value.is_array() => Holds::List("items"),
        "items" | "additionalItems" | "additionalProperties" => Holds::Schema,
        "prefixItems" => Holds::List("prefixItems"),
        "anyOf" => Holds::List("anyOf"),
        "oneOf" => Holds::List("oneOf"),
        "allOf" => Holds::List("allOf"),
        "properties" => Holds::Named("properties"),
        "patternProperties" => Holds::Named("patternProperties"),
        "$defs" => Holds::Named("$defs"),
        "definitions" => Holds::Named("definitions"),
        "$ref" => Holds::Reference,
        "const" => Holds::Constants("const"),
        "enum" => Holds::Constants("enum"),
        _ => Holds::Other,
    }
}

pub(super) fn is_definitions(keyword: &str) -> bool {
    ["$defs", "definitions"].contains(&keyword)
}

/// The schemas that stand directly in one, each with its keyword.
pub(super) fn subschemas(fields: &Map<String, Value>) -> impl Iterator<Item = (&str, &Value)> {
    fields.iter().flat_map(|(keyword, value)| {
        let schemas: Vec<&Value> = match (holds(keyword, value), value) {
            (Holds::Schema, _) => vec![value],
            (Holds::List(_), Value::Array(items)) => items.iter().collect(),
            (Holds::Named(_), Value::Object(fields)) => fields.values().collect(),
            _ => Vec::new(),
        };
        schemas.into_iter().map(|schema| (keyword.as_str(), schema))
    })
}

/// How many parts of a schema may each say something of the same object or array.
pub(super) fn sources(fields: &Map<String, Value>) -> usize {
    let has = |names: &[&str]| usize::from(names.iter().any(|name| fields.contains_key(*name)));
    let all_of = fields.get("allOf").and_then(Value::as_array).map_or(0, Vec::len);
    let objects = ["properties", "additionalProperties", "required", "minProperties", "maxProperties"];
    let arrays = ["items", "prefixItems", "additionalItems", "minItems", "maxItems"];
    let own = has(&[&objects[..], &arrays[..]].concat());
    all_of + has(&["anyOf"]) + has(&["oneOf"]) + has(&["$ref"]) + has(&["patternProperties"]) + own
}

/// The value of a keyword that holds no schema; `None` for an annotation, or what says nothing.
pub(super) fn narrow(keyword: &str, value: &Value) -> Result<Option<Value>, ShapeError> {
    if let Some(keyword) = UNSUPPORTED.iter().find(|name| **name == keyword) {
        return Err(ShapeError::Unsupported(keyword));
    }
    let same = Some(value.clone());
    Ok(match keyword {
        "type" => types(value).map(|()| same)?,
        "required" => names(value).map(|()| same)?,
        "minLength" | "maxLength" | "minItems" | "maxItems" | "minProperties" | "maxProperties" => {
            let count = value.as_u64().ok_or(ShapeError::Malformed("a length or count"))?;
            within("length or count", count, MAX_COUNT)?;
            same
        }
        "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum" => limit(value).map(|()| same)?,
        "multipleOf" => {
            let step = value.as_f64().ok_or(ShapeError::Malformed("multipleOf"))?;
            if countable_step(step) { same } else { return Err(ShapeError::Unsupported("multipleOf")) }
        }
        "pattern" => {
            let text = value.as_str().ok_or(ShapeError::Malformed("pattern"))?;
            within("bytes in a pattern", text.len() as u64, MAX_TEXT)?;
            Some(Value::String(ecmascript(text)?))
        }
        "format" => {
            let known = value.as_str().is_some_and(|name| FORMATS.contains(&name));
            if known { same } else { return Err(ShapeError::Unsupported("format")) }
        }
        "uniqueItems" if value == &Value::Bool(false) => None,
        "uniqueItems" => return Err(ShapeError::Unsupported("uniqueItems")),
        _ => None,
    })
}

/// Whether the step has no more decimals than the smallest, and is not too large in units of its last one.
fn countable_step(step: f64) -> bool {
    let shifts = std::iter::successors(Some(step), |step| Some(step * 10.0)).take(9);
    step > 0.0 && shifts.into_iter().any(|whole| whole.fract() == 0.0 && whole <= MAX_STEP)
}

fn types(value: &Value) -> Result<(), ShapeError> {
    let list = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
    let known = |name: &Value| name.as_str().is_some_and(|name| TYPES.contains(&name));
    let fits = !list.is_empty() && list.len() <= TYPES.len() && list.iter().all(known);
    if fits { Ok(()) } else { Err(ShapeError::Malformed("type")) }
}

fn names(value: &Value) -> Result<(), ShapeError> {
    let list = value.as_array().ok_or(ShapeError::Malformed("required"))?;
    for name in list {
        let name = name.as_str().ok_or(ShapeError::Malformed("required"))?;
        within("bytes in a name", name.len() as u64, MAX_TEXT)?;
    }
    Ok(())
}

/// A bound of numbers. Draft 4 has booleans for the exclusive ones.
fn limit(value: &Value) -> Result<(), ShapeError> {
    match value {
        Value::Bool(_) => Ok(()),
        Value::Number(number) if exact(number) => Ok(()),
        Value::Number(_) => Err(ShapeError::TooLarge { what: "a number", limit: MAX_NUMBER as u64 }),
        _ => Err(ShapeError::Malformed("a bound of numbers")),
    }
}

fn exact(number: &serde_json::Number) -> bool {
    number.as_f64().is_some_and(|number| number.abs() <= MAX_NUMBER)
}

/// Counts the constants in one, and checks each.
pub(super) fn constant(value: &Value) -> Result<u64, ShapeError> {
    let mut count = 1;
    match value {
        Value::Null | Value::Bool(_) => {}
        Value::Number(number) if exact(number) => {}
        Value::Number(_) => {
            return Err(ShapeError::TooLarge { what: "a number", limit: MAX_NUMBER as u64 });
        }
        Value::String(text) => within("bytes in a constant", text.len() as u64, MAX_TEXT)?,
        Value::Array(items) => {
            for item in items {
                count += constant(item)?;
            }
        }
        Value::Object(fields) => {
            for (name, field) in fields {
                within("bytes in a name", name.len() as u64, MAX_TEXT)?;
                count += constant(field)?;
            }
        }
    }
    Ok(count)
}

/// Whether a value of this type may fit, as far as the schema itself says. A schema of nothing but other schemas says
/// nothing itself.
pub(super) fn may_be(fields: &Map<String, Value>, kind: &str) -> bool {
    match fields.get("type") {
        Some(Value::String(name)) => name == kind,
        Some(Value::Array(names)) => names.iter().any(|name| name == kind),
        _ => !leads_on(fields),
    }
}

/// Whether other schemas, or constants, say what the value is.
pub(super) fn leads_on(fields: &Map<String, Value>) -> bool {
    ["anyOf", "oneOf", "allOf", "$ref", "const", "enum"].iter().any(|name| fields.contains_key(*name))
}

/// Gives numbers without bounds those of RFC 7493 and, where the schema stands alone, an end to their digits. Else the
/// answer may be a number that overflows its reader, or one that never ends.
pub(super) fn bound_numbers(fields: &mut Map<String, Value>, alone: bool) {
    let constant = fields.contains_key("const") || fields.contains_key("enum");
    if constant || !(may_be(fields, "number") || may_be(fields, "integer")) {
        return;
    }
    for (bound, exclusive, value) in
        [("minimum", "exclusiveMinimum", -MAX_NUMBER), ("maximum", "exclusiveMaximum", MAX_NUMBER)]
    {
        if !fields.contains_key(bound) && !fields.get(exclusive).is_some_and(Value::is_number) {
            fields.insert(bound.to_owned(), value.into());
        }
    }
    if alone && may_be(fields, "number") && !fields.contains_key("multipleOf") {
        fields.insert("multipleOf".to_owned(), SMALLEST_STEP.into());
    }
}

/// Free properties may come twice under one name, and then count once.
pub(super) fn countable(fields: &Map<String, Value>) -> Result<(), ShapeError> {
    let least = fields.get("minProperties").and_then(Value::as_u64).unwrap_or(0);
    let closed = fields.get("additionalProperties") == Some(&Value::Bool(false));
    let fits = least == 0 || closed && !fields.contains_key("patternProperties");
    if fits { Ok(()) } else { Err(ShapeError::Unsupported("minProperties")) }
}

/// Whether an object's properties are named, with those that it must have.
pub(super) fn names_all(fields: &Map<String, Value>) -> bool {
    let named = fields.get("properties").and_then(Value::as_object);
    let known =
        |name: &Value| name.as_str().is_some_and(|name| named.is_some_and(|named| named.contains_key(name)));
    let required = fields.get("required").and_then(Value::as_array);
    let some = named.is_some() || fields.contains_key("patternProperties");
    some && required.is_none_or(|names| names.iter().all(known))
}

/// The keyword for items of an array beyond the first ones. Where older drafts list those under `items`, it is another.
pub(super) fn further_items(fields: &Map<String, Value>) -> &'static str {
    if fields.get("items").is_some_and(Value::is_array) { "additionalItems" } else { "items" }
}

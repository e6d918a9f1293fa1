//! Schemas that mean harm: each is an error that says why, or costs bounded time.

use super::grammar::Vocabulary;
use super::smollm;
use crate::grammar::{Constraint, GrammarError, Shape, ShapeError as E};
use serde_json::{Map, Value, json};
use std::time::{Duration, Instant};

fn refused(schema: &Value) -> E {
    Shape::json_schema(schema).unwrap_err()
}

fn nested(levels: usize, wrap: impl Fn(Value) -> Value) -> Value {
    (0..levels).fold(json!({"type": "null"}), |inner, _| wrap(inner))
}

fn too_large(what: &'static str, limit: u64) -> E {
    E::TooLarge { what, limit }
}

#[test]
fn what_is_too_large_is_named() {
    let long = "x".repeat(1025);
    let many = |n: usize, value: Value| Value::Array(vec![value; n]);
    let properties: Map<String, Value> = (0..2048).map(|i| (format!("p{i}"), json!({}))).collect();
    let cases = [
        (nested(40, |inner| json!({"items": inner, "type": "array"})), None),
        (nested(100, |inner| json!({"items": inner})), Some(too_large("levels", 64))),
        (json!({"default": nested(100, |inner| json!([inner]))}), Some(too_large("levels", 64))),
        (json!({"description": "x".repeat(300_000)}), Some(too_large("bytes", 262_144))),
        (json!({"enum": many(1001, json!(1))}), Some(too_large("constants", 1000))),
        (json!({"const": long}), Some(too_large("bytes in a constant", 1024))),
        (json!({"required": [long]}), Some(too_large("bytes in a name", 1024))),
        (json!({"properties": {long.clone(): {}}}), Some(too_large("bytes in a name", 1024))),
        (json!({"pattern": long}), Some(too_large("bytes in a pattern", 1024))),
        (json!({"anyOf": many(65, json!({}))}), Some(too_large("schemas in a list", 64))),
        (json!({"properties": properties}), Some(too_large("schemas", 2048))),
        (json!({"maxItems": 1u64 << 40}), Some(too_large("length or count", 1 << 20))),
        (json!({"minLength": u64::MAX}), Some(too_large("length or count", 1 << 20))),
        (json!({"minimum": 1e300}), Some(too_large("a number", (1 << 53) - 1))),
        (json!({"const": u64::MAX}), Some(too_large("a number", (1 << 53) - 1))),
    ];
    for (schema, expected) in cases {
        let found = Shape::json_schema(&schema).err();
        assert_eq!(
            found,
            expected.or(found.filter(|e| *e == too_large("levels", 64))),
            "{:.200}",
            schema.to_string()
        );
    }
}

#[test]
fn what_cannot_be_held_to_is_named() {
    let cases = [
        (json!({"not": {}}), E::Unsupported("not")),
        (json!({"properties": {"a": {"if": {}}}}), E::Unsupported("if")),
        (json!({"$defs": {"a": {"uniqueItems": true}}}), E::Unsupported("uniqueItems")),
        (json!({"format": "idn-email"}), E::Unsupported("format")),
        (json!({"multipleOf": 1e-12}), E::Unsupported("multipleOf")),
        (json!({"multipleOf": 0}), E::Unsupported("multipleOf")),
        (json!({"minProperties": 2}), E::Unsupported("minProperties")),
        (json!({"properties": {"a": {"$id": "x"}}}), E::Unsupported("$id")),
        (json!({"type": "text"}), E::Malformed("type")),
        (json!({"type": []}), E::Malformed("type")),
        (json!({"properties": []}), E::Malformed("properties")),
        (json!({"items": 1}), E::Malformed("schema")),
        (json!({"maxLength": -1}), E::Malformed("a length or count")),
        (json!("text"), E::Malformed("schema")),
        (json!({"$ref": "https://example.com/schema.json"}), E::Reference),
        (json!({"$ref": "file:///etc/passwd"}), E::Reference),
        (json!({"$ref": "#anchor"}), E::Reference),
        (json!({"$ref": "#/$defs/none"}), E::Reference),
        (json!({"$ref": "#/default", "default": {"not": {}}}), E::Reference),
        (json!({"$ref": "#/$defs/a~1b", "$defs": {"a/b": {}}}), E::Reference),
        (json!({"$ref": "#/$defs/a/b", "$defs": {"a/b": {}}}), E::Reference),
        (json!({"type": "string", "pattern": "(unclosed"}), E::Refused),
        (json!({"type": "string", "pattern": "(a)\\1"}), E::Refused),
        (json!({"type": "string", "pattern": "(?=a)b"}), E::Refused),
        (json!({"type": "integer", "minimum": 3, "maximum": 2}), E::Refused),
        (json!({"type": "object", "required": ["a"], "properties": {"a": false}}), E::Refused),
        (json!({"oneOf": [{"type": "string"}, {"type": "string", "maxLength": 3}]}), E::Refused),
        // Narrowed, these two would seem to exclude each other.
        (
            json!({"oneOf": [{"type": "object", "properties": {"a": {}}, "required": ["a"]},
            {"type": "object", "properties": {"b": {}}}]}),
            E::Refused,
        ),
        (json!({"type": "string", "pattern": "[]a]"}), E::Unsupported("pattern")),
        (json!({"patternProperties": {"[^]": {}}}), E::Unsupported("pattern")),
        (json!({"type": "string", "pattern": "[a--b]"}), E::Unsupported("pattern")),
        (json!(false), E::Refused),
    ];
    for (schema, expected) in cases {
        assert_eq!(refused(&schema), expected, "{schema}");
    }
}

#[test]
fn annotations_and_options_are_dropped() {
    let v = Vocabulary::tiny();
    let schema = json!({"type": "null", "title": "t", "examples": [1], "discriminator": {"a": 1},
        "x-guidance": {"whitespace_pattern": "[ ]*", "lenient": true}});
    let shape = Shape::json_schema(&schema).unwrap();
    assert_eq!(v.draw(&shape, 1, 100).unwrap().0, b"null");
}

/// Each of these compiles or is refused, and then runs, within this time. It stands well above what they take, so that a
/// busy machine does not fail the test.
const PATIENCE: Duration = Duration::from_secs(if cfg!(debug_assertions) { 60 } else { 5 });

#[test]
fn hostile_schemas_cost_bounded_time() {
    in_half_a_stack(|| hostile_schemas(&Vocabulary::tiny()));
    if let Some(model) = smollm() {
        in_half_a_stack(|| hostile_schemas(&Vocabulary::of(model)));
    }
}

fn hostile_schemas(v: &Vocabulary) {
    let string = |pattern: &str| json!({"type": "string", "pattern": pattern});
    let enumeration: Vec<String> = (0..1000).map(|i| format!("{i:050}")).collect();
    let chain = |n: usize| {
        let link =
            |i: usize| json!({"type": "object", "properties": {"n": {"$ref": format!("#/$defs/{}", i + 1)}}});
        let mut links: Map<String, Value> = (0..n).map(|i| (i.to_string(), link(i))).collect();
        links.insert(n.to_string(), json!({"type": "null"}));
        json!({"$ref": "#/$defs/0", "$defs": links})
    };
    let either = |n: usize| json!({"anyOf": (0..n).map(|i| json!({"const": i})).collect::<Vec<_>>()});
    let objects: Vec<Value> = (0..64)
        .map(|i| {
            let fields = (0..20).map(|k| (format!("f{k}"), json!({"type": "null"}))).collect::<Map<_, _>>();
            json!({"type": "object", "properties": fields, "required": (0..20).map(|k| format!("f{k}")).collect::<Vec<_>>(), "title": i})
        })
        .collect();
    let optional: Map<String, Value> =
        (0..1000).map(|i| (format!("p{i}"), json!({"type": "null"}))).collect();
    let cases = [
        ("nested quantifiers", string("^(a+)+$")),
        ("nested counts", string("^((a{1,500}){1,500}){1,500}$")),
        ("alternatives", string("(x+x+)+y|(a|aa)+$|(a|a?)+$")),
        ("states", string("[ab]*a[ab]{400}$")),
        ("more states", string("^(.*a.{30}.*b.{40}.*c.{50}){9}$")),
        ("unicode", string("^(\\p{L}{1,100}\\p{N}{1,100}){100}$")),
        ("long text", json!({"type": "string", "minLength": 1 << 20})),
        (
            "long list",
            json!({"type": "array", "items": {"type": "null"}, "minItems": 1 << 20, "maxItems": 1 << 20}),
        ),
        ("lists of lists", nested(12, |inner| json!({"type": "array", "items": inner, "minItems": 1000}))),
        ("enumeration", json!({"enum": enumeration})),
        ("itself", json!({"$ref": "#"})),
        (
            "a loop",
            json!({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}}),
        ),
        ("a list of itself", json!({"type": "array", "items": {"$ref": "#"}, "minItems": 1})),
        (
            "a loop of all",
            json!({"allOf": [{"$ref": "#/$defs/a"}, {"$ref": "#/$defs/a"}], "$defs": {"a": {"allOf": [{"$ref": "#"}, {"type": "object"}]}}}),
        ),
        ("a chain", chain(60)),
        ("a longer chain", chain(900)),
        ("products", json!({"allOf": vec![either(60); 16]})),
        (
            "more products",
            nested(
                8,
                |inner| json!({"allOf": [{"anyOf": [inner, {"type": "object"}]}, {"anyOf": [{"properties": {"a": {}}}, {"required": ["b"]}]}]}),
            ),
        ),
        ("exclusive objects", json!({"oneOf": objects})),
        ("optional properties", json!({"type": "object", "properties": optional})),
        ("free among many", json!({"type": "object", "properties": optional, "additionalProperties": true})),
    ];
    for (name, schema) in cases {
        let start = Instant::now();
        let shape = Shape::json_schema(&schema);
        let compiled = start.elapsed();
        let outcome = shape.map_err(|e| e.to_string()).map(|shape| run(v, &shape));
        let whole = start.elapsed();
        println!("{name}: compiled {compiled:?}, in all {whole:?}, {outcome:?}");
        assert!(whole < PATIENCE, "{name}: {whole:?}");
    }
}

/// Fifty steps that take the last token allowed.
fn run(v: &Vocabulary, shape: &Shape) -> Result<usize, GrammarError> {
    let mut constraint = Constraint::new(&v.table, shape)?;
    for step in 0..50 {
        let mut logits = vec![0.0; v.size()];
        constraint.mask(&mut logits)?;
        let last = logits.iter().rposition(|logit| *logit == 0.0);
        constraint.accept(last.unwrap() as u32)?;
        if constraint.is_complete() {
            return Ok(step);
        }
    }
    Ok(50)
}

/// Runs this in a thread with half of the stack that one has if nobody says otherwise.
fn in_half_a_stack<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let stack = if cfg!(debug_assertions) { 16 << 20 } else { 1 << 20 };
    std::thread::Builder::new().stack_size(stack).spawn(work).unwrap().join().unwrap()
}

#[test]
fn the_deepest_schemas_fit_half_a_stack() {
    let links: [fn(Value) -> Value; 6] = [
        |next| json!({"type": "object", "properties": {"definitions": {"items": next}}}),
        |next| json!({"anyOf": [{"type": "array", "items": next}]}),
        |next| json!({"type": "object", "properties": {"n": next}}),
        |next| json!({"allOf": [{"type": "array", "items": next}, {"maxItems": 2}]}),
        |next| json!({"oneOf": [next, {"type": "null"}]}),
        |next| json!({"allOf": [next, {"type": "array"}]}),
    ];
    for link in links {
        let chain = move |n: usize| {
            let link = |i: usize| (i.to_string(), link(json!({"$ref": format!("#/$defs/{}", i + 1)})));
            let mut links: Map<String, Value> = (0..n).map(link).collect();
            links.insert(n.to_string(), json!({"type": "array"}));
            json!({"$ref": "#/$defs/0", "$defs": links})
        };
        in_half_a_stack(move || {
            let too_deep = too_large("levels of schemas that $ref names", 256);
            let found = |n: &usize| Shape::json_schema(&chain(*n)).err() == Some(too_deep);
            let first = (1..200).find(found).unwrap();
            println!("{first} links are too many; {:?}", Shape::json_schema(&chain(first - 1)));
            assert!(first > 30);
        });
    }
}

#[test]
fn the_widest_schemas_fit_half_a_stack() {
    let fields = |n: usize| (0..n).map(|i| (format!("p{i}"), json!({"type": "null"}))).collect::<Map<_, _>>();
    in_half_a_stack(move || {
        for (n, rest) in [(1900, false), (1900, true)] {
            let schema = json!({"type": "object", "properties": fields(n), "additionalProperties": rest});
            let shape = Shape::json_schema(&schema).unwrap();
            println!("{:?}", run(&Vocabulary::tiny(), &shape));
        }
    });
}

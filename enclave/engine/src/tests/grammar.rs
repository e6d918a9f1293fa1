//! Answers that are held to a shape: JSON objects, schemas, tool calls.

use super::smollm;
use super::tiny::Tiny;
use crate::grammar::{Calls, Choice, Constraint, GrammarError, Shape, ShapeError, TokenTable, Tool};
use crate::sampler::{Masked, Sampler};
use crate::{Isa, Model, Sampling};
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A vocabulary with its table.
pub(super) struct Vocabulary {
    model: Arc<Model>,
    pub(super) table: TokenTable,
}

impl Vocabulary {
    pub(super) fn of(model: Arc<Model>) -> Vocabulary {
        Vocabulary { table: TokenTable::new(model.tokenizer()).unwrap(), model }
    }

    pub(super) fn tiny() -> Vocabulary {
        Vocabulary::of(Tiny::new().model())
    }

    pub(super) fn size(&self) -> usize {
        self.model.tokenizer().vocabulary()
    }

    /// The ids of text, one byte each where the vocabulary is tiny.
    fn encode(&self, text: &str) -> Vec<u32> {
        self.model.tokenizer().encode(text).unwrap()
    }

    fn allowed(&self, constraint: &mut Constraint) -> Vec<u32> {
        let mut logits = vec![0.0; self.size()];
        constraint.mask(&mut logits).unwrap();
        (0..).zip(logits).filter(|(_, logit)| *logit == 0.0).map(|(id, _)| id).collect()
    }

    /// Whether the text is an answer of the shape: each token allowed, and then the end.
    fn accepts(&self, shape: &Shape, text: &str) -> bool {
        let mut constraint = Constraint::new(&self.table, shape).unwrap();
        for token in self.encode(text) {
            if !self.allowed(&mut constraint).contains(&token) {
                return false;
            }
            constraint.accept(token).unwrap();
        }
        self.allowed(&mut constraint).iter().any(|id| self.model.tokenizer().is_end(*id))
    }

    /// An answer drawn with random logits, which lean the more to its end the longer it gets, and the time that each mask
    /// took. `None` if it did not end.
    pub(super) fn draw(&self, shape: &Shape, seed: u64, most: usize) -> Option<(Vec<u8>, Vec<Duration>)> {
        let mut constraint = Constraint::new(&self.table, shape).unwrap();
        let mut rng = ChaCha12Rng::seed_from_u64(seed);
        let mut sampler = Sampler::new(Sampling::new(seed), &[]);
        let tokenizer = self.model.tokenizer();
        let (mut answer, mut times) = (Vec::new(), Vec::new());
        for step in 0..most {
            let lean = (step as f32 / 20.0).min(20.0);
            let logit = |id: u32| match tokenizer.bytes(id) {
                _ if tokenizer.is_end(id) => lean,
                [b'"', ..] => lean,
                [b',', ..] => -lean.min(2.0),
                [b'{' | b'[', ..] => -lean,
                _ => 0.0,
            };
            let noise = |rng: &mut ChaCha12Rng| rng.next_u32() as f32 / u32::MAX as f32 * 4.0;
            let mut logits: Vec<f32> =
                (0..self.size() as u32).map(|id| logit(id) + noise(&mut rng)).collect();
            let mut mask = |logits: &mut [f32]| {
                let start = Instant::now();
                constraint.mask(logits)?;
                times.push(start.elapsed());
                Ok(Masked::Some)
            };
            let token = sampler.next(Isa::best(), &mut logits, &mut mask).unwrap().token;
            constraint.accept(token).unwrap();
            assert!(tokenizer.is_end(token) || !tokenizer.bytes(token).is_empty(), "a control token");
            answer.extend_from_slice(tokenizer.bytes(token));
            if constraint.is_complete() {
                return Some((answer, times));
            }
        }
        None
    }
}

fn schema(schema: Value) -> Shape {
    Shape::json_schema(&schema).unwrap_or_else(|e| panic!("{e}: {schema}"))
}

fn weather() -> Vec<Tool> {
    let place = json!({"type": "object", "properties": {"city": {"$ref": "#/$defs/city"}, "days": {"type": "integer"}},
        "required": ["city"], "$defs": {"city": {"enum": ["Kyiv", "Oslo"]}}});
    vec![
        Tool { name: "weather".to_owned(), parameters: Some(place) },
        Tool { name: "now".to_owned(), parameters: None },
    ]
}

#[test]
fn answers_are_of_their_schema() {
    let v = Vocabulary::tiny();
    let person = json!({"type": "object", "properties": {"name": {"type": "string", "maxLength": 3},
        "age": {"type": "integer", "minimum": 0, "maximum": 130}}, "required": ["name"]});
    let cases = [
        (person.clone(), r#"{"name": "Ann", "age": 7}"#, true),
        (person.clone(), r#"{"name":"Ann"}"#, true),
        (person.clone(), r#"{"name":"Anna"}"#, false),
        (person.clone(), r#"{"age":7}"#, false),
        (person.clone(), r#"{"name":"Ann","age":131}"#, false),
        (person.clone(), r#"{"name":"Ann","pet":1}"#, false),
        (person.clone(), r#"{"name":"Ann"}}"#, false),
        (person.clone(), r#"{"name":"Ann""#, false),
        (person.clone(), "{\"name\":\n\"Ann\"}", false),
        (person, r#"{"name":  "Ann"}"#, false),
        (json!({"type": "object"}), r#"{"a":[{"b":null}],"c":-1.5}"#, true),
        (json!({"type": "object"}), r#"{"a":1e999}"#, false),
        (json!({"type": "object"}), "[]", false),
        (json!({}), "[true]", true),
        (json!({"type": "number"}), "-0.25", true),
        (json!({"type": "number"}), "3.12345678", true),
        (json!({"type": "number"}), "3.123456789", false),
        (json!({"type": "integer"}), "9007199254740992", false),
        (json!({"enum": ["a", 1, null]}), "null", true),
        (json!({"enum": ["a", 1, null]}), "\"b\"", false),
        (json!({"const": {"a": [1]}}), r#"{"a": [1]}"#, true),
        (json!({"type": "string", "pattern": "^.$"}), "\"\\r\"", false),
        (json!({"type": "string", "pattern": "^\\s$"}), "\"\u{85}\"", false),
        (json!({"type": "string", "pattern": "^\\s$"}), "\"\u{feff}\"", true),
        (json!({"type": "string", "pattern": "^[a&&[~]$"}), "\"&\"", true),
        (json!({"type": "string", "pattern": "^[a&&[~]$"}), "\"[\"", true),
        (json!({"type": "string", "pattern": "^[^\\S.]$"}), "\".\"", false),
        (json!({"type": "string", "pattern": "^[^\\S.]$"}), "\" \"", true),
        (json!({"type": "array", "items": [{"type": "null"}]}), "[null,1]", true),
        (json!({"type": "array", "items": [{"type": "null"}]}), "[1]", false),
        (json!({"type": "array", "items": [{}], "additionalItems": false}), "[1,1]", false),
        (
            json!({"type": "object", "$ref": "#/$defs/a", "$defs": {"a": {"type": ["object", "null"], "properties": {"a": {}}}}}),
            r#"{"a":[[1]]}"#,
            true,
        ),
        (
            json!({"oneOf": [{"type": "object", "properties": {"k": {"const": "a"}}, "required": ["k"]},
            {"type": "object", "properties": {"k": {"const": "b"}}, "required": ["k"]}]}),
            r#"{"k":"b"}"#,
            true,
        ),
        (json!({"type": "string", "format": "date"}), "\"2026-02-30\"", false),
        (json!({"oneOf": [{"type": "null"}, {"type": "boolean"}]}), "true", true),
        (
            json!({"allOf": [{"properties": {"a": {"type": "null"}}, "type": "object"}, {"required": ["a"]}]}),
            r#"{"a":null,"b":1}"#,
            true,
        ),
        (json!({"$ref": "#/definitions/x", "definitions": {"x": {"type": "null"}}}), "null", true),
        (
            json!({"anyOf": [{"type": "null"}, {"type": "array", "items": {"$ref": "#"}}]}),
            "[[null],null]",
            true,
        ),
    ];
    for (case, text, expected) in cases {
        assert_eq!(v.accepts(&schema(case.clone()), text), expected, "{case} {text}");
    }
}

#[test]
fn a_property_that_is_named_cannot_come_in_disguise() {
    let v = Vocabulary::tiny();
    let shape = schema(json!({"type": "object", "properties": {"a": {"type": "null"}},
        "additionalProperties": {"type": "boolean"}}));
    assert!(v.accepts(&shape, r#"{"a":null,"b":true}"#));
    assert!(!v.accepts(&shape, r#"{"a":null,"a":true}"#));
    assert!(!v.accepts(&shape, r#"{"a":null,"\u0061":true}"#));
}

#[test]
fn tool_calls_are_one_object_or_stand_between_tags() {
    let v = Vocabulary::tiny();
    let one = r#"{"name": "weather", "arguments": {"city": "Oslo", "days": 3}}"#;
    let now = r#"{"name":"now","arguments":{}}"#;
    let tagged = |call: &str| format!("<tool_call>\n{call}\n</tool_call>");
    let two = format!("{}\n{}", tagged(one), tagged(now));
    use Choice::{Auto, Named, Required};
    let cases = [
        (Required, Calls::One, one.to_owned(), true),
        (Required, Calls::One, now.to_owned(), true),
        (Required, Calls::One, tagged(one), false),
        (Required, Calls::One, "Hello".to_owned(), false),
        (Required, Calls::One, one.replace("Oslo", "Paris"), false),
        (Required, Calls::One, one.replace("weather", "now"), false),
        (Required, Calls::One, one.replace("weather", "launch"), false),
        (Named("now"), Calls::One, now.to_owned(), true),
        (Named("now"), Calls::One, one.to_owned(), false),
        (Required, Calls::Many, two.clone(), true),
        (Required, Calls::Many, "Hello".to_owned(), false),
        (Auto, Calls::One, "Hello, <tool> é".to_owned(), true),
        (Auto, Calls::One, String::new(), true),
        (Auto, Calls::One, "<tool_call".to_owned(), true),
        (Auto, Calls::One, tagged(one), true),
        (Auto, Calls::One, format!("I shall look.\n{}", tagged(now)), true),
        (Auto, Calls::One, two.clone(), false),
        (Auto, Calls::One, format!("{}?", tagged(now)), false),
        (Auto, Calls::One, "<tool_call>so they say".to_owned(), false),
        (Auto, Calls::Many, two, true),
    ];
    for (choice, calls, text, expected) in cases {
        let shape = Shape::tool_calls(&weather(), choice, calls).unwrap();
        assert_eq!(v.accepts(&shape, &text), expected, "{choice:?} {calls:?} {text}");
    }
}

#[test]
fn tools_are_checked() {
    let of = |name: &str, parameters| Tool { name: name.to_owned(), parameters };
    let calls = |tools: &[Tool], choice| Shape::tool_calls(tools, choice, Calls::One).unwrap_err();
    let tools = |why| ShapeError::Tools(why);
    assert_eq!(calls(&[], Choice::Auto), tools("there must be 1 to 128"));
    let name = "a name must be 1 to 64 letters, digits, underscores and dashes";
    assert_eq!(calls(&[of("a b", None)], Choice::Auto), tools(name));
    assert_eq!(calls(&[of("", None)], Choice::Auto), tools(name));
    assert_eq!(calls(&[of("a", None), of("a", None)], Choice::Auto), tools("two have the same name"));
    assert_eq!(calls(&weather(), Choice::Named("x")), tools("the choice names none of them"));
    let list = || Some(json!({"type": "array"}));
    assert_eq!(calls(&[of("a", list())], Choice::Required), ShapeError::Malformed("type"));
    assert_eq!(calls(&[of("a", Some(json!(1)))], Choice::Required), ShapeError::Malformed("parameters"));
}

#[test]
fn many_tools_with_references_of_their_own_are_kept_apart() {
    let v = Vocabulary::tiny();
    let tool = |i: usize| {
        let parameters = json!({"type": "object", "properties": {"x": {"$ref": "#/$defs/x"}}, "required": ["x"],
            "description": "d".repeat(1500), "$defs": {"x": {"const": i}}});
        Tool { name: format!("t{i}"), parameters: Some(parameters) }
    };
    let tools: Vec<Tool> = (0..128).map(tool).collect();
    let shape = Shape::tool_calls(&tools, Choice::Required, Calls::One).unwrap();
    assert!(v.accepts(&shape, r#"{"name":"t97","arguments":{"x":97}}"#));
    assert!(!v.accepts(&shape, r#"{"name":"t97","arguments":{"x":98}}"#));
}

#[test]
fn ends_are_allowed_where_the_answer_may_end() {
    let v = Vocabulary::tiny();
    let tokenizer = v.model.tokenizer();
    let mut constraint =
        Constraint::new(&v.table, &schema(json!({"type": "integer", "maximum": 99, "minimum": 0}))).unwrap();
    let ends = |allowed: &[u32]| allowed.iter().any(|id| tokenizer.is_end(*id));
    assert!(!ends(&v.allowed(&mut constraint)));
    constraint.accept(v.encode("4")[0]).unwrap();
    assert!(ends(&v.allowed(&mut constraint)) && !constraint.is_complete());
    constraint.accept(v.encode("2")[0]).unwrap();
    assert!(constraint.is_complete());
    assert!(v.allowed(&mut constraint).iter().all(|id| tokenizer.is_end(*id)));
    constraint.accept(1).unwrap();
    assert!(constraint.is_complete());
}

#[test]
fn tokens_that_the_mask_rules_out_end_the_sequence() {
    let v = Vocabulary::tiny();
    // A control token, one that ends the turn, a byte, and an id beyond the vocabulary.
    for token in [0, 1, v.encode("x")[0], 9999] {
        let mut constraint = Constraint::new(&v.table, &Shape::json_object().unwrap()).unwrap();
        assert_eq!(constraint.accept(token), Err(GrammarError::Rejected));
        assert_eq!(constraint.accept(v.encode("{")[0]), Err(GrammarError::Rejected));
        assert_eq!(constraint.mask(&mut [0.0; 9]), Err(GrammarError::Rejected));
        assert!(!constraint.is_complete());
    }
}

#[test]
fn outputs_beyond_the_vocabulary_are_ruled_out() {
    let v = Vocabulary::tiny();
    let mut constraint = Constraint::new(&v.table, &Shape::json_object().unwrap()).unwrap();
    let mut logits = vec![0.0; v.size() + 70];
    constraint.mask(&mut logits).unwrap();
    assert_eq!(logits.iter().filter(|logit| **logit == 0.0).count(), 1);
    assert!(logits.iter().skip(v.size()).all(|logit| *logit == f32::NEG_INFINITY));
}

#[test]
fn a_seed_decides() {
    let v = Vocabulary::tiny();
    let shape = Shape::json_object().unwrap();
    let draw = |seed| v.draw(&shape, seed, 1000).unwrap().0;
    assert_eq!(draw(5), draw(5));
    assert_ne!(draw(5), draw(6));
}

#[test]
fn constraints_go_between_threads() {
    fn sent<T: Send>() {}
    fn shared<T: Send + Sync>() {}
    sent::<Constraint>();
    shared::<(Shape, TokenTable)>();
}

/// Prints what a mask costs with a vocabulary of 49,152 tokens.
#[test]
fn masks_over_a_real_vocabulary() {
    let Some(model) = smollm() else { return };
    let start = Instant::now();
    let v = Vocabulary::of(model);
    println!("table: {:?}", start.elapsed());
    let person = json!({"type": "object", "properties": {"name": {"type": "string"}, "tags": {"type": "array",
        "items": {"type": "string", "pattern": "^[a-z]+$"}, "maxItems": 5}, "age": {"type": "integer"}}, "required": ["name", "tags"]});
    let shapes = [
        ("object", Shape::json_object()),
        ("schema", Shape::json_schema(&person)),
        ("call", Shape::tool_calls(&weather(), Choice::Required, Calls::One)),
        ("auto", Shape::tool_calls(&weather(), Choice::Auto, Calls::Many)),
    ];
    for (name, shape) in shapes {
        let shape = shape.unwrap();
        let start = Instant::now();
        drop(Constraint::new(&v.table, &shape).unwrap());
        let begun = start.elapsed();
        let drawn = (0..20).filter_map(|seed| v.draw(&shape, seed, 500));
        let (answers, times): (Vec<_>, Vec<_>) = drawn.unzip();
        let mut times = times.concat();
        times.sort_unstable();
        let mean = times.iter().sum::<Duration>() / times.len() as u32;
        let (middle, most) = (times[times.len() / 2], times[times.len() - 1]);
        println!(
            "{name}: start {begun:?}; {} masks, mean {mean:?}, median {middle:?}, most {most:?}",
            times.len()
        );
        assert!(!answers.is_empty());
        if name != "auto" {
            answers.iter().for_each(|answer| drop(serde_json::from_slice::<Value>(answer).unwrap()));
        }
    }
}

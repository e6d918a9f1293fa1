//! Random schemas, answers drawn at random under them, and a second judge of whether they fit.

use super::grammar::Vocabulary;
use crate::grammar::Shape;
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde_json::{Map, Value, json};

struct Schemas(ChaCha12Rng);

impl Schemas {
    fn below(&mut self, n: u32) -> u32 {
        self.0.next_u32() % n
    }

    fn coin(&mut self) -> bool {
        self.below(2) == 0
    }

    fn one<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len() as u32) as usize]
    }

    /// A document: definitions that refer to one another, and a schema that may use them.
    fn document(&mut self) -> Value {
        let tree = json!({"type": "object", "properties": {"value": self.array(0), "children": {"type": "array",
            "items": {"$ref": "#/$defs/tree"}, "maxItems": 2}}, "required": ["value"], "additionalProperties": false});
        let list = json!({"anyOf": [{"type": "null"}, {"type": "object", "properties": {"head": {"$ref": "#/$defs/leaf"},
            "tail": {"$ref": "#/$defs/list"}}, "required": ["head", "tail"], "additionalProperties": false}]});
        let mut schema = self.object(3);
        schema["$defs"] = json!({"tree": tree, "list": list, "leaf": self.leaf()});
        schema
    }

    fn schema(&mut self, depth: u32) -> Value {
        match self.below(if depth == 0 { 8 } else { 16 }) {
            0..=6 => self.leaf(),
            7 => json!({"$ref": self.one(&["#/$defs/tree", "#/$defs/list", "#/$defs/leaf"])}),
            8..=10 => self.object(depth - 1),
            11 | 12 => self.array(depth - 1),
            13 => json!({"anyOf": [self.schema(depth - 1), self.schema(depth - 1)]}),
            14 => self.combined(),
            _ => json!({"oneOf": [self.object(0), self.array(0), {"type": "null"}]}),
        }
    }

    fn object(&mut self, depth: u32) -> Value {
        let names = ["a", "b", "name", "über", "q\"uote", "x y", "7"];
        let fields = self.below(6) as usize;
        let properties: Map<String, Value> =
            names.iter().take(fields).map(|name| ((*name).to_owned(), self.schema(depth))).collect();
        let required: Vec<&String> = properties.keys().filter(|_| self.coin()).collect();
        let mut schema = json!({"type": "object", "required": required, "properties": properties});
        let rest = match self.below(8) {
            0 => return schema,
            1 => self.leaf(),
            // What is combined with another schema may hold free values, whose numbers may be too large for the reader.
            2 => {
                let fields =
                    schema["properties"].as_object().map(|fields| fields.keys().cloned().collect::<Vec<_>>());
                schema["properties"] = fields.into_iter().flatten().map(|name| (name, self.leaf())).collect();
                schema["patternProperties"] = json!({"^k[0-9]$": self.leaf()});
                json!(false)
            }
            3 => json!(true),
            _ => json!(false),
        };
        schema["additionalProperties"] = rest;
        if schema["required"].as_array().map(Vec::len)
            == Some(schema["properties"].as_object().map_or(0, Map::len))
        {
            schema["maxProperties"] = json!(fields + 2);
        }
        schema
    }

    fn array(&mut self, depth: u32) -> Value {
        let least = self.below(3);
        let items = if depth == 0 { self.leaf() } else { self.schema(depth) };
        let mut schema = json!({"type": "array", "items": items});
        if self.coin() {
            schema["minItems"] = json!(least);
        }
        if self.coin() {
            schema["maxItems"] = json!(least + self.below(4));
        }
        if self.below(4) == 0 {
            schema["prefixItems"] = json!([self.leaf(), self.leaf()]);
        }
        schema
    }

    /// Two objects at once, which the third closes.
    fn combined(&mut self) -> Value {
        let list = json!({"type": "array", "items": self.leaf(), "maxItems": 3});
        let one = json!({"type": "object", "properties": {"left": list}, "required": ["left"]});
        let two = json!({"properties": {"right": self.leaf()}});
        let closed = json!({"properties": {"left": true, "right": true}, "additionalProperties": false});
        json!({"allOf": [one, two, closed]})
    }

    fn leaf(&mut self) -> Value {
        let number = self.below(2000) as i64 - 1000;
        let tenths = number as f64 / 10.0;
        let width = i64::from(self.below(500));
        match self.below(18) {
            0 => json!({"type": "null"}),
            1 => json!({"type": "boolean"}),
            2 => json!({"type": "integer"}),
            3 => json!({"type": "integer", "minimum": number, "maximum": number + width}),
            4 => json!({"type": "integer", "exclusiveMinimum": number, "multipleOf": 7}),
            5 => json!({"type": "number"}),
            6 => {
                json!({"type": "number", "minimum": tenths, "exclusiveMaximum": tenths + width as f64 + 0.25})
            }
            7 => json!({"type": "number", "maximum": tenths}),
            8 => json!({"type": "string"}),
            9 => json!({"type": "string", "minLength": width % 7, "maxLength": width % 7 + 3}),
            10 => json!({"type": "string", "minLength": width % 9}),
            11 | 12 => json!({"type": "string", "pattern": self.one(&PATTERNS)}),
            13 => json!({"type": "string", "format": self.one(&["date", "uuid", "ipv4", "date-time"])}),
            14 => json!({"enum": ["red", "gr\u{fc}n", number, null, "\\\"\n", [1, {"a": true}]]}),
            15 => json!({"const": self.one(&[json!("only"), json!(tenths), json!(true), json!({"k": [1]})])}),
            16 => json!({"type": ["string", "null", "integer"], "maxLength": 5}),
            _ => json!({"type": "string", "pattern": "^[a-c]+$", "minLength": 2, "maxLength": 6}),
        }
    }
}

const PATTERNS: [&str; 10] = [
    r"^[a-z]{2,5}$",
    r"^\d{3}-\d{4}$",
    r"^(foo|bar)+$",
    r"[A-F0-9]{2}",
    r"^.{3,7}$",
    r"^\w+@\w+\.(com|org)$",
    r"^\S+\s\S+$",
    r"^[^\s]*$",
    r"x|y$",
    r"^a?(b\/c)*\u00e9$",
];

#[test]
fn every_answer_under_a_thousand_random_schemas_is_valid() {
    let v = Vocabulary::tiny();
    let (mut unfinished, mut bytes) = (0, 0);
    for seed in 0..1000 {
        let schema = Schemas(ChaCha12Rng::seed_from_u64(seed)).document();
        let shape = Shape::json_schema(&schema).unwrap_or_else(|e| panic!("{seed} {e}: {schema}"));
        let Some((answer, _)) = v.draw(&shape, seed, 3000) else {
            unfinished += 1;
            continue;
        };
        bytes += answer.len();
        let text = String::from_utf8(answer).unwrap();
        let value: Value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{seed} {e}: {text}"));
        let judge = jsonschema::validator_for(&schema).unwrap();
        let errors: Vec<String> = judge.iter_errors(&value).map(|e| e.to_string()).collect();
        assert!(errors.is_empty(), "{seed}: {errors:?}\n{schema}\n{text}");
    }
    println!("1000 schemas, {bytes} bytes of answers, {unfinished} cut");
    assert_eq!(unfinished, 0);
}

//! A client's JSON Schema, checked and narrowed to what answers are held to.
//!
//! Promises
//! - What leaves here holds only keywords named here: an annotation is dropped, a keyword that would have to be obeyed
//!   and cannot be is [`ShapeError::Unsupported`]. Options of the compiler (`x-guidance`) do not get through.
//! - Bytes, depth, schemas, alternatives, constants, patterns and counts are bounded, and so is the depth to which
//!   references lead the compiler's recursion.
//! - A reference names a schema in the same document; nothing is fetched.
//! - Valid under the result is valid under the original. The other way round it is not so: numbers without bounds get
//!   those of RFC 7493 and eight decimals, and objects that name properties are closed where nothing else could add to
//!   them.
//!
//! Does not: bound the numbers, or close the objects, that schemas leave free where they are combined with others. A
//! number there may be larger than a parser holds.
//!
//! Sources: JSON Schema 2020-12, core and validation, with the older spellings of drafts 4 to 7 that llguidance knows.

mod keywords;
mod pattern;

use super::shape::ShapeError;
use keywords::{Holds, holds};
use pattern::ecmascript;
use serde_json::{Map, Value, json};
use std::collections::HashSet;

/// Longest schemas of an answer together, with the descriptions that are dropped: 2 KiB for each of 128 tools.
const MAX_BYTES: u64 = 256 << 10;
/// Deepest nesting of the JSON text. OpenAI allows 10 levels of objects, which are 3 levels of text each.
const MAX_DEPTH: u64 = 64;
/// Most schemas in a document, each property being one.
const MAX_SCHEMAS: u64 = 2_048;
/// Levels of JSON text of all schemas in a document that a `$ref` names, added up: the compiler's recursion follows
/// references, and a stack that ends is no error value. `tests/grammar_hostile.rs` compiles the deepest in half of a
/// thread's usual stack.
const MAX_LEVELS: u64 = 256;
/// Most alternatives in one list: llguidance compares those of `oneOf` pair by pair.
const MAX_ALTERNATIVES: u64 = 64;
/// Most constants in a document (OpenAI, "Structured outputs": 1000 enum values).
const MAX_CONSTANTS: u64 = 1_000;
/// Longest constant or property name: a lexer's states copy what is left of it, so memory grows by the square.
const MAX_TEXT: u64 = 1_024;
/// Largest length or count.
const MAX_COUNT: u64 = 1 << 20;
/// Levels of JSON where a schema allows any value. Parsers limit nesting; a small model does not.
const ANY_LEVELS: u64 = 6;
/// The integers that every JSON parser keeps apart (RFC 7493, section 2.2).
const MAX_NUMBER: f64 = 9_007_199_254_740_991.0;
/// Eight digits after the point, the most that llguidance's 32 bits hold: a place on Earth to a millimetre.
const SMALLEST_STEP: f64 = 1e-8;

fn within(what: &'static str, value: u64, limit: u64) -> Result<(), ShapeError> {
    if value <= limit { Ok(()) } else { Err(ShapeError::TooLarge { what, limit }) }
}

/// Schemas on their way to one grammar, each a definition of the whole.
#[derive(Default)]
pub(super) struct Document {
    definitions: Map<String, Value>,
    bytes: u64,
    schemas: u64,
    constants: u64,
    /// Whether a schema allows any value somewhere.
    any: bool,
}

impl Document {
    /// Checks and narrows a client's schema, and gives the reference to it.
    pub(super) fn add(&mut self, schema: &Value) -> Result<Value, ShapeError> {
        self.bytes += measure(schema, MAX_DEPTH)?;
        within("bytes", self.bytes, MAX_BYTES)?;
        let name = self.definitions.len().to_string();
        let root = format!("#/$defs/{name}");
        let all_open = opens_all(schema, false);
        let mut walk = Walk {
            at: root.clone(),
            root: &root,
            places: HashSet::new(),
            targets: HashSet::from([root.clone()]),
            open: all_open,
            all_open,
            exclusive: false,
            document: self,
        };
        let narrowed = walk.schema(schema)?;
        let mut levels = 0;
        for target in &walk.targets {
            let path = target.strip_prefix(&root).filter(|_| walk.places.contains(target));
            // Places hold no escapes, see `Walk::enter`.
            levels += path.and_then(|path| narrowed.pointer(path)).map(depth).ok_or(ShapeError::Reference)?;
        }
        within("levels of schemas that $ref names", levels, MAX_LEVELS)?;
        self.definitions.insert(name, narrowed);
        Ok(json!({"$ref": root}))
    }

    /// All in one, with `root` outermost.
    pub(super) fn finish(mut self, root: Value) -> Result<Map<String, Value>, ShapeError> {
        if self.any {
            let levels = (0..=ANY_LEVELS).map(|level| (format!("any{level}"), any(level)));
            self.definitions.extend(levels);
        }
        let Value::Object(mut root) = root else { return Err(ShapeError::Malformed("schema")) };
        root.insert("$defs".to_owned(), Value::Object(self.definitions));
        Ok(root)
    }
}

/// Any value, to this many levels.
fn any(level: u64) -> Value {
    let mut number = Map::from_iter([("type".to_owned(), json!("number"))]);
    keywords::bound_numbers(&mut number, true);
    let mut options = vec![json!({"type": ["null", "boolean", "string"]}), Value::Object(number)];
    if let Some(below) = level.checked_sub(1) {
        let below = json!({"$ref": format!("#/$defs/any{below}")});
        options.push(json!({"type": "array", "items": below}));
        options.push(json!({"type": "object", "additionalProperties": below}));
    }
    json!({"anyOf": options})
}

/// Bytes of text and numbers, roughly those of the JSON; an error beyond this depth, before anything recurses further.
fn measure(value: &Value, depth: u64) -> Result<u64, ShapeError> {
    let left = depth.checked_sub(1).ok_or(ShapeError::TooLarge { what: "levels", limit: MAX_DEPTH })?;
    let mut bytes = 2;
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => bytes += 3,
        Value::String(text) => bytes += text.len() as u64,
        Value::Array(items) => {
            for item in items {
                bytes += measure(item, left)?;
            }
        }
        Value::Object(fields) => {
            for (name, field) in fields {
                bytes += name.len() as u64 + 3 + measure(field, left)?;
            }
        }
    }
    Ok(bytes)
}

/// Levels of a narrowed schema.
fn depth(value: &Value) -> u64 {
    let below = match value {
        Value::Array(items) => items.iter().map(depth).max(),
        Value::Object(fields) => fields.values().map(depth).max(),
        _ => None,
    };
    1 + below.unwrap_or(0)
}

/// Whether a schema that is combined with others leads by reference to what may be anywhere in the document.
fn opens_all(schema: &Value, combined: bool) -> bool {
    let Value::Object(fields) = schema else { return false };
    let combined = combined || keywords::sources(fields) > 1;
    combined && fields.contains_key("$ref")
        || keywords::subschemas(fields)
            .any(|(name, schema)| opens_all(schema, combined && !keywords::is_definitions(name)))
}

/// The way through one client's schema.
struct Walk<'a> {
    document: &'a mut Document,
    /// Where the client's schema will stand: the `#` of its references.
    root: &'a str,
    /// Where the schema at hand will stand.
    at: String,
    /// Where schemas stand, as a reference names them.
    places: HashSet<String>,
    /// What references name.
    targets: HashSet<String>,
    /// True where schemas are combined, so that closing one would contradict another.
    open: bool,
    /// True where references from there may lead anywhere.
    all_open: bool,
    /// True under `oneOf`. If one of its schemas were closed, it would seem to exclude what it does not.
    exclusive: bool,
}

impl Walk<'_> {
    fn schema(&mut self, schema: &Value) -> Result<Value, ShapeError> {
        self.document.schemas += 1;
        within("schemas", self.document.schemas, MAX_SCHEMAS)?;
        self.places.insert(self.at.clone());
        match schema {
            Value::Bool(true) => Ok(self.any()),
            Value::Bool(false) => Ok(Value::Bool(false)),
            Value::Object(fields) => {
                let combined = keywords::sources(fields) > 1;
                self.within(self.open || combined, self.exclusive, |walk| walk.fields(fields))
            }
            _ => Err(ShapeError::Malformed("schema")),
        }
    }

    fn within<T>(&mut self, open: bool, exclusive: bool, step: impl FnOnce(&mut Self) -> T) -> T {
        let before = (self.open, self.exclusive);
        (self.open, self.exclusive) = (open, exclusive);
        let result = step(self);
        (self.open, self.exclusive) = before;
        result
    }

    fn fields(&mut self, fields: &Map<String, Value>) -> Result<Value, ShapeError> {
        let mut narrowed = Map::new();
        for (name, value) in fields {
            let Some((keyword, value)) = self.field(name, value)? else { continue };
            narrowed.insert(keyword.to_owned(), value);
        }
        if narrowed.keys().all(|name| keywords::is_definitions(name)) {
            let Value::Object(any) = self.any() else { return Ok(Value::Bool(true)) };
            narrowed.extend(any);
            return Ok(Value::Object(narrowed));
        }
        let alone = !self.open && !keywords::leads_on(&narrowed);
        keywords::bound_numbers(&mut narrowed, alone);
        keywords::countable(&narrowed)?;
        if alone {
            self.close(&mut narrowed);
        }
        Ok(Value::Object(narrowed))
    }

    /// One keyword, or `None` for an annotation.
    fn field<'k>(&mut self, name: &'k str, value: &Value) -> Result<Option<(&'k str, Value)>, ShapeError> {
        let narrowed = match holds(name, value) {
            Holds::Schema => self.enter(name, |walk| walk.schema(value))?,
            Holds::List(keyword) => {
                let exclusive = self.exclusive || keyword == "oneOf";
                self.within(self.open, exclusive, |walk| walk.list(keyword, value))?
            }
            // Only references lead into definitions; those of `oneOf` do not, llguidance takes none for exclusive.
            Holds::Named(keyword) if keywords::is_definitions(keyword) => {
                self.within(self.all_open, false, |walk| walk.named(keyword, value))?
            }
            Holds::Named(keyword) => self.named(keyword, value)?,
            Holds::Reference => self.reference(value)?,
            Holds::Constants(keyword) => self.constants(keyword, value)?,
            Holds::Other if name == "$id" && self.at != self.root => {
                return Err(ShapeError::Unsupported("$id"));
            }
            Holds::Other => return Ok(keywords::narrow(name, value)?.map(|value| (name, value))),
        };
        Ok(Some((name, narrowed)))
    }

    fn list(&mut self, keyword: &'static str, value: &Value) -> Result<Value, ShapeError> {
        let items = value.as_array().ok_or(ShapeError::Malformed(keyword))?;
        within("schemas in a list", items.len() as u64, MAX_ALTERNATIVES)?;
        let narrow = |(i, item): (usize, &Value)| {
            self.enter(keyword, |walk| walk.enter(&i.to_string(), |walk| walk.schema(item)))
        };
        Ok(Value::Array(items.iter().enumerate().map(narrow).collect::<Result<_, _>>()?))
    }

    fn named(&mut self, keyword: &'static str, value: &Value) -> Result<Value, ShapeError> {
        let fields = value.as_object().ok_or(ShapeError::Malformed(keyword))?;
        let narrow = |(name, field): (&String, &Value)| {
            within("bytes in a name", name.len() as u64, MAX_TEXT)?;
            let name = if keyword == "patternProperties" { ecmascript(name)? } else { name.clone() };
            let field = self.enter(keyword, |walk| walk.enter(&name, |walk| walk.schema(field)))?;
            Ok((name, field))
        };
        Ok(Value::Object(fields.iter().map(narrow).collect::<Result<_, _>>()?))
    }

    /// Steps into a field. Where a name would need escapes in a reference, no reference names what is in it.
    fn enter<T>(&mut self, name: &str, step: impl FnOnce(&mut Self) -> T) -> T {
        let before = self.at.len();
        self.at.push('/');
        self.at.push_str(if name.contains(['/', '~', '%']) || name.is_empty() { "~" } else { name });
        let result = step(self);
        self.at.truncate(before);
        result
    }

    /// Rewrites a reference to where its target will stand. Whether there is one, `add` asks.
    fn reference(&mut self, value: &Value) -> Result<Value, ShapeError> {
        let text = value.as_str().ok_or(ShapeError::Malformed("$ref"))?;
        let path = text.strip_prefix('#').filter(|path| path.is_empty() || path.starts_with('/'));
        let path = path.filter(|path| !path.contains(['~', '%'])).ok_or(ShapeError::Reference)?;
        let target = [self.root, path].concat();
        self.targets.insert(target.clone());
        Ok(Value::String(target))
    }

    fn constants(&mut self, keyword: &'static str, value: &Value) -> Result<Value, ShapeError> {
        let list = match keyword {
            "enum" => value.as_array().ok_or(ShapeError::Malformed(keyword))?,
            _ => std::slice::from_ref(value),
        };
        for constant in list {
            self.document.constants += keywords::constant(constant)?;
        }
        within("constants", self.document.constants, MAX_CONSTANTS)?;
        Ok(value.clone())
    }

    fn any(&mut self) -> Value {
        if self.open {
            return Value::Bool(true);
        }
        self.document.any = true;
        json!({"$ref": format!("#/$defs/any{ANY_LEVELS}")})
    }

    /// Says what an object or array may hold beyond what is named: nothing where something is named, else any value.
    fn close(&mut self, fields: &mut Map<String, Value>) {
        if keywords::may_be(fields, "object") && !fields.contains_key("additionalProperties") {
            let closed = keywords::names_all(fields) && !self.exclusive;
            let rest = if closed { Value::Bool(false) } else { self.any() };
            fields.insert("additionalProperties".to_owned(), rest);
        }
        let keyword = keywords::further_items(fields);
        if keywords::may_be(fields, "array") && !fields.contains_key(keyword) {
            let rest = self.any();
            fields.insert(keyword.to_owned(), rest);
        }
    }
}

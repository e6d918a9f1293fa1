//! Reads the JSON of reference values strictly, and says exactly which field is wrong and how.
//!
//! # Promises
//! - An unknown key, a key written twice, a wrong type or a wrong number of digits is a refusal that names its place,
//!   as `images[3].pcr0`.
//! - Nothing of the input but such a place is in a refusal; a key that is not short and plain is not repeated either.
//! - Numbers are at most 2^53 - 1, which every reader of JSON reads alike (RFC 8259, section 6).
//!
//! # Does not
//! - Bound the input; each caller does, before it calls [`parse`]. Depth is bounded by `serde_json` at 128.
//!
//! # Trusts
//! - Nobody.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};

use super::{Image, Owner, ReferenceError};
use crate::ed25519::PublicKey;
use crate::measurement::Measurement;

/// Largest whole number that a double holds without loss.
const MAX_NUMBER: u64 = (1 << 53) - 1;

/// Longest unknown key that is repeated in a refusal.
const MAX_SHOWN_KEY: usize = 32;

/// The registers of an image, in the order in which they are asked for.
const IMAGE_REGISTERS: [&str; 3] = ["pcr0", "pcr1", "pcr2"];

/// The registers that say whose machine it is.
const OWNER_REGISTERS: [&str; 3] = ["pcr3", "pcr4", "pcr8"];

/// JSON as it was written, keys written twice included.
#[derive(Debug)]
pub(super) enum Json {
    Null,
    Bool(bool),
    /// `None` for what is not a whole number from 0.
    Number(Option<u64>),
    Text(String),
    List(Vec<Json>),
    Map(Vec<(String, Json)>),
}

/// Parses JSON; only its syntax is judged.
pub(super) fn parse(bytes: &[u8]) -> Result<Json, ReferenceError> {
    serde_json::from_slice(bytes)
        .map_err(|error| ReferenceError::Json { line: error.line(), column: error.column() })
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AsWritten)
    }
}

struct AsWritten;

impl<'de> Visitor<'de> for AsWritten {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(Json::Number(Some(value)))
    }

    fn visit_i64<E>(self, _negative: i64) -> Result<Json, E> {
        Ok(Json::Number(None))
    }

    fn visit_f64<E>(self, _fraction: f64) -> Result<Json, E> {
        Ok(Json::Number(None))
    }

    fn visit_str<E>(self, text: &str) -> Result<Json, E> {
        Ok(Json::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Json::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Json, A::Error> {
        let mut map = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            map.push(entry);
        }
        Ok(Json::Map(map))
    }
}

/// One place in the JSON.
#[derive(Clone, Debug)]
pub(super) struct Node<'a> {
    json: &'a Json,
    at: String,
}

/// The entries of one object, each of a known key, none twice.
pub(super) struct Fields<'a> {
    at: String,
    found: Vec<(&'static str, &'a Json)>,
}

impl<'a> Node<'a> {
    /// The whole.
    pub(super) fn root(json: &'a Json) -> Self {
        Self { json, at: String::new() }
    }

    fn wrong(&self, wanted: &'static str) -> ReferenceError {
        let at = if self.at.is_empty() { "the whole file".to_owned() } else { self.at.clone() };
        ReferenceError::WrongType { at, wanted }
    }

    /// Where it stands, as `images[3].pcr0`.
    pub(super) fn at(&self) -> &str {
        &self.at
    }

    pub(super) fn text(&self) -> Result<&'a str, ReferenceError> {
        match self.json {
            Json::Text(text) => Ok(text),
            _ => Err(self.wrong("text")),
        }
    }

    pub(super) fn number(&self) -> Result<u64, ReferenceError> {
        match self.json {
            Json::Number(Some(number)) if *number <= MAX_NUMBER => Ok(*number),
            _ => Err(self.wrong("a whole number from 0 to 2^53 - 1")),
        }
    }

    pub(super) fn number32(&self) -> Result<u32, ReferenceError> {
        let number = self.number()?;
        u32::try_from(number).map_err(|_| self.wrong("a whole number from 0 to 2^32 - 1"))
    }

    pub(super) fn list(&self) -> Result<impl Iterator<Item = Node<'a>> + use<'a>, ReferenceError> {
        let Json::List(list) = self.json else { return Err(self.wrong("a list")) };
        let at = self.at.clone();
        Ok((0usize..).zip(list).map(move |(index, json)| Node { json, at: format!("{at}[{index}]") }))
    }

    /// The object's entries; every key must be one of `known`.
    pub(super) fn fields(&self, known: &[&'static str]) -> Result<Fields<'a>, ReferenceError> {
        let Json::Map(map) = self.json else { return Err(self.wrong("an object")) };
        let mut found: Vec<(&'static str, &'a Json)> = Vec::new();
        for (key, json) in map {
            let Some(name) = known.iter().find(|name| *name == key) else {
                return Err(ReferenceError::UnknownKey { at: join(&self.at, shown(key)) });
            };
            if found.iter().any(|(seen, _)| seen == name) {
                return Err(ReferenceError::Twice { at: join(&self.at, name) });
            }
            found.push((*name, json));
        }
        Ok(Fields { at: self.at.clone(), found })
    }

    /// `N` bytes as twice as many hexadecimal digits.
    pub(super) fn hex<const N: usize>(&self) -> Result<[u8; N], ReferenceError> {
        let text = self.text()?;
        let (seen, wanted) = (text.chars().count(), N.saturating_mul(2));
        if seen != wanted {
            return Err(ReferenceError::WrongDigits { at: self.at.clone(), seen, wanted });
        }
        let mut bytes = [0; N];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| ReferenceError::NotHex { at: self.at.clone() })?;
        Ok(bytes)
    }

    pub(super) fn measurement(&self) -> Result<Measurement, ReferenceError> {
        self.hex().map(Measurement::new)
    }

    pub(super) fn measurements(&self) -> Result<Vec<Measurement>, ReferenceError> {
        self.list()?.map(|node| node.measurement()).collect()
    }

    pub(super) fn public_key(&self) -> Result<PublicKey, ReferenceError> {
        self.hex().map(PublicKey::new)
    }

    /// The entries of an object, whatever their keys; nothing for what is no object.
    fn entries(&self) -> impl Iterator<Item = (&'a str, Node<'a>)> + use<'a> {
        let map: &'a [(String, Json)] = if let Json::Map(map) = self.json { map } else { &[] };
        let at = self.at.clone();
        map.iter().map(move |(key, json)| (key.as_str(), Node { json, at: join(&at, shown(key)) }))
    }

    /// As `serde_json` holds it; `None` where a key is written twice or a number is not whole.
    fn to_value(&self) -> Option<serde_json::Value> {
        to_value(self.json)
    }
}

impl<'a> Fields<'a> {
    pub(super) fn maybe(&self, key: &'static str) -> Option<Node<'a>> {
        let (_, json) = self.found.iter().find(|(name, _)| *name == key)?;
        Some(Node { json, at: join(&self.at, key) })
    }

    pub(super) fn get(&self, key: &'static str) -> Result<Node<'a>, ReferenceError> {
        self.maybe(key).ok_or_else(|| ReferenceError::Missing { at: join(&self.at, key) })
    }
}

fn to_value(json: &Json) -> Option<serde_json::Value> {
    use serde_json::Value;
    Some(match json {
        Json::Null => Value::Null,
        Json::Bool(value) => Value::Bool(*value),
        Json::Number(number) => Value::from((*number)?),
        Json::Text(text) => Value::String(text.clone()),
        Json::List(list) => Value::Array(list.iter().map(to_value).collect::<Option<_>>()?),
        Json::Map(entries) => {
            let mut map = serde_json::Map::new();
            for (key, json) in entries {
                if map.insert(key.clone(), to_value(json)?).is_some() {
                    return None;
                }
            }
            Value::Object(map)
        }
    })
}

fn join(at: &str, key: &str) -> String {
    if at.is_empty() { key.to_owned() } else { format!("{at}.{key}") }
}

fn shown(key: &str) -> &str {
    let plain = |c: u8| c.is_ascii_alphanumeric() || c == b'_' || c == b'-';
    if !key.is_empty() && key.len() <= MAX_SHOWN_KEY && key.bytes().all(plain) {
        key
    } else {
        "(a key that is not shown)"
    }
}

/// The registers of one image. `more` are further keys that its object may have.
pub(super) fn image<'a>(
    node: &Node<'a>,
    more: &[&'static str],
) -> Result<(Image, Fields<'a>), ReferenceError> {
    let known: Vec<&'static str> = IMAGE_REGISTERS.iter().chain(more).copied().collect();
    let fields = node.fields(&known)?;
    let missing: Vec<&str> =
        IMAGE_REGISTERS.into_iter().filter(|register| fields.maybe(register).is_none()).collect();
    if !missing.is_empty() && missing.len() < IMAGE_REGISTERS.len() {
        return Err(ReferenceError::PartOfImage { at: node.at.clone(), missing: missing.join(" and ") });
    }
    let register = |name| fields.get(name).and_then(|node| node.measurement());
    let image = Image { pcr0: register("pcr0")?, pcr1: register("pcr1")?, pcr2: register("pcr2")? };
    Ok((image, fields))
}

/// Whose enclave it may be. Registers are judged here, so that a wrong digit is told as such; the forms are [`Owner`]'s.
pub(super) fn owner(node: &Node<'_>) -> Result<Owner, ReferenceError> {
    for (_, form) in node.entries() {
        for (key, value) in form.entries() {
            match key {
                "ed25519" => value.public_key().map(drop)?,
                register if register.starts_with("pcr") => value.measurement().map(drop)?,
                _ => {}
            }
        }
    }
    node.to_value().and_then(|value| serde_json::from_value(value).ok()).ok_or(ReferenceError::UnknownOwner)
}

/// Refuses a policy that says whose machine it is and nothing about what runs there.
pub(super) fn refuse_owner_only(root: &Node<'_>) -> Result<(), ReferenceError> {
    let images = root.entries().find(|(key, _)| *key == "images");
    if let Some((_, images)) = &images
        && images.list().map_or(true, |mut images| images.any(|image| names_image(&image)))
    {
        return Ok(());
    }
    let within = images.into_iter().flat_map(|(_, images)| images.list().into_iter().flatten());
    let owners = root
        .entries()
        .filter(|(key, _)| *key == "owner")
        .flat_map(|(_, owner)| owner.entries().map(|(_, form)| form).collect::<Vec<_>>());
    let places = std::iter::once(root.clone()).chain(owners).chain(within);
    match places.flat_map(|place| place.entries()).find_map(|(key, _)| owner_register(key)) {
        Some(register) => Err(ReferenceError::OwnerOnly { register }),
        None => Ok(()),
    }
}

/// Whether an entry of `images` is meant as an image, be it a wrong one: then its own fault is the better reason.
fn names_image(image: &Node<'_>) -> bool {
    !matches!(image.json, Json::Map(_)) || image.entries().all(|(key, _)| owner_register(key).is_none())
}

fn owner_register(key: &str) -> Option<&'static str> {
    OWNER_REGISTERS.into_iter().find(|register| key.eq_ignore_ascii_case(register))
}

//! A question to the decision point, and the facts that it rests on.
//!
//! # Promises
//! - Everything that policies can look at is a field here; nothing comes from elsewhere.
//!
//! # Does not
//! - Establish facts: tokens, evidence and the session's memory do.
//!
//! # Trusts
//! - Its caller.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

/// What is known of whoever asks.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Facts {
    /// Issuer and subject.
    pub id: String,
    /// The tenant.
    pub tenant: String,
    /// Roles.
    #[serde(default)]
    pub roles: BTreeSet<String>,
    /// 0 public, 1 internal, 2 confidential, 3 restricted.
    #[serde(default)]
    pub clearance: u8,
    /// Proved to be an enclave named in `peers.json`.
    #[serde(default)]
    pub attested: bool,
    /// Named lists of its token, which row rules speak of.
    #[serde(default)]
    pub sets: BTreeMap<String, BTreeSet<String>>,
}

/// What is asked for: its entity type and its name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resource {
    /// As in the schema: `Model`, `Collection`, `Field`, `Tool`, `Destination`, `Hold`, `Metric`.
    pub kind: String,
    /// Its name.
    pub id: String,
}

/// What else is so at this moment. The default is a harmless one: nothing was seen, nobody approved, no risk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Situation {
    /// Hour of the day, UTC, 0 to 23.
    pub hour: u8,
    /// Day of the week, Monday is 1.
    pub weekday: u8,
    /// 0 to 100, from the watcher of behaviour.
    pub risk: u8,
    /// Persons who approved exactly this.
    pub approvals: u8,
    /// Grants that the principal has open.
    pub open: u8,
    /// The session has taken in text that nobody vouches for.
    pub untrusted: bool,
    /// The session has seen private data.
    pub private: bool,
    /// The session has had an effect outside.
    pub outside: bool,
    /// The highest classification that the session has seen.
    pub confidentiality: u8,
}

impl Default for Situation {
    fn default() -> Self {
        Self {
            hour: 12,
            weekday: 3,
            risk: 0,
            approvals: 0,
            open: 0,
            untrusted: false,
            private: false,
            outside: false,
            confidentiality: 0,
        }
    }
}

/// One question.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// Who asks.
    pub principal: Facts,
    /// As in the schema: `Generate`, `Retrieve`, and so on.
    pub action: String,
    /// With what.
    pub resource: Resource,
    /// What for, as its client declared it.
    pub purpose: String,
    /// How much: the numbers that the schema asks for, as `max_tokens` or `passages`.
    #[serde(default)]
    pub amounts: BTreeMap<String, i64>,
    /// What else is so.
    #[serde(default)]
    pub situation: Situation,
}

/// The attributes of one resource, as JSON that Cedar reads: numbers, text and truth.
type Attributes = BTreeMap<String, serde_json::Value>;

/// The attributes of resources that a pack knows, by entity type and name.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(transparent)]
pub struct Resources {
    known: BTreeMap<String, BTreeMap<String, Attributes>>,
}

impl Resources {
    /// Reads `resources.toml`.
    ///
    /// # Errors
    /// What the parser says, with its line.
    pub fn parse(text: &str) -> Result<Self, String> {
        toml::from_str(text).map_err(|error| crate::place::toml(text, &error))
    }

    /// The names of a collection's fields: resources of the kind `Field` that are called `collection.field`.
    pub(crate) fn fields<'a>(&'a self, collection: &'a str) -> impl Iterator<Item = &'a str> {
        let all = self.known.get("Field").into_iter().flat_map(BTreeMap::keys);
        all.filter_map(move |name| name.strip_prefix(collection)?.strip_prefix('.'))
    }

    /// The attributes of one resource; none of one that the pack does not know.
    pub(crate) fn attributes(&self, resource: &Resource) -> Option<&Attributes> {
        self.known.get(&resource.kind)?.get(&resource.id)
    }
}

//! The decision context of a purpose: which collections, fields, rows, tools and destinations it needs, and how much of each.
//!
//! `contexts.toml`, in which unknown keys are refused:
//!
//! ```toml
//! [rebooking]
//! about = "find new flights for passengers of a cancelled one"
//! collections = ["reservations", "seats"]
//! rows = { reservations = "passenger in affected" }
//! fields = { reservations = ["name", "booking", "flight"] }   # all others are masked
//! tools = ["rebook"]
//! destinations = []
//! max_passages = 20
//! max_tokens = 512
//! ```
//!
//! # Promises
//! - A purpose that is not declared has no context, and what a context does not list is outside of it.
//! - A limit is declared once and becomes an obligation of every decision under this purpose.
//!
//! # Does not
//! - Permit anything: policies do. A context only takes away.
//!
//! # Trusts
//! - The pack.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use crate::obligations::Obligations;
use crate::place;
use crate::question::{Question, Resource};
use crate::rows::{RowRules, RowsError};

/// Why `contexts.toml` was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ContextsError {
    /// Not the TOML that is read.
    #[error("contexts.toml: {0}")]
    Syntax(String),
    /// A limit of something that the purpose does not list.
    #[error(
        "contexts.toml: \"{purpose}\" limits \"{collection}\", which it does not list; list it, or remove the limit"
    )]
    Unlisted {
        /// The purpose.
        purpose: String,
        /// The collection.
        collection: String,
    },
    /// A row rule that is none.
    #[error("contexts.toml: rows of \"{collection}\" for \"{purpose}\": {error}")]
    Rows {
        /// The purpose.
        purpose: String,
        /// The collection.
        collection: String,
        /// What is wrong in it.
        error: RowsError,
    },
}

/// What one purpose needs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DecisionContext {
    /// In words, for people.
    pub about: String,
    collections: BTreeSet<String>,
    fields: BTreeMap<String, BTreeSet<String>>,
    rows: BTreeMap<String, String>,
    tools: BTreeSet<String>,
    destinations: BTreeSet<String>,
    max_passages: Option<u32>,
    max_tokens: Option<u32>,
}

/// The contexts of all purposes of a pack.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contexts(BTreeMap<String, DecisionContext>);

impl Contexts {
    /// Reads `contexts.toml`.
    ///
    /// # Errors
    /// [`ContextsError`]
    pub fn parse(text: &str) -> Result<Self, ContextsError> {
        let read: BTreeMap<String, DecisionContext> =
            toml::from_str(text).map_err(|error| ContextsError::Syntax(place::toml(text, &error)))?;
        for (purpose, context) in &read {
            let limited = context.fields.keys().chain(context.rows.keys());
            if let Some(collection) = limited.into_iter().find(|name| !context.collections.contains(*name)) {
                return Err(ContextsError::Unlisted {
                    purpose: purpose.clone(),
                    collection: collection.clone(),
                });
            }
            for (collection, rules) in &context.rows {
                RowRules::parse(rules).map_err(|error| ContextsError::Rows {
                    purpose: purpose.clone(),
                    collection: collection.clone(),
                    error,
                })?;
            }
        }
        Ok(Self(read))
    }

    /// Whether a pack declares no context at all: then purposes are judged by policies alone.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The fields of a collection that may leave the store for a purpose; `None` if nothing is said about them.
    pub(crate) fn fields(&self, purpose: &str, collection: &str) -> Option<&BTreeSet<String>> {
        self.0.get(purpose)?.fields.get(collection)
    }

    /// The obligations of a question inside its purpose's context; `None` if it is outside, or the purpose has none.
    pub(crate) fn limits(&self, question: &Question) -> Option<Obligations> {
        if self.is_empty() {
            return Some(Obligations::default());
        }
        self.0.get(&question.purpose)?.limits(&question.action, &question.resource)
    }
}

impl DecisionContext {
    fn limits(&self, action: &str, resource: &Resource) -> Option<Obligations> {
        let name = resource.id.as_str();
        let listed = match resource.kind.as_str() {
            "Collection" => self.collections.contains(name),
            "Field" => self.field(name),
            "Tool" => self.tools.contains(name),
            "Destination" => self.destinations.contains(name),
            _ => true,
        };
        let volume = Obligations {
            max_tokens: self.max_tokens.filter(|_| action == "Generate"),
            max_passages: self.max_passages.filter(|_| action == "Retrieve"),
            ..Obligations::default()
        };
        let rows =
            self.rows.get(name).filter(|_| resource.kind == "Collection").cloned().into_iter().collect();
        listed.then_some(Obligations { rows, ..volume })
    }

    /// `collection.field` is inside if its collection lists it, or lists no fields at all.
    fn field(&self, name: &str) -> bool {
        let Some((collection, field)) = name.split_once('.') else { return false };
        let fields = self.fields.get(collection);
        self.collections.contains(collection) && fields.is_none_or(|fields| fields.contains(field))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_of_what_is_not_listed_are_refused() {
        let unlisted = Contexts::parse("[p]\ncollections = [\"a\"]\nrows = { b = \"x\" }");
        let expected = ContextsError::Unlisted { purpose: "p".into(), collection: "b".into() };
        assert_eq!(unlisted, Err(expected));
        let sql = Contexts::parse("[p]\ncollections = [\"b\"]\nrows = { b = \"1=1 --\" }");
        assert!(matches!(sql, Err(ContextsError::Rows { .. })));
        assert!(matches!(Contexts::parse("[p]\ncolections = []"), Err(ContextsError::Syntax(_))));
        assert!(Contexts::parse("").unwrap().is_empty());
    }
}

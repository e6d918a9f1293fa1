//! What must be done if something is allowed: at most so much, not these fields, only those rows, until then.
//!
//! Obligations come from annotations of policies and from the decision context of a purpose:
//!
//! ```text
//! @max_tokens("256")  @max_passages("5")  @mask("salary, national_id")  @rows("passenger in affected")  @until_s("900")
//! ```
//!
//! # Promises
//! - Put together, the smaller number and the larger mask win; two different row filters must both hold.
//! - An annotation that is not understood is refused when the pack is loaded: what is not read does not protect.
//!
//! # Does not
//! - Carry anything out.
//!
//! # Trusts
//! - Nobody.

use std::collections::BTreeSet;

use cedar_policy::{Effect, Policy};
use serde::{Deserialize, Serialize};

use crate::rows::RowRules;

/// Obligations of one decision.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Obligations {
    /// At most so many tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u32>,
    /// At most so many passages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_passages: Option<u32>,
    /// For so many seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until_s: Option<u32>,
    /// These fields do not leave the store.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub mask: BTreeSet<String>,
    /// Only rows for which each of these holds.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub rows: BTreeSet<String>,
}

impl Obligations {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Both.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        let least = |one: Option<u32>, other: Option<u32>| one.into_iter().chain(other).min();
        self.max_tokens = least(self.max_tokens, other.max_tokens);
        self.max_passages = least(self.max_passages, other.max_passages);
        self.until_s = least(self.until_s, other.until_s);
        self.mask.extend(other.mask);
        self.rows.extend(other.rows);
        self
    }
}

/// What a policy's annotations say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Annotations {
    /// The name under which decisions speak of it.
    pub id: String,
    /// Of a permit.
    pub obligations: Obligations,
    /// Of a forbid: how many persons can lift it.
    pub step_up: Option<u8>,
    /// Of a forbid: it passes by itself, for this reason.
    pub defer: Option<String>,
}

impl Annotations {
    /// Reads and judges a policy's annotations.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub(crate) fn of(policy: &Policy) -> Result<Self, String> {
        let id = policy.annotation("id").ok_or_else(|| {
            format!("{} (counted from 0) has no @id; give it one, decisions are told by it", policy.id())
        })?;
        let mut read = Self { id: id.to_owned(), ..Self::default() };
        for (key, value) in policy.annotations() {
            read.take(key, value, policy.effect())
                .map_err(|reason| format!("@{key} of \"{id}\" {reason}"))?;
        }
        Ok(read)
    }

    fn take(&mut self, key: &str, value: &str, effect: Effect) -> Result<(), String> {
        let words = || value.split(',').map(|word| word.trim().to_owned()).filter(|word| !word.is_empty());
        match (key, effect) {
            ("id", _) => {}
            ("max_tokens", Effect::Permit) => self.obligations.max_tokens = Some(number(value)?),
            ("max_passages", Effect::Permit) => self.obligations.max_passages = Some(number(value)?),
            ("until_s", Effect::Permit) => self.obligations.until_s = Some(number(value)?),
            ("mask", Effect::Permit) => self.obligations.mask = words().collect(),
            ("rows", Effect::Permit) => {
                RowRules::parse(value).map_err(|error| format!("is not a rule: {error}"))?;
                self.obligations.rows = BTreeSet::from([value.to_owned()]);
            }
            ("step_up", Effect::Forbid) => self.step_up = Some(persons(value)?),
            ("defer", Effect::Forbid) => self.defer = Some(value.to_owned()),
            ("step_up" | "defer", Effect::Permit) => return Err("belongs to a forbid".into()),
            ("max_tokens" | "max_passages" | "until_s" | "mask" | "rows", Effect::Forbid) => {
                return Err("belongs to a permit".into());
            }
            _ => {
                return Err(
                    "is not an annotation that is read; remove it, for what is not read does not protect"
                        .into(),
                );
            }
        }
        Ok(())
    }
}

fn number(value: &str) -> Result<u32, String> {
    value.parse().map_err(|_| format!("is no number: \"{value}\""))
}

fn persons(value: &str) -> Result<u8, String> {
    match value.parse() {
        Ok(count @ 1..=9) => Ok(count),
        _ => Err(format!("asks for \"{value}\" persons, and 1 to 9 make sense")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_strictest_of_each_wins() {
        let set = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<BTreeSet<_>>();
        let one = Obligations {
            max_tokens: Some(100),
            mask: set(&["a"]),
            rows: set(&["x"]),
            ..Obligations::default()
        };
        let other = Obligations {
            max_tokens: Some(50),
            max_passages: Some(3),
            mask: set(&["b"]),
            rows: set(&["y"]),
            ..Obligations::default()
        };
        let both = one.clone().and(other.clone());
        assert_eq!((both.max_tokens, both.max_passages, both.until_s), (Some(50), Some(3), None));
        assert_eq!((both.mask.clone(), both.rows.clone()), (set(&["a", "b"]), set(&["x", "y"])));
        assert_eq!(other.and(one), both);
        assert!(Obligations::default().is_empty() && !both.is_empty());
    }
}

//! What was decided, under which obligations, and which policies decided it.
//!
//! # Promises
//! - [`Decided::lets`] is true of two of the five decisions only.
//!
//! # Does not
//! - Reach a client: outside a decision is a code.
//!
//! # Trusts
//! - Nobody.

use serde::{Deserialize, Serialize};

use crate::obligations::Obligations;

/// The five decisions of AARM v1.0 (R4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Decided {
    /// As asked.
    Allow,
    /// Under obligations.
    Modify,
    /// If so many persons approve.
    StepUp {
        /// How many.
        persons: u8,
    },
    /// Not now; ask again.
    Defer,
    /// No.
    Deny,
}

impl Decided {
    /// Whether anything may happen.
    pub fn lets(self) -> bool {
        match self {
            Self::Allow | Self::Modify => true,
            Self::StepUp { .. } | Self::Defer | Self::Deny => false,
        }
    }
}

/// A decision, with what is needed to carry it out and to explain it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// What was decided.
    pub decided: Decided,
    /// Empty unless it is [`Decided::Modify`].
    pub obligations: Obligations,
    /// The policies that decided, by their `@id`; of a default deny none.
    pub policies: Vec<String>,
    /// In words, for the operator and the log.
    pub because: String,
}

impl Outcome {
    pub(crate) fn deny(policies: Vec<String>, because: impl Into<String>) -> Self {
        Self {
            decided: Decided::Deny,
            obligations: Obligations::default(),
            policies,
            because: because.into(),
        }
    }
}

//! Golden tables: questions with the decision that is expected, as a pack carries them in `decisions.toml`.
//!
//! ```toml
//! [[row]]
//! about = "an HR assistant asks for the payroll"
//! question = { principal = { id = "ann", tenant = "acme", roles = ["hr"] }, action = "Retrieve",
//!              resource = { kind = "Collection", id = "payroll" }, purpose = "leave" }
//! expect = { decided = "deny", policies = [] }
//! ```
//!
//! # Promises
//! - A row differs in decision, obligations or deciding policies, or it passes; nothing is left out of the comparison.
//!
//! # Does not
//! - Say that a table is complete.
//!
//! # Trusts
//! - Whoever wrote the table.

use serde::Deserialize;

use crate::obligations::Obligations;
use crate::outcome::{Decided, Outcome};
use crate::pack::Pack;
use crate::question::Question;

/// One row.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// In words.
    pub about: String,
    /// What is asked.
    pub question: Question,
    /// What must be decided.
    pub expect: Expected,
}

/// What must be decided.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expected {
    decided: Decided,
    #[serde(default)]
    obligations: Obligations,
    policies: Vec<String>,
}

impl Expected {
    /// Whether this was decided.
    pub fn is(&self, outcome: &Outcome) -> bool {
        (self.decided, &self.obligations, &self.policies)
            == (outcome.decided, &outcome.obligations, &outcome.policies)
    }
}

impl std::fmt::Display for Expected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}, {:?}, by {:?}", self.decided, self.obligations, self.policies)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    row: Vec<Row>,
}

/// Reads a table.
///
/// # Errors
/// What the parser says, with its line.
pub fn read(text: &str) -> Result<Vec<Row>, String> {
    let table: Table = toml::from_str(text).map_err(|error| error.to_string())?;
    Ok(table.row)
}

/// The rows that are decided otherwise, with what was decided.
pub fn differing<'a>(pack: &Pack, rows: &'a [Row]) -> Vec<(&'a Row, Outcome)> {
    let decided = rows.iter().map(|row| (row, pack.decide(&row.question)));
    decided.filter(|(row, outcome)| !row.expect.is(outcome)).collect()
}

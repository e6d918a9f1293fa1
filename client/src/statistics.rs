//! Releases of metrics from a verified enclave.

use crate::people::{PeopleError, ask};
use crate::session::AttestedSession;
use bytes::Bytes;
use hyper::Method;
use serde::{Deserialize, Serialize};
use serde_json::json;

/// A release: figures with noise in them, and what they cost.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Statistic {
    /// The metric.
    pub metric: String,
    /// Number of the entry in the enclave's ledger.
    pub number: u64,
    /// What it cost, taken alone.
    pub epsilon: f64,
    /// The delta at which epsilon counts.
    pub delta: f64,
    /// What was spent of the boot's budget.
    pub spent: f64,
    /// The boot's budget.
    pub budget: f64,
    /// From the day of the release before, or of the start, to the day of this one, in days since 1970.
    pub days: [u64; 2],
    /// The figures.
    pub rows: Vec<Row>,
}

/// One figure.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// What it is of.
    pub label: String,
    /// The figure; a count may be negative.
    pub value: f64,
    /// Between this ..
    pub low: f64,
    /// .. and this the true one lies with 95 %, by the noise.
    pub high: f64,
}

/// Asks for a release, for so many thousandths of epsilon.
///
/// # Errors
/// [`PeopleError`]
pub async fn release(
    session: &AttestedSession,
    token: Option<&str>,
    (metric, purpose): (&str, &str),
    epsilon_milli: u32,
) -> Result<Statistic, PeopleError> {
    let body = json!({ "metric": metric, "purpose": purpose, "epsilon_milli": epsilon_milli });
    ask(session, Method::POST, "/adyton/v1/statistics", token, Bytes::from(body.to_string())).await
}

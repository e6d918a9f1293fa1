//! Tells a person step by step what an appraisal looked at, what it expected and what it saw.
//!
//! # Promises
//! - Every step of the list appears in every report, in order; a step that was not run says `not-checked`.
//! - A factor passes only where the step that it names returned a value.
//!
//! # Does not
//! - Decide. A report is for reading; the proof is the value beside it.
//!
//! # Trusts
//! - The steps.

use serde::Serialize;

/// What became of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It was run and found what it expected.
    Pass,
    /// It was run and refused.
    Fail,
    /// It was not run. This is never a pass.
    NotChecked,
}

/// One numbered step and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Factor {
    /// Position in the list, from 1.
    pub number: u8,
    /// What it looks at.
    pub name: &'static str,
    /// The documents and sections that demand it.
    pub cites: &'static str,
    /// What became of it.
    pub outcome: Outcome,
    /// What it expected; empty if it was not run.
    pub expected: String,
    /// What it saw, or what happened; empty if it was not run.
    pub seen: String,
    /// What to do, if it failed; or why it was not run.
    pub advice: String,
}

/// All steps of one appraisal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    factors: Vec<Factor>,
    simulated: bool,
}

impl Report {
    /// The steps in order.
    pub fn factors(&self) -> &[Factor] {
        &self.factors
    }

    /// Whether the anchor was a development root.
    pub fn simulated(&self) -> bool {
        self.simulated
    }

    /// The step that refused, if one did.
    pub fn failed(&self) -> Option<&Factor> {
        self.factors.iter().find(|factor| factor.outcome == Outcome::Fail)
    }

    /// Whether each and every step was run and passed.
    pub fn passed_everything(&self) -> bool {
        self.factors.iter().all(|factor| factor.outcome == Outcome::Pass)
    }
}

/// A step's place in the list, its name and who demands it.
pub(crate) trait Listed: Copy {
    /// From 1, without gaps.
    fn number(self) -> u8;
    /// What it looks at.
    fn name(self) -> &'static str;
    /// Who demands it.
    fn cites(self) -> &'static str;
}

/// Collects factors while an appraisal runs.
pub(crate) struct Ledger(Report);

/// A step's value and the words for what was seen.
pub(crate) struct Seen<T> {
    pub(crate) value: T,
    pub(crate) words: String,
}

pub(crate) fn seen<T>(value: T, words: impl Into<String>) -> Seen<T> {
    Seen { value, words: words.into() }
}

impl Ledger {
    /// Lists all steps as not checked.
    pub(crate) fn new<S: Listed>(steps: &[S], simulated: bool) -> Self {
        let factors = steps.iter().map(|step| not_checked(*step)).collect();
        Self(Report { factors, simulated })
    }

    /// Appends further steps, as not checked.
    pub(crate) fn extend<S: Listed>(report: Report, steps: &[S]) -> Self {
        let mut ledger = Self(report);
        ledger.0.factors.extend(steps.iter().map(|step| not_checked(*step)));
        ledger
    }

    /// Writes down what became of a step and hands its value on.
    pub(crate) fn record<S: Listed, T, E: std::fmt::Display>(
        &mut self,
        step: S,
        expected: impl Into<String>,
        result: Result<Seen<T>, E>,
    ) -> Result<T, E> {
        let (outcome, words, advice, result) = match result {
            Ok(seen) => (Outcome::Pass, seen.words, String::new(), Ok(seen.value)),
            Err(refusal) => {
                let (happened, advice) = halves(&refusal.to_string());
                (Outcome::Fail, happened, advice, Err(refusal))
            }
        };
        if let Some(factor) = self.factor(step) {
            factor.outcome = outcome;
            factor.expected = expected.into();
            factor.seen = words;
            factor.advice = advice;
        }
        result
    }

    /// Replaces the words for what a failed step saw.
    pub(crate) fn saw<S: Listed>(&mut self, step: S, words: impl Into<String>) {
        if let Some(factor) = self.factor(step) {
            factor.seen = words.into();
        }
    }

    /// Says why a step was left out. It stays not checked.
    pub(crate) fn skip<S: Listed>(&mut self, step: S, why: &'static str) {
        if let Some(factor) = self.factor(step) {
            factor.advice = why.to_owned();
        }
    }

    /// The finished report.
    pub(crate) fn finish(self) -> Report {
        self.0
    }

    fn factor<S: Listed>(&mut self, step: S) -> Option<&mut Factor> {
        self.0.factors.iter_mut().find(|factor| factor.number == step.number())
    }
}

/// Every refusal says what happened, then a semicolon, then what to do.
fn halves(message: &str) -> (String, String) {
    let (happened, advice) = message.split_once("; ").unwrap_or((message, message));
    (happened.to_owned(), advice.to_owned())
}

fn not_checked<S: Listed>(step: S) -> Factor {
    Factor {
        number: step.number(),
        name: step.name(),
        cites: step.cites(),
        outcome: Outcome::NotChecked,
        expected: String::new(),
        seen: String::new(),
        advice: "a step before it refused".to_owned(),
    }
}

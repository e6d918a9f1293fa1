//! Statistics of this boot, by `telemetry.toml` of the measured policy pack: what is counted, and what may be spent.
//!
//! Promises
//! - What is not declared is not counted; a declaration with a fault stops the start, and the error names it.
//! - What was counted leaves only through [`Telemetry::release`], which takes a price that the ledger has counted.
//!
//! Does not: outlive the boot, neither counts nor ledger (record 0036). Does not decide who may ask: policies do.
//!
//! Trusts: the worker for verdicts and sizes of answers. One that lies makes a statistic wrong, and no less private.

use crate::tools::placed;
use adyton_attestation::Timestamp;
use adyton_learning::accountant::gaussian;
use adyton_learning::ledger::{Anchor, Ledger, Limits, Refused, Reservation, Use};
use adyton_learning::noise::SystemRandom;
use adyton_learning::telemetry::{Collector, Metric, MetricError, Shape};
use adyton_wire::control::{Account, NoStatistic, Statistic, StatisticRow};
use serde::Deserialize;
use std::time::Duration;
use thiserror::Error;

const DAY_MS: u64 = 24 * 3600 * 1000;

/// Why `telemetry.toml` was refused.
#[derive(Debug, Error)]
pub enum TelemetryError {
    /// Not the TOML expected.
    #[error("telemetry.toml: {0}")]
    Syntax(String),
    /// A metric that is none.
    #[error("telemetry.toml: {0}")]
    Metric(#[from] MetricError),
    /// A shape that lacks something, has too much, or does not suit what is counted.
    #[error("telemetry.toml: metric {0:?}: the shape wants other fields, or does not suit what is counted")]
    Shape(String),
    /// A budget that is none.
    #[error("telemetry.toml: budget: {0}")]
    Budget(Refused),
    /// Metrics and nothing to pay them with.
    #[error("telemetry.toml: metrics need a budget")]
    NoBudget,
}

/// What may be counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// Answers, one by one.
    Answers,
    /// Prompts that the guardrail kept from the model.
    Blocked,
    /// Bytes of an answer.
    ResponseBytes,
    /// From grant to receipt.
    Milliseconds,
    /// Stage and word of each verdict of an answer: `input.pass`.
    Verdict,
    /// The declared purpose of what was granted.
    Purpose,
}

impl Source {
    fn suits(self, shape: &Shape) -> bool {
        match self {
            Source::Answers | Source::Blocked => *shape == Shape::Count,
            Source::ResponseBytes | Source::Milliseconds => {
                matches!(shape, Shape::Sum { .. } | Shape::Mean { .. } | Shape::Quantiles { .. })
            }
            Source::Verdict | Source::Purpose => matches!(shape, Shape::Histogram { .. }),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    budget: Option<Budget>,
    #[serde(default)]
    metric: Vec<Declared>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
struct Budget {
    epsilon: f64,
    delta: f64,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Form {
    Count,
    Sum,
    Mean,
    Histogram,
    Quantiles,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Declared {
    name: String,
    of: Source,
    shape: Form,
    per_day: u32,
    most: Option<u32>,
    bins: Option<Vec<String>>,
    edges: Option<Vec<u32>>,
}

impl Declared {
    fn read(self) -> Result<(Source, Metric), TelemetryError> {
        let shape = match (self.shape, self.most, self.bins, self.edges) {
            (Form::Count, None, None, None) => Shape::Count,
            (Form::Sum, Some(most), None, None) => Shape::Sum { most },
            (Form::Mean, Some(most), None, None) => Shape::Mean { most },
            (Form::Histogram, None, Some(bins), None) => Shape::Histogram { bins },
            (Form::Quantiles, None, None, Some(edges)) => Shape::Quantiles { edges },
            _ => return Err(TelemetryError::Shape(self.name)),
        };
        if !self.of.suits(&shape) {
            return Err(TelemetryError::Shape(self.name));
        }
        Ok((self.of, Metric { name: self.name, shape, per_day: self.per_day }))
    }
}

/// What is counted, and what was spent.
#[derive(Debug)]
pub struct Telemetry {
    sources: Vec<Source>,
    collector: Collector,
    ledger: Ledger,
}

/// A price that the ledger has counted, for one metric.
#[derive(Debug)]
pub struct Priced {
    metric: usize,
    reservation: Reservation,
}

impl Priced {
    /// The ledger's entry, and its state with it.
    pub fn entry(&self) -> (&[u8], Anchor) {
        (&self.reservation.entry, self.reservation.anchor)
    }
}

impl Telemetry {
    /// Reads `telemetry.toml`; an empty one counts nothing.
    ///
    /// # Errors
    /// [`TelemetryError`]
    pub fn parse(text: &str, now: Timestamp) -> Result<Telemetry, TelemetryError> {
        let file: File = toml::from_str(text).map_err(|e| TelemetryError::Syntax(placed(text, &e)))?;
        let budget = match file.budget {
            Some(budget) => budget,
            None if file.metric.is_empty() => Budget { epsilon: 0.0, delta: 1e-6 },
            None => return Err(TelemetryError::NoBudget),
        };
        let read: Result<Vec<_>, _> = file.metric.into_iter().map(Declared::read).collect();
        let (sources, metrics) = read?.into_iter().unzip();
        let uses = [budget.epsilon, 0.0, 0.0];
        let limits = Limits { epsilon: budget.epsilon, delta: budget.delta, uses };
        // Of this boot: what was counted in another one is gone with it.
        let ledger = Ledger::open(limits, &[], &Anchor::genesis(&limits)).map_err(TelemetryError::Budget)?;
        Ok(Telemetry { sources, collector: Collector::new(metrics, now.as_millis() / DAY_MS)?, ledger })
    }

    /// Counts a number.
    pub fn observe(&mut self, source: Source, principal: &[u8; 32], value: u32, now: Timestamp) {
        for (metric, _) in self.sources.iter().enumerate().filter(|(_, of)| **of == source) {
            self.collector.observe(principal, metric, value, now.as_millis() / DAY_MS);
        }
    }

    /// Counts a word.
    pub fn observe_word(&mut self, source: Source, principal: &[u8; 32], word: &str, now: Timestamp) {
        for (metric, _) in self.sources.iter().enumerate().filter(|(_, of)| **of == source) {
            let bin = self.collector.metrics().get(metric).map_or(0, |declared| declared.bin(word));
            self.collector.observe(principal, metric, bin, now.as_millis() / DAY_MS);
        }
    }

    /// Counts an answer.
    pub fn answered(&mut self, principal: &[u8; 32], account: &Account, took: Duration, now: Timestamp) {
        let bytes = u32::try_from(account.response_bytes).unwrap_or(u32::MAX);
        let milliseconds = u32::try_from(took.as_millis()).unwrap_or(u32::MAX);
        self.observe(Source::Answers, principal, 1, now);
        self.observe(Source::ResponseBytes, principal, bytes, now);
        self.observe(Source::Milliseconds, principal, milliseconds, now);
        for (stage, word) in &account.verdicts {
            self.observe_word(Source::Verdict, principal, &format!("{stage}.{word}"), now);
        }
    }

    /// Counts the price of a release: so many thousandths of epsilon, taken alone.
    ///
    /// # Errors
    /// [`NoStatistic`]
    pub fn price(&mut self, metric: &str, epsilon_milli: u32) -> Result<Priced, NoStatistic> {
        let metric = self.collector.find(metric).ok_or(NoStatistic::UnknownMetric)?;
        if epsilon_milli == 0 {
            return Err(NoStatistic::Price);
        }
        let sigma = gaussian::sigma(f64::from(epsilon_milli) / 1000.0, self.ledger.limits().delta);
        let (mechanism, subject) = self.collector.price(metric, sigma).ok_or(NoStatistic::UnknownMetric)?;
        let reservation =
            self.ledger.reserve(Use::Telemetry, &mechanism, subject).map_err(|why| match why {
                Refused::Exhausted { .. } | Refused::Full => NoStatistic::Exhausted,
                _ => NoStatistic::Price,
            })?;
        Ok(Priced { metric, reservation })
    }

    /// The release, now that its entry is on the log's disk.
    ///
    /// # Errors
    /// [`NoStatistic::NoNoise`]
    pub fn release(&mut self, priced: Priced, now: Timestamp) -> Result<Statistic, NoStatistic> {
        let spend = priced.reservation.recorded();
        let mut random = SystemRandom::default();
        let released = self.collector.release(priced.metric, spend, now.as_millis() / DAY_MS, &mut random);
        let released = released.map_err(|_| NoStatistic::NoNoise)?;
        let row = |row: &adyton_learning::telemetry::Row| StatisticRow {
            label: row.label.clone(),
            value: row.value,
            low: row.low,
            high: row.high,
        };
        let delta = self.ledger.limits().delta;
        Ok(Statistic {
            metric: released.metric().to_owned(),
            number: released.number(),
            epsilon: gaussian::epsilon(released.sigma(), delta),
            delta,
            spent: self.ledger.spent_in_all(),
            days: released.days(),
            rows: released.rows().iter().map(row).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(86_400 * 9);
    const METRIC: &str = "[budget]\nepsilon = 1.0\ndelta = 0.000001\n[[metric]]\nname = \"a\"\nof = \"purpose\"\n\
                          shape = \"histogram\"\nbins = [\"x\", \"other\"]\nper_day = 5\n";

    #[test]
    fn the_shipped_file_counts_nothing_and_its_examples_are_good() {
        let shipped = include_str!("../../policy/telemetry.toml");
        let mut empty = Telemetry::parse(shipped, NOW).unwrap();
        assert_eq!(empty.price("answers", 100).unwrap_err(), NoStatistic::UnknownMetric);
        let shown: String = shipped
            .lines()
            .skip(1)
            .map(|line| line.trim_start_matches(['#', ' ']).to_owned() + "\n")
            .collect();
        assert_eq!(Telemetry::parse(&shown, NOW).unwrap().sources.len(), 3);
        assert!(Telemetry::parse("", NOW).unwrap().sources.is_empty());
    }

    #[test]
    fn faults_are_named() {
        for (from, to, said) in [
            ("per_day = 5", "per_days = 5", "line "),
            ("per_day = 5", "per_day = 0", "per_day must be"),
            ("epsilon = 1.0", "epsilon = -1.0", "budget: limits of epsilon"),
            ("delta = 0.000001", "delta = nan", "budget: limits of epsilon"),
            ("shape = \"histogram\"", "shape = \"sum\"", "the shape wants"),
            ("of = \"purpose\"", "of = \"answers\"", "does not suit"),
            ("[budget]\nepsilon = 1.0\ndelta = 0.000001\n", "", "metrics need a budget"),
        ] {
            let found = Telemetry::parse(&METRIC.replace(from, to), NOW).unwrap_err().to_string();
            assert!(found.starts_with("telemetry.toml: ") && found.contains(said), "{to}: {found}");
        }
    }

    #[test]
    fn releases_add_up_until_the_budget_is_spent() {
        let mut telemetry = Telemetry::parse(METRIC, NOW).unwrap();
        for who in 0..40u8 {
            for _ in 0..10 {
                telemetry.observe_word(Source::Purpose, &[who; 32], "x", NOW);
            }
        }
        assert_eq!(telemetry.price("a", 0).unwrap_err(), NoStatistic::Price);
        let priced = telemetry.price("a", 500).unwrap();
        let statistic = telemetry.release(priced, NOW).unwrap();
        let [x, other] = statistic.rows.as_slice() else { panic!("{statistic:?}") };
        // Five of each principal; noise of about 45 with which 95 % lie within 88.
        assert!((x.value - 200.0).abs() < 300.0 && other.value.abs() < 300.0, "{statistic:?}");
        assert!((statistic.epsilon - 0.5).abs() < 1e-6 && statistic.days == (9, 9));
        let mut released = 1;
        while let Ok(priced) = telemetry.price("a", 200) {
            telemetry.release(priced, NOW).unwrap();
            released += 1;
        }
        assert!((3..20).contains(&released), "{released}");
        assert_eq!(telemetry.price("a", 200).unwrap_err(), NoStatistic::Exhausted);
        assert!(telemetry.ledger.spent_in_all().0 <= 1.0);
    }
}

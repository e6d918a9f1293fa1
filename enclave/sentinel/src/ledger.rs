//! The ledger of what each principal was told of each protected document, over turns, answers and sessions.
//!
//! ```text
//! worker: these passages are about to leave -> new ones counted -> share of the document, suspicion -> yes or no
//! ```
//!
//! Promises
//! - A passage counts once for a principal, however often it is said; what was refused counts as tried.
//! - The budget is not spent when the answer is no: what would go beyond it does not leave.
//! - It is the sentinel's: a new session, a new token of the same principal, or another worker changes nothing in it.
//! - Its memory is bounded; where there is no room, nothing is told.
//!
//! Does not: outlive the enclave. Does not: know principals that are one person under two names.
//!
//! Trusts: the measured list of documents and limits. That the worker asks before text leaves: a worker that does not has
//! the text anyway.

use adyton_fingerprint::{ListError, Protected};
use serde::Deserialize;
use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};
use thiserror::Error;

/// Bytes that the ledger may take for what was told.
const MAX_BYTES: usize = 64 << 20;
/// What one principal's record of one document takes beside its bits.
const OVERHEAD: usize = 128;

/// Why there is no ledger.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum LedgerError {
    /// `protected.json` was refused.
    #[error(transparent)]
    List(#[from] ListError),
    /// The limits are not those of `guardrails.toml`.
    #[error("guardrails.toml: {0}")]
    Syntax(String),
    /// A limit that is none.
    #[error(
        "guardrails.toml: ledger: percent must be 1 to 100, suspicion and half_life_minutes more than zero"
    )]
    Limits,
}

/// `[ledger]` of `guardrails.toml`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Limits {
    percent: u8,
    suspicion: f64,
    half_life_minutes: u32,
}

#[derive(Deserialize)]
struct File {
    ledger: Limits,
}

/// What came of asking.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Told {
    /// Whether the text may leave.
    pub allowed: bool,
    /// How near the principal is to being told nothing more: 0 to 1.
    pub suspicion: f64,
    /// Passages that he had not been told before.
    pub new: u32,
}

/// Who was told what.
#[derive(Debug)]
pub struct Ledger {
    /// Fingerprints of each document.
    sizes: Vec<u32>,
    limits: Limits,
    told: HashMap<[u8; 32], BTreeMap<u16, Record>>,
    bytes: usize,
}

/// One principal and one document.
#[derive(Debug)]
struct Record {
    /// One bit for each fingerprint that was told.
    bits: Vec<u64>,
    count: u32,
    /// The largest share of the budget that one asking was for.
    peak: f64,
    /// The shares of all askings, halved in each half-life.
    sum: f64,
    at: Instant,
}

impl Ledger {
    /// For the documents of `protected.json`, with the limits of `guardrails.toml`.
    ///
    /// # Errors
    /// [`LedgerError`]
    pub fn new(protected: &str, guardrails: &str) -> Result<Ledger, LedgerError> {
        let read = toml::from_str(guardrails);
        let File { ledger: limits } =
            read.map_err(|e| LedgerError::Syntax(crate::tools::placed(guardrails, &e)))?;
        let finite = limits.suspicion.is_finite() && limits.suspicion > 0.0;
        if !(1..=100).contains(&limits.percent) || !finite || limits.half_life_minutes == 0 {
            return Err(LedgerError::Limits);
        }
        let list = Protected::parse(protected)?;
        let size =
            |one: &adyton_fingerprint::Document| u32::try_from(one.fingerprints.len()).unwrap_or(u32::MAX);
        let sizes = list.documents().iter().map(size).collect();
        Ok(Ledger { sizes, limits, told: HashMap::new(), bytes: 0 })
    }

    /// Asks for passages, by document and fingerprint; all of them may leave, or none.
    pub fn ask(&mut self, principal: &[u8; 32], passages: &[(u16, u32)], now: Instant) -> Told {
        let mut by_document: BTreeMap<u16, Vec<u32>> = BTreeMap::new();
        for (document, fingerprint) in passages {
            by_document.entry(*document).or_default().push(*fingerprint);
        }
        let mut answer = Told { allowed: true, suspicion: 0.0, new: 0 };
        for (document, fingerprints) in &mut by_document {
            fingerprints.sort_unstable();
            fingerprints.dedup();
            match self.weigh(principal, *document, fingerprints, now) {
                Some((new, suspicion, within)) => {
                    answer.new += new;
                    answer.suspicion = answer.suspicion.max(suspicion);
                    answer.allowed &= within;
                }
                // No such passage, or no room for it.
                None => answer = Told { allowed: false, suspicion: 1.0, ..answer },
            }
        }
        if answer.allowed {
            for (document, fingerprints) in &by_document {
                self.note(principal, *document, fingerprints);
            }
        }
        answer
    }

    /// What asking for these would come to: how many are new, the suspicion, and whether it is within the limits.
    fn weigh(
        &mut self,
        principal: &[u8; 32],
        document: u16,
        fingerprints: &[u32],
        now: Instant,
    ) -> Option<(u32, f64, bool)> {
        let (limits, size) = (self.limits, *self.sizes.get(usize::from(document))?);
        if fingerprints.last().is_some_and(|last| *last >= size) {
            return None;
        }
        let record = self.record(principal, document, size, now)?;
        let new = u32::try_from(fingerprints.iter().filter(|one| !record.has(**one)).count()).ok()?;
        // A document of a few passages has a budget of one.
        let budget = (f64::from(size) * f64::from(limits.percent) / 100.0).max(1.0);
        let share = f64::from(new) / budget;
        let half_life = Duration::from_secs(60 * u64::from(limits.half_life_minutes));
        let passed = now.saturating_duration_since(record.at).as_secs_f64() / half_life.as_secs_f64();
        record.sum = record.sum * 0.5f64.powf(passed) + share;
        record.peak = record.peak.max(share);
        record.at = now;
        let suspicion = (record.peak + record.sum) / limits.suspicion;
        // What was told already may be told again.
        let within = new == 0 || (f64::from(record.count + new) <= budget && suspicion < 1.0);
        Some((new, suspicion.min(1.0), within))
    }

    fn record(
        &mut self,
        principal: &[u8; 32],
        document: u16,
        size: u32,
        now: Instant,
    ) -> Option<&mut Record> {
        let words = usize::try_from(size.div_ceil(64)).ok()?;
        let there = self.told.get(principal).is_some_and(|documents| documents.contains_key(&document));
        if !there {
            let more = words * size_of::<u64>() + OVERHEAD;
            if self.bytes + more > MAX_BYTES {
                return None;
            }
            self.bytes += more;
        }
        let new = || Record { bits: vec![0; words], count: 0, peak: 0.0, sum: 0.0, at: now };
        Some(self.told.entry(*principal).or_default().entry(document).or_insert_with(new))
    }

    fn note(&mut self, principal: &[u8; 32], document: u16, fingerprints: &[u32]) {
        let Some(record) = self.told.get_mut(principal).and_then(|all| all.get_mut(&document)) else {
            return;
        };
        for one in fingerprints {
            let (word, bit) = place(*one);
            if let Some(word) = record.bits.get_mut(word).filter(|word| **word & bit == 0) {
                *word |= bit;
                record.count += 1;
            }
        }
    }
}

impl Record {
    fn has(&self, fingerprint: u32) -> bool {
        let (word, bit) = place(fingerprint);
        self.bits.get(word).is_some_and(|word| word & bit != 0)
    }
}

fn place(fingerprint: u32) -> (usize, u64) {
    (fingerprint as usize / 64, 1 << (fingerprint % 64))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANN: [u8; 32] = [1; 32];
    const BOB: [u8; 32] = [2; 32];

    fn ledger(percent: u8, suspicion: f64) -> Ledger {
        let limits = Limits { percent, suspicion, half_life_minutes: 60 };
        Ledger { sizes: vec![1000, 5], limits, told: HashMap::new(), bytes: 0 }
    }

    fn passages(range: std::ops::Range<u32>) -> Vec<(u16, u32)> {
        range.map(|one| (0, one)).collect()
    }

    #[test]
    fn small_answers_add_up_and_stop_before_the_budget_is_spent() {
        let (mut ledger, now) = (ledger(10, 100.0), Instant::now());
        let mut told = 0;
        for turn in 0..50 {
            let answer = ledger.ask(&ANN, &passages(turn * 7..turn * 7 + 7), now);
            assert_eq!(answer.new, 7);
            told += if answer.allowed { 7 } else { 0 };
        }
        assert_eq!(told, 98, "of a budget of 100");
        assert!(ledger.ask(&ANN, &passages(0..98), now).allowed, "what he was told he may be told again");
        assert!(ledger.ask(&BOB, &passages(0..7), now).allowed, "and others are others");
        assert!(!ledger.ask(&BOB, &passages(100..220), now).allowed);
    }

    #[test]
    fn suspicion_grows_with_each_try_and_fades() {
        let (mut ledger, now) = (ledger(50, 1.5), Instant::now());
        let first = ledger.ask(&ANN, &passages(0..100), now);
        assert!(first.allowed && first.suspicion > 0.2 && first.suspicion < 0.3, "{first:?}");
        assert!(ledger.ask(&ANN, &passages(100..400), now).new == 300);
        let refused = ledger.ask(&ANN, &passages(400..450), now);
        assert!(!refused.allowed && refused.suspicion >= 0.9, "{refused:?}");
        let later = now + Duration::from_secs(3600 * 24);
        let faded = ledger.ask(&ANN, &passages(400..401), later);
        assert!(faded.suspicion < 0.5, "only the peak is left: {faded:?}");
    }

    #[test]
    fn passages_that_there_are_not_are_refused_and_memory_is_bounded() {
        let (mut ledger, now) = (ledger(10, 10.0), Instant::now());
        for wrong in [(0, 1000), (2, 0), (1, u32::MAX)] {
            assert!(!ledger.ask(&ANN, &[wrong], now).allowed, "{wrong:?}");
        }
        assert!(ledger.ask(&ANN, &[(1, 0)], now).allowed && !ledger.ask(&ANN, &[(1, 1)], now).allowed);
        ledger.bytes = MAX_BYTES;
        assert!(!ledger.ask(&BOB, &[(0, 0)], now).allowed);
        assert!(ledger.ask(&ANN, &[(1, 0)], now).allowed, "who is in it stays in it");
    }

    #[test]
    fn limits_and_documents_are_read_from_the_pack() {
        let shipped = include_str!("../../policy/guardrails.toml");
        let documents = include_str!("../../policy/protected.json");
        assert!(Ledger::new(documents, shipped).unwrap().sizes.is_empty());
        assert!(matches!(Ledger::new("{}", shipped), Err(LedgerError::List(_))));
        for (from, to) in [("percent = 10", "percent = 0"), ("suspicion = 1.5", "suspicion = 0.0")] {
            assert_eq!(Ledger::new(documents, &shipped.replace(from, to)).unwrap_err(), LedgerError::Limits);
        }
        let wrong = shipped.replace("percent = 10", "percents = 10");
        let said = Ledger::new(documents, &wrong).unwrap_err().to_string();
        assert!(said.starts_with("guardrails.toml: line "), "{said}");
    }
}

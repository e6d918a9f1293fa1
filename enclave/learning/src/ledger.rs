//! The one ledger of epsilon: telemetry, learning and queries spend from it, and nothing else lets a figure leave.
//!
//! ```text
//! ask -> within the budget? -> Reservation, already counted -> its entry is on the log's disk -> Spend -> one release
//! ```
//!
//! Promises
//! - What would go beyond the budget, of all or of one use, is refused and changes nothing; so is what is no price.
//! - A price is counted before anything leaves, and never given back: a release that fails has cost what it would have.
//! - Each state has a counter and the digest of all entries in their order. A ledger is made only from entries that meet an
//!   [`Anchor`]: fewer are a rollback, others a fork, and both are refused.
//! - A federated round is paid for once: a second aggregator of it gets no price, so no two sums of it can be compared.
//! - Two spendings never have one number, and a [`Spend`] is used up by the release that takes it.
//!
//! Does not: know which anchor is the newest. Whoever calls [`Ledger::open`] must have it from where the host cannot turn it
//! back (see `docs/learning.md`). Does not write the log: who says `recorded` says that the entry is on disk.
//!
//! Trusts: its limits, which are measured.
//!
//! A proof cannot be made up, nor used twice:
//!
//! ```compile_fail,E0451
//! use adyton_learning::ledger::{Spend, Use};
//! let forged = Spend { number: 1, purpose: Use::Telemetry, subject: [0; 32], sigma: 1.0, epsilon: 1.0 };
//! ```
//!
//! ```compile_fail,E0382
//! fn twice(spend: adyton_learning::ledger::Spend) {
//!     drop(spend);
//!     drop(spend);
//! }
//! ```

use crate::accountant::rdp::Curve;
use crate::accountant::{AccountError, Mechanism};
use ring::digest;
use std::collections::HashSet;
use thiserror::Error;

/// Bytes of an entry.
pub const ENTRY: usize = 1 + 1 + 24 + 32;
/// Most entries that a ledger is opened from: 6 MB.
pub const MAX_ENTRIES: usize = 100_000;
const DOMAIN: &[u8] = b"adyton/epsilon-ledger/v1";

/// What a price is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// Statistics about use.
    Telemetry,
    /// Federated rounds.
    Learning,
    /// Questions to data.
    Queries,
}

impl Use {
    const ALL: [Use; 3] = [Use::Telemetry, Use::Learning, Use::Queries];

    fn at(self) -> usize {
        match self {
            Use::Telemetry => 0,
            Use::Learning => 1,
            Use::Queries => 2,
        }
    }

    /// Its name, as policies and tables have it.
    pub fn name(self) -> &'static str {
        ["telemetry", "learning", "queries"][self.at()]
    }
}

/// What may be spent: measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Of everything together.
    pub epsilon: f64,
    /// The delta at which epsilon counts.
    pub delta: f64,
    /// Of each use, in the order of [`Use`]. Zero: not at all.
    pub uses: [f64; 3],
}

impl Limits {
    fn check(&self) -> Result<(), Refused> {
        let epsilon = |value: f64| (0.0..=1000.0).contains(&value);
        let good = epsilon(self.epsilon) && self.uses.iter().all(|one| epsilon(*one));
        if good && self.delta > 0.0 && self.delta <= 0.01 { Ok(()) } else { Err(Refused::Limits) }
    }
}

/// Why nothing was spent, or no ledger opened.
#[derive(Clone, Copy, Debug, PartialEq, Error)]
pub enum Refused {
    /// Limits that are none.
    #[error("limits of epsilon must be between 0 and 1000, and delta more than 0 and at most 0.01")]
    Limits,
    /// A price that is none.
    #[error(transparent)]
    Price(#[from] AccountError),
    /// More than is left.
    #[error("the budget for {} is exhausted: this would make it {after:.3} of {limit:.3}", .purpose.name())]
    Exhausted {
        /// For what it was asked.
        purpose: Use,
        /// What would have been spent, of this use or of all.
        after: f64,
        /// What may be.
        limit: f64,
    },
    /// Fewer entries than the anchor counts.
    #[error("the ledger has {found} entries, and {expected} were seen: it was rolled back")]
    RolledBack {
        /// How many there are.
        found: u64,
        /// How many there must be at least.
        expected: u64,
    },
    /// Other entries than those that were seen.
    #[error("the ledger's entries are not those that were seen before")]
    Forked,
    /// An entry that was written by nobody of ours.
    #[error("entry {0} of the ledger is malformed")]
    Malformed(u64),
    /// A round that was paid for already: a second aggregator of it, or the same one again.
    #[error("this round was paid for already")]
    Twice,
    /// Too many.
    #[error("the ledger is full; start a new one with a new budget")]
    Full,
}

/// How many entries there were, and their digest: what must be remembered where the host cannot turn it back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Anchor {
    /// Entries.
    pub number: u64,
    /// SHA-256 over all of them, link by link.
    pub chain: [u8; 32],
}

impl Anchor {
    /// Of a budget that nothing was spent of. The same limits have the same one, and others another.
    pub fn genesis(limits: &Limits) -> Anchor {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(DOMAIN);
        [limits.epsilon, limits.delta]
            .iter()
            .chain(&limits.uses)
            .for_each(|one| context.update(&one.to_be_bytes()));
        Anchor { number: 0, chain: finished(context) }
    }

    fn next(&self, entry: &[u8; ENTRY]) -> Anchor {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(DOMAIN);
        context.update(&self.chain);
        context.update(&(self.number + 1).to_be_bytes());
        context.update(entry);
        Anchor { number: self.number + 1, chain: finished(context) }
    }
}

fn finished(context: digest::Context) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(context.finish().as_ref());
    out
}

/// What was spent, and what may be.
#[derive(Debug)]
pub struct Ledger {
    limits: Limits,
    all: Curve,
    uses: [Curve; 3],
    anchor: Anchor,
    /// Rounds that were paid for.
    rounds: HashSet<[u8; 32]>,
}

/// Counted, and not yet on the log's disk. Dropping it gives nothing back.
#[derive(Debug)]
#[must_use = "it is counted already"]
pub struct Reservation {
    /// What goes into the log.
    pub entry: [u8; ENTRY],
    /// The ledger's state with it.
    pub anchor: Anchor,
    spend: Spend,
}

impl Reservation {
    /// The log has it on disk.
    pub fn recorded(self) -> Spend {
        self.spend
    }
}

/// One price that was paid and recorded. Taken by value by the one release that it is for.
#[derive(Debug)]
pub struct Spend {
    number: u64,
    purpose: Use,
    subject: [u8; 32],
    sigma: f64,
    epsilon: f64,
}

impl Spend {
    /// The entry's number, from 1.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// What it is for.
    pub fn purpose(&self) -> Use {
        self.purpose
    }

    /// The digest of what it pays for.
    pub fn subject(&self) -> &[u8; 32] {
        &self.subject
    }

    /// The noise that was paid for, in sensitivities; zero for a pure mechanism.
    pub fn sigma(&self) -> f64 {
        self.sigma
    }

    /// What this one cost, taken alone.
    pub fn epsilon(&self) -> f64 {
        self.epsilon
    }
}

impl Ledger {
    /// From all entries of the log, which must meet what was seen of it.
    ///
    /// # Errors
    /// [`Refused::RolledBack`], [`Refused::Forked`], [`Refused::Malformed`], [`Refused::Full`], [`Refused::Limits`], or
    /// [`Refused::Exhausted`] if the entries go beyond limits that are lower than they were.
    pub fn open(limits: Limits, entries: &[[u8; ENTRY]], seen: &Anchor) -> Result<Ledger, Refused> {
        limits.check()?;
        if entries.len() > MAX_ENTRIES {
            return Err(Refused::Full);
        }
        let anchor = Anchor::genesis(&limits);
        let mut ledger = Ledger {
            limits,
            all: Curve::default(),
            uses: Default::default(),
            anchor,
            rounds: HashSet::new(),
        };
        let mut met = ledger.anchor == *seen;
        for (entry, number) in entries.iter().zip(1..) {
            let (purpose, mechanism, subject) = decode(entry).ok_or(Refused::Malformed(number))?;
            let reservation = ledger.reserve(purpose, &mechanism, subject)?;
            met |= reservation.anchor == *seen;
            if reservation.entry != *entry {
                return Err(Refused::Malformed(number));
            }
        }
        match (met, ledger.anchor.number) {
            (true, _) => Ok(ledger),
            (false, found) if found < seen.number => {
                Err(Refused::RolledBack { found, expected: seen.number })
            }
            (false, _) => Err(Refused::Forked),
        }
    }

    /// Counts a price, if it is within the budget. `subject` is the digest of what it pays for.
    ///
    /// # Errors
    /// [`Refused::Exhausted`], [`Refused::Price`], [`Refused::Twice`] or [`Refused::Full`]; then nothing has changed.
    pub fn reserve(
        &mut self,
        purpose: Use,
        mechanism: &Mechanism,
        subject: [u8; 32],
    ) -> Result<Reservation, Refused> {
        mechanism.check()?;
        if self.anchor.number >= MAX_ENTRIES as u64 {
            return Err(Refused::Full);
        }
        if purpose == Use::Learning && self.rounds.contains(&subject) {
            return Err(Refused::Twice);
        }
        let price = Curve::of(mechanism);
        let own = self.uses[purpose.at()].plus(&price)?;
        let all = self.all.plus(&price)?;
        let within = |curve: &Curve, limit: f64| {
            let after = curve.epsilon(self.limits.delta);
            // Not a number is not within.
            if after <= limit { Ok(()) } else { Err(Refused::Exhausted { purpose, after, limit }) }
        };
        within(&own, self.limits.uses[purpose.at()])?;
        within(&all, self.limits.epsilon)?;
        let entry = encode(purpose, mechanism, &subject);
        self.anchor = self.anchor.next(&entry);
        self.all = all;
        if purpose == Use::Learning {
            self.rounds.insert(subject);
        }
        self.uses[purpose.at()] = own;
        let sigma = if let Mechanism::Gaussian { sigma, .. } = mechanism { *sigma } else { 0.0 };
        let epsilon = price.epsilon(self.limits.delta);
        let spend = Spend { number: self.anchor.number, purpose, subject, sigma, epsilon };
        Ok(Reservation { entry, anchor: self.anchor, spend })
    }

    /// What was spent of a use, and what may be, at the ledger's delta.
    pub fn spent(&self, purpose: Use) -> (f64, f64) {
        (self.uses[purpose.at()].epsilon(self.limits.delta), self.limits.uses[purpose.at()])
    }

    /// What was spent of everything, and what may be.
    pub fn spent_in_all(&self) -> (f64, f64) {
        (self.all.epsilon(self.limits.delta), self.limits.epsilon)
    }

    /// The state to be remembered.
    pub fn anchor(&self) -> Anchor {
        self.anchor
    }

    /// The limits.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }
}

fn encode(purpose: Use, mechanism: &Mechanism, subject: &[u8; 32]) -> [u8; ENTRY] {
    let (kind, numbers) = match *mechanism {
        Mechanism::Gaussian { rate, sigma, steps } => {
            (0, [rate.to_be_bytes(), sigma.to_be_bytes(), steps.to_be_bytes()])
        }
        Mechanism::Pure { epsilon } => (1, [epsilon.to_be_bytes(), [0; 8], [0; 8]]),
    };
    let mut entry = [0; ENTRY];
    entry[0] = purpose.at() as u8;
    entry[1] = kind;
    entry[2..26].copy_from_slice(numbers.as_flattened());
    entry[26..].copy_from_slice(subject);
    entry
}

fn decode(entry: &[u8; ENTRY]) -> Option<(Use, Mechanism, [u8; 32])> {
    let purpose = *Use::ALL.get(usize::from(entry[0]))?;
    let number = |at: usize| -> Option<[u8; 8]> { entry.get(at..at + 8)?.try_into().ok() };
    let real = |at: usize| number(at).map(f64::from_be_bytes);
    let mechanism = match entry[1] {
        0 => {
            let steps = u64::from_be_bytes(number(18)?);
            Mechanism::Gaussian { rate: real(2)?, sigma: real(10)?, steps }
        }
        1 => Mechanism::Pure { epsilon: real(2)? },
        _ => return None,
    };
    Some((purpose, mechanism, entry.get(26..)?.try_into().ok()?))
}

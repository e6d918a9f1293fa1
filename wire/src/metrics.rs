//! The metrics protocol: what the enclave tells its host of itself, once a second.
//!
//! The enclave connects and sends snapshots, one after the other; the host answers nothing. Each is of the same
//! length, so there is no length to lie about. All integers big-endian.
//!
//! ```text
//! snapshot = "ADYM" version:u8=3 state:u8 simulated:u8 numbers:[u64; 58]            (471 bytes)
//! ```
//!
//! The numbers are the fields of [`Snapshot`] in their order; a histogram is its buckets, then its sum.
//!
//! Promises
//! - A snapshot holds numbers and words of closed lists. There is no field into which text, a name or a digest
//!   would fit; [`Snapshot`] is `Copy` and of one size.
//! - One snapshot has one encoding.
//!
//! Trusts nothing: whoever shows a snapshot shows what somebody on the bus said.

use std::time::Duration;
use thiserror::Error;

/// Bytes of a snapshot.
pub const SNAPSHOT_LEN: usize = HEADER_LEN + 8 * NUMBERS;

/// The codes under which denials are counted, as clients see them. What has no code here counts as the last.
pub const DENIALS: [&str; 20] = [
    "token_absent",
    "invalid_api_key",
    "token_expired",
    "forbidden",
    "model_not_found",
    "too_many_grants",
    "audit_unavailable",
    "no_such_tool",
    "no_such_collection",
    "store_locked",
    "tool_unreachable",
    "deferred",
    "approval_declined",
    "approval_timeout",
    "too_many_holds",
    "principal_quarantined",
    "offline",
    "ballot_refused",
    "no_such_hold",
    "other",
];

/// Upper bounds of the buckets of [`Snapshot::decision`], in microseconds; one more bucket is without a bound.
/// 150 and 300 are the marks that a decision is held against.
pub const DECISION_BOUNDS_US: [u64; BUCKETS - 1] =
    [10, 25, 50, 100, 150, 300, 600, 1_000, 2_500, 10_000, 100_000];

/// The same of [`Snapshot::answer`], from a tenth of a second to the ten minutes after which a grant is over.
pub const ANSWER_BOUNDS_US: [u64; BUCKETS - 1] = [
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    30_000_000,
    60_000_000,
    180_000_000,
    600_000_000,
];

/// Buckets of a histogram, the one without a bound among them.
pub const BUCKETS: usize = 12;

const MAGIC: &[u8; 4] = b"ADYM";
const VERSION: u8 = 3;
const HEADER_LEN: usize = 7;
/// 12 numbers, the denials, and two histograms with their sums.
const NUMBERS: usize = 12 + DENIALS.len() + 2 * (BUCKETS + 1);

/// Whether the enclave answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// No worker is ready: the first has not loaded its model, or one crashed and another is started.
    #[default]
    Starting,
    /// It answers.
    Online,
    /// The lease was withdrawn: it answers that it is offline.
    Quarantined,
    /// It has ended, or ends: only its owner can start it anew.
    Offline,
}

impl State {
    /// All of them, in the order of their bytes.
    pub const ALL: [State; 4] = [State::Starting, State::Online, State::Quarantined, State::Offline];

    /// In a word.
    pub fn word(self) -> &'static str {
        match self {
            State::Starting => "starting",
            State::Online => "online",
            State::Quarantined => "quarantined",
            State::Offline => "offline",
        }
    }
}

/// How often something took how long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    /// How often, bucket by bucket; a bucket does not contain the ones below it.
    pub buckets: [u64; BUCKETS],
    /// All of it together, in nanoseconds.
    pub sum_ns: u64,
}

impl Histogram {
    /// Counts one. `bounds_us` are those of this histogram.
    pub fn observe(&mut self, bounds_us: &[u64; BUCKETS - 1], took: Duration) {
        let us = u64::try_from(took.as_nanos().div_ceil(1000)).unwrap_or(u64::MAX);
        let place = bounds_us.partition_point(|bound| *bound < us);
        if let Some(bucket) = self.buckets.get_mut(place) {
            *bucket = bucket.saturating_add(1);
        }
        let ns = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.sum_ns = self.sum_ns.saturating_add(ns);
    }
}

/// What the enclave tells of itself. Counters are of one boot. Why each may be told: `docs/metrics.md`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Whether it answers.
    pub state: State,
    /// Whether it is a simulation.
    pub simulated: bool,
    /// Seconds since it started.
    pub uptime_s: u64,
    /// Workers that became ready.
    pub workers: u64,
    /// Evidence asked for.
    pub evidence: u64,
    /// Grants that a worker was given.
    pub grants: u64,
    /// Grants that are open.
    pub grants_open: u64,
    /// Denials, by the code at the same place in [`DENIALS`].
    pub denials: [u64; DENIALS.len()],
    /// Holds that wait for a person.
    pub holds_pending: u64,
    /// Holds that persons approved.
    pub holds_approved: u64,
    /// Holds that a person denied.
    pub holds_denied: u64,
    /// Holds that nobody decided in time.
    pub holds_expired: u64,
    /// Receipts signed.
    pub receipts: u64,
    /// Entries of the audit log that the host has acknowledged.
    pub entries_kept: u64,
    /// Entries that it has not.
    pub entries_pending: u64,
    /// How long decisions took.
    pub decision: Histogram,
    /// How long it was from a grant to its receipt.
    pub answer: Histogram,
}

/// Bytes that are no snapshot.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum Malformed {
    /// Another protocol or version.
    #[error("not a snapshot of metrics of version 3")]
    Header,
    /// A state that is not defined.
    #[error("unknown state {0}")]
    State(u8),
    /// Neither 0 nor 1.
    #[error("{0} in place of yes or no")]
    Flag(u8),
}

impl Snapshot {
    /// Its bytes.
    pub fn encode(&self) -> [u8; SNAPSHOT_LEN] {
        let mut out = [0; SNAPSHOT_LEN];
        let (header, numbers) = out.split_at_mut(HEADER_LEN);
        header[..4].copy_from_slice(MAGIC);
        header[4] = VERSION;
        header[5] = self.state as u8;
        header[6] = u8::from(self.simulated);
        for (place, number) in numbers.chunks_exact_mut(8).zip(self.numbers()) {
            place.copy_from_slice(&number.to_be_bytes());
        }
        out
    }

    fn numbers(&self) -> impl Iterator<Item = u64> {
        let first = [self.uptime_s, self.workers, self.evidence, self.grants, self.grants_open];
        let holds = [self.holds_pending, self.holds_approved, self.holds_denied, self.holds_expired];
        let rest = [self.receipts, self.entries_kept, self.entries_pending];
        let histogram = |of: Histogram| of.buckets.into_iter().chain([of.sum_ns]);
        let counted = first.into_iter().chain(self.denials).chain(holds).chain(rest);
        counted.chain(histogram(self.decision)).chain(histogram(self.answer))
    }

    /// Reads one.
    ///
    /// # Errors
    /// [`Malformed`]
    pub fn decode(bytes: &[u8; SNAPSHOT_LEN]) -> Result<Snapshot, Malformed> {
        let (header, numbers) = bytes.split_at(HEADER_LEN);
        let [b'A', b'D', b'Y', b'M', VERSION, state, simulated] = *header else {
            return Err(Malformed::Header);
        };
        let known = State::ALL.into_iter().find(|known| *known as u8 == state);
        let state = known.ok_or(Malformed::State(state))?;
        if simulated > 1 {
            return Err(Malformed::Flag(simulated));
        }
        let mut numbers = numbers.as_chunks::<8>().0.iter().map(|eight| u64::from_be_bytes(*eight));
        // As many as there are fields: both follow from the same constant.
        let mut next = || numbers.next().unwrap_or_default();
        // Fields are read in the order in which they stand here.
        Ok(Snapshot {
            state,
            simulated: simulated == 1,
            uptime_s: next(),
            workers: next(),
            evidence: next(),
            grants: next(),
            grants_open: next(),
            denials: std::array::from_fn(|_| next()),
            holds_pending: next(),
            holds_approved: next(),
            holds_denied: next(),
            holds_expired: next(),
            receipts: next(),
            entries_kept: next(),
            entries_pending: next(),
            decision: Histogram { buckets: std::array::from_fn(|_| next()), sum_ns: next() },
            answer: Histogram { buckets: std::array::from_fn(|_| next()), sum_ns: next() },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_has_a_place_of_its_own() {
        let mut bytes =
            Snapshot { state: State::Quarantined, simulated: true, ..Snapshot::default() }.encode();
        for (n, place) in bytes[HEADER_LEN..].chunks_exact_mut(8).enumerate() {
            place.copy_from_slice(&(n as u64 + 1).to_be_bytes());
        }
        let snapshot = Snapshot::decode(&bytes).unwrap();
        assert_eq!(snapshot.encode(), bytes);
        assert_eq!(snapshot.numbers().collect::<Vec<_>>(), (1..=NUMBERS as u64).collect::<Vec<_>>());
        assert_eq!((snapshot.state, snapshot.simulated), (State::Quarantined, true));
        assert_eq!((snapshot.grants_open, snapshot.denials[0], snapshot.answer.sum_ns), (5, 6, 58));
        assert_eq!(SNAPSHOT_LEN, 471);
    }

    #[test]
    fn other_bytes_are_refused() {
        let good = Snapshot::default().encode();
        let cases = [
            (0, b'X', Malformed::Header),
            (4, 1, Malformed::Header),
            (5, 4, Malformed::State(4)),
            (6, 2, Malformed::Flag(2)),
        ];
        for (at, byte, expected) in cases {
            let mut bytes = good;
            bytes[at] = byte;
            assert_eq!(Snapshot::decode(&bytes), Err(expected));
        }
        for state in State::ALL {
            let snapshot = Snapshot { state, ..Snapshot::default() };
            assert_eq!(Snapshot::decode(&snapshot.encode()), Ok(snapshot));
        }
    }

    #[test]
    fn a_bound_belongs_to_the_bucket_below_it_and_nothing_is_lost() {
        let mut histogram = Histogram::default();
        let times = [0, 10_000, 10_001, 25_000, 100_000_000, 100_000_001, u64::MAX];
        for ns in times {
            histogram.observe(&DECISION_BOUNDS_US, Duration::from_nanos(ns));
        }
        assert_eq!(histogram.buckets, [2, 2, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2]);
        assert_eq!(histogram.sum_ns, u64::MAX);
        for bounds in [DECISION_BOUNDS_US, ANSWER_BOUNDS_US] {
            assert!(bounds.is_sorted_by(|a, b| a < b));
        }
    }
}

//! Counts what happens, for the operator: states, decisions, holds, receipts, and how long they took.
//!
//! What is counted goes to the host ([`push`]), which is not trusted. So nothing is counted that follows from
//! what a request or an answer says, and what is counted can be nothing else: `adyton_wire::metrics::Snapshot`
//! holds numbers under names that are fixed in the source.
//!
//! | counted | why the host may know |
//! |---|---|
//! | state, uptime, workers | it starts the enclave, sees its processors at work and its connections close |
//! | evidence asked for | as many as there are handshakes, which it relays |
//! | grants, receipts, audit entries | each is a record on its own disk, of a length by its kind |
//! | denials by code, holds by outcome | one of a few words of ours; never who, what for, or on which policy |
//! | time of a decision | the sentinel's own work on a token, a policy and a log entry, in eleven steps |
//! | from grant to receipt | it sees when the bytes of each answer pass, to the microsecond |
//!
//! Promises
//! - No principal, purpose, size of a prompt or answer, number of tokens, or verdict of a guardrail has a way in:
//!   no function here takes one.
//! - To count never fails, waits or takes memory, and no number wraps.
//!
//! Does not: keep the host from putting counts beside the times at which it relays bytes. Where one client is
//! connected, the counts are his. A hostile worker can tell the host a little by what it asks for, as it can by when
//! it asks. `docs/metrics.md` says so too.

pub mod push;

use adyton_wire::control::Denial;
use adyton_wire::metrics::{ANSWER_BOUNDS_US, DECISION_BOUNDS_US, DENIALS, Snapshot, State};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// The counters of this boot. Clones are the same counters.
#[derive(Clone, Debug)]
pub struct Metrics {
    counted: Rc<RefCell<Snapshot>>,
    since: Instant,
    /// Told when the state changes.
    changed: Rc<Notify>,
}

impl Metrics {
    /// Nothing counted yet.
    pub fn new(simulated: bool) -> Metrics {
        let counted = Snapshot { simulated, ..Snapshot::default() };
        Metrics { counted: Rc::new(RefCell::new(counted)), since: Instant::now(), changed: Rc::default() }
    }

    /// What was counted so far, with the time since the start. What others hold is theirs to fill in: see
    /// [`crate::desk::Desk::snapshot`].
    pub fn snapshot(&self) -> Snapshot {
        Snapshot { uptime_s: self.since.elapsed().as_secs(), ..*self.counted.borrow() }
    }

    /// Returns when the state has changed since it was last waited for.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// A worker is ready.
    pub fn worker_ready(&self) {
        self.one(|counted| &mut counted.workers);
        self.change(State::Online);
    }

    /// A worker is gone; `again` if another is started.
    pub fn worker_ended(&self, again: bool) {
        self.change(if again { State::Starting } else { State::Offline });
    }

    /// The AI was taken offline, or is back: the host is told at once.
    pub fn state_changed(&self) {
        self.changed.notify_one();
    }

    fn change(&self, state: State) {
        self.counted.borrow_mut().state = state;
        self.state_changed();
    }

    /// Evidence was asked for.
    pub fn evidence(&self) {
        self.one(|counted| &mut counted.evidence);
    }

    /// A worker is given a grant.
    pub fn granted(&self) {
        self.one(|counted| &mut counted.grants);
    }

    /// Something was denied.
    pub fn denied(&self, denial: Denial) {
        let code = crate::audit::event::code(denial);
        let place = DENIALS.iter().position(|known| *known == code).unwrap_or(DENIALS.len() - 1);
        if let Some(number) = self.counted.borrow_mut().denials.get_mut(place) {
            *number = number.saturating_add(1);
        }
    }

    /// A receipt was signed, so long after its grant.
    pub fn sealed(&self, age: Duration) {
        self.one(|counted| &mut counted.receipts);
        self.counted.borrow_mut().answer.observe(&ANSWER_BOUNDS_US, age);
    }

    /// Times a decision: until what is returned is dropped.
    #[must_use = "the time ends when this is dropped"]
    pub fn time_decision(&self) -> Decision {
        Decision { metrics: self.clone(), since: Instant::now() }
    }

    fn one(&self, which: impl FnOnce(&mut Snapshot) -> &mut u64) {
        let mut counted = self.counted.borrow_mut();
        let number = which(&mut counted);
        *number = number.saturating_add(1);
    }
}

/// A decision under way. Counts its time when dropped.
#[derive(Debug)]
pub struct Decision {
    metrics: Metrics,
    since: Instant,
}

impl Drop for Decision {
    fn drop(&mut self) {
        let mut counted = self.metrics.counted.borrow_mut();
        counted.decision.observe(&DECISION_BOUNDS_US, self.since.elapsed());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use adyton_wire::metrics::{BUCKETS, Histogram};

    #[test]
    fn each_thing_is_counted_once_in_its_own_place() {
        let metrics = Metrics::new(true);
        metrics.worker_ready();
        metrics.evidence();
        metrics.granted();
        metrics.denied(Denial::Forbidden);
        metrics.sealed(Duration::from_millis(400));
        drop(metrics.time_decision());
        let mut expected = Snapshot {
            state: State::Online,
            simulated: true,
            workers: 1,
            evidence: 1,
            grants: 1,
            receipts: 1,
            ..Snapshot::default()
        };
        expected.denials[3] = 1;
        expected.answer.buckets[2] = 1;
        expected.answer.sum_ns = 400_000_000;
        let counted = metrics.snapshot();
        assert_eq!(counted.decision.buckets.iter().sum::<u64>(), 1);
        assert_eq!(Snapshot { uptime_s: 0, decision: Histogram::default(), ..counted }, expected);
    }

    #[test]
    fn every_denial_has_a_place_under_its_own_code() {
        let all = [
            Denial::TokenAbsent,
            Denial::TokenInvalid,
            Denial::TokenExpired,
            Denial::Forbidden,
            Denial::UnknownModel,
            Denial::Busy,
            Denial::AuditUnavailable,
            Denial::UnknownTool,
            Denial::UnknownCollection,
            Denial::StoreLocked,
            Denial::Unreachable,
            Denial::Deferred,
            Denial::Declined,
            Denial::Unanswered,
            Denial::HoldsFull,
            Denial::Quarantined,
            Denial::Offline,
            Denial::BallotRefused,
            Denial::NoSuchHold,
        ];
        let metrics = Metrics::new(false);
        for denial in all {
            metrics.denied(denial);
        }
        let (other, known) =
            metrics.snapshot().denials.split_last().map(|(other, known)| (*other, known.to_vec())).unwrap();
        assert_eq!((other, known), (0, vec![1; all.len()]));
    }

    #[test]
    fn numbers_stay_at_their_end() {
        let metrics = Metrics::new(false);
        metrics.counted.borrow_mut().grants = u64::MAX;
        metrics.counted.borrow_mut().answer.buckets = [u64::MAX; BUCKETS];
        metrics.granted();
        metrics.sealed(Duration::MAX);
        assert_eq!(metrics.snapshot().grants, u64::MAX);
        assert_eq!(metrics.snapshot().answer.buckets, [u64::MAX; BUCKETS]);
    }

    #[tokio::test]
    async fn a_change_of_state_is_told() {
        let metrics = Metrics::new(false);
        metrics.worker_ready();
        metrics.changed().await;
        for (again, expected) in [(true, State::Starting), (false, State::Offline)] {
            metrics.worker_ended(again);
            metrics.changed().await;
            assert_eq!(metrics.snapshot().state, expected);
        }
        metrics.state_changed();
        metrics.changed().await;
    }
}

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

    /// Notes the enclave's state. A change is told the host at once.
    pub fn state(&self, state: State) {
        let before = std::mem::replace(&mut self.counted.borrow_mut().state, state);
        if before != state {
            self.changed.notify_one();
        }
    }

    /// A worker is ready. What is quarantined stays so.
    pub fn worker_ready(&self) {
        self.one(|counted| &mut counted.workers);
        self.change(State::Starting, State::Online);
    }

    /// A worker is gone; `again` if another is started.
    pub fn worker_ended(&self, again: bool) {
        if again {
            self.change(State::Online, State::Starting);
        } else {
            self.state(State::Offline);
        }
    }

    fn change(&self, before: State, after: State) {
        let present = self.counted.borrow().state;
        if present == before {
            self.state(after);
        }
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
    pub fn sealed(&self, age: Option<Duration>) {
        self.one(|counted| &mut counted.receipts);
        if let Some(age) = age {
            self.counted.borrow_mut().answer.observe(&ANSWER_BOUNDS_US, age);
        }
    }

    /// So many holds wait for a person now.
    pub fn holds_pending(&self, holds: usize) {
        self.counted.borrow_mut().holds_pending = holds as u64;
    }

    /// A hold was approved.
    pub fn hold_approved(&self) {
        self.one(|counted| &mut counted.holds_approved);
    }

    /// A hold was denied by a person.
    pub fn hold_denied(&self) {
        self.one(|counted| &mut counted.holds_denied);
    }

    /// A hold was decided by nobody in time.
    pub fn hold_expired(&self) {
        self.one(|counted| &mut counted.holds_expired);
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
        metrics.sealed(Some(Duration::from_millis(400)));
        metrics.holds_pending(3);
        metrics.hold_approved();
        metrics.hold_denied();
        metrics.hold_expired();
        drop(metrics.time_decision());
        let mut expected = Snapshot {
            state: State::Online,
            simulated: true,
            workers: 1,
            evidence: 1,
            grants: 1,
            receipts: 1,
            holds_pending: 3,
            holds_approved: 1,
            holds_denied: 1,
            holds_expired: 1,
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
        ];
        let metrics = Metrics::new(false);
        for denial in all {
            metrics.denied(denial);
        }
        assert_eq!(metrics.snapshot().denials, [1, 1, 1, 1, 1, 1, 1, 0]);
    }

    #[test]
    fn numbers_stay_at_their_end() {
        let metrics = Metrics::new(false);
        metrics.counted.borrow_mut().grants = u64::MAX;
        metrics.counted.borrow_mut().answer.buckets = [u64::MAX; BUCKETS];
        metrics.granted();
        metrics.sealed(Some(Duration::MAX));
        assert_eq!(metrics.snapshot().grants, u64::MAX);
        assert_eq!(metrics.snapshot().answer.buckets, [u64::MAX; BUCKETS]);
    }

    #[tokio::test]
    async fn a_change_of_state_is_told_and_the_same_state_is_not() {
        let metrics = Metrics::new(false);
        metrics.worker_ready();
        metrics.changed().await;
        metrics.state(State::Online);
        let waited = tokio::time::timeout(Duration::ZERO, metrics.changed()).await;
        assert!(waited.is_err(), "the same state was told");
        for (again, expected) in [(true, State::Starting), (false, State::Offline)] {
            metrics.worker_ended(again);
            metrics.changed().await;
            assert_eq!(metrics.snapshot().state, expected);
        }
    }

    #[test]
    fn workers_come_and_go_in_quarantine_and_do_not_end_it() {
        let metrics = Metrics::new(false);
        metrics.state(State::Quarantined);
        metrics.worker_ended(true);
        metrics.worker_ready();
        assert_eq!(metrics.snapshot().state, State::Quarantined);
        metrics.worker_ended(false);
        assert_eq!(metrics.snapshot().state, State::Offline);
    }
}

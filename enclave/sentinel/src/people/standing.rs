//! Whether the AI is online, and who may change that.
//!
//! Promises
//! - Offline is latched: nothing but a quorum for [`Order::Restore`] ends it, not a restart of the worker, and not one of
//!   the enclave where `approvers.json` says that it starts offline.
//! - Each change makes a new epoch, so that an order is good for one state, once.
//! - The same order counts once for each approver, and only until the time that it names.
//!
//! Does not: reach the worker; [`crate::supervisor`] does, and withdraws its lease at once.

use super::NotCounted;
use adyton_attestation::Timestamp;
use adyton_attestation::ballot::Order;
use std::collections::HashMap;

/// Longest time that an order may ask to be good for, in milliseconds.
const MAX_LIFE_MS: u64 = 24 * 3600 * 1000;

/// Why the AI is offline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It starts so.
    Start,
    /// A quorum.
    Quarantine,
    /// A quorum, and the worker was ended.
    Kill,
    /// Too many principals are quarantined.
    Principals,
    /// The worker used grants that it did not have.
    Worker,
}

impl Reason {
    /// In words, for approvers and the audit log.
    pub fn words(self) -> &'static str {
        match self {
            Reason::Start => "each boot starts offline",
            Reason::Quarantine => "quarantined by order",
            Reason::Kill => "killed by order",
            Reason::Principals => "too many principals are quarantined",
            Reason::Worker => "the worker used grants that it did not have",
        }
    }
}

/// The state.
#[derive(Debug)]
pub struct Standing {
    epoch: u64,
    offline: Option<Reason>,
    since: Timestamp,
    /// Who gave which order, and until when it stands.
    given: HashMap<(Order, usize), Timestamp>,
}

impl Standing {
    /// A new boot.
    pub fn new(offline: Option<Reason>, now: Timestamp) -> Standing {
        Standing { epoch: 0, offline, since: now, given: HashMap::new() }
    }

    /// Why it is offline, if it is.
    pub fn offline(&self) -> Option<Reason> {
        self.offline
    }

    /// Which state this is.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Since when.
    pub fn since(&self) -> Timestamp {
        self.since
    }

    /// Takes the AI offline without an order. One reason is kept: the first.
    pub fn take_offline(&mut self, reason: Reason, now: Timestamp) {
        if self.offline.is_none() {
            self.change(Some(reason), now);
        }
    }

    /// Counts an order. Returns how many more it takes; at 0 it has been carried out, as far as it is about this state.
    ///
    /// # Errors
    /// [`NotCounted`] if it is for another state, over, good for longer than a day, or for what is so already.
    pub fn order(
        &mut self,
        (order, voter): (Order, usize),
        epoch: u64,
        until: Timestamp,
        quorum: u8,
        now: Timestamp,
    ) -> Result<u8, NotCounted> {
        let useless = match order {
            Order::Quarantine => self.offline.is_some(),
            Order::Restore => self.offline.is_none(),
            Order::Kill | Order::AcceptDrift | Order::Pardon { .. } => false,
        };
        let in_time = until > now && until.millis_since(now) <= MAX_LIFE_MS;
        if epoch != self.epoch || !in_time || useless {
            return Err(NotCounted);
        }
        self.given.retain(|_, until| *until > now);
        self.given.insert((order, voter), until);
        let count = self.given.keys().filter(|(given, _)| *given == order).count();
        let missing = usize::from(quorum).saturating_sub(count);
        if missing == 0 {
            self.carry_out(order, now);
        }
        Ok(u8::try_from(missing).unwrap_or(u8::MAX))
    }

    fn carry_out(&mut self, order: Order, now: Timestamp) {
        let offline = match order {
            Order::Quarantine => Some(Reason::Quarantine),
            Order::Kill => Some(Reason::Kill),
            Order::Restore => None,
            Order::AcceptDrift | Order::Pardon { .. } => self.offline,
        };
        self.change(offline, now);
    }

    fn change(&mut self, offline: Option<Reason>, now: Timestamp) {
        if self.offline.is_some() != offline.is_some() {
            self.since = now;
        }
        self.offline = offline;
        self.epoch = self.epoch.saturating_add(1);
        self.given.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_793_701_230);

    fn soon() -> Timestamp {
        NOW.plus_millis(60_000)
    }

    #[test]
    fn offline_is_latched_until_a_quorum_restores() {
        let mut state = Standing::new(None, NOW);
        assert_eq!(state.order((Order::Quarantine, 0), 0, soon(), 1, NOW), Ok(0));
        assert_eq!(state.offline(), Some(Reason::Quarantine));
        state.take_offline(Reason::Worker, NOW);
        assert_eq!(
            (state.offline(), state.epoch()),
            (Some(Reason::Quarantine), 1),
            "the first reason is kept"
        );
        assert_eq!(state.order((Order::Restore, 0), 1, soon(), 2, NOW), Ok(1));
        assert_eq!(state.order((Order::Restore, 0), 1, soon(), 2, NOW), Ok(1), "one approver counts once");
        assert!(state.offline().is_some());
        assert_eq!(state.order((Order::Restore, 1), 1, soon(), 2, NOW), Ok(0));
        assert_eq!((state.offline(), state.epoch()), (None, 2));
    }

    #[test]
    fn orders_are_for_one_state_and_for_a_time() {
        let mut state = Standing::new(Some(Reason::Start), NOW);
        let mut restore = |epoch, until, now| state.order((Order::Restore, 0), epoch, until, 2, now);
        assert_eq!(restore(1, soon(), NOW), Err(NotCounted));
        assert_eq!(restore(0, NOW, NOW), Err(NotCounted));
        assert_eq!(restore(0, NOW.plus_millis(MAX_LIFE_MS + 1), NOW), Err(NotCounted));
        assert_eq!(restore(0, soon(), NOW), Ok(1));
        // The first order is over when the second comes.
        let late = NOW.plus_millis(120_000);
        assert_eq!(state.order((Order::Restore, 1), 0, late.plus_millis(1), 2, late), Ok(1));
        assert!(state.offline().is_some());
        assert_eq!(state.order((Order::Quarantine, 0), 0, late.plus_millis(1), 1, late), Err(NotCounted));
    }

    #[test]
    fn an_order_cannot_be_played_again() {
        let mut state = Standing::new(None, NOW);
        for (order, quorum) in [(Order::Kill, 1), (Order::Restore, 1)] {
            let epoch = state.epoch();
            assert_eq!(state.order((order, 0), epoch, soon(), quorum, NOW), Ok(0));
            assert_eq!(state.order((order, 0), epoch, soon(), quorum, NOW), Err(NotCounted));
        }
        let pardon = Order::Pardon { principal: [1; 32] };
        assert_eq!(state.order((pardon, 0), 2, soon(), 1, NOW), Ok(0));
        assert_eq!(state.order((pardon, 0), 2, soon(), 1, NOW), Err(NotCounted));
    }

    #[test]
    fn orders_about_different_principals_do_not_add_up() {
        let mut state = Standing::new(None, NOW);
        for (voter, principal) in [(0, [1; 32]), (1, [2; 32])] {
            let pardon = Order::Pardon { principal };
            assert_eq!(state.order((pardon, voter), 0, soon(), 2, NOW), Ok(1));
        }
    }
}

//! Open grants: single-use, expiring, bounded in number.

use crate::decision::Permit;
use adyton_wire::control::GrantId;
use ring::rand::{SecureRandom, SystemRandom};
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// How long a grant is good. A generation must be over and its receipt asked for by then.
pub const LIFETIME: Duration = Duration::from_secs(600);
/// Most open grants: bounds the sentinel's memory against a worker that asks and never seals.
const MAX_OPEN: usize = 1024;
/// Most open grants of one principal, so that none can lock the others out. Above what one connection runs at a time.
const MAX_OPEN_EACH: usize = 64;

/// What a grant was given for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Granted {
    /// The principal's pseudonym, for the receipt.
    pub pseudonym: [u8; 32],
    /// The index of its entry in the audit log.
    pub entry: u64,
}

/// The table of open grants.
#[derive(Debug, Default)]
pub struct Grants {
    open: HashMap<GrantId, (Granted, Instant)>,
}

impl Grants {
    /// Opens a grant. Takes the [`Permit`] by value: one permit, one grant.
    /// `None` if too many are open or there is no randomness.
    pub fn open(&mut self, _permit: Permit, granted: Granted, now: Instant) -> Option<GrantId> {
        self.open.retain(|_, (_, until)| *until > now);
        let of_same = self.open.values().filter(|(open, _)| open.pseudonym == granted.pseudonym).count();
        if self.open.len() >= MAX_OPEN || of_same >= MAX_OPEN_EACH {
            return None;
        }
        let mut id = [0; 16];
        SystemRandom::new().fill(&mut id).ok()?;
        let id = GrantId(id);
        self.open.insert(id, (granted, now + LIFETIME));
        Some(id)
    }

    /// Uses a grant up. `None` if it was never given, was used before, or is over.
    pub fn consume(&mut self, id: GrantId, now: Instant) -> Option<Granted> {
        let (granted, until) = self.open.remove(&id)?;
        (until > now).then_some(granted)
    }

    /// How many are open.
    pub fn count(&self, now: Instant) -> u64 {
        self.open.values().filter(|(_, until)| *until > now).count() as u64
    }

    /// How long ago an open grant was given.
    pub fn age(&self, id: GrantId, now: Instant) -> Option<Duration> {
        let (_, until) = self.open.get(&id)?;
        LIFETIME.checked_sub(until.saturating_duration_since(now))
    }

    /// Forgets every grant: the worker that held them is gone.
    pub fn clear(&mut self) {
        self.open.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::DecisionPoint;
    use crate::token::Principal;
    use adyton_wire::control::Action;

    fn permit() -> Permit {
        let schema = include_str!("../../policy/adyton.cedarschema");
        let policy = "@id(\"all\") permit (principal, action, resource);";
        let point = DecisionPoint::load(schema, policy).unwrap();
        let now = adyton_attestation::Timestamp::from_secs(1_793_701_230);
        point.decide(&Principal::for_tests("t", "s", &[], 0), &Action::ListModels, "m", now).unwrap()
    }

    fn granted() -> Granted {
        Granted { pseudonym: [1; 32], entry: 0 }
    }

    #[test]
    fn a_grant_is_good_once_and_for_its_time() {
        let (mut grants, now) = (Grants::default(), Instant::now());
        let id = grants.open(permit(), granted(), now).unwrap();
        let later = now + Duration::from_millis(400);
        assert_eq!(grants.age(id, later), Some(Duration::from_millis(400)));
        assert_eq!((grants.count(later), grants.count(now + LIFETIME)), (1, 0));
        assert_eq!(grants.consume(id, now), Some(granted()));
        assert_eq!((grants.age(id, later), grants.count(later)), (None, 0));
        assert_eq!(grants.consume(id, now), None);
        let id = grants.open(permit(), granted(), now).unwrap();
        assert_eq!(grants.consume(id, now + LIFETIME), None);
        assert_eq!(grants.consume(GrantId([0; 16]), now), None);
    }

    #[test]
    fn open_grants_are_bounded_and_expire() {
        let (mut grants, now) = (Grants::default(), Instant::now());
        for i in 0..MAX_OPEN {
            let someone = Granted { pseudonym: [u8::try_from(i / MAX_OPEN_EACH).unwrap(); 32], entry: 0 };
            grants.open(permit(), someone, now).unwrap();
        }
        let newcomer = || Granted { pseudonym: [0xff; 32], entry: 0 };
        assert_eq!(grants.open(permit(), newcomer(), now), None);
        assert!(grants.open(permit(), newcomer(), now + LIFETIME).is_some());
    }

    #[test]
    fn one_principal_cannot_lock_the_others_out() {
        let (mut grants, now) = (Grants::default(), Instant::now());
        let mut last = None;
        while let Some(id) = grants.open(permit(), granted(), now) {
            last = Some(id);
        }
        assert_eq!(grants.open.len(), MAX_OPEN_EACH);
        assert!(grants.open(permit(), Granted { pseudonym: [2; 32], entry: 0 }, now).is_some());
        grants.consume(last.unwrap(), now).unwrap();
        assert!(grants.open(permit(), granted(), now).is_some());
    }
}

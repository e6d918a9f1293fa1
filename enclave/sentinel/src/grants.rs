//! Open grants: single-use, expiring, bounded in number.

use crate::decision::Permit;
use adyton_behaviour::Event;
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

/// What a grant is for: how it may be used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An answer of the language model: a receipt.
    Answer,
    /// Vectors of the encoder: a receipt.
    Vectors,
    /// A call of a tool: a word of what came of it.
    Call,
    /// Reading or writing a collection: the names of its passages.
    LookUp,
}

/// What a grant was given for.
#[derive(Clone, Debug, PartialEq)]
pub struct Granted {
    /// The principal's pseudonym, for the receipt.
    pub pseudonym: [u8; 32],
    /// The index of its entry in the audit log.
    pub entry: u64,
    /// The request, as behaviour sees it.
    pub event: Event,
    /// When it was given.
    pub since: Instant,
    /// What it is for.
    pub kind: Kind,
    /// The hold that persons approved, if it took any.
    pub hold: Option<[u8; 16]>,
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

    /// How many a principal has open.
    pub fn open_of(&self, pseudonym: &[u8; 32], now: Instant) -> u8 {
        let of_same = |(open, until): &&(Granted, Instant)| open.pseudonym == *pseudonym && *until > now;
        u8::try_from(self.open.values().filter(of_same).count()).unwrap_or(u8::MAX)
    }

    /// What an open grant is for; `None` if it is not open.
    pub fn kind(&self, id: GrantId) -> Option<Kind> {
        self.open.get(&id).map(|(granted, _)| granted.kind)
    }

    /// An open grant.
    pub fn get_mut(&mut self, id: GrantId, now: Instant) -> Option<&mut Granted> {
        self.open.get_mut(&id).filter(|(_, until)| *until > now).map(|(granted, _)| granted)
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

    /// Forgets every grant: the worker that held them is gone.
    pub fn clear(&mut self) {
        self.open.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::{DecisionPoint, Moment};
    use crate::token::Principal;
    use adyton_wire::control::Action;

    fn permit() -> Permit {
        let schema = include_str!("../../policy/adyton.cedarschema");
        let policy = "@id(\"all\") permit (principal, action, resource);";
        let point = DecisionPoint::load(schema, policy, "", "").unwrap();
        let now = adyton_attestation::Timestamp::from_secs(1_793_701_230);
        let moment = Moment { now, risk: 0, approvals: 0, open: 0, labels: crate::labels::Labels::NONE };
        point.decide(&Principal::for_tests("t", "s", &[], 0), &Action::ListModels, "m", moment).unwrap()
    }

    fn granted_to(pseudonym: [u8; 32]) -> Granted {
        static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
        let event = Event::new(0, pseudonym, 0, 0, adyton_behaviour::Action::Generate);
        Granted {
            pseudonym,
            entry: 0,
            event,
            since: *START.get_or_init(Instant::now),
            kind: Kind::Answer,
            hold: None,
        }
    }

    fn granted() -> Granted {
        granted_to([1; 32])
    }

    #[test]
    fn a_grant_is_good_once_and_for_its_time() {
        let (mut grants, now) = (Grants::default(), Instant::now());
        let id = grants.open(permit(), granted(), now).unwrap();
        assert_eq!((grants.count(now), grants.count(now + LIFETIME)), (1, 0));
        assert_eq!(grants.consume(id, now), Some(granted()));
        assert_eq!(grants.count(now), 0);
        assert_eq!(grants.consume(id, now), None);
        let id = grants.open(permit(), granted(), now).unwrap();
        assert_eq!(grants.consume(id, now + LIFETIME), None);
        assert_eq!(grants.consume(GrantId([0; 16]), now), None);
    }

    #[test]
    fn open_grants_are_bounded_and_expire() {
        let (mut grants, now) = (Grants::default(), Instant::now());
        for i in 0..MAX_OPEN {
            let someone = granted_to([u8::try_from(i / MAX_OPEN_EACH).unwrap(); 32]);
            grants.open(permit(), someone, now).unwrap();
        }
        let newcomer = || granted_to([0xff; 32]);
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
        assert_eq!(usize::from(grants.open_of(&[1; 32], now)), MAX_OPEN_EACH);
        assert_eq!((grants.open_of(&[2; 32], now), grants.open_of(&[1; 32], now + LIFETIME)), (0, 0));
        assert!(grants.open(permit(), granted_to([2; 32]), now).is_some());
        grants.consume(last.unwrap(), now).unwrap();
        assert!(grants.open(permit(), granted(), now).is_some());
    }
}

//! Holds: requests that wait until enough persons have approved exactly them.
//!
//! ```text
//! asked -> open -> enough said yes -> asked again, granted -> it happened -> gone
//!            |---> one said no     -> declined until its end
//!            '---> its end came    -> told once, gone
//! ```
//!
//! Promises
//! - A vote counts for one hold, for the request whose digest the voter signed, and once for each voter.
//! - A hold is good for one grant, and ends by a clock that the host cannot set back.
//! - Holds are bounded in number, over all and for each principal.
//!
//! Does not: know whose votes count; [`super::People`] does.

use super::NotCounted;
use adyton_wire::control::{Denial, HoldView, MAX_HOLDS};
use ring::rand::{SecureRandom, SystemRandom};
use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

/// How long a hold waits. A person must have time to be called and to read.
pub const LIFETIME: Duration = Duration::from_secs(15 * 60);
/// Most open holds of one principal.
const MAX_EACH: usize = 8;

/// What a hold is for. All of it must be the same when what was approved is asked for again: the worker, which names it, may lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Subject {
    /// Who asks.
    pub principal: [u8; 32],
    /// SHA-256 of the request's body.
    pub request: [u8; 32],
    /// Digest of what else approvers are shown: purpose, tokens, size.
    pub terms: [u8; 32],
}

/// What approvers are shown, but for what changes.
pub type Shown = HoldView;

/// What has come of a hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    /// A grant was given on it, and nothing has come of that yet.
    Lent,
    Declined,
}

#[derive(Debug)]
struct Hold {
    subject: Subject,
    shown: Shown,
    allowed: BTreeSet<usize>,
    state: State,
    ends: Instant,
}

/// A hold that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pending {
    /// Its name.
    pub hold: [u8; 16],
    /// How many more must approve.
    pub missing: u8,
    /// For how much longer.
    pub ends_in: Duration,
    /// Whether it was opened just now.
    pub new: bool,
}

/// How many holds wait, and what came of the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Waiting for a person.
    pub pending: u64,
    /// Approved by as many as were wanted.
    pub approved: u64,
    /// Denied by one.
    pub denied: u64,
    /// At their end without either.
    pub expired: u64,
}

/// All holds.
#[derive(Debug, Default)]
pub struct Holds {
    all: HashMap<[u8; 16], Hold>,
    /// Of those that are gone, and of votes.
    past: Tally,
}

impl Holds {
    /// How many persons have approved this so far; 0 of what is not on hold.
    pub fn approvals(&self, subject: &Subject, now: Instant) -> u8 {
        let found = self.of(subject).filter(|(_, hold)| hold.state == State::Open && hold.ends > now);
        found.map_or(0, |(_, hold)| hold.count())
    }

    /// What the policy wants persons for: the hold that waits for them, a new one if there is none.
    ///
    /// # Errors
    /// [`Denial::Declined`], [`Denial::Unanswered`] once after a hold's end, [`Denial::HoldsFull`].
    pub fn wait(&mut self, subject: Subject, shown: Shown, now: Instant) -> Result<Pending, Denial> {
        let persons = shown.persons;
        if let Some(hold) = self.of(&subject).map(|(name, _)| *name) {
            return self.waiting(hold, persons, now);
        }
        self.past.expired = self.tally(now).expired;
        self.all.retain(|_, hold| hold.ends > now);
        let each = self.all.values().filter(|hold| hold.subject.principal == subject.principal).count();
        if self.all.len() >= MAX_HOLDS || each >= MAX_EACH {
            return Err(Denial::HoldsFull);
        }
        let mut name = [0; 16];
        SystemRandom::new().fill(&mut name).map_err(|_| Denial::HoldsFull)?;
        let (allowed, ends) = (BTreeSet::new(), now + LIFETIME);
        let shown = Shown { hold: name, ..shown };
        self.all.insert(name, Hold { subject, shown, allowed, state: State::Open, ends });
        Ok(Pending { hold: name, missing: persons, ends_in: LIFETIME, new: true })
    }

    fn waiting(&mut self, name: [u8; 16], persons: u8, now: Instant) -> Result<Pending, Denial> {
        let Some(hold) = self.all.get_mut(&name) else { return Err(Denial::NoSuchHold) };
        if hold.ends <= now {
            self.past.expired += u64::from(hold.is_waiting());
            self.all.remove(&name);
            return Err(Denial::Unanswered);
        }
        if hold.state == State::Declined {
            return Err(Denial::Declined);
        }
        // The policy may want more than when the hold was opened: the risk has risen.
        hold.shown.persons = persons;
        let missing = persons.saturating_sub(hold.count());
        Ok(Pending { hold: name, missing, ends_in: hold.ends - now, new: false })
    }

    /// Counts a vote. Returns how many are missing after it.
    ///
    /// # Errors
    /// [`NotCounted`] if there is no such open hold, or the voter read another request.
    pub fn vote(
        &mut self,
        name: &[u8; 16],
        request: &[u8; 32],
        voter: usize,
        allow: bool,
        now: Instant,
    ) -> Result<u8, NotCounted> {
        let hold = self.all.get_mut(name).ok_or(NotCounted)?;
        let open = hold.state == State::Open && hold.ends > now && hold.subject.request == *request;
        if !open {
            return Err(NotCounted);
        }
        if allow {
            let before = hold.is_waiting();
            hold.allowed.insert(voter);
            self.past.approved += u64::from(before && !hold.is_waiting());
        } else {
            hold.state = State::Declined;
            self.past.denied += 1;
        }
        Ok(if allow { hold.shown.persons.saturating_sub(hold.count()) } else { 0 })
    }

    /// How many wait, and what came of the others.
    pub fn tally(&self, now: Instant) -> Tally {
        let waiting = || self.all.values().filter(|hold| hold.is_waiting());
        let pending = waiting().filter(|hold| hold.ends > now).count() as u64;
        let expired = waiting().filter(|hold| hold.ends <= now).count() as u64;
        Tally { pending, expired: self.past.expired.saturating_add(expired), ..self.past }
    }

    /// Whose request a hold is for.
    pub fn principal(&self, name: &[u8; 16]) -> Option<[u8; 32]> {
        self.all.get(name).map(|hold| hold.subject.principal)
    }

    /// Whether a person has said no to this, and the hold has not come to its end.
    pub fn is_declined(&self, subject: &Subject, now: Instant) -> bool {
        self.of(subject).is_some_and(|(_, hold)| hold.state == State::Declined && hold.ends > now)
    }

    /// What waited is granted: until something comes of it the hold is good for nothing else. Returns its name if it was
    /// approved; one that nobody needs to approve any more is gone.
    pub fn lend(&mut self, subject: &Subject) -> Option<[u8; 16]> {
        let name = *self.of(subject)?.0;
        let hold = self.all.get_mut(&name).filter(|hold| hold.state == State::Open)?;
        if hold.count() < hold.shown.persons {
            self.all.remove(&name);
            return None;
        }
        hold.state = State::Lent;
        Some(name)
    }

    /// Nothing came of the grant: the hold is what it was.
    pub fn give_back(&mut self, name: &[u8; 16]) {
        if let Some(hold) = self.all.get_mut(name).filter(|hold| hold.state == State::Lent) {
            hold.state = State::Open;
        }
    }

    /// Whoever had the grants is gone, and what came of them is not known: these holds are gone, too.
    pub fn forget_lent(&mut self) {
        self.all.retain(|_, hold| hold.state != State::Lent);
    }

    /// What was approved has happened: the hold is gone.
    pub fn use_up(&mut self, name: &[u8; 16]) {
        self.all.remove(name);
    }

    /// The open holds, oldest first. `names` tells approvers by number.
    pub fn open(&self, names: impl Fn(usize) -> String, now: Instant) -> Vec<HoldView> {
        let open = self.all.values().filter(|hold| hold.state == State::Open && hold.ends > now);
        let mut views: Vec<HoldView> = open.map(|hold| hold.view(&names)).collect();
        views.sort_by_key(|view| (view.opened_ms, view.hold));
        views
    }

    /// One hold, if it is open.
    pub fn view(&self, name: &[u8; 16], names: impl Fn(usize) -> String, now: Instant) -> Option<HoldView> {
        let hold = self.all.get(name).filter(|hold| hold.state == State::Open && hold.ends > now)?;
        Some(hold.view(&names))
    }

    fn of(&self, subject: &Subject) -> Option<(&[u8; 16], &Hold)> {
        self.all.iter().find(|(_, hold)| hold.subject == *subject)
    }
}

impl Hold {
    /// Whether it is open and lacks a yes.
    fn is_waiting(&self) -> bool {
        self.state == State::Open && self.count() < self.shown.persons
    }

    fn count(&self) -> u8 {
        u8::try_from(self.allowed.len()).unwrap_or(u8::MAX)
    }

    fn view(&self, names: &impl Fn(usize) -> String) -> HoldView {
        HoldView { allowed: self.allowed.iter().map(|&voter| names(voter)).collect(), ..self.shown.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(persons: u8) -> Shown {
        HoldView {
            hold: [0; 16],
            boot: [0; 16],
            principal: "ann".into(),
            tenant: "acme".into(),
            purpose: "letters".into(),
            request: [7; 32],
            max_tokens: 10,
            prompt_bytes: 10,
            risk: 0,
            policies: "p".into(),
            persons,
            allowed: Vec::new(),
            opened_ms: 1,
            ends_ms: 2,
        }
    }

    const SUBJECT: Subject = Subject { principal: [1; 32], request: [7; 32], terms: [3; 32] };

    #[test]
    fn two_persons_are_two_and_one_no_is_no() {
        let (mut holds, now) = (Holds::default(), Instant::now());
        let first = holds.wait(SUBJECT, shown(2), now).unwrap();
        assert!(first.new && first.missing == 2);
        let mut vote = |voter, allow| holds.vote(&first.hold, &[7; 32], voter, allow, now);
        assert_eq!(vote(0, true), Ok(1));
        assert_eq!(vote(0, true), Ok(1), "one voter counts once");
        assert_eq!(vote(1, true), Ok(0));
        assert_eq!(holds.approvals(&SUBJECT, now), 2);
        assert_eq!(holds.lend(&SUBJECT), Some(first.hold));
        assert_eq!((holds.approvals(&SUBJECT, now), holds.lend(&SUBJECT)), (0, None), "one grant at a time");
        holds.give_back(&first.hold);
        assert_eq!((holds.approvals(&SUBJECT, now), holds.lend(&SUBJECT)), (2, Some(first.hold)));
        holds.use_up(&first.hold);
        holds.forget_lent();
        assert_eq!(holds.approvals(&SUBJECT, now), 0);
        assert!(holds.vote(&first.hold, &[7; 32], 2, true, now).is_err());
        let second = holds.wait(SUBJECT, shown(2), now).unwrap();
        assert_ne!(second.hold, first.hold);
        assert_eq!(holds.vote(&second.hold, &[7; 32], 0, false, now), Ok(0));
        assert!(holds.vote(&second.hold, &[7; 32], 1, true, now).is_err(), "a no is final");
        assert_eq!(holds.wait(SUBJECT, shown(2), now), Err(Denial::Declined));
        assert_eq!(holds.approvals(&SUBJECT, now), 0);
    }

    #[test]
    fn votes_are_for_one_request_and_for_a_time() {
        let (mut holds, now) = (Holds::default(), Instant::now());
        let hold = holds.wait(SUBJECT, shown(1), now).unwrap().hold;
        assert!(holds.vote(&hold, &[8; 32], 0, true, now).is_err());
        assert!(holds.vote(&[9; 16], &[7; 32], 0, true, now).is_err());
        let over = now + LIFETIME;
        assert!(holds.vote(&hold, &[7; 32], 0, true, over).is_err());
        assert!(holds.open(|_| String::new(), over).is_empty());
        assert_eq!(holds.wait(SUBJECT, shown(1), over), Err(Denial::Unanswered));
        assert!(holds.wait(SUBJECT, shown(1), over).unwrap().new, "told once, then asked anew");
        let again = holds.wait(SUBJECT, shown(1), over).unwrap().hold;
        holds.vote(&again, &[7; 32], 0, true, over).unwrap();
        assert_eq!(holds.approvals(&SUBJECT, over), 1);
        for other in [
            Subject { principal: [9; 32], ..SUBJECT },
            Subject { request: [9; 32], ..SUBJECT },
            Subject { terms: [9; 32], ..SUBJECT },
        ] {
            assert_eq!((holds.approvals(&other, over), holds.lend(&other)), (0, None));
        }
    }

    #[test]
    fn what_came_of_each_hold_is_counted_once() {
        let (mut holds, now) = (Holds::default(), Instant::now());
        let of = |n: u8| Subject { request: [n; 32], ..SUBJECT };
        let mut open = |n: u8| holds.wait(of(n), shown(1), now).unwrap().hold;
        let (yes, no, _never) = (open(1), open(2), open(3));
        assert_eq!(holds.tally(now), Tally { pending: 3, ..Tally::default() });
        for voter in 0..2 {
            holds.vote(&yes, &[1; 32], voter, true, now).unwrap_or_default();
        }
        assert_eq!(holds.vote(&no, &[2; 32], 0, false, now), Ok(0));
        let counted = Tally { pending: 1, approved: 1, denied: 1, expired: 0 };
        assert_eq!(holds.tally(now), counted);
        let over = now + LIFETIME;
        let expired = Tally { pending: 0, expired: 1, ..counted };
        assert_eq!(holds.tally(over), expired);
        // Those that are over go, and are still counted.
        assert_eq!(holds.wait(of(3), shown(1), over), Err(Denial::Unanswered));
        holds.wait(of(4), shown(1), over).unwrap();
        assert_eq!(holds.tally(over), Tally { pending: 1, ..expired });
    }

    #[test]
    fn what_was_approved_in_time_does_not_outlive_its_hold() {
        let (mut holds, now) = (Holds::default(), Instant::now());
        let hold = holds.wait(SUBJECT, shown(1), now).unwrap().hold;
        holds.vote(&hold, &[7; 32], 0, true, now).unwrap();
        assert_eq!(holds.approvals(&SUBJECT, now + LIFETIME), 0);
    }

    #[test]
    fn holds_are_bounded() {
        let (mut holds, now) = (Holds::default(), Instant::now());
        let subject = |principal: usize, request: usize| Subject {
            principal: [principal as u8; 32],
            request: [request as u8; 32],
            terms: [3; 32],
        };
        for request in 0..MAX_EACH {
            holds.wait(subject(0, request), shown(1), now).unwrap();
        }
        assert_eq!(holds.wait(subject(0, MAX_EACH), shown(1), now), Err(Denial::HoldsFull));
        for at in MAX_EACH..MAX_HOLDS {
            holds.wait(subject(at, 0), shown(1), now).unwrap();
        }
        assert_eq!(holds.wait(subject(200, 0), shown(1), now), Err(Denial::HoldsFull));
        assert!(holds.wait(subject(200, 0), shown(1), now + LIFETIME).is_ok());
    }
}

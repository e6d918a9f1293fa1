//! People: who is asked, what they have said, and what came of it.
//!
//! ```text
//! ballot -> signed by this approver's key? -> vote on a hold, or order about the state -> counted -> quorum -> done
//! ```
//!
//! Promises
//! - A ballot counts only if the principal whose token came with it is an approver, and his key signed it.
//! - Nobody approves what he asked for himself.
//! - Every ballot that was counted, and every change of the state, is told to the caller, which records it.
//!
//! Trusts: `approvers.json` of the measured policy pack, through [`Approvers`].

pub mod approvers;
pub mod holds;
pub mod standing;

use adyton_attestation::Timestamp;
use adyton_attestation::ballot::{Ballot, Order, Statement};
use adyton_attestation::seal::Sealed;
use adyton_attestation::secret::box_digest;
use adyton_wire::control::HoldView;
use approvers::{Approvers, Starts};
use holds::Holds;
use standing::{Reason, Standing};
use std::time::Instant;

/// A ballot that was not counted. Why is not told: whoever holds the key can see it for himself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotCounted;

/// A ballot that was counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// A vote.
    Vote {
        /// On which hold.
        hold: [u8; 16],
        /// What it said.
        allow: bool,
        /// How many more are needed.
        missing: u8,
    },
    /// An order.
    Order {
        /// Which.
        order: Order,
        /// How many more are needed. At 0 it holds now.
        missing: u8,
    },
}

/// Who asks for a ballot to be counted: an approver, by number, and its pseudonym.
#[derive(Clone, Copy, Debug)]
pub struct Voter {
    /// Its place in the list.
    pub number: usize,
    /// Its pseudonym as a principal.
    pub pseudonym: [u8; 32],
}

/// The present, by both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// By the calendar. The host may set it forward.
    pub time: Timestamp,
    /// Which nobody sets.
    pub instant: Instant,
}

/// Everything that persons decide.
#[derive(Debug)]
pub struct People {
    /// Who they are.
    pub approvers: Approvers,
    /// What waits for them.
    pub holds: Holds,
    /// Whether the AI is online.
    pub standing: Standing,
    boot: [u8; 16],
}

impl People {
    /// For one boot.
    pub fn new(approvers: Approvers, boot: [u8; 16], now: Timestamp) -> People {
        let offline = match approvers.starts {
            Starts::Online => None,
            Starts::Offline => Some(Reason::Start),
        };
        People { approvers, holds: Holds::default(), standing: Standing::new(offline, now), boot }
    }

    /// Counts a ballot.
    ///
    /// # Errors
    /// [`NotCounted`]
    pub fn hear(&mut self, voter: Voter, ballot: &Ballot, now: Now) -> Result<Heard, NotCounted> {
        let key = self.approvers.key(voter.number).ok_or(NotCounted)?;
        match ballot.verify([key]).ok_or(NotCounted)? {
            Statement::Vote { boot, hold, request, allow } => {
                let own = self.holds.principal(&hold) == Some(voter.pseudonym);
                if boot != self.boot || own {
                    return Err(NotCounted);
                }
                let missing = self.holds.vote(&hold, &request, voter.number, allow, now.instant)?;
                Ok(Heard::Vote { hold, allow, missing })
            }
            Statement::Order { boot, epoch, until, order } => {
                if boot != self.boot {
                    return Err(NotCounted);
                }
                let quorum = self.approvers.quorum(order);
                let given = (order, voter.number);
                let missing = self.standing.order(given, epoch, until, quorum, now.time)?;
                Ok(Heard::Order { order, missing })
            }
            // It counts with its box, or not at all.
            Statement::Secret { .. } => Err(NotCounted),
        }
    }

    /// What a ballot says of a box: the key that it is sealed to, if the voter signed it for this boot and these bytes.
    ///
    /// # Errors
    /// [`NotCounted`]
    pub fn hear_secret(
        &self,
        voter: usize,
        ballot: &Ballot,
        sealed: &Sealed,
    ) -> Result<[u8; 32], NotCounted> {
        let key = self.approvers.key(voter).ok_or(NotCounted)?;
        match ballot.verify([key]).ok_or(NotCounted)? {
            Statement::Secret { boot, key, sealed: digest }
                if boot == self.boot && digest == box_digest(sealed) =>
            {
                Ok(key)
            }
            _ => Err(NotCounted),
        }
    }

    /// The open holds, with the names of those who have allowed them.
    pub fn open_holds(&self, now: Instant) -> Vec<HoldView> {
        self.holds.open(|voter| self.approvers.name(voter).to_owned(), now)
    }

    /// One of them.
    pub fn hold(&self, name: &[u8; 16], now: Instant) -> Option<HoldView> {
        self.holds.view(name, |voter| self.approvers.name(voter).to_owned(), now)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::holds::Subject;
    use super::*;
    use adyton_attestation::ed25519::Signer;

    const BOOT: [u8; 16] = [5; 16];

    /// A key that is the same on each run.
    pub(crate) fn signer(seed: u8) -> Signer {
        Signer::from_seed(&[seed; 32]).unwrap()
    }

    fn people() -> People {
        let list = approvers::tests::list(&["ann", "bob", "eve"]);
        let approvers = Approvers::parse(list.to_string().as_bytes()).unwrap();
        People::new(approvers, BOOT, Timestamp::from_secs(1_793_701_230))
    }

    fn now() -> Now {
        Now { time: Timestamp::from_secs(1_793_701_230), instant: Instant::now() }
    }

    fn voter(number: usize) -> Voter {
        Voter { number, pseudonym: [100 + number as u8; 32] }
    }

    fn held(people: &mut People, principal: [u8; 32]) -> [u8; 16] {
        let subject = Subject { principal, request: [7; 32], terms: [3; 32] };
        let shown = HoldView {
            hold: [0; 16],
            boot: BOOT,
            principal: "zoe".into(),
            tenant: "acme".into(),
            purpose: "letters".into(),
            request: [7; 32],
            max_tokens: 1,
            prompt_bytes: 1,
            risk: 0,
            policies: String::new(),
            persons: 2,
            allowed: Vec::new(),
            opened_ms: 0,
            ends_ms: 0,
        };
        people.holds.wait(subject, shown, Instant::now()).unwrap().hold
    }

    #[test]
    fn a_vote_needs_the_approvers_own_key_this_boot_and_somebody_elses_request() {
        let mut people = people();
        let hold = held(&mut people, [1; 32]);
        let vote = |boot, hold| Statement::Vote { boot, hold, request: [7; 32], allow: true };
        let by = |seed: u8, statement: &Statement| Ballot::sign(&signer(seed), statement);
        let good = vote(BOOT, hold);
        assert_eq!(people.hear(voter(1), &by(1, &good), now()), Err(NotCounted), "ann's key, bob's token");
        assert_eq!(people.hear(voter(0), &by(9, &good), now()), Err(NotCounted), "a stranger's key");
        assert_eq!(
            people.hear(voter(0), &by(1, &vote([6; 16], hold)), now()),
            Err(NotCounted),
            "another boot"
        );
        assert_eq!(people.hear(voter(9), &by(1, &good), now()), Err(NotCounted), "no such approver");
        let counted = people.hear(voter(0), &by(1, &good), now());
        assert_eq!(counted, Ok(Heard::Vote { hold, allow: true, missing: 1 }));
        assert_eq!(people.open_holds(Instant::now())[0].allowed, ["ann"]);
        let own = held(&mut people, voter(1).pseudonym);
        assert_eq!(
            people.hear(voter(1), &by(2, &vote(BOOT, own)), now()),
            Err(NotCounted),
            "his own request"
        );
    }

    #[test]
    fn a_hold_ends_by_the_clock_that_nobody_sets() {
        let mut people = people();
        let hold = held(&mut people, [1; 32]);
        let vote = Statement::Vote { boot: BOOT, hold, request: [7; 32], allow: true };
        let mut hear = |number: usize, time, instant| {
            let ballot = Ballot::sign(&signer(number as u8 + 1), &vote);
            people.hear(voter(number), &ballot, Now { time, instant })
        };
        let Now { time, instant } = now();
        // A calendar that is ten years ahead ends nothing, and one that was set back keeps nothing open.
        let ahead = time.plus_millis(10 * 365 * 24 * 3600 * 1000);
        assert_eq!(hear(0, ahead, instant), Ok(Heard::Vote { hold, allow: true, missing: 1 }));
        assert_eq!(hear(1, Timestamp::from_secs(0), instant + holds::LIFETIME), Err(NotCounted));
    }

    #[test]
    fn an_order_holds_once_its_quorum_is_there() {
        let mut people = people();
        let order =
            |epoch, order| Statement::Order { boot: BOOT, epoch, until: now().time.plus_millis(1000), order };
        let mut hear = |number: usize, statement| {
            people.hear(voter(number), &Ballot::sign(&signer(number as u8 + 1), &statement), now())
        };
        let (kill, restore) = (Order::Kill, Order::Restore);
        assert_eq!(hear(0, order(0, kill)), Ok(Heard::Order { order: kill, missing: 0 }));
        assert_eq!(hear(0, order(0, kill)), Err(NotCounted));
        assert_eq!(hear(0, order(1, restore)), Ok(Heard::Order { order: restore, missing: 1 }));
        assert_eq!(hear(2, order(1, restore)), Ok(Heard::Order { order: restore, missing: 0 }));
        assert_eq!(people.standing.offline(), None);
    }
}

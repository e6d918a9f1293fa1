//! What persons decide: requests that wait for them, and what approvers see, say and order.
//!
//! Promises
//! - Only an approver of `approvers.json` whom the policy permits `Approve` is told anything.
//! - No hold without its entry in the audit log. Votes, orders and changes of the state are entries too; one that finds no room is
//!   counted by the log, and is not undone for that: to take the AI offline must not wait for a disk.
//!
//! Does not: keep the text of a request. The worker does, and shows it to whoever may see the hold.

use super::{Asked, Desk, Entry, Wanted};
use crate::decision::Moment;
use crate::labels::Labels;
use crate::people::holds::{self, Subject};
use crate::people::{Heard, Now, Voter};
use crate::token::Principal;
use adyton_attestation::ballot::{Ballot, Order};
use adyton_attestation::ed25519::PublicKey;
use adyton_attestation::seal::Sealed;
use adyton_wire::control::{Action, Decision, Denial, HoldView, MAX_SHOWN, StateView, Token, Told, Wish};

/// Most quarantined principals that approvers are shown: a list that fits into a frame with room.
const MAX_LISTED: usize = 256;

impl Desk {
    /// What the policy wants persons for waits for them, if there are enough.
    pub(super) fn hold(
        &mut self,
        who: &Principal,
        subject: Option<Subject>,
        asked: &Asked<'_>,
        wanted: Wanted,
        now: Now,
    ) -> Result<Decision, Denial> {
        let (Some(subject), (purpose, max_tokens, prompt_bytes)) = (subject, sizes(asked.action)) else {
            return Err(Denial::Forbidden);
        };
        if usize::from(wanted.persons) > self.people.approvers.len() {
            return Err(Denial::Forbidden);
        }
        if !self.log.is_open() {
            return Err(Denial::AuditUnavailable);
        }
        let policies = shortened(&wanted.policies);
        let shown = HoldView {
            hold: [0; 16],
            boot: self.facts.boot,
            principal: shortened(who.subject()),
            tenant: shortened(&who.tenant),
            purpose: shortened(purpose),
            request: subject.request,
            max_tokens,
            prompt_bytes,
            risk: wanted.risk,
            policies: policies.clone(),
            persons: wanted.persons,
            allowed: Vec::new(),
            opened_ms: now.time.as_millis(),
            ends_ms: now
                .time
                .plus_millis(u64::try_from(holds::LIFETIME.as_millis()).unwrap_or(0))
                .as_millis(),
        };
        let pending = self.people.holds.wait(subject, shown, now.instant)?;
        if pending.new {
            let Subject { principal, request, .. } = subject;
            let (hold, persons) = (pending.hold, wanted.persons);
            let policies = &policies;
            if self.log.append(&Entry::Hold { principal, hold, request, persons, policies }).is_none() {
                self.people.holds.use_up(&pending.hold);
                return Err(Denial::AuditUnavailable);
            }
        }
        let ends_in_ms = u32::try_from(pending.ends_in.as_millis()).unwrap_or(u32::MAX);
        Ok(Decision::Held { hold: pending.hold, missing: pending.missing, ends_in_ms })
    }

    /// Answers an approver.
    ///
    /// # Errors
    /// [`Denial`], which is an entry.
    pub fn hear(&mut self, token: &Token, attested: bool, wish: &Wish) -> Result<Told, Denial> {
        let now = self.now();
        let verified = self.issuers.verify(&token.0, attested, now.time.as_millis() / 1000);
        let pseudonym = verified.as_ref().ok().map(|principal| self.pseudonym(principal));
        let told = verified.and_then(|principal| self.told(&principal, wish, now));
        if let Err(denial) = told {
            self.metrics.denied(denial);
            self.log.append(&Entry::Unheard { principal: pseudonym, denial });
        }
        told
    }

    fn told(&mut self, principal: &Principal, wish: &Wish, now: Now) -> Result<Told, Denial> {
        let number = self.people.approvers.find(principal).ok_or(Denial::Forbidden)?;
        let hold = match wish {
            Wish::Hold(hold) => hex::encode(hold),
            Wish::State | Wish::Holds | Wish::Ballot { .. } => "state".to_owned(),
            Wish::SecretKey | Wish::Secret { .. } => "secret".to_owned(),
        };
        let labels = Labels::NONE;
        let moment = Moment { now: now.time, risk: 0, approvals: 0, open: 0, labels };
        self.point.may_approve(principal, &hold, moment).map_err(|_| Denial::Forbidden)?;
        match wish {
            Wish::State => Ok(Told::State(self.state())),
            Wish::Holds => Ok(Told::Holds(self.people.open_holds(now.instant))),
            Wish::Hold(hold) => self.people.hold(hold, now.instant).map(Told::Hold).ok_or(Denial::NoSuchHold),
            Wish::SecretKey => {
                let offered = self.vault.offer(&self.facts.boot, &self.signer, now.instant);
                let (key, signature) = offered.ok_or(Denial::Busy)?;
                Ok(Told::SecretKey { boot: self.facts.boot, key, signature: signature.to_vec() })
            }
            Wish::Secret { statement, signer, signature, encapsulated, ciphertext } => {
                let ballot = ballot(statement, signer, signature)?;
                let sealed = Sealed { encapsulated: *encapsulated, ciphertext: ciphertext.clone() };
                self.take_secret(number, &ballot, &sealed, now).map(|()| Told::Taken)
            }
            Wish::Ballot { statement, signer, signature } => {
                let ballot = ballot(statement, signer, signature)?;
                let voter = Voter { number, pseudonym: self.pseudonym(principal) };
                let heard = self.people.hear(voter, &ballot, now).map_err(|_| Denial::BallotRefused)?;
                Ok(Told::Counted { missing: self.carry_out(number, heard) })
            }
        }
    }

    /// Opens a box that an approver signed, and keeps what is in it.
    fn take_secret(
        &mut self,
        number: usize,
        ballot: &Ballot,
        sealed: &Sealed,
        now: Now,
    ) -> Result<(), Denial> {
        let key = self.people.hear_secret(number, ballot, sealed).map_err(|_| Denial::BallotRefused)?;
        if !self.vault.open(&self.facts.boot, &key, sealed, now.instant) {
            return Err(Denial::BallotRefused);
        }
        self.log.append(&Entry::Secret { by: self.people.approvers.name(number) });
        Ok(())
    }

    /// Records a ballot, and does what an order with its quorum says. Returns how many are still missing.
    fn carry_out(&mut self, number: usize, heard: Heard) -> u8 {
        let by = self.people.approvers.name(number).to_owned();
        match heard {
            Heard::Vote { hold, allow, missing } => {
                self.log.append(&Entry::Vote { hold, by: &by, allow, missing });
                missing
            }
            Heard::Order { order, missing } => {
                self.log.append(&Entry::Order { order: order.word(), by: &by, missing });
                if missing == 0 {
                    self.obey(order);
                    self.note_state();
                }
                missing
            }
        }
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Kill => self.kill = true,
            Order::AcceptDrift => self.watch.accept_drift(),
            Order::Pardon { principal } => self.watch.pardon(&principal),
            // The state has changed already; the supervisor looks at it.
            Order::Quarantine | Order::Restore => {}
        }
    }

    fn state(&self) -> StateView {
        let standing = &self.people.standing;
        StateView {
            boot: self.facts.boot,
            epoch: standing.epoch(),
            offline: standing.offline().map(|reason| reason.words().to_owned()),
            since_ms: standing.since().as_millis(),
            quarantined: self.watch.quarantined().copied().take(MAX_LISTED).collect(),
            drift: self.watch.drift(),
            cold: self.watch.is_cold(),
        }
    }
}

/// A ballot, as it came.
fn ballot(statement: &[u8], signer: &[u8; 32], signature: &[u8]) -> Result<Ballot, Denial> {
    let signature = signature.try_into().map_err(|_| Denial::BallotRefused)?;
    Ok(Ballot { statement: statement.to_vec(), signer: PublicKey::new(*signer), signature })
}

/// Purpose, most tokens and size of what is asked for.
fn sizes(action: &Action) -> (&str, u32, u32) {
    match action {
        Action::ListModels => ("", 0, 0),
        Action::Generate { purpose, max_tokens, prompt_bytes, .. } => (purpose, *max_tokens, *prompt_bytes),
        Action::CallTool { purpose, argument_bytes, .. } => (purpose, 0, *argument_bytes),
        Action::Embed { purpose, text_bytes, .. } => (purpose, 0, *text_bytes),
        Action::Retrieve { purpose, .. } => (purpose, 0, 0),
        Action::Ingest { purpose, document_bytes, .. } => (purpose, 0, *document_bytes),
    }
}

/// As much of a text as a view may have, by whole characters.
fn shortened(text: &str) -> String {
    let end = (0..=MAX_SHOWN.min(text.len())).rev().find(|&end| text.is_char_boundary(end));
    text.get(..end.unwrap_or(0)).unwrap_or_default().to_owned()
}

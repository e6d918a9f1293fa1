//! Receipts: what was done under a grant, signed.
//!
//! Promises
//! - A receipt is signed only for a grant that was opened for a generation, once.
//! - Sequence numbers have no gap and no repeat within one boot.
//! - A worker that keeps on using grants that it does not have is ended, and the AI is offline.

use super::{Desk, Entry};
use crate::grants::{Granted, Kind};
use crate::ledger::Told;
use crate::people::standing::Reason;
use crate::telemetry::Source;
use crate::watch;
use adyton_attestation::receipt::{ReceiptBody, Status};
use adyton_wire::control::{Account, GrantId, MAX_DISCLOSED, MAX_VERDICTS, MAX_WORD, Screened};
use adyton_wire::lookup::MAX_PASSAGES;
use ring::digest::{SHA256, digest};
use std::time::{Duration, Instant};

/// So many grants used that were never open, or not any more, and the worker is taken for broken. A grant that is over while
/// its answer is made is no crime, so one is not enough.
const MAX_FALSE_GRANTS: u32 = 8;

/// What the worker says of a look-up.
#[derive(Debug)]
pub struct Found {
    /// Names of the passages that were handed out, or written.
    pub passages: Vec<[u8; 16]>,
    /// Bytes of them.
    pub bytes: u32,
    /// Read and not used.
    pub dropped: u32,
    /// Whether the store answered.
    pub came: bool,
}

impl Desk {
    /// Uses a grant up and signs the receipt for what was done under it. With it comes the index of its entry
    /// in the audit log: it must be kept before the receipt leaves.
    pub fn seal(&mut self, grant: GrantId, account: Account) -> Option<(Vec<u8>, u64)> {
        let sealed = self.try_seal(grant, account);
        sealed
            .map_err(|reason| {
                self.log.append(&Entry::Unsealed { reason });
            })
            .ok()
    }

    fn try_seal(&mut self, grant: GrantId, account: Account) -> Result<(Vec<u8>, u64), &'static str> {
        let now = Instant::now();
        if matches!(self.grants.kind(grant), Some(Kind::Call | Kind::LookUp)) {
            self.count_false_grant();
            return Err("the grant is for something else");
        }
        let Some(mut granted) = self.grants.consume(grant, now) else {
            self.count_false_grant();
            return Err("no such grant");
        };
        self.happened(granted.hold);
        watch::answered(&mut granted.event, &account, now.duration_since(granted.since));
        self.observe(&granted.event);
        let short = |(stage, word): &(String, String)| stage.len() <= MAX_WORD && word.len() <= MAX_WORD;
        if account.verdicts.len() > MAX_VERDICTS || !account.verdicts.iter().all(short) {
            return Err("verdicts out of bounds");
        }
        if granted.kind == Kind::Answer {
            let took = now.duration_since(granted.since);
            self.telemetry.answered(&granted.pseudonym, &account, took, self.clock.now());
        }
        let (sequence, principal) = (self.next_sequence, granted.pseudonym);
        let entry = Entry::Receipt { principal, grant: granted.entry, sequence, account: &account };
        let logged = self.log.append(&entry).ok_or("the log takes no more")?;
        self.next_sequence = sequence.checked_add(1).ok_or("no more numbers")?;
        let body = ReceiptBody {
            boot: self.facts.boot,
            sequence,
            issued_at: self.clock.now(),
            request: account.request,
            response: account.response,
            chunks: account.chunks,
            response_bytes: account.response_bytes,
            weights: match (granted.kind, self.encoder()) {
                (Kind::Vectors, Some((_, weights))) => *weights,
                _ => self.facts.weights,
            },
            manifest: self.facts.manifest,
            policy: self.facts.policy,
            principal,
            verdicts: account.verdicts,
            status: if account.complete { Status::Complete } else { Status::Cut },
            simulated: self.facts.simulated,
            logged: Some(logged),
        };
        let receipt = self.signer.sign(&body).map_err(|_| "not signed")?;
        self.metrics.sealed(now.duration_since(granted.since));
        Ok((receipt, logged.index))
    }

    /// Takes a grant back that nothing came of. One that is not open changes nothing.
    pub fn release(&mut self, grant: GrantId, screened: Screened) {
        if let Some(Granted { pseudonym, entry, mut event, hold, .. }) =
            self.grants.consume(grant, Instant::now())
        {
            watch::screened(&mut event, screened);
            if screened.findings > 0 {
                self.telemetry.observe(Source::Blocked, &pseudonym, 1, self.clock.now());
            }
            self.observe(&event);
            self.give_back(hold);
            self.log.append(&Entry::Returned { principal: pseudonym, grant: entry });
        }
    }

    /// Whether text may leave that has these passages of protected documents in it.
    pub fn disclose(&mut self, grant: GrantId, passages: &[(u16, u32)]) -> bool {
        let now = Instant::now();
        let Some(granted) = self.grants.get_mut(grant, now).filter(|granted| granted.kind == Kind::Answer)
        else {
            self.count_false_grant();
            return false;
        };
        let principal = granted.pseudonym;
        let told = if passages.len() <= MAX_DISCLOSED {
            self.ledger.ask(&principal, passages, now)
        } else {
            Told { allowed: false, suspicion: 1.0, new: 0 }
        };
        granted.event.guard_score =
            Some(granted.event.guard_score.map_or(told.suspicion as f32, |s| s.max(told.suspicion as f32)));
        let (entry, new, allowed) = (granted.entry, u64::from(told.new), told.allowed);
        self.log.append(&Entry::Disclosed { principal, grant: entry, new, allowed });
        allowed
    }

    /// What came of calling a tool under a grant; uses it up.
    pub fn called(&mut self, grant: GrantId, bytes: u32, came: bool) {
        if self.grants.kind(grant) != Some(Kind::Call) {
            self.count_false_grant();
            return;
        }
        let now = Instant::now();
        if let Some(Granted { pseudonym, entry, mut event, since, hold, .. }) =
            self.grants.consume(grant, now)
        {
            self.happened(hold);
            event.response_bytes = Some(bytes);
            event.duration_ms = Some(millis(now.duration_since(since)));
            self.observe(&event);
            self.log.append(&Entry::Called { principal: pseudonym, grant: entry, bytes, came });
        }
    }

    /// What came of a look-up, or of writing, under a grant; uses it up.
    pub fn looked_up(&mut self, grant: GrantId, found: &Found) {
        if self.grants.kind(grant) != Some(Kind::LookUp) || found.passages.len() > MAX_PASSAGES as usize {
            self.count_false_grant();
            return;
        }
        let now = Instant::now();
        if let Some(Granted { pseudonym, entry, mut event, since, hold, .. }) =
            self.grants.consume(grant, now)
        {
            self.happened(hold);
            event.response_bytes = Some(found.bytes);
            event.passages = self.watch.passages(&found.passages);
            event.findings = Some(u8::try_from(found.dropped).unwrap_or(u8::MAX));
            event.duration_ms = Some(millis(now.duration_since(since)));
            self.observe(&event);
            let mut passages = [0; 32];
            passages.copy_from_slice(digest(&SHA256, found.passages.as_flattened()).as_ref());
            self.log.append(&Entry::LookedUp {
                principal: pseudonym,
                grant: entry,
                passages,
                count: found.passages.len() as u64,
                bytes: found.bytes,
                dropped: found.dropped,
                came: found.came,
            });
        }
    }

    /// What persons approved has happened, once.
    fn happened(&mut self, hold: Option<[u8; 16]>) {
        if let Some(hold) = hold {
            self.people.holds.use_up(&hold);
        }
    }

    /// A worker that uses grants which it does not have is not the one that was started.
    fn count_false_grant(&mut self) {
        self.false_grants = self.false_grants.saturating_add(1);
        if self.false_grants > MAX_FALSE_GRANTS {
            self.kill = true;
            if self.is_online() {
                self.take_offline(Reason::Worker);
            }
        }
    }

    /// Forgets the grants of a worker that is gone, and what it did with those that it did not have.
    pub fn revoke_all(&mut self) {
        self.grants.clear();
        self.sessions.clear();
        self.people.holds.forget_lent();
        self.false_grants = 0;
    }
}

/// Whole milliseconds, bounded.
fn millis(took: Duration) -> u32 {
    u32::try_from(took.as_millis()).unwrap_or(u32::MAX)
}

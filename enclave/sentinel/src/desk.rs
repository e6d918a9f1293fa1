//! What the sentinel answers the worker: decisions and receipts. Every message is treated as hostile.
//!
//! Promises
//! - A receipt is signed only for a grant that was opened for a generation, once.
//! - Every decision and every receipt has an entry in the audit log before it is returned, and says which: a
//!   grant and a receipt must not leave before their entry is kept ([`Log::kept`]).
//! - While the log cannot be kept, nothing is permitted.
//! - Sequence numbers have no gap and no repeat within one boot.
//! - The worker decides neither the principal, nor the model, nor the digests in a receipt.

use crate::audit::Log;
use crate::audit::auditors::{self, AuditorsError};
use crate::audit::event::Event;
use crate::clock::Clock;
use crate::decision::{DecisionPoint, Permit};
use crate::grants::{Granted, Grants, LIFETIME};
use crate::metrics::Metrics;
use crate::release::Release;
use crate::token::{Issuers, IssuersError, Principal};
use adyton_attestation::receipt::{ReceiptBody, ReceiptSigner, Status};
use adyton_decision::PackError;
use adyton_wire::control::{Account, Action, Decision, Denial, GrantId, MAX_VERDICTS, Token};
use adyton_wire::metrics::Snapshot;
use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;
use thiserror::Error;

/// Longest word in a verdict, in bytes.
const MAX_WORD: usize = 32;

/// Why the desk could not be set up.
#[derive(Debug, Error)]
pub enum DeskError {
    /// The policies were refused.
    #[error(transparent)]
    Policy(#[from] PackError),
    /// The issuers were refused.
    #[error(transparent)]
    Issuers(#[from] IssuersError),
    /// The auditors were refused.
    #[error(transparent)]
    Auditors(#[from] AuditorsError),
    /// The system's generator failed.
    #[error("no randomness for the receipt key")]
    Randomness,
}

/// Holds the policy, the open grants and the receipt key of this boot.
#[derive(Debug)]
pub struct Desk {
    point: DecisionPoint,
    issuers: Issuers,
    grants: Grants,
    clock: Arc<Clock>,
    signer: Rc<ReceiptSigner>,
    log: Log,
    metrics: Metrics,
    auditors: u64,
    pseudonyms: hmac::Key,
    facts: Facts,
    next_sequence: u64,
}

/// What every receipt of this boot has in common.
#[derive(Debug)]
struct Facts {
    boot: [u8; 16],
    model: String,
    weights: [u8; 32],
    manifest: [u8; 48],
    policy: [u8; 32],
    simulated: bool,
}

impl Desk {
    /// Sets the desk up from a checked release. Makes the receipt key.
    ///
    /// # Errors
    /// [`DeskError`] if the policy pack is malformed or there is no randomness.
    pub fn new(release: &Release, clock: Arc<Clock>, simulated: bool) -> Result<Desk, DeskError> {
        let random = SystemRandom::new();
        let mut boot = [0; 16];
        random.fill(&mut boot).map_err(|_| DeskError::Randomness)?;
        let signer = Rc::new(ReceiptSigner::generate(&random).map_err(|_| DeskError::Randomness)?);
        let auditors = auditors::parse(release.text("auditors.json").as_bytes(), &random)?;
        Ok(Desk {
            auditors: auditors.len() as u64,
            metrics: Metrics::new(simulated),
            log: Log::new(boot, Rc::clone(&signer), auditors, Arc::clone(&clock)),
            point: DecisionPoint::load(&release.text("adyton.cedarschema"), &release.text("policies.cedar"))?,
            issuers: Issuers::parse(release.text("issuers.json").as_bytes())?,
            grants: Grants::default(),
            clock,
            signer,
            pseudonyms: hmac::Key::generate(hmac::HMAC_SHA256, &random).map_err(|_| DeskError::Randomness)?,
            facts: Facts {
                boot,
                model: release.manifest.model.clone(),
                weights: release.manifest.weights.sha256,
                manifest: release.manifest_sha384,
                policy: release.policy_sha256(),
                simulated,
            },
            next_sequence: 0,
        })
    }

    /// SubjectPublicKeyInfo of the receipt key: the `public_key` of all evidence.
    pub fn receipt_key(&self) -> [u8; 44] {
        self.signer.public_key_spki()
    }

    /// The audit log of this boot.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// The counters of this boot.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// What was counted, and how many grants are open and entries kept.
    pub fn snapshot(&self) -> Snapshot {
        let (entries_kept, entries_pending) = self.log.progress();
        let grants_open = self.grants.count(Instant::now());
        Snapshot { entries_kept, entries_pending, grants_open, ..self.metrics.snapshot() }
    }

    /// Which boot this is.
    pub fn boot(&self) -> &[u8; 16] {
        &self.facts.boot
    }

    /// The first entry of the log.
    pub fn boot_event(&self) -> Event<'_> {
        let Facts { model, weights, manifest, policy, simulated, .. } = &self.facts;
        Event::Boot {
            model,
            weights: *weights,
            manifest: *manifest,
            policy: *policy,
            simulated: *simulated,
            auditors: self.auditors,
        }
    }

    /// Decides one request of the worker. With a grant comes the index of its entry in the audit log: it must
    /// be kept before the worker learns of the grant.
    pub fn decide(&mut self, token: &Token, attested: bool, action: &Action) -> (Decision, Option<u64>) {
        let _timed = self.metrics.time_decision();
        let now_s = self.clock.now().as_millis() / 1000;
        let principal = self.issuers.verify(&token.0, attested, now_s);
        let pseudonym = principal.as_ref().ok().map(|principal| self.pseudonym(principal));
        let permitted = principal.and_then(|principal| self.permit(&principal, action));
        let decided = match (permitted, pseudonym) {
            (Ok(permit), Some(pseudonym)) => self.grant(permit, pseudonym, attested, action),
            (Err(denial), _) => Err(denial),
            (Ok(_), None) => Err(Denial::TokenInvalid),
        };
        decided.unwrap_or_else(|denial| {
            self.note_denial(pseudonym, denial, attested, action);
            (Decision::Denied(denial), None)
        })
    }

    fn permit(&self, principal: &Principal, action: &Action) -> Result<Permit, Denial> {
        self.check_model(action)?;
        let decided = self.point.decide(principal, action, &self.facts.model, self.clock.now());
        decided.map_err(|_| Denial::Forbidden)
    }

    /// What a permit leads to, and its entry.
    fn grant(
        &mut self,
        permit: Permit,
        principal: [u8; 32],
        attested: bool,
        action: &Action,
    ) -> Result<(Decision, Option<u64>), Denial> {
        if !self.log.is_open() {
            return Err(Denial::AuditUnavailable);
        }
        let Action::Generate { max_tokens, .. } = action else {
            let noted = self.log.append(&Event::Models { principal });
            return noted.map(|_| (Decision::Permitted, None)).ok_or(Denial::AuditUnavailable);
        };
        let max_tokens = permit.bounded(*max_tokens);
        // One thread: nobody appends between this and the entry below.
        let granted = Granted { pseudonym: principal, entry: self.log.next() };
        let grant = self.grants.open(permit, granted, Instant::now()).ok_or(Denial::Busy)?;
        let Some(placed) = self.log.append(&Event::Grant { principal, action, attested }) else {
            self.grants.consume(grant, Instant::now());
            return Err(Denial::AuditUnavailable);
        };
        let valid_for_ms = u32::try_from(LIFETIME.as_millis()).unwrap_or(u32::MAX);
        let decision = Decision::Granted { grant, principal, max_tokens, valid_for_ms };
        Ok((decision, Some(placed.index)))
    }

    /// A denial is an entry too. While the log is not kept they are counted: anybody can make as many as he
    /// likes.
    fn note_denial(&self, principal: Option<[u8; 32]>, denial: Denial, attested: bool, action: &Action) {
        self.metrics.denied(denial);
        if self.log.is_open() {
            // One that finds no room is counted by the log.
            self.log.append(&Event::Denial { principal, denial, action, attested });
        } else {
            self.log.refuse();
        }
    }

    /// The model asked for must be the one that is loaded.
    fn check_model(&self, action: &Action) -> Result<(), Denial> {
        match action {
            Action::ListModels => Ok(()),
            Action::Generate { model, .. } if *model == self.facts.model => Ok(()),
            Action::Generate { .. } => Err(Denial::UnknownModel),
        }
    }

    /// Names a principal in receipts: the same within one boot, meaningless outside it.
    fn pseudonym(&self, principal: &Principal) -> [u8; 32] {
        let tag = hmac::sign(&self.pseudonyms, principal.id().as_bytes());
        let mut out = [0; 32];
        out.copy_from_slice(tag.as_ref());
        out
    }

    /// Uses a grant up and signs the receipt for what was done under it. With it comes the index of its entry
    /// in the audit log: it must be kept before the receipt leaves.
    pub fn seal(&mut self, grant: GrantId, account: Account) -> Option<(Vec<u8>, u64)> {
        let age = self.grants.age(grant, Instant::now());
        let sealed = self.try_seal(grant, account);
        sealed
            .inspect(|_| self.metrics.sealed(age))
            .map_err(|reason| {
                self.log.append(&Event::Unsealed { reason });
            })
            .ok()
    }

    fn try_seal(&mut self, grant: GrantId, account: Account) -> Result<(Vec<u8>, u64), &'static str> {
        let granted = self.grants.consume(grant, Instant::now()).ok_or("no such grant")?;
        let short = |(stage, word): &(String, String)| stage.len() <= MAX_WORD && word.len() <= MAX_WORD;
        if account.verdicts.len() > MAX_VERDICTS || !account.verdicts.iter().all(short) {
            return Err("verdicts out of bounds");
        }
        let (sequence, principal) = (self.next_sequence, granted.pseudonym);
        let event = Event::Receipt { principal, grant: granted.entry, sequence, account: &account };
        let logged = self.log.append(&event).ok_or("the log takes no more")?;
        self.next_sequence = sequence.checked_add(1).ok_or("no more numbers")?;
        let body = ReceiptBody {
            boot: self.facts.boot,
            sequence,
            issued_at: self.clock.now(),
            request: account.request,
            response: account.response,
            chunks: account.chunks,
            response_bytes: account.response_bytes,
            weights: self.facts.weights,
            manifest: self.facts.manifest,
            policy: self.facts.policy,
            principal,
            verdicts: account.verdicts,
            status: if account.complete { Status::Complete } else { Status::Cut },
            simulated: self.facts.simulated,
            logged: Some(logged),
        };
        let receipt = self.signer.sign(&body).map_err(|_| "not signed")?;
        Ok((receipt, logged.index))
    }

    /// Takes a grant back that nothing came of. One that is not open changes nothing.
    pub fn release(&mut self, grant: GrantId) {
        if let Some(Granted { pseudonym, entry }) = self.grants.consume(grant, Instant::now()) {
            self.log.append(&Event::Returned { principal: pseudonym, grant: entry });
        }
    }

    /// Forgets the grants of a worker that is gone.
    pub fn revoke_all(&mut self) {
        self.grants.clear();
    }
}

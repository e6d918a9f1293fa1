//! What the sentinel answers the worker: decisions and receipts. Every message is treated as hostile.
//!
//! Promises
//! - A receipt is signed only for a grant that was opened for a generation, once.
//! - Sequence numbers have no gap and no repeat within one boot.
//! - The worker decides neither the principal, nor the model, nor the digests in a receipt.

use crate::clock::Clock;
use crate::decision::DecisionPoint;
use crate::grants::{Granted, Grants, LIFETIME};
use crate::release::Release;
use crate::token::{Issuers, IssuersError, Principal};
use adyton_attestation::receipt::{ReceiptBody, ReceiptSigner, Status};
use adyton_decision::PackError;
use adyton_wire::control::{Account, Action, Decision, Denial, GrantId, MAX_VERDICTS, Token};
use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};
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
    signer: ReceiptSigner,
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
        Ok(Desk {
            point: DecisionPoint::load(&release.text("adyton.cedarschema"), &release.text("policies.cedar"))?,
            issuers: Issuers::parse(release.text("issuers.json").as_bytes())?,
            grants: Grants::default(),
            clock,
            signer: ReceiptSigner::generate(&random).map_err(|_| DeskError::Randomness)?,
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

    /// Decides one request of the worker.
    pub fn decide(&mut self, token: &Token, attested: bool, action: &Action) -> Decision {
        match self.try_decide(token, attested, action) {
            Ok(decision) => decision,
            Err(denial) => Decision::Denied(denial),
        }
    }

    fn try_decide(&mut self, token: &Token, attested: bool, action: &Action) -> Result<Decision, Denial> {
        let now = self.clock.now();
        let principal = self.issuers.verify(&token.0, attested, now.as_millis() / 1000)?;
        let asked = self.check_model(action)?;
        let decided = self.point.decide(&principal, action, &self.facts.model, now);
        let permit = decided.map_err(|_| Denial::Forbidden)?;
        let max_tokens = permit.bounded(asked);
        if *action == Action::ListModels {
            return Ok(Decision::Permitted);
        }
        let pseudonym = self.pseudonym(&principal);
        let granted = Granted { pseudonym };
        let grant = self.grants.open(permit, granted, Instant::now()).ok_or(Denial::Busy)?;
        let valid_for_ms = u32::try_from(LIFETIME.as_millis()).unwrap_or(u32::MAX);
        Ok(Decision::Granted { grant, principal: pseudonym, max_tokens, valid_for_ms })
    }

    /// The model asked for must be the one that is loaded. Returns the tokens asked for.
    fn check_model(&self, action: &Action) -> Result<u32, Denial> {
        match action {
            Action::ListModels => Ok(0),
            Action::Generate { model, max_tokens, .. } if *model == self.facts.model => Ok(*max_tokens),
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

    /// Uses a grant up and signs the receipt for what was done under it.
    pub fn seal(&mut self, grant: GrantId, account: Account) -> Option<Vec<u8>> {
        let granted = self.grants.consume(grant, Instant::now())?;
        let short = |(stage, word): &(String, String)| stage.len() <= MAX_WORD && word.len() <= MAX_WORD;
        if account.verdicts.len() > MAX_VERDICTS || !account.verdicts.iter().all(short) {
            return None;
        }
        let sequence = self.next_sequence;
        self.next_sequence = sequence.checked_add(1)?;
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
            principal: granted.pseudonym,
            verdicts: account.verdicts,
            status: if account.complete { Status::Complete } else { Status::Cut },
            simulated: self.facts.simulated,
        };
        self.signer.sign(&body).ok()
    }

    /// Takes a grant back that nothing came of. One that is not open changes nothing.
    pub fn release(&mut self, grant: GrantId) {
        let _ = self.grants.consume(grant, Instant::now());
    }

    /// Forgets the grants of a worker that is gone.
    pub fn revoke_all(&mut self) {
        self.grants.clear();
    }
}

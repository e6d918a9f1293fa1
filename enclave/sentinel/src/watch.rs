//! Behaviour, watched: what each request looks like beside what is normal, before it is decided.
//!
//! Promises
//! - Every request of a known principal is counted once: when it was denied, or when its grant came to an end.
//! - A principal that the watcher would quarantine is shut out until a quorum pardons it.
//! - Names are digests under a key of this boot; no text is kept.
//!
//! Does not: decide what a risk means; policies do (`situation.risk`).
//!
//! Trusts: `behaviour.toml` of the measured policy pack. What the worker says of an answer (its size, its verdicts) is taken
//! as said.

use adyton_attestation::Timestamp;
use adyton_behaviour::{Action as Seen, Event, Learned, Lesson, Response, Settings, Watcher};
use adyton_wire::control::{Account, Action, Screened};
use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};
use std::collections::BTreeSet;
use std::time::Duration;

pub use adyton_behaviour::SettingsError;

/// How often it is asked whether there is something to learn.
pub const LESSONS: Duration = Duration::from_secs(60);
/// Most principals that are remembered as quarantined. Whoever fills it has taken the AI offline long before.
const MAX_QUARANTINED: usize = 1024;

/// The watcher, and whom it has shut out.
#[derive(Debug)]
pub struct Watch {
    watcher: Watcher,
    digests: hmac::Key,
    quarantined: BTreeSet<[u8; 32]>,
}

/// One request, as behaviour sees it.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The principal's pseudonym.
    pub principal: [u8; 32],
    /// The connection, as the worker numbers it.
    pub session: u64,
    /// What is asked for.
    pub action: &'a Action,
    /// When.
    pub now: Timestamp,
}

impl Watch {
    /// Knows nothing yet. `None` without randomness.
    pub fn new(settings: Settings, now: Timestamp) -> Option<Watch> {
        let random = SystemRandom::new();
        let mut seed = [0; 8];
        random.fill(&mut seed).ok()?;
        Some(Watch {
            watcher: Watcher::new(settings, u64::from_be_bytes(seed), now.as_millis()),
            digests: hmac::Key::generate(hmac::HMAC_SHA256, &random).ok()?,
            quarantined: BTreeSet::new(),
        })
    }

    /// A request as an event that is permitted; what came of it is filled in later.
    pub fn event(&self, request: Request<'_>) -> Event {
        let (action, purpose, prompt_bytes, max_tokens) = match request.action {
            Action::ListModels => (Seen::ListModels, "", None, None),
            Action::Generate { purpose, prompt_bytes, max_tokens, .. } => {
                (Seen::Generate, purpose.as_str(), Some(*prompt_bytes), Some(*max_tokens))
            }
            Action::CallTool { purpose, argument_bytes, .. } => {
                (Seen::CallTool, purpose.as_str(), Some(*argument_bytes), None)
            }
            Action::Embed { purpose, text_bytes, .. } => {
                (Seen::Generate, purpose.as_str(), Some(*text_bytes), None)
            }
            Action::Retrieve { purpose, .. } => (Seen::Retrieve, purpose.as_str(), None, None),
            Action::Ingest { purpose, document_bytes, .. } => {
                (Seen::Generate, purpose.as_str(), Some(*document_bytes), None)
            }
        };
        let Request { principal, session, now, .. } = request;
        let purpose = self.digest(purpose);
        let tool = match request.action {
            Action::CallTool { tool, .. } => Some(self.digest(tool)),
            _ => None,
        };
        let collections = match request.action {
            Action::Retrieve { collection, .. } => vec![self.digest(collection)],
            _ => Vec::new(),
        };
        Event {
            collections,
            prompt_bytes,
            max_tokens,
            tool,
            ..Event::new(now.as_millis(), principal, session, purpose, action)
        }
    }

    /// The digests of what a look-up handed out.
    pub fn passages(&self, names: &[[u8; 16]]) -> Vec<u64> {
        names.iter().map(|name| self.digest_of(name)).collect()
    }

    fn digest(&self, name: &str) -> u64 {
        self.digest_of(name.as_bytes())
    }

    fn digest_of(&self, name: &[u8]) -> u64 {
        let tag = hmac::sign(&self.digests, name);
        tag.as_ref().first_chunk().map_or(0, |first| u64::from_be_bytes(*first))
    }

    /// The risk if this happened: 0 to 100.
    pub fn risk(&self, event: &Event) -> u8 {
        self.watcher.assess(event).score
    }

    /// Counts what happened. Returns true if its principal is quarantined by it.
    pub fn observe(&mut self, event: &Event) -> bool {
        let risk = self.watcher.observe(event);
        risk.response == Response::Quarantine
            && self.quarantined.len() < MAX_QUARANTINED
            && self.quarantined.insert(event.principal)
    }

    /// Whether a principal is shut out.
    pub fn is_quarantined(&self, principal: &[u8; 32]) -> bool {
        self.quarantined.contains(principal)
    }

    /// Whoever is shut out.
    pub fn quarantined(&self) -> impl Iterator<Item = &[u8; 32]> {
        self.quarantined.iter()
    }

    /// Lets a principal in again, and forgets its alarms.
    pub fn pardon(&mut self, principal: &[u8; 32]) {
        self.quarantined.remove(principal);
        self.watcher.forgive(principal);
    }

    /// What normal has drifted by is normal.
    pub fn accept_drift(&mut self) {
        self.watcher.acknowledge_drift();
    }

    /// What has drifted, if a person should look.
    pub fn drift(&self) -> Option<String> {
        self.watcher.drift().map(|drift| format!("{drift:?}"))
    }

    /// Whether nothing is known yet, so that limits hold alone.
    pub fn is_cold(&self) -> bool {
        self.watcher.is_cold()
    }

    /// What there is to learn now: for a thread of its own.
    pub fn lesson(&mut self, now: Timestamp) -> Option<Lesson> {
        self.watcher.lesson(now.as_millis())
    }

    /// Takes back what was learned.
    pub fn adopt(&mut self, learned: Learned) {
        self.watcher.adopt(learned);
    }
}

/// What came of a grant, for the event that was kept with it.
pub fn answered(event: &mut Event, account: &Account, took: Duration) {
    event.response_bytes = Some(u32::try_from(account.response_bytes).unwrap_or(u32::MAX));
    event.duration_ms = Some(u32::try_from(took.as_millis()).unwrap_or(u32::MAX));
    screened(event, account.screened);
}

/// What the guardrail saw, as the worker says.
pub fn screened(event: &mut Event, screened: Screened) {
    event.findings = Some(screened.findings);
    let prompt = (screened.score > 0).then(|| f32::from(screened.score.min(100)) / 100.0);
    // What the ledger of disclosures says of the answer may be in it already.
    event.guard_score = match (event.guard_score, prompt) {
        (Some(one), Some(other)) => Some(one.max(other)),
        (one, other) => one.or(other),
    };
}

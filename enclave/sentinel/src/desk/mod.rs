//! What the sentinel answers the worker: decisions here, receipts in [`seal`], approvers in [`approve`]. Every message is
//! treated as hostile.
//!
//! Promises
//! - Every decision and every receipt has an entry in the audit log before it is returned, and says which: a
//!   grant and a receipt must not leave before their entry is kept ([`Log::kept`]).
//! - While the log cannot be kept, nothing is permitted.
//! - The worker decides neither the principal, nor the model, nor the digests in a receipt.

mod approve;
mod seal;
mod statistics;
pub use seal::Found;
pub use statistics::{Paid, Wanted as WantedStatistic};
#[cfg(test)]
mod tests;

use crate::audit::Log;
use crate::audit::auditors::{self, AuditorsError};
use crate::audit::event::Event as Entry;
use crate::clock::Clock;
use crate::decision::{DecisionPoint, Fields, Moment, Permit, Reach, Refusal};
use crate::grants::{Granted, Grants, Kind, LIFETIME};
use crate::labels::{Labels, Sessions};
use crate::ledger::{Ledger, LedgerError};
use crate::lookups::{Lookups, Terms};
use crate::metrics::Metrics;
use crate::people::approvers::{Approvers, ApproversError};
use crate::people::holds::Subject;
use crate::people::standing::Reason;
use crate::people::{Now, People};
use crate::release::Release;
use crate::sections::{Chosen, Sections, SectionsError};
use crate::stores::{self, StoresError, Vault};
use crate::telemetry::{Source, Telemetry, TelemetryError};
use crate::token::{Issuers, IssuersError, Principal};
use crate::tools::{Tools, ToolsError};
use crate::watch::{Request, SettingsError, Watch};
use adyton_attestation::receipt::ReceiptSigner;
use adyton_behaviour::{Event, Outcome};
use adyton_decision::PackError;
use adyton_wire::control::{Action, Decision, Denial, MAX_VERDICTS, MAX_WORD, Token};
use adyton_wire::metrics::{Snapshot, State};
use adyton_wire::stores::{Postgres, Stores};
use ring::digest::{Context, SHA256};
use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;
use thiserror::Error;

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
    /// The approvers were refused.
    #[error(transparent)]
    Approvers(#[from] ApproversError),
    /// The tools were refused.
    #[error(transparent)]
    Tools(#[from] ToolsError),
    /// The stores were refused.
    #[error(transparent)]
    Stores(#[from] StoresError),
    /// The protected documents, or the limits of what is told of them, were refused.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The metrics were refused.
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
    /// The sections of the guardrail settings were refused.
    #[error(transparent)]
    Sections(#[from] SectionsError),
    /// The settings of behaviour were refused.
    #[error("behaviour.toml: {0}")]
    Behaviour(#[from] SettingsError),
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
    people: People,
    watch: Watch,
    tools: Tools,
    stores: Stores,
    vault: Vault,
    sections: Sections,
    ledger: Ledger,
    telemetry: Telemetry,
    lookups: Lookups,
    sessions: Sessions,
    /// The worker's process must end.
    kill: bool,
    /// How often the worker that runs has used grants that were none.
    false_grants: u32,
    auditors: u64,
    pseudonyms: hmac::Key,
    facts: Facts,
    next_sequence: u64,
}

/// A request of the worker.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The client's bearer token, unread.
    pub token: &'a Token,
    /// True if the client proved that it is an enclave named in `peers.json`.
    pub attested: bool,
    /// The connection, as the worker numbers it.
    pub session: u64,
    /// What is asked for.
    pub action: &'a Action,
}

/// What must be done before the worker learns of its grant.
#[derive(Debug)]
pub struct Due {
    /// The index of its entry in the audit log, which must be kept.
    pub entry: u64,
    /// Where it reaches, which must be connected.
    pub reach: Option<Reach>,
}

/// Numbers in a question's vector, each of four bytes: those of MiniLM-L6-v2.
const DIMENSIONS: u32 = 384;
/// From this classification on, what is read counts as private data.
const PRIVATE: u8 = 2;

/// What the policies permit.
struct Permitted {
    permit: Permit,
    /// Where it reaches.
    reach: Option<Reach>,
    /// Of a collection.
    fields: Fields,
}

/// What a policy wants persons for.
struct Wanted {
    persons: u8,
    policies: String,
    risk: u8,
}

/// What every receipt of this boot has in common.
#[derive(Debug)]
struct Facts {
    boot: [u8; 16],
    model: String,
    weights: [u8; 32],
    /// The encoder's name and weights, if there is one.
    encoder: Option<(String, [u8; 32])>,
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
        let approvers = Approvers::parse(release.text("approvers.json").as_bytes())?;
        let behaviour = adyton_behaviour::Settings::parse(&release.text("behaviour.toml"))?;
        let point = DecisionPoint::load(
            &release.text("adyton.cedarschema"),
            &release.text("policies.cedar"),
            &release.text("contexts.toml"),
            &release.text("resources.toml"),
        )?;
        Ok(Desk {
            auditors: auditors.len() as u64,
            metrics: Metrics::new(simulated),
            log: Log::new(boot, Rc::clone(&signer), auditors, Arc::clone(&clock)),
            people: People::new(approvers, boot, clock.now()),
            watch: Watch::new(behaviour, clock.now()).ok_or(DeskError::Randomness)?,
            tools: Tools::parse(&release.text("tools.toml"))?,
            stores: stores::read(&release.text("stores.toml"), &point)?,
            vault: Vault::default(),
            sections: Sections::parse(&release.text("guardrails.toml"))?,
            ledger: Ledger::new(&release.text("protected.json"), &release.text("guardrails.toml"))?,
            lookups: Lookups::new().ok_or(DeskError::Randomness)?,
            telemetry: Telemetry::parse(&release.text("telemetry.toml"), clock.now())?,
            sessions: Sessions::default(),
            kill: false,
            false_grants: 0,
            point,
            issuers: Issuers::parse(release.text("issuers.json").as_bytes())?,
            grants: Grants::default(),
            clock,
            signer,
            pseudonyms: hmac::Key::generate(hmac::HMAC_SHA256, &random).map_err(|_| DeskError::Randomness)?,
            facts: Facts {
                boot,
                model: release.manifest.model.clone(),
                weights: release.manifest.weights.sha256,
                encoder: release.manifest.encoder.as_ref().map(|e| (e.name.clone(), e.weights.sha256)),
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

    /// The sentinel's clock.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The audit log of this boot.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// The counters of this boot.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// What was counted, and what grants, holds, the log and the state are now.
    pub fn snapshot(&self) -> Snapshot {
        let (counted, now) = (self.metrics.snapshot(), Instant::now());
        let (entries_kept, entries_pending) = self.log.progress();
        let holds = self.people.holds.tally(now);
        let state = match counted.state {
            State::Online if !self.is_online() => State::Quarantined,
            state => state,
        };
        Snapshot {
            state,
            grants_open: self.grants.count(now),
            holds_pending: holds.pending,
            holds_approved: holds.approved,
            holds_denied: holds.denied,
            holds_expired: holds.expired,
            entries_kept,
            entries_pending,
            ..counted
        }
    }

    /// Which boot this is.
    pub fn boot(&self) -> &[u8; 16] {
        &self.facts.boot
    }

    /// The first entry of the log.
    pub fn boot_event(&self) -> Entry<'_> {
        let Facts { model, weights, manifest, policy, simulated, .. } = &self.facts;
        Entry::Boot {
            model,
            weights: *weights,
            manifest: *manifest,
            policy: *policy,
            simulated: *simulated,
            auditors: self.auditors,
        }
    }

    /// Decides one request of the worker. With a grant comes what must be done before the worker learns of it.
    pub fn decide(&mut self, asked: &Asked<'_>) -> (Decision, Option<Due>) {
        let _timed = self.metrics.time_decision();
        let now = self.now();
        let seconds = now.time.as_millis() / 1000;
        let principal = match self.issuers.verify(&asked.token.0, asked.attested, seconds) {
            Ok(principal) => principal,
            Err(denial) => return self.deny(None, denial, asked, None),
        };
        let pseudonym = self.pseudonym(&principal);
        if let Err(denial) = self.admit(&pseudonym, asked.action) {
            return self.deny(Some(pseudonym), denial, asked, None);
        }
        let Asked { session, action, .. } = *asked;
        let event = self.watch.event(Request { principal: pseudonym, session, action, now: now.time });
        let subject = subject(pseudonym, action);
        let moment = self.moment(&event, subject.as_ref(), asked, now);
        let section = self.sections.of(purpose(action), &principal.tenant);
        let decided = match self.permit(&principal, action, moment, section) {
            Ok(permitted) => {
                self.grant((&principal, permitted), event.clone(), asked, subject.as_ref(), (section, now))
            }
            Err(Refusal::NeedsPersons { persons, policies }) => {
                let wanted = Wanted { persons, policies, risk: moment.risk };
                self.hold(&principal, subject, asked, wanted, now).map(|held| (held, None))
            }
            Err(Refusal::NotNow) => Err(Denial::Deferred),
            Err(Refusal::Denied | Refusal::Bounds) => Err(Denial::Forbidden),
        };
        decided.unwrap_or_else(|denial| self.deny(Some(pseudonym), denial, asked, Some(event)))
    }

    fn now(&self) -> Now {
        Now { time: self.clock.now(), instant: Instant::now() }
    }

    /// What comes before any policy.
    fn admit(&self, principal: &[u8; 32], action: &Action) -> Result<(), Denial> {
        if self.people.standing.offline().is_some() {
            return Err(Denial::Offline);
        }
        if self.watch.is_quarantined(principal) {
            return Err(Denial::Quarantined);
        }
        self.check_name(action)
    }

    /// What the policies say. A tool must be permitted, and so must be what leaves for where it reaches.
    fn permit(
        &self,
        principal: &Principal,
        action: &Action,
        moment: Moment,
        section: Chosen,
    ) -> Result<Permitted, Refusal> {
        let permit = self.point.decide(principal, action, &self.facts.model, moment);
        let permit = approved(permit, action, moment.approvals, section)?;
        let (mut reach, mut fields) = (None, Fields::default());
        match action {
            Action::CallTool { tool, purpose, argument_bytes, .. } => {
                let tool = self.tools.get(tool).ok_or(Refusal::Denied)?;
                let to = &tool.destination;
                reach = Some(self.point.may_reach(principal, to, purpose, *argument_bytes, moment)?);
            }
            Action::Retrieve { collection, purpose, .. } => {
                fields = self.point.fields(principal, (collection, purpose), &permit, moment);
            }
            Action::ListModels | Action::Generate { .. } | Action::Embed { .. } | Action::Ingest { .. } => {}
        }
        if let (Some(store), bytes) = (self.store(action), leaving(action)) {
            let to = &store.destination;
            reach = Some(self.point.may_reach(principal, to, purpose(action), bytes, moment)?);
        }
        Ok(Permitted { permit, reach, fields })
    }

    /// Where the collection is that an action is about, if it is not in the enclave.
    fn store(&self, action: &Action) -> Option<&Postgres> {
        match action {
            Action::Retrieve { collection, .. } | Action::Ingest { collection, .. } => {
                self.stores.of(collection)
            }
            _ => None,
        }
    }

    /// The stores, for the worker.
    pub fn stores(&self) -> &Stores {
        &self.stores
    }

    /// All tools, for the worker.
    pub fn tools(&self) -> &Tools {
        &self.tools
    }

    /// What a session has taken in once this has happened.
    fn labels(&self, action: &Action) -> Labels {
        let stored_outside =
            self.store(action).is_some_and(|store| self.point.is_outside(&store.destination));
        match action {
            Action::ListModels | Action::Embed { .. } => Labels::NONE,
            Action::Ingest { .. } => Labels { outside: stored_outside, ..Labels::NONE },
            Action::Generate { untrusted, .. } => Labels { untrusted: *untrusted, ..Labels::NONE },
            Action::Retrieve { collection, .. } => {
                let known = self.point.collection(collection);
                let confidentiality = known.map_or(3, |known| known.classification);
                // Whoever wrote a document may have written anything.
                Labels {
                    untrusted: true,
                    private: confidentiality >= PRIVATE,
                    outside: stored_outside,
                    confidentiality,
                }
            }
            Action::CallTool { tool, .. } => {
                let tool = self.tools.get(tool);
                Labels {
                    // Nobody vouches for what a tool says.
                    untrusted: true,
                    private: tool.is_none_or(|tool| tool.private),
                    outside: tool.is_none_or(|tool| self.point.is_outside(&tool.destination)),
                    confidentiality: tool.map_or(3, |tool| tool.classification),
                }
            }
        }
    }

    fn moment(&self, event: &Event, subject: Option<&Subject>, asked: &Asked<'_>, now: Now) -> Moment {
        let before = self.sessions.of(asked.session);
        Moment {
            now: now.time,
            risk: self.watch.risk(event),
            approvals: subject.map_or(0, |subject| self.people.holds.approvals(subject, now.instant)),
            open: self.grants.open_of(&event.principal, now.instant),
            // A prompt is taken in by the asking; a tool's result comes after it.
            labels: match asked.action {
                Action::Generate { .. } => before.and(self.labels(asked.action)),
                _ => before,
            },
        }
    }

    /// What a permit leads to, and its entry.
    fn grant(
        &mut self,
        (who, permitted): (&Principal, Permitted),
        event: Event,
        asked: &Asked<'_>,
        subject: Option<&Subject>,
        (section, now): (Chosen, Now),
    ) -> Result<(Decision, Option<Due>), Denial> {
        if !self.log.is_open() {
            return Err(Denial::AuditUnavailable);
        }
        // What wanted a person may have passed by now, a high risk say; the person's no has not.
        if subject.is_some_and(|subject| self.people.holds.is_declined(subject, now.instant)) {
            return Err(Denial::Declined);
        }
        let (principal, action, attested) = (event.principal, asked.action, asked.attested);
        let Permitted { permit, reach, fields } = permitted;
        let (kind, max_tokens) = match action {
            Action::ListModels => {
                let noted = self.log.append(&Entry::Models { principal });
                self.observe(&event);
                return noted.map(|_| (Decision::Permitted, None)).ok_or(Denial::AuditUnavailable);
            }
            Action::Generate { max_tokens, .. } => (Kind::Answer, permit.bounded(*max_tokens)),
            Action::CallTool { .. } => (Kind::Call, 0),
            Action::Embed { .. } => (Kind::Vectors, 0),
            Action::Retrieve { .. } | Action::Ingest { .. } => (Kind::LookUp, 0),
        };
        let opened = match self.store(action) {
            Some(_) => Some(self.vault.opened().ok_or(Denial::StoreLocked)?),
            None => None,
        };
        // One thread: nobody appends between this and the entry below.
        let entry = self.log.next();
        let hold = subject.and_then(|subject| self.people.holds.lend(subject));
        let granted = Granted { pseudonym: principal, entry, event, since: now.instant, kind, hold };
        let terms = Terms { principal: who, pseudonym: principal, permit: &permit, fields, now: now.time };
        let draft = match kind {
            Kind::LookUp => Some(self.lookups.draft(action, &self.point, terms).ok_or(Denial::Forbidden)?),
            Kind::Answer | Kind::Vectors | Kind::Call => None,
        };
        let Some(grant) = self.grants.open(permit, granted, now.instant) else {
            self.give_back(hold);
            return Err(Denial::Busy);
        };
        let valid_for_ms = u32::try_from(LIFETIME.as_millis()).unwrap_or(u32::MAX);
        let connects = connects(action);
        let section = section.number;
        let decision = match draft.map(|draft| self.lookups.sign(draft, grant, opened.map(|o| &o.key))) {
            Some(Some(signed)) => {
                let password = opened.filter(|_| connects).map(|opened| opened.password.clone());
                Decision::LookUp { grant, signed, section, password }
            }
            Some(None) => {
                self.grants.consume(grant, now.instant);
                self.give_back(hold);
                return Err(Denial::Forbidden);
            }
            None => Decision::Granted { grant, principal, max_tokens, valid_for_ms, section },
        };
        let Some(placed) = self.log.append(&Entry::Grant { principal, action, attested, hold }) else {
            self.grants.consume(grant, now.instant);
            self.give_back(hold);
            return Err(Denial::AuditUnavailable);
        };
        if kind == Kind::Answer {
            self.telemetry.observe_word(Source::Purpose, &principal, purpose(action), now.time);
        }
        self.sessions.add(asked.session, self.labels(action));
        Ok((decision, Some(Due { entry: placed.index, reach: reach.filter(|_| connects) })))
    }

    /// A grant on a hold came to nothing.
    fn give_back(&mut self, hold: Option<[u8; 16]>) {
        if let Some(hold) = hold {
            self.people.holds.give_back(&hold);
        }
    }

    /// A denial by policy or person is counted by behaviour, and each is an entry. While the log is not kept entries are only
    /// counted: anybody can make as many as he likes.
    fn deny(
        &mut self,
        principal: Option<[u8; 32]>,
        denial: Denial,
        asked: &Asked<'_>,
        event: Option<Event>,
    ) -> (Decision, Option<Due>) {
        self.metrics.denied(denial);
        let said_no = matches!(denial, Denial::Forbidden | Denial::Deferred | Denial::Declined);
        if let Some(event) = event.filter(|_| said_no) {
            self.observe(&Event { outcome: Outcome::Denied, ..event });
        }
        if self.log.is_open() {
            // One that finds no room is counted by the log.
            let Asked { action, attested, .. } = *asked;
            self.log.append(&Entry::Denial { principal, denial, action, attested });
        } else {
            self.log.refuse();
        }
        (Decision::Denied(denial), None)
    }

    /// Counts what happened; shuts its principal out, or takes the AI offline, where that has come.
    fn observe(&mut self, event: &Event) {
        if !self.watch.observe(event) {
            return;
        }
        self.log.append(&Entry::Quarantined { principal: event.principal });
        let most = self.people.approvers.offline_after.principals;
        if self.watch.quarantined().count() >= most as usize {
            self.take_offline(Reason::Principals);
        }
    }

    fn take_offline(&mut self, reason: Reason) {
        self.people.standing.take_offline(reason, self.clock.now());
        self.note_state();
    }

    fn note_state(&self) {
        self.metrics.state_changed();
        let (epoch, offline) = (self.people.standing.epoch(), self.people.standing.offline());
        self.log.append(&Entry::State { epoch, offline: offline.map(Reason::words) });
    }

    /// Which state this is: it grows with each change.
    pub fn epoch(&self) -> u64 {
        self.people.standing.epoch()
    }

    /// Whether the AI may work.
    pub fn is_online(&self) -> bool {
        self.people.standing.offline().is_none()
    }

    /// Whether the worker's process must end. True once.
    pub fn must_kill(&mut self) -> bool {
        std::mem::take(&mut self.kill)
    }

    /// Behaviour, for whoever lets it learn.
    pub fn watch(&mut self) -> &mut Watch {
        &mut self.watch
    }

    /// The model asked for must be the one that is loaded, and the tool one that there is.
    fn check_name(&self, action: &Action) -> Result<(), Denial> {
        match action {
            Action::ListModels => Ok(()),
            Action::CallTool { tool, .. } if self.tools.get(tool).is_some() => Ok(()),
            Action::CallTool { .. } => Err(Denial::UnknownTool),
            Action::Generate { model, .. } if *model == self.facts.model => Ok(()),
            Action::Embed { model, .. } if self.encoder().is_some_and(|(name, _)| name == model) => Ok(()),
            Action::Generate { .. } | Action::Embed { .. } => Err(Denial::UnknownModel),
            Action::Retrieve { collection, .. } | Action::Ingest { collection, .. } => {
                let known = self.encoder().and_then(|_| self.point.collection(collection));
                known.map(|_| ()).ok_or(Denial::UnknownCollection)
            }
        }
    }

    fn encoder(&self) -> Option<&(String, [u8; 32])> {
        self.facts.encoder.as_ref()
    }

    /// Names a principal in receipts: the same within one boot, meaningless outside it.
    fn pseudonym(&self, principal: &Principal) -> [u8; 32] {
        let tag = hmac::sign(&self.pseudonyms, principal.id().as_bytes());
        let mut out = [0; 32];
        out.copy_from_slice(tag.as_ref());
        out
    }
}

/// What persons must approve because the guardrail found it, beside what the policies want persons for.
fn approved(
    permit: Result<Permit, Refusal>,
    action: &Action,
    approvals: u8,
    section: Chosen,
) -> Result<Permit, Refusal> {
    let Action::Generate { held, .. } = action else { return permit };
    if held.is_empty() {
        return permit;
    }
    if held.len() > MAX_VERDICTS || held.iter().any(|word| !is_word(word)) {
        return Err(Refusal::Bounds);
    }
    let found = format!("guardrail: {}", held.join(", "));
    match permit {
        Ok(permit) if approvals >= section.persons => Ok(permit),
        Ok(_) => Err(Refusal::NeedsPersons { persons: section.persons, policies: found }),
        Err(Refusal::NeedsPersons { persons, policies }) => {
            let policies = format!("{policies}, {found}");
            Err(Refusal::NeedsPersons { persons: persons.max(section.persons), policies })
        }
        Err(refusal) => Err(refusal),
    }
}

/// A detector's name, as it may be shown to approvers and recorded.
fn is_word(word: &str) -> bool {
    let fits = |b: u8| b.is_ascii_lowercase() || b == b'_';
    (1..=MAX_WORD).contains(&word.len()) && word.bytes().all(fits)
}

/// The declared purpose.
fn purpose(action: &Action) -> &str {
    match action {
        Action::ListModels => "",
        Action::Generate { purpose, .. }
        | Action::CallTool { purpose, .. }
        | Action::Embed { purpose, .. }
        | Action::Retrieve { purpose, .. }
        | Action::Ingest { purpose, .. } => purpose,
    }
}

/// Whether it needs a connection: a worker may have one to a store.
fn connects(action: &Action) -> bool {
    match action {
        Action::CallTool { .. } => true,
        Action::Retrieve { connect, .. } | Action::Ingest { connect, .. } => *connect,
        Action::ListModels | Action::Generate { .. } | Action::Embed { .. } => false,
    }
}

/// Bytes that leave for a store: of a question its vector.
fn leaving(action: &Action) -> u32 {
    match action {
        Action::Retrieve { .. } => 4 * DIMENSIONS,
        Action::Ingest { document_bytes, .. } => *document_bytes,
        _ => 0,
    }
}

/// What a hold of a request would be for; a list of models is not worth one.
fn subject(principal: [u8; 32], action: &Action) -> Option<Subject> {
    match action {
        Action::Generate { request, .. }
        | Action::CallTool { request, .. }
        | Action::Embed { request, .. }
        | Action::Retrieve { request, .. }
        | Action::Ingest { payload: request, .. } => {
            Some(Subject { principal, request: *request, terms: terms(action) })
        }
        Action::ListModels => None,
    }
}

/// Everything of a request but its text, as a digest. The model is the one that is loaded.
fn terms(action: &Action) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    let mut named = |text: &str| {
        context.update(&(text.len() as u64).to_be_bytes());
        context.update(text.as_bytes());
    };
    match action {
        Action::ListModels => {}
        Action::Generate { model: _, purpose, max_tokens, prompt_bytes, request: _, untrusted, held } => {
            named(purpose);
            held.iter().for_each(|detector| named(detector));
            context.update(&max_tokens.to_be_bytes());
            context.update(&prompt_bytes.to_be_bytes());
            context.update(&[u8::from(*untrusted)]);
        }
        Action::CallTool { tool, purpose, request: _, argument_bytes } => {
            named(tool);
            named(purpose);
            context.update(&argument_bytes.to_be_bytes());
        }
        Action::Embed { model: _, purpose, texts, text_bytes, request: _ } => {
            named(purpose);
            context.update(&texts.to_be_bytes());
            context.update(&text_bytes.to_be_bytes());
        }
        Action::Retrieve { collection, purpose, passages, query, request: _, connect: _ } => {
            named(collection);
            named(purpose);
            context.update(&passages.to_be_bytes());
            context.update(query);
        }
        Action::Ingest { collection, purpose, passages, document_bytes, payload: _, connect: _ } => {
            named(collection);
            named(purpose);
            context.update(&passages.to_be_bytes());
            context.update(&document_bytes.to_be_bytes());
        }
    }
    let mut out = [0; 32];
    out.copy_from_slice(context.finish().as_ref());
    out
}

//! Ties it together: events in, risks out.
//!
//! # Promises
//! - `assess` changes nothing; `observe` counts and learns.
//! - At most `max_principals` profiles are kept.
//!
//! # Does not
//! - Train. [`Watcher::lesson`] hands out a [`Lesson`] that a thread of the caller's learns, and
//!   [`Watcher::adopt`] takes back what came of it.

use crate::event::{Action, Event};
use crate::features::{self, Vector};
use crate::learner::{Admission, Learned, Learner, Lesson};
use crate::profile::{Profile, Quantity};
use crate::risk::{Heat, Level, Response, Risk, respond, score};
use crate::settings::Settings;
use crate::{drift::Drift, learner::LessonError};
use std::collections::HashMap;

const DAY_MS: u64 = 86_400_000;

/// A principal, and what came of its events.
#[derive(Clone, Debug)]
struct Entry {
    profile: Profile,
    heat: Heat,
    /// Events that the learner took in this period.
    taken: u32,
    period: u64,
}

/// Watches all principals.
#[derive(Clone, Debug)]
pub struct Watcher {
    settings: Settings,
    learner: Learner,
    entries: HashMap<[u8; 32], Entry>,
}

impl Watcher {
    /// Starts with nothing known.
    pub fn new(settings: Settings, seed: u64, now_ms: u64) -> Watcher {
        Watcher { settings, learner: Learner::new(seed, now_ms), entries: HashMap::new() }
    }

    /// What the risk would be if this happened. For the decision, before it.
    pub fn assess(&self, event: &Event) -> Risk {
        let mut entry = self.entries.get(&event.principal).cloned().unwrap_or_else(|| self.newcomer(event));
        let row = features::observe(&mut entry.profile, event);
        self.judge(&mut entry, &row, event)
    }

    /// Counts what happened, learns from it if it may, and says what it looks like.
    pub fn observe(&mut self, event: &Event) -> Risk {
        let mut entry = self.entries.remove(&event.principal).unwrap_or_else(|| self.newcomer(event));
        let row = features::observe(&mut entry.profile, event);
        let risk = self.judge(&mut entry, &row, event);
        self.learn_from(&mut entry, &row, event, &risk);
        self.make_room();
        self.entries.insert(event.principal, entry);
        risk
    }

    /// The features of an event, were it to happen now.
    pub fn vector(&self, event: &Event) -> Vector {
        let mut profile = self
            .entries
            .get(&event.principal)
            .map_or_else(|| Profile::new(event.at_ms), |e| e.profile.clone());
        features::observe(&mut profile, event)
    }

    /// What to learn, if a period is over. To be asked for every minute or so.
    pub fn lesson(&mut self, now_ms: u64) -> Option<Lesson> {
        self.learner.lesson(now_ms, &self.settings)
    }

    /// Takes back what was learned.
    pub fn adopt(&mut self, learned: Learned) {
        self.learner.adopt(learned);
    }

    /// Both at once, for whoever may wait a second.
    ///
    /// # Errors
    /// [`LessonError`]; then nothing has changed.
    pub fn study(&mut self, now_ms: u64) -> Result<(), LessonError> {
        if let Some(lesson) = self.lesson(now_ms) {
            self.adopt(lesson.learn()?);
        }
        Ok(())
    }

    /// Whether there is a baseline.
    pub fn is_cold(&self) -> bool {
        self.learner.current().is_none()
    }

    /// Set while normal has moved and nobody has acknowledged it.
    pub fn drift(&self) -> Option<Drift> {
        self.learner.drift()
    }

    /// An operator calls normal what has moved. For a quorum of approvals to do, not for the worker.
    pub fn acknowledge_drift(&mut self) {
        self.learner.acknowledge();
    }

    /// A person has looked at a principal's alarms: they are forgotten, its habits are not. For a quorum, too.
    pub fn forgive(&mut self, principal: &[u8; 32]) {
        if let Some(entry) = self.entries.get_mut(principal) {
            entry.heat = Heat::default();
        }
    }

    /// How many principals are remembered.
    pub fn principals(&self) -> usize {
        self.entries.len()
    }

    fn newcomer(&self, event: &Event) -> Entry {
        Entry {
            profile: Profile::new(event.at_ms),
            heat: Heat::default(),
            taken: 0,
            period: self.learner.period(),
        }
    }

    /// The stricter of what the detectors say and, where nothing is known, what the limits say.
    fn judge(&self, entry: &mut Entry, row: &Vector, event: &Event) -> Risk {
        let limited = self.by_limits(&entry.profile);
        let Some(baseline) = self.learner.current() else { return limited };
        let p_values = baseline.p_values(row);
        let alarm = p_values.both <= self.settings.alpha;
        let alarms = entry.heat.count(alarm, event.at_ms);
        let level = Heat::level(alarm, alarms, &self.settings);
        let reasons = if alarm { baseline.reasons(row) } else { [""; 3] };
        let response = respond(level, alarms, &self.settings);
        let score = score(p_values.both, alarms, &self.settings);
        let known = Risk { level, score, p_values: Some(p_values), reasons, response, drift: self.drift() };
        if self.is_newcomer(&entry.profile) { stricter(known, limited) } else { known }
    }

    fn is_newcomer(&self, profile: &Profile) -> bool {
        let (events, age) = profile.experience();
        events < self.settings.newcomer_events || age < u64::from(self.settings.newcomer_days) * DAY_MS
    }

    fn by_limits(&self, profile: &Profile) -> Risk {
        let values = limited_values(profile);
        let limits = self.settings.limits.named().into_iter().zip(values);
        let shares = limits.map(|((name, limit), value)| (value / limit, name));
        let (share, name) = shares.max_by(|a, b| a.0.total_cmp(&b.0)).unwrap_or((0.0, ""));
        let (level, response) = match share {
            share if share > 2.0 => (Level::Critical, Response::Block),
            share if share > 1.0 => (Level::High, Response::Approve),
            _ => (Level::Cold, Response::None),
        };
        let reasons = if share > 1.0 { [name, "", ""] } else { [""; 3] };
        let score = (50.0 * share).min(100.0) as u8;
        Risk { level, score, p_values: None, reasons, response, drift: self.drift() }
    }

    fn learn_from(&mut self, entry: &mut Entry, row: &Vector, event: &Event, risk: &Risk) {
        if entry.period != self.learner.period() {
            (entry.period, entry.taken) = (self.learner.period(), 0);
        }
        // A list of models says little, and a program that polls it would fill the baseline.
        if event.action == Action::ListModels {
            return;
        }
        let calm = risk.level < Level::High;
        let admission = Admission { permitted: event.permitted(), calm, taken: entry.taken };
        entry.taken += u32::from(self.learner.offer(row, admission, &self.settings));
    }

    /// Forgets whoever was away longest.
    fn make_room(&mut self) {
        if self.entries.len() < self.settings.max_principals as usize {
            return;
        }
        let oldest = self.entries.iter().min_by_key(|(name, entry)| (entry.profile.last_ms(), **name));
        if let Some(name) = oldest.map(|(name, _)| *name) {
            self.entries.remove(&name);
        }
    }
}

/// In the order of [`crate::settings::Limits::named`].
fn limited_values(profile: &Profile) -> [f32; 9] {
    let hour = |what: Quantity| profile.hour.count(what as usize);
    [
        profile.minute.count(Quantity::Requests as usize),
        hour(Quantity::Requests),
        hour(Quantity::Denied),
        hour(Quantity::Passages),
        profile.collections_hour.estimate(),
        hour(Quantity::Tools),
        profile.sessions_hour.estimate(),
        profile.purposes_day.estimate(),
        hour(Quantity::BytesOut),
    ]
}

fn stricter(known: Risk, limited: Risk) -> Risk {
    let p_values = known.p_values;
    let mut chosen = if limited.response > known.response { limited } else { known };
    chosen.p_values = p_values;
    chosen
}

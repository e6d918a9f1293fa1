//! Learns normal as it happens, from what it may learn from.
//!
//! # Promises
//! - What the reference finds strange is learned by no generation; the reference stays until a person
//!   replaces it. So the thresholds do not sink from one generation to the next, and small steps lead
//!   nowhere.
//! - Normal that moves away from the reference is told, and the baseline in force stays.
//! - The sample in which drift is looked for takes in what was permitted, strange or not.
//!
//! # Does not
//! - Find an attacker in the first period. Until its end, the limits are what there is.

use crate::baseline::Baseline;
use crate::chance::Chance;
use crate::drift::{Drift, furthest};
use crate::features::Vector;
use crate::settings::Settings;
use std::sync::Arc;
use thiserror::Error;

/// Events to train on, and as many to calibrate on: then p-values go down to 1 in 4097, below the least
/// alpha.
const RESERVOIR: usize = 4096;
/// Events in which drift is looked for: distances of normal samples of this size are about 0.04.
const SAMPLE: usize = 2048;
const DAY_MS: u64 = 86_400_000;
/// Events of a period before shares are looked at.
const SHARES_FROM: u32 = 200;

/// Why a lesson came to nothing. The baseline in force stays.
#[derive(Debug, Error)]
pub enum LessonError {
    /// The autoencoder's arithmetic.
    #[error("training: {0}")]
    Training(#[from] candle_core::Error),
}

/// An even sample of a stream, of bounded size (Vitter 1985, algorithm R).
#[derive(Clone, Debug)]
struct Reservoir {
    rows: Vec<Vector>,
    size: usize,
    seen: usize,
}

impl Reservoir {
    fn new(size: usize) -> Reservoir {
        Reservoir { rows: Vec::new(), size, seen: 0 }
    }

    fn offer(&mut self, row: &Vector, chance: &mut Chance) {
        self.seen += 1;
        if self.rows.len() < self.size {
            self.rows.push(*row);
        } else if let Some(slot) = self.rows.get_mut(chance.below(self.seen)) {
            *slot = *row;
        }
    }

    fn take(&mut self) -> Vec<Vector> {
        self.seen = 0;
        std::mem::take(&mut self.rows)
    }
}

/// What an event looked like to those who admit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Admission {
    pub(crate) permitted: bool,
    /// Not under alarm, and within the limits where these hold.
    pub(crate) calm: bool,
    /// Events of this principal that this period has taken in already.
    pub(crate) taken: u32,
}

/// The baselines and what the next one will be learned from.
#[derive(Clone, Debug)]
pub(crate) struct Learner {
    chance: Chance,
    current: Option<Arc<Baseline>>,
    reference: Option<Arc<Baseline>>,
    /// What a person would take over by acknowledging the drift.
    moved: Option<(Drift, Arc<Baseline>)>,
    training: Reservoir,
    calibration: Reservoir,
    recent: Reservoir,
    admitted: u32,
    strange: u32,
    judged: u32,
    started_ms: u64,
    period_ms: u64,
}

/// Something to learn from; learning takes about a second and belongs on another thread.
#[derive(Debug)]
pub struct Lesson {
    training: Vec<Vector>,
    calibration: Vec<Vector>,
    recent: Vec<Vector>,
    reference: Option<Arc<Baseline>>,
    strange: f32,
    settings: Settings,
    chance: Chance,
}

/// What came of a lesson.
#[derive(Debug)]
pub struct Learned {
    baseline: Arc<Baseline>,
    drift: Option<Drift>,
}

impl Learner {
    pub(crate) fn new(seed: u64, now_ms: u64) -> Learner {
        Learner {
            chance: Chance::new(seed),
            current: None,
            reference: None,
            moved: None,
            training: Reservoir::new(RESERVOIR),
            calibration: Reservoir::new(RESERVOIR),
            recent: Reservoir::new(SAMPLE),
            admitted: 0,
            strange: 0,
            judged: 0,
            started_ms: now_ms,
            period_ms: now_ms,
        }
    }

    pub(crate) fn current(&self) -> Option<&Baseline> {
        self.current.as_deref()
    }

    pub(crate) fn drift(&self) -> Option<Drift> {
        self.moved.as_ref().map(|(drift, _)| *drift)
    }

    /// Which period this is; it changes with each lesson.
    pub(crate) fn period(&self) -> u64 {
        self.period_ms
    }

    /// Learns from an event or does not. True if it did.
    pub(crate) fn offer(&mut self, row: &Vector, admission: Admission, settings: &Settings) -> bool {
        if admission.permitted {
            self.recent.offer(row, &mut self.chance);
        }
        let strange = self.strange_to_reference(row, settings);
        self.judged += 1;
        self.strange += u32::from(strange);
        let share = admission.taken as f32 / self.admitted.max(1) as f32;
        let crowding = self.admitted > SHARES_FROM && share > settings.max_share;
        if strange || crowding || !admission.calm {
            return false;
        }
        self.admitted += 1;
        // Denied events are calibrated on, for the promise is about them too, and never trained on.
        if self.chance.unit() < 0.5 {
            self.calibration.offer(row, &mut self.chance);
        } else if admission.permitted {
            self.training.offer(row, &mut self.chance);
        }
        true
    }

    fn strange_to_reference(&self, row: &Vector, settings: &Settings) -> bool {
        self.reference.as_ref().is_some_and(|reference| reference.p_values(row).both <= limit(settings))
    }

    /// Ends the period if it is over. `None` if it is not, or if there is too little to learn from.
    pub(crate) fn lesson(&mut self, now_ms: u64, settings: &Settings) -> Option<Lesson> {
        if now_ms < self.period_ms + u64::from(settings.period_days) * DAY_MS {
            return None;
        }
        self.period_ms = now_ms;
        let lesson = Lesson {
            training: self.training.take(),
            calibration: self.calibration.take(),
            recent: self.recent.take(),
            reference: self.reference.clone(),
            strange: self.strange as f32 / self.judged.max(1) as f32,
            settings: settings.clone(),
            chance: Chance::new(self.chance.bits()),
        };
        let enough = std::mem::take(&mut self.admitted) >= settings.min_events;
        (self.strange, self.judged) = (0, 0);
        let old = now_ms >= self.started_ms + u64::from(settings.min_days) * DAY_MS;
        (enough && old).then_some(lesson)
    }

    /// Puts what was learned in force, or keeps what is and says that normal has moved.
    pub(crate) fn adopt(&mut self, learned: Learned) {
        if let Some(drift) = learned.drift {
            self.moved = Some((drift, learned.baseline));
            return;
        }
        self.moved = None;
        self.reference.get_or_insert_with(|| learned.baseline.clone());
        self.current = Some(learned.baseline);
    }

    /// A person has looked at the drift and calls it normal.
    pub(crate) fn acknowledge(&mut self) {
        if let Some((_, baseline)) = self.moved.take() {
            self.reference = Some(baseline.clone());
            self.current = Some(baseline);
        }
    }
}

/// P-value of the reference up to which an event is kept out: half of what may alarm, for it is added back
/// to the p-values of what is learned without those events.
fn limit(settings: &Settings) -> f32 {
    settings.alpha / 2.0
}

impl Lesson {
    /// Learns.
    ///
    /// # Errors
    /// [`LessonError`]; then nothing changes.
    pub fn learn(mut self) -> Result<Learned, LessonError> {
        let Some(drift) = self.drift() else {
            let kept_out = if self.reference.is_some() { limit(&self.settings) } else { 0.0 };
            return self.fit(kept_out).map(|baseline| Learned { baseline, drift: None });
        };
        // For whoever acknowledges, all that was permitted becomes normal, in two halves.
        self.training = self.recent.clone();
        self.calibration = self.training.split_off(self.training.len() / 2);
        self.fit(0.0).map(|baseline| Learned { baseline, drift: Some(drift) })
    }

    fn fit(mut self, kept_out: f32) -> Result<Arc<Baseline>, LessonError> {
        let recent = std::mem::take(&mut self.recent);
        Ok(Arc::new(Baseline::fit(&self.training, &self.calibration, recent, kept_out, &mut self.chance)?))
    }

    fn drift(&self) -> Option<Drift> {
        let reference = self.reference.as_ref()?;
        let (name, distance) = furthest(&reference.sample, &self.recent, reference.spread());
        if self.strange > limit(&self.settings) * self.settings.max_strange {
            return Some(Drift::Strange(self.strange));
        }
        (distance > self.settings.max_drift).then_some(Drift::Feature(name, distance))
    }
}

//! What the policy's context learns: a level, a number, reasons by name, and what is suggested.

use crate::baseline::PValues;
use crate::counter::{DAY, HOUR, decay};
use crate::drift::Drift;
use crate::settings::Settings;

/// How grave it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// As usual.
    Normal,
    /// Nothing is known yet, and no limit is broken. A policy may treat it as it likes; above normal, in any
    /// case.
    Cold,
    /// This event is among the strangest `alpha` of normal ones.
    Elevated,
    /// Several such of this principal, or a limit broken while nothing is known.
    High,
    /// Many.
    Critical,
}

/// What is suggested. The policy decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Response {
    /// Nothing.
    None,
    /// Slow the principal down.
    Throttle,
    /// Hold it until a person has approved.
    Approve,
    /// Deny it.
    Block,
    /// Deny all that the principal asks until a person has looked.
    Quarantine,
}

/// How a principal's last event looks.
#[derive(Clone, Debug, PartialEq)]
pub struct Risk {
    /// How grave it is.
    pub level: Level,
    /// 0 to 100; 50 is the threshold of an alarm, or of a limit.
    pub score: u8,
    /// The p-values, once there is a baseline.
    pub p_values: Option<PValues>,
    /// The features that say most, by name, for the auditor; first the limit that is broken, if one is.
    pub reasons: [&'static str; 3],
    /// What is suggested.
    pub response: Response,
    /// Set while normal has moved and nobody has acknowledged it.
    pub drift: Option<Drift>,
}

/// Alarms of one principal, forgotten with a time constant of an hour, and of a day for whoever takes time.
#[derive(Clone, Copy, Debug, Default)]
pub struct Heat {
    hour: f32,
    day: f32,
    at_ms: u64,
}

/// An hour's count weighs as much as so many times it over a day.
const DAY_FACTOR: f32 = 2.0;

impl Heat {
    /// Counts an event that did or did not alarm; says how many alarms there are now.
    pub fn count(&mut self, alarm: bool, now_ms: u64) -> f32 {
        let elapsed = now_ms.saturating_sub(self.at_ms);
        let one = f32::from(u8::from(alarm));
        self.hour = self.hour * decay(elapsed, HOUR) + one;
        self.day = self.day * decay(elapsed, DAY) + one;
        self.at_ms = self.at_ms.max(now_ms);
        self.hour.max(self.day / DAY_FACTOR)
    }

    /// The level of so many alarms.
    pub fn level(alarm: bool, alarms: f32, settings: &Settings) -> Level {
        if alarms >= settings.critical_alarms {
            Level::Critical
        } else if alarms >= settings.high_alarms {
            Level::High
        } else if alarm {
            Level::Elevated
        } else {
            Level::Normal
        }
    }
}

/// The response to a level.
pub(crate) fn respond(level: Level, alarms: f32, settings: &Settings) -> Response {
    match level {
        Level::Critical if alarms >= settings.quarantine_alarms => Response::Quarantine,
        Level::Critical => Response::Block,
        Level::High => Response::Approve,
        Level::Elevated => Response::Throttle,
        Level::Normal | Level::Cold => Response::None,
    }
}

/// The number of a p-value and a count of alarms: 50 at `alpha`, 100 at the count for critical.
pub(crate) fn score(p: f32, alarms: f32, settings: &Settings) -> u8 {
    let strange = 50.0 * p.max(1e-6).ln() / settings.alpha.ln();
    let often = 50.0 * (alarms / settings.critical_alarms).min(1.0);
    (strange.clamp(0.0, 60.0) + often).min(100.0) as u8
}

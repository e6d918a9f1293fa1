//! The settings, as `behaviour.toml` of the measured policy pack holds them.
//!
//! # Promises
//! - Every field must be present and within its bounds: a forgotten line is an error, never a weaker default.

use serde::Deserialize;
use thiserror::Error;

/// The settings.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Share of normal events that may alarm.
    pub alpha: f32,
    /// Fewest events from which a baseline is learned.
    pub min_events: u32,
    /// Days before the first baseline. The last `period_days` of them are what is learned.
    pub min_days: u32,
    /// Days between lessons. Seven, so that each lesson holds each day of the week once.
    pub period_days: u32,
    /// Most principals that are remembered; whoever was away longest is forgotten.
    pub max_principals: u32,
    /// Most of a lesson that may come from one principal, as a share.
    pub max_share: f32,
    /// Largest distance (Kolmogorov and Smirnov) that a feature's distribution may have from the reference's.
    pub max_drift: f32,
    /// Largest share of events that the reference may find strange, as a multiple of what it should.
    pub max_strange: f32,
    /// Alarms of one principal, counted with a time constant of an hour, from which its risk is high.
    pub high_alarms: f32,
    /// The same, for critical.
    pub critical_alarms: f32,
    /// The same, for quarantine.
    pub quarantine_alarms: f32,
    /// A principal with fewer events is a newcomer and is held to the limits as well.
    pub newcomer_events: u32,
    /// A principal known for fewer days is a newcomer, too.
    pub newcomer_days: u32,
    /// What holds while nothing is known.
    pub limits: Limits,
}

/// Absolute limits for the time in which nothing is known yet. Beyond one a person must approve; beyond
/// twice, blocked.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Requests in a minute.
    pub requests_minute: f32,
    /// Requests in an hour.
    pub requests_hour: f32,
    /// Denials in an hour.
    pub denied_hour: f32,
    /// Passages in an hour.
    pub passages_hour: f32,
    /// Different collections in an hour.
    pub collections_hour: f32,
    /// Calls of tools in an hour.
    pub tools_hour: f32,
    /// Different sessions in an hour.
    pub sessions_hour: f32,
    /// Different purposes in a day.
    pub purposes_day: f32,
    /// Bytes of answers in an hour.
    pub bytes_out_hour: f32,
}

/// Why settings were refused.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum SettingsError {
    /// Not the TOML that [`Settings`] describes.
    #[error("behaviour settings: {0}")]
    Syntax(String),
    /// A value out of its bounds.
    #[error("behaviour settings: {0} is out of bounds")]
    Bounds(&'static str),
}

impl Settings {
    /// Reads and checks settings.
    ///
    /// # Errors
    /// [`SettingsError`] names the field, or what is wrong with the TOML.
    pub fn parse(toml: &str) -> Result<Settings, SettingsError> {
        let settings: Settings =
            toml::from_str(toml).map_err(|e| SettingsError::Syntax(e.message().to_owned()))?;
        settings.check()?;
        Ok(settings)
    }

    fn check(&self) -> Result<(), SettingsError> {
        let days = |days: u32| days as f32;
        let bounds = [
            // Below, 4096 calibration events cannot tell; above, it is no longer an alarm.
            ("alpha", self.alpha, 0.001, 0.05),
            ("min_events", self.min_events as f32, 1000.0, 1e6),
            ("min_days", days(self.min_days), days(self.period_days), 90.0),
            ("period_days", days(self.period_days), 1.0, 30.0),
            // At eight KiB each, 512 MiB.
            ("max_principals", self.max_principals as f32, 1.0, 65_536.0),
            ("max_share", self.max_share, 0.001, 1.0),
            ("max_drift", self.max_drift, 0.01, 0.5),
            ("max_strange", self.max_strange, 1.0, 10.0),
            ("high_alarms", self.high_alarms, 1.0, 1000.0),
            ("critical_alarms", self.critical_alarms, self.high_alarms, 1000.0),
            ("quarantine_alarms", self.quarantine_alarms, self.critical_alarms, 1000.0),
            ("newcomer_events", self.newcomer_events as f32, 0.0, 1e6),
            ("newcomer_days", days(self.newcomer_days), 0.0, 90.0),
        ];
        let inside = |(_, value, low, high): &&(&str, f32, f32, f32)| !(low..=high).contains(&value);
        if let Some((name, ..)) = bounds.iter().find(inside) {
            return Err(SettingsError::Bounds(name));
        }
        let zero = self.limits.named().into_iter().find(|(_, limit)| !(*limit > 0.0 && limit.is_finite()));
        zero.map_or(Ok(()), |(name, _)| Err(SettingsError::Bounds(name)))
    }
}

impl Limits {
    /// Each limit with its name.
    pub(crate) fn named(&self) -> [(&'static str, f32); 9] {
        [
            ("requests_minute", self.requests_minute),
            ("requests_hour", self.requests_hour),
            ("denied_hour", self.denied_hour),
            ("passages_hour", self.passages_hour),
            ("collections_hour", self.collections_hour),
            ("tools_hour", self.tools_hour),
            ("sessions_hour", self.sessions_hour),
            ("purposes_day", self.purposes_day),
            ("bytes_out_hour", self.bytes_out_hour),
        ]
    }
}

//! Measures how a principal behaves, and how far that is from the system's own normal.
//!
//! # Promises
//! - The share of normal events that alarm is a setting, `alpha`, whatever the detectors are worth.
//! - The same events, settings and seed give the same risks on the same kind of processor.
//! - Memory is bounded: by principals, and within each by [`Profile`]'s size.
//! - Before there is a baseline, absolute limits hold that are stricter.
//!
//! # Does not
//! - Decide. A [`Risk`] is for the policy's context; who may do what is Cedar's word.
//! - See text: an [`Event`] has sizes, times, codes and digests only.
//! - Do I/O, read a clock or start a thread.
//!
//! # Trusts
//! - The caller's clock, and that pseudonyms are those of principals.
//!
//! # Source
//! - `docs/behaviour.md` has the methods with their papers, and what was measured.

mod autoencoder;
mod baseline;
mod chance;
mod conformal;
mod counter;
mod drift;
mod event;
mod features;
mod forest;
mod learner;
mod own;
mod profile;
mod risk;
mod scaling;
mod settings;
mod watcher;

#[cfg(test)]
mod tests;

pub use baseline::{Baseline, PValues};
pub use chance::Chance;
pub use conformal::Calibration;
pub use drift::Drift;
pub use event::{Action, Event, Outcome};
pub use features::{COUNT, NAMES, Vector};
pub use learner::{Learned, Lesson, LessonError};
pub use profile::Profile;
pub use risk::{Heat, Level, Response, Risk};
pub use settings::{Limits, Settings, SettingsError};
pub use watcher::Watcher;

//! How far an event, and its session, are from what the principal itself is used to.
//!
//! # Promises
//! - What is compared with is what was before the event; the event is counted afterwards.
//!
//! # Does not
//! - Notice a change slower than a few hundred events. The growth features and the drift do.

use crate::counter::Running;
use crate::features::{Feature, Vector};

/// Features of single events, whose mean over a session is compared: one strange event is chance, a strange
/// session less so.
const SHIFTED: [(Feature, Feature); 13] = [
    (Feature::prompt_bytes, Feature::shift_prompt_bytes),
    (Feature::max_tokens, Feature::shift_max_tokens),
    (Feature::response_bytes, Feature::shift_response_bytes),
    (Feature::duration, Feature::shift_duration),
    (Feature::purpose_surprise, Feature::shift_purpose),
    (Feature::collection_surprise, Feature::shift_collection),
    (Feature::tool_surprise, Feature::shift_tool),
    (Feature::hour_surprise, Feature::shift_hour),
    (Feature::passages_each, Feature::shift_passages),
    (Feature::gap, Feature::shift_gap),
    (Feature::guard_score, Feature::shift_guard_score),
    (Feature::entropy_shift, Feature::shift_entropy),
    (Feature::fresh_share, Feature::shift_fresh_share),
];
/// Features that are rates already.
const EXCEEDED: [(Feature, Feature); 8] = [
    (Feature::requests_minute, Feature::over_requests_minute),
    (Feature::requests_hour, Feature::over_requests_hour),
    (Feature::bytes_out_hour, Feature::over_bytes_out_hour),
    (Feature::passages_hour, Feature::over_passages_hour),
    (Feature::collections_hour, Feature::over_collections_hour),
    (Feature::tools_hour, Feature::over_tools_hour),
    (Feature::session_switches_hour, Feature::over_switches_hour),
    (Feature::hours_active_day, Feature::over_hours_active),
];
/// About three hundred events: weeks of a person, a day or two of a program.
const OWN_RATE: f32 = 1.0 / 300.0;
/// About ten events of a session.
const SESSION_RATE: f32 = 0.1;
/// Events of a session that count half.
const DAMP: f32 = 4.0;

/// Means of one session.
pub(crate) type SessionMeans = [Running; SHIFTED.len()];

/// What a principal is used to.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Own {
    shifted: SessionMeans,
    exceeded: [Running; EXCEEDED.len()],
}

/// Fills in the comparisons, then counts the event. `events` is how many the session has, with this one.
pub(crate) fn relate(own: &mut Own, session: &mut SessionMeans, events: f32, row: &mut Vector) {
    for (((from, to), usual), here) in SHIFTED.iter().zip(&mut own.shifted).zip(session) {
        let value = row[*from as usize];
        if value.is_finite() {
            here.add(value, SESSION_RATE);
        }
        let apart = here.mean().zip(usual.mean()).map_or(0.0, |(here, usual)| here - usual);
        row[*to as usize] = apart * events / (events + DAMP);
        if value.is_finite() {
            usual.add(value, OWN_RATE);
        }
    }
    for ((from, to), usual) in EXCEEDED.iter().zip(&mut own.exceeded) {
        let value = row[*from as usize];
        row[*to as usize] = value - usual.mean().unwrap_or(value);
        usual.add(value, OWN_RATE);
    }
}

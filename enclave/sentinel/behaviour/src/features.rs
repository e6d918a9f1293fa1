//! The features: their names, and how a profile and an event become a vector of them.
//!
//! # Promises
//! - A vector holds no digest, and its order is that of [`NAMES`].
//!
//! # Does not
//! - Say what is strange. `docs/behaviour.md` says of each feature what it is for.

use crate::counter::Running;
use crate::event::Event;
use crate::profile::{Profile, Quantity};

/// Names each feature and its place.
macro_rules! features {
    ($($name:ident)*) => {
        /// A place in a vector.
        #[derive(Clone, Copy, Debug)]
        #[allow(non_camel_case_types)] // the names are those that an auditor reads
        pub(crate) enum Feature { $($name),* }
        /// The features' names, in the vector's order.
        pub const NAMES: [&str; COUNT] = [$(stringify!($name)),*];
        /// How many features there are.
        pub const COUNT: usize = [$(Feature::$name),*].len();
    };
}

features! {
    requests_minute requests_hour requests_day
    prompt_bytes max_tokens response_bytes bytes_out_hour bytes_out_day duration
    denied_hour denied_ratio_day
    purpose_surprise purposes_day
    collection_surprise collections_hour collections_day
    passages_each passages_hour passages_day fresh_share_hour fresh_day
    tools_hour tool_surprise tools_distinct_day
    sessions_hour session_switches_hour
    hour_surprise weekend_surprise hours_active_day gap regularity
    findings_day guard_score
    entropy_shift refusals_day
    growth_requests growth_bytes_out growth_passages burst_requests burst_bytes_out burst_passages burst_tools
    session_requests session_age session_passages
    fresh_share
    shift_prompt_bytes shift_max_tokens shift_response_bytes shift_duration shift_purpose shift_collection
    shift_tool shift_hour shift_passages shift_gap shift_guard_score shift_entropy shift_fresh_share
    over_requests_minute over_requests_hour over_bytes_out_hour over_passages_hour over_collections_hour
    over_tools_hour over_switches_hour over_hours_active
}

/// The features of one event.
pub type Vector = [f32; COUNT];

/// What a feature is while nothing is known of it; scaling makes it the median.
const UNKNOWN: f32 = f32::NAN;

/// ln(1 + x): rates and sizes span orders of magnitude, and a factor should weigh the same at each.
fn log(x: f32) -> f32 {
    x.max(0.0).ln_1p()
}

fn log_of(x: Option<u32>) -> f32 {
    x.map_or(UNKNOWN, |x| log(x as f32))
}

fn share(part: f32, whole: f32, usual: f32) -> f32 {
    part / (whole + usual)
}

/// Counts an event, and says what it looks like.
pub(crate) fn observe(profile: &mut Profile, event: &Event) -> Vector {
    profile.count(event);
    let mut row = vector(profile, event);
    profile.relate(event.session, &mut row);
    row
}

/// What `profile`, which has just counted `event`, says of it by itself.
fn vector(profile: &Profile, event: &Event) -> Vector {
    let mut out = [0.0; COUNT];
    let mut set = |feature: Feature, value: f32| {
        if let Some(slot) = out.get_mut(feature as usize) {
            *slot = value;
        }
    };
    rates(profile, &mut set);
    sizes(event, &mut set);
    habits(profile, event, &mut set);
    breadth(profile, event, &mut set);
    timing(profile, &mut set);
    answers(profile, event, &mut set);
    growth(profile, &mut set);
    session(profile, event, &mut set);
    out
}

fn rates(profile: &Profile, set: &mut impl FnMut(Feature, f32)) {
    use Quantity::{BytesOut, Denied, Findings, Refusals, Requests, Tools};
    set(Feature::requests_minute, log(profile.minute.count(Requests as usize)));
    set(Feature::requests_hour, log(profile.hour.count(Requests as usize)));
    set(Feature::requests_day, log(profile.day.count(Requests as usize)));
    set(Feature::bytes_out_hour, log(profile.hour.count(BytesOut as usize)));
    set(Feature::bytes_out_day, log(profile.day.count(BytesOut as usize)));
    set(Feature::denied_hour, log(profile.hour.count(Denied as usize)));
    let requests = profile.day.count(Requests as usize);
    set(Feature::denied_ratio_day, 4.0 * share(profile.day.count(Denied as usize), requests, 5.0));
    set(Feature::tools_hour, log(profile.hour.count(Tools as usize)));
    set(Feature::findings_day, log(profile.day.count(Findings as usize)));
    set(Feature::refusals_day, log(profile.day.count(Refusals as usize)));
}

fn sizes(event: &Event, set: &mut impl FnMut(Feature, f32)) {
    set(Feature::prompt_bytes, log_of(event.prompt_bytes));
    set(Feature::max_tokens, log_of(event.max_tokens));
    set(Feature::response_bytes, log_of(event.response_bytes));
    set(Feature::duration, log_of(event.duration_ms));
}

fn habits(profile: &Profile, event: &Event, set: &mut impl FnMut(Feature, f32)) {
    set(Feature::purpose_surprise, profile.surprises.purpose);
    set(Feature::purposes_day, log(profile.purposes_day.estimate()));
    let if_any = |any: bool, value: f32| if any { value } else { UNKNOWN };
    set(Feature::collection_surprise, if_any(!event.collections.is_empty(), profile.surprises.collection));
    set(Feature::tool_surprise, if_any(event.tool.is_some(), profile.surprises.tool));
    set(Feature::hour_surprise, profile.surprises.hour);
    set(Feature::weekend_surprise, profile.surprises.day);
}

fn breadth(profile: &Profile, event: &Event, set: &mut impl FnMut(Feature, f32)) {
    set(Feature::collections_hour, log(profile.collections_hour.estimate()));
    set(Feature::collections_day, log(profile.collections_day.estimate()));
    set(Feature::passages_each, log(event.passages.len() as f32));
    set(Feature::passages_hour, log(profile.hour.count(Quantity::Passages as usize)));
    set(Feature::passages_day, log(profile.passages_day.estimate()));
    let (fresh, all) = (Quantity::Fresh as usize, Quantity::Passages as usize);
    set(Feature::fresh_share_hour, 4.0 * share(profile.hour.count(fresh), profile.hour.count(all), 3.0));
    set(Feature::fresh_day, log(profile.day.count(fresh)));
    set(Feature::tools_distinct_day, log(profile.tools_day.estimate()));
    set(Feature::sessions_hour, log(profile.sessions_hour.estimate()));
    let touched = event.passages().len();
    let fresh = (touched > 0).then(|| profile.surprises.fresh as f32 / touched as f32);
    set(Feature::fresh_share, fresh.unwrap_or(UNKNOWN));
    let (switches, requests) = (Quantity::Switches as usize, Quantity::Requests as usize);
    let hour = &profile.hour;
    set(Feature::session_switches_hour, 4.0 * share(hour.count(switches), hour.count(requests), 3.0));
}

fn timing(profile: &Profile, set: &mut impl FnMut(Feature, f32)) {
    set(Feature::hours_active_day, log(profile.hours_active() as f32));
    set(Feature::gap, profile.gap.map_or(UNKNOWN, log));
    set(Feature::regularity, profile.gaps.spread().unwrap_or(UNKNOWN));
}

fn answers(profile: &Profile, event: &Event, set: &mut impl FnMut(Feature, f32)) {
    set(Feature::guard_score, event.guard_score.map_or(UNKNOWN, |score| 4.0 * score));
    let usual: Option<f32> = Running::mean(&profile.entropy);
    let shift = event.entropy.zip(usual).map(|(now, usual)| (now - usual).abs());
    set(Feature::entropy_shift, shift.unwrap_or(UNKNOWN));
}

/// Logarithms of ratios: a week to a month (growth), a day to a week (burst). Small counts are damped.
fn growth(profile: &Profile, set: &mut impl FnMut(Feature, f32)) {
    let ratio = |short: f32, long: f32, damp: f32| ((short + damp) / (long + damp)).ln();
    let growth = |what: Quantity, damp: f32| {
        ratio(profile.week.per_day(what as usize), profile.month.per_day(what as usize), damp)
    };
    let burst = |what: Quantity, damp: f32| {
        ratio(profile.day.per_day(what as usize), profile.week.per_day(what as usize), damp)
    };
    set(Feature::growth_requests, growth(Quantity::Requests, 5.0));
    set(Feature::growth_bytes_out, growth(Quantity::BytesOut, 5_000.0));
    set(Feature::growth_passages, growth(Quantity::Passages, 5.0));
    set(Feature::burst_requests, burst(Quantity::Requests, 5.0));
    set(Feature::burst_bytes_out, burst(Quantity::BytesOut, 5_000.0));
    set(Feature::burst_passages, burst(Quantity::Passages, 5.0));
    set(Feature::burst_tools, burst(Quantity::Tools, 2.0));
}

fn session(profile: &Profile, event: &Event, set: &mut impl FnMut(Feature, f32)) {
    let Some(session) = profile.session(event.session) else { return };
    set(Feature::session_requests, log(session.requests));
    set(Feature::session_age, log(session.age_ms() as f32 / 60_000.0));
    set(Feature::session_passages, log(session.passages));
}

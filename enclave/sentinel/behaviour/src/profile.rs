//! What is kept of one principal: counters that forget, and nothing that was said.
//!
//! # Promises
//! - A profile has no heap: its size is [`size_of`], at most [`MAX_SIZE`], whatever the principal does.

use crate::counter::{DAY, Distinct, HOUR, Habit, MINUTE, Rates, Running, decay, mix};
use crate::event::{Action, Event};
use crate::features::Vector;
use crate::own::{Own, SessionMeans, relate};

/// Bounds the memory for one principal; checked when this compiles.
pub(crate) const MAX_SIZE: usize = 8 * 1024;
/// Sessions that are told apart. A principal with more in use at once shows in `sessions_hour`.
const SESSIONS: usize = 8;
/// A habit's weight halves in about ten days: holidays are survived, a new task is learned.
const HABIT_TAU: f32 = 14.0 * DAY;
const HOUR_MS: u64 = 3_600_000;
const DAY_MS: u64 = 24 * HOUR_MS;
/// How long a passage counts as seen: this window and the one before.
const SEEN_MS: u64 = 14 * DAY_MS;
const _: () = assert!(size_of::<Profile>() <= MAX_SIZE);

/// What is counted over each span.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Quantity {
    Requests,
    Denied,
    BytesOut,
    Passages,
    Fresh,
    Tools,
    Findings,
    Refusals,
    Switches,
}

const QUANTITIES: usize = Quantity::Switches as usize + 1;

/// One session of the principal.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Session {
    id: u64,
    first_ms: u64,
    last_ms: u64,
    pub(crate) requests: f32,
    pub(crate) passages: f32,
    means: SessionMeans,
}

impl Session {
    pub(crate) fn age_ms(&self) -> u64 {
        self.last_ms.saturating_sub(self.first_ms)
    }
}

/// How unusual the last event was for this principal, measured before it was counted.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Surprises {
    pub(crate) purpose: f32,
    pub(crate) collection: f32,
    pub(crate) tool: f32,
    pub(crate) hour: f32,
    pub(crate) day: f32,
    /// Passages that were new.
    pub(crate) fresh: u32,
}

/// One principal over time.
#[derive(Clone, Debug)]
pub struct Profile {
    pub(crate) minute: Rates<QUANTITIES>,
    pub(crate) hour: Rates<QUANTITIES>,
    pub(crate) day: Rates<QUANTITIES>,
    pub(crate) week: Rates<QUANTITIES>,
    pub(crate) month: Rates<QUANTITIES>,
    pub(crate) purposes_day: Distinct<1>,
    pub(crate) collections_hour: Distinct<4>,
    pub(crate) collections_day: Distinct<8>,
    pub(crate) passages_day: Distinct<32>,
    pub(crate) tools_day: Distinct<2>,
    pub(crate) sessions_hour: Distinct<4>,
    seen: Distinct<256>,
    purposes: Habit<16>,
    collections: Habit<64>,
    tools: Habit<32>,
    hours: Habit<24>,
    days: Habit<2>,
    pub(crate) surprises: Surprises,
    pub(crate) entropy: Running,
    pub(crate) gaps: Running,
    /// Seconds since the event before.
    pub(crate) gap: Option<f32>,
    /// One bit for each of the last 64 hours; the lowest is this one.
    active: u64,
    own: Own,
    sessions: [Session; SESSIONS],
    last_session: u64,
    first_ms: u64,
    last_ms: u64,
    events: u32,
}

impl Profile {
    /// A principal who has done nothing.
    pub fn new(now_ms: u64) -> Profile {
        let rates = |tau: f32| Rates::new(tau, now_ms);
        Profile {
            minute: rates(MINUTE),
            hour: rates(HOUR),
            day: rates(DAY),
            week: rates(7.0 * DAY),
            month: rates(28.0 * DAY),
            purposes_day: Distinct::new(),
            collections_hour: Distinct::new(),
            collections_day: Distinct::new(),
            passages_day: Distinct::new(),
            tools_day: Distinct::new(),
            sessions_hour: Distinct::new(),
            seen: Distinct::new(),
            purposes: Habit::new(),
            collections: Habit::new(),
            tools: Habit::new(),
            hours: Habit::new(),
            days: Habit::new(),
            surprises: Surprises::default(),
            entropy: Running::default(),
            gaps: Running::default(),
            gap: None,
            active: 0,
            own: Own::default(),
            sessions: [Session::default(); SESSIONS],
            last_session: 0,
            first_ms: now_ms,
            last_ms: now_ms,
            events: 0,
        }
    }

    /// When it was last heard of.
    pub(crate) fn last_ms(&self) -> u64 {
        self.last_ms
    }

    /// How many events it has seen, and over how long.
    pub(crate) fn experience(&self) -> (u32, u64) {
        (self.events, self.last_ms.saturating_sub(self.first_ms))
    }

    /// Hours with an event, of the last 24.
    pub(crate) fn hours_active(&self) -> u32 {
        (self.active & 0xff_ffff).count_ones()
    }

    pub(crate) fn session(&self, id: u64) -> Option<&Session> {
        self.sessions.iter().find(|session| session.requests > 0.0 && session.id == id)
    }

    /// Compares what was just counted with what the principal is used to.
    pub(crate) fn relate(&mut self, session: u64, row: &mut Vector) {
        if let Some(session) = self.sessions.iter_mut().find(|s| s.requests > 0.0 && s.id == session) {
            relate(&mut self.own, &mut session.means, session.requests, row);
        }
    }

    /// Counts an event.
    pub fn count(&mut self, event: &Event) {
        let now = event.at_ms.max(self.last_ms);
        self.advance(now);
        self.be_surprised(event, now);
        let fresh = self.see(event);
        self.surprises.fresh = fresh;
        let switched = self.events > 0 && event.session != self.last_session;
        self.add(&amounts(event, fresh, switched));
        self.time(now);
        self.note_session(event, now);
        if let Some(entropy) = event.entropy {
            self.entropy.add(entropy, 0.02); // fifty answers
        }
        self.events = self.events.saturating_add(1);
        self.last_ms = now;
    }

    fn advance(&mut self, now: u64) {
        for rates in [&mut self.minute, &mut self.hour, &mut self.day, &mut self.week, &mut self.month] {
            rates.advance(now);
        }
        let left = decay(now - self.last_ms, HABIT_TAU);
        self.purposes.advance(left, now / HOUR_MS);
        self.collections.advance(left, now / HOUR_MS);
        self.tools.advance(left, now / HOUR_MS);
        self.hours.advance(left, now / HOUR_MS);
        self.days.advance(left, now / HOUR_MS);
        // Half windows: an estimate covers this one and the one before.
        self.purposes_day.advance(now / (DAY_MS / 2));
        self.collections_hour.advance(now / (HOUR_MS / 2));
        self.collections_day.advance(now / (DAY_MS / 2));
        self.passages_day.advance(now / (DAY_MS / 2));
        self.tools_day.advance(now / (DAY_MS / 2));
        self.sessions_hour.advance(now / (HOUR_MS / 2));
        self.seen.advance(now / SEEN_MS);
    }

    fn add(&mut self, amounts: &[f32; QUANTITIES]) {
        for rates in [&mut self.minute, &mut self.hour, &mut self.day, &mut self.week, &mut self.month] {
            rates.add(amounts);
        }
    }

    /// Measures the surprises, then forms the habits.
    fn be_surprised(&mut self, event: &Event, now: u64) {
        let (hour, day) = (hour_of_day(now), usize::from(weekend(now)));
        self.surprises.hour = self.hours.surprise(hour);
        self.surprises.day = self.days.surprise(day);
        self.surprises.purpose = self.purposes.surprise(kind(event.purpose));
        let collections = event.collections().iter().map(|c| self.collections.surprise(kind(*c)));
        self.surprises.collection = collections.fold(0.0, f32::max);
        self.surprises.tool = event.tool.map_or(0.0, |tool| self.tools.surprise(kind(tool)));
        self.form_habits(event);
        if self.hours.note(hour) {
            // People are not on the minute.
            for (by, weight) in [(1, 2), (23, 2), (2, 1), (22, 1)] {
                self.hours.add((hour + by) % 24, weight);
            }
        }
        self.days.note(day);
    }

    fn form_habits(&mut self, event: &Event) {
        self.purposes.note(kind(event.purpose));
        for collection in event.collections() {
            self.collections.note(kind(*collection));
        }
        if let Some(tool) = event.tool {
            self.tools.note(kind(tool));
        }
    }

    /// Puts what was touched into the sets; says how many passages were new to this principal.
    fn see(&mut self, event: &Event) -> u32 {
        self.purposes_day.insert(event.purpose);
        self.sessions_hour.insert(event.session);
        event.tool.iter().for_each(|tool| {
            self.tools_day.insert(*tool);
        });
        for collection in event.collections() {
            self.collections_hour.insert(*collection);
            self.collections_day.insert(*collection);
        }
        let mut fresh = 0;
        for passage in event.passages() {
            self.passages_day.insert(*passage);
            fresh += u32::from(self.seen.insert(*passage));
        }
        fresh
    }

    fn time(&mut self, now: u64) {
        let hours = now / HOUR_MS - self.last_ms / HOUR_MS;
        self.active =
            u32::try_from(hours).ok().and_then(|hours| self.active.checked_shl(hours)).unwrap_or(0) | 1;
        if self.events > 0 {
            let gap = (now - self.last_ms) as f32 / 1000.0;
            self.gap = Some(gap);
            self.gaps.add(gap.ln_1p(), 0.1); // ten gaps
        }
    }

    fn note_session(&mut self, event: &Event, now: u64) {
        let known = self.sessions.iter().position(|s| s.requests > 0.0 && s.id == event.session);
        let oldest = || (0..SESSIONS).min_by_key(|at| self.sessions[*at].last_ms);
        let Some(at) = known.or_else(oldest) else { return };
        let slot = &mut self.sessions[at];
        if known.is_none() {
            *slot = Session { id: event.session, first_ms: now, ..Session::default() };
        }
        slot.last_ms = now;
        slot.requests += 1.0;
        slot.passages += event.passages().len() as f32;
        self.last_session = event.session;
    }
}

fn amounts(event: &Event, fresh: u32, switched: bool) -> [f32; QUANTITIES] {
    let is = |yes: bool| f32::from(u8::from(yes));
    [
        1.0,
        is(!event.permitted()),
        event.response_bytes.unwrap_or(0) as f32,
        event.passages().len() as f32,
        fresh as f32,
        is(event.action == Action::CallTool),
        f32::from(event.findings.unwrap_or(0)),
        is(event.refused == Some(true)),
        is(switched),
    ]
}

/// A digest's place in a habit. Two names may share one, and then each makes the other look usual.
fn kind(digest: u64) -> usize {
    usize::try_from(mix(digest) >> 40).unwrap_or(0)
}

/// In UTC: the enclave knows no zone.
fn hour_of_day(now_ms: u64) -> usize {
    usize::try_from(now_ms / HOUR_MS % 24).unwrap_or(0)
}

/// Saturday or Sunday; 1 January 1970 was a Thursday.
fn weekend(now_ms: u64) -> bool {
    (now_ms / DAY_MS + 3) % 7 >= 5
}

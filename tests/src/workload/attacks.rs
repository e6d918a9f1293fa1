//! Attack patterns, each by somebody who has a principal's credentials and goes on as that principal.

use super::people::{COLLECTIONS, Kind, PURPOSES, Person, TOOLS, deny, digest, passage};
use super::{DAY_MS, HOUR_MS, day_start};
use adyton_behaviour::{Action, Chance, Event};

/// What the attacker does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// Reads as much as possible in half an hour.
    BulkRetrieval,
    /// Reads a little that is new, all day and night, for three days.
    SlowDrip,
    /// Several people with other habits use one principal at once.
    CredentialSharing,
    /// The principal's work turns to purposes and collections that are not its own.
    PurposeDrift,
    /// Tries what is permitted.
    DenialProbing,
    /// Looks into every collection, at a person's pace.
    TopicSweep,
    /// Ordinary requests at an hour at which this principal never works.
    OffHoursSpike,
    /// Calls tools again and again, also such as the principal never used.
    ToolAbuse,
    /// Prompts at the guardrail's edge, with refusals.
    Injection,
    /// The longest answers that can be had.
    OutputFlood,
}

impl Pattern {
    /// All of them.
    pub const ALL: [Pattern; 10] = [
        Pattern::BulkRetrieval,
        Pattern::SlowDrip,
        Pattern::CredentialSharing,
        Pattern::PurposeDrift,
        Pattern::DenialProbing,
        Pattern::TopicSweep,
        Pattern::OffHoursSpike,
        Pattern::ToolAbuse,
        Pattern::Injection,
        Pattern::OutputFlood,
    ];

    /// For a table.
    pub fn name(self) -> &'static str {
        match self {
            Pattern::BulkRetrieval => "bulk retrieval",
            Pattern::SlowDrip => "slow drip",
            Pattern::CredentialSharing => "credential sharing",
            Pattern::PurposeDrift => "purpose drift",
            Pattern::DenialProbing => "probing of denials",
            Pattern::TopicSweep => "topic sweep",
            Pattern::OffHoursSpike => "off-hours spike",
            Pattern::ToolAbuse => "tool abuse",
            Pattern::Injection => "injection attempts",
            Pattern::OutputFlood => "output flood",
        }
    }
}

/// How much of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strength {
    /// In a hurry.
    Loud,
    /// With a third of the events, over twice the time.
    Quiet,
}

impl Strength {
    /// For a table.
    pub fn name(self) -> &'static str {
        match self {
            Strength::Loud => "loud",
            Strength::Quiet => "quiet",
        }
    }

    fn events(self, loud: usize) -> usize {
        match self {
            Strength::Loud => loud,
            Strength::Quiet => loud / 3,
        }
    }

    fn time(self, loud_ms: u64) -> u64 {
        match self {
            Strength::Loud => loud_ms,
            Strength::Quiet => 2 * loud_ms,
        }
    }
}

/// Where and when an attack happens.
struct Scene<'a> {
    person: &'a Person,
    people: &'a [Person],
    /// When it begins.
    at: u64,
    /// The session of the attacker.
    session: u64,
}

/// The events of an attack, in no order.
pub(super) fn events(
    pattern: Pattern,
    strength: Strength,
    person: &Person,
    people: &[Person],
    day: u32,
    chance: &mut Chance,
) -> Vec<Event> {
    let hour = match pattern {
        Pattern::OffHoursSpike => 3.0 + chance.unit(),
        Pattern::SlowDrip => 0.0,
        _ => 10.0 + 3.0 * chance.unit(), // among the others
    };
    let at = day_start(day) + (hour * HOUR_MS as f32) as u64;
    let scene = Scene { person, people, at, session: chance.bits() };
    let (count, span) = extent(pattern, strength);
    (0..count).map(|turn| scene.event(pattern, turn, count, span, chance)).collect()
}

/// How many events, over how long.
fn extent(pattern: Pattern, strength: Strength) -> (usize, u64) {
    let (loud, minutes) = match pattern {
        Pattern::BulkRetrieval => (120, 30),
        Pattern::SlowDrip => return (strength.events(3 * 144), 3 * DAY_MS),
        Pattern::CredentialSharing => (150, 240),
        Pattern::PurposeDrift => (90, 240),
        Pattern::DenialProbing => (60, 60),
        Pattern::TopicSweep => (90, 90),
        Pattern::OffHoursSpike => (90, 90),
        Pattern::ToolAbuse => (120, 60),
        Pattern::Injection => (60, 60),
        Pattern::OutputFlood => (60, 60),
    };
    (strength.events(loud), strength.time(minutes * 60_000))
}

impl Scene<'_> {
    fn event(&self, pattern: Pattern, turn: usize, count: usize, span: u64, chance: &mut Chance) -> Event {
        let pace = span / count.max(1) as u64;
        let at = self.at + pace * turn as u64 + (chance.unit() * pace as f32) as u64;
        let mut event = self.person.request(at, self.session, chance);
        match pattern {
            Pattern::BulkRetrieval => self.take(&mut event, turn, 40, chance),
            Pattern::SlowDrip => self.take(&mut event, turn, 6, chance),
            Pattern::CredentialSharing => event = self.somebody_else(at, turn, chance),
            Pattern::PurposeDrift => self.turn_away(&mut event, turn, count, chance),
            Pattern::DenialProbing => probe(&mut event, chance),
            Pattern::TopicSweep => self.sweep(&mut event, turn, chance),
            Pattern::OffHoursSpike => {}
            Pattern::ToolAbuse => {
                event.action = Action::CallTool;
                event.tool = Some(digest(4, chance.below(TOOLS as usize) as u64));
            }
            Pattern::Injection => inject(&mut event, chance),
            Pattern::OutputFlood => flood(&mut event, chance),
        }
        event
    }

    /// Passage after passage of a collection that the principal may read.
    fn take(&self, event: &mut Event, turn: usize, count: usize, chance: &mut Chance) {
        let own = &self.person.collections;
        let collection = own.get(turn / 20 % own.len().max(1)).copied().unwrap_or(0);
        self.person.retrieve(event, collection, 1, chance);
        event.collections = vec![digest(5, collection)];
        event.passages = (0..count).map(|at| passage(collection, (turn * count + at) % 800)).collect();
    }

    fn somebody_else(&self, at: u64, turn: usize, chance: &mut Chance) -> Event {
        let other = &self.people[(self.person.number + 1 + turn % 4) % self.people.len()];
        let mut event = other.request(at, self.session ^ (turn % 4) as u64, chance);
        event.principal = self.person.name;
        event
    }

    /// First seldom, then always.
    fn turn_away(&self, event: &mut Event, turn: usize, count: usize, chance: &mut Chance) {
        if chance.unit() * count as f32 > turn as f32 * 1.5 {
            return;
        }
        event.purpose = digest(2, (self.person.number as u64 + turn as u64 / 30) % PURPOSES);
        let collection = (self.person.number as u64 * 7 + 1 + turn as u64 % 3) % COLLECTIONS;
        self.person.retrieve(event, collection, 5, chance);
    }

    fn sweep(&self, event: &mut Event, turn: usize, chance: &mut Chance) {
        let collection = turn as u64 % COLLECTIONS;
        self.person.retrieve(event, collection, 3, chance);
    }
}

fn probe(event: &mut Event, chance: &mut Chance) {
    event.purpose = digest(2, chance.below(PURPOSES as usize) as u64);
    if chance.unit() < 0.7 {
        deny(event);
    }
}

fn inject(event: &mut Event, chance: &mut Chance) {
    event.guard_score = Some(0.3 + 0.5 * chance.unit());
    event.findings = Some(u8::from(chance.unit() < 0.4));
    event.refused = Some(chance.unit() < 0.3);
}

fn flood(event: &mut Event, chance: &mut Chance) {
    event.max_tokens = Some(4096);
    event.response_bytes = Some(12_000 + chance.below(6000) as u32);
    event.duration_ms = Some(60_000);
}

/// Whether a person keeps hours, so that there are hours off.
impl Person {
    /// True of people, false of programs.
    pub fn keeps_hours(&self) -> bool {
        self.kind != Kind::Batch
    }
}

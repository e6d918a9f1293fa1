//! A simulator of workloads: an organisation's normal days, and attacks that hide in them.
//!
//! # Promises
//! - The same seed gives the same events.
//! - Normal has habits: each person has hours, purposes, collections, tools, a pace, and bad days.
//!
//! # Does not
//! - Stand for any real organisation. Figures from it compare detectors and show that settings hold; they do
//!   not foretell what a real workload gives.

mod attacks;
mod people;
pub mod trial;

pub use attacks::{Pattern, Strength};
pub use people::{Kind, Person};

use adyton_behaviour::{Chance, Event};

/// Milliseconds of an hour.
pub const HOUR_MS: u64 = 3_600_000;
/// Milliseconds of a day.
pub const DAY_MS: u64 = 24 * HOUR_MS;
/// Monday, 5 January 2026, 00:00 UTC.
pub const START_MS: u64 = 1_767_571_200_000;

/// An organisation.
#[derive(Clone, Debug)]
pub struct World {
    /// Who works there.
    pub people: Vec<Person>,
    seed: u64,
}

impl World {
    /// Makes up an organisation.
    pub fn new(seed: u64, people: usize) -> World {
        let mut chance = Chance::new(seed);
        let people = (0..people).map(|number| Person::new(number, &mut chance)).collect();
        World { people, seed }
    }

    /// Everything that happens on a normal day, in order.
    pub fn day(&self, day: u32) -> Vec<Event> {
        let mut events: Vec<Event> =
            self.people.iter().flat_map(|person| person.day(day, &mut self.chance(day, person))).collect();
        sort(&mut events);
        events
    }

    /// The events of one attack that begins on `day`, alone; [`merge`] puts them among others.
    pub fn attack(&self, pattern: Pattern, strength: Strength, victim: usize, day: u32) -> Vec<Event> {
        let person = &self.people[victim % self.people.len()];
        let mut chance = Chance::new(self.seed ^ 0xa77a ^ (u64::from(day) << 20) ^ ((victim as u64) << 40));
        let mut events = attacks::events(pattern, strength, person, &self.people, day, &mut chance);
        sort(&mut events);
        events
    }

    fn chance(&self, day: u32, person: &Person) -> Chance {
        Chance::new(self.seed.wrapping_mul(31) ^ (u64::from(day) << 32) ^ person.number as u64)
    }
}

/// Two streams as one, in order.
pub fn merge(a: Vec<Event>, b: Vec<Event>) -> Vec<Event> {
    let mut events = a;
    events.extend(b);
    sort(&mut events);
    events
}

fn sort(events: &mut [Event]) {
    events.sort_by_key(|event| (event.at_ms, event.principal, event.session));
}

/// The first millisecond of a day.
pub fn day_start(day: u32) -> u64 {
    START_MS + u64::from(day) * DAY_MS
}

//! Runs a watcher over workloads, and measures what it says of normal days and of attacks.
//!
//! # Promises
//! - Days on which is measured are none of those that were learned from.

use super::{Pattern, Strength, World, day_start, merge};
use adyton_behaviour::{Event, Heat, LessonError, Level, PValues, Risk, Settings, Watcher};
use std::collections::{BTreeMap, BTreeSet};

/// The settings that are shipped.
pub const SETTINGS: &str = include_str!("../../../enclave/policy/behaviour.toml");
/// People of an organisation, five of each kind and ten of the two that are common.
pub const PEOPLE: usize = 40;
/// Days before anything is measured: three weeks for the first baseline, three lessons more.
pub const LEARNED_DAYS: u32 = 42;
/// The three things that can alarm, in the order of tables.
pub const DETECTORS: [&str; 3] = ["forest", "autoencoder", "both"];

/// A watcher that knows its organisation.
#[derive(Clone, Debug)]
pub struct Trial {
    /// The organisation.
    pub world: World,
    /// The watcher.
    pub watcher: Watcher,
    /// The settings in force.
    pub settings: Settings,
}

/// What was said of normal days.
#[derive(Clone, Debug, Default)]
pub struct Quiet {
    /// Events.
    pub events: u64,
    /// Of those, alarms of each detector.
    pub alarms: [u64; 3],
    /// Days on which a principal did something, over all principals.
    pub person_days: u64,
    /// Of those, days on which its risk became high, by each detector.
    pub incidents: [u64; 3],
    /// One event of each principal and day, by chance: nearly independent. How many, and how many alarms of
    /// both.
    pub picked: (u64, u64),
}

/// When an attack was found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Found {
    /// How many events of the attack it took.
    pub events: usize,
    /// Minutes since its first event.
    pub minutes: f32,
}

/// What was said of one attack, by each detector.
#[derive(Clone, Debug, Default)]
pub struct Verdicts {
    /// When the principal's risk became high.
    pub found: [Option<Found>; 3],
    /// Events of the attack.
    pub events: usize,
    /// Of those, alarms.
    pub alarms: [usize; 3],
}

fn each(p: PValues) -> [f32; 3] {
    [p.forest, p.autoencoder, p.both]
}

impl Trial {
    /// Lets a watcher learn an organisation.
    ///
    /// # Errors
    /// [`LessonError`] if training fails.
    pub fn learn(seed: u64, settings: &Settings) -> Result<Trial, LessonError> {
        let world = World::new(seed, PEOPLE);
        let watcher = Watcher::new(settings.clone(), seed, day_start(0));
        let mut trial = Trial { world, watcher, settings: settings.clone() };
        for day in 0..LEARNED_DAYS {
            trial.live(trial.world.day(day), day)?;
        }
        Ok(trial)
    }

    /// One day of events, and a lesson if it is time for one.
    ///
    /// # Errors
    /// [`LessonError`] if training fails.
    pub fn live(&mut self, events: Vec<Event>, day: u32) -> Result<Vec<Risk>, LessonError> {
        let risks = events.iter().map(|event| self.watcher.observe(event)).collect();
        self.watcher.study(day_start(day + 1))?;
        Ok(risks)
    }

    /// What is said of normal days after those that were learned. Lessons go on.
    ///
    /// # Errors
    /// [`LessonError`] if training fails.
    pub fn quiet(&mut self, days: u32) -> Result<Quiet, LessonError> {
        let mut quiet = Quiet::default();
        let mut heats: BTreeMap<[u8; 32], [Heat; 3]> = BTreeMap::new();
        for day in LEARNED_DAYS..LEARNED_DAYS + days {
            let events = self.world.day(day);
            let risks = self.live(events.clone(), day)?;
            self.count_day(&events, &risks, &mut heats, &mut quiet);
        }
        Ok(quiet)
    }

    fn count_day(
        &self,
        events: &[Event],
        risks: &[Risk],
        heats: &mut BTreeMap<[u8; 32], [Heat; 3]>,
        quiet: &mut Quiet,
    ) {
        let mut high: [BTreeSet<[u8; 32]>; 3] = Default::default();
        let mut alarms_of: BTreeMap<[u8; 32], Vec<bool>> = BTreeMap::new();
        for (event, risk) in events.iter().zip(risks) {
            let Some(p_values) = risk.p_values else { continue };
            let heats = heats.entry(event.principal).or_default();
            let (alarms, levels) = self.judge(p_values, event, heats);
            quiet.events += 1;
            for detector in 0..3 {
                quiet.alarms[detector] += u64::from(alarms[detector]);
                if levels[detector] >= Level::High {
                    high[detector].insert(event.principal);
                }
            }
            alarms_of.entry(event.principal).or_default().push(alarms[2]);
        }
        quiet.person_days += alarms_of.len() as u64;
        (0..3).for_each(|detector| quiet.incidents[detector] += high[detector].len() as u64);
        for (name, alarms) in &alarms_of {
            // The name and the day's first event are chance enough.
            let at = (u64::from(name[0]) + events.first().map_or(0, |e| e.session)) % alarms.len() as u64;
            quiet.picked.0 += 1;
            quiet.picked.1 += u64::from(alarms[at as usize]);
        }
    }

    fn judge(&self, p: PValues, event: &Event, heats: &mut [Heat; 3]) -> ([bool; 3], [Level; 3]) {
        let alarms = each(p).map(|p| p <= self.settings.alpha);
        let mut levels = [Level::Normal; 3];
        for ((level, heat), alarm) in levels.iter_mut().zip(heats).zip(alarms) {
            *level = Heat::level(alarm, heat.count(alarm, event.at_ms), &self.settings);
        }
        (alarms, levels)
    }

    /// One attack among a normal day, seen by a copy of the watcher.
    pub fn attacked(&self, pattern: Pattern, strength: Strength, victim: usize, day: u32) -> Verdicts {
        let attack = self.world.attack(pattern, strength, victim, day);
        let sessions: BTreeSet<u64> = attack.iter().map(|event| event.session).collect();
        let (name, began) = (self.world.people[victim % PEOPLE].name, attack.first().map_or(0, |e| e.at_ms));
        let last = attack.last().map_or(0, |event| event.at_ms);
        let normal = (day..day + 3).flat_map(|day| self.world.day(day)).filter(|e| e.at_ms <= last);
        let mut watcher = self.watcher.clone();
        let mut heats = [Heat::default(); 3];
        let mut verdicts = Verdicts::default();
        for event in merge(normal.collect(), attack) {
            let risk = watcher.observe(&event);
            let Some(p_values) = risk.p_values.filter(|_| event.principal == name) else { continue };
            let (alarms, levels) = self.judge(p_values, &event, &mut heats);
            if sessions.contains(&event.session) {
                let minutes = (event.at_ms - began) as f32 / 60_000.0;
                verdicts.count(alarms, levels, minutes);
            }
        }
        verdicts
    }

    /// People whom an attack can be about: they keep hours, and differ in kind.
    pub fn victims(&self, how_many: usize) -> Vec<usize> {
        (0..PEOPLE)
            .filter(|at| self.world.people[*at].keeps_hours())
            .cycle()
            .step_by(3)
            .take(how_many)
            .collect()
    }
}

impl Verdicts {
    fn count(&mut self, alarms: [bool; 3], levels: [Level; 3], minutes: f32) {
        self.events += 1;
        for detector in 0..3 {
            self.alarms[detector] += usize::from(alarms[detector]);
            if levels[detector] >= Level::High && self.found[detector].is_none() {
                self.found[detector] = Some(Found { events: self.events, minutes });
            }
        }
    }
}

//! Behaviour over simulated weeks: the setting holds, each pattern is found, poisoning is noticed, cold is
//! stricter.
//!
//! # Promises
//! - Seeds are fixed, and none is one that `make eval` prints figures of.
//!
//! # Does not
//! - Show anything of real workloads.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test that cannot go on ends

use adyton_behaviour::{Chance, Event, Level, Response, Risk, Settings, Watcher};
use adyton_tests::workload::trial::{LEARNED_DAYS, SETTINGS, Trial};
use adyton_tests::workload::{Pattern, Strength, World, day_start, merge};

fn settings() -> Settings {
    Settings::parse(SETTINGS).unwrap()
}

/// The least count that a binomial distribution exceeds with probability below 1 in 1000; exact, by summing
/// it up.
fn bound(n: u64, alpha: f64) -> u64 {
    let mut term = (1.0 - alpha).powi(i32::try_from(n).unwrap());
    let (mut k, mut sum) = (0, term);
    while sum < 0.999 {
        term *= (n - k) as f64 / (k + 1) as f64 * alpha / (1.0 - alpha);
        k += 1;
        sum += term;
    }
    k
}

#[test]
fn the_share_of_false_alarms_is_the_setting() {
    for seed in [101, 102, 103] {
        let quiet = Trial::learn(seed, &settings()).unwrap().quiet(14).unwrap();
        // Events of one day of one principal depend on each other: one of each is picked.
        let (picked, alarms) = quiet.picked;
        assert!(picked > 400 && alarms <= bound(picked, 0.01), "seed {seed}: {alarms} of {picked}");
        // Of all events nothing exact can be said; half as much again is allowed.
        let share = quiet.alarms[2] as f64 / quiet.events as f64;
        assert!(share < 0.015, "seed {seed}: {share}");
    }
}

/// What the combination finds of ten attacks each, at least, when it is loud and when it is quiet. Measured
/// with this seed; one less is allowed.
const FLOORS: [(Pattern, usize, usize); 10] = [
    (Pattern::BulkRetrieval, 9, 8),
    (Pattern::SlowDrip, 9, 9),
    (Pattern::CredentialSharing, 9, 9),
    (Pattern::PurposeDrift, 9, 7),
    (Pattern::DenialProbing, 9, 9),
    (Pattern::TopicSweep, 8, 2),
    (Pattern::OffHoursSpike, 7, 4),
    (Pattern::ToolAbuse, 9, 7),
    (Pattern::Injection, 9, 5),
    (Pattern::OutputFlood, 9, 9),
];

#[test]
fn each_pattern_is_found_as_often_as_was_measured() {
    let trial = Trial::learn(104, &settings()).unwrap();
    let found = |pattern, strength| {
        let verdicts =
            trial.victims(10).into_iter().map(|v| trial.attacked(pattern, strength, v, LEARNED_DAYS + 1));
        verdicts.filter(|verdicts| verdicts.found[2].is_some()).count()
    };
    let measured = FLOORS
        .map(|(pattern, ..)| (pattern, found(pattern, Strength::Loud), found(pattern, Strength::Quiet)));
    println!("{measured:?}");
    for ((pattern, loud, quiet), floor) in measured.iter().zip(FLOORS) {
        assert!(*loud >= floor.1 && *quiet >= floor.2, "{pattern:?}: of {measured:?}");
    }
}

/// A day of which `who` does `factor` times as much.
fn grown(world: &World, day: u32, factor: f32, who: &dyn Fn(&Event) -> bool) -> Vec<Event> {
    let mut chance = Chance::new(u64::from(day));
    let mut more = Vec::new();
    let normal = world.day(day);
    for event in normal.iter().filter(|event| who(event)) {
        let copies = factor - 1.0;
        let copies = copies.floor() as usize + usize::from(chance.unit() < copies.fract());
        for copy in 0..copies {
            let mut event = event.clone();
            event.at_ms += 1000 * (copy as u64 + 1) * (1 + chance.below(20)) as u64;
            event.passages.iter_mut().for_each(|passage| *passage ^= chance.bits());
            more.push(event);
        }
    }
    merge(normal, more)
}

#[test]
fn whoever_grows_slowly_is_found_long_before_the_goal_and_the_goal_never_becomes_normal() {
    // 2 % more each day; eight times as much after 105 days.
    let mut trial = Trial::learn(105, &settings()).unwrap();
    let poisoner = trial.world.people[1].name; // reads much
    let who = |event: &Event| event.principal == poisoner;
    let (mut high, mut drift, mut factor, mut day) = (None, None, 1.0_f32, LEARNED_DAYS);
    let (mut alarms, mut days) = ((0, 0), (0, 0));
    while factor < 8.0 {
        factor *= 1.02;
        let events = grown(&trial.world, day, factor, &who);
        let risks = trial.live(events.clone(), day).unwrap();
        let own: Vec<_> =
            events.iter().zip(&risks).filter(|(event, _)| who(event)).map(|(_, risk)| risk).collect();
        high = high.or_else(|| own.iter().any(|risk| risk.level >= Level::High).then_some(factor));
        drift = drift.or_else(|| trial.watcher.drift().map(|_| factor));
        if factor > 7.0 {
            let strange =
                own.iter().filter(|risk| risk.p_values.unwrap().both <= trial.settings.alpha).count();
            alarms = (alarms.0 + strange, alarms.1 + own.len());
            let is_high = own.iter().any(|risk| risk.level >= Level::High);
            days = (days.0 + u32::from(is_high), days.1 + 1);
        }
        day += 1;
    }
    let (high, drift) = (high.expect("risk never high"), drift.expect("no drift"));
    // Measured: drift at 3.5 (lessons are weekly), high at 3.2.
    assert!(drift < 4.0 && high < 4.0, "drift at {drift}, high at {high} times as much");
    println!("high at {high}, drift at {drift}, at the goal {alarms:?}, {days:?}");
    // Measured: 13 % of its events, where 1 % is normal.
    assert!(
        alarms.0 * 20 > alarms.1 && days.0 * 2 > days.1,
        "at the goal {alarms:?} alarm, {days:?} are high"
    );
}

#[test]
fn if_all_grow_slowly_drift_is_told_and_the_baseline_stays_until_a_person_takes_the_new_one() {
    let mut trial = Trial::learn(106, &settings()).unwrap();
    assert_eq!(trial.watcher.drift(), None);
    let (mut factor, mut day) = (1.0_f32, LEARNED_DAYS);
    while trial.watcher.drift().is_none() && factor < 3.0 {
        factor *= 1.02;
        let events = grown(&trial.world, day, factor, &|_| true);
        trial.live(events, day).unwrap();
        day += 1;
    }
    assert!(trial.watcher.drift().is_some() && factor < 2.0, "{:?} at {factor}", trial.watcher.drift());
    let alarms = |risks: &[Risk]| risks.iter().filter(|risk| risk.response >= Response::Throttle).count();
    // Two more weeks of it change nothing, until a person calls it normal.
    let mut shares = Vec::new();
    for week in 0..3 {
        let mut risks = Vec::new();
        for _ in 0..7 {
            let events = grown(&trial.world, day, factor, &|_| true);
            risks.extend(trial.live(events, day).unwrap());
            day += 1;
        }
        shares.push(alarms(&risks) as f32 / risks.len() as f32);
        assert_eq!(trial.watcher.drift().is_some(), week < 2, "{shares:?}");
        if week == 1 {
            trial.watcher.acknowledge_drift();
            assert_eq!(trial.watcher.drift(), None);
        }
    }
    assert!(shares[2] < 0.03, "{shares:?}");
}

/// Of attacks on a system that knows nothing yet, those that the limits answer; and normal days are held
/// more often than by a system that knows.
#[test]
fn cold_is_stricter() {
    let warm = Trial::learn(107, &settings()).unwrap();
    let mut cold = Trial { watcher: Watcher::new(settings(), 1, day_start(LEARNED_DAYS)), ..warm.clone() };
    let held = |trial: &mut Trial| {
        let risks = (0..3)
            .flat_map(|day| trial.live(trial.world.day(LEARNED_DAYS + day), LEARNED_DAYS + day).unwrap());
        risks.filter(|risk| risk.response >= Response::Approve).count()
    };
    let (of_warm, of_cold) = (held(&mut warm.clone()), held(&mut cold));
    assert!(cold.watcher.is_cold() && of_cold > of_warm, "{of_cold} cold, {of_warm} warm");
    for pattern in [Pattern::BulkRetrieval, Pattern::DenialProbing, Pattern::TopicSweep, Pattern::ToolAbuse] {
        let mut watcher = cold.watcher.clone();
        let attack = warm.world.attack(pattern, Strength::Loud, 1, LEARNED_DAYS + 3);
        let at = attack.iter().position(|event| watcher.observe(event).response >= Response::Approve);
        assert!(at.is_some_and(|at| at < 60), "{pattern:?}: {at:?}");
    }
}

#[test]
fn the_same_seed_gives_the_same_risks() {
    let run = || {
        let short = Settings { min_days: 7, ..settings() };
        let world = World::new(108, 24);
        let mut watcher = Watcher::new(short, 9, day_start(0));
        let mut risks = Vec::new();
        for day in 0..9 {
            risks.extend(world.day(day).iter().map(|event| watcher.observe(event)));
            watcher.study(day_start(day + 1)).unwrap();
        }
        assert!(!watcher.is_cold());
        risks
    };
    assert!(run() == run());
}

//! Prints what the detectors of behaviour find, what they cost, and how often they are wrong: `make eval`.
//!
//! # Promises
//! - The same seeds give the same table, but for the times, on the same kind of processor.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a bench that cannot go on ends

use adyton_behaviour::{Level, Settings};
use adyton_tests::workload::trial::{DETECTORS, LEARNED_DAYS, Quiet, SETTINGS, Trial, Verdicts};
use adyton_tests::workload::{Pattern, Strength};
use std::time::Instant;

/// Organisations. `docs/behaviour.md` names them.
const SEEDS: [u64; 4] = [11, 12, 13, 14];
/// Attacks of each pattern and strength in each organisation.
const VICTIMS: usize = 10;
/// Normal days on which false alarms are counted.
const QUIET_DAYS: u32 = 14;

fn settings(alpha: f32) -> Settings {
    Settings { alpha, ..Settings::parse(SETTINGS).unwrap() }
}

fn main() {
    for alpha in [0.01, 0.001] {
        let trials: Vec<Trial> =
            SEEDS.iter().map(|seed| Trial::learn(*seed, &settings(alpha)).unwrap()).collect();
        println!("alpha = {alpha}, seeds {SEEDS:?}, {LEARNED_DAYS} days learned\n");
        let quiet: Vec<Quiet> = trials.iter().map(|trial| trial.clone().quiet(QUIET_DAYS).unwrap()).collect();
        print_quiet(&quiet);
        if alpha == 0.01 {
            print_attacks(&trials); // at the setting that is shipped
            print_cost(&trials[0]);
        }
    }
}

fn print_quiet(quiet: &[Quiet]) {
    let sum = |of: &dyn Fn(&Quiet) -> u64| quiet.iter().map(of).sum::<u64>();
    let (events, days) = (sum(&|q| q.events), sum(&|q| q.person_days));
    println!("| normal days, held out | {} |", DETECTORS.join(" | "));
    println!("|---|---|---|---|");
    let share = |part: u64, of: u64| format!("{:.2} %", 100.0 * part as f64 / of as f64);
    let alarms = [0, 1, 2].map(|d| share(sum(&|q| q.alarms[d]), events));
    println!("| alarms, of {events} events | {} |", alarms.join(" | "));
    let incidents = [0, 1, 2].map(|d| share(sum(&|q| q.incidents[d]), days));
    println!("| risk high, of {days} days of a principal | {} |\n", incidents.join(" | "));
}

fn print_attacks(trials: &[Trial]) {
    println!("| pattern | | {} | events to detect | minutes | alarms |", DETECTORS.join(" | "));
    println!("|---|---|---|---|---|---|---|---|");
    for pattern in Pattern::ALL {
        for strength in [Strength::Loud, Strength::Quiet] {
            let verdicts: Vec<Verdicts> = trials.iter().flat_map(|t| run(t, pattern, strength)).collect();
            println!("| {} | {} | {} |", pattern.name(), strength.name(), row(&verdicts));
        }
    }
    println!();
}

fn run(trial: &Trial, pattern: Pattern, strength: Strength) -> Vec<Verdicts> {
    let victims = trial.victims(VICTIMS);
    victims.into_iter().map(|victim| trial.attacked(pattern, strength, victim, LEARNED_DAYS + 1)).collect()
}

fn row(verdicts: &[Verdicts]) -> String {
    let recall = |d: usize| verdicts.iter().filter(|v| v.found[d].is_some()).count();
    let recalls = [0, 1, 2].map(|d| format!("{:.0} %", 100.0 * recall(d) as f64 / verdicts.len() as f64));
    let found = || verdicts.iter().filter_map(|v| v.found[2]);
    let events = median(found().map(|found| found.events as f32).collect());
    let minutes = median(found().map(|found| found.minutes).collect());
    let (alarms, all) = verdicts.iter().fold((0, 0), |(a, n), v| (a + v.alarms[2], n + v.events));
    let share = 100.0 * alarms as f64 / all.max(1) as f64;
    format!("{} | {events:.0} | {minutes:.0} | {share:.0} %", recalls.join(" | "))
}

fn median(mut values: Vec<f32>) -> f32 {
    values.sort_by(f32::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f32::NAN)
}

fn print_cost(trial: &Trial) {
    let (events, mut watcher) = (trial.world.day(LEARNED_DAYS), trial.watcher.clone());
    let started = Instant::now();
    let strange = events.iter().filter(|event| watcher.assess(event).level >= Level::Elevated).count();
    let assess = started.elapsed().as_secs_f64() * 1e6 / events.len() as f64;
    let started = Instant::now();
    let seen = events.iter().filter(|event| watcher.observe(event).level >= Level::Elevated).count();
    let observe = started.elapsed().as_secs_f64() * 1e6 / events.len() as f64;
    println!(
        "assess {assess:.1} us, observe {observe:.1} us an event (mean of {}; {strange} and {seen} strange)\n",
        events.len()
    );
}

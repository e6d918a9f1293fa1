//! How long aggregation and a local epoch take, and how much memory an aggregator needs.

use crate::dice::Dice;
use crate::texts::load;
use crate::training::{ledger, who};
use adyton_learning::ledger::Use;
use adyton_learning::round::head::{Example, Head};
use adyton_learning::round::policy::subject;
use adyton_learning::round::{Aggregator, Policy, Unit, Update};
use anyhow::Result;
use std::time::Instant;

/// Adapters of rank 4 at queries and values of the encoder's six layers of 384, and its head.
const ADAPTER: u32 = 6 * 2 * (384 + 384) * 4 + 385;

fn policy(dimension: u32, count: usize) -> Policy {
    Policy {
        dimension,
        clip: 1.0,
        sigma: 1.0,
        unit: Unit::Participant,
        cohort: 20,
        rounds: 1,
        epochs: 1,
        step: 0.5,
        groups: 10,
        trim: 2,
        epsilon: 6.0,
        delta: 1e-5,
        participants: (0..count).map(who).collect(),
    }
}

/// Seconds for so many updates of a dimension: taking them, and the release with its noise.
///
/// # Errors
/// If the aggregator refuses.
pub fn aggregation(dimension: u32, count: usize) -> Result<(f64, f64)> {
    let (policy, mut dice) = (policy(dimension, count), Dice::new(1));
    let values: Vec<f64> = (0..dimension).map(|_| dice.below(1000) as f64 - 500.0).collect();
    let update = Update::clipped(&policy, 1, &values).map(|update| update.encode());
    let update = update.ok_or_else(|| anyhow::anyhow!("not an update"))?;
    let start = Instant::now();
    let mut aggregator = Aggregator::new(policy.clone(), 1)?;
    for at in 0..count {
        aggregator.accept(&who(at), &update, &mut dice)?;
    }
    let taken = start.elapsed().as_secs_f64();
    let price = ledger(1e-5)?.reserve(Use::Learning, &policy.mechanism(1), subject(&policy.digest(), 1))?;
    let start = Instant::now();
    aggregator.close()?.release(price.recorded(), &mut dice)?;
    Ok((taken, start.elapsed().as_secs_f64()))
}

/// Prints the table.
///
/// # Errors
/// If the aggregator refuses.
pub fn print() -> Result<()> {
    println!("| what | found | mark |\n|---|---|---|");
    for (name, dimension) in
        [("the head, 2,049 values", 2049), ("adapters of rank 4, 37,249 values", ADAPTER)]
    {
        let (taken, released) = aggregation(dimension, 1000)?;
        println!("| 1,000 updates of {name}: checked and summed | {taken:.3} s | 10 s with the next |");
        println!("| the same: robust sum, noise, receipt | {released:.3} s | |");
        let bytes = 10 * dimension as usize * 8;
        println!(
            "| the same: sums in memory, for any cohort | {:.1} MB | does not grow |",
            bytes as f64 / 1e6
        );
    }
    let mut dice = Dice::new(3);
    let texts = load(2049, 400, &mut dice);
    let examples: Vec<Example> = texts.all.into_iter().map(|text| text.example).take(2000).collect();
    let start = Instant::now();
    Head::new(2049).trained(&examples, 1, 0.5, &mut dice)?;
    let epoch = start.elapsed().as_secs_f64();
    println!(
        "| a local epoch over {} examples of {}, features ready, one core | {epoch:.3} s | 60 s |",
        examples.len(),
        texts.origin
    );
    Ok(())
}

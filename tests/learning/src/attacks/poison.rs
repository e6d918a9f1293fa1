//! Poisoning: participants that send the opposite of what they should, as long as they may.

use crate::dice::Dice;
use crate::texts::made;
use crate::training::{accuracy, calibrated, federated, undefended, values, who};
use crate::worth::organisations;
use adyton_learning::round::head::Example;
use adyton_learning::round::{Policy, Unit, Update};
use anyhow::Result;

const DIMENSION: u32 = 1025;
const PARTICIPANTS: usize = 20;
const EACH: usize = 60;

fn policy(groups: u32, trim: u32) -> Result<Policy> {
    let rate = 0.5;
    calibrated(&Policy {
        dimension: DIMENSION,
        // Half of the texts, a quarter of their clip each: what an honest participant gives fits.
        clip: 4.0,
        sigma: 1.0,
        unit: Unit::Example { clip: 0.5, rate, batch: (rate * (PARTICIPANTS * EACH) as f64) as u32 },
        cohort: PARTICIPANTS as u32,
        rounds: 20,
        epochs: 1,
        step: 10.0,
        groups,
        trim,
        epsilon: 8.0,
        delta: 1e-5,
        participants: (0..PARTICIPANTS).map(who).collect(),
    })
}

/// Balanced accuracy without a clip, with it, and with trimmed groups; `liars` of twenty send their update turned round, a
/// thousand times as long where nobody clips, and as long as the clip where somebody does.
///
/// # Errors
/// If a training is refused.
pub fn table(liars: usize, count: usize) -> Result<[f64; 3]> {
    let mut dice = Dice::new(31);
    let texts = made(DIMENSION, count, &mut dice).all;
    let (held, given) = texts.split_at(texts.len() / 4);
    let held: Vec<Example> = held.iter().map(|text| text.example.clone()).collect();
    let own = organisations(given, PARTICIPANTS, EACH, &mut dice);
    let turned = |at: usize, update: &mut [f64]| {
        if at < liars {
            update.iter_mut().for_each(|value| *value *= -1000.0);
        }
    };
    let lie = |at: usize, policy: &Policy, round: u32, bytes: &[u8]| {
        let mut update = values(policy, bytes);
        turned(at, &mut update);
        (at < liars)
            .then(|| Update::clipped(policy, round, &update).map(|update| update.encode().to_vec()))?
    };
    let off = undefended(&policy(1, 0)?, &own, &turned, &mut dice)?;
    let clipped = federated(&policy(1, 0)?, &own, &lie, &mut dice)?;
    let trimmed = federated(&policy(20, 4)?, &own, &lie, &mut dice)?;
    Ok([accuracy(&off, &held), accuracy(&clipped, &held), accuracy(&trimmed, &held)])
}

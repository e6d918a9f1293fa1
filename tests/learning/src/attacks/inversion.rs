//! Gradient inversion: from what a round gives away, which texts were in it?
//!
//! Each participant has one text, the worst case. A gradient of a linear head is the text's features times a number, so the
//! attacker, who has a list of texts that may be among them, looks for those that explain the sum: orthogonal matching pursuit
//! (Pati, Rezaiifar and Krishnaprasad 1993), as many as there are participants. Of a single gradient it finds the text exactly.

use crate::dice::Dice;
use crate::texts::made;
use crate::training::{ledger, values, who};
use adyton_learning::ledger::Use;
use adyton_learning::round::head::{Example, Head, Window};
use adyton_learning::round::policy::subject;
use adyton_learning::round::{Aggregator, Participant, Policy, Unit};
use anyhow::Result;

const DIMENSION: u32 = 1025;

fn policy(cohort: usize, sigma: f64) -> Policy {
    Policy {
        dimension: DIMENSION,
        clip: 0.25,
        sigma,
        unit: Unit::Participant,
        cohort: cohort as u32,
        rounds: 1,
        epochs: 1,
        step: 1.0,
        groups: 1,
        trim: 0,
        epsilon: 10.0,
        delta: 1e-5,
        participants: (0..cohort).map(who).collect(),
    }
}

/// A window's features without the bias, which all texts share, of length one.
fn direction(window: &Window) -> Vec<f64> {
    let mut dense = vec![0.0; DIMENSION as usize - 1];
    for (at, value) in window.values() {
        if let Some(place) = dense.get_mut(*at as usize) {
            *place = f64::from(*value);
        }
    }
    let length = dense.iter().map(|value| value * value).sum::<f64>().sqrt().max(1e-12);
    dense.iter_mut().for_each(|value| *value /= length);
    dense
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// So many of the list that together explain the sum best.
fn pursued(sum: &[f64], list: &[Vec<f64>], many: usize) -> Vec<usize> {
    let mut rest = sum[..sum.len() - 1].to_vec();
    let (mut found, mut basis): (Vec<usize>, Vec<Vec<f64>>) = (Vec::new(), Vec::new());
    for _ in 0..many {
        let fit = |at: &usize| dot(&rest, &list[*at]).abs();
        let Some(best) =
            (0..list.len()).filter(|at| !found.contains(at)).max_by(|a, b| fit(a).total_cmp(&fit(b)))
        else {
            break;
        };
        found.push(best);
        // What those that were found explain is taken out (Gram and Schmidt).
        let mut new = list[best].clone();
        for old in &basis {
            let share = dot(&new, old);
            new.iter_mut().zip(old).for_each(|(new, old)| *new -= share * old);
        }
        let length = dot(&new, &new).sqrt();
        if length > 1e-9 {
            new.iter_mut().for_each(|value| *value /= length);
            let share = dot(&rest, &new);
            rest.iter_mut().zip(&new).for_each(|(rest, new)| *rest -= share * new);
            basis.push(new);
        }
    }
    found
}

/// What the host sees of one round: a plain sum of what was trained or of clipped updates, or the step that the aggregator
/// released.
fn seen(texts: &[&Example], defence: Defence, dice: &mut Dice) -> Result<Vec<f64>> {
    let model = Head::new(DIMENSION);
    let sigma = if let Defence::Noise(sigma) = defence { sigma } else { 1.0 };
    let policy = policy(texts.len(), sigma);
    let mut sum = vec![0.0; DIMENSION as usize];
    let mut aggregator = Aggregator::new(policy.clone(), 1)?;
    for (at, text) in texts.iter().enumerate() {
        let own = [(*text).clone()];
        if defence == Defence::Off {
            let trained = model.trained(&own, 1, 1.0, dice)?;
            sum.iter_mut().zip(&trained.0).for_each(|(sum, weight)| *sum += f64::from(*weight));
            continue;
        }
        let update = Participant::new(policy.clone(), 0)?.update(1, &model, &own, dice)?.encode();
        aggregator.accept(&who(at), &update, dice)?;
        sum.iter_mut().zip(values(&policy, &update)).for_each(|(sum, value)| *sum += value);
    }
    if let Defence::Noise(_) = defence {
        let price =
            ledger(1e-5)?.reserve(Use::Learning, &policy.mechanism(1), subject(&policy.digest(), 1))?;
        let released = aggregator.close()?.release(price.recorded(), dice)?;
        return Ok(released.step().iter().map(|value| f64::from(*value)).collect());
    }
    Ok(sum)
}

/// What stands between the attacker and the texts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Defence {
    /// Nothing.
    Off,
    /// Each update is clipped; their sum is seen.
    Clip,
    /// What the aggregator releases with so much noise.
    Noise(f64),
}

/// Share of the cohort's texts that are found among `candidates`, over rounds of `total` texts in all.
///
/// # Errors
/// If a round is refused.
pub fn found(cohort: usize, candidates: usize, total: usize, defence: Defence, seed: u64) -> Result<f64> {
    let mut dice = Dice::new(seed);
    let texts = made(DIMENSION, candidates, &mut dice).all;
    let list: Vec<Vec<f64>> =
        texts.iter().filter_map(|text| text.example.windows.first()).map(direction).collect();
    let (mut right, mut all) = (0, 0);
    while all < total {
        let mut order: Vec<usize> = (0..texts.len()).collect();
        dice.shuffle(&mut order);
        let inside = &order[..cohort];
        let given: Vec<&Example> = inside.iter().map(|at| &texts[*at].example).collect();
        let sum = seen(&given, defence, &mut dice)?;
        right += pursued(&sum, &list, cohort).iter().filter(|at| inside.contains(at)).count();
        all += cohort;
    }
    Ok(right as f64 / all as f64)
}

/// Off, clipped, with noise of one clip and of four.
///
/// # Errors
/// If a round is refused.
pub fn table(cohort: usize, candidates: usize, total: usize, seed: u64) -> Result<[f64; 4]> {
    let one = |defence| found(cohort, candidates, total, defence, seed);
    Ok([one(Defence::Off)?, one(Defence::Clip)?, one(Defence::Noise(1.0))?, one(Defence::Noise(4.0))?])
}

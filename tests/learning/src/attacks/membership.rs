//! Membership inference: was this text in the training of the released model?
//!
//! The likelihood-ratio attack with shadow models (Carlini et al. 2022, arXiv:2112.03570): many models are trained, each on half
//! of the texts by lot; of each text the scores of models that had it and of those that had it not are two normal distributions,
//! and which of them fits a model under attack better is the answer. Said as its authors ask: true positives at 1 % false ones.

use crate::dice::Dice;
use crate::texts::made;
use crate::training::{calibrated, federated, who};
use adyton_learning::round::head::{Example, Head};
use adyton_learning::round::{Policy, Unit};
use anyhow::Result;

const DIMENSION: u32 = 513;
const TEXTS: usize = 240;
const PARTICIPANTS: usize = 20;
const FALSE_POSITIVES: f64 = 0.01;
const DELTA: f64 = 1e-5;

/// How a model under attack was trained.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Training {
    /// As long as it gets better on its own texts.
    Plain,
    /// Federated, with so much epsilon for an example.
    Federated(f64),
}

fn policy(epsilon: f64) -> Result<Policy> {
    let clip = 0.5;
    calibrated(&Policy {
        dimension: DIMENSION,
        clip: clip * 20.0,
        sigma: 1.0,
        unit: Unit::Example { clip, rate: 0.5, batch: TEXTS as u32 / 4 },
        cohort: PARTICIPANTS as u32,
        rounds: 10,
        epochs: 1,
        step: 8.0,
        groups: 1,
        trim: 0,
        epsilon,
        delta: DELTA,
        participants: (0..PARTICIPANTS).map(who).collect(),
    })
}

fn train(texts: &[&Example], training: Training, policy: Option<&Policy>, dice: &mut Dice) -> Result<Head> {
    let own = |at: usize| texts.iter().skip(at).step_by(PARTICIPANTS).map(|text| (*text).clone()).collect();
    match (training, policy) {
        (Training::Federated(_), Some(policy)) => {
            let organisations: Vec<Vec<Example>> = (0..PARTICIPANTS).map(own).collect();
            federated(policy, &organisations, &|_, _, _, _| None, dice)
        }
        _ => {
            let all: Vec<Example> = texts.iter().map(|text| (*text).clone()).collect();
            Ok(Head::new(DIMENSION).trained(&all, 60, 1.0, dice)?)
        }
    }
}

/// The logarithm of a normal density with the mean and spread of these scores.
fn fit(scores: &[f64], score: f64) -> f64 {
    let count = scores.len().max(1) as f64;
    let mean = scores.iter().sum::<f64>() / count;
    let variance = scores.iter().map(|one| (one - mean).powi(2)).sum::<f64>() / count + 1e-6;
    -0.5 * ((score - mean).powi(2) / variance + variance.ln())
}

/// True positives at 1 % false positives, with so many models; half of the labels are wrong, as in a set that is hard to learn
/// without remembering it.
///
/// # Errors
/// If a training is refused.
pub fn found(models: usize, training: Training, seed: u64) -> Result<f64> {
    let mut dice = Dice::new(seed);
    let mut texts: Vec<Example> =
        made(DIMENSION, TEXTS, &mut dice).all.into_iter().map(|text| text.example).collect();
    texts.iter_mut().for_each(|text| text.attack = dice.below(2) == 0);
    let policy = if let Training::Federated(epsilon) = training { Some(policy(epsilon)?) } else { None };
    let (mut members, mut scores) = (Vec::new(), Vec::new());
    for _ in 0..models {
        let inside: Vec<bool> = texts.iter().map(|_| dice.below(2) == 0).collect();
        let given: Vec<&Example> =
            texts.iter().zip(&inside).filter(|(_, inside)| **inside).map(|(text, _)| text).collect();
        let head = train(&given, training, policy.as_ref(), &mut dice)?;
        let margin = |text: &Example| f64::from(head.score(text)) * if text.attack { 1.0 } else { -1.0 };
        scores.push(texts.iter().map(margin).collect::<Vec<f64>>());
        members.push(inside);
    }
    let (mut positives, mut negatives) = (Vec::new(), Vec::new());
    for (model, own) in scores.iter().enumerate() {
        for (at, score) in own.iter().enumerate() {
            let others = |inside: bool| -> Vec<f64> {
                (0..models)
                    .filter(|n| *n != model && members[*n][at] == inside)
                    .map(|n| scores[n][at])
                    .collect()
            };
            let ratio = fit(&others(true), *score) - fit(&others(false), *score);
            if members[model][at] { positives.push(ratio) } else { negatives.push(ratio) }
        }
    }
    negatives.sort_by(|a, b| b.total_cmp(a));
    let threshold = negatives[(negatives.len() as f64 * FALSE_POSITIVES) as usize];
    Ok(positives.iter().filter(|ratio| **ratio > threshold).count() as f64 / positives.len() as f64)
}

/// What was released, true positives, and what epsilon allows at most.
type Line = (String, f64, Option<f64>);

/// The table.
///
/// # Errors
/// If a training is refused.
pub fn table(models: usize) -> Result<Vec<Line>> {
    let mut lines = vec![(
        "trained to the end on its texts, no noise".to_owned(),
        found(models, Training::Plain, 21)?,
        None,
    )];
    for epsilon in [8.0, 4.0, 1.0] {
        let found = found(models, Training::Federated(epsilon), 21)?;
        let bound = (f64::exp(epsilon) * FALSE_POSITIVES + DELTA).min(1.0);
        lines.push((format!("federated, epsilon {epsilon} for an example"), found, Some(bound)));
    }
    Ok(lines)
}

//! A whole federated training, through the participants and the aggregator that ship.

use crate::dice::Dice;
use adyton_learning::ledger::{Anchor, Ledger, Limits, Use};
use adyton_learning::round::head::{Example, Head};
use adyton_learning::round::policy::subject;
use adyton_learning::round::update::HEAD;
use adyton_learning::round::{Aggregator, Participant, Policy, Unit};
use anyhow::{Context, Result};

/// The name of a participant.
pub fn who(at: usize) -> [u8; 32] {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&(at as u64).to_be_bytes());
    key
}

/// A ledger with room for anything that a table asks.
pub fn ledger(delta: f64) -> Result<Ledger> {
    let limits = Limits { epsilon: 1000.0, delta, uses: [0.0, 1000.0, 0.0] };
    Ok(Ledger::open(limits, &[], &Anchor::genesis(&limits))?)
}

/// The least noise with which all rounds of a policy stay within its epsilon.
pub fn calibrated(policy: &Policy) -> Result<Policy> {
    let (mut low, mut high) = (0.3, 60.0);
    for _ in 0..30 {
        let middle = 0.5 * (low + high);
        // A grid that is too coarse for so little noise is no figure: more noise.
        let cost = Policy { sigma: middle, ..policy.clone() }.epsilon_after(policy.rounds);
        if cost.is_ok_and(|cost| cost <= policy.epsilon) { high = middle } else { low = middle }
    }
    let policy = Policy { sigma: high, ..policy.clone() };
    policy.check().context("no noise keeps the policy's epsilon")?;
    Ok(policy)
}

/// Values of an encoded update, in the units of the model.
pub fn values(policy: &Policy, bytes: &[u8]) -> Vec<f64> {
    let scale = policy.clip / adyton_learning::round::policy::TICKS as f64;
    let value = |four: &[u8; 4]| f64::from(i32::from_le_bytes(*four)) * scale;
    bytes.get(HEAD..).unwrap_or_default().as_chunks().0.iter().map(value).collect()
}

/// What a participant that lies sends instead of his update. None: he is honest.
pub type Lie<'a> = &'a dyn Fn(usize, &Policy, u32, &[u8]) -> Option<Vec<u8>>;

/// Trains a head from nothing: every organisation gives to every round.
///
/// # Errors
/// If the policy, a participant, the ledger or the aggregator refuses.
pub fn federated(
    policy: &Policy,
    organisations: &[Vec<Example>],
    lie: Lie<'_>,
    dice: &mut Dice,
) -> Result<Head> {
    let mut ledger = ledger(policy.delta)?;
    let mut participants = Vec::new();
    for _ in organisations {
        participants.push(Participant::new(policy.clone(), 0)?);
    }
    let (mut head, mut mean) = (Head::new(policy.dimension), Head::new(policy.dimension));
    let averaged = policy.rounds.div_ceil(2);
    for round in 1..=policy.rounds {
        let mut aggregator = Aggregator::new(policy.clone(), round)?;
        for (at, (participant, examples)) in participants.iter_mut().zip(organisations).enumerate() {
            let update = participant.update(round, &head, examples, dice)?.encode();
            let sent = lie(at, policy, round, &update).unwrap_or_else(|| update.to_vec());
            // One that is refused is left out, as the enclave would.
            let _refused = aggregator.accept(&who(at), &sent, dice);
        }
        let price = ledger.reserve(Use::Learning, &policy.mechanism(1), subject(&policy.digest(), round))?;
        head.add(aggregator.close()?.release(price.recorded(), dice)?.step());
        keep(&mut mean, &head, round + averaged > policy.rounds, averaged);
    }
    Ok(mean)
}

/// The same without clip and noise: what "no defence" means.
///
/// # Errors
/// If the generator fails.
pub fn undefended(
    policy: &Policy,
    organisations: &[Vec<Example>],
    lie: &dyn Fn(usize, &mut [f64]),
    dice: &mut Dice,
) -> Result<Head> {
    const FINE: f64 = 1e6;
    let (mut head, mut mean) = (Head::new(policy.dimension), Head::new(policy.dimension));
    let averaged = policy.rounds.div_ceil(2);
    let (rate, batch) = match policy.unit {
        Unit::Example { rate, batch, .. } => (rate, f64::from(batch)),
        Unit::Participant => (1.0, organisations.iter().map(Vec::len).sum::<usize>() as f64),
    };
    for round in 1..=policy.rounds {
        let mut step = vec![0.0f64; policy.dimension as usize];
        for (at, examples) in organisations.iter().enumerate() {
            // A clip that no gradient of a text reaches.
            let sum = head.sampled_descent(examples, rate, 100.0, 100.0 * FINE, dice)?;
            let mut given: Vec<f64> = sum.iter().map(|ticks| *ticks as f64 / FINE).collect();
            lie(at, &mut given);
            step.iter_mut().zip(&given).for_each(|(step, value)| *step += value);
        }
        let step: Vec<f32> = step.iter().map(|value| (policy.step * value / batch) as f32).collect();
        head.add(&step);
        keep(&mut mean, &head, round + averaged > policy.rounds, averaged);
    }
    Ok(mean)
}

/// Adds its share to the mean of the last rounds, which has less of the noise and costs nothing: it is made of what was released.
fn keep(mean: &mut Head, head: &Head, counts: bool, of: u32) {
    if counts {
        mean.0.iter_mut().zip(&head.0).for_each(|(mean, weight)| *mean += weight / of as f32);
    }
}

/// Share of attacks that are found, and of harmless texts that pass, each counted half.
pub fn accuracy(head: &Head, texts: &[Example]) -> f64 {
    let share = |attack: bool| {
        let all: Vec<&Example> = texts.iter().filter(|text| text.attack == attack).collect();
        let right = all.iter().filter(|text| (head.score(text) > 0.0) == attack).count();
        right as f64 / all.len().max(1) as f64
    };
    0.5 * (share(true) + share(false))
}

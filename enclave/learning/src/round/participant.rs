//! A participant's side of a round: trains on his own examples, clips, and gives one update a round, never two.

use super::head::{Example, Head};
use super::policy::{Policy, PolicyError, TICKS, Unit};
use super::update::Update;
use crate::noise::{NoiseError, Random};
use thiserror::Error;

/// Why there is no update.
#[derive(Clone, Copy, Debug, PartialEq, Error)]
pub enum ParticipantError {
    /// What the aggregator says is refused.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// A round that was given to already, or is not there.
    #[error("an update for round {0} was given already, or the policy has no such round")]
    Round(u32),
    /// A model of another size, or one that is not numbers.
    #[error("the model has another size, or is not numbers")]
    Model,
    /// No randomness.
    #[error(transparent)]
    Noise(#[from] NoiseError),
}

/// One who takes part in a training. He must outlive its rounds: it is he who remembers which were given to.
#[derive(Debug)]
pub struct Participant {
    policy: Policy,
    last: u32,
}

impl Participant {
    /// Takes part under this policy, which was read from verified evidence; `last` is the round that he gave to last, or zero.
    ///
    /// # Errors
    /// [`ParticipantError::Policy`] if it is not a policy that keeps what it says.
    pub fn new(policy: Policy, last: u32) -> Result<Participant, ParticipantError> {
        policy.check()?;
        Ok(Participant { policy, last })
    }

    /// His update for a round. Whoever asks twice for one, or goes back, as one who starts two aggregators does, gets nothing.
    ///
    /// # Errors
    /// [`ParticipantError`]
    pub fn update(
        &mut self,
        round: u32,
        model: &Head,
        examples: &[Example],
        random: &mut dyn Random,
    ) -> Result<Update, ParticipantError> {
        if round <= self.last || round > self.policy.rounds {
            return Err(ParticipantError::Round(round));
        }
        let numbers = model.0.iter().all(|weight| weight.is_finite());
        if model.0.len() != self.policy.dimension as usize || !numbers {
            return Err(ParticipantError::Model);
        }
        self.last = round;
        match self.policy.unit {
            Unit::Participant => self.difference(round, model, examples, random),
            Unit::Example { clip, rate, .. } => self.sampled(round, model, examples, (clip, rate), random),
        }
    }

    /// Trains for the policy's epochs; what changed is the update.
    fn difference(
        &self,
        round: u32,
        model: &Head,
        examples: &[Example],
        random: &mut dyn Random,
    ) -> Result<Update, ParticipantError> {
        let trained = model.trained(examples, self.policy.epochs, self.policy.step as f32, random)?;
        let pairs = trained.0.iter().zip(&model.0);
        let change: Vec<f64> = pairs.map(|(after, before)| f64::from(after - before)).collect();
        Update::clipped(&self.policy, round, &change).ok_or(ParticipantError::Model)
    }

    /// One sum of clipped gradients. Whole numbers from the first, so that one example's part is exactly bounded.
    fn sampled(
        &self,
        round: u32,
        model: &Head,
        examples: &[Example],
        (clip, rate): (f64, f64),
        random: &mut dyn Random,
    ) -> Result<Update, ParticipantError> {
        let ticks = (clip / self.policy.clip * TICKS as f64).floor();
        let sum = model.sampled_descent(examples, rate, clip, ticks, random)?;
        let length = sum.iter().map(|value| (*value as f64).powi(2)).sum::<f64>().sqrt();
        let scale = (TICKS as f64 / (length * (1.0 + 1e-12))).min(1.0);
        // Without scaling nothing is cut: whole numbers stay as they are.
        let ticks = sum.iter().map(|value| (*value as f64 * scale).trunc() as i32).collect();
        Ok(Update { policy: self.policy.digest(), round, ticks })
    }
}

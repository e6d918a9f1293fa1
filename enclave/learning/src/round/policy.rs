//! What a training may do, in one measured document: who, how much, how often, and at what price.

use crate::accountant::pld::{INTERVAL, PrivacyLoss};
use crate::accountant::{AccountError, Mechanism};
use ring::digest;
use thiserror::Error;

/// Whole numbers that make up the clip. All of them fit an `f32` exactly.
pub const TICKS: i64 = 1 << 24;
/// Fewest participants, where a policy does not say otherwise.
pub const DEFAULT_COHORT: u32 = 20;
/// Most parameters of what is trained: 4 MiB of an update.
pub const MAX_DIMENSION: u32 = 1 << 20;
/// Most participants.
pub const MAX_PARTICIPANTS: usize = 100_000;
/// Most groups of participants that are kept apart, and numbers that all of them take: 512 MiB.
pub const MAX_GROUPS: u32 = 64;

/// Whose part in the model the noise hides.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Unit {
    /// All that one participant gives, in all rounds. Needs many participants.
    Participant,
    /// One labelled example. Believes that honest participants clip each example; a dishonest one gives away only his own.
    Example {
        /// L2 norm of what one example may add, in the units of the model.
        clip: f64,
        /// With what probability an example takes part in a round.
        rate: f64,
        /// Examples of all participants that a round expects; divides the sum.
        batch: u32,
    },
}

/// Rules of one training.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// Parameters of what is trained.
    pub dimension: u32,
    /// L2 norm of one update, in the units of the model.
    pub clip: f64,
    /// Standard deviation of the noise, in what one unit may change.
    pub sigma: f64,
    /// Whose part is hidden.
    pub unit: Unit,
    /// Fewest updates of which a sum may be read.
    pub cohort: u32,
    /// Rounds.
    pub rounds: u32,
    /// Passes over a participant's own examples in a round (`Unit::Participant`).
    pub epochs: u32,
    /// Step of the local training, or of the model where the unit is an example.
    pub step: f64,
    /// Groups of participants that are summed apart.
    pub groups: u32,
    /// Groups that are left out at each end, in each coordinate.
    pub trim: u32,
    /// What all rounds may cost at most.
    pub epsilon: f64,
    /// See `epsilon`.
    pub delta: f64,
    /// Digests of the keys of those who may take part, in rising order.
    pub participants: Vec<[u8; 32]>,
}

/// Why a policy is refused.
#[derive(Clone, Copy, Debug, PartialEq, Error)]
pub enum PolicyError {
    /// Sizes.
    #[error("dimension, cohort, rounds, epochs, groups or trim are out of bounds")]
    Bounds,
    /// A number that is none.
    #[error("clip, step and batch must be more than zero, and numbers")]
    Number,
    /// Nobody, somebody twice, or fewer than the cohort.
    #[error("participants must rise, each once, and be no fewer than the cohort")]
    Participants,
    /// Noise that cannot be accounted for.
    #[error(transparent)]
    Price(#[from] AccountError),
    /// More than it says.
    #[error("all rounds cost epsilon {found:.3}, and the policy says {said:.3}: more noise or fewer rounds")]
    Dearer {
        /// By privacy loss distributions.
        found: f64,
        /// What the policy says.
        said: f64,
    },
}

impl Policy {
    /// That its numbers are in bounds, and that its noise keeps what it says.
    ///
    /// # Errors
    /// [`PolicyError`]
    pub fn check(&self) -> Result<(), PolicyError> {
        let groups = (1..=MAX_GROUPS).contains(&self.groups) && 2 * self.trim < self.groups;
        let sizes = (1..=MAX_DIMENSION).contains(&self.dimension) && (1..=10_000).contains(&self.rounds);
        if !(groups && sizes && (1..=100).contains(&self.epochs) && self.cohort >= self.groups.max(1)) {
            return Err(PolicyError::Bounds);
        }
        let good = |value: f64| value > 0.0 && value <= 1e6;
        let unit = match self.unit {
            Unit::Participant => true,
            Unit::Example { clip, batch, .. } => good(clip) && clip <= self.clip && batch > 0,
        };
        if !(good(self.clip) && good(self.step) && unit) {
            return Err(PolicyError::Number);
        }
        let rises = self.participants.windows(2).all(|pair| pair[0] < pair[1]);
        let enough = (self.cohort as usize..=MAX_PARTICIPANTS).contains(&self.participants.len());
        if !(rises && enough) {
            return Err(PolicyError::Participants);
        }
        let found = self.epsilon_after(self.rounds)?;
        // Not a number is not within.
        if found <= self.epsilon { Ok(()) } else { Err(PolicyError::Dearer { found, said: self.epsilon }) }
    }

    /// What one round is, to an accountant. Whether a participant takes part is seen by the host, so only examples are sampled.
    pub fn mechanism(&self, rounds: u32) -> Mechanism {
        let rate = if let Unit::Example { rate, .. } = self.unit { rate } else { 1.0 };
        Mechanism::Gaussian { rate, sigma: self.sigma, steps: u64::from(rounds) }
    }

    /// What so many rounds have cost.
    ///
    /// # Errors
    /// [`AccountError`]
    pub fn epsilon_after(&self, rounds: u32) -> Result<f64, AccountError> {
        let Mechanism::Gaussian { rate, sigma, steps } = self.mechanism(rounds) else {
            return Err(AccountError::Sigma);
        };
        Ok(PrivacyLoss::gaussian(rate, sigma, steps, INTERVAL)?.epsilon(self.delta))
    }

    /// By how much one unit may change a sum, in ticks.
    pub fn sensitivity(&self) -> u64 {
        match self.unit {
            Unit::Participant => TICKS as u64,
            // An update that is scaled down to the clip is cut to whole numbers once more: less than one tick a coordinate.
            Unit::Example { clip, .. } => {
                let ticks = (clip / self.clip * TICKS as f64).ceil() as u64;
                ticks + u64::from(self.dimension).isqrt() + 1
            }
        }
    }

    /// Where a participant stands in the list.
    pub fn find(&self, participant: &[u8; 32]) -> Option<usize> {
        self.participants.binary_search(participant).ok()
    }

    /// SHA-256 over all of it: what evidence, updates and receipts name.
    pub fn digest(&self) -> [u8; 32] {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(b"adyton/round-policy/v1");
        for whole in [self.dimension, self.cohort, self.rounds, self.epochs, self.groups, self.trim] {
            context.update(&whole.to_be_bytes());
        }
        for real in [self.clip, self.sigma, self.step, self.epsilon, self.delta] {
            context.update(&real.to_be_bytes());
        }
        match self.unit {
            Unit::Participant => context.update(&[0]),
            Unit::Example { clip, rate, batch } => {
                context.update(&[1]);
                context.update(&clip.to_be_bytes());
                context.update(&rate.to_be_bytes());
                context.update(&batch.to_be_bytes());
            }
        }
        self.participants.iter().for_each(|one| context.update(one));
        let mut out = [0; 32];
        out.copy_from_slice(context.finish().as_ref());
        out
    }
}

/// What a price for one round is paid for.
pub fn subject(policy: &[u8; 32], round: u32) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(b"adyton/round/v1");
    context.update(policy);
    context.update(&round.to_be_bytes());
    let mut out = [0; 32];
    out.copy_from_slice(context.finish().as_ref());
    out
}

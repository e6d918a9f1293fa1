//! The aggregator: updates are added to sums as they come, and forgotten; sums are read once, with noise, if there are enough.

use super::policy::{Policy, TICKS, Unit, subject};
use super::receipt::Receipt;
use super::update::{Rejected, Update};
use crate::accountant::AccountError;
use crate::ledger::{Spend, Use};
use crate::noise::{NoiseError, Random, Sampler, variance};
use ring::digest;
use thiserror::Error;
use zeroize::Zeroize;

/// Why a round ended without a model. Its sums are wiped.
#[derive(Clone, Copy, Debug, PartialEq, Error)]
pub enum RoundError {
    /// The policy was refused, or has fewer rounds.
    #[error("the policy has no such round, or is refused")]
    Policy,
    /// Too few updates.
    #[error("{found} updates came, and a sum may be read of {needed}")]
    TooFew {
        /// That came.
        found: u32,
        /// That the policy wants.
        needed: u32,
    },
    /// The proof is for something else.
    #[error("the price that was paid is for something else")]
    Mismatch,
    /// No noise.
    #[error(transparent)]
    Noise(#[from] NoiseError),
    /// No figure for the receipt.
    #[error(transparent)]
    Account(#[from] AccountError),
}

/// Sums of groups of participants, one after another. Wiped when dropped.
#[derive(zeroize::ZeroizeOnDrop)]
struct Sums(Vec<i64>);

/// Collects the updates of one round.
pub struct Aggregator {
    policy: Policy,
    digest: [u8; 32],
    round: u32,
    sums: Sums,
    /// One bit for each participant of the policy.
    given: Vec<u64>,
    count: u32,
    /// Groups that the next participants go to: each once, in an order that nobody outside knows.
    order: Vec<u32>,
}

impl std::fmt::Debug for Aggregator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Aggregator(round {}, {} updates)", self.round, self.count)
    }
}

impl Aggregator {
    /// For one round of a policy, from 1.
    ///
    /// # Errors
    /// [`RoundError::Policy`]
    pub fn new(policy: Policy, round: u32) -> Result<Aggregator, RoundError> {
        if policy.check().is_err() || !(1..=policy.rounds).contains(&round) {
            return Err(RoundError::Policy);
        }
        let numbers = policy.groups as usize * policy.dimension as usize;
        Ok(Aggregator {
            digest: policy.digest(),
            round,
            sums: Sums(vec![0; numbers]),
            given: vec![0; policy.participants.len().div_ceil(64)],
            count: 0,
            order: Vec::new(),
            policy,
        })
    }

    /// Takes the update of a participant, whom the attested session has named.
    ///
    /// # Errors
    /// [`Rejected`]; then nothing has changed.
    pub fn accept(
        &mut self,
        participant: &[u8; 32],
        bytes: &[u8],
        random: &mut dyn Random,
    ) -> Result<(), Rejected> {
        let at = self.policy.find(participant).ok_or(Rejected::Stranger)?;
        let (word, bit) = (at / 64, 1u64 << (at % 64));
        if self.given.get(word).is_none_or(|given| given & bit != 0) {
            return Err(Rejected::Twice);
        }
        let update = Update::decode(bytes, &self.digest, self.round, self.policy.dimension)?;
        let group = self.next_group(random) as usize;
        let dimension = self.policy.dimension as usize;
        if let Some(sums) = self.sums.0.get_mut(group * dimension..(group + 1) * dimension) {
            sums.iter_mut().zip(&update.ticks).for_each(|(sum, tick)| *sum += i64::from(*tick));
        }
        if let Some(given) = self.given.get_mut(word) {
            *given |= bit;
        }
        self.count += 1;
        Ok(())
    }

    /// A group by lot. A generator that fails leaves the order as it is: the group is no secret that noise depends on.
    fn next_group(&mut self, random: &mut dyn Random) -> u32 {
        if self.order.is_empty() {
            self.order = (0..self.policy.groups).collect();
            let mut sampler = Sampler::new(random);
            for at in (1..self.order.len()).rev() {
                let other = sampler.below(at as u128 + 1).unwrap_or_default() as usize;
                self.order.swap(at, other);
            }
        }
        self.order.pop().unwrap_or_default()
    }

    /// Updates so far.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Ends the round. Too few updates are wiped.
    ///
    /// # Errors
    /// [`RoundError::TooFew`]
    pub fn close(self) -> Result<Cohort, RoundError> {
        let needed = self.policy.cohort;
        if self.count < needed {
            return Err(RoundError::TooFew { found: self.count, needed });
        }
        Ok(Cohort {
            policy: self.policy,
            digest: self.digest,
            round: self.round,
            groups: self.sums,
            count: self.count,
        })
    }
}

/// Enough updates, summed. Its one use is [`Cohort::release`].
pub struct Cohort {
    policy: Policy,
    digest: [u8; 32],
    round: u32,
    groups: Sums,
    count: u32,
}

impl std::fmt::Debug for Cohort {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Cohort(round {}, {} updates)", self.round, self.count)
    }
}

/// A step of the model, with noise in it: what may leave.
#[derive(Clone, Debug, PartialEq)]
pub struct Released {
    step: Vec<f32>,
    receipt: Receipt,
}

impl Released {
    /// What is added to the model.
    pub fn step(&self) -> &[f32] {
        &self.step
    }

    /// What was done, to be signed.
    pub fn receipt(&self) -> &Receipt {
        &self.receipt
    }
}

impl Cohort {
    /// The robust sum with its noise, for a price that was paid for exactly this round.
    ///
    /// # Errors
    /// [`RoundError`]; the sums are wiped then, too.
    pub fn release(self, spend: Spend, random: &mut dyn Random) -> Result<Released, RoundError> {
        let fits = spend.purpose() == Use::Learning
            && *spend.subject() == subject(&self.digest, self.round)
            && spend.sigma() == self.policy.sigma;
        if !fits {
            return Err(RoundError::Mismatch);
        }
        let epsilon = self.policy.epsilon_after(self.round)?;
        let mut sum = self.robust();
        let noised = add_noise(&mut sum, &self.policy, random);
        let step = noised.map(|()| self.scaled(&sum));
        sum.zeroize();
        let step = step?;
        let receipt = Receipt {
            policy: self.digest,
            round: self.round,
            cohort: self.count,
            clip: self.policy.clip,
            sigma: self.policy.sigma,
            rate: if let Unit::Example { rate, .. } = self.policy.unit { rate } else { 1.0 },
            epsilon,
            delta: self.policy.delta,
            ledger: spend.number(),
            step: digest_of(&step),
        };
        Ok(Released { step, receipt })
    }

    /// In each coordinate the sum over groups without the largest and smallest of them.
    fn robust(&self) -> Vec<i64> {
        let (dimension, trim) = (self.policy.dimension as usize, self.policy.trim as usize);
        let mut column = vec![0i64; self.policy.groups as usize];
        let mut sum = vec![0i64; dimension];
        for (at, sum) in sum.iter_mut().enumerate() {
            let values = self.groups.0.iter().skip(at).step_by(dimension);
            column.iter_mut().zip(values).for_each(|(to, value)| *to = *value);
            if trim > 0 {
                column.sort_unstable();
            }
            *sum = column.iter().skip(trim).take(column.len() - 2 * trim).sum();
        }
        column.zeroize();
        sum
    }

    /// In the units of the model, for as many as there were (or examples as were expected).
    fn scaled(&self, sum: &[i64]) -> Vec<f32> {
        let policy = &self.policy;
        let kept = f64::from(policy.groups) / f64::from(policy.groups - 2 * policy.trim);
        let each = match policy.unit {
            Unit::Participant => 1.0 / f64::from(self.count),
            Unit::Example { batch, .. } => policy.step / f64::from(batch),
        };
        let scale = policy.clip / TICKS as f64 * kept * each;
        sum.iter().map(|value| (*value as f64 * scale) as f32).collect()
    }
}

/// A sum of groups without their extremes moves by no more than one of them does: so the noise is for one unit's part.
fn add_noise(sum: &mut [i64], policy: &Policy, random: &mut dyn Random) -> Result<(), NoiseError> {
    let variance = variance(policy.sigma, policy.sensitivity())?;
    let mut sampler = Sampler::new(random);
    for value in sum {
        *value = value.checked_add(sampler.gaussian(variance)?).ok_or(NoiseError::Overflow)?;
    }
    Ok(())
}

fn digest_of(step: &[f32]) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    step.iter().for_each(|value| context.update(&value.to_le_bytes()));
    let mut out = [0; 32];
    out.copy_from_slice(context.finish().as_ref());
    out
}

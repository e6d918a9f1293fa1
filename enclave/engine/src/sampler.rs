//! Chooses the next token from logits, reproducibly.
//!
//! Promises: the same settings, seed and logits give the same tokens; logits that hold no finite number are an error.

use crate::error::EngineError;
use crate::sampling::Sampling;
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use std::collections::HashMap;

/// The chooser of one sequence.
pub(crate) struct Sampler {
    sampling: Sampling,
    rng: ChaCha12Rng,
    /// How often the answer holds a token; 0 for tokens of the prompt.
    counts: HashMap<u32, u32>,
}

/// A token and its weight: a logit, or a probability that is not yet divided by the sum.
type Candidate = (u32, f32);

/// Candidates sorted first when top-p asks for order: the mass is in the head, a full sort of a vocabulary costs
/// milliseconds.
const HEAD: usize = 512;

impl Sampler {
    pub(crate) fn new(sampling: Sampling, prompt: &[u32]) -> Sampler {
        let rng = ChaCha12Rng::seed_from_u64(sampling.seed);
        // Only the repetition penalty looks at the prompt.
        let known = if sampling.repetition == 1.0 { &[] } else { prompt };
        Sampler { counts: known.iter().map(|t| (*t, 0)).collect(), rng, sampling }
    }

    /// The next token.
    pub(crate) fn next(&mut self, logits: &mut [f32]) -> Result<u32, EngineError> {
        if logits.is_empty() || logits.iter().any(|l| !l.is_finite()) {
            return Err(EngineError::NotFinite);
        }
        self.penalise(logits);
        let token = if self.sampling.temperature == 0.0 { best(logits) } else { self.draw(logits) };
        let token = token.ok_or(EngineError::NotFinite)?;
        *self.counts.entry(token).or_insert(0) += 1;
        Ok(token)
    }

    fn penalise(&self, logits: &mut [f32]) {
        let s = &self.sampling;
        for (token, count) in &self.counts {
            let Some(logit) = logits.get_mut(*token as usize) else { continue };
            *logit = if *logit > 0.0 { *logit / s.repetition } else { *logit * s.repetition };
            if *count > 0 {
                *logit -= s.presence + s.frequency * *count as f32;
            }
        }
    }

    fn draw(&mut self, logits: &[f32]) -> Option<u32> {
        let top = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let s = &self.sampling;
        let weigh = |(id, logit): (u32, &f32)| (id, ((logit - top) / s.temperature).exp());
        // The likeliest has weight 1, so min-p compares with itself.
        let mut kept: Vec<Candidate> = (0u32..)
            .zip(logits)
            .map(weigh)
            .filter(|(_, weight)| *weight >= s.min_p && *weight > 0.0)
            .collect();
        if s.top_k > 0 && s.top_k < kept.len() {
            kept.select_nth_unstable_by(s.top_k - 1, heavier);
            kept.truncate(s.top_k);
        }
        if s.top_p < 1.0 {
            keep_mass(&mut kept, s.top_p);
        }
        // One order, whatever selection left: the draw must depend on the seed alone.
        kept.sort_unstable_by_key(|(id, _)| *id);
        let sum: f64 = kept.iter().map(|(_, weight)| f64::from(*weight)).sum();
        let mut at = self.uniform() * sum;
        let found = kept.iter().find(|(_, weight)| {
            at -= f64::from(*weight);
            at < 0.0
        });
        found.or(kept.last()).map(|(id, _)| *id)
    }

    /// A number in [0, 1) from the upper 53 bits.
    fn uniform(&mut self) -> f64 {
        (self.rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }
}

fn heavier(a: &Candidate, b: &Candidate) -> std::cmp::Ordering {
    b.1.total_cmp(&a.1).then(a.0.cmp(&b.0))
}

/// The likeliest token; the lowest id among equals.
fn best(logits: &[f32]) -> Option<u32> {
    (0u32..).zip(logits.iter().copied()).min_by(heavier).map(|(id, _)| id)
}

/// Keeps the fewest of the heaviest candidates whose weights reach `share` of all.
fn keep_mass(kept: &mut Vec<Candidate>, share: f32) {
    let goal = kept.iter().map(|(_, weight)| f64::from(*weight)).sum::<f64>() * f64::from(share);
    if kept.len() > HEAD {
        kept.select_nth_unstable_by(HEAD, heavier);
    }
    let head = kept.len().min(HEAD);
    kept[..head].sort_unstable_by(heavier);
    let mut reached = count_to(&kept[..head], goal);
    if reached.is_none() {
        kept.sort_unstable_by(heavier);
        reached = count_to(kept, goal);
    }
    kept.truncate(reached.unwrap_or(kept.len()));
}

fn count_to(sorted: &[Candidate], goal: f64) -> Option<usize> {
    let mut mass = 0.0;
    sorted
        .iter()
        .position(|(_, weight)| {
            mass += f64::from(*weight);
            mass >= goal
        })
        .map(|i| i + 1)
}

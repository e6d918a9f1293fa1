//! Chooses the next token from logits, reproducibly.
//!
//! Promises: the same settings, seed and logits give the same tokens; a token whose logit is minus infinity is never
//! chosen; logits that the model computed and that are not finite are an error.

use crate::error::EngineError;
use crate::sampling::Sampling;
use adyton_kernels::{Isa, vector};
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use std::collections::HashMap;
use zeroize::Zeroizing;

/// The chooser of one sequence.
pub(crate) struct Sampler {
    sampling: Sampling,
    rng: ChaCha12Rng,
    /// How often the answer holds a token; 0 for tokens of the prompt.
    counts: HashMap<u32, u32>,
    /// The weight of each token of the vocabulary.
    weights: Zeroizing<Vec<f32>>,
}

/// What was chosen.
#[derive(Debug)]
pub(crate) struct Choice {
    pub(crate) token: u32,
    /// If it was asked for.
    pub(crate) logprobs: Option<Logprobs>,
}

/// Whether a mask ruled tokens out, by making their logits minus infinity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Masked {
    Nothing,
    Some,
}

/// Natural logarithms of probabilities, before temperature, penalties and biases.
#[derive(Debug)]
pub(crate) struct Logprobs {
    pub(crate) chosen: Weighed,
    /// The likeliest first.
    pub(crate) likeliest: Vec<Weighed>,
}

/// A token and its weight: a probability that is not yet divided by the sum, its logarithm, or the logit.
pub(crate) type Weighed = (u32, f32);

/// Candidates sorted first when top-p asks for order: the mass is in the head, a full sort of a vocabulary costs
/// milliseconds.
const HEAD: usize = 512;

impl Sampler {
    pub(crate) fn new(sampling: Sampling, prompt: &[u32]) -> Sampler {
        let rng = ChaCha12Rng::seed_from_u64(sampling.seed);
        // Only the repetition penalty looks at the prompt.
        let known = if sampling.repetition == 1.0 { &[] } else { prompt };
        let counts = known.iter().map(|t| (*t, 0)).collect();
        Sampler { counts, rng, sampling, weights: Zeroizing::default() }
    }

    /// The next token. `mask` rules out what may not come.
    pub(crate) fn next(
        &mut self,
        isa: Isa,
        logits: &mut [f32],
        mask: &mut dyn FnMut(&mut [f32]) -> Result<Masked, EngineError>,
    ) -> Result<Choice, EngineError> {
        let best = vector::best(isa, logits).ok_or(EngineError::NotFinite)?;
        let raw = self.sampling.likeliest.map(|count| (count, Zeroizing::new(logits.to_vec())));
        let changed = self.penalise(logits) | self.lean(logits);
        let best = match mask(logits)? {
            Masked::Some => likeliest(logits),
            Masked::Nothing if changed => vector::best(isa, logits).map(numbered),
            Masked::Nothing => Some(numbered(best)),
        };
        let (best, top) = best.ok_or(EngineError::NotFinite)?;
        let token = if self.sampling.temperature == 0.0 { best } else { self.draw(isa, logits, top) };
        *self.counts.entry(token).or_insert(0) += 1;
        let logprobs = raw.map(|(count, raw)| self.logprobs(isa, &raw, token, count));
        Ok(Choice { token, logprobs })
    }

    /// True if a logit may have changed.
    fn penalise(&self, logits: &mut [f32]) -> bool {
        let s = &self.sampling;
        if s.repetition == 1.0 && s.presence == 0.0 && s.frequency == 0.0 {
            return false;
        }
        for (token, count) in &self.counts {
            let Some(logit) = logits.get_mut(*token as usize) else { continue };
            *logit = if *logit > 0.0 { *logit / s.repetition } else { *logit * s.repetition };
            if *count > 0 {
                *logit -= s.presence + s.frequency * *count as f32;
            }
        }
        true
    }

    /// Adds the caller's biases. True if a logit may have changed.
    fn lean(&self, logits: &mut [f32]) -> bool {
        for (token, bias) in &self.sampling.biases {
            if let Some(logit) = logits.get_mut(*token as usize) {
                *logit += bias;
            }
        }
        !self.sampling.biases.is_empty()
    }

    fn draw(&mut self, isa: Isa, logits: &[f32], top: f32) -> u32 {
        let s = &self.sampling;
        let (min_p, top_p, top_k) = (s.min_p, s.top_p, s.top_k);
        self.weights.resize(logits.len(), 0.0);
        let sum = vector::weigh(isa, logits, top, 1.0 / s.temperature, &mut self.weights);
        let ruled_out = |logit: &f32| *logit == f32::NEG_INFINITY;
        let pairs = self.weights.iter_mut().zip(logits);
        pairs.filter(|(_, logit)| ruled_out(logit)).for_each(|(weight, _)| *weight = 0.0);
        let share = self.uniform();
        if min_p == 0.0 && top_p == 1.0 && top_k == 0 {
            return drawn((0..).zip(self.weights.iter().copied()), share * sum);
        }
        // All that are lighter than this together do not make up what top-p cuts off.
        let rest = f64::from(1.0 - top_p) * sum / logits.len() as f64;
        // The likeliest has weight 1, so min-p compares with itself.
        let floor = min_p.max(rest as f32);
        let kept = (0u32..).zip(self.weights.iter().copied()).filter(|(_, w)| *w >= floor && *w > 0.0);
        let mut kept: Zeroizing<Vec<Weighed>> = Zeroizing::new(kept.collect());
        if top_k > 0 && top_k < kept.len() {
            kept.select_nth_unstable_by(top_k - 1, heavier);
            kept.truncate(top_k);
        }
        if top_p < 1.0 {
            // Of what min-p and top-k left, as vLLM does; without them, of all.
            let left: f64 = if min_p == 0.0 && top_k == 0 { sum } else { mass(&kept) };
            keep_mass(&mut kept, left * f64::from(top_p));
        }
        // One order, whatever selection left: the draw must depend on the seed alone.
        kept.sort_unstable_by_key(|(id, _)| *id);
        let sum = mass(&kept);
        drawn(kept.iter().copied(), share * sum)
    }

    /// A number in [0, 1) from the upper 53 bits.
    fn uniform(&mut self) -> f64 {
        (self.rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    fn logprobs(&mut self, isa: Isa, raw: &[f32], token: u32, count: usize) -> Logprobs {
        let top = raw.iter().copied().fold(f32::MIN, f32::max);
        self.weights.resize(raw.len(), 0.0);
        let normal = top + vector::weigh(isa, raw, top, 1.0, &mut self.weights).ln() as f32;
        let logprob = |(token, logit): Weighed| (token, logit - normal);
        let mut all: Zeroizing<Vec<Weighed>> = Zeroizing::new((0..).zip(raw.iter().copied()).collect());
        let count = count.min(all.len());
        if count > 0 && count < all.len() {
            all.select_nth_unstable_by(count - 1, heavier);
        }
        all.truncate(count);
        all.sort_unstable_by(heavier);
        let logit = raw.get(token as usize).copied().unwrap_or(f32::MIN);
        Logprobs { chosen: logprob((token, logit)), likeliest: all.iter().copied().map(logprob).collect() }
    }
}

fn numbered((at, logit): (usize, f32)) -> Weighed {
    (at as u32, logit)
}

fn heavier(a: &Weighed, b: &Weighed) -> std::cmp::Ordering {
    b.1.total_cmp(&a.1).then(a.0.cmp(&b.0))
}

/// The likeliest token, the lowest id among equals; `None` if there is none, or its logit is no number.
fn likeliest(logits: &[f32]) -> Option<Weighed> {
    let best = (0u32..).zip(logits.iter().copied()).min_by(heavier);
    best.filter(|(_, logit)| logit.is_finite())
}

fn mass(kept: &[Weighed]) -> f64 {
    kept.iter().map(|(_, weight)| f64::from(*weight)).sum()
}

/// The candidate at which the running sum of weights passes `at`; the last that weighs anything if none does.
fn drawn(candidates: impl Iterator<Item = Weighed>, mut at: f64) -> u32 {
    let mut last = 0;
    for (id, weight) in candidates.filter(|(_, weight)| *weight > 0.0) {
        last = id;
        at -= f64::from(weight);
        if at < 0.0 {
            break;
        }
    }
    last
}

/// Keeps the fewest of the heaviest candidates whose weights reach `goal`.
fn keep_mass(kept: &mut Vec<Weighed>, goal: f64) {
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

fn count_to(sorted: &[Weighed], goal: f64) -> Option<usize> {
    let mut mass = 0.0;
    sorted
        .iter()
        .position(|(_, weight)| {
            mass += f64::from(*weight);
            mass >= goal
        })
        .map(|i| i + 1)
}

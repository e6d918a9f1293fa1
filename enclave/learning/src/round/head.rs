//! What is trained: the linear head of the guardrail's classifier of attacks, on features folded to fewer places.
//!
//! The guardrail's features are places among 2^19 (`adyton_guardrail::injection::features`). Noise grows with the root of the
//! number of parameters, so here place `p` counts at `p` modulo the dimension, with the sign of its highest bit (Weinberger et
//! al. 2009, arXiv:0902.2206). Such a head is also one for all 2^19 places: [`Head::unfolded`] writes it out, and the
//! guardrail scores with it as with its own.
//!
//! Trained in plain Rust: a sum over the features of a text is no matrix, and candle would only be in the way.

use crate::noise::{NoiseError, Random, Sampler};
use zeroize::Zeroizing;

/// Places of the guardrail's features.
pub const PLACES: u32 = 1 << 19;

/// What stands at the bias: small beside the features, whose length is one, so that a step that suits them suits it.
const BIAS: f32 = 0.3;

/// One window of a text: where it has features, and how much. The bias stands last.
#[derive(Clone, Debug)]
pub struct Window(Vec<(u32, f32)>);

/// One labelled text. Of its windows the one with the highest score counts.
#[derive(Clone, Debug)]
pub struct Example {
    /// Its windows; at least one.
    pub windows: Vec<Window>,
    /// Whether it is an attack.
    pub attack: bool,
}

/// A window's features, folded to a power of two of places and a bias: `dimension` is that power and one more.
pub fn fold(places: &[u32], dimension: u32) -> Window {
    let folds = dimension.saturating_sub(1).max(1);
    let each = 1.0 / (places.len().max(1) as f32).sqrt();
    let mut all: Vec<(u32, f32)> = places.iter().map(|place| (place % folds, sign(*place) * each)).collect();
    all.sort_unstable_by_key(|(at, _)| *at);
    let mut row: Vec<(u32, f32)> = Vec::with_capacity(all.len() + 1);
    for (at, value) in all {
        match row.last_mut() {
            Some((last, sum)) if *last == at => *sum += value,
            _ => row.push((at, value)),
        }
    }
    row.push((folds, BIAS));
    Window(row)
}

fn sign(place: u32) -> f32 {
    if place & (PLACES >> 1) == 0 { 1.0 } else { -1.0 }
}

impl Window {
    /// L2 norm, the bias with it.
    fn length(&self) -> f64 {
        self.0.iter().map(|(_, value)| f64::from(value * value)).sum::<f64>().sqrt()
    }

    /// The features as they stand, for whoever attacks them.
    pub fn values(&self) -> &[(u32, f32)] {
        &self.0
    }
}

/// Weights, and the bias last.
#[derive(Clone, Debug, PartialEq)]
pub struct Head(pub Vec<f32>);

impl Head {
    /// That knows nothing.
    pub fn new(dimension: u32) -> Head {
        Head(vec![0.0; dimension as usize])
    }

    fn score_window(&self, window: &Window) -> f32 {
        window.0.iter().map(|(at, value)| self.0.get(*at as usize).copied().unwrap_or(0.0) * value).sum()
    }

    /// Log odds that a text is an attack.
    pub fn score(&self, example: &Example) -> f32 {
        example.windows.iter().map(|window| self.score_window(window)).fold(f32::NEG_INFINITY, f32::max)
    }

    fn highest<'a>(&self, example: &'a Example) -> Option<&'a Window> {
        example.windows.iter().max_by(|a, b| self.score_window(a).total_cmp(&self.score_window(b)))
    }

    /// The gradient of one example's log loss, falling: a window and its factor.
    fn descent<'a>(&self, example: &'a Example) -> Option<(&'a Window, f32)> {
        let window = self.highest(example)?;
        let probability = 1.0 / (1.0 + (-self.score_window(window)).exp());
        Some((window, f32::from(u8::from(example.attack)) - probability))
    }

    /// Adds a step of a round.
    pub fn add(&mut self, step: &[f32]) {
        self.0.iter_mut().zip(step).for_each(|(weight, step)| *weight += step);
    }

    /// So many passes over the examples, in an order by lot, one example a step. `pull` draws the weights back towards `self`.
    ///
    /// # Errors
    /// [`NoiseError::Generator`]
    pub fn trained(
        &self,
        examples: &[Example],
        epochs: u32,
        step: f32,
        random: &mut dyn Random,
    ) -> Result<Head, NoiseError> {
        let mut head = self.clone();
        let mut order: Vec<usize> = (0..examples.len()).collect();
        let mut sampler = Sampler::new(random);
        for _ in 0..epochs {
            for at in (1..order.len()).rev() {
                let other = sampler.below(at as u128 + 1)? as usize;
                order.swap(at, other);
            }
            for example in order.iter().filter_map(|at| examples.get(*at)) {
                let Some((window, factor)) = head.descent(example) else { continue };
                for (at, value) in &window.0 {
                    if let Some(weight) = head.0.get_mut(*at as usize) {
                        *weight += step * factor * value;
                    }
                }
            }
        }
        Ok(head)
    }

    /// The sum of clipped gradients of a sample of the examples, in ticks of which `ticks` are the clip of one example.
    ///
    /// Each example is in it with probability `rate`, and adds a vector of whole numbers whose norm is at most `ticks`.
    ///
    /// # Errors
    /// [`NoiseError::Generator`]
    pub fn sampled_descent(
        &self,
        examples: &[Example],
        rate: f64,
        clip: f64,
        ticks: f64,
        random: &mut dyn Random,
    ) -> Result<Zeroizing<Vec<i64>>, NoiseError> {
        let mut sum = Zeroizing::new(vec![0i64; self.0.len()]);
        let mut sampler = Sampler::new(random);
        let threshold = (rate * (1u64 << 53) as f64) as u128;
        for example in examples {
            if sampler.below(1 << 53)? >= threshold {
                continue;
            }
            let Some((window, factor)) = self.descent(example) else { continue };
            let factor = f64::from(factor);
            let scale = factor * ticks / clip.max(factor.abs() * window.length() * (1.0 + 1e-6));
            for (at, value) in &window.0 {
                if let Some(sum) = sum.get_mut(*at as usize) {
                    *sum += (f64::from(*value) * scale).trunc() as i64;
                }
            }
        }
        Ok(sum)
    }

    /// Weights for all places of the guardrail's features, and the bias.
    pub fn unfolded(&self) -> (Vec<f32>, f32) {
        let (bias, weights) = self.0.split_last().map_or((0.0, [].as_slice()), |(bias, rest)| (*bias, rest));
        let folds = weights.len().max(1) as u32;
        let weight = |place: u32| weights.get((place % folds) as usize).copied().unwrap_or(0.0) * sign(place);
        ((0..PLACES).map(weight).collect(), bias * BIAS)
    }
}

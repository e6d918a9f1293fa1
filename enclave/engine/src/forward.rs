//! The forward pass of a llama model over rows of one sequence.
//!
//! Promises: reads and writes one [`KvCache`] and nothing else, so any number of sequences can share the weights; work
//! buffers are wiped when dropped; a token or a position that the model does not have is an error.
//!
//! Does not: wipe the buffers inside candle's matrix products, which hold activations of one layer.
//!
//! Rotary positions turn neighbouring pairs (ggml's `GGML_ROPE_TYPE_NORMAL`): llama GGUF files store queries and keys
//! permuted for that.

use crate::cache::KvCache;
use crate::config::Config;
use crate::error::EngineError;
use crate::weights::{Layer, Matrix, Weights};
use rayon::prelude::*;
use zeroize::Zeroizing;

type Rows = Zeroizing<Vec<f32>>;

/// Multiplications below which one thread attends faster than several.
const PARALLEL: usize = 1 << 18;
/// Lanes of a dot product: wide enough for the vector units of x86-64-v3.
const LANES: usize = 8;

/// Weights, and what follows from them.
#[derive(Clone, Debug)]
pub(crate) struct Transformer {
    pub(crate) config: Config,
    pub(crate) weights: Weights,
    /// Angle per position of each pair of a head.
    frequencies: Vec<f32>,
}

impl Transformer {
    pub(crate) fn new(config: Config, weights: Weights) -> Transformer {
        let frequencies = config.frequencies(weights.rope_factors.as_deref());
        Transformer { config, weights, frequencies }
    }

    /// Runs `tokens` at the positions after those in the cache, and returns the last position's logits.
    pub(crate) fn forward(&self, tokens: &[u32], cache: &mut KvCache) -> Result<Rows, EngineError> {
        on_pool(|| {
            let x = self.hidden(tokens, cache)?;
            let last = x.len().saturating_sub(self.config.embed);
            self.logits(&x[last..])
        })
    }

    /// As `forward`, for a chunk whose logits nobody needs.
    pub(crate) fn prefill(&self, tokens: &[u32], cache: &mut KvCache) -> Result<(), EngineError> {
        on_pool(|| self.hidden(tokens, cache).map(|_| ()))
    }

    /// The residual stream behind the last layer, (tokens, embed).
    pub(crate) fn hidden(&self, tokens: &[u32], cache: &mut KvCache) -> Result<Rows, EngineError> {
        let (start, end) = (cache.len(), cache.len() + tokens.len());
        let known = tokens.iter().all(|t| (*t as usize) < self.config.vocab);
        if tokens.is_empty() || !known || end > self.config.context {
            return Err(EngineError::OutOfRange);
        }
        cache.reserve(end);
        let turns = self.turns(start, end);
        let mut x = Zeroizing::new(self.weights.embedding.rows(tokens)?);
        for (index, layer) in self.weights.layers.iter().enumerate() {
            self.attention(index, layer, &mut x, &turns, cache)?;
            self.feed_forward(layer, &mut x)?;
        }
        cache.advance(end);
        Ok(x)
    }

    /// Logits of rows of the residual stream, (rows, vocabulary).
    pub(crate) fn logits(&self, x: &[f32]) -> Result<Rows, EngineError> {
        let x = self.normed(x, &self.weights.norm);
        times(&self.weights.head, &x, self.config.embed)
    }

    fn attention(
        &self,
        index: usize,
        layer: &Layer,
        x: &mut [f32],
        turns: &[(f32, f32)],
        cache: &mut KvCache,
    ) -> Result<(), EngineError> {
        let normed = self.normed(x, &layer.attention_norm);
        let mut query = times(&layer.query, &normed, self.config.embed)?;
        let mut key = times(&layer.key, &normed, self.config.embed)?;
        let value = times(&layer.value, &normed, self.config.embed)?;
        let c = &self.config;
        rotate(&mut query, c.q_dim(), turns);
        rotate(&mut key, c.kv_dim(), turns);
        cache.write(index, cache.len(), &key, &value);
        let mixed = self.attend(index, &query, cache);
        add(x, &times(&layer.attention_out, &mixed, c.q_dim())?);
        Ok(())
    }

    fn attend(&self, layer: usize, query: &[f32], cache: &KvCache) -> Rows {
        let Config { heads, kv_heads, head_dim: dim, .. } = self.config;
        let mut out = Zeroizing::new(vec![0.0; query.len()]);
        let start = cache.len();
        let work = query.len() * (start + query.len() / (heads * dim));
        let one = |(i, out): (usize, &mut [f32])| {
            let (row, head) = (i / heads, i % heads);
            let query = &query[i * dim..][..dim];
            mix(query, cache, (layer, head / (heads / kv_heads)), start + row + 1, out);
        };
        if work < PARALLEL {
            out.chunks_exact_mut(dim).enumerate().for_each(one);
        } else {
            out.par_chunks_exact_mut(dim).enumerate().for_each(one);
        }
        out
    }

    fn feed_forward(&self, layer: &Layer, x: &mut [f32]) -> Result<(), EngineError> {
        let normed = self.normed(x, &layer.ffn_norm);
        let mut gate = times(&layer.gate, &normed, self.config.embed)?;
        let up = times(&layer.up, &normed, self.config.embed)?;
        for (g, u) in gate.iter_mut().zip(up.iter()) {
            *g = *g / (1.0 + (-*g).exp()) * u;
        }
        add(x, &times(&layer.down, &gate, self.config.ffn)?);
        Ok(())
    }

    /// Root-mean-square norm of each row.
    fn normed(&self, x: &[f32], weight: &[f32]) -> Rows {
        let mut normed = Zeroizing::new(Vec::with_capacity(x.len()));
        for row in x.chunks_exact(weight.len()) {
            let mean = dot(row, row) / row.len() as f32;
            let scale = 1.0 / (mean + self.config.eps).sqrt();
            normed.extend(row.iter().zip(weight).map(|(x, w)| x * scale * w));
        }
        normed
    }

    /// Cosine and sine of each pair for positions `start..end`.
    fn turns(&self, start: usize, end: usize) -> Vec<(f32, f32)> {
        let gain = self.config.angles.gain();
        let turn = |position: usize| {
            self.frequencies.iter().map(move |f| {
                let (sin, cos) = (position as f32 * f).sin_cos();
                (cos * gain, sin * gain)
            })
        };
        (start..end).flat_map(turn).collect()
    }
}

/// Runs a pass on a thread of the pool. From any other thread each of some hundred products would hand itself over to
/// the pool, sleep, and be woken: that took twice as long as the arithmetic.
fn on_pool<T: Send>(pass: impl FnOnce() -> T + Send) -> T {
    rayon::scope(|_| pass())
}

fn times(matrix: &Matrix, x: &[f32], inputs: usize) -> Result<Rows, EngineError> {
    matrix.times(x, inputs).map(Zeroizing::new)
}

fn add(x: &mut [f32], y: &[f32]) {
    x.iter_mut().zip(y).for_each(|(x, y)| *x += y);
}

/// Turns each head of each row; `turns` holds one row of pairs for each position.
fn rotate(x: &mut [f32], width: usize, turns: &[(f32, f32)]) {
    let rows = x.len() / width;
    for (row, turns) in x.chunks_exact_mut(width).zip(turns.chunks_exact(turns.len() / rows)) {
        for head in row.chunks_exact_mut(turns.len() * 2) {
            for (pair, (cos, sin)) in head.chunks_exact_mut(2).zip(turns) {
                let (a, b) = (pair[0], pair[1]);
                pair[0] = a * cos - b * sin;
                pair[1] = a * sin + b * cos;
            }
        }
    }
}

/// Softmax attention of one query over positions `0..end` of one key and value head, added to `out`.
fn mix(query: &[f32], cache: &KvCache, (layer, head): (usize, usize), end: usize, out: &mut [f32]) {
    let dim = query.len();
    let scale = 1.0 / (dim as f32).sqrt();
    let mut scores = Zeroizing::new(Vec::with_capacity(end));
    for (keys, _) in cache.head(layer, head, end) {
        scores.extend(keys.chunks_exact(dim).map(|key| dot(query, key) * scale));
    }
    let top = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.0;
    for score in scores.iter_mut() {
        *score = (*score - top).exp();
        sum += *score;
    }
    let mut weights = scores.iter();
    for (_, values) in cache.head(layer, head, end) {
        for (value, weight) in values.chunks_exact(dim).zip(weights.by_ref()) {
            let weight = weight / sum;
            out.iter_mut().zip(value).for_each(|(o, v)| *o += weight * v);
        }
    }
}

/// Dot product in `LANES` partial sums, an order that does not depend on threads.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0f32; LANES];
    let (a_lanes, b_lanes) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let tail: f32 = a_lanes.remainder().iter().zip(b_lanes.remainder()).map(|(x, y)| x * y).sum();
    for (x, y) in a_lanes.zip(b_lanes) {
        for i in 0..LANES {
            sums[i] += x[i] * y[i];
        }
    }
    sums.iter().sum::<f32>() + tail
}

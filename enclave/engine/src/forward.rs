//! The forward pass over rows of several sequences at once.
//!
//! ```text
//! x = embedding(token)                                            a row for each token of each sequence
//! for each layer:   q, k, v = rotate(norm(x) * [Q K V] + bias)    one product over all rows
//!                   k, v -> the sequence's own blocks
//!                   x += attend(q, blocks) * O
//!                   x += (silu(norm(x) * G) . norm(x) * U) * D
//! logits = norm(x) * head                                         of the rows that ask for them
//! ```
//!
//! Promises
//! - A row's numbers depend on its own sequence only, bit for bit: not on the rows beside it, on how a prompt is cut into
//!   chunks, or on the number of threads.
//! - It reads and writes the caches it is given and its own workspace, and nothing else.
//!
//! Buffers are made once, for the largest batch.
//!
//! Rotary pairs are (i, i + dim / 2), as in GPT-NeoX. Files whose pairs are neighbours have the rows of Q and K put in that order
//! when they are loaded (`weights`); the products of queries and keys do not notice.

use crate::cache::KvCache;
use crate::config::Config;
use crate::error::EngineError;
use crate::weights::{Layer, Weights};
use adyton_kernels::attention::{Attend, BLOCK, block_len, scores_len, write};
use adyton_kernels::{Activations, Isa, Pool, vector};
use std::ops::Range;
use zeroize::Zeroize;

/// Rows of one sequence whose queries share the keys that are read: with 3 query heads to a key head, 12 queries.
const TILE: usize = 4;

/// Weights, and what follows from them.
#[derive(Debug)]
pub(crate) struct Transformer {
    pub(crate) config: Config,
    pub(crate) weights: Weights,
    /// Angle per position of each pair of a head.
    frequencies: Vec<f32>,
}

/// Tokens of one sequence that are to be computed, at the positions behind those in its cache.
pub(crate) struct Span<'a> {
    /// The sequence's cache, with room for them.
    pub(crate) cache: &'a mut KvCache,
    /// The tokens.
    pub(crate) tokens: &'a [u32],
    /// The logits of so many of the last tokens are wanted.
    pub(crate) logits: usize,
}

/// Threads, buffers and the instruction set. One forward pass runs in it at a time.
pub(crate) struct Workspace {
    isa: Isa,
    pool: Pool,
    /// The residual stream, (rows, embed).
    x: Vec<f32>,
    /// What a product adds to it.
    delta: Vec<f32>,
    normed: Activations,
    /// Queries, keys and values of a row, one behind the other.
    qkv: Vec<f32>,
    /// Mixed values, (key head, row, query head of it, element).
    mixed: Vec<f32>,
    mixed_rows: Activations,
    /// Gate and up of a row.
    gates: Vec<f32>,
    gated: Activations,
    /// Cosine and sine of each pair, for each row.
    cos: Vec<f32>,
    sin: Vec<f32>,
    /// Rows that ask for logits.
    asking: Vec<usize>,
    last: Activations,
    logits: Vec<f32>,
    tasks: Vec<Task>,
    ends: Vec<usize>,
    scratch: Vec<Scratch>,
}

/// What one thread needs to attend.
#[derive(Clone, Default)]
struct Scratch {
    queries: Vec<f32>,
    ends: Vec<usize>,
    scores: Vec<f32>,
}

/// Rows of one span that attend together over one key head.
#[derive(Clone, Debug)]
struct Task {
    span: usize,
    head: usize,
    /// Rows, counted through the batch.
    rows: Range<usize>,
    /// The first row's position.
    position: usize,
}

impl Workspace {
    /// Room for steps of `rows` rows, of which `asking` ask for logits.
    pub(crate) fn new(config: &Config, isa: Isa, pool: Pool, rows: usize, asking: usize) -> Workspace {
        let c = config;
        let scratch = vec![Scratch::default(); pool.threads()];
        Workspace {
            isa,
            x: vec![0.0; rows * c.embed],
            delta: vec![0.0; rows * c.embed],
            normed: Activations::new(c.embed, rows),
            qkv: vec![0.0; rows * (c.q_dim() + 2 * c.kv_dim())],
            mixed: vec![0.0; rows * c.q_dim()],
            mixed_rows: Activations::new(c.q_dim(), rows),
            gates: vec![0.0; rows * 2 * c.ffn],
            gated: Activations::new(c.ffn, rows),
            cos: vec![0.0; rows * c.head_dim / 2],
            sin: vec![0.0; rows * c.head_dim / 2],
            asking: Vec::with_capacity(asking),
            last: Activations::new(c.embed, asking),
            logits: vec![0.0; asking * c.vocab],
            tasks: Vec::new(),
            ends: Vec::new(),
            pool,
            scratch,
        }
    }

    /// Bytes of a workspace.
    pub(crate) fn bytes(config: &Config, rows: usize, asking: usize) -> usize {
        let c = config;
        // An activation takes 4 bytes in f32, 1 rounded, and 16 for each group of 32.
        let activations = (c.embed + c.q_dim() + c.ffn) * 11 / 2;
        let floats = 2 * c.embed + 2 * c.q_dim() + 2 * c.kv_dim() + 2 * c.ffn + c.head_dim;
        rows.saturating_mul(activations + 4 * floats).saturating_add(asking.saturating_mul(4 * c.vocab))
    }

    /// The logits of the `n`-th row that asked for them, in the order of the spans.
    pub(crate) fn logits(&mut self, n: usize, vocab: usize) -> &mut [f32] {
        self.logits.get_mut(n * vocab..(n + 1) * vocab).unwrap_or_default()
    }

    /// Overwrites everything that was computed.
    pub(crate) fn wipe(&mut self) {
        let floats =
            [&mut self.x, &mut self.delta, &mut self.qkv, &mut self.mixed, &mut self.gates, &mut self.logits];
        floats.into_iter().for_each(|floats| floats.as_mut_slice().zeroize());
        for activations in [&mut self.normed, &mut self.mixed_rows, &mut self.gated, &mut self.last] {
            activations.wipe(usize::MAX);
        }
        for scratch in &mut self.scratch {
            scratch.queries.as_mut_slice().zeroize();
            scratch.scores.as_mut_slice().zeroize();
        }
    }
}

impl Drop for Workspace {
    fn drop(&mut self) {
        self.wipe();
    }
}

impl Transformer {
    pub(crate) fn new(config: Config, weights: Weights) -> Transformer {
        let frequencies = config.frequencies(weights.rope_factors.as_deref());
        Transformer { config, weights, frequencies }
    }

    /// Computes the spans' tokens. Logits are in the workspace afterwards. On an error no span has moved on.
    pub(crate) fn run(&self, work: &mut Workspace, spans: &mut [Span<'_>]) -> Result<(), EngineError> {
        let rows = self.lay_out(work, spans)?;
        self.embed(work, spans);
        for (index, layer) in self.weights.layers.iter().enumerate() {
            self.attention(work, spans, rows, index, layer);
            self.feed_forward(work, rows, layer);
        }
        self.head(work);
        for span in spans {
            span.cache.advance(span.cache.len() + span.tokens.len());
        }
        Ok(())
    }

    /// Counts the rows, checks them, and cuts the attention into tasks.
    fn lay_out(&self, work: &mut Workspace, spans: &[Span<'_>]) -> Result<usize, EngineError> {
        let c = &self.config;
        work.asking.clear();
        work.tasks.clear();
        let mut rows = 0;
        for span in spans {
            let end = span.cache.len() + span.tokens.len();
            let known = span.tokens.iter().all(|t| (*t as usize) < c.vocab);
            if span.tokens.is_empty() || !known || end > c.context || span.logits > span.tokens.len() {
                return Err(EngineError::OutOfRange);
            }
            rows += span.tokens.len();
            work.asking.extend(rows - span.logits..rows);
        }
        if rows * c.embed > work.x.len() || work.asking.len() * c.vocab > work.logits.len() {
            return Err(EngineError::OutOfRange);
        }
        self.cut(work, spans, rows);
        Ok(rows)
    }

    /// Cuts the attention into tasks, whose outputs follow one another in `mixed`.
    fn cut(&self, work: &mut Workspace, spans: &[Span<'_>], rows: usize) {
        let c = &self.config;
        let (group, mut longest) = (c.heads / c.kv_heads, 0);
        work.ends.clear();
        for head in 0..c.kv_heads {
            let mut start = 0;
            for (index, span) in spans.iter().enumerate() {
                let stop = start + span.tokens.len();
                for first in (start..stop).step_by(TILE) {
                    let rows = first..(first + TILE).min(stop);
                    let position = span.cache.len() + first - start;
                    longest = longest.max(position + rows.len());
                    work.ends.push(work.ends.last().copied().unwrap_or(0) + rows.len() * group * c.head_dim);
                    work.tasks.push(Task { span: index, head, rows, position });
                }
                start = stop;
            }
        }
        debug_assert_eq!(work.ends.last().copied().unwrap_or(0), rows * c.q_dim());
        for scratch in &mut work.scratch {
            let queries = TILE * group;
            scratch.queries.resize(queries * c.head_dim, 0.0);
            if scratch.scores.len() < scores_len(queries, longest) {
                // In steps, so that a growing answer does not ask for memory at every block.
                scratch.scores.resize(scores_len(queries, longest.next_multiple_of(512)), 0.0);
            }
            scratch.ends.resize(queries, 0);
        }
    }

    /// Embeddings and rotary angles of every row.
    fn embed(&self, work: &mut Workspace, spans: &[Span<'_>]) {
        let (half, gain) = (self.config.head_dim / 2, self.config.angles.gain());
        let places = spans.iter().flat_map(|span| span.tokens.iter().zip(span.cache.len()..));
        for (row, (token, position)) in places.enumerate() {
            let x = &mut work.x[row * self.config.embed..][..self.config.embed];
            self.weights.store.row(&self.weights.embedding, *token as usize, x);
            for (pair, frequency) in self.frequencies.iter().enumerate() {
                let angle = position as f32 * frequency;
                work.cos[row * half + pair] = angle.cos() * gain;
                work.sin[row * half + pair] = angle.sin() * gain;
            }
        }
    }

    fn attention(
        &self,
        work: &mut Workspace,
        spans: &mut [Span<'_>],
        rows: usize,
        index: usize,
        layer: &Layer,
    ) {
        let c = &self.config;
        norm_rows(work, rows, c, &layer.attention_norm);
        let width = c.q_dim() + 2 * c.kv_dim();
        let matrices = [&layer.query, &layer.key, &layer.value];
        let qkv = &mut work.qkv[..rows * width];
        self.weights.store.product(work.isa, &mut work.pool, &matrices, &work.normed, qkv);
        self.turn(work, rows, layer);
        self.remember(work, spans, index);
        self.attend(work, spans, index);
        self.gather(work, rows);
        self.residual(work, rows, |work, weights, delta| {
            weights.store.product(work.isa, &mut work.pool, &[&layer.attention_out], &work.mixed_rows, delta);
        });
    }

    /// Biases, norms of heads, and rotation of queries and keys.
    fn turn(&self, work: &mut Workspace, rows: usize, layer: &Layer) {
        let c = &self.config;
        let (width, half, isa) = (c.q_dim() + 2 * c.kv_dim(), c.head_dim / 2, work.isa);
        let scale = 1.0 / (c.head_dim as f32).sqrt();
        let (cos, sin) = (&work.cos, &work.sin);
        work.pool.rows(&mut work.qkv[..rows * width], width, &|row, qkv| {
            if let Some(bias) = &layer.bias {
                vector::add(isa, qkv, bias);
            }
            let (queries, rest) = qkv.split_at_mut(c.q_dim());
            let keys = &mut rest[..c.kv_dim()];
            if let Some((query_norm, key_norm)) = &layer.head_norms {
                norm_heads(isa, queries, query_norm, c.eps);
                norm_heads(isa, keys, key_norm, c.eps);
            }
            let turns = (&cos[row * half..][..half], &sin[row * half..][..half]);
            vector::rotate(isa, queries, c.head_dim, turns, scale);
            vector::rotate(isa, keys, c.head_dim, turns, 1.0);
        });
    }

    /// Writes keys and values into the spans' caches.
    fn remember(&self, work: &Workspace, spans: &mut [Span<'_>], layer: usize) {
        let c = &self.config;
        let (width, len) = (c.q_dim() + 2 * c.kv_dim(), block_len(c.head_dim));
        let mut rows = work.qkv.chunks_exact(width);
        for span in spans {
            let start = span.cache.len();
            for (position, row) in (start..start + span.tokens.len()).zip(rows.by_ref()) {
                let (keys, values) = row[c.q_dim()..].split_at(c.kv_dim());
                let heads = keys.chunks_exact(c.head_dim).zip(values.chunks_exact(c.head_dim));
                for (head, (key, value)) in heads.enumerate() {
                    let block = span.cache.block_mut(position / BLOCK, layer * c.kv_heads + head, len);
                    write(work.isa, block, position, key, value);
                }
            }
        }
    }

    fn attend(&self, work: &mut Workspace, spans: &[Span<'_>], layer: usize) {
        let c = &self.config;
        let (dim, group, isa) = (c.head_dim, c.heads / c.kv_heads, work.isa);
        let (width, len) = (c.q_dim() + 2 * c.kv_dim(), block_len(dim));
        let (tasks, qkv) = (&work.tasks, &work.qkv);
        work.pool.pieces(&mut work.mixed, &work.ends, &mut work.scratch, &|index, out, scratch| {
            let task = &tasks[index];
            let count = task.rows.len() * group;
            for (n, row) in task.rows.clone().enumerate() {
                let from = &qkv[row * width + task.head * group * dim..][..group * dim];
                scratch.queries[n * group * dim..][..group * dim].copy_from_slice(from);
                scratch.ends[n * group..][..group].fill(task.position + n + 1);
            }
            let cache = &*spans[task.span].cache;
            Attend {
                dim,
                queries: &scratch.queries[..count * dim],
                ends: &scratch.ends[..count],
                block: |index| cache.block(index, layer * c.kv_heads + task.head, len),
                scores: &mut scratch.scores,
                out,
            }
            .run(isa);
        });
    }

    /// Brings mixed values, which lie head by head, into rows.
    fn gather(&self, work: &mut Workspace, rows: usize) {
        let c = &self.config;
        let part = c.q_dim() / c.kv_heads;
        let mixed = &work.mixed;
        work.mixed_rows.fill(work.isa, &mut work.pool, rows, &|row, out| {
            for (head, out) in out.chunks_exact_mut(part).enumerate() {
                out.copy_from_slice(&mixed[(head * rows + row) * part..][..part]);
            }
        });
    }

    fn feed_forward(&self, work: &mut Workspace, rows: usize, layer: &Layer) {
        let c = &self.config;
        norm_rows(work, rows, c, &layer.ffn_norm);
        let gates = &mut work.gates[..rows * 2 * c.ffn];
        self.weights.store.product(work.isa, &mut work.pool, &[&layer.gate, &layer.up], &work.normed, gates);
        let (isa, gates) = (work.isa, &work.gates);
        work.gated.fill(isa, &mut work.pool, rows, &|row, out| {
            let (gate, up) = gates[row * 2 * c.ffn..][..2 * c.ffn].split_at(c.ffn);
            vector::gated(isa, gate, up, out);
        });
        self.residual(work, rows, |work, weights, delta| {
            weights.store.product(work.isa, &mut work.pool, &[&layer.down], &work.gated, delta);
        });
    }

    /// Adds what `product` writes to the residual stream.
    fn residual(
        &self,
        work: &mut Workspace,
        rows: usize,
        product: impl FnOnce(&mut Workspace, &Weights, &mut [f32]),
    ) {
        let all = rows * self.config.embed;
        let mut delta = std::mem::take(&mut work.delta);
        product(work, &self.weights, &mut delta[..all]);
        vector::add(work.isa, &mut work.x[..all], &delta[..all]);
        work.delta = delta;
    }

    /// Logits of the rows that ask for them.
    fn head(&self, work: &mut Workspace) {
        let c = &self.config;
        let (x, isa, asking) = (&work.x, work.isa, &work.asking);
        if asking.is_empty() {
            return;
        }
        work.last.fill(isa, &mut work.pool, asking.len(), &|n, out| {
            vector::norm(isa, &x[asking[n] * c.embed..][..c.embed], &self.weights.norm, c.eps, out);
        });
        let logits = &mut work.logits[..asking.len() * c.vocab];
        self.weights.store.product(isa, &mut work.pool, &[&self.weights.head], &work.last, logits);
    }
}

/// The norm of every row of the residual stream, ready for a product.
fn norm_rows(work: &mut Workspace, rows: usize, c: &Config, weight: &[f32]) {
    let (isa, x) = (work.isa, &work.x);
    work.normed.fill(isa, &mut work.pool, rows, &|row, out| {
        vector::norm(isa, &x[row * c.embed..][..c.embed], weight, c.eps, out);
    });
}

fn norm_heads(isa: Isa, heads: &mut [f32], weight: &[f32], eps: f32) {
    for head in heads.chunks_exact_mut(weight.len()) {
        vector::norm_in_place(isa, head, weight, eps);
    }
}

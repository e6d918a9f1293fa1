//! The forward pass over the tokens of several texts at once.
//!
//! Promises: the numbers of a text depend on that text only; nothing is allocated that a text's length could make large; the
//! workspace is wiped after each pass.

use crate::error::EncodeError;
use crate::load::{Encoder, HEAD, Layer, Norm};
use crate::tokens::Tokens;
use adyton_kernels::attention::{Attend, BLOCK, block_len, scores_len, write};
use adyton_kernels::{Activations, Isa, Pool, vector};
use std::fmt;
use std::ops::Range;
use zeroize::{Zeroize, Zeroizing};

/// Under the root of a layer norm's variance.
const EPS: f32 = 1e-12;
/// Rows of a text whose queries read the same keys at a time.
const TILE: usize = 8;

/// A vector of length 1. `Debug` prints its width.
#[derive(Clone, PartialEq)]
pub struct Embedding(Zeroizing<Vec<f32>>);

impl Embedding {
    /// Its elements.
    pub fn elements(&self) -> &[f32] {
        &self.0
    }

    /// The cosine of the angle between two, as both have length 1.
    pub fn cosine(&self, other: &Embedding) -> f32 {
        self.0.iter().zip(other.0.iter()).map(|(a, b)| a * b).sum()
    }
}

impl fmt::Debug for Embedding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Embedding({})", self.0.len())
    }
}

/// What the rows of a text are after some layers, (tokens, width): the first is of the beginning, the last of the end, those
/// between of the words. `Debug` prints how many.
pub struct Rows {
    values: Zeroizing<Vec<f32>>,
    width: usize,
}

impl Rows {
    /// One row for each token.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[f32]> {
        self.values.chunks_exact(self.width)
    }
}

impl fmt::Debug for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Rows({})", self.iter().len())
    }
}

/// Threads and buffers. One pass runs in it at a time.
pub struct Workspace {
    isa: Isa,
    pool: Pool,
    room: usize,
    /// (rows, width)
    x: Vec<f32>,
    delta: Vec<f32>,
    rows: Activations,
    /// Queries, keys and values of a row, one behind the other.
    qkv: Vec<f32>,
    /// (head, row, element)
    mixed: Vec<f32>,
    inner: Vec<f32>,
    inner_rows: Activations,
    /// Keys and values of one layer: the blocks of each text, head by head.
    blocks: Vec<u16>,
    tasks: Vec<Task>,
    ends: Vec<usize>,
    scratch: Vec<Scratch>,
}

#[derive(Clone, Default)]
struct Scratch {
    queries: Vec<f32>,
    scores: Vec<f32>,
}

/// Rows of one text that attend together with one head.
struct Task {
    head: usize,
    /// Counted through the batch.
    rows: Range<usize>,
    /// Tokens of the text.
    length: usize,
    /// Its first block of this head.
    block: usize,
}

/// A text's place in the batch.
struct Place {
    rows: Range<usize>,
    /// Its first block.
    block: usize,
}

impl Workspace {
    /// Room for batches of `rows` tokens in all, computed by `threads` threads.
    ///
    /// # Errors
    /// If a thread cannot be had.
    pub fn new(encoder: &Encoder, rows: usize, threads: usize) -> std::io::Result<Workspace> {
        Workspace::with(encoder, rows, threads, Isa::best())
    }

    /// As [`Workspace::new`], with a chosen instruction set.
    ///
    /// # Errors
    /// If a thread cannot be had.
    pub fn with(encoder: &Encoder, rows: usize, threads: usize, isa: Isa) -> std::io::Result<Workspace> {
        let (w, pool) = (&encoder.weights, Pool::new(threads)?);
        let scratch =
            Scratch { queries: vec![0.0; TILE * HEAD], scores: vec![0.0; scores_len(TILE, w.positions)] };
        Ok(Workspace {
            isa,
            room: rows,
            x: vec![0.0; rows * w.width],
            delta: vec![0.0; rows * w.width],
            rows: Activations::new(w.width, rows),
            qkv: vec![0.0; rows * 3 * w.width],
            mixed: vec![0.0; rows * w.width],
            inner: vec![0.0; rows * w.inner],
            inner_rows: Activations::new(w.inner, rows),
            blocks: Vec::new(),
            tasks: Vec::new(),
            ends: Vec::new(),
            scratch: vec![scratch; pool.threads()],
            pool,
        })
    }

    /// Tokens that fit into a batch.
    pub fn room(&self) -> usize {
        self.room
    }

    /// Whether nothing of a text is left in it.
    pub fn is_wiped(&self) -> bool {
        let floats = [&self.x, &self.delta, &self.qkv, &self.mixed, &self.inner];
        floats.into_iter().all(|floats| floats.iter().all(|x| *x == 0.0))
            && self.blocks.iter().all(|x| *x == 0)
            && self.rows.is_wiped()
            && self.inner_rows.is_wiped()
    }

    /// Wipes what a pass over `found` rows has written: to wipe all of a large workspace takes longer than a short text.
    fn wipe(&mut self, found: usize) {
        let floats = [&mut self.x, &mut self.delta, &mut self.qkv, &mut self.mixed, &mut self.inner];
        for floats in floats {
            let each = floats.len().checked_div(self.room).unwrap_or(0);
            floats[..found * each].zeroize();
        }
        self.blocks.as_mut_slice().zeroize();
        self.rows.wipe(found);
        self.inner_rows.wipe(found);
        for scratch in &mut self.scratch {
            scratch.queries.as_mut_slice().zeroize();
            scratch.scores.as_mut_slice().zeroize();
        }
    }
}

impl fmt::Debug for Workspace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Workspace({} rows)", self.room)
    }
}

impl Encoder {
    /// The vectors of texts, in their order.
    ///
    /// # Errors
    /// [`EncodeError::TooMany`] if they do not fit into the workspace together, [`EncodeError::NoVector`]
    pub fn embed(&self, work: &mut Workspace, texts: &[Tokens]) -> Result<Vec<Embedding>, EncodeError> {
        let found = texts.iter().map(Tokens::count).sum();
        if found > work.room {
            return Err(EncodeError::TooMany { found, limit: work.room });
        }
        let vectors = self
            .pass(work, texts, found, self.weights.layers.len())
            .and_then(|places| places.iter().map(|place| self.pool(work, place)).collect());
        work.wipe(found);
        vectors
    }

    /// Layers over the tokens of texts, `found` in all. Whatever comes of it, the workspace is to be wiped.
    fn pass(
        &self,
        work: &mut Workspace,
        texts: &[Tokens],
        found: usize,
        layers: usize,
    ) -> Result<Vec<Place>, EncodeError> {
        let places = self.lay_out(work, texts)?;
        for layer in self.weights.layers.iter().take(layers) {
            self.attention(work, &places, found, layer);
            self.feed_forward(work, found, layer);
        }
        Ok(places)
    }

    /// The rows of one text after its first `layers` layers, or after all if there are no more: what is known of words and
    /// form there is gone in the vector.
    ///
    /// # Errors
    /// [`EncodeError::TooMany`], [`EncodeError::NoVector`] if what came out is no number
    pub fn rows(&self, work: &mut Workspace, text: &Tokens, layers: usize) -> Result<Rows, EncodeError> {
        let (found, width) = (text.count(), self.weights.width);
        if found > work.room {
            return Err(EncodeError::TooMany { found, limit: work.room });
        }
        let passed = self.pass(work, std::slice::from_ref(text), found, layers);
        let values = Zeroizing::new(work.x[..found * width].to_vec());
        work.wipe(found);
        passed?;
        match values.iter().all(|value| value.is_finite()) {
            true => Ok(Rows { values, width }),
            false => Err(EncodeError::NoVector),
        }
    }

    /// Puts embeddings into the rows, and cuts the attention into tasks.
    fn lay_out(&self, work: &mut Workspace, texts: &[Tokens]) -> Result<Vec<Place>, EncodeError> {
        let (w, mut places) = (&self.weights, Vec::with_capacity(texts.len()));
        let (mut row, mut block) = (0, 0);
        for text in texts {
            let ids = text.ids();
            let known = ids.iter().all(|id| (*id as usize) < w.word.rows());
            if ids.is_empty() || ids.len() > w.positions || !known {
                return Err(EncodeError::Tokens);
            }
            for (at, id) in ids.iter().enumerate() {
                let x = &mut work.x[(row + at) * w.width..][..w.width];
                w.store.row(&w.word, *id as usize, x);
                vector::add(work.isa, x, &w.position[at * w.width..][..w.width]);
                normalise(work.isa, x, &w.norm);
            }
            places.push(Place { rows: row..row + ids.len(), block });
            row += ids.len();
            block += ids.len().div_ceil(BLOCK) * (w.width / HEAD);
        }
        work.blocks.clear();
        work.blocks.resize(block * block_len(HEAD), 0);
        work.tasks.clear();
        work.ends.clear();
        for head in 0..w.width / HEAD {
            for place in &places {
                let length = place.rows.len();
                let block = place.block + head * length.div_ceil(BLOCK);
                for first in place.rows.clone().step_by(TILE) {
                    let rows = first..(first + TILE).min(place.rows.end);
                    work.ends.push((head * row + rows.end) * HEAD);
                    work.tasks.push(Task { head, rows, length, block });
                }
            }
        }
        Ok(places)
    }

    fn attention(&self, work: &mut Workspace, places: &[Place], rows: usize, layer: &Layer) {
        let (w, isa) = (&self.weights, work.isa);
        let wide = 3 * w.width;
        fill(work, rows, w.width);
        let matrices = [&layer.query, &layer.key, &layer.value];
        w.store.product(isa, &mut work.pool, &matrices, &work.rows, &mut work.qkv[..rows * wide]);
        let scale = 1.0 / (HEAD as f32).sqrt();
        work.pool.rows(&mut work.qkv[..rows * wide], wide, &|_, row| {
            vector::add(isa, row, &layer.bias);
            row[..w.width].iter_mut().for_each(|query| *query *= scale);
        });
        self.remember(work, places);
        self.attend(work, rows);
        let mixed = &work.mixed;
        work.rows.fill(isa, &mut work.pool, rows, &|row, out| {
            for (head, out) in out.chunks_exact_mut(HEAD).enumerate() {
                out.copy_from_slice(&mixed[(head * rows + row) * HEAD..][..HEAD]);
            }
        });
        let delta = &mut work.delta[..rows * w.width];
        w.store.product(isa, &mut work.pool, &[&layer.out], &work.rows, delta);
        residual(work, rows, w.width, &layer.out_bias, &layer.attention_norm);
    }

    /// Writes keys and values into the blocks of their texts and heads.
    fn remember(&self, work: &mut Workspace, places: &[Place]) {
        let (width, len) = (self.weights.width, block_len(HEAD));
        for place in places {
            let blocks = place.rows.len().div_ceil(BLOCK);
            for (position, row) in place.rows.clone().enumerate() {
                let (keys, values) = work.qkv[row * 3 * width + width..][..2 * width].split_at(width);
                for (head, (key, value)) in keys.chunks_exact(HEAD).zip(values.chunks_exact(HEAD)).enumerate()
                {
                    let block = place.block + head * blocks + position / BLOCK;
                    write(work.isa, &mut work.blocks[block * len..][..len], position, key, value);
                }
            }
        }
    }

    fn attend(&self, work: &mut Workspace, rows: usize) {
        let (width, len, isa) = (self.weights.width, block_len(HEAD), work.isa);
        let (tasks, qkv, blocks) = (&work.tasks, &work.qkv, &work.blocks);
        let mixed = &mut work.mixed[..rows * width];
        work.pool.pieces(mixed, &work.ends, &mut work.scratch, &|index, out, scratch| {
            let task = &tasks[index];
            let count = task.rows.len();
            for (query, row) in scratch.queries.chunks_exact_mut(HEAD).zip(task.rows.clone()) {
                query.copy_from_slice(&qkv[row * 3 * width + task.head * HEAD..][..HEAD]);
            }
            Attend {
                dim: HEAD,
                queries: &scratch.queries[..count * HEAD],
                ends: &[task.length; TILE][..count],
                block: |index| &blocks[(task.block + index) * len..][..len],
                scores: &mut scratch.scores,
                out,
            }
            .run(isa);
        });
    }

    fn feed_forward(&self, work: &mut Workspace, rows: usize, layer: &Layer) {
        let (w, isa) = (&self.weights, work.isa);
        fill(work, rows, w.width);
        let inner = &mut work.inner[..rows * w.inner];
        w.store.product(isa, &mut work.pool, &[&layer.up], &work.rows, inner);
        let inner = &work.inner;
        work.inner_rows.fill(isa, &mut work.pool, rows, &|row, out| {
            out.copy_from_slice(&inner[row * w.inner..][..w.inner]);
            vector::gelu(isa, out, &layer.up_bias);
        });
        let delta = &mut work.delta[..rows * w.width];
        w.store.product(isa, &mut work.pool, &[&layer.down], &work.inner_rows, delta);
        residual(work, rows, w.width, &layer.down_bias, &layer.norm);
    }

    /// The mean of a text's rows, at length 1.
    fn pool(&self, work: &Workspace, place: &Place) -> Result<Embedding, EncodeError> {
        let width = self.weights.width;
        let mut sum = Zeroizing::new(vec![0.0; width]);
        for row in work.x[place.rows.start * width..place.rows.end * width].chunks_exact(width) {
            vector::add(work.isa, &mut sum, row);
        }
        let length = sum.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
        if !(length.is_finite() && length > 0.0) {
            return Err(EncodeError::NoVector);
        }
        sum.iter_mut().for_each(|x| *x = (f64::from(*x) / length) as f32);
        Ok(Embedding(sum))
    }
}

/// The residual stream, ready for a product.
fn fill(work: &mut Workspace, rows: usize, width: usize) {
    let x = &work.x;
    work.rows.fill(work.isa, &mut work.pool, rows, &|row, out| {
        out.copy_from_slice(&x[row * width..][..width]);
    });
}

/// `x = norm(x + delta + bias)`
fn residual(work: &mut Workspace, rows: usize, width: usize, bias: &[f32], norm: &Norm) {
    let (isa, delta) = (work.isa, &work.delta);
    work.pool.rows(&mut work.x[..rows * width], width, &|row, x| {
        vector::add(isa, x, &delta[row * width..][..width]);
        vector::add(isa, x, bias);
        normalise(isa, x, norm);
    });
}

fn normalise(isa: Isa, x: &mut [f32], norm: &Norm) {
    vector::layer_norm(isa, x, &norm.weight, &norm.bias, EPS);
}

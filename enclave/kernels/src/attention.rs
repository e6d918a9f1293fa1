//! Softmax attention of a few queries over the keys and values of one head, kept in f16 in blocks of sixteen positions.
//!
//! A block's keys lie transposed, (element, position), so that a vector holds one element of sixteen keys; its values lie
//! (position, element).
//!
//! Promises: what a query gets depends on that query and the positions before it only, not on the queries beside it;
//! positions past its end are never part of it, whatever they hold, as long as it is finite.

use crate::isa::Isa;
use crate::simd::{Kernel, LANES, Simd, exp, total};

/// Positions of a block.
pub const BLOCK: usize = LANES;

/// Numbers of one block of one head: keys, then values.
pub const fn block_len(dim: usize) -> usize {
    2 * BLOCK * dim
}

/// Largest finite f16: what is larger is cut to it, so that a block never holds what is not finite.
const MOST: f32 = 65_504.0;

/// Writes the key and the value of one position of one head into its block. Their length must be a multiple of 16.
///
/// # Panics
/// If `block` is not as long as [`block_len`] of their length.
pub fn write(isa: Isa, block: &mut [u16], position: usize, key: &[f32], value: &[f32]) {
    assert!(block.len() == block_len(key.len()) && key.len() == value.len(), "a block of another width");
    isa.run(Write { block, position, key, value });
}

struct Write<'a> {
    block: &'a mut [u16],
    position: usize,
    key: &'a [f32],
    value: &'a [f32],
}

impl Kernel for Write<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let dim = self.key.len();
        let (keys, values) = self.block.split_at_mut(BLOCK * dim);
        let mut halves = [0; LANES];
        let columns = keys.as_chunks_mut::<BLOCK>().0.chunks_exact_mut(LANES);
        for (columns, key) in columns.zip(self.key.as_chunks::<LANES>().0) {
            s.store_half(within(s, key), &mut halves);
            for (column, half) in columns.iter_mut().zip(halves) {
                column[self.position % BLOCK] = half;
            }
        }
        let row = &mut values[self.position % BLOCK * dim..][..dim];
        for (to, value) in row.as_chunks_mut::<LANES>().0.iter_mut().zip(self.value.as_chunks::<LANES>().0) {
            s.store_half(within(s, value), to);
        }
    }
}

#[inline(always)]
fn within<S: Simd>(s: S, x: &[f32; LANES]) -> S::F {
    s.max(s.min(s.load(x), s.splat(MOST)), s.splat(-MOST))
}

/// Attention of some queries over one head. `block` gives the head's blocks by number.
pub struct Attend<'a, B> {
    /// Elements of a query; a multiple of 16.
    pub dim: usize,
    /// The queries, already scaled.
    pub queries: &'a [f32],
    /// How many positions each query sees.
    pub ends: &'a [usize],
    /// The head's blocks; as many as the largest of `ends` needs.
    pub block: B,
    /// Room for the scores; at least [`scores_len`].
    pub scores: &'a mut [f32],
    /// The mixed values, one row for each query.
    pub out: &'a mut [f32],
}

/// Room that the scores of some queries need.
pub const fn scores_len(queries: usize, positions: usize) -> usize {
    queries * positions.next_multiple_of(BLOCK)
}

impl<'a, B: Fn(usize) -> &'a [u16]> Attend<'a, B> {
    /// Computes.
    ///
    /// # Panics
    /// If the sizes do not fit together.
    pub fn run(self, isa: Isa) {
        let (count, longest) = (self.ends.len(), self.ends.iter().copied().max().unwrap_or(0));
        let fits = self.queries.len() == count * self.dim
            && self.out.len() == count * self.dim
            && self.dim.is_multiple_of(LANES)
            && self.ends.iter().all(|end| *end > 0)
            && self.scores.len() >= scores_len(count, longest);
        assert!(fits, "queries, blocks and scores of different sizes");
        isa.run(self);
    }
}

impl<'a, B: Fn(usize) -> &'a [u16]> Kernel for Attend<'a, B> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Attend { dim, mut queries, mut ends, block, scores, mut out } = self;
        macro_rules! runs {
            ($n:literal, $wide:literal) => {
                while let Some(now) = ends.first_chunk::<$n>() {
                    let (mine, rest) = std::mem::take(&mut out).split_at_mut($n * dim);
                    few::<S, $n, $wide>(s, dim, &queries[..$n * dim], now, &block, scores, mine);
                    (queries, ends, out) = (&queries[$n * dim..], &ends[$n..], rest);
                }
            };
        }
        runs!(8, 1);
        runs!(4, 2);
        runs!(3, 4);
        runs!(2, 4);
        runs!(1, 4);
    }
}

/// `N` queries; values are mixed in `WIDE` vectors at a time where the width allows.
#[inline(always)]
fn few<'a, S: Simd, const N: usize, const WIDE: usize>(
    s: S,
    dim: usize,
    queries: &[f32],
    ends: &[usize; N],
    block: &impl Fn(usize) -> &'a [u16],
    scores: &mut [f32],
    out: &mut [f32],
) {
    let mut longest = 0;
    let mut each = [&queries[..dim]; N];
    for q in 0..N {
        longest = longest.max(ends[q]);
        each[q] = &queries[q * dim..][..dim];
    }
    let stride = longest.next_multiple_of(BLOCK);
    for index in 0..stride / BLOCK {
        let mut sums = [s.splat(0.0); N];
        for (element, keys) in block(index)[..BLOCK * dim].as_chunks::<BLOCK>().0.iter().enumerate() {
            let keys = s.load_half(keys);
            for q in 0..N {
                sums[q] = s.fma(keys, s.splat(each[q][element]), sums[q]);
            }
        }
        for q in 0..N {
            if let Some(to) = scores[q * stride + index * BLOCK..].first_chunk_mut() {
                s.store(sums[q], to);
            }
        }
    }
    let mut inverse = [0.0; N];
    for q in 0..N {
        inverse[q] = 1.0 / softmax(s, &mut scores[q * stride..][..stride], ends[q]);
    }
    let scores = &scores[..N * stride];
    let mut column = 0;
    while column + WIDE * LANES <= dim {
        mix::<S, N, WIDE>(s, (dim, column), block, scores, longest, &inverse, out);
        column += WIDE * LANES;
    }
    while column < dim {
        mix::<S, N, 1>(s, (dim, column), block, scores, longest, &inverse, out);
        column += LANES;
    }
}

/// Turns scores into weights, those past `end` into zeros, and returns the sum of the weights.
#[inline(always)]
fn softmax<S: Simd>(s: S, scores: &mut [f32], end: usize) -> f32 {
    scores[end..].fill(f32::NEG_INFINITY);
    let mut top = s.splat(f32::MIN);
    for scores in scores.as_chunks::<LANES>().0 {
        top = s.max(s.load(scores), top);
    }
    let mut lanes = [0.0; LANES];
    s.store(top, &mut lanes);
    let top = s.splat(lanes.into_iter().fold(f32::MIN, f32::max));
    let mut sum = s.splat(0.0);
    for (index, scores) in scores.as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
        let weights = exp(s, s.sub(s.load(scores), top));
        s.store(weights, scores);
        let start = index * LANES;
        if start + LANES > end {
            // `exp` is never quite 0.
            scores[end.saturating_sub(start).min(LANES)..].fill(0.0);
        }
        sum = s.add(sum, s.load(scores));
    }
    total(s, sum)
}

/// Mixes `WIDE` vectors of values, from `column` on, by the weights.
#[inline(always)]
fn mix<'a, S: Simd, const N: usize, const WIDE: usize>(
    s: S,
    (dim, column): (usize, usize),
    block: &impl Fn(usize) -> &'a [u16],
    scores: &[f32],
    longest: usize,
    inverse: &[f32; N],
    out: &mut [f32],
) {
    let mut sums = [[s.splat(0.0); WIDE]; N];
    let scores = scores.as_chunks::<BLOCK>().0;
    let blocks = scores.len() / N;
    for index in 0..blocks {
        let mut weights = [&scores[index]; N];
        for q in 1..N {
            weights[q] = &scores[q * blocks + index];
        }
        let values = &block(index)[BLOCK * dim..].as_chunks::<LANES>().0[column / LANES..];
        for position in 0..(longest - index * BLOCK).min(BLOCK) {
            let row = &values[position * (dim / LANES)..][..WIDE];
            for w in 0..WIDE {
                let values = s.load_half(&row[w]);
                for q in 0..N {
                    sums[q][w] = s.fma(values, s.splat(weights[q][position]), sums[q][w]);
                }
            }
        }
    }
    for q in 0..N {
        let to = out[q * dim + column..].as_chunks_mut::<LANES>().0;
        for w in 0..WIDE {
            s.store(s.mul(sums[q][w], s.splat(inverse[q])), &mut to[w]);
        }
    }
}

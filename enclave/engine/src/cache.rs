//! The keys and values of one sequence, apart from the model, in blocks that are wiped when the sequence ends.
//!
//! Promises: memory grows by whole blocks with the sequence and is never copied; every block is overwritten with zeros
//! before it is freed.
//!
//! Does not: share blocks between sequences.

use crate::config::Config;
use zeroize::Zeroizing;

/// Positions per block. At 64, a block of SmolLM2-135M has 2.9 MB, so a short chat wastes little.
pub(crate) const BLOCK: usize = 64;

/// Keys and values of `BLOCK` positions, each laid out as (layer, head, position, element).
struct Block {
    keys: Zeroizing<Vec<f32>>,
    values: Zeroizing<Vec<f32>>,
}

/// What one sequence has computed so far.
pub(crate) struct KvCache {
    blocks: Vec<Block>,
    /// Positions that every layer has written.
    length: usize,
    layers: usize,
    heads: usize,
    dim: usize,
}

impl KvCache {
    pub(crate) fn new(config: &Config) -> KvCache {
        let Config { layers, kv_heads, head_dim, .. } = *config;
        KvCache { blocks: Vec::new(), length: 0, layers, heads: kv_heads, dim: head_dim }
    }

    /// Positions held.
    pub(crate) fn len(&self) -> usize {
        self.length
    }

    /// Makes room for positions up to `end`.
    pub(crate) fn reserve(&mut self, end: usize) {
        let elements = self.layers * self.heads * BLOCK * self.dim;
        while self.blocks.len() * BLOCK < end {
            let zeros = || Zeroizing::new(vec![0.0; elements]);
            self.blocks.push(Block { keys: zeros(), values: zeros() });
        }
    }

    /// Writes the rows of one layer, each (head, element), from position `start` on. Room must have been reserved.
    pub(crate) fn write(&mut self, layer: usize, start: usize, keys: &[f32], values: &[f32]) {
        let (heads, dim) = (self.heads, self.dim);
        let rows = keys.chunks_exact(heads * dim).zip(values.chunks_exact(heads * dim));
        for (position, (key, value)) in (start..).zip(rows) {
            let Some(block) = self.blocks.get_mut(position / BLOCK) else { return };
            for head in 0..heads {
                let to = ((layer * heads + head) * BLOCK + position % BLOCK) * dim;
                block.keys[to..to + dim].copy_from_slice(&key[head * dim..][..dim]);
                block.values[to..to + dim].copy_from_slice(&value[head * dim..][..dim]);
            }
        }
    }

    /// Counts positions up to `end` as held.
    pub(crate) fn advance(&mut self, end: usize) {
        self.length = end;
    }

    /// The keys and values of one head for positions `0..end`, block by block, each (position, element).
    pub(crate) fn head(
        &self,
        layer: usize,
        head: usize,
        end: usize,
    ) -> impl Iterator<Item = (&[f32], &[f32])> {
        let from = (layer * self.heads + head) * BLOCK * self.dim;
        self.blocks.iter().enumerate().take_while(move |(i, _)| i * BLOCK < end).map(move |(i, block)| {
            let to = from + (end - i * BLOCK).min(BLOCK) * self.dim;
            (&block.keys[from..to], &block.values[from..to])
        })
    }
}

impl std::fmt::Debug for KvCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "KvCache({} positions)", self.length)
    }
}

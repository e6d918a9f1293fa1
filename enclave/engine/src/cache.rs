//! Keys and values of sequences, in blocks of sixteen positions out of one bounded supply.
//!
//! Promises: a block belongs to one sequence at a time; it is overwritten with zeros before anybody else can get it, and
//! before it is freed; there are never more blocks than [`Blocks::new`] was told. A sequence's list of blocks is its block
//! table.
//!
//! Does not: share blocks between sequences.

use crate::config::Config;
use adyton_kernels::attention::{BLOCK, block_len};
use zeroize::{Zeroize, Zeroizing};

/// Blocks that a sequence of so many positions needs.
pub(crate) const fn blocks_for(positions: usize) -> usize {
    positions.div_ceil(BLOCK)
}

/// Keys and values of sixteen positions in every layer and head, as f16.
struct Block(Zeroizing<Vec<u16>>);

/// The supply of blocks.
pub(crate) struct Blocks {
    /// Wiped, ready to be given out.
    free: Vec<Block>,
    /// Blocks given out.
    taken: usize,
    /// Most blocks.
    most: usize,
    /// Numbers of a block.
    length: usize,
}

impl Blocks {
    /// A supply of at most `bytes`.
    pub(crate) fn new(config: &Config, bytes: usize) -> Blocks {
        let length = config.layers * config.kv_heads * block_len(config.head_dim);
        Blocks { free: Vec::new(), taken: 0, most: bytes / (length * size_of::<u16>()), length }
    }

    /// Bytes of the blocks of so many positions.
    pub(crate) fn bytes(config: &Config, positions: usize) -> usize {
        let length = config.layers * config.kv_heads * block_len(config.head_dim);
        blocks_for(positions).saturating_mul(length * size_of::<u16>())
    }

    /// Most blocks that can be given out.
    pub(crate) fn most(&self) -> usize {
        self.most
    }

    /// Makes room in a cache for positions up to `end`. False if there are no blocks for it; then nothing changed.
    pub(crate) fn grow(&mut self, cache: &mut KvCache, end: usize) -> bool {
        let missing = blocks_for(end).saturating_sub(cache.blocks.len());
        if self.most - self.taken < missing {
            return false;
        }
        let length = self.length;
        let fresh = || Block(Zeroizing::new(vec![0; length]));
        cache.blocks.extend((0..missing).map(|_| self.free.pop().unwrap_or_else(fresh)));
        self.taken += missing;
        true
    }

    /// Keeps the positions up to `length`, and takes the blocks behind them back.
    pub(crate) fn cut(&mut self, cache: &mut KvCache, length: usize) {
        cache.length = cache.length.min(length);
        let keep = blocks_for(cache.length).min(cache.blocks.len());
        for mut block in cache.blocks.drain(keep..) {
            block.0.as_mut_slice().zeroize();
            self.free.push(block);
            self.taken -= 1;
        }
    }

    #[cfg(test)]
    pub(crate) fn taken(&self) -> usize {
        self.taken
    }

    #[cfg(test)]
    pub(crate) fn free_are_wiped(&self) -> bool {
        self.free.iter().all(|block| block.0.iter().all(|number| *number == 0))
    }
}

/// What one sequence has computed so far. Give its blocks back with [`Blocks::cut`].
#[derive(Default)]
pub(crate) struct KvCache {
    blocks: Vec<Block>,
    /// Positions that every layer has written.
    length: usize,
}

impl KvCache {
    /// Positions held.
    pub(crate) fn len(&self) -> usize {
        self.length
    }

    /// Blocks held.
    pub(crate) fn blocks(&self) -> usize {
        self.blocks.len()
    }

    /// Counts positions up to `end` as held.
    pub(crate) fn advance(&mut self, end: usize) {
        self.length = end;
    }

    /// One block of one head: `head` counts through all heads of all layers, `len` numbers each.
    pub(crate) fn block(&self, index: usize, head: usize, len: usize) -> &[u16] {
        self.blocks.get(index).and_then(|block| block.0.get(head * len..(head + 1) * len)).unwrap_or_default()
    }

    /// As `block`, to write.
    pub(crate) fn block_mut(&mut self, index: usize, head: usize, len: usize) -> &mut [u16] {
        let block = self.blocks.get_mut(index);
        block.and_then(|block| block.0.get_mut(head * len..(head + 1) * len)).unwrap_or_default()
    }
}

impl std::fmt::Debug for KvCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "KvCache({} positions)", self.length)
    }
}

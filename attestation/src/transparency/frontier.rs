//! Grows a Merkle tree leaf by leaf and keeps only what its root needs.
//!
//! Of a tree of `n` leaves the frontier holds the roots of its largest whole subtrees, one for each bit of
//! `n` that is set, largest first.
//!
//! # Promises
//! - The root is that of [`super::tree::root`] over the same leaves, at every size.
//! - A leaf costs at most one hash a level, and the memory is at most 64 hashes.
//!
//! # Does not
//! - Make proofs: whoever does brings all leaves, see [`super::tree`].
//!
//! # Trusts
//! - The leaf hashes that it is given.
//!
//! Source: RFC 9162, section 2.1.1.

use super::tree::{Hash, node_hash, root};

/// The right edge of a growing tree.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    peaks: Vec<Hash>,
}

impl Frontier {
    /// How many leaves.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Appends a leaf and returns its index.
    pub fn push(&mut self, leaf: Hash) -> u64 {
        let index = self.size;
        // Each whole subtree as large as the new one is joined with it, as in a binary counter.
        let (mut hash, mut rest) = (leaf, index);
        while rest & 1 == 1 {
            let Some(left) = self.peaks.pop() else { break };
            hash = node_hash(&left, &hash);
            rest >>= 1;
        }
        self.peaks.push(hash);
        // 2^64 leaves take longer than any enclave lives.
        self.size = index.saturating_add(1);
        index
    }

    /// The root over all leaves.
    pub fn root(&self) -> Hash {
        let mut peaks = self.peaks.iter().rev();
        let Some(last) = peaks.next() else { return root(&[]) };
        peaks.fold(*last, |right, left| node_hash(left, &right))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transparency::tree::leaf_hash;

    #[test]
    fn the_root_is_that_of_the_whole_tree_at_every_size() {
        let leaves: Vec<Hash> = (0..300u64).map(|n| leaf_hash(&n.to_be_bytes())).collect();
        let mut frontier = Frontier::default();
        assert_eq!(frontier.root(), root(&[]));
        for (index, leaf) in leaves.iter().enumerate() {
            assert_eq!(frontier.push(*leaf), index as u64);
            assert_eq!(frontier.size(), index as u64 + 1);
            assert_eq!(frontier.root(), root(&leaves[..=index]), "{index}");
            assert_eq!(frontier.peaks.len(), frontier.size().count_ones() as usize);
        }
    }
}

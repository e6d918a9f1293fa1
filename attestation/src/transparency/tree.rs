//! Hashes leaves to a Merkle tree's root, and makes and verifies proofs of inclusion and of consistency.
//!
//! # Promises
//! - A leaf and a node are never hashed alike (0x00 and 0x01 in front), so neither can be taken for the other.
//! - No proof longer than [`MAX_PROOF`] is read, and the work is at most two hashes a step.
//!
//! # Does not
//! - Keep leaves: whoever makes proofs brings the leaf hashes, all of them.
//!
//! # Trusts
//! - The root that the caller names.
//!
//! Source: RFC 9162, sections 2.1.1 to 2.1.4.

use crate::measurement::sha256;

/// SHA-256, the one hash of these trees (RFC 9162, section 10.2.1).
pub type Hash = [u8; 32];

/// Longest proof: a tree of 2^63 leaves has 63 levels, and a consistency proof one hash more.
pub const MAX_PROOF: usize = 64;

/// Why a proof is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TreeRefusal {
    /// No such leaf.
    #[error("leaf {index} is not in a tree of {size} leaves; get a proof for this tree")]
    NoSuchLeaf {
        /// Index, from 0.
        index: u64,
        /// Leaves.
        size: u64,
    },
    /// Sizes that no consistency proof can be about.
    #[error("a tree of {to} leaves cannot have grown out of one of {from}; get a proof for these trees")]
    Sizes {
        /// Leaves before.
        from: u64,
        /// Leaves after.
        to: u64,
    },
    /// Not the number of hashes that this index and size need.
    #[error("the proof has {hashes} hashes, which is not what a tree of this size needs; get it again")]
    Length {
        /// Hashes in the proof.
        hashes: usize,
    },
    /// Leads to another root.
    #[error("the proof leads to another root than the one that the log signed; do not rely on it")]
    Root,
}

/// The hash of a leaf: SHA-256(0x00 || data).
pub fn leaf_hash(data: &[u8]) -> Hash {
    sha256(&[&[0], data])
}

/// The hash of an inner node: SHA-256(0x01 || left || right).
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    sha256(&[&[1], left, right])
}

/// The root over leaf hashes; of none, SHA-256 of nothing.
pub fn root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => sha256(&[]),
        [leaf] => *leaf,
        more => {
            let (left, right) = halves(more);
            node_hash(&root(left), &root(right))
        }
    }
}

/// The largest power of two below the number of leaves, and the rest (RFC 9162, section 2.1.1). For two leaves or more.
fn halves(leaves: &[Hash]) -> (&[Hash], &[Hash]) {
    let below = leaves.len().saturating_sub(1);
    let split = 1usize.checked_shl(below.checked_ilog2().unwrap_or(0)).unwrap_or(1);
    leaves.split_at_checked(split).unwrap_or((leaves, &[]))
}

/// The proof that leaf `index` is among these (section 2.1.3.1); `None` if there is no such leaf.
pub fn prove_inclusion(leaves: &[Hash], index: usize) -> Option<Vec<Hash>> {
    if index >= leaves.len() {
        return None;
    }
    let (mut part, mut index, mut proof) = (leaves, index, Vec::new());
    while part.len() > 1 {
        let (left, right) = halves(part);
        if index < left.len() {
            proof.push(root(right));
            part = left;
        } else {
            proof.push(root(left));
            index = index.checked_sub(left.len())?;
            part = right;
        }
    }
    proof.reverse();
    Some(proof)
}

/// The proof that the first `from` of these leaves were the tree before (section 2.1.4.1); `None` for no leaf or more
/// than there are.
pub fn prove_consistency(leaves: &[Hash], from: usize) -> Option<Vec<Hash>> {
    if from == 0 || from > leaves.len() {
        return None;
    }
    let (mut part, mut from, mut whole, mut proof) = (leaves, from, true, Vec::new());
    while from < part.len() {
        let (left, right) = halves(part);
        if from <= left.len() {
            proof.push(root(right));
            part = left;
        } else {
            proof.push(root(left));
            from = from.checked_sub(left.len())?;
            part = right;
            whole = false;
        }
    }
    // The verifier knows the old root itself; a part of it, it does not.
    if !whole {
        proof.push(root(part));
    }
    proof.reverse();
    Some(proof)
}

/// Verifies that the leaf is at `index` of the tree of `size` leaves with this root (section 2.1.3.2).
pub fn verify_inclusion(
    leaf: &Hash,
    index: u64,
    size: u64,
    proof: &[Hash],
    root: &Hash,
) -> Result<(), TreeRefusal> {
    let length = TreeRefusal::Length { hashes: proof.len() };
    let mut last = match size.checked_sub(1) {
        Some(last) if index <= last => last,
        _ => return Err(TreeRefusal::NoSuchLeaf { index, size }),
    };
    if proof.len() > MAX_PROOF {
        return Err(length);
    }
    let (mut at, mut hash) = (index, *leaf);
    for sibling in proof {
        if last == 0 {
            return Err(length);
        }
        if odd(at) || at == last {
            hash = node_hash(sibling, &hash);
            climb_while_left(&mut at, &mut last);
        } else {
            hash = node_hash(&hash, sibling);
        }
        (at, last) = (at >> 1, last >> 1);
    }
    if last != 0 {
        return Err(length);
    }
    if hash == *root { Ok(()) } else { Err(TreeRefusal::Root) }
}

/// Verifies that the tree `(size, root)` after keeps every leaf of the one before (section 2.1.4.2).
pub fn verify_consistency(
    before: (u64, &Hash),
    after: (u64, &Hash),
    proof: &[Hash],
) -> Result<(), TreeRefusal> {
    let ((from, from_root), (to, to_root)) = (before, after);
    let length = TreeRefusal::Length { hashes: proof.len() };
    if from == 0 || from > to {
        return Err(TreeRefusal::Sizes { from, to });
    }
    if from == to {
        return match (proof.is_empty(), from_root == to_root) {
            (false, _) => Err(length),
            (true, false) => Err(TreeRefusal::Root),
            (true, true) => Ok(()),
        };
    }
    if proof.len() > MAX_PROOF {
        return Err(length);
    }
    // A whole subtree's root is not repeated in the proof.
    let mut hashes = from.is_power_of_two().then_some(from_root).into_iter().chain(proof);
    let (mut at, mut last) = (from.saturating_sub(1), to.saturating_sub(1));
    while odd(at) {
        (at, last) = (at >> 1, last >> 1);
    }
    let Some(first) = hashes.next() else { return Err(length) };
    let (mut old, mut new) = (*first, *first);
    for hash in hashes {
        if last == 0 {
            return Err(length);
        }
        if odd(at) || at == last {
            (old, new) = (node_hash(hash, &old), node_hash(hash, &new));
            climb_while_left(&mut at, &mut last);
        } else {
            new = node_hash(&new, hash);
        }
        (at, last) = (at >> 1, last >> 1);
    }
    if last != 0 {
        return Err(length);
    }
    if old == *from_root && new == *to_root { Ok(()) } else { Err(TreeRefusal::Root) }
}

/// Skips the levels on which the node has no sibling, as the last of an uneven row.
fn climb_while_left(at: &mut u64, last: &mut u64) {
    while !odd(*at) && *at != 0 {
        (*at, *last) = (*at >> 1, *last >> 1);
    }
}

fn odd(number: u64) -> bool {
    number & 1 == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    /// More than two levels beyond every special case; all pairs of sizes are still quick.
    const SIZES: usize = 65;

    fn leaves(count: usize) -> Vec<Hash> {
        (0..count).map(|n| leaf_hash(&(n as u64).to_be_bytes())).collect()
    }

    /// Certificate Transparency's own test vectors (google/certificate-transparency, `merkle_tree_test.cc`).
    #[test]
    fn roots_are_those_of_certificate_transparency() {
        let inputs = [
            "",
            "00",
            "10",
            "2021",
            "3031",
            "40414243",
            "5051525354555657",
            "606162636465666768696a6b6c6d6e6f",
        ];
        let leaves: Vec<Hash> = inputs.iter().map(|input| leaf_hash(&hex::decode(input).unwrap())).collect();
        for (size, expected) in [
            (0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
            (1, "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"),
            (2, "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"),
            (3, "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77"),
            (8, "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"),
        ] {
            assert_eq!(hex::encode(root(&leaves[..size])), expected, "{size}");
        }
    }

    #[test]
    fn each_leaf_of_each_tree_is_shown_and_nothing_else() {
        let all = leaves(SIZES);
        for size in 1..=SIZES {
            let (tree, top) = (&all[..size], root(&all[..size]));
            for index in 0..size {
                let proof = prove_inclusion(tree, index).unwrap();
                let check = |leaf: &Hash, index: usize, size: usize, proof: &[Hash], top: &Hash| {
                    verify_inclusion(leaf, index as u64, size as u64, proof, top)
                };
                assert_eq!(check(&tree[index], index, size, &proof, &top), Ok(()));
                for other in (0..SIZES + 2).filter(|other| *other != index) {
                    assert!(
                        check(&tree[index], other, size, &proof, &top).is_err(),
                        "{index} as {other}/{size}"
                    );
                }
                changed(&proof, |proof| assert!(check(&tree[index], index, size, proof, &top).is_err()));
                assert_eq!(check(&[9; 32], index, size, &proof, &top), Err(TreeRefusal::Root));
                assert_eq!(check(&tree[index], index, size, &proof, &[9; 32]), Err(TreeRefusal::Root));
            }
            assert_eq!(prove_inclusion(tree, size), None);
        }
    }

    /// Another size leads to another root: one proof can fit two sizes in shape, so the root must be that of the size.
    #[test]
    fn a_proof_fits_no_tree_of_another_size() {
        let all = leaves(SIZES);
        for size in 1..=SIZES {
            for other in (1..=SIZES).filter(|other| *other != size) {
                let index = size.min(other) - 1;
                let proof = prove_inclusion(&all[..size], index).unwrap();
                let found =
                    verify_inclusion(&all[index], index as u64, other as u64, &proof, &root(&all[..other]));
                assert!(found.is_err(), "{size} as {other}");
            }
        }
    }

    #[test]
    fn growth_is_shown_and_nothing_else() {
        let all = leaves(SIZES);
        let roots: Vec<Hash> = (0..=SIZES).map(|size| root(&all[..size])).collect();
        let check = |from: usize, to: usize, proof: &[Hash]| {
            verify_consistency((from as u64, &roots[from]), (to as u64, &roots[to]), proof)
        };
        for to in 1..=SIZES {
            for from in 1..=to {
                let proof = prove_consistency(&all[..to], from).unwrap();
                assert_eq!(check(from, to, &proof), Ok(()), "{from} to {to}");
                changed(&proof, |proof| assert!(check(from, to, proof).is_err(), "{from} to {to}"));
                let sizes = |from: usize, to: usize| (from as u64, to as u64);
                for (old, new) in [([9; 32], roots[to]), (roots[from], [9; 32])] {
                    let (from, to) = sizes(from, to);
                    assert_eq!(verify_consistency((from, &old), (to, &new), &proof), Err(TreeRefusal::Root));
                }
                for other in (1..=SIZES).filter(|other| *other != from) {
                    assert!(check(other, to, &proof).is_err(), "{from} as {other} to {to}");
                }
            }
            assert_eq!(prove_consistency(&all[..to], to + 1), None);
            assert_eq!(check(0, to, &[]), Err(TreeRefusal::Sizes { from: 0, to: to as u64 }));
        }
        assert_eq!(check(5, 4, &[]), Err(TreeRefusal::Sizes { from: 5, to: 4 }));
    }

    #[test]
    fn sizes_at_the_edge_end_quickly() {
        let many = vec![[0; 32]; MAX_PROOF + 1];
        let length = Err(TreeRefusal::Length { hashes: MAX_PROOF + 1 });
        assert_eq!(verify_inclusion(&[0; 32], 0, u64::MAX, &many, &[0; 32]), length);
        assert_eq!(verify_consistency((1, &[0; 32]), (u64::MAX, &[0; 32]), &many), length);
        let shown = verify_inclusion(&[0; 32], 0, u64::MAX, &many[..MAX_PROOF], &[0; 32]);
        assert_eq!(shown, Err(TreeRefusal::Root));
    }

    /// Each hash of a proof changed, taken out, and one put in.
    fn changed(proof: &[Hash], refused: impl Fn(&[Hash])) {
        for at in 0..proof.len() {
            let mut bad = proof.to_vec();
            bad[at][at % 32] ^= 1;
            refused(&bad);
            let mut short = proof.to_vec();
            short.remove(at);
            refused(&short);
        }
        let mut long = proof.to_vec();
        long.push([0; 32]);
        refused(&long);
    }
}

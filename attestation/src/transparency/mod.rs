//! Shows that a log only grows: Merkle trees, their proofs, and the signed statements about them.
//!
//! [`tree`] hashes leaves to a root and makes and verifies proofs; [`frontier`] grows a tree; [`checkpoint`]
//! signs a size and a root. A leaf is whatever bytes the user of a log defines: reference values do in
//! [`crate::reference`], entries of an audit log in [`crate::audit`].
//!
//! # Promises
//! - A proof verifies for exactly one leaf or root, index and size; each change is refused.
//! - A [`VerifiedCheckpoint`] exists only where the log's own signature was verified.
//! - Two checkpoints of one log that cannot both be true are told apart from those that can: [`Grown`].
//!
//! # Does not
//! - Store a log, nor say who sees it: a log that two clients never compare can still show each of them
//!   another.
//!
//! # Trusts
//! - The log's public key, which the caller names.
//!
//! Source: RFC 9162, section 2.1; C2SP tlog-checkpoint and signed-note.

pub mod checkpoint;
pub mod frontier;
pub mod tree;

pub use checkpoint::{Checkpoint, CheckpointRefusal, LogKey, VerifiedCheckpoint};
pub use frontier::Frontier;
pub use tree::{Hash, TreeRefusal};

/// Why a later checkpoint cannot follow an earlier one of the same log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Forked {
    /// Fewer leaves than before.
    #[error(
        "the log had {before} leaves and now shows {now}; a log only grows, so get a newer copy or report it"
    )]
    Shrunk {
        /// Leaves seen before.
        before: u64,
        /// Leaves now.
        now: u64,
    },
    /// As many leaves, another root.
    #[error("the log shows two roots for {size} leaves; it equivocates, so report it with both checkpoints")]
    TwoRoots {
        /// Leaves.
        size: u64,
    },
    /// A proof that does not show it. Proofs are not signed, so somebody else may have altered it.
    #[error(
        "the log's proof does not show that its {before} earlier leaves are kept; get the file again, and report both \
         checkpoints if it stays so"
    )]
    NotKept {
        /// Leaves seen before.
        before: u64,
    },
}

/// What is known of two sizes and roots of one log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grown {
    /// They are the same.
    Same,
    /// The later one keeps every leaf of the earlier one.
    Kept,
}

/// Whether `now` can follow `before`. `proof` is the consistency proof between them; for equal sizes it is
/// not read.
pub fn grown(before: &Checkpoint, now: &Checkpoint, proof: &[Hash]) -> Result<Grown, Forked> {
    if now.size < before.size {
        return Err(Forked::Shrunk { before: before.size, now: now.size });
    }
    if now.size == before.size {
        return if now.root == before.root {
            Ok(Grown::Same)
        } else {
            Err(Forked::TwoRoots { size: now.size })
        };
    }
    tree::verify_consistency((before.size, &before.root), (now.size, &now.root), proof)
        .map(|()| Grown::Kept)
        .map_err(|_| Forked::NotKept { before: before.size })
}

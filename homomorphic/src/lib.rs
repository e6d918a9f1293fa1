//! Blind search: whoever holds the vectors ranks them for a question that he cannot read.
//!
//! The enclave rounds its query vector to small whole numbers and encrypts it (BFV). The untrusted side multiplies the ciphertext
//! with its vectors in the clear, and sends back encrypted inner products. The enclave decrypts and ranks them, and fetches what
//! it wanted among decoys.
//!
//! # Promises
//! - Parameters of at least 128 bits by the homomorphic-encryption standard's table; a test compares.
//! - Products fit the plaintext modulus whatever the vectors are, and decrypt to what exact arithmetic gives.
//! - Sizes of what comes from the other side are checked before it is decoded.
//!
//! # Does not
//! - Hide how many questions are asked, when, over which collection, or how many passages are fetched.
//! - Prove that the other side computed honestly: it can answer wrongly, and then the ranking is wrong. It learns nothing by it
//!   so long as no reaction of the enclave's tells it whether a decryption made sense; [`Asker::rank`] never fails on content.
//! - Run in the worker yet: it is a library with tests and figures.
//!
//! # Trusts
//! - The system's generator of randomness.
//!
//! Sources: Fan, Vercauteren, "Somewhat Practical Fully Homomorphic Encryption" (2012/144); Halevi, Shoup, "Algorithms in HElib"
//! (2014/106), for diagonals; Albrecht et al., "Homomorphic Encryption Security Standard" (2018), table 1.

#![deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod asker;
mod decoys;
mod holder;
mod layout;

pub use asker::{Asker, Question};
pub use decoys::among_decoys;
pub use holder::{Holder, Keys};
pub use layout::{DEGREE, MODULI_BITS, PART, PLAINTEXT_MODULUS, SCALE, quantise};

/// Why blind search ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BlindError {
    /// No dimensions, too many, or another number than before.
    #[error("a vector has 1 to 1,024 dimensions, and all of one collection have as many")]
    Dimensions,
    /// Not finite, or longer than a unit vector.
    #[error("a vector must be finite and at most of length 1")]
    Vector,
    /// A message from the other side that cannot be one.
    #[error("a message of blind search does not have the form or size that it must have")]
    Message,
    /// The library refused.
    #[error("homomorphic encryption: {0}")]
    Library(String),
}

impl From<fhe::Error> for BlindError {
    fn from(error: fhe::Error) -> Self {
        Self::Library(error.to_string())
    }
}

//! The untrusted side: vectors in the clear, questions that it cannot read.
//!
//! # Promises
//! - Every question costs it the same, and touches every row.
//!
//! # Does not
//! - Learn the query, the products, or the ranking; it has no secret key.
//!
//! # Trusts
//! - Nobody: a question that is none is refused.

use std::fmt;
use std::sync::Arc;

use fhe::bfv::{BfvParameters, Ciphertext, Encoding, EvaluationKey, Plaintext, dot_product_scalar};
use fhe_traits::{DeserializeParametrized, FheEncoder, Serialize};

use crate::BlindError;
use crate::asker::{Question, ciphertext};
use crate::layout::{self, ANSWERED, ASKED, DEGREE, PART, STEP};

/// Longest keys, in bytes.
const MAX_KEYS: usize = 4 << 20;

/// An asker's keys for rotating.
pub struct Keys(EvaluationKey);

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys")
    }
}

/// Diagonals of 4,096 rows: for each rotation by 16, those that the rotations by 1 of each part meet.
type Block = Vec<Vec<Plaintext>>;

/// Who holds the vectors.
pub struct Holder {
    parameters: Arc<BfvParameters>,
    dimensions: usize,
    blocks: Vec<Block>,
}

impl fmt::Debug for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Holder({} blocks of {} dimensions)", self.blocks.len(), self.dimensions)
    }
}

impl Holder {
    /// With vectors of one number of dimensions, each of length at most 1. About 100 KB for each 32 rows of 128 dimensions.
    ///
    /// # Errors
    /// [`BlindError`]
    pub fn new(vectors: &[Vec<f32>]) -> Result<Self, BlindError> {
        let dimensions = vectors.first().map_or(0, Vec::len);
        if vectors.iter().any(|vector| vector.len() != dimensions) {
            return Err(BlindError::Dimensions);
        }
        let parameters = layout::parameters()?;
        let blocks = vectors.chunks(DEGREE).map(|rows| {
            let rows: Vec<Vec<i64>> =
                rows.iter().map(|row| layout::quantise(row)).collect::<Result<_, _>>()?;
            block(&rows, dimensions, &parameters)
        });
        let blocks = blocks.collect::<Result<_, BlindError>>()?;
        Ok(Self { parameters, dimensions, blocks })
    }

    /// Reads an asker's keys.
    ///
    /// # Errors
    /// [`BlindError::Message`]
    pub fn keys(&self, bytes: &[u8]) -> Result<Keys, BlindError> {
        if bytes.len() > MAX_KEYS {
            return Err(BlindError::Message);
        }
        let keys = EvaluationKey::from_bytes(bytes, &self.parameters).map_err(|_| BlindError::Message)?;
        let rotates = keys.supports_column_rotation_by(1) && keys.supports_column_rotation_by(STEP);
        if rotates { Ok(Keys(keys)) } else { Err(BlindError::Message) }
    }

    /// The encrypted inner products, one ciphertext for each 4,096 rows.
    ///
    /// # Errors
    /// [`BlindError`]
    pub fn answer(&self, question: &Question, keys: &Keys) -> Result<Vec<Vec<u8>>, BlindError> {
        if question.0.len() != layout::parts(self.dimensions) {
            return Err(BlindError::Message);
        }
        let mut rotated: Vec<Ciphertext> = Vec::with_capacity(question.0.len() * STEP);
        for part in &question.0 {
            let mut next = ciphertext(part, ASKED, &self.parameters)?;
            for _ in 1..STEP {
                let after = keys.0.rotates_columns_by(&next, 1)?;
                rotated.push(std::mem::replace(&mut next, after));
            }
            rotated.push(next);
        }
        self.blocks.iter().map(|block| products(block, &rotated, keys)).collect()
    }
}

fn block(rows: &[Vec<i64>], dimensions: usize, parameters: &Arc<BfvParameters>) -> Result<Block, BlindError> {
    let encode = |giant: usize, part: usize, baby: usize| {
        let slots = layout::diagonal(rows, part, giant, baby);
        Ok(Plaintext::try_encode(&slots, Encoding::simd_at_level(ASKED), parameters)?)
    };
    (0..PART / STEP)
        .map(|giant| {
            let parts = 0..layout::parts(dimensions);
            parts
                .flat_map(|part| (0..STEP).map(move |baby| (part, baby)))
                .map(|(part, baby)| encode(giant, part, baby))
                .collect()
        })
        .collect()
}

/// Horner's scheme over the rotations by 16, from the last to the first.
fn products(block: &Block, rotated: &[Ciphertext], keys: &Keys) -> Result<Vec<u8>, BlindError> {
    let mut sum: Option<Ciphertext> = None;
    for diagonals in block.iter().rev() {
        let here = dot_product_scalar(rotated.iter(), diagonals.iter())?;
        sum = Some(match sum {
            Some(before) => &keys.0.rotates_columns_by(&before, STEP)? + &here,
            None => here,
        });
    }
    let mut sum = sum.ok_or(BlindError::Dimensions)?;
    sum.switch_to_level(ANSWERED)?;
    Ok(sum.to_bytes())
}

//! Numbers: parameters, rounding, and which slot holds what.
//!
//! Vectors are cut into parts of 128 dimensions. A ciphertext has 4,096 slots in two halves that rotate alone; the query's part is
//! repeated in all of them. Slot r of diagonal j holds entry (r + j) mod 128 of row r, so that the sum over j of the query rotated
//! by j, times diagonal j, is row r's inner product. Rotations by 1 are made once for each question, those by 16 once for each
//! 4,096 rows (Halevi, Shoup).
//!
//! # Promises
//! - An inner product of rounded vectors is below half of the plaintext modulus, for all vectors of length at most 1.
//!
//! # Does not
//! - Encrypt.
//!
//! # Trusts
//! - Nobody.

use std::sync::Arc;

use fhe::bfv::{BfvParameters, BfvParametersBuilder};

use crate::BlindError;

/// Slots of a ciphertext, and so rows of a block.
pub const DEGREE: usize = 4096;
/// Bits of the moduli. Ciphertexts use the first two, answers the first; the last serves switching keys alone.
/// 36 + 36 + 37 = 109, which is what the standard's table allows for 4,096 and 128 bits.
pub const MODULI_BITS: [usize; 3] = [36, 36, 37];
/// A prime of 21 bits that is 1 mod 8,192, so that slots exist.
pub const PLAINTEXT_MODULUS: u64 = 2_056_193;
/// Dimensions of a part.
pub const PART: usize = 128;
/// What a length of 1 is rounded to. Rounding adds at most 0.5 to each entry, so an inner product of d dimensions is at most
/// (SCALE + sqrt(d) / 2) squared: below 2^20 for every d up to 1,024.
/// Finer rounding asks for a larger modulus, and with one of 23 bits the noise budget was used up.
pub const SCALE: f32 = 995.0;
/// Most dimensions.
pub(crate) const MAX_DIMENSIONS: usize = 1024;
/// Rotations by 1 within a part, before one by as many.
pub(crate) const STEP: usize = 16;
/// The level at which questions are asked, and the one at which they are answered.
pub(crate) const ASKED: usize = 1;
pub(crate) const ANSWERED: usize = 2;

/// The one set of parameters.
pub(crate) fn parameters() -> Result<Arc<BfvParameters>, BlindError> {
    Ok(BfvParametersBuilder::new()
        .set_degree(DEGREE)
        .set_plaintext_modulus(PLAINTEXT_MODULUS)
        .set_moduli_sizes(&MODULI_BITS)
        .build_arc()?)
}

/// A vector of length at most 1 in whole numbers.
///
/// # Errors
/// [`BlindError`]
pub fn quantise(vector: &[f32]) -> Result<Vec<i64>, BlindError> {
    if vector.is_empty() || vector.len() > MAX_DIMENSIONS {
        return Err(BlindError::Dimensions);
    }
    let square = vector.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>();
    // A little more than 1 is what normalising in 32 bits leaves.
    if !square.is_finite() || square > 1.0001 {
        return Err(BlindError::Vector);
    }
    // Rounded to whole numbers up to 1,001: nothing is cut off.
    #[allow(clippy::cast_possible_truncation)]
    Ok(vector.iter().map(|x| (x * SCALE).round() as i64).collect())
}

/// How many parts so many dimensions have.
pub(crate) fn parts(dimensions: usize) -> usize {
    dimensions.div_ceil(PART)
}

/// The query's part in all slots.
pub(crate) fn repeated(query: &[i64], part: usize) -> Vec<i64> {
    let entry = |slot: usize| query.get(part * PART + slot % PART).copied().unwrap_or(0);
    (0..DEGREE).map(entry).collect()
}

/// Diagonal `giant * STEP + baby` of a block of rows, rotated back by `giant * STEP`: the rotation forward comes after the sum.
pub(crate) fn diagonal(rows: &[Vec<i64>], part: usize, giant: usize, baby: usize) -> Vec<i64> {
    let half = DEGREE / 2;
    let back = giant * STEP;
    let entry = |slot: usize| {
        let row = slot / half * half + (slot % half + half - back) % half;
        let at = part * PART + (row + back + baby) % PART;
        rows.get(row).and_then(|row| row.get(at)).copied().unwrap_or(0)
    };
    (0..DEGREE).map(entry).collect()
}

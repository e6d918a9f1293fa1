//! What is fetched, among what is not wanted.
//!
//! # Promises
//! - Every row that was not wanted is as likely to be a decoy as any other; the order tells nothing.
//!
//! # Does not
//! - Hide which rows several questions have in common: whoever sees many fetches for one question intersects them. Ask once and
//!   keep what came, or fetch all.
//!
//! # Trusts
//! - The randomness that it is given.

use std::collections::BTreeSet;

use rand::{CryptoRng, Rng};

/// `wanted` and random others of `rows`, `most` in all, in order. All rows if `most` is not less.
pub fn among_decoys(
    wanted: &[usize],
    rows: usize,
    most: usize,
    random: &mut (impl Rng + CryptoRng),
) -> Vec<usize> {
    if most >= rows {
        return (0..rows).collect();
    }
    let mut fetched: BTreeSet<usize> = wanted.iter().copied().filter(|row| *row < rows).take(most).collect();
    while fetched.len() < most {
        fetched.insert(random.random_range(0..rows));
    }
    fetched.into_iter().collect()
}

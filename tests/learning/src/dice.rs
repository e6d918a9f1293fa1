//! Randomness that a seed reproduces, for tables. Nothing of it ships.

use adyton_learning::noise::{NoiseError, Random};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// A generator from a seed.
#[derive(Debug)]
pub struct Dice(ChaCha20Rng);

impl Dice {
    /// From a seed.
    pub fn new(seed: u64) -> Dice {
        Dice(ChaCha20Rng::seed_from_u64(seed))
    }

    /// A number below `sides`.
    pub fn below(&mut self, sides: usize) -> usize {
        (self.0.next_u64() % sides.max(1) as u64) as usize
    }

    /// Puts a list in another order.
    pub fn shuffle<T>(&mut self, list: &mut [T]) {
        for at in (1..list.len()).rev() {
            list.swap(at, self.below(at + 1));
        }
    }
}

impl Random for Dice {
    fn fill(&mut self, buffer: &mut [u8]) -> Result<(), NoiseError> {
        self.0.fill_bytes(buffer);
        Ok(())
    }
}

//! Each kernel against plain code, on every instruction set that this processor has.

mod attention;
mod matrix;
mod pool;
mod vector;

use crate::Isa;
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// Seeded numbers.
struct Numbers(ChaCha12Rng);

impl Numbers {
    fn new(seed: u64) -> Numbers {
        Numbers(ChaCha12Rng::seed_from_u64(seed))
    }

    fn below(&mut self, end: usize) -> usize {
        self.0.next_u32() as usize % end
    }

    /// Between -1 and 1, now and then an outlier.
    fn float(&mut self) -> f32 {
        let value = self.0.next_u32() as f32 / u32::MAX as f32 * 2.0 - 1.0;
        if self.below(50) == 0 { value * 20.0 } else { value }
    }

    fn floats(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.float()).collect()
    }
}

/// The instruction sets to compare with plain Rust. Says which there are: a processor without any would test nothing.
fn others() -> Vec<Isa> {
    let all = Isa::all();
    let names: Vec<&str> = all.iter().map(|isa| isa.name()).collect();
    println!("instruction sets here: {}", names.join(", "));
    all[1..].to_vec()
}

fn plain() -> Isa {
    Isa::all()[0]
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|v| v.to_bits()).collect()
}

//! What this machine could do at best: bytes a second from memory, and integer multiplications a second.

use adyton_kernels::{Activations, Format, Isa, Pool, Store};
use std::fmt;
use std::hint::black_box;
use std::time::Instant;

/// Bytes that are read: larger than the caches of the machines that this runs on.
const BYTES: usize = 256 << 20;
/// Rounds, of which the best counts: a bound is what could be had.
const ROUNDS: usize = 5;

/// The bounds.
pub(crate) struct Bounds {
    pub(crate) bytes_per_second: f64,
    pub(crate) multiplications_per_second: f64,
}

impl Bounds {
    pub(crate) fn measure(threads: usize) -> Bounds {
        Bounds {
            bytes_per_second: reading(threads),
            multiplications_per_second: multiplying(threads).unwrap_or(f64::NAN),
        }
    }
}

impl fmt::Display for Bounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (bytes, products) = (self.bytes_per_second / 1e9, self.multiplications_per_second / 1e9);
        write!(
            f,
            "memory gives {bytes:.1} GB/s, the kernels do {products:.0} G multiplications/s out of cache"
        )
    }
}

fn best(mut round: impl FnMut() -> f64) -> f64 {
    (0..ROUNDS).map(|_| round()).fold(0.0, f64::max)
}

/// Each thread sums up its part of a large buffer.
fn reading(threads: usize) -> f64 {
    let buffer = vec![1u64; BYTES / 8];
    let parts: Vec<&[u64]> = buffer.chunks(buffer.len().div_ceil(threads.max(1))).collect();
    best(|| {
        let start = Instant::now();
        std::thread::scope(|scope| {
            for part in &parts {
                scope.spawn(|| black_box(part.iter().fold(0u64, |sum, value| sum.wrapping_add(*value))));
            }
        });
        BYTES as f64 / start.elapsed().as_secs_f64()
    })
}

/// A product with the default model's format, over a matrix that stays in the cache, with as many rows as prefill has.
fn multiplying(threads: usize) -> Option<f64> {
    const ROWS: usize = 256;
    const COLUMNS: usize = 512;
    const OUTPUTS: usize = 512;
    let mut store = Store::with_capacity(Store::bytes_for(Format::Q4_1, OUTPUTS, COLUMNS)).ok()?;
    let data = vec![1; COLUMNS / 32 * 20 * OUTPUTS];
    let matrix = store.pack(Format::Q4_1, (OUTPUTS, COLUMNS), &data, |row| row).ok()?;
    let (isa, mut pool) = (Isa::best(), Pool::new(threads).ok()?);
    let mut x = Activations::new(COLUMNS, ROWS);
    x.fill(isa, &mut pool, ROWS, &|_, row| row.fill(0.5));
    let mut out = vec![0.0; ROWS * OUTPUTS];
    Some(best(|| {
        let start = Instant::now();
        for _ in 0..20 {
            store.product(isa, &mut pool, &[&matrix], &x, &mut out);
        }
        20.0 * (ROWS * COLUMNS * OUTPUTS) as f64 / start.elapsed().as_secs_f64()
    }))
}

//! Products with Q4_1 and Q8_0 matrices in plain Rust, for the few rows of decoding.
//!
//! Promises: activations are rounded to 16 bits within each block of 32, so a product differs from the one in f32 by no
//! more than rounding does; sums over whole numbers have one order, whatever the number of threads.
//!
//! Does not: beat kernels written for one processor. It is here because candle's Q4_1 product is scalar and rounds
//! activations to 8 bits: this one is faster on x86-64 and closer to the weights (numbers in the README).
//!
//! Block formats: ggml, `ggml-common.h`, `block_q4_1` and `block_q8_0`.

use candle_core::quantized::{GgmlDType, QTensor};
use rayon::prelude::*;
use zeroize::Zeroizing;

/// Weights per block (`QK4_1`, `QK8_0`).
const BLOCK: usize = 32;
/// Outputs per task: small enough to balance two threads on the narrowest matrix, large enough to be worth a task.
const TASK: usize = 32;

/// A matrix of blocks; scales apart from the numbers they scale, so that both are read in one direction.
pub(crate) struct Blocks {
    kind: Kind,
    columns: usize,
    /// Scale and offset of each block.
    scales: Vec<(f32, f32)>,
    quants: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Two numbers from 0 to 15 a byte: the low halves first.
    Nibbles,
    /// One number from -128 to 127 a byte.
    Bytes,
}

impl Kind {
    /// Bytes of a block's numbers.
    const fn width(self) -> usize {
        match self {
            Kind::Nibbles => BLOCK / 2,
            Kind::Bytes => BLOCK,
        }
    }
}

/// Rows of activations in 16 bits.
struct Rounded {
    values: Zeroizing<Vec<i16>>,
    /// Scale of each block, and its sum in units of that scale.
    scales: Zeroizing<Vec<(f32, f32)>>,
}

impl Blocks {
    /// The matrix in this form; `None` if it has another block format.
    pub(crate) fn new(tensor: &QTensor) -> candle_core::Result<Option<Blocks>> {
        let (kind, head) = match tensor.dtype() {
            GgmlDType::Q4_1 => (Kind::Nibbles, 4),
            GgmlDType::Q8_0 => (Kind::Bytes, 2),
            _ => return Ok(None),
        };
        let (_, columns) = tensor.shape().dims2()?;
        let data = tensor.data()?;
        let half = |b: &[u8]| half::f16::from_le_bytes([b[0], b[1]]).to_f32();
        let (mut scales, mut quants) = (Vec::new(), Vec::with_capacity(data.len()));
        for block in data.chunks_exact(head + kind.width()) {
            let (front, numbers) = block.split_at(head);
            scales.push((half(front), if head == 4 { half(&front[2..]) } else { 0.0 }));
            quants.extend_from_slice(numbers);
        }
        Ok(Some(Blocks { kind, columns, scales, quants }))
    }

    /// False if a scale or an offset is no finite number.
    pub(crate) fn is_finite(&self) -> bool {
        self.scales.iter().all(|(scale, offset)| scale.is_finite() && offset.is_finite())
    }

    fn rows(&self) -> usize {
        self.scales.len() * BLOCK / self.columns
    }

    /// `x`, (rows, columns), times the matrix: (rows, outputs).
    pub(crate) fn times(&self, x: &[f32]) -> Vec<f32> {
        let x = Rounded::new(x);
        let outputs = self.rows();
        let mut out = vec![0.0; x.values.len() / self.columns * outputs];
        out.chunks_exact_mut(outputs).enumerate().for_each(|(row, out)| {
            let x =
                (&x.values[row * self.columns..][..self.columns], &x.scales[row * self.columns / BLOCK..]);
            out.par_chunks_mut(TASK).enumerate().for_each(|(task, out)| {
                out.iter_mut().zip(task * TASK..).for_each(|(out, i)| *out = self.product(i, x));
            });
        });
        out
    }

    fn product(&self, output: usize, (values, scales): (&[i16], &[(f32, f32)])) -> f32 {
        let blocks = self.columns / BLOCK;
        let own = &self.scales[output * blocks..][..blocks];
        let width = self.kind.width();
        let quants = &self.quants[output * blocks * width..][..blocks * width];
        let parts = values.as_chunks::<BLOCK>().0.iter().zip(own.iter().zip(scales));
        let mut sum = 0.0;
        match self.kind {
            Kind::Nibbles => {
                for ((x, (own, scale)), q) in parts.zip(quants.as_chunks::<{ BLOCK / 2 }>().0) {
                    sum += scale.0 * (own.0 * nibbles(q, x) as f32 + own.1 * scale.1);
                }
            }
            Kind::Bytes => {
                for ((x, (own, scale)), q) in parts.zip(quants.as_chunks::<BLOCK>().0) {
                    sum += scale.0 * own.0 * bytes(q, x) as f32;
                }
            }
        }
        sum
    }

    /// Rows of the matrix in f32.
    pub(crate) fn dequantise(&self, rows: impl IntoIterator<Item = usize>) -> Vec<f32> {
        let mut out = Vec::new();
        for row in rows {
            out.resize(out.len() + self.columns, 0.0);
            let start = out.len() - self.columns;
            self.fill(row, &mut out[start..]);
        }
        out
    }

    /// The whole matrix in f32.
    pub(crate) fn dequantise_all(&self) -> Vec<f32> {
        let mut out = vec![0.0; self.scales.len() * BLOCK];
        out.par_chunks_exact_mut(self.columns).enumerate().for_each(|(row, out)| self.fill(row, out));
        out
    }

    fn fill(&self, row: usize, out: &mut [f32]) {
        let first = row * self.columns / BLOCK;
        let width = self.kind.width();
        let blocks = self.scales[first..].iter().zip(self.quants[first * width..].chunks_exact(width));
        for (out, ((scale, offset), q)) in out.as_chunks_mut::<BLOCK>().0.iter_mut().zip(blocks) {
            match self.kind {
                Kind::Nibbles => {
                    let (low, high) = out.split_at_mut(BLOCK / 2);
                    for ((low, high), q) in low.iter_mut().zip(high).zip(q) {
                        *low = f32::from(q & 15) * scale + offset;
                        *high = f32::from(q >> 4) * scale + offset;
                    }
                }
                Kind::Bytes => {
                    out.iter_mut().zip(q).for_each(|(o, q)| *o = f32::from(q.cast_signed()) * scale)
                }
            }
        }
    }
}

impl Rounded {
    fn new(x: &[f32]) -> Rounded {
        let mut values = Zeroizing::new(Vec::with_capacity(x.len()));
        let mut scales = Zeroizing::new(Vec::with_capacity(x.len() / BLOCK));
        for block in x.as_chunks::<BLOCK>().0 {
            let top = block.iter().fold(0.0f32, |top, v| top.max(v.abs()));
            let scale = top / f32::from(i16::MAX);
            let inverse = if top > 0.0 { 1.0 / scale } else { 0.0 };
            let start = values.len();
            values.extend(block.iter().map(|v| (v * inverse).round_ties_even() as i16));
            let sum: i32 = values[start..].iter().map(|v| i32::from(*v)).sum();
            // A value that is not finite must not vanish in rounding.
            let scale = if block.iter().all(|v| v.is_finite()) { scale } else { f32::NAN };
            scales.push((scale, sum as f32));
        }
        Rounded { values, scales }
    }
}

/// At most 32 * 15 * 32767, which fits.
fn nibbles(q: &[u8; BLOCK / 2], x: &[i16; BLOCK]) -> i32 {
    let mut sum = 0;
    for i in 0..BLOCK / 2 {
        sum += i32::from(i16::from(q[i] & 15)) * i32::from(x[i]);
    }
    for i in 0..BLOCK / 2 {
        sum += i32::from(i16::from(q[i] >> 4)) * i32::from(x[i + BLOCK / 2]);
    }
    sum
}

/// At most 32 * 128 * 32767, which fits.
fn bytes(q: &[u8; BLOCK], x: &[i16; BLOCK]) -> i32 {
    let mut sum = 0;
    for i in 0..BLOCK {
        sum += i32::from(i16::from(q[i].cast_signed())) * i32::from(x[i]);
    }
    sum
}

impl std::fmt::Debug for Blocks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Blocks({} rows of {})", self.rows(), self.columns)
    }
}

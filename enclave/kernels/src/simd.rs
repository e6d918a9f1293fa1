//! One vector of sixteen lanes, whatever the processor: the operations that every kernel is written in.
//!
//! Promises: each operation gives the same bits on every implementation. Kernels are written once over [`Simd`], so a
//! kernel's result does not depend on the instruction set; the tests compare each with [`crate::plain::Plain`].
//!
//! Does not: choose an implementation. [`crate::isa::Isa`] does, and having an implementor of `Simd` tells you that
//! the processor has its instructions.

/// Lanes of a vector, and rows of a strip of a packed matrix.
pub(crate) const LANES: usize = 16;
/// Values of one lane that an integer dot product joins.
pub(crate) const QUAD: usize = 4;

/// Sixteen lanes of numbers.
pub(crate) trait Simd: Copy {
    /// f32.
    type F: Copy;
    /// i32.
    type I: Copy;
    /// Four bytes of weights in each lane.
    type W: Copy;

    /// Columns of activations that one pass over the weights serves; 1, 2, 4 or 8.
    const COLUMNS: usize;
    /// What [`Simd::bytes`] adds to each signed byte, to be taken off again by the caller.
    const BYTE_BIAS: i32;

    fn splat(self, value: f32) -> Self::F;
    fn load(self, from: &[f32; LANES]) -> Self::F;
    fn store(self, value: Self::F, to: &mut [f32; LANES]);
    /// Sixteen f32 as a file has them, little-endian.
    fn load_bytes(self, from: &[u8; 4 * LANES]) -> Self::F;
    fn load_half(self, from: &[u16; LANES]) -> Self::F;
    /// Sixteen f16 as a file has them, little-endian.
    fn load_half_bytes(self, from: &[u8; 2 * LANES]) -> Self::F;
    /// Rounds to nearest, ties to even.
    fn store_half(self, value: Self::F, to: &mut [u16; LANES]);
    fn add(self, a: Self::F, b: Self::F) -> Self::F;
    fn sub(self, a: Self::F, b: Self::F) -> Self::F;
    fn mul(self, a: Self::F, b: Self::F) -> Self::F;
    fn div(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a * b + c`, rounded once.
    fn fma(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F;
    /// The larger; `b` if either is not a number.
    fn max(self, a: Self::F, b: Self::F) -> Self::F;
    /// The smaller; `b` if either is not a number.
    fn min(self, a: Self::F, b: Self::F) -> Self::F;
    /// To the nearest whole number, ties to even.
    fn round(self, a: Self::F) -> Self::I;
    /// `2^n` for whole `n` from -126 to 127.
    fn power(self, n: Self::I) -> Self::F;
    /// The bits of the absolute value: larger for larger values, largest for what is no number.
    fn magnitude(self, a: Self::F) -> Self::I;
    fn larger(self, a: Self::I, b: Self::I) -> Self::I;
    fn splat_int(self, value: i32) -> Self::I;
    fn to_float(self, a: Self::I) -> Self::F;
    /// Cut to signed bytes.
    fn narrow(self, value: Self::I, to: &mut [i8; LANES]);
    /// The sum of the lanes, and the largest of them.
    fn sum_int(self, value: Self::I) -> i32;
    fn largest(self, value: Self::I) -> i32;
    /// Unsigned bytes, widened.
    fn widen(self, from: &[u8; LANES]) -> Self::F;
    /// Signed bytes, widened.
    fn widen_signed(self, from: &[u8; LANES]) -> Self::F;

    /// The low and the high halves of 64 bytes.
    fn nibbles(self, from: &[u8; 64]) -> (Self::W, Self::W);
    /// Signed bytes, in the form that [`Simd::dots_bytes`] takes.
    fn bytes(self, from: &[u8; 64]) -> Self::W;
    /// `low | ((plane >> shift) & mask) << 4` in each byte; `mask` is 1 or 3 and `shift + bits of mask` at most 8.
    fn raise(self, low: Self::W, plane: &[u8; 64], shift: usize, mask: u8) -> Self::W;
    /// Adds to each column's sums the products of `Q` quads of codes from 0 to `MAX` with its activations.
    fn dots<const N: usize, const Q: usize, const MAX: u8>(
        self,
        weights: &[Self::W; Q],
        columns: [&[[i8; QUAD]; Q]; N],
        sums: [Self::I; N],
    ) -> [Self::I; N];
    /// As `dots`, for signed bytes.
    fn dots_bytes<const N: usize, const Q: usize>(
        self,
        weights: &[Self::W; Q],
        columns: [&[[i8; QUAD]; Q]; N],
        sums: [Self::I; N],
    ) -> [Self::I; N];
    /// Asks for memory that will be read soon.
    fn prefetch(self, at: *const u8);
}

/// A computation over any vector type. Nothing on its way may be a closure or a function that is not inlined by force: what is
/// compiled outside the function with the instructions calls each of them instead. `run` must be `#[inline(always)]`: it is compiled once for each instruction set,
/// inside a function that may use it.
pub(crate) trait Kernel {
    /// What it gives.
    type Output;
    /// Computes.
    fn run<S: Simd>(self, simd: S) -> Self::Output;
}

/// The sum of the lanes, in one fixed order.
#[inline(always)]
pub(crate) fn total<S: Simd>(simd: S, value: S::F) -> f32 {
    let mut lanes = [0.0; LANES];
    simd.store(value, &mut lanes);
    let mut width = LANES / 2;
    while width > 0 {
        for i in 0..width {
            lanes[i] += lanes[i + width];
        }
        width /= 2;
    }
    lanes[0]
}

/// `e^x`, to about two units in the last place; 0 or more for any `x`, and never more than `e^88`.
///
/// Range reduction and polynomial: Cephes, `expf`.
#[inline(always)]
pub(crate) fn exp<S: Simd>(s: S, x: S::F) -> S::F {
    const COEFFICIENTS: [f32; 6] =
        [1.987_569_1e-4, 1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5];
    let x = s.max(s.min(x, s.splat(88.0)), s.splat(-87.0));
    let n = s.round(s.mul(x, s.splat(std::f32::consts::LOG2_E)));
    let whole = s.to_float(n);
    // ln 2 in two parts, the first with few bits, so that the product is exact.
    let r = s.fma(whole, s.splat(-0.693_359_4), x);
    let r = s.fma(whole, s.splat(2.121_944_4e-4), r);
    let mut p = s.splat(COEFFICIENTS[0]);
    for c in &COEFFICIENTS[1..] {
        p = s.fma(p, r, s.splat(*c));
    }
    let p = s.add(s.fma(p, s.mul(r, r), r), s.splat(1.0));
    s.mul(p, s.power(n))
}

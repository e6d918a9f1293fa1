//! [`Simd`] in plain Rust: what every other implementation is compared with, and what runs where none fits.

use crate::simd::{LANES, QUAD, Simd};
use half::f16;

/// Any processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Plain;

#[inline(always)]
fn each<T: Copy, U: Copy>(a: [T; LANES], b: [T; LANES], f: impl Fn(T, T) -> U) -> [U; LANES] {
    std::array::from_fn(|i| f(a[i], b[i]))
}

impl Simd for Plain {
    type F = [f32; LANES];
    type I = [i32; LANES];
    type W = [u8; 64];

    const COLUMNS: usize = 4;
    const BYTE_BIAS: i32 = 0;

    #[inline(always)]
    fn splat(self, value: f32) -> Self::F {
        [value; LANES]
    }
    #[inline(always)]
    fn load(self, from: &[f32; LANES]) -> Self::F {
        *from
    }
    #[inline(always)]
    fn store(self, value: Self::F, to: &mut [f32; LANES]) {
        *to = value;
    }
    #[inline(always)]
    fn load_bytes(self, from: &[u8; 4 * LANES]) -> Self::F {
        std::array::from_fn(|i| f32::from_le_bytes(from.as_chunks::<4>().0[i]))
    }
    #[inline(always)]
    fn load_half_bytes(self, from: &[u8; 2 * LANES]) -> Self::F {
        std::array::from_fn(|i| f16::from_le_bytes(from.as_chunks::<2>().0[i]).to_f32())
    }
    #[inline(always)]
    fn load_half(self, from: &[u16; LANES]) -> Self::F {
        from.map(|bits| f16::from_bits(bits).to_f32())
    }
    #[inline(always)]
    fn store_half(self, value: Self::F, to: &mut [u16; LANES]) {
        *to = value.map(|v| f16::from_f32(v).to_bits());
    }
    #[inline(always)]
    fn add(self, a: Self::F, b: Self::F) -> Self::F {
        each(a, b, |a, b| a + b)
    }
    #[inline(always)]
    fn sub(self, a: Self::F, b: Self::F) -> Self::F {
        each(a, b, |a, b| a - b)
    }
    #[inline(always)]
    fn mul(self, a: Self::F, b: Self::F) -> Self::F {
        each(a, b, |a, b| a * b)
    }
    #[inline(always)]
    fn div(self, a: Self::F, b: Self::F) -> Self::F {
        each(a, b, |a, b| a / b)
    }
    #[inline(always)]
    fn fma(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F {
        std::array::from_fn(|i| a[i].mul_add(b[i], c[i]))
    }
    #[inline(always)]
    fn max(self, a: Self::F, b: Self::F) -> Self::F {
        each(a, b, |a, b| if a > b { a } else { b })
    }
    #[inline(always)]
    fn min(self, a: Self::F, b: Self::F) -> Self::F {
        each(a, b, |a, b| if a < b { a } else { b })
    }
    #[inline(always)]
    fn round(self, a: Self::F) -> Self::I {
        a.map(|a| a.round_ties_even() as i32)
    }
    #[inline(always)]
    fn power(self, n: Self::I) -> Self::F {
        n.map(|n| f32::from_bits((n.wrapping_add(127) << 23).cast_unsigned()))
    }
    #[inline(always)]
    fn magnitude(self, a: Self::F) -> Self::I {
        a.map(|a| (a.to_bits() & 0x7fff_ffff).cast_signed())
    }
    #[inline(always)]
    fn larger(self, a: Self::I, b: Self::I) -> Self::I {
        each(a, b, i32::max)
    }
    #[inline(always)]
    fn splat_int(self, value: i32) -> Self::I {
        [value; LANES]
    }
    #[inline(always)]
    fn to_float(self, a: Self::I) -> Self::F {
        a.map(|a| a as f32)
    }
    #[inline(always)]
    fn narrow(self, value: Self::I, to: &mut [i8; LANES]) {
        *to = value.map(|v| v.clamp(-128, 127) as i8);
    }
    #[inline(always)]
    fn sum_int(self, value: Self::I) -> i32 {
        value.into_iter().fold(0, i32::wrapping_add)
    }
    #[inline(always)]
    fn largest(self, value: Self::I) -> i32 {
        value.into_iter().fold(i32::MIN, i32::max)
    }
    #[inline(always)]
    fn widen(self, from: &[u8; LANES]) -> Self::F {
        from.map(f32::from)
    }
    #[inline(always)]
    fn widen_signed(self, from: &[u8; LANES]) -> Self::F {
        from.map(|b| f32::from(b.cast_signed()))
    }
    #[inline(always)]
    fn nibbles(self, from: &[u8; 64]) -> (Self::W, Self::W) {
        (from.map(|b| b & 15), from.map(|b| b >> 4))
    }
    #[inline(always)]
    fn bytes(self, from: &[u8; 64]) -> Self::W {
        *from
    }
    #[inline(always)]
    fn raise(self, low: Self::W, plane: &[u8; 64], shift: usize, mask: u8) -> Self::W {
        std::array::from_fn(|i| low[i] | ((plane[i] >> shift) & mask) << 4)
    }
    #[inline(always)]
    fn dots<const N: usize, const Q: usize, const MAX: u8>(
        self,
        weights: &[Self::W; Q],
        columns: [&[[i8; QUAD]; Q]; N],
        sums: [Self::I; N],
    ) -> [Self::I; N] {
        products(weights, columns, sums, i32::from)
    }
    #[inline(always)]
    fn dots_bytes<const N: usize, const Q: usize>(
        self,
        weights: &[Self::W; Q],
        columns: [&[[i8; QUAD]; Q]; N],
        sums: [Self::I; N],
    ) -> [Self::I; N] {
        products(weights, columns, sums, |w| i32::from(w.cast_signed()))
    }
    #[inline(always)]
    fn prefetch(self, _at: *const u8) {}
}

#[inline(always)]
fn products<const N: usize, const Q: usize>(
    weights: &[[u8; 64]; Q],
    columns: [&[[i8; QUAD]; Q]; N],
    mut sums: [[i32; LANES]; N],
    value: impl Fn(u8) -> i32,
) -> [[i32; LANES]; N] {
    for (sums, column) in sums.iter_mut().zip(columns) {
        for (w, x) in weights.iter().zip(column) {
            for (sum, w) in sums.iter_mut().zip(w.as_chunks::<QUAD>().0) {
                *sum += w.iter().zip(x).map(|(w, x)| value(*w) * i32::from(*x)).sum::<i32>();
            }
        }
    }
    sums
}

//! [`Simd`] on x86-64 with AVX2, in two halves of eight lanes; with AVX-VNNI where the processor has it.
//!
//! Safety argument of every block here: the intrinsics need AVX2, FMA and F16C, and AVX-VNNI where `VNNI` is true; an
//! [`Avx2`] exists only where its `detect` found them. Loads and stores stay inside the arrays that references name.

use crate::simd::{Kernel, LANES, QUAD, Simd};
use std::arch::x86_64::*;

/// Having an `Avx2` tells you that this processor has AVX2, FMA and F16C, and AVX-VNNI if `VNNI`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Avx2<const VNNI: bool>(());

/// Two vectors of eight lanes.
#[derive(Clone, Copy)]
pub(crate) struct Pair<T>(T, T);

fn detect_avx2() -> bool {
    is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") && is_x86_feature_detected!("f16c")
}

impl Avx2<false> {
    pub(crate) fn detect() -> Option<Self> {
        detect_avx2().then_some(Avx2(()))
    }

    /// Runs a kernel compiled for these features.
    pub(crate) fn run<K: Kernel>(self, kernel: K) -> K::Output {
        #[target_feature(enable = "avx2,fma,f16c")]
        fn inner<K: Kernel>(simd: Avx2<false>, kernel: K) -> K::Output {
            kernel.run(simd)
        }
        // SAFETY: `self` proves the features.
        unsafe { inner(self, kernel) }
    }
}

impl Avx2<true> {
    pub(crate) fn detect() -> Option<Self> {
        (detect_avx2() && is_x86_feature_detected!("avxvnni")).then_some(Avx2(()))
    }

    /// Runs a kernel compiled for these features.
    pub(crate) fn run<K: Kernel>(self, kernel: K) -> K::Output {
        #[target_feature(enable = "avx2,fma,f16c,avxvnni")]
        fn inner<K: Kernel>(simd: Avx2<true>, kernel: K) -> K::Output {
            kernel.run(simd)
        }
        // SAFETY: `self` proves the features.
        unsafe { inner(self, kernel) }
    }
}

/// One operation: intrinsics under the module's safety argument.
macro_rules! op {
    ($body:expr) => {{
        // SAFETY: `self` proves the features; memory is reached inside arrays that references name.
        unsafe { $body }
    }};
}

/// The same intrinsic on both halves.
macro_rules! both {
    ($f:ident, $a:expr) => {
        op!(Pair($f($a.0), $f($a.1)))
    };
    ($f:ident, $a:expr, $b:expr) => {
        op!(Pair($f($a.0, $b.0), $f($a.1, $b.1)))
    };
}

#[inline(always)]
fn firsts<const Q: usize>(weights: &[I; Q]) -> [__m256i; Q] {
    let mut halves = [weights[0].0; Q];
    for q in 1..Q {
        halves[q] = weights[q].0;
    }
    halves
}

#[inline(always)]
fn seconds<const Q: usize>(weights: &[I; Q]) -> [__m256i; Q] {
    let mut halves = [weights[0].1; Q];
    for q in 1..Q {
        halves[q] = weights[q].1;
    }
    halves
}

type F = Pair<__m256>;
type I = Pair<__m256i>;

impl<const VNNI: bool> Avx2<VNNI> {
    #[inline(always)]
    fn load_codes(self, from: &[u8; 64]) -> I {
        op!({
            let at = from.as_ptr().cast::<__m256i>();
            Pair(_mm256_loadu_si256(at), _mm256_loadu_si256(at.add(1)))
        })
    }

    #[inline(always)]
    fn quad(self, x: [i8; QUAD]) -> __m256i {
        let [a, b, c, d] = x;
        op!(_mm256_set1_epi32(i32::from_le_bytes([a as u8, b as u8, c as u8, d as u8])))
    }

    /// `sums + codes . x`; sums of 16 bits do not overflow: at most `QUADS` times 2 * MAX * 127.
    #[inline(always)]
    fn half<const Q: usize, const MAX: u8>(
        self,
        weights: [__m256i; Q],
        x: &[[i8; QUAD]; Q],
        mut sums: __m256i,
    ) -> __m256i {
        if VNNI {
            for q in 0..Q {
                sums = op!(_mm256_dpbusd_avx_epi32(sums, weights[q], self.quad(x[q])));
            }
            return sums;
        }
        let run = (i16::MAX as usize / (2 * 127 * MAX as usize)).min(Q);
        let mut q = 0;
        while q < Q {
            let mut short = op!(_mm256_maddubs_epi16(weights[q], self.quad(x[q])));
            for next in q + 1..(q + run).min(Q) {
                short = op!(_mm256_add_epi16(short, _mm256_maddubs_epi16(weights[next], self.quad(x[next]))));
            }
            sums = op!(_mm256_add_epi32(sums, _mm256_madd_epi16(short, _mm256_set1_epi16(1))));
            q += run;
        }
        sums
    }

    /// `sums + bytes . x`: the weights' signs move to `x`, which is never -128.
    #[inline(always)]
    fn half_bytes<const Q: usize>(
        self,
        weights: [__m256i; Q],
        x: &[[i8; QUAD]; Q],
        mut sums: __m256i,
    ) -> __m256i {
        for q in 0..Q {
            sums = op!({
                let (w, x) = (weights[q], self.quad(x[q]));
                let (size, turned) = (_mm256_sign_epi8(w, w), _mm256_sign_epi8(x, w));
                if VNNI {
                    _mm256_dpbusd_avx_epi32(sums, size, turned)
                } else {
                    // At most 2 * 128 * 127, which fits 16 bits.
                    let short = _mm256_maddubs_epi16(size, turned);
                    _mm256_add_epi32(sums, _mm256_madd_epi16(short, _mm256_set1_epi16(1)))
                }
            });
        }
        sums
    }
}

impl<const VNNI: bool> Simd for Avx2<VNNI> {
    type F = F;
    type I = I;
    type W = I;

    const COLUMNS: usize = 4;
    const BYTE_BIAS: i32 = 0;

    #[inline(always)]
    fn splat(self, value: f32) -> F {
        op!(Pair(_mm256_set1_ps(value), _mm256_set1_ps(value)))
    }
    #[inline(always)]
    fn load(self, from: &[f32; LANES]) -> F {
        op!(Pair(_mm256_loadu_ps(from.as_ptr()), _mm256_loadu_ps(from.as_ptr().add(8))))
    }
    #[inline(always)]
    fn store(self, value: F, to: &mut [f32; LANES]) {
        op!({
            _mm256_storeu_ps(to.as_mut_ptr(), value.0);
            _mm256_storeu_ps(to.as_mut_ptr().add(8), value.1);
        });
    }
    #[inline(always)]
    fn load_bytes(self, from: &[u8; 4 * LANES]) -> F {
        op!(Pair(_mm256_loadu_ps(from.as_ptr().cast()), _mm256_loadu_ps(from.as_ptr().add(32).cast())))
    }
    #[inline(always)]
    fn load_half_bytes(self, from: &[u8; 2 * LANES]) -> F {
        op!({
            let at = from.as_ptr().cast::<__m128i>();
            Pair(_mm256_cvtph_ps(_mm_loadu_si128(at)), _mm256_cvtph_ps(_mm_loadu_si128(at.add(1))))
        })
    }
    #[inline(always)]
    fn load_half(self, from: &[u16; LANES]) -> F {
        op!({
            let at = from.as_ptr().cast::<__m128i>();
            Pair(_mm256_cvtph_ps(_mm_loadu_si128(at)), _mm256_cvtph_ps(_mm_loadu_si128(at.add(1))))
        })
    }
    #[inline(always)]
    fn store_half(self, value: F, to: &mut [u16; LANES]) {
        op!({
            const NEAREST: i32 = _MM_FROUND_TO_NEAREST_INT;
            let at = to.as_mut_ptr().cast::<__m128i>();
            _mm_storeu_si128(at, _mm256_cvtps_ph::<NEAREST>(value.0));
            _mm_storeu_si128(at.add(1), _mm256_cvtps_ph::<NEAREST>(value.1));
        });
    }
    #[inline(always)]
    fn add(self, a: F, b: F) -> F {
        both!(_mm256_add_ps, a, b)
    }
    #[inline(always)]
    fn sub(self, a: F, b: F) -> F {
        both!(_mm256_sub_ps, a, b)
    }
    #[inline(always)]
    fn mul(self, a: F, b: F) -> F {
        both!(_mm256_mul_ps, a, b)
    }
    #[inline(always)]
    fn div(self, a: F, b: F) -> F {
        both!(_mm256_div_ps, a, b)
    }
    #[inline(always)]
    fn fma(self, a: F, b: F, c: F) -> F {
        op!(Pair(_mm256_fmadd_ps(a.0, b.0, c.0), _mm256_fmadd_ps(a.1, b.1, c.1)))
    }
    #[inline(always)]
    fn max(self, a: F, b: F) -> F {
        both!(_mm256_max_ps, a, b)
    }
    #[inline(always)]
    fn min(self, a: F, b: F) -> F {
        both!(_mm256_min_ps, a, b)
    }
    #[inline(always)]
    fn round(self, a: F) -> I {
        // The rounding mode of a Rust program is to nearest, ties to even.
        both!(_mm256_cvtps_epi32, a)
    }
    #[inline(always)]
    fn power(self, n: I) -> F {
        op!({
            let bias = _mm256_set1_epi32(127);
            Pair(
                _mm256_castsi256_ps(_mm256_slli_epi32::<23>(_mm256_add_epi32(n.0, bias))),
                _mm256_castsi256_ps(_mm256_slli_epi32::<23>(_mm256_add_epi32(n.1, bias))),
            )
        })
    }
    #[inline(always)]
    fn magnitude(self, a: F) -> I {
        op!({
            let bits = _mm256_set1_epi32(0x7fff_ffff);
            Pair(
                _mm256_and_si256(_mm256_castps_si256(a.0), bits),
                _mm256_and_si256(_mm256_castps_si256(a.1), bits),
            )
        })
    }
    #[inline(always)]
    fn larger(self, a: I, b: I) -> I {
        both!(_mm256_max_epi32, a, b)
    }
    #[inline(always)]
    fn splat_int(self, value: i32) -> I {
        op!(Pair(_mm256_set1_epi32(value), _mm256_set1_epi32(value)))
    }
    #[inline(always)]
    fn to_float(self, a: I) -> F {
        both!(_mm256_cvtepi32_ps, a)
    }
    #[inline(always)]
    fn narrow(self, value: I, to: &mut [i8; LANES]) {
        op!({
            // Packing works within halves of a register; the permutation brings them into order.
            let short = _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_packs_epi32(value.0, value.1));
            let bytes = _mm_packs_epi16(_mm256_castsi256_si128(short), _mm256_extracti128_si256::<1>(short));
            _mm_storeu_si128(to.as_mut_ptr().cast(), bytes);
        });
    }
    #[inline(always)]
    fn sum_int(self, value: I) -> i32 {
        op!({
            let eight = _mm256_add_epi32(value.0, value.1);
            let four = _mm_add_epi32(_mm256_castsi256_si128(eight), _mm256_extracti128_si256::<1>(eight));
            let two = _mm_add_epi32(four, _mm_shuffle_epi32::<0b01_00_11_10>(four));
            _mm_cvtsi128_si32(_mm_add_epi32(two, _mm_shuffle_epi32::<0b00_00_00_01>(two)))
        })
    }
    #[inline(always)]
    fn largest(self, value: I) -> i32 {
        op!({
            let eight = _mm256_max_epi32(value.0, value.1);
            let four = _mm_max_epi32(_mm256_castsi256_si128(eight), _mm256_extracti128_si256::<1>(eight));
            let two = _mm_max_epi32(four, _mm_shuffle_epi32::<0b01_00_11_10>(four));
            _mm_cvtsi128_si32(_mm_max_epi32(two, _mm_shuffle_epi32::<0b00_00_00_01>(two)))
        })
    }
    #[inline(always)]
    fn widen(self, from: &[u8; LANES]) -> F {
        op!({
            let bytes = _mm_loadu_si128(from.as_ptr().cast());
            Pair(
                _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(bytes)),
                _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_srli_si128::<8>(bytes))),
            )
        })
    }
    #[inline(always)]
    fn widen_signed(self, from: &[u8; LANES]) -> F {
        op!({
            let bytes = _mm_loadu_si128(from.as_ptr().cast());
            Pair(
                _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes)),
                _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_srli_si128::<8>(bytes))),
            )
        })
    }
    #[inline(always)]
    fn nibbles(self, from: &[u8; 64]) -> (I, I) {
        let all = self.load_codes(from);
        op!({
            let mask = _mm256_set1_epi8(15);
            let low = Pair(_mm256_and_si256(all.0, mask), _mm256_and_si256(all.1, mask));
            let high = Pair(_mm256_srli_epi16::<4>(all.0), _mm256_srli_epi16::<4>(all.1));
            (low, Pair(_mm256_and_si256(high.0, mask), _mm256_and_si256(high.1, mask)))
        })
    }
    #[inline(always)]
    fn bytes(self, from: &[u8; 64]) -> I {
        self.load_codes(from)
    }
    #[inline(always)]
    fn raise(self, low: I, plane: &[u8; 64], shift: usize, mask: u8) -> I {
        let plane = self.load_codes(plane);
        op!({
            let mask = _mm256_set1_epi8((mask << 4).cast_signed());
            let lifted = if shift > 4 {
                let by = _mm_cvtsi32_si128(shift as i32 - 4);
                Pair(_mm256_srl_epi16(plane.0, by), _mm256_srl_epi16(plane.1, by))
            } else {
                let by = _mm_cvtsi32_si128(4 - shift as i32);
                Pair(_mm256_sll_epi16(plane.0, by), _mm256_sll_epi16(plane.1, by))
            };
            Pair(
                _mm256_or_si256(low.0, _mm256_and_si256(lifted.0, mask)),
                _mm256_or_si256(low.1, _mm256_and_si256(lifted.1, mask)),
            )
        })
    }
    #[inline(always)]
    fn dots<const N: usize, const Q: usize, const MAX: u8>(
        self,
        weights: &[I; Q],
        columns: [&[[i8; QUAD]; Q]; N],
        mut sums: [I; N],
    ) -> [I; N] {
        for c in 0..N {
            sums[c].0 = self.half::<Q, MAX>(firsts(weights), columns[c], sums[c].0);
        }
        for c in 0..N {
            sums[c].1 = self.half::<Q, MAX>(seconds(weights), columns[c], sums[c].1);
        }
        sums
    }
    #[inline(always)]
    fn dots_bytes<const N: usize, const Q: usize>(
        self,
        weights: &[I; Q],
        columns: [&[[i8; QUAD]; Q]; N],
        mut sums: [I; N],
    ) -> [I; N] {
        for c in 0..N {
            sums[c].0 = self.half_bytes(firsts(weights), columns[c], sums[c].0);
        }
        for c in 0..N {
            sums[c].1 = self.half_bytes(seconds(weights), columns[c], sums[c].1);
        }
        sums
    }
    #[inline(always)]
    fn prefetch(self, at: *const u8) {
        // A prefetch never faults, whatever the address.
        op!(_mm_prefetch::<_MM_HINT_T0>(at.cast()));
    }
}

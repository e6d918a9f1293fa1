//! [`Simd`] on x86-64 with AVX-512 and its integer dot product (VNNI).
//!
//! Safety argument of every block here: the intrinsics need the features in [`FEATURES`], and an [`Avx512`] exists only
//! where [`Avx512::detect`] found them all. Loads and stores go through references to arrays of the full width.

use crate::simd::{Kernel, LANES, QUAD, Simd};
use std::arch::x86_64::*;

/// Having an `Avx512` tells you that this processor has the features below.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Avx512(());

impl Avx512 {
    pub(crate) fn detect() -> Option<Avx512> {
        let found = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512vnni")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("f16c");
        found.then_some(Avx512(()))
    }

    /// Runs a kernel compiled for these features.
    pub(crate) fn run<K: Kernel>(self, kernel: K) -> K::Output {
        #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,fma,f16c")]
        fn inner<K: Kernel>(simd: Avx512, kernel: K) -> K::Output {
            kernel.run(simd)
        }
        // SAFETY: `self` proves the features.
        unsafe { inner(self, kernel) }
    }
}

/// One operation: intrinsics under the module's safety argument.
macro_rules! op {
    ($body:expr) => {{
        // SAFETY: `self` proves the features; memory is reached through references to whole arrays.
        unsafe { $body }
    }};
}

impl Simd for Avx512 {
    type F = __m512;
    type I = __m512i;
    type W = __m512i;

    const COLUMNS: usize = 8;
    // The instruction multiplies unsigned by signed, so signed weights are lifted by 128.
    const BYTE_BIAS: i32 = 128;

    #[inline(always)]
    fn splat(self, value: f32) -> __m512 {
        op!(_mm512_set1_ps(value))
    }
    #[inline(always)]
    fn load(self, from: &[f32; LANES]) -> __m512 {
        op!(_mm512_loadu_ps(from.as_ptr()))
    }
    #[inline(always)]
    fn store(self, value: __m512, to: &mut [f32; LANES]) {
        op!(_mm512_storeu_ps(to.as_mut_ptr(), value));
    }
    #[inline(always)]
    fn load_bytes(self, from: &[u8; 4 * LANES]) -> __m512 {
        op!(_mm512_loadu_ps(from.as_ptr().cast()))
    }
    #[inline(always)]
    fn load_half_bytes(self, from: &[u8; 2 * LANES]) -> __m512 {
        op!(_mm512_cvtph_ps(_mm256_loadu_si256(from.as_ptr().cast())))
    }
    #[inline(always)]
    fn load_half(self, from: &[u16; LANES]) -> __m512 {
        op!(_mm512_cvtph_ps(_mm256_loadu_si256(from.as_ptr().cast())))
    }
    #[inline(always)]
    fn store_half(self, value: __m512, to: &mut [u16; LANES]) {
        op!(_mm256_storeu_si256(
            to.as_mut_ptr().cast(),
            _mm512_cvtps_ph::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(value)
        ));
    }
    #[inline(always)]
    fn add(self, a: __m512, b: __m512) -> __m512 {
        op!(_mm512_add_ps(a, b))
    }
    #[inline(always)]
    fn sub(self, a: __m512, b: __m512) -> __m512 {
        op!(_mm512_sub_ps(a, b))
    }
    #[inline(always)]
    fn mul(self, a: __m512, b: __m512) -> __m512 {
        op!(_mm512_mul_ps(a, b))
    }
    #[inline(always)]
    fn div(self, a: __m512, b: __m512) -> __m512 {
        op!(_mm512_div_ps(a, b))
    }
    #[inline(always)]
    fn fma(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        op!(_mm512_fmadd_ps(a, b, c))
    }
    #[inline(always)]
    fn max(self, a: __m512, b: __m512) -> __m512 {
        op!(_mm512_max_ps(a, b))
    }
    #[inline(always)]
    fn min(self, a: __m512, b: __m512) -> __m512 {
        op!(_mm512_min_ps(a, b))
    }
    #[inline(always)]
    fn round(self, a: __m512) -> __m512i {
        op!(_mm512_cvt_roundps_epi32::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a))
    }
    #[inline(always)]
    fn power(self, n: __m512i) -> __m512 {
        op!(_mm512_castsi512_ps(_mm512_slli_epi32::<23>(_mm512_add_epi32(n, _mm512_set1_epi32(127)))))
    }
    #[inline(always)]
    fn magnitude(self, a: __m512) -> __m512i {
        op!(_mm512_and_si512(_mm512_castps_si512(a), _mm512_set1_epi32(0x7fff_ffff)))
    }
    #[inline(always)]
    fn larger(self, a: __m512i, b: __m512i) -> __m512i {
        op!(_mm512_max_epi32(a, b))
    }
    #[inline(always)]
    fn splat_int(self, value: i32) -> __m512i {
        op!(_mm512_set1_epi32(value))
    }
    #[inline(always)]
    fn to_float(self, a: __m512i) -> __m512 {
        op!(_mm512_cvtepi32_ps(a))
    }
    #[inline(always)]
    fn narrow(self, value: __m512i, to: &mut [i8; LANES]) {
        op!(_mm_storeu_si128(to.as_mut_ptr().cast(), _mm512_cvtsepi32_epi8(value)));
    }
    #[inline(always)]
    fn sum_int(self, value: __m512i) -> i32 {
        op!(_mm512_reduce_add_epi32(value))
    }
    #[inline(always)]
    fn largest(self, value: __m512i) -> i32 {
        op!(_mm512_reduce_max_epi32(value))
    }
    #[inline(always)]
    fn widen(self, from: &[u8; LANES]) -> __m512 {
        op!(_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128(from.as_ptr().cast()))))
    }
    #[inline(always)]
    fn widen_signed(self, from: &[u8; LANES]) -> __m512 {
        op!(_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(from.as_ptr().cast()))))
    }
    #[inline(always)]
    fn nibbles(self, from: &[u8; 64]) -> (__m512i, __m512i) {
        op!({
            let (both, low) = (_mm512_loadu_si512(from.as_ptr().cast()), _mm512_set1_epi8(15));
            (_mm512_and_si512(both, low), _mm512_and_si512(_mm512_srli_epi16::<4>(both), low))
        })
    }
    #[inline(always)]
    fn bytes(self, from: &[u8; 64]) -> __m512i {
        op!(_mm512_xor_si512(_mm512_loadu_si512(from.as_ptr().cast()), _mm512_set1_epi8(i8::MIN)))
    }
    #[inline(always)]
    fn raise(self, low: __m512i, plane: &[u8; 64], shift: usize, mask: u8) -> __m512i {
        op!({
            let plane = _mm512_loadu_si512(plane.as_ptr().cast());
            // Where `shift` is known, as it is once the caller's loop is unrolled, one of these is left.
            let lifted = if shift > 4 {
                _mm512_srl_epi16(plane, _mm_cvtsi32_si128(shift as i32 - 4))
            } else {
                _mm512_sll_epi16(plane, _mm_cvtsi32_si128(4 - shift as i32))
            };
            let kept = _mm512_and_si512(lifted, _mm512_set1_epi8((mask << 4).cast_signed()));
            _mm512_or_si512(low, kept)
        })
    }
    #[inline(always)]
    fn dots<const N: usize, const Q: usize, const MAX: u8>(
        self,
        weights: &[__m512i; Q],
        columns: [&[[i8; QUAD]; Q]; N],
        mut sums: [__m512i; N],
    ) -> [__m512i; N] {
        for c in 0..N {
            // Two chains: the products of one would wait for each other.
            let mut chains = [sums[c], self.splat_int(0)];
            for q in 0..Q {
                let [a, b, d, e] = columns[c][q];
                let x = i32::from_le_bytes([a as u8, b as u8, d as u8, e as u8]);
                chains[q % 2] = op!(_mm512_dpbusd_epi32(chains[q % 2], weights[q], _mm512_set1_epi32(x)));
            }
            sums[c] = op!(_mm512_add_epi32(chains[0], chains[1]));
        }
        sums
    }
    #[inline(always)]
    fn dots_bytes<const N: usize, const Q: usize>(
        self,
        weights: &[__m512i; Q],
        columns: [&[[i8; QUAD]; Q]; N],
        sums: [__m512i; N],
    ) -> [__m512i; N] {
        self.dots::<N, Q, 255>(weights, columns, sums)
    }
    #[inline(always)]
    fn prefetch(self, at: *const u8) {
        // A prefetch never faults, whatever the address.
        op!(_mm_prefetch::<_MM_HINT_T0>(at.cast()));
    }
}

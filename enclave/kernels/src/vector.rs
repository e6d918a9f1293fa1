//! What is done to a row of activations between two products.

use crate::isa::Isa;
use crate::simd::{Kernel, LANES, Simd, exp, total};

/// Root-mean-square norm of `x`, scaled by `weight`. The lengths must be equal and a multiple of 16.
pub fn norm(isa: Isa, x: &[f32], weight: &[f32], eps: f32, out: &mut [f32]) {
    out.copy_from_slice(x);
    norm_in_place(isa, out, weight, eps);
}

/// As [`norm`], over the row itself.
pub fn norm_in_place(isa: Isa, x: &mut [f32], weight: &[f32], eps: f32) {
    isa.run(Norm { x, weight, eps });
}

struct Norm<'a> {
    x: &'a mut [f32],
    weight: &'a [f32],
    eps: f32,
}

impl Kernel for Norm<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let width = self.x.len() as f32;
        let rows = self.x.as_chunks_mut::<LANES>().0;
        let mut squares = s.splat(0.0);
        for x in &*rows {
            let x = s.load(x);
            squares = s.fma(x, x, squares);
        }
        let mean = total(s, squares) / width;
        let scale = s.splat(1.0 / (mean + self.eps).sqrt());
        for (x, w) in rows.iter_mut().zip(self.weight.as_chunks::<LANES>().0) {
            s.store(s.mul(s.mul(s.load(x), scale), s.load(w)), x);
        }
    }
}

/// Layer norm of `x` (Ba, Kiros and Hinton 2016), over the row itself. The lengths must be equal and a multiple of 16.
pub fn layer_norm(isa: Isa, x: &mut [f32], weight: &[f32], bias: &[f32], eps: f32) {
    isa.run(LayerNorm { x, weight, bias, eps });
}

struct LayerNorm<'a> {
    x: &'a mut [f32],
    weight: &'a [f32],
    bias: &'a [f32],
    eps: f32,
}

impl Kernel for LayerNorm<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let width = self.x.len() as f32;
        let rows = self.x.as_chunks_mut::<LANES>().0;
        let mut sum = s.splat(0.0);
        for x in &*rows {
            sum = s.add(sum, s.load(x));
        }
        let mean = s.splat(total(s, sum) / width);
        let mut squares = s.splat(0.0);
        for x in &*rows {
            let off = s.sub(s.load(x), mean);
            squares = s.fma(off, off, squares);
        }
        let scale = s.splat(1.0 / (total(s, squares) / width + self.eps).sqrt());
        let parameters = self.weight.as_chunks::<LANES>().0.iter().zip(self.bias.as_chunks::<LANES>().0);
        for (x, (w, b)) in rows.iter_mut().zip(parameters) {
            let off = s.mul(s.sub(s.load(x), mean), scale);
            s.store(s.fma(off, s.load(w), s.load(b)), x);
        }
    }
}

/// GELU of `x + bias`, over the row itself: `x * P(X <= x)` for a standard normal X (Hendrycks and Gimpel 2016), to about
/// 2e-7 of `x`. The lengths must be equal and a multiple of 16.
///
/// The error function: Abramowitz and Stegun, 7.1.26.
pub fn gelu(isa: Isa, x: &mut [f32], bias: &[f32]) {
    isa.run(Gelu { x, bias });
}

struct Gelu<'a> {
    x: &'a mut [f32],
    bias: &'a [f32],
}

impl Kernel for Gelu<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        const P: f32 = 0.327_591_1;
        const A: [f32; 5] = [1.061_405_4, -1.453_152, 1.421_413_7, -0.284_496_74, 0.254_829_6];
        let (zero, one, half) = (s.splat(0.0), s.splat(1.0), s.splat(0.5));
        for (x, bias) in self.x.as_chunks_mut::<LANES>().0.iter_mut().zip(self.bias.as_chunks::<LANES>().0) {
            let value = s.add(s.load(x), s.load(bias));
            let size = s.max(value, s.sub(zero, value));
            let z = s.mul(size, s.splat(std::f32::consts::FRAC_1_SQRT_2));
            let t = s.div(one, s.fma(s.splat(P), z, one));
            let mut p = s.splat(A[0]);
            for a in &A[1..] {
                p = s.fma(p, t, s.splat(*a));
            }
            let tail = s.mul(s.mul(p, t), exp(s, s.mul(z, s.sub(zero, z))));
            // erf is odd, so the product of x with it is that of their sizes.
            let grown = s.fma(size, s.sub(one, tail), value);
            s.store(s.mul(half, grown), x);
        }
    }
}

/// `gate * sigmoid(gate) * up`. The lengths must be equal and a multiple of 16.
pub fn gated(isa: Isa, gate: &[f32], up: &[f32], out: &mut [f32]) {
    isa.run(Gated { gate, up, out });
}

struct Gated<'a> {
    gate: &'a [f32],
    up: &'a [f32],
    out: &'a mut [f32],
}

impl Kernel for Gated<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let pairs = self.gate.as_chunks::<LANES>().0.iter().zip(self.up.as_chunks::<LANES>().0);
        for ((gate, up), out) in pairs.zip(self.out.as_chunks_mut::<LANES>().0) {
            let gate = s.load(gate);
            let below = s.add(s.splat(1.0), exp(s, s.sub(s.splat(0.0), gate)));
            s.store(s.mul(s.div(gate, below), s.load(up)), out);
        }
    }
}

/// `x += y`.
pub fn add(isa: Isa, x: &mut [f32], y: &[f32]) {
    isa.run(Add { x, y });
}

struct Add<'a> {
    x: &'a mut [f32],
    y: &'a [f32],
}

impl Kernel for Add<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        self.x.iter_mut().zip(self.y).for_each(|(x, y)| *x += y);
    }
}

/// Turns the pairs (i, i + half) of each head of `dim` elements by angles whose cosines and sines are given, and multiplies by
/// `scale`.
pub fn rotate(isa: Isa, heads: &mut [f32], dim: usize, (cos, sin): (&[f32], &[f32]), scale: f32) {
    isa.run(Rotate { heads, dim, cos, sin, scale });
}

struct Rotate<'a> {
    heads: &'a mut [f32],
    dim: usize,
    cos: &'a [f32],
    sin: &'a [f32],
    scale: f32,
}

impl Kernel for Rotate<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        for head in self.heads.chunks_exact_mut(self.dim) {
            let (first, second) = head.split_at_mut(self.dim / 2);
            let turns = self.cos.iter().zip(self.sin);
            for ((a, b), (cos, sin)) in first.iter_mut().zip(second).zip(turns) {
                let (x, y) = (*a, *b);
                *a = (x * cos - y * sin) * self.scale;
                *b = (x * sin + y * cos) * self.scale;
            }
        }
    }
}

/// The largest of `values` and where it first stands; `None` if there is none or one is not finite.
pub fn best(isa: Isa, values: &[f32]) -> Option<(usize, f32)> {
    isa.run(Best { values })
}

struct Best<'a> {
    values: &'a [f32],
}

impl Kernel for Best<'_> {
    type Output = Option<(usize, f32)>;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> Self::Output {
        const INFINITE: i32 = 0x7f80_0000;
        let (chunks, rest) = self.values.as_chunks::<LANES>();
        let (mut top, mut magnitude) = (s.splat(f32::MIN), s.splat_int(0));
        for chunk in chunks {
            let values = s.load(chunk);
            top = s.max(values, top);
            magnitude = s.larger(magnitude, s.magnitude(values));
        }
        let mut lanes = [f32::MIN; LANES];
        s.store(top, &mut lanes);
        let top = lanes.iter().chain(rest).copied().fold(f32::MIN, f32::max);
        let finite = s.largest(magnitude) < INFINITE && rest.iter().all(|v| v.is_finite());
        let at = self.values.iter().position(|value| *value == top)?;
        finite.then_some((at, top))
    }
}

/// Writes `e^((value - top) * scale)` for each value and returns the sum. What is below `top` by more than 87 counts as if it
/// were not. The lengths must be equal.
pub fn weigh(isa: Isa, values: &[f32], top: f32, scale: f32, out: &mut [f32]) -> f64 {
    isa.run(Weigh { values, top, scale, out })
}

struct Weigh<'a> {
    values: &'a [f32],
    top: f32,
    scale: f32,
    out: &'a mut [f32],
}

impl Kernel for Weigh<'_> {
    type Output = f64;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f64 {
        let (top, scale) = (s.splat(self.top), s.splat(self.scale));
        let (values, rest) = self.values.as_chunks::<LANES>();
        let (out, out_rest) = self.out.as_chunks_mut::<LANES>();
        let mut sum = 0.0;
        for (values, out) in values.iter().zip(out) {
            let weights = exp(s, s.mul(s.sub(s.load(values), top), scale));
            s.store(weights, out);
            sum += f64::from(total(s, weights));
        }
        let mut last = [f32::MIN; LANES];
        last.iter_mut().zip(rest).for_each(|(last, value)| *last = *value);
        let mut weights = [0.0; LANES];
        s.store(exp(s, s.mul(s.sub(s.load(&last), top), scale)), &mut weights);
        for (out, weight) in out_rest.iter_mut().zip(weights) {
            *out = weight;
            sum += f64::from(weight);
        }
        sum
    }
}

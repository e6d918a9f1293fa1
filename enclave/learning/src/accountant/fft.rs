//! A fast Fourier transform of a power of two of complex numbers, and a list convolved with itself.
//!
//! Source: Cooley and Tukey 1965, iterative, decimation in time.

use std::f64::consts::TAU;

/// Longest list that is transformed: 64 MiB of complex numbers twice over.
pub(crate) const MAX_LEN: usize = 1 << 22;

#[derive(Clone, Copy, Debug, Default)]
struct Complex {
    re: f64,
    im: f64,
}

impl Complex {
    fn times(self, other: Complex) -> Complex {
        Complex { re: self.re * other.re - self.im * other.im, im: self.re * other.im + self.im * other.re }
    }

    /// By squaring: the error grows as `times`, not faster.
    fn power(self, mut times: u64) -> Complex {
        let (mut result, mut square) = (Complex { re: 1.0, im: 0.0 }, self);
        while times > 0 {
            if times & 1 == 1 {
                result = result.times(square);
            }
            square = square.times(square);
            times >>= 1;
        }
        result
    }
}

/// In place; `values.len()` is a power of two.
fn transform(values: &mut [Complex], inverse: bool) {
    let len = values.len();
    if len < 2 {
        return;
    }
    let bits = len.trailing_zeros();
    for at in 0..len {
        let to = at.reverse_bits() >> (usize::BITS - bits);
        if at < to {
            values.swap(at, to);
        }
    }
    let sign = if inverse { 1.0 } else { -1.0 };
    // Each from its own sine, so that errors do not add up.
    let root = |k: usize| {
        let angle = sign * TAU * k as f64 / len as f64;
        Complex { re: angle.cos(), im: angle.sin() }
    };
    let roots: Vec<Complex> = (0..len / 2).map(root).collect();
    let mut half = 1;
    while half < len {
        let stride = len / (2 * half);
        for block in values.chunks_exact_mut(2 * half) {
            let (low, high) = block.split_at_mut(half);
            for ((a, b), root) in low.iter_mut().zip(high).zip(roots.iter().step_by(stride)) {
                let turned = b.times(*root);
                *b = Complex { re: a.re - turned.re, im: a.im - turned.im };
                *a = Complex { re: a.re + turned.re, im: a.im + turned.im };
            }
        }
        half *= 2;
    }
}

fn spectrum(list: &[f64], len: usize) -> Vec<Complex> {
    let mut values: Vec<Complex> = list.iter().map(|re| Complex { re: *re, im: 0.0 }).collect();
    values.resize(len, Complex::default());
    transform(&mut values, false);
    values
}

fn back(mut values: Vec<Complex>) -> Vec<f64> {
    transform(&mut values, true);
    let scale = 1.0 / values.len() as f64;
    values.into_iter().map(|value| value.re * scale).collect()
}

/// `list` convolved with itself `times` times, modulo `len`, which is a power of two and not below the list's length.
pub(crate) fn self_convolve(list: &[f64], times: u64, len: usize) -> Vec<f64> {
    let mut values = spectrum(list, len);
    values.iter_mut().for_each(|value| *value = value.power(times));
    back(values)
}

/// The convolution of two lists.
pub(crate) fn convolve(a: &[f64], b: &[f64]) -> Vec<f64> {
    let len = (a.len() + b.len()).saturating_sub(1);
    let (mut left, right) = (spectrum(a, len.next_power_of_two()), spectrum(b, len.next_power_of_two()));
    left.iter_mut().zip(right).for_each(|(left, right)| *left = left.times(right));
    let mut sum = back(left);
    sum.truncate(len);
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn convolutions_are_those_of_the_definition() {
        let (a, b) = ([0.5, 0.25, 0.25], [0.1, 0.2, 0.3, 0.4]);
        let mut expected = [0.0; 6];
        for (i, x) in a.iter().enumerate() {
            for (j, y) in b.iter().enumerate() {
                expected[i + j] += x * y;
            }
        }
        for (found, expected) in convolve(&a, &b).iter().zip(expected) {
            assert!((found - expected).abs() < 1e-15);
        }
        let thrice = convolve(&convolve(&a, &a), &a);
        for (found, expected) in self_convolve(&a, 3, 8).iter().zip(thrice) {
            assert!((found - expected).abs() < 1e-15);
        }
    }
}

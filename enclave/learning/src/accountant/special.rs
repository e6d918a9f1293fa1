//! The few special functions that accounting needs, on logarithms where numbers would vanish.

use std::f64::consts::{FRAC_1_SQRT_2, LN_2, PI};

/// Beyond this erfc is below the smallest normal number, and the asymptotic series has more digits.
const FAR: f64 = 25.0;

/// `ln(exp(a) + exp(b))`.
pub(crate) fn log_add(a: f64, b: f64) -> f64 {
    let (low, high) = if a < b { (a, b) } else { (b, a) };
    if low == f64::NEG_INFINITY { high } else { high + (low - high).exp().ln_1p() }
}

/// `ln |n choose k|` for real `n`, by the gamma function.
pub(crate) fn log_binomial(n: f64, k: f64) -> f64 {
    libm::lgamma(n + 1.0) - libm::lgamma(k + 1.0) - libm::lgamma(n - k + 1.0)
}

/// `ln erfc(x)`.
pub(crate) fn log_erfc(x: f64) -> f64 {
    if x < FAR {
        return libm::erfc(x).ln();
    }
    // DLMF 7.12.1, four terms: the next is below 1e-9 of the first.
    let y = 1.0 / (2.0 * x * x);
    let series = 1.0 - y + 3.0 * y * y - 15.0 * y.powi(3) + 105.0 * y.powi(4);
    -x * x - x.ln() - 0.5 * PI.ln() + series.ln()
}

/// The distribution function of the standard normal distribution.
pub(crate) fn normal(x: f64) -> f64 {
    0.5 * libm::erfc(-x * FRAC_1_SQRT_2)
}

/// Its logarithm.
pub(crate) fn log_normal(x: f64) -> f64 {
    log_erfc(-x * FRAC_1_SQRT_2) - LN_2
}

/// Where a falling function crosses zero between `low` and `high`, from the side on which it is not positive.
pub(crate) fn falling_root(mut low: f64, mut high: f64, f: impl Fn(f64) -> f64) -> f64 {
    for _ in 0..200 {
        let middle = 0.5 * (low + high);
        if f(middle) > 0.0 { low = middle } else { high = middle }
    }
    high
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_logarithm_of_erfc_has_its_digits() {
        // By mpmath at 30 digits.
        for (x, expected) in [
            (0.5, 0.479_500_122_186_953_5_f64.ln()),
            (-1.0, 1.842_700_792_949_715_f64.ln()),
            (24.9, -623.798_037_565_574_4),
            (30.0, -903.974_117_110_643_9),
        ] {
            let found = log_erfc(x);
            assert!((found - expected).abs() < 1e-11 * expected.abs().max(1.0), "{x}: {found} {expected}");
        }
        let (before, after) = (log_erfc(FAR - 1e-9), log_erfc(FAR + 1e-9));
        assert!((before - after).abs() < 1e-6, "the two ways meet: {before} {after}");
    }

    #[test]
    fn binomials_are_those_of_pascal() {
        assert!((log_binomial(10.0, 3.0) - 120.0_f64.ln()).abs() < 1e-12);
        assert!((log_binomial(1024.0, 0.0)).abs() < 1e-9);
    }
}

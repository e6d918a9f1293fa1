//! The Gaussian mechanism without sampling, in closed form.
//!
//! Source: Balle and Wang 2018 (arXiv:1805.06530), theorem 8, for sensitivity 1.

use super::special::{falling_root, log_normal, normal};

/// The delta of one release with noise `sigma` (in units of the sensitivity) at `epsilon`.
pub fn delta(sigma: f64, epsilon: f64) -> f64 {
    let (half, shift) = (0.5 / sigma, epsilon * sigma);
    (normal(half - shift) - (epsilon + log_normal(-half - shift)).exp()).clamp(0.0, 1.0)
}

/// The least epsilon of one release at `delta`, or infinity where it is beyond 1e6.
pub fn epsilon(sigma: f64, delta: f64) -> f64 {
    let beyond = |epsilon: f64| self::delta(sigma, epsilon) - delta;
    if beyond(0.0) <= 0.0 {
        return 0.0;
    }
    if beyond(1e6) > 0.0 {
        return f64::INFINITY;
    }
    falling_root(0.0, 1e6, beyond)
}

/// The least noise, in units of the sensitivity, with which one release is `(epsilon, delta)`.
pub fn sigma(epsilon: f64, delta: f64) -> f64 {
    falling_root(1e-4, 1e6, |sigma| self::delta(sigma, epsilon) - delta)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_calibration_is_that_of_its_authors() {
        // Their algorithm 1, in its authors' program; the classical formula gives 4.84.
        let tight = sigma(1.0, 1e-5);
        assert!((tight - 3.730_631_6).abs() < 1e-4, "{tight}");
        for (wanted, small) in [(0.1, 1e-6), (1.0, 1e-5), (8.0, 1e-7)] {
            let sigma = sigma(wanted, small);
            assert!((epsilon(sigma, small) - wanted).abs() < 1e-6 * wanted);
        }
        assert_eq!(epsilon(1e9, 1e-5), 0.0);
        assert_eq!(epsilon(1e-9, 1e-5), f64::INFINITY);
    }
}

//! Accounting by Renyi divergences: a curve of fixed orders, which adds up.
//!
//! Sources: Mironov, Talwar and Zhang 2019 (arXiv:1908.10530), section 3.3, for the sampled Gaussian; Canonne, Kamath and
//! Steinke 2020 (arXiv:2004.00010), proposition 12, for the way from a curve to epsilon; Bun and Steinke 2016
//! (arXiv:1605.02635), proposition 1.4, for pure mechanisms.

use super::special::{log_add, log_binomial, log_erfc};
use super::{AccountError, Mechanism};
use std::f64::consts::{LN_2, SQRT_2};

/// Number of orders.
pub const ORDERS: usize = 99 + 53 + 4;
/// Terms of the series of a fractional order before it is given up, and the order left out.
const MAX_TERMS: usize = 1000;
/// Below this the step from a curve to epsilon has no digits left.
const LEAST_ORDER: f64 = 1.01;

/// The orders: 1.1 to 10.9 by tenths, 11 to 63, then 128 to 1024. Those of the reference accountant.
fn order(at: usize) -> f64 {
    match at {
        0..99 => 1.0 + (at + 1) as f64 / 10.0,
        99..152 => (at - 99 + 11) as f64,
        at => f64::from(128u32 << (at - 152).min(3)),
    }
}

/// Divergences at each order. Composition is addition.
#[derive(Clone, Debug, PartialEq)]
pub struct Curve([f64; ORDERS]);

impl Default for Curve {
    /// Nothing was released.
    fn default() -> Self {
        Curve([0.0; ORDERS])
    }
}

impl Curve {
    /// Of one mechanism, as often as it says.
    pub fn of(mechanism: &Mechanism) -> Curve {
        let mut curve = [0.0; ORDERS];
        for (at, value) in curve.iter_mut().enumerate() {
            let alpha = order(at);
            *value = match *mechanism {
                Mechanism::Gaussian { rate, sigma, steps } => steps as f64 * sampled(rate, sigma, alpha),
                Mechanism::Pure { epsilon } => pure(epsilon, alpha),
            };
        }
        Curve(curve)
    }

    /// Of both, one after the other; the second may depend on the first.
    ///
    /// # Errors
    /// [`AccountError::Overflow`] if a number is none any more.
    pub fn plus(&self, other: &Curve) -> Result<Curve, AccountError> {
        let mut sum = self.clone();
        for (a, b) in sum.0.iter_mut().zip(other.0) {
            *a += b;
            if a.is_nan() || *a < 0.0 {
                return Err(AccountError::Overflow);
            }
        }
        Ok(sum)
    }

    /// The least epsilon at `delta` over all orders; infinity if there is none.
    pub fn epsilon(&self, delta: f64) -> f64 {
        let all = self.0.iter().enumerate().map(|(at, value)| at_order(order(at), *value, delta));
        all.fold(f64::INFINITY, f64::min).max(0.0)
    }

    /// The numbers, to be kept.
    pub fn values(&self) -> &[f64; ORDERS] {
        &self.0
    }

    /// What was kept.
    ///
    /// # Errors
    /// [`AccountError::Overflow`] if a number is negative or none.
    pub fn from_values(values: [f64; ORDERS]) -> Result<Curve, AccountError> {
        let bad = values.iter().any(|value| value.is_nan() || *value < 0.0);
        if bad { Err(AccountError::Overflow) } else { Ok(Curve(values)) }
    }
}

fn at_order(alpha: f64, divergence: f64, delta: f64) -> f64 {
    if delta * delta + (-divergence).exp_m1() > 0.0 {
        return 0.0; // by the Kullback-Leibler divergence (Bretagnolle and Huber)
    }
    if alpha <= LEAST_ORDER {
        return f64::INFINITY;
    }
    divergence + (-1.0 / alpha).ln_1p() - (delta * alpha).ln() / (alpha - 1.0)
}

/// A mechanism that is `(epsilon, 0)`: at most `alpha epsilon^2 / 2`, and never more than epsilon.
fn pure(epsilon: f64, alpha: f64) -> f64 {
    (0.5 * alpha * epsilon * epsilon).min(epsilon)
}

/// The divergence of one step.
fn sampled(q: f64, sigma: f64, alpha: f64) -> f64 {
    if q >= 1.0 {
        return alpha / (2.0 * sigma * sigma);
    }
    let log_a = if alpha.fract() == 0.0 { integer(q, sigma, alpha) } else { fractional(q, sigma, alpha) };
    // Rounding may leave a little less than nothing.
    (log_a / (alpha - 1.0)).max(0.0)
}

/// `ln A_alpha` of a whole order: a sum of alpha + 1 terms.
fn integer(q: f64, sigma: f64, alpha: f64) -> f64 {
    let mut log_a = f64::NEG_INFINITY;
    for i in 0..=(alpha as u32) {
        let i = f64::from(i);
        let coefficient = log_binomial(alpha, i) + i * q.ln() + (alpha - i) * (-q).ln_1p();
        log_a = log_add(log_a, coefficient + (i * i - i) / (2.0 * sigma * sigma));
    }
    log_a
}

/// `ln A_alpha` of any order, from above: two series, whose terms are taken by their size.
fn fractional(q: f64, sigma: f64, alpha: f64) -> f64 {
    let (mut a0, mut a1) = (f64::NEG_INFINITY, f64::NEG_INFINITY);
    let (mut last0, mut last1) = (f64::NEG_INFINITY, f64::NEG_INFINITY);
    let z0 = sigma * sigma * (1.0 / q - 1.0).ln() + 0.5;
    let (log_q, log_rest) = (q.ln(), (-q).ln_1p());
    for term in 0..MAX_TERMS {
        let i = term as f64;
        let (j, coefficient) = (alpha - i, log_binomial(alpha, i));
        let square = |n: f64| (n * n - n) / (2.0 * sigma * sigma);
        let e0 = log_erfc((i - z0) / (SQRT_2 * sigma)) - LN_2;
        let e1 = log_erfc((z0 - j) / (SQRT_2 * sigma)) - LN_2;
        let s0 = coefficient + i * log_q + j * log_rest + square(i) + e0;
        let s1 = coefficient + j * log_q + i * log_rest + square(j) + e1;
        (a0, a1) = (log_add(a0, s0), log_add(a1, s1));
        let total = log_add(a0, a1);
        if s0 < last0 && s1 < last1 && s0.max(s1) < total - 30.0 {
            return total;
        }
        (last0, last1) = (s0, s1);
    }
    f64::INFINITY
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_those_of_the_reference() {
        let ends = [order(0), order(98), order(99), order(151), order(152), order(ORDERS - 1)];
        assert_eq!(ends, [1.1, 10.9, 11.0, 63.0, 128.0, 1024.0]);
        assert!((1..ORDERS).all(|at| order(at) > order(at - 1)));
    }

    #[test]
    fn whole_orders_are_the_same_by_both_series() {
        for (q, sigma, alpha) in [(0.01, 1.0, 4.0), (0.1, 2.0, 9.0), (0.001, 0.7, 3.0)] {
            let (whole, any) = (integer(q, sigma, alpha), fractional(q, sigma, alpha + 1e-9));
            assert!((whole - any).abs() < 1e-6 * whole.abs().max(1e-3), "{q} {sigma} {alpha}: {whole} {any}");
        }
    }
}

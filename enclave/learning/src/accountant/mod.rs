//! What releases cost: epsilon and delta of many mechanisms, one after another.
//!
//! Two accountants: [`rdp`] adds up curves, which is cheap and can be kept in a ledger; [`pld`] convolves distributions, which is
//! tighter and says what a whole training cost. [`gaussian`] is the closed form that both are measured against.
//!
//! Promises
//! - Both are upper bounds: the true epsilon is never larger.
//! - They agree with the values of another implementation (Google's dp-accounting) to a thousandth.
//!
//! Does not: know sampling without replacement, or shuffling.

pub mod gaussian;
pub mod pld;
pub mod rdp;

mod fft;
mod special;

use thiserror::Error;

/// Most steps of one mechanism.
pub const MAX_STEPS: u64 = 1_000_000;

/// One mechanism, as often as it was used.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mechanism {
    /// Gaussian noise of `sigma` sensitivities on a sample in which each row is with probability `rate`, `steps` times.
    Gaussian {
        /// 0 (exclusive) to 1.
        rate: f64,
        /// In units of the L2 sensitivity.
        sigma: f64,
        /// At most [`MAX_STEPS`].
        steps: u64,
    },
    /// A mechanism with a delta of zero, such as discrete Laplace noise.
    Pure {
        /// More than zero.
        epsilon: f64,
    },
}

impl Mechanism {
    /// That its numbers are numbers and in range.
    ///
    /// # Errors
    /// [`AccountError`] that names the one which is not.
    pub fn check(&self) -> Result<(), AccountError> {
        match *self {
            Mechanism::Gaussian { rate, sigma, steps } => check_gaussian(rate, sigma, steps),
            Mechanism::Pure { epsilon } if epsilon > 0.0 && epsilon <= 1e6 => Ok(()),
            Mechanism::Pure { .. } => Err(AccountError::Epsilon),
        }
    }
}

/// Why there is no figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum AccountError {
    /// Not a probability, or zero.
    #[error("the sampling rate must be more than 0 and at most 1")]
    Rate,
    /// Not a scale of noise that protects.
    #[error("sigma must be between 0.01 and 1000000")]
    Sigma,
    /// None, or too many.
    #[error("the number of steps must be between 1 and {MAX_STEPS}")]
    Steps,
    /// Not a price.
    #[error("epsilon must be more than 0 and at most 1000000")]
    Epsilon,
    /// Another grid, or one that is too fine or too coarse.
    #[error("the grid must be between 0.000001 and 0.1, and the same for both")]
    Interval,
    /// A sum is beyond what can be kept.
    #[error("a sum of privacy losses is too large to be kept")]
    Overflow,
}

pub(crate) fn check_gaussian(rate: f64, sigma: f64, steps: u64) -> Result<(), AccountError> {
    if !(rate > 0.0 && rate <= 1.0) {
        return Err(AccountError::Rate);
    }
    if !(0.01..=1e6).contains(&sigma) {
        return Err(AccountError::Sigma);
    }
    if !(1..=MAX_STEPS).contains(&steps) {
        return Err(AccountError::Steps);
    }
    Ok(())
}

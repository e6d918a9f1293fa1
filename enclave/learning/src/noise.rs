//! Exact integer noise: discrete Laplace and discrete Gaussian, from coin tosses of whole numbers only.
//!
//! No floating-point number touches the noise, so that its low bits tell nothing (Mironov 2012).
//!
//! Promises
//! - The distributions are exact, given uniform bits; a generator that fails ends the sampling.
//! - Nothing overflows: scales are bounded, and a number beyond the bounds is an error.
//!
//! Does not: run in constant time. How long a sample took tells something of its size; who measures time inside the enclave
//! is inside already.
//!
//! Source: Canonne, Kamath and Steinke 2020 (arXiv:2004.00010), algorithms 1 to 3.

use thiserror::Error;

/// Largest variance: of noise of 2^28 on an integer grid.
pub const MAX_VARIANCE: u64 = 1 << 56;

/// Where uniform bytes come from: the enclave's own generator, or in tests one that is seeded.
pub trait Random {
    /// Fills the buffer.
    ///
    /// # Errors
    /// [`NoiseError::Generator`] if there are none to be had.
    fn fill(&mut self, buffer: &mut [u8]) -> Result<(), NoiseError>;
}

/// Why there is no noise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NoiseError {
    /// The generator gave nothing.
    #[error("the random number generator gave no bytes")]
    Generator,
    /// A scale that is none or too large.
    #[error("the variance of noise must be between 1 and 2^56")]
    Scale,
    /// Farther out than can be counted: less likely than 2^-100.
    #[error("a sample lies beyond what can be counted")]
    Overflow,
}

/// The system's generator, seeded by the security module in the enclave.
#[derive(Debug)]
pub struct SystemRandom(ring::rand::SystemRandom);

impl Default for SystemRandom {
    fn default() -> Self {
        SystemRandom(ring::rand::SystemRandom::new())
    }
}

impl Random for SystemRandom {
    fn fill(&mut self, buffer: &mut [u8]) -> Result<(), NoiseError> {
        ring::rand::SecureRandom::fill(&self.0, buffer).map_err(|_| NoiseError::Generator)
    }
}

/// Draws noise. Buffers bytes, because one sample takes a few coins.
pub struct Sampler<'a> {
    random: &'a mut dyn Random,
    buffer: zeroize::Zeroizing<[u8; 1024]>,
    used: usize,
}

impl std::fmt::Debug for Sampler<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sampler(..)")
    }
}

impl<'a> Sampler<'a> {
    /// Draws from this generator.
    pub fn new(random: &'a mut dyn Random) -> Sampler<'a> {
        Sampler { random, buffer: zeroize::Zeroizing::new([0; 1024]), used: 1024 }
    }

    fn word(&mut self) -> Result<u64, NoiseError> {
        if self.used + 8 > self.buffer.len() {
            self.random.fill(self.buffer.as_mut_slice())?;
            self.used = 0;
        }
        let mut word = [0; 8];
        word.copy_from_slice(&self.buffer[self.used..self.used + 8]);
        self.used += 8;
        Ok(u64::from_le_bytes(word))
    }

    /// A whole number below `bound`, each as likely as the others.
    ///
    /// # Errors
    /// [`NoiseError::Generator`]
    pub fn below(&mut self, bound: u128) -> Result<u128, NoiseError> {
        let bits = 128 - bound.saturating_sub(1).leading_zeros();
        loop {
            let high = if bits > 64 { u128::from(self.word()?) << 64 } else { 0 };
            let all = if bits > 0 { high | u128::from(self.word()?) } else { 0 };
            let cut = if bits == 128 { all } else { all & ((1 << bits) - 1) };
            if cut < bound.max(1) {
                return Ok(cut);
            }
        }
    }

    /// True with probability `part / whole`.
    fn chance(&mut self, part: u128, whole: u128) -> Result<bool, NoiseError> {
        Ok(self.below(whole)? < part)
    }

    /// True with probability `exp(-part / whole)`. Algorithm 1.
    fn chance_exp(&mut self, mut part: u128, whole: u128) -> Result<bool, NoiseError> {
        while part > whole {
            if !self.chance_exp_below_one(1, 1)? {
                return Ok(false);
            }
            part -= whole;
        }
        self.chance_exp_below_one(part, whole)
    }

    fn chance_exp_below_one(&mut self, part: u128, whole: u128) -> Result<bool, NoiseError> {
        let mut k = 1u128;
        loop {
            let limit = whole.checked_mul(k).ok_or(NoiseError::Overflow)?;
            if !self.chance(part, limit)? {
                return Ok(k % 2 == 1);
            }
            k += 1;
        }
    }

    /// Discrete Laplace noise: `n` with a probability that falls as `exp(-|n| / scale)`. Algorithm 2.
    ///
    /// # Errors
    /// [`NoiseError`]
    pub fn laplace(&mut self, scale: u64) -> Result<i64, NoiseError> {
        if scale == 0 || scale > MAX_VARIANCE {
            return Err(NoiseError::Scale);
        }
        let whole = u128::from(scale);
        loop {
            let low = self.below(whole)?;
            if !self.chance_exp(low, whole)? {
                continue;
            }
            let mut high = 0u128;
            while self.chance_exp_below_one(1, 1)? {
                high += 1;
            }
            let size = i64::try_from(low + whole * high).map_err(|_| NoiseError::Overflow)?;
            let negative = self.chance(1, 2)?;
            // Zero must not be twice as likely.
            if !(negative && size == 0) {
                return Ok(if negative { -size } else { size });
            }
        }
    }

    /// Discrete Gaussian noise: `n` with a probability that falls as `exp(-n^2 / (2 variance))`. Algorithm 3.
    ///
    /// # Errors
    /// [`NoiseError`]
    pub fn gaussian(&mut self, variance: u64) -> Result<i64, NoiseError> {
        if variance == 0 || variance > MAX_VARIANCE {
            return Err(NoiseError::Scale);
        }
        let scale = variance.isqrt() + 1;
        loop {
            let sample = self.laplace(scale)?;
            // (|n| - variance / scale)^2 / (2 variance), over one denominator.
            let product = u128::from(sample.unsigned_abs()) * u128::from(scale);
            let distance = product.abs_diff(u128::from(variance));
            let square = distance.checked_mul(distance).ok_or(NoiseError::Overflow)?;
            let whole = 2 * u128::from(variance) * u128::from(scale) * u128::from(scale);
            if self.chance_exp(square, whole)? {
                return Ok(sample);
            }
        }
    }
}

/// The variance of Gaussian noise of `sigma` sensitivities on whole numbers: never less than asked for.
///
/// # Errors
/// [`NoiseError::Scale`] if it is none, or beyond the largest.
pub fn variance(sigma: f64, sensitivity: u64) -> Result<u64, NoiseError> {
    let wanted = (sigma * sensitivity as f64).powi(2).ceil();
    if wanted >= 1.0 && wanted <= MAX_VARIANCE as f64 { Ok(wanted as u64) } else { Err(NoiseError::Scale) }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use rand_chacha::ChaCha20Rng;
    use rand_chacha::rand_core::{Rng, SeedableRng};

    /// Noise that a seed reproduces.
    pub(crate) struct Seeded(ChaCha20Rng);

    impl Seeded {
        pub(crate) fn new(seed: u64) -> Seeded {
            Seeded(ChaCha20Rng::seed_from_u64(seed))
        }
    }

    impl Random for Seeded {
        fn fill(&mut self, buffer: &mut [u8]) -> Result<(), NoiseError> {
            self.0.fill_bytes(buffer);
            Ok(())
        }
    }

    /// Pearson's statistic of samples against weights of `-reach..=reach`, the rest in one cell.
    fn chi_square(samples: &[i64], reach: i64, weight: impl Fn(i64) -> f64) -> f64 {
        let total: f64 = (-100 * reach..=100 * reach).map(&weight).sum();
        let count = samples.len() as f64;
        let (mut statistic, mut inside, mut mass) = (0.0, 0.0, 0.0);
        for value in -reach..=reach {
            let (found, expected) = (
                samples.iter().filter(|sample| **sample == value).count() as f64,
                weight(value) / total * count,
            );
            statistic += (found - expected).powi(2) / expected;
            (inside, mass) = (inside + found, mass + expected);
        }
        statistic + ((count - inside) - (count - mass)).powi(2) / (count - mass)
    }

    const COUNT: usize = 200_000;
    /// One in a thousand of 14 degrees of freedom is above it.
    const CRITICAL: f64 = 36.12;

    #[test]
    fn laplace_is_laplace() {
        let mut random = Seeded::new(1);
        let mut sampler = Sampler::new(&mut random);
        let samples: Vec<i64> = (0..COUNT).map(|_| sampler.laplace(3).unwrap()).collect();
        let fits = |scale: f64| chi_square(&samples, 7, |n| (-(n.abs() as f64) / scale).exp());
        assert!(fits(3.0) < CRITICAL, "{}", fits(3.0));
        assert!(fits(3.1) > CRITICAL, "the test tells a scale of 3 from one of 3.1: {}", fits(3.1));
    }

    #[test]
    fn gaussian_is_gaussian_also_where_it_is_narrow() {
        let mut random = Seeded::new(2);
        let mut sampler = Sampler::new(&mut random);
        let samples: Vec<i64> = (0..COUNT).map(|_| sampler.gaussian(9).unwrap()).collect();
        let fits = |variance: f64| chi_square(&samples, 7, |n| (-(n * n) as f64 / (2.0 * variance)).exp());
        assert!(fits(9.0) < CRITICAL, "{}", fits(9.0));
        assert!(fits(9.3) > CRITICAL, "{}", fits(9.3));
        let narrow: Vec<i64> = (0..COUNT).map(|_| sampler.gaussian(1).unwrap()).collect();
        // Seven degrees of freedom.
        let found = chi_square(&narrow, 3, |n| (-(n * n) as f64 / 2.0).exp());
        assert!(found < 24.32, "{found}");
    }

    #[test]
    fn wide_noise_has_its_moments() {
        let variance = 1u64 << 50;
        let mut random = Seeded::new(3);
        let mut sampler = Sampler::new(&mut random);
        let samples: Vec<f64> = (0..50_000).map(|_| sampler.gaussian(variance).unwrap() as f64).collect();
        let mean = samples.iter().sum::<f64>() / samples.len() as f64 / (variance as f64).sqrt();
        let spread = samples.iter().map(|x| x * x).sum::<f64>() / samples.len() as f64 / variance as f64;
        let fourth = samples.iter().map(|x| x.powi(4)).sum::<f64>() / 5e4 / (variance as f64).powi(2);
        assert!(mean.abs() < 0.018 && (spread - 1.0).abs() < 0.025 && (fourth - 3.0).abs() < 0.2);
    }

    #[test]
    fn bounds_and_a_generator_that_fails_are_errors() {
        struct Broken;
        impl Random for Broken {
            fn fill(&mut self, _: &mut [u8]) -> Result<(), NoiseError> {
                Err(NoiseError::Generator)
            }
        }
        assert_eq!(Sampler::new(&mut Broken).gaussian(4), Err(NoiseError::Generator));
        let mut random = Seeded::new(4);
        let mut sampler = Sampler::new(&mut random);
        assert_eq!(sampler.gaussian(0), Err(NoiseError::Scale));
        assert_eq!(sampler.gaussian(MAX_VARIANCE + 1), Err(NoiseError::Scale));
        assert!(sampler.gaussian(MAX_VARIANCE).is_ok());
        assert_eq!(sampler.laplace(0), Err(NoiseError::Scale));
        assert_eq!((variance(1.5, 2), variance(f64::NAN, 1)), (Ok(9), Err(NoiseError::Scale)));
        assert_eq!(variance(1e9, 1), Err(NoiseError::Scale));
        let drawn: Vec<u128> = (0..100).map(|_| sampler.below(3).unwrap()).collect();
        assert!((0..3).all(|n| drawn.contains(&n)) && drawn.iter().all(|n| *n < 3));
    }
}

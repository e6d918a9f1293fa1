//! The linear model: weights of one byte each, and the thresholds that it was calibrated to.

use super::features::PLACES;
use thiserror::Error;

/// First bytes of a model file.
const MAGIC: &[u8; 8] = b"adytonG1";
/// Lengths of text, in characters, up to which one threshold counts. The longer a text, the more windows may be wrong.
pub const LENGTHS: [usize; 6] = [80, 200, 1000, 4000, 16_000, usize::MAX];
/// What is kept for texts of so many characters.
pub(crate) fn of_length<T>(kept: &[T; LENGTHS.len()], characters: usize) -> Option<&T> {
    kept.get(LENGTHS.iter().position(|longest| characters <= *longest)?)
}

/// Numbers at the beginning: version, scale, bias, thresholds.
const HEAD: usize = MAGIC.len() + 4 * (3 + 2 * LENGTHS.len());

/// What texts of one length must reach.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Threshold {
    /// One harmless text in a hundred reaches it, of sources that nothing was learned from.
    pub attack: f32,
    /// One harmless text in a hundred reaches it, of sources that were learned from. Not above `attack`.
    pub suspicion: f32,
}

/// A model that was read.
#[derive(Clone, Debug)]
pub struct Model {
    /// Counts up with each training that is shipped.
    pub version: u32,
    scale: f32,
    bias: f32,
    thresholds: [Threshold; LENGTHS.len()],
    weights: Vec<i8>,
}

/// Why a model was not read.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum ModelError {
    /// Not a file of this kind, or not whole.
    #[error("not a model of this kind, or not whole")]
    Malformed,
    /// A number that is none.
    #[error("a scale, bias or threshold is not a number")]
    NotANumber,
}

impl Model {
    /// Reads a model.
    ///
    /// # Errors
    /// [`ModelError`] if it is another file, has another length, or holds numbers that are none.
    pub fn read(bytes: &[u8]) -> Result<Model, ModelError> {
        let body = bytes.strip_prefix(MAGIC).filter(|_| bytes.len() == HEAD + PLACES);
        let (head, weights) =
            body.and_then(|body| body.split_at_checked(HEAD - MAGIC.len())).ok_or(ModelError::Malformed)?;
        let number = |at: usize| {
            let four = head.get(at * 4..at * 4 + 4).and_then(|four| <[u8; 4]>::try_from(four).ok());
            four.ok_or(ModelError::Malformed)
        };
        let real = |at: usize| {
            let real = f32::from_le_bytes(number(at)?);
            if real.is_finite() { Ok(real) } else { Err(ModelError::NotANumber) }
        };
        let mut thresholds = [Threshold::default(); LENGTHS.len()];
        for (at, threshold) in thresholds.iter_mut().enumerate() {
            *threshold = Threshold { attack: real(3 + 2 * at)?, suspicion: real(4 + 2 * at)? };
        }
        let (version, scale, bias) = (u32::from_le_bytes(number(0)?), real(1)?, real(2)?);
        let weights = weights.iter().map(|byte| i8::from_le_bytes([*byte])).collect();
        Ok(Model { version, scale, bias, thresholds, weights })
    }

    /// Makes a model of real weights: the largest becomes 127, those beyond `clip` count as it.
    pub fn quantised(version: u32, weights: &[f32], bias: f32, clip: f32) -> Model {
        let scale = clip / 127.0;
        let byte = |weight: &f32| (weight / scale).round().clamp(-127.0, 127.0) as i8;
        let mut weights: Vec<i8> = weights.iter().map(byte).collect();
        weights.resize(PLACES, 0);
        Model { version, scale, bias, thresholds: [Threshold::default(); LENGTHS.len()], weights }
    }

    /// Sets what texts of each length must reach.
    pub fn calibrate(&mut self, thresholds: [Threshold; LENGTHS.len()]) {
        self.thresholds = thresholds;
    }

    /// As [`Model::read`] reads it.
    pub fn write(&self) -> Vec<u8> {
        let thresholds = self.thresholds.iter().flat_map(|threshold| [threshold.attack, threshold.suspicion]);
        let numbers = [self.scale, self.bias].into_iter().chain(thresholds).flat_map(f32::to_le_bytes);
        let weights = self.weights.iter().flat_map(|weight| weight.to_le_bytes());
        MAGIC.iter().copied().chain(self.version.to_le_bytes()).chain(numbers).chain(weights).collect()
    }

    /// What texts of so many characters must reach.
    pub fn threshold(&self, characters: usize) -> Threshold {
        let everything = Threshold { attack: f32::NEG_INFINITY, suspicion: f32::NEG_INFINITY };
        of_length(&self.thresholds, characters).copied().unwrap_or(everything)
    }

    /// The log odds of features.
    pub fn score(&self, places: &[u32]) -> f32 {
        let sum: i64 = places
            .iter()
            .map(|place| i64::from(self.weights.get(*place as usize).copied().unwrap_or(0)))
            .sum();
        self.bias + sum as f32 * self.scale / (places.len().max(1) as f32).sqrt()
    }
}

//! A head: a small network over what an encoder says of a text, and the thresholds that it was calibrated to.
//!
//! ```text
//! score = out * max(0, weights * features + bias) + out_bias          (HIDDEN, FEATURES), one byte a weight
//! ```

use super::FEATURES;
use crate::injection::model::{LENGTHS, Threshold};
use std::sync::LazyLock;
use thiserror::Error;

/// First bytes of a file.
const MAGIC: &[u8; 8] = b"adytonH1";
/// Units in the middle: of several networks of a third of it each, whose mean errs less than each.
pub const HIDDEN: usize = 96;
/// Elements of a probe that are kept.
const PROBED: usize = 16;
/// How much they may differ: kernels round, another encoder is far off.
const SLACK: f32 = 0.02;
/// Numbers of a file that are no weights: version, thresholds, probe, and three of each unit, and the bias.
const NUMBERS: usize = 1 + 2 * LENGTHS.len() + PROBED + 3 * HIDDEN + 1;

/// The heads that are shipped.
#[expect(clippy::expect_used, reason = "weights that are compiled in; a test reads them")]
pub static SHIPPED: LazyLock<[Head; 2]> = LazyLock::new(|| {
    let files: [&[u8]; 2] =
        [include_bytes!("../../data/orders-head.bin"), include_bytes!("../../data/inappropriate-head.bin")];
    files.map(|file| Head::read(file).expect("weights that a test reads"))
});

/// A head that was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Head {
    /// Counts up with each training that is shipped.
    pub version: u32,
    /// By length of text.
    pub thresholds: [Threshold; LENGTHS.len()],
    probe: [f32; PROBED],
    scale: [f32; HIDDEN],
    bias: [f32; HIDDEN],
    out: [f32; HIDDEN],
    out_bias: f32,
    weights: Vec<i8>,
}

/// Why a head was not read.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum HeadError {
    /// Not a file of this kind, or not whole.
    #[error("not a head of this kind, or not whole")]
    Malformed,
    /// A number that is none.
    #[error("a number of the head is none")]
    NotANumber,
}

/// What training gives: real weights, (`HIDDEN`, `FEATURES`) and one number or two for each unit.
#[derive(Clone, Debug)]
pub struct Fitted {
    /// Row by row.
    pub weights: Vec<f32>,
    /// Of each unit.
    pub bias: [f32; HIDDEN],
    /// Of each unit.
    pub out: [f32; HIDDEN],
    /// Of the score.
    pub out_bias: f32,
}

impl Head {
    /// Reads a head.
    ///
    /// # Errors
    /// [`HeadError`]
    pub fn read(bytes: &[u8]) -> Result<Head, HeadError> {
        let body = bytes.strip_prefix(MAGIC).filter(|body| body.len() == 4 * NUMBERS + HIDDEN * FEATURES);
        let (numbers, weights) =
            body.and_then(|body| body.split_at_checked(4 * NUMBERS)).ok_or(HeadError::Malformed)?;
        let (version, numbers) = numbers.split_first_chunk::<4>().ok_or(HeadError::Malformed)?;
        let mut numbers = numbers.as_chunks::<4>().0.iter().map(|four| f32::from_le_bytes(*four));
        let mut next = || numbers.next().filter(|n| n.is_finite()).ok_or(HeadError::NotANumber);
        let mut thresholds = [Threshold::default(); LENGTHS.len()];
        for threshold in &mut thresholds {
            *threshold = Threshold { attack: next()?, suspicion: next()? };
        }
        let mut head = Head {
            version: u32::from_le_bytes(*version),
            thresholds,
            probe: [0.0; PROBED],
            scale: [0.0; HIDDEN],
            bias: [0.0; HIDDEN],
            out: [0.0; HIDDEN],
            out_bias: 0.0,
            weights: weights.iter().map(|byte| i8::from_le_bytes([*byte])).collect(),
        };
        let lists: [&mut [f32]; 4] = [&mut head.probe, &mut head.scale, &mut head.bias, &mut head.out];
        for number in lists.into_iter().flatten() {
            *number = next()?;
        }
        head.out_bias = next()?;
        Ok(head)
    }

    /// As [`Head::read`] reads it.
    pub fn write(&self) -> Vec<u8> {
        let thresholds = self.thresholds.iter().flat_map(|threshold| [threshold.attack, threshold.suspicion]);
        let lists: [&[f32]; 5] = [&self.probe, &self.scale, &self.bias, &self.out, &[self.out_bias]];
        let numbers = thresholds.chain(lists.into_iter().flatten().copied()).flat_map(f32::to_le_bytes);
        let weights = self.weights.iter().flat_map(|weight| weight.to_le_bytes());
        MAGIC.iter().copied().chain(self.version.to_le_bytes()).chain(numbers).chain(weights).collect()
    }

    /// Makes a head of real weights, not calibrated yet: of each unit the largest becomes 127. `probe` is what the
    /// encoder says of the probe, of which the first elements are kept.
    pub fn quantised(version: u32, fitted: &Fitted, probe: &[f32]) -> Head {
        let mut scale = [0.0; HIDDEN];
        let mut weights = Vec::with_capacity(HIDDEN * FEATURES);
        for (scale, row) in scale.iter_mut().zip(fitted.weights.chunks_exact(FEATURES)) {
            *scale = row.iter().fold(f32::MIN_POSITIVE, |most, weight| most.max(weight.abs())) / 127.0;
            weights.extend(row.iter().map(|weight| (weight / *scale).round().clamp(-127.0, 127.0) as i8));
        }
        let mut kept = [0.0; PROBED];
        kept.iter_mut().zip(probe).for_each(|(kept, number)| *kept = *number);
        Head {
            version,
            thresholds: [Threshold::default(); LENGTHS.len()],
            probe: kept,
            scale,
            bias: fitted.bias,
            out: fitted.out,
            out_bias: fitted.out_bias,
            weights,
        }
    }

    /// The first elements of what its encoder says of the probe.
    pub fn probe(&self) -> &[f32] {
        &self.probe
    }

    /// Whether this is what its encoder says of the probe.
    pub(crate) fn knows(&self, probe: &[f32]) -> bool {
        probe.len() == FEATURES
            && self.probe.iter().zip(probe).all(|(mine, theirs)| (mine - theirs).abs() < SLACK)
    }

    /// The log odds of what an encoder says of a text; as high as can be if that has not the width of a head's.
    pub fn score(&self, features: &[f32]) -> f32 {
        if features.len() != FEATURES {
            return f32::MAX;
        }
        let units = self.scale.iter().zip(&self.bias).zip(&self.out);
        let rows = self.weights.chunks_exact(FEATURES);
        let unit = |((scale, bias), out): ((&f32, &f32), &f32), row: &[i8]| {
            let sum: f32 = row.iter().zip(features).map(|(weight, x)| f32::from(*weight) * x).sum();
            out * (sum * scale + bias).max(0.0)
        };
        self.out_bias + units.zip(rows).map(|(numbers, row)| unit(numbers, row)).sum::<f32>()
    }

    /// What texts of so many characters must reach.
    pub fn threshold(&self, characters: usize) -> Threshold {
        crate::injection::model::of_length(&self.thresholds, characters)
            .copied()
            .unwrap_or(Threshold { attack: f32::MIN, suspicion: f32::MIN })
    }
}

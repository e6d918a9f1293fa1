//! What was learned from one period: scaling, both detectors, and their calibration.
//!
//! # Promises
//! - No event is in both the training and the calibration set.
//! - The combination is a score like any other, calibrated by itself: it needs no correction for two
//!   detectors, and holds however they depend on each other.

use crate::autoencoder::Autoencoder;
use crate::chance::Chance;
use crate::conformal::Calibration;
use crate::features::{COUNT, NAMES, Vector};
use crate::forest::Forest;
use crate::scaling::{Scaling, quantile};

/// The p-values of one event.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PValues {
    /// By the isolation forest.
    pub forest: f32,
    /// By the autoencoder.
    pub autoencoder: f32,
    /// By whichever of the two finds the event stranger; the one that counts.
    pub both: f32,
}

/// Puts the scores of one detector on the other's scale: 0 is the median, 1 the quantile 0.99, of the
/// training set.
#[derive(Clone, Copy, Debug)]
struct Balance {
    median: f32,
    upper: f32,
}

impl Balance {
    fn fit(mut scores: Vec<f32>) -> Balance {
        scores.sort_by(f32::total_cmp);
        Balance { median: quantile(&scores, 0.5), upper: quantile(&scores, 0.99) }
    }

    fn apply(self, score: f32) -> f32 {
        (score - self.median) / (self.upper - self.median).max(1e-6)
    }
}

/// The scores of one event: forest, autoencoder, both.
type Scores = [f32; 3];

/// Two detectors and what they said of normal events.
#[derive(Clone, Debug)]
pub struct Baseline {
    scaling: Scaling,
    forest: Forest,
    autoencoder: Autoencoder,
    balance: [Balance; 2],
    calibrations: [Calibration; 3],
    /// Events of the period, whatever was thought of them: what later periods are compared with.
    pub(crate) sample: Vec<Vector>,
}

impl Baseline {
    /// Learns from rows to train on, rows to calibrate on, and a sample of all.
    pub(crate) fn fit(
        training: &[Vector],
        calibration: &[Vector],
        sample: Vec<Vector>,
        kept_out: f32,
        chance: &mut Chance,
    ) -> candle_core::Result<Baseline> {
        let scaling = Scaling::fit(training);
        let scaled: Vec<Vector> = training.iter().map(|row| scaling.apply(row)).collect();
        let forest = Forest::fit(&scaled, chance);
        let autoencoder = Autoencoder::fit(&scaled, chance)?;
        let balance = [
            Balance::fit(scaled.iter().map(|row| forest.score(row)).collect()),
            Balance::fit(scaled.iter().map(|row| autoencoder.score(row)).collect()),
        ];
        let empty = || Calibration::new([], kept_out);
        let calibrations = [empty(), empty(), empty()];
        let mut baseline = Baseline { scaling, forest, autoencoder, balance, calibrations, sample };
        let scores: Vec<Scores> = calibration.iter().map(|row| baseline.scores(row)).collect();
        let of = |at: usize| Calibration::new(scores.iter().map(|scores| scores[at]), kept_out);
        baseline.calibrations = [of(0), of(1), of(2)];
        Ok(baseline)
    }

    /// The spread of each feature in the period.
    pub(crate) fn spread(&self) -> &Vector {
        self.scaling.spread()
    }

    fn scores(&self, row: &Vector) -> Scores {
        let scaled = self.scaling.apply(row);
        let (forest, autoencoder) = (self.forest.score(&scaled), self.autoencoder.score(&scaled));
        let [first, second] = self.balance;
        [forest, autoencoder, first.apply(forest).max(second.apply(autoencoder))]
    }

    /// How strange a vector is.
    pub fn p_values(&self, row: &Vector) -> PValues {
        let scores = self.scores(row);
        let [forest, autoencoder, both] = &self.calibrations;
        PValues {
            forest: forest.p_value(scores[0]),
            autoencoder: autoencoder.p_value(scores[1]),
            both: both.p_value(scores[2]),
        }
    }

    /// The three features that say most against it: far from the median and not explained by the others.
    pub(crate) fn reasons(&self, row: &Vector) -> [&'static str; 3] {
        let scaled = self.scaling.apply(row);
        let left = self.autoencoder.residual(&scaled);
        let mut ranked: Vec<(f32, &'static str)> =
            (0..COUNT).map(|at| (scaled[at].abs() * left[at].abs().max(0.5), NAMES[at])).collect();
        ranked.sort_by(|a, b| b.0.total_cmp(&a.0));
        std::array::from_fn(|at| ranked.get(at).map_or("", |(_, name)| name))
    }
}

//! Turns scores into p-values that hold whatever the detector is: split (inductive) conformal anomaly
//! detection.
//!
//! # Promises
//! - If a normal event is exchangeable with the calibration set, its p-value is at most `alpha` with
//!   probability at most `alpha`, for each `alpha` above [`Calibration::floor`].
//!
//! # Does not
//! - Promise that per principal, nor for a normal that has moved: the guarantee is over all normal events.
//!
//! # Source
//! - R. Laxhammar, G. Falkman: Inductive conformal anomaly detection, Ann. Math. Artif. Intell. 74 (2015).
//! - S. Bates et al.: Testing for outliers with conformal p-values, Annals of Statistics 51 (2023), section
//!   2.

/// The calibration scores of one detector; a high score is strange.
#[derive(Clone, Debug)]
pub struct Calibration {
    sorted: Vec<f32>,
    /// Share of normal events that the admission kept out of the calibration set, at most. Those lie above
    /// what is in it, so their share is added to each p-value; else the threshold would sink with each
    /// generation.
    kept_out: f32,
}

impl Calibration {
    /// Takes scores of events that the detector was not trained on. A score that is no number counts as the
    /// strangest.
    pub fn new(scores: impl IntoIterator<Item = f32>, kept_out: f32) -> Calibration {
        let clean = |score: f32| if score.is_nan() { f32::INFINITY } else { score };
        let mut sorted: Vec<f32> = scores.into_iter().map(clean).collect();
        sorted.sort_by(f32::total_cmp);
        Calibration { sorted, kept_out: kept_out.clamp(0.0, 1.0) }
    }

    /// The share of normal events at least as strange, with the event itself among them.
    pub fn p_value(&self, score: f32) -> f32 {
        let score = if score.is_nan() { f32::INFINITY } else { score };
        let below = self.sorted.partition_point(|known| *known < score);
        let as_strange = self.sorted.len() - below;
        let p = (as_strange as f32 + 1.0) / (self.sorted.len() as f32 + 1.0);
        self.kept_out + (1.0 - self.kept_out) * p
    }

    /// The least p-value that it can give.
    pub fn floor(&self) -> f32 {
        self.p_value(f32::INFINITY)
    }
}

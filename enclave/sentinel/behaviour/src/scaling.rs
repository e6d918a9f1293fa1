//! Puts features of different units on one scale, by quantiles of the baseline, so that outliers do not set
//! it.

use crate::features::{COUNT, Vector};

/// Most that one feature may say, in robust standard deviations. Past this it is far, and how far says no
/// more.
pub(crate) const CLIP: f32 = 10.0;
/// Least spread of a feature. Below it (a count that is nearly always 0) noise would be blown up to alarms.
const MIN_SPREAD: f32 = 0.15;
/// Standard deviations between the quantiles 0.05 and 0.95 of a normal distribution.
const SPAN: f32 = 3.29;

/// Centre and spread of each feature.
#[derive(Clone, Debug)]
pub(crate) struct Scaling {
    centre: Vector,
    spread: Vector,
}

impl Scaling {
    /// Learns medians and the spread from the quantiles 0.05 to 0.95. Values that are not known are left out.
    pub(crate) fn fit(rows: &[Vector]) -> Scaling {
        let mut scaling = Scaling { centre: [0.0; COUNT], spread: [MIN_SPREAD; COUNT] };
        let columns = scaling.centre.iter_mut().zip(&mut scaling.spread);
        for (feature, (centre, spread)) in columns.enumerate() {
            let column = sorted_column(rows, feature);
            *centre = quantile(&column, 0.5);
            *spread = ((quantile(&column, 0.95) - quantile(&column, 0.05)) / SPAN).max(MIN_SPREAD);
        }
        scaling
    }

    /// The spread of each feature.
    pub(crate) fn spread(&self) -> &Vector {
        &self.spread
    }

    /// What is not known becomes the median.
    pub(crate) fn apply(&self, row: &Vector) -> Vector {
        let mut out = [0.0; COUNT];
        let parts = self.centre.iter().zip(&self.spread).zip(row);
        for (out, ((centre, spread), value)) in out.iter_mut().zip(parts) {
            let scaled = (value - centre) / spread;
            *out = if scaled.is_finite() { scaled.clamp(-CLIP, CLIP) } else { 0.0 };
        }
        out
    }
}

/// One feature of all rows, in order, without what is not known.
pub(crate) fn sorted_column(rows: &[Vector], feature: usize) -> Vec<f32> {
    let values = rows.iter().filter_map(|row| row.get(feature).copied());
    let mut column: Vec<f32> = values.filter(|value| value.is_finite()).collect();
    column.sort_by(f32::total_cmp);
    column
}

/// The value at a share of a sorted column; 0 of an empty one.
pub(crate) fn quantile(sorted: &[f32], share: f32) -> f32 {
    let at = (share * sorted.len().saturating_sub(1) as f32).round();
    sorted.get(at as usize).copied().unwrap_or(0.0)
}

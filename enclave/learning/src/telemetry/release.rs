//! The one maker of [`Release`]: noise on a metric's cells, and what follows from them.

use super::collect::{Collector, Window};
use super::metric::{Metric, Shape};
use crate::accountant::Mechanism;
use crate::ledger::{Spend, Use};
use crate::noise::{NoiseError, Random, Sampler, variance};
use thiserror::Error;

/// Of the normal distribution, 95 % lie within so many standard deviations.
const WITHIN: f64 = 1.959_963_984_540_054;
/// What is released of [`Shape::Quantiles`].
const RANKS: [(f64, &str); 3] = [(0.5, "p50"), (0.9, "p90"), (0.99, "p99")];

/// One figure, and between what the true one lies with 95 % by the noise that was added.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// A bin, a rank, or what the figure is.
    pub label: String,
    /// The figure, with its noise. Counts may be negative.
    pub value: f64,
    /// Lower end of its error bar.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// What may leave.
///
/// ```compile_fail,E0451
/// let forged = adyton_learning::telemetry::Release { number: 1, ..todo!() };
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Release {
    metric: String,
    number: u64,
    epsilon: f64,
    sigma: f64,
    days: (u64, u64),
    rows: Vec<Row>,
}

impl Release {
    /// The metric's name.
    pub fn metric(&self) -> &str {
        &self.metric
    }

    /// Number of the ledger's entry that paid for it.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// What it cost, taken alone.
    pub fn epsilon(&self) -> f64 {
        self.epsilon
    }

    /// Its noise, in what one principal's day may change.
    pub fn sigma(&self) -> f64 {
        self.sigma
    }

    /// From the day of the release before (or of the start) to the day of this one, in days since the epoch. Whether anything was
    /// observed on them it does not tell.
    pub fn days(&self) -> (u64, u64) {
        self.days
    }

    /// The figures.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }
}

/// Why there is none. What was spent stays spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ReleaseError {
    /// There is no such metric.
    #[error("there is no such metric")]
    Unknown,
    /// The proof is for something else.
    #[error("the price that was paid is for something else")]
    Mismatch,
    /// No noise.
    #[error(transparent)]
    Noise(#[from] NoiseError),
}

impl Collector {
    /// What a release of a metric with noise of `sigma` costs, and the digest of what it pays for.
    pub fn price(&self, metric: usize, sigma: f64) -> Option<(Mechanism, [u8; 32])> {
        let declared = self.metrics().get(metric)?;
        Some((Mechanism::Gaussian { rate: 1.0, sigma, steps: 1 }, declared.digest()))
    }

    /// Releases what was observed of a metric from its last release to today, in days since the epoch.
    ///
    /// # Errors
    /// [`ReleaseError`]
    pub fn release(
        &mut self,
        metric: usize,
        spend: Spend,
        today: u64,
        random: &mut dyn Random,
    ) -> Result<Release, ReleaseError> {
        let declared = self.metrics().get(metric).ok_or(ReleaseError::Unknown)?;
        if spend.purpose() != Use::Telemetry || *spend.subject() != declared.digest() {
            return Err(ReleaseError::Mismatch);
        }
        let (declared, window, to) = self.take(metric, today).ok_or(ReleaseError::Unknown)?;
        let noised = noise(declared, &window, spend.sigma(), random)?;
        Ok(Release {
            metric: declared.name.clone(),
            number: spend.number(),
            epsilon: spend.epsilon(),
            sigma: spend.sigma(),
            days: (window.from, to),
            rows: rows(declared, &noised),
        })
    }
}

/// A cell with its noise, and the noise's standard deviation.
#[derive(Clone, Copy, Debug)]
struct Noised {
    value: f64,
    deviation: f64,
}

fn noise(
    metric: &Metric,
    window: &Window,
    sigma: f64,
    random: &mut dyn Random,
) -> Result<Vec<Noised>, NoiseError> {
    let mut sampler = Sampler::new(random);
    let one = |(cell, scale): (&u64, u64)| {
        let variance = variance(sigma, scale)?;
        let cell = i64::try_from(*cell).map_err(|_| NoiseError::Overflow)?;
        let value = cell.checked_add(sampler.gaussian(variance)?).ok_or(NoiseError::Overflow)?;
        Ok(Noised { value: value as f64, deviation: (variance as f64).sqrt() })
    };
    window.cells.iter().zip(metric.scales()).map(one).collect()
}

/// Everything from here on only looks at what has noise in it already.
fn rows(metric: &Metric, cells: &[Noised]) -> Vec<Row> {
    let plain = |label: &str, cell: &Noised| {
        let error = WITHIN * cell.deviation;
        let (low, high) = (cell.value - error, cell.value + error);
        Row { label: label.to_owned(), value: cell.value, low, high }
    };
    match (&metric.shape, cells) {
        (Shape::Count, [count]) => vec![plain("count", count)],
        (Shape::Sum { .. }, [sum]) => vec![plain("sum", sum)],
        (Shape::Mean { most }, [sum, count]) => vec![mean(f64::from(*most), sum, count)],
        (Shape::Histogram { bins }, cells) => {
            bins.iter().zip(cells).map(|(bin, cell)| plain(bin, cell)).collect()
        }
        (Shape::Quantiles { edges }, cells) => RANKS.map(|rank| quantile(rank, edges, cells)).to_vec(),
        _ => Vec::new(),
    }
}

/// The ratio, and its bar by the first terms of its series. Where there may be nobody the bar is the whole range.
fn mean(most: f64, sum: &Noised, count: &Noised) -> Row {
    let label = "mean".to_owned();
    if count.value <= 2.0 * WITHIN * count.deviation {
        return Row { label, value: 0.5 * most, low: 0.0, high: most };
    }
    let value = (sum.value / count.value).clamp(0.0, most);
    let error = WITHIN * sum.deviation.hypot(value * count.deviation) / count.value;
    Row { label, value, low: (value - error).max(0.0), high: (value + error).min(most) }
}

/// The first edge below which so many lie, and the first at which that may be, and must be, true.
fn quantile((rank, label): (f64, &str), edges: &[u32], cells: &[Noised]) -> Row {
    let total: f64 = cells.iter().map(|cell| cell.value).sum();
    let mut below = 0.0;
    let (mut value, mut low, mut high) = (None, None, None);
    for (at, (edge, cell)) in edges.iter().zip(cells).enumerate() {
        below += cell.value;
        let (inside, outside) = ((at + 1) as f64, (cells.len() - at - 1) as f64);
        // Of (1 - rank) times the cells up to here less rank times those beyond.
        let spread = ((1.0 - rank).powi(2) * inside + rank.powi(2) * outside).sqrt() * cell.deviation;
        let over = below - rank * total;
        let edge = f64::from(*edge);
        if over >= 0.0 {
            value.get_or_insert(edge);
        }
        if over + WITHIN * spread >= 0.0 {
            low.get_or_insert(edge);
        }
        if over - WITHIN * spread >= 0.0 {
            high.get_or_insert(edge);
        }
    }
    let last = edges.last().copied().map_or(0.0, f64::from);
    let value = value.unwrap_or(last);
    let label = label.to_owned();
    // The last edge is always reached: all of them lie below it.
    Row { label, value, low: low.unwrap_or(0.0).min(value), high: high.unwrap_or(last).max(value) }
}

//! What is counted, declared and measured: its shape, and how much one principal may add to it in a day.

use ring::digest;
use thiserror::Error;

/// Most metrics, and most cells of one.
pub const MAX_METRICS: usize = 64;
/// See [`MAX_METRICS`].
pub const MAX_CELLS: usize = 256;
/// Longest name of a metric or bin, in bytes.
pub const MAX_NAME: usize = 48;
/// Most that one principal may add to a metric in a day, in observations.
pub const MAX_PER_DAY: u32 = 10_000;
/// Largest value of one observation.
pub const MAX_VALUE: u32 = 10_000_000;

/// What is released of a metric.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shape {
    /// How many observations.
    Count,
    /// Their sum, each clamped to `0..=most`.
    Sum {
        /// Largest value that counts as it is.
        most: u32,
    },
    /// Their mean, each clamped to `0..=most`.
    Mean {
        /// Largest value that counts as it is.
        most: u32,
    },
    /// How many of each bin; the last bin takes what fits no other.
    Histogram {
        /// Names.
        bins: Vec<String>,
    },
    /// Median, ninth decile and 99th percentile, to the resolution of edges that rise.
    Quantiles {
        /// Upper ends of cells; what lies above the last counts as it.
        edges: Vec<u32>,
    },
}

/// One metric.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metric {
    /// Its name.
    pub name: String,
    /// What is released of it.
    pub shape: Shape,
    /// Observations of one principal and day that count.
    pub per_day: u32,
}

/// Why a declaration is refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum MetricError {
    /// Names.
    #[error(
        "metric {0:?}: names must have 1 to {MAX_NAME} letters, digits, dots, dashes or underscores, and be there once"
    )]
    Name(String),
    /// Contributions.
    #[error("metric {0:?}: per_day must be 1 to {MAX_PER_DAY}")]
    PerDay(String),
    /// A value, an edge, or a number of cells.
    #[error("metric {0:?}: values must be 1 to {MAX_VALUE} and rise, and cells 1 to {MAX_CELLS}")]
    Cells(String),
    /// Too many.
    #[error("there may be {MAX_METRICS} metrics")]
    Many,
}

fn good_name(name: &str) -> bool {
    let good = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    (1..=MAX_NAME).contains(&name.len()) && name.chars().all(good)
}

impl Metric {
    fn check(&self) -> Result<(), MetricError> {
        let name = || self.name.clone();
        if !good_name(&self.name) {
            return Err(MetricError::Name(name()));
        }
        if !(1..=MAX_PER_DAY).contains(&self.per_day) {
            return Err(MetricError::PerDay(name()));
        }
        let cells = |len: usize| (1..=MAX_CELLS).contains(&len);
        let value = |value: u32| (1..=MAX_VALUE).contains(&value);
        let good = match &self.shape {
            Shape::Count => true,
            Shape::Sum { most } | Shape::Mean { most } => value(*most),
            Shape::Histogram { bins } => {
                let mut sorted = bins.clone();
                sorted.sort();
                sorted.dedup();
                if sorted.len() != bins.len() || !bins.iter().all(|bin| good_name(bin)) {
                    return Err(MetricError::Name(name()));
                }
                cells(bins.len())
            }
            Shape::Quantiles { edges } => {
                let rises = edges.windows(2).all(|pair| pair[0] < pair[1]);
                cells(edges.len()) && rises && edges.iter().all(|edge| value(*edge))
            }
        };
        if good { Ok(()) } else { Err(MetricError::Cells(name())) }
    }

    /// That all of them are within bounds, and each is there once.
    ///
    /// # Errors
    /// [`MetricError`] that names the one which is not.
    pub fn check_all(metrics: &[Metric]) -> Result<(), MetricError> {
        if metrics.len() > MAX_METRICS {
            return Err(MetricError::Many);
        }
        for (at, metric) in metrics.iter().enumerate() {
            metric.check()?;
            if metrics.iter().take(at).any(|earlier| earlier.name == metric.name) {
                return Err(MetricError::Name(metric.name.clone()));
            }
        }
        Ok(())
    }

    /// The bin of that name; the last if there is none.
    pub fn bin(&self, name: &str) -> u32 {
        let Shape::Histogram { bins } = &self.shape else { return 0 };
        let last = bins.len().saturating_sub(1);
        u32::try_from(bins.iter().position(|bin| bin == name).unwrap_or(last)).unwrap_or(0)
    }

    /// Numbers that are kept of it.
    pub(super) fn cells(&self) -> usize {
        match &self.shape {
            Shape::Count | Shape::Sum { .. } => 1,
            Shape::Mean { .. } => 2,
            Shape::Histogram { bins } => bins.len(),
            Shape::Quantiles { edges } => edges.len(),
        }
    }

    /// Adds one observation.
    pub(super) fn add(&self, cells: &mut [u64], value: u32) {
        let (at, amount) = match &self.shape {
            Shape::Count => (0, 1),
            Shape::Sum { most } | Shape::Mean { most } => (0, u64::from(value.min(*most))),
            Shape::Histogram { bins } => ((value as usize).min(bins.len() - 1), 1),
            Shape::Quantiles { edges } => {
                (edges.iter().position(|edge| value <= *edge).unwrap_or(edges.len() - 1), 1)
            }
        };
        if let Some(cell) = cells.get_mut(at) {
            *cell = cell.saturating_add(amount);
        }
        if let (Shape::Mean { .. }, Some(count)) = (&self.shape, cells.get_mut(1)) {
            *count = count.saturating_add(1);
        }
    }

    /// By how much the cells may change with one principal's day, scaled so that together they are one sensitivity of the
    /// Gaussian mechanism: each cell's noise is `sigma` times its number, and the L2 norm of what changes, in these units, is
    /// at most one. Rounded up.
    pub(super) fn scales(&self) -> Vec<u64> {
        let per_day = u64::from(self.per_day);
        match &self.shape {
            Shape::Count => vec![per_day],
            Shape::Sum { most } => vec![per_day * u64::from(*most)],
            // Two cells change at once: 1/2 + 1/2 under the root. 99/70 is above the root of 2.
            Shape::Mean { most } => {
                let root = |value: u64| (value * 99).div_ceil(70);
                vec![root(per_day * u64::from(*most)), root(per_day)]
            }
            // All of a day may be in one cell.
            Shape::Histogram { .. } | Shape::Quantiles { .. } => vec![per_day; self.cells()],
        }
    }

    /// What a price is paid for: the declaration, byte for byte.
    pub fn digest(&self) -> [u8; 32] {
        let mut context = digest::Context::new(&digest::SHA256);
        let mut add = |bytes: &[u8]| {
            context.update(&(bytes.len() as u64).to_be_bytes());
            context.update(bytes);
        };
        add(b"adyton/telemetry/v1");
        add(self.name.as_bytes());
        add(&self.per_day.to_be_bytes());
        match &self.shape {
            Shape::Count => add(b"count"),
            Shape::Sum { most } => [b"sum".as_slice(), &most.to_be_bytes()].iter().for_each(|part| add(part)),
            Shape::Mean { most } => {
                [b"mean".as_slice(), &most.to_be_bytes()].iter().for_each(|part| add(part))
            }
            Shape::Histogram { bins } => {
                add(b"histogram");
                bins.iter().for_each(|bin| add(bin.as_bytes()));
            }
            Shape::Quantiles { edges } => {
                add(b"quantiles");
                edges.iter().for_each(|edge| add(&edge.to_be_bytes()));
            }
        }
        let mut out = [0; 32];
        out.copy_from_slice(context.finish().as_ref());
        out
    }
}

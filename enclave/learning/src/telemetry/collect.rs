//! Collects observations, no more than a metric allows of one principal in a day.

use super::metric::{Metric, MetricError};
use std::collections::HashMap;
use zeroize::Zeroize;

/// Principals of one day that are told apart. What others add in that day is not counted: on a day with more, whether one comes
/// decides whether another counts, and one principal changes a release twice.
pub const MAX_PRINCIPALS: usize = 50_000;

/// One metric's numbers since its last release.
#[derive(Debug)]
pub(super) struct Window {
    pub(super) cells: Vec<u64>,
    /// The day of the last release, or of the start: not of the first observation, which would tell that there was one.
    pub(super) from: u64,
}

/// What was observed and not released yet.
pub struct Collector {
    metrics: Vec<Metric>,
    windows: Vec<Window>,
    day: u64,
    /// What each principal of the day has added, by metric.
    added: HashMap<[u8; 32], Vec<u32>>,
}

impl std::fmt::Debug for Collector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Collector({} metrics)", self.metrics.len())
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.windows.iter_mut().for_each(|window| window.cells.zeroize());
    }
}

fn empty(metric: &Metric, from: u64) -> Window {
    Window { cells: vec![0; metric.cells()], from }
}

impl Collector {
    /// For these metrics, from this day on, in days since the epoch.
    ///
    /// # Errors
    /// [`MetricError`]
    pub fn new(metrics: Vec<Metric>, today: u64) -> Result<Collector, MetricError> {
        Metric::check_all(&metrics)?;
        let windows = metrics.iter().map(|metric| empty(metric, today)).collect();
        Ok(Collector { metrics, windows, day: today, added: HashMap::new() })
    }

    /// The declarations.
    pub fn metrics(&self) -> &[Metric] {
        &self.metrics
    }

    /// Where a metric stands, by its name.
    pub fn find(&self, name: &str) -> Option<usize> {
        self.metrics.iter().position(|metric| metric.name == name)
    }

    /// Counts one observation of a principal on a day, in days since the epoch. A day that is over counts as the present one.
    pub fn observe(&mut self, principal: &[u8; 32], metric: usize, value: u32, day: u64) {
        self.turn(day);
        let (Some(declared), Some(window)) = (self.metrics.get(metric), self.windows.get_mut(metric)) else {
            return;
        };
        if self.added.len() >= MAX_PRINCIPALS && !self.added.contains_key(principal) {
            return;
        }
        let added = self.added.entry(*principal).or_insert_with(|| vec![0; self.metrics.len()]);
        let Some(count) = added.get_mut(metric).filter(|count| **count < declared.per_day) else { return };
        *count += 1;
        declared.add(&mut window.cells, value);
    }

    fn turn(&mut self, day: u64) {
        if day > self.day {
            self.day = day;
            self.added.clear();
        }
    }

    /// Takes a metric's window and says which day it ends with; it begins anew. What principals have added today still counts against their bound.
    pub(super) fn take(&mut self, metric: usize, today: u64) -> Option<(&Metric, Window, u64)> {
        self.turn(today);
        let (declared, window) = (self.metrics.get(metric)?, self.windows.get_mut(metric)?);
        Some((declared, std::mem::replace(window, empty(declared, self.day)), self.day))
    }
}

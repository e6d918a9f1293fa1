//! Statistics about use that leave only with noise in them: declared, measured metrics, bounded per principal and day.
//!
//! ```text
//! observation -> at most so many a principal and day, clamped -> whole numbers in cells -> noise, for a Spend -> Release
//! ```
//!
//! What is protected is one day of one principal: all that he did on it changes a release by no more than the noise hides.
//!
//! Promises
//! - A [`Release`] has one maker, which takes a [`Spend`](crate::ledger::Spend) for exactly this metric, by value.
//! - Nothing else can be read of a [`Collector`]: neither cells, nor how many principals it has seen.
//! - A release tells nothing but figures with noise in them: not even whether there was an observation.
//! - What goes beyond a metric's bounds is clamped or left out; memory is bounded.
//! - What was released is forgotten, so that two releases of one metric have no observation in common.
//!
//! Does not: protect a principal over many days together with one epsilon alone; the ledger adds up what all releases cost.
//!
//! Trusts: that days are days. A host that turns the clock forward makes a principal's day several, for which the ledger pays
//! with the same budget.

pub mod collect;
pub mod metric;
pub mod release;

pub use collect::Collector;
pub use metric::{Metric, MetricError, Shape};
pub use release::{Release, ReleaseError, Row};

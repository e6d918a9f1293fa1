//! Whether normal has moved away from the reference.
//!
//! # Promises
//! - The comparison is with the reference and never with last week, so that small steps add up.
//!
//! # Does not
//! - Give a p-value: events of one principal depend on each other, and over thousands of them any difference
//!   would be significant. The distance itself is limited.
//!
//! # Source
//! - N. Smirnov: Table for estimating the goodness of fit of empirical distributions, Ann. Math. Stat. 19
//!   (1948).

use crate::features::{COUNT, NAMES, Vector};
use crate::scaling::sorted_column;

/// What moved.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Drift {
    /// The distribution of a feature.
    Feature(&'static str, f32),
    /// The share of events that the reference finds strange.
    Strange(f32),
}

/// Fewest known values of a feature that make a distribution.
const MIN_COLUMN: usize = 200;

/// Movements up to this share of a feature's spread count as none: where nearly all events have one value, a
/// trifle would move nearly all of them past it.
const SLACK: f32 = 0.5;

/// The feature that moved furthest, and how far.
pub(crate) fn furthest(reference: &[Vector], recent: &[Vector], spread: &Vector) -> (&'static str, f32) {
    let distances = (0..COUNT).map(|feature| {
        let (old, new) = (sorted_column(reference, feature), sorted_column(recent, feature));
        let known = old.len().min(new.len()) >= MIN_COLUMN;
        if known { distance(&old, &new, SLACK * spread[feature]) } else { 0.0 }
    });
    let named = NAMES.into_iter().zip(distances);
    named.max_by(|a, b| a.1.total_cmp(&b.1)).unwrap_or(("", 0.0))
}

/// The largest difference of two empirical distributions that is left when either is moved by up to `slack`.
fn distance(old: &[f32], new: &[f32], slack: f32) -> f32 {
    let share =
        |sorted: &[f32], value: f32| sorted.partition_point(|v| *v <= value) as f32 / sorted.len() as f32;
    let ahead = |a: &[f32], b: &[f32]| {
        let gaps = a.iter().chain(b).map(|value| share(a, *value) - share(b, *value + slack));
        gaps.fold(0.0, f32::max)
    };
    ahead(old, new).max(ahead(new, old))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_those_of_the_definition() {
        let table: [(&[f32], &[f32], f32, f32); 5] = [
            (&[1.0, 2.0, 3.0, 4.0], &[1.0, 2.0, 3.0, 4.0], 0.0, 0.0),
            (&[1.0, 2.0], &[3.0, 4.0], 0.0, 1.0),
            (&[1.0, 2.0, 3.0, 4.0], &[3.0, 4.0, 5.0, 6.0], 0.0, 0.5),
            (&[1.0, 1.0], &[1.1, 1.1], 0.2, 0.0),
            (&[1.1, 1.1], &[1.0, 3.0], 0.2, 0.5),
        ];
        for (old, new, slack, expected) in table {
            assert_eq!(distance(old, new, slack), expected, "{old:?} {new:?}");
            assert_eq!(distance(new, old, slack), expected);
        }
    }
}

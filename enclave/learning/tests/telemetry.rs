//! What a release tells, what it cannot, and that its error bars are true.

#![allow(missing_docs, clippy::unwrap_used, clippy::panic)] // a test that cannot go on ends

mod common;

use adyton_learning::ledger::{Anchor, Ledger, Limits, Spend, Use};
use adyton_learning::telemetry::{Collector, Metric, MetricError, Release, ReleaseError, Shape};
use common::Seeded;

fn metric(name: &str, shape: Shape, per_day: u32) -> Metric {
    Metric { name: name.to_owned(), shape, per_day }
}

fn bins(names: &[&str]) -> Shape {
    Shape::Histogram { bins: names.iter().map(|name| (*name).to_owned()).collect() }
}

fn declared() -> Vec<Metric> {
    vec![
        metric("requests", Shape::Count, 10),
        metric("tokens", Shape::Sum { most: 100 }, 10),
        metric("seconds", Shape::Mean { most: 60 }, 10),
        metric("purposes", bins(&["support", "coding", "other"]), 10),
        metric("latency", Shape::Quantiles { edges: (1..=20).map(|n| n * 10).collect() }, 10),
    ]
}

fn ledger() -> Ledger {
    let limits = Limits { epsilon: 900.0, delta: 1e-6, uses: [900.0, 900.0, 0.0] };
    Ledger::open(limits, &[], &Anchor::genesis(&limits)).unwrap()
}

fn paid(ledger: &mut Ledger, collector: &Collector, metric: usize, sigma: f64) -> Spend {
    let (mechanism, subject) = collector.price(metric, sigma).unwrap();
    ledger.reserve(Use::Telemetry, &mechanism, subject).unwrap().recorded()
}

/// Two thousand principals, five observations each.
fn filled() -> Collector {
    let mut collector = Collector::new(declared(), 100).unwrap();
    for who in 0..2000u32 {
        let mut principal = [0; 32];
        principal[..4].copy_from_slice(&who.to_be_bytes());
        for n in 0..5u32 {
            let values = [0, 40, 30, u32::from(who % 4 == 0), who % 100 * 2];
            values.iter().enumerate().for_each(|(at, value)| collector.observe(&principal, at, *value, 100));
            let _ = n;
        }
    }
    collector
}

fn release(collector: &mut Collector, ledger: &mut Ledger, metric: usize, sigma: f64, seed: u64) -> Release {
    let spend = paid(ledger, collector, metric, sigma);
    collector.release(metric, spend, 100, &mut Seeded::new(seed)).unwrap()
}

#[test]
fn figures_are_near_the_truth_and_error_bars_hold_it() {
    let truth: [&[f64]; 5] =
        [&[10_000.0], &[400_000.0], &[30.0], &[7500.0, 2500.0, 0.0], &[100.0, 180.0, 200.0]];
    let mut ledger = ledger();
    let (mut within, mut all) = (0, 0);
    for seed in 0..60 {
        let mut collector = filled();
        for (at, truth) in truth.iter().enumerate() {
            let release = release(&mut collector, &mut ledger, at, 4.0, seed);
            assert_eq!(release.days(), (100, 100));
            for (row, truth) in release.rows().iter().zip(*truth) {
                within += usize::from(row.low <= *truth && *truth <= row.high);
                all += 1;
                assert!((row.value - truth).abs() <= 0.1 * truth.max(2000.0), "{row:?} {truth}");
                assert!(row.low <= row.value && row.value <= row.high && row.low < row.high + 1e-9);
            }
        }
    }
    // 95 % are promised; quantiles of a coarse grid are within more often.
    assert!(within * 100 >= all * 93, "{within} of {all}");
}

#[test]
fn one_principal_adds_no_more_than_the_bound_in_a_day() {
    let mut collector = Collector::new(declared(), 100).unwrap();
    for _ in 0..1000 {
        collector.observe(&[1; 32], 0, 0, 100);
        collector.observe(&[1; 32], 1, u32::MAX, 100);
        collector.observe(&[1; 32], 0, 0, 99); // the day that is over is this one
        collector.observe(&[1; 32], 17, 0, 100); // and there is no such metric
    }
    let mut ledger = ledger();
    // Little noise, of 1 and 100: ten observations, of at most a hundred.
    let count = release(&mut collector, &mut ledger, 0, 0.1, 1).rows()[0].value;
    let sum = release(&mut collector, &mut ledger, 1, 0.1, 1).rows()[0].value;
    assert!((count - 10.0).abs() <= 4.0 && (sum - 1000.0).abs() < 400.0, "{count} {sum}");
    // A release does not give the bound back, and has nothing in common with the next one.
    collector.observe(&[1; 32], 0, 0, 100);
    let again = release(&mut collector, &mut ledger, 0, 0.1, 2);
    assert!(again.rows()[0].value.abs() <= 4.0 && again.days() == (100, 100), "{again:?}");
    collector.observe(&[1; 32], 0, 0, 101);
    let next = release(&mut collector, &mut ledger, 0, 0.1, 3);
    assert_eq!(next.days(), (100, 101), "from the release before, whenever there was something");
    // Whether anything was observed is not told.
    let mut nobody = Collector::new(declared(), 100).unwrap();
    assert_eq!(release(&mut nobody, &mut ledger, 0, 0.2, 1).days(), (100, 100));
}

#[test]
fn a_price_pays_for_one_metric_and_one_use_only() {
    let (mut collector, mut ledger) = (filled(), ledger());
    let spend = paid(&mut ledger, &collector, 0, 1.0);
    let wrong = collector.release(1, spend, 100, &mut Seeded::new(1));
    assert_eq!(wrong, Err(ReleaseError::Mismatch));
    let (mechanism, subject) = collector.price(0, 1.0).unwrap();
    let other_use = ledger.reserve(Use::Learning, &mechanism, subject).unwrap().recorded();
    assert_eq!(collector.release(0, other_use, 100, &mut Seeded::new(1)), Err(ReleaseError::Mismatch));
    // A declaration that differs in anything is another one.
    let mut wider = declared();
    wider[0].per_day = 11;
    let mut wider = Collector::new(wider, 100).unwrap();
    let spend = paid(&mut ledger, &collector, 0, 1.0);
    assert_eq!(wider.release(0, spend, 100, &mut Seeded::new(1)), Err(ReleaseError::Mismatch));
    assert!(collector.price(99, 1.0).is_none());
}

#[test]
fn declarations_out_of_bounds_are_refused() {
    type Case = (Metric, fn(String) -> MetricError);
    let cases: [Case; 9] = [
        (metric("", Shape::Count, 1), MetricError::Name),
        (metric("a b", Shape::Count, 1), MetricError::Name),
        (metric("a", Shape::Count, 0), MetricError::PerDay),
        (metric("a", Shape::Count, 10_001), MetricError::PerDay),
        (metric("a", Shape::Sum { most: 0 }, 1), MetricError::Cells),
        (metric("a", bins(&["x", "x"]), 1), MetricError::Name),
        (metric("a", bins(&[]), 1), MetricError::Cells),
        (metric("a", Shape::Quantiles { edges: vec![2, 1] }, 1), MetricError::Cells),
        (metric("a", Shape::Quantiles { edges: vec![] }, 1), MetricError::Cells),
    ];
    for (wrong, why) in cases {
        let expected = why(wrong.name.clone());
        assert_eq!(Collector::new(vec![wrong], 0).err(), Some(expected));
    }
    let twice = vec![metric("a", Shape::Count, 1), metric("a", Shape::Sum { most: 1 }, 1)];
    assert_eq!(Collector::new(twice, 0).err(), Some(MetricError::Name("a".to_owned())));
    let many = (0..65).map(|n| metric(&format!("m{n}"), Shape::Count, 1)).collect();
    assert_eq!(Collector::new(many, 0).err(), Some(MetricError::Many));
}

/// Differencing: two releases that differ in one principal. Whoever sees both guesses whether he was there.
#[test]
fn differencing_two_releases_finds_a_principal_only_where_there_is_no_noise() {
    let guess = |sigma: f64| {
        let (mut ledger, mut right) = (ledger(), 0);
        for trial in 0..200u64 {
            let there = trial % 2 == 0;
            let mut counts = [0.0; 2];
            for (with, count) in counts.iter_mut().enumerate() {
                let mut collector = Collector::new(declared(), 100).unwrap();
                let others = (0..50u8).map(|who| [who; 32]);
                let him = (with == 1 && there).then_some([255; 32]);
                for principal in others.chain(him) {
                    (0..10).for_each(|_| collector.observe(&principal, 0, 0, 100));
                }
                let fresh = paid(&mut ledger, &collector, 0, sigma);
                let release =
                    collector.release(0, fresh, 100, &mut Seeded::new(trial * 2 + with as u64)).unwrap();
                *count = release.rows()[0].value;
            }
            right += usize::from((counts[1] - counts[0] > 5.0) == there);
            ledger = self::ledger();
        }
        right
    };
    let (off, on) = (guess(0.1), guess(10.0));
    assert!(off >= 198, "without noise he is found: {off} of 200");
    // At sigma 10 and two releases the best guess is right with 51.4 %, by the normal distribution.
    assert!((80..=122).contains(&on), "with noise he is not: {on} of 200");
}

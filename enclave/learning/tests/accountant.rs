//! Both accountants against the closed form, the laws of composition, and 300 values of another implementation.
//!
//! Trusts: `../shared/datasets/eval/dp_reference`, where it is at hand (`ADYTON_DATASETS` names the folder above it); says so
//! where it is not.

#![allow(missing_docs, clippy::unwrap_used, clippy::panic)] // a test that cannot go on ends

use adyton_learning::accountant::pld::{INTERVAL, PrivacyLoss};
use adyton_learning::accountant::rdp::Curve;
use adyton_learning::accountant::{AccountError, Mechanism, gaussian};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

fn gaussian_curve(rate: f64, sigma: f64, steps: u64) -> Curve {
    Curve::of(&Mechanism::Gaussian { rate, sigma, steps })
}

fn near(found: f64, expected: f64, share: f64) -> bool {
    (found - expected).abs() <= share * expected.abs()
}

/// Values that `dp-accounting` gave, so that a clone without the folder of data sets compares something too: rate, sigma,
/// steps, delta, epsilon by RDP, epsilon by PLD.
const KEPT: [(f64, f64, u64, f64, f64, f64); 6] = [
    (0.001, 0.5, 1, 1e-5, 2.835610361146461, 0.337600679357908),
    (0.001, 0.5, 1000, 1e-6, 5.329207970760919, 4.235252673429799),
    (0.001, 1.5, 1, 1e-6, 0.3132897037324634, 0.005817859039770295),
    (0.001, 2.0, 10, 1e-5, 0.12075679507728221, 0.005387796059399555),
    (0.001, 0.7, 1, 1e-5, 1.3324140072372082, 0.041060971500136725),
    (0.001, 4.0, 1, 1e-6, 0.0627395697939361, 0.0009928656438203236),
];

#[test]
fn kept_values_of_another_implementation() {
    for (rate, sigma, steps, delta, by_rdp, by_pld) in KEPT {
        let curve = gaussian_curve(rate, sigma, steps).epsilon(delta);
        assert!(near(curve, by_rdp, 1e-3), "{rate} {sigma} {steps}: {curve} {by_rdp}");
        let loss = PrivacyLoss::gaussian(rate, sigma, steps, INTERVAL).unwrap().epsilon(delta);
        assert!(near(loss, by_pld, 1e-3), "{rate} {sigma} {steps}: {loss} {by_pld}");
    }
}

fn reference() -> Option<Vec<serde_json::Value>> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/datasets");
    let folder = std::env::var_os("ADYTON_DATASETS").map_or_else(beside, PathBuf::from);
    let path = folder.join("eval/dp_reference/subsampled_gaussian.json");
    let Ok(text) = std::fs::read_to_string(path) else {
        eprintln!(
            "SKIPPED: eval/dp_reference/subsampled_gaussian.json is absent (ADYTON_DATASETS names the folder)"
        );
        return None;
    };
    Some(serde_json::from_str(&text).unwrap())
}

/// The grid that the reference was made with: half a thousandth for 10,000 steps, else a thousandth.
fn interval(steps: u64) -> f64 {
    if steps >= 10_000 { 5e-4 } else { INTERVAL }
}

#[test]
fn all_reference_values_to_a_thousandth() {
    let Some(rows) = reference() else { return };
    assert_eq!(rows.len(), 300);
    let (mut worst_rdp, mut worst_pld, mut compared) = (0.0f64, 0.0f64, 0);
    let mut kept: BTreeMap<String, PrivacyLoss> = BTreeMap::new();
    for row in &rows {
        let real = |name: &str| row[name].as_f64().unwrap();
        let (rate, sigma, steps) = (real("q"), real("sigma"), row["steps"].as_u64().unwrap());
        let error = |found: f64, expected: f64| (found / expected - 1.0).abs();
        let by_rdp = gaussian_curve(rate, sigma, steps).epsilon(real("delta"));
        worst_rdp = worst_rdp.max(error(by_rdp, real("eps_rdp")));
        let Some(expected) = row["eps_pld"].as_f64() else { continue };
        // Two deltas share one distribution.
        let name = format!("{rate} {sigma} {steps}");
        let make = || PrivacyLoss::gaussian(rate, sigma, steps, interval(steps)).unwrap();
        let found = kept.entry(name).or_insert_with(make).epsilon(real("delta"));
        worst_pld = worst_pld.max(error(found, expected));
        compared += 1;
    }
    println!("300 by RDP: worst relative error {worst_rdp:.1e}; {compared} by PLD: {worst_pld:.1e}");
    assert!(worst_rdp < 1e-3 && worst_pld < 1e-3 && compared == 248);
}

#[test]
fn without_sampling_both_meet_the_closed_form() {
    for (sigma, steps, delta) in [(1.0, 1, 1e-5), (2.0, 4, 1e-6), (20.0, 100, 1e-5)] {
        // So many Gaussians are one of less noise.
        let exact = gaussian::epsilon(sigma / (steps as f64).sqrt(), delta);
        let loss = PrivacyLoss::gaussian(1.0, sigma, steps, INTERVAL).unwrap().epsilon(delta);
        assert!(loss >= exact * (1.0 - 1e-9) && near(loss, exact, 2e-3), "{sigma} {steps}: {loss} {exact}");
        let curve = gaussian_curve(1.0, sigma, steps).epsilon(delta);
        assert!(curve >= exact && curve < 1.2 * exact, "{sigma} {steps}: {curve} {exact}");
    }
}

#[test]
fn composition_is_the_same_in_one_go_and_in_parts() {
    let part = |steps| PrivacyLoss::gaussian(0.05, 1.0, steps, INTERVAL).unwrap();
    let (whole, parts) = (part(50).epsilon(1e-5), part(20).plus(&part(30)).unwrap().epsilon(1e-5));
    assert!(near(parts, whole, 1e-6), "{parts} {whole}");
    let (first, second) = (gaussian_curve(0.05, 1.0, 20), gaussian_curve(0.05, 1.0, 30));
    let sum = first.plus(&second).unwrap();
    assert!(near(sum.epsilon(1e-5), gaussian_curve(0.05, 1.0, 50).epsilon(1e-5), 1e-9));
    assert_eq!(second.plus(&first).unwrap(), sum, "the order does not count");
    // Epsilon and delta are two views of one curve.
    assert!(near(whole, part(50).epsilon(part(50).delta(whole)), 1e-6));
}

#[test]
fn pure_mechanisms_cost_at_most_what_they_say() {
    let curve = Curve::of(&Mechanism::Pure { epsilon: 0.5 });
    assert!(curve.epsilon(1e-9) <= 0.5 + 20.0 / 1023.0 && curve.epsilon(1e-9) > 0.3);
    let many = (1..100).fold(Curve::of(&Mechanism::Pure { epsilon: 0.01 }), |sum, _| {
        sum.plus(&Curve::of(&Mechanism::Pure { epsilon: 0.01 })).unwrap()
    });
    assert!(many.epsilon(1e-5) < 0.6, "advanced composition: {}", many.epsilon(1e-5));
}

#[test]
fn numbers_out_of_range_are_refused_by_name() {
    let mechanism = |rate, sigma, steps| Mechanism::Gaussian { rate, sigma, steps }.check();
    for rate in [0.0, -0.1, 1.1, f64::NAN, f64::INFINITY] {
        assert_eq!(mechanism(rate, 1.0, 1), Err(AccountError::Rate), "{rate}");
    }
    for sigma in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert_eq!(mechanism(0.1, sigma, 1), Err(AccountError::Sigma), "{sigma}");
    }
    for steps in [0, u64::MAX] {
        assert_eq!(mechanism(0.1, 1.0, steps), Err(AccountError::Steps));
    }
    for epsilon in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert_eq!(Mechanism::Pure { epsilon }.check(), Err(AccountError::Epsilon));
    }
    assert_eq!(PrivacyLoss::gaussian(0.1, 1.0, 1, 0.0).err(), Some(AccountError::Interval));
    assert_eq!(PrivacyLoss::gaussian(1.0, 0.01, 1000, 1e-3).err(), Some(AccountError::Overflow));
    let coarse = PrivacyLoss::gaussian(0.1, 1.0, 1, 1e-2).unwrap();
    let fine = PrivacyLoss::gaussian(0.1, 1.0, 1, 1e-3).unwrap();
    assert_eq!(fine.plus(&coarse).err(), Some(AccountError::Interval));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(24) })]
    #[test]
    fn more_noise_costs_less_and_more_steps_or_rows_cost_more(
        rate in 0.001f64..0.5, sigma in 0.6f64..4.0, steps in 1u64..200,
    ) {
        let by_rdp = |rate, sigma, steps| gaussian_curve(rate, sigma, steps).epsilon(1e-5);
        let by_pld = |rate, sigma, steps| PrivacyLoss::gaussian(rate, sigma, steps, 1e-2).unwrap().epsilon(1e-5);
        let (curve, loss) = (by_rdp(rate, sigma, steps), by_pld(rate, sigma, steps));
        prop_assert!(by_rdp(rate, sigma * 1.1, steps) <= curve && by_pld(rate, sigma * 1.1, steps) <= loss + 1e-2);
        prop_assert!(by_rdp(rate, sigma, steps * 2) >= curve && by_pld(rate, sigma, steps * 2) >= loss);
        prop_assert!(by_rdp(rate * 1.5, sigma, steps) >= curve && by_pld(rate * 1.5, sigma, steps) >= loss - 1e-2);
        // A finer grid lies below: each is a bound from above.
        let fine = PrivacyLoss::gaussian(rate, sigma, steps, 1e-3).unwrap().epsilon(1e-5);
        prop_assert!(fine <= loss + 1e-9);
    }
}

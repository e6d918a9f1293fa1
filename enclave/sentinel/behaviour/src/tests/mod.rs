//! Tests of the crate as a whole, without workloads; those with workloads are in `tests/tests/behaviour.rs`.

use crate::chance::Chance;
use crate::conformal::Calibration;
use crate::event::{Action, Event};
use crate::features::{COUNT, NAMES};
use crate::forest::Forest;
use crate::profile::{MAX_SIZE, Profile};
use crate::risk::{Level, Response};
use crate::settings::{Settings, SettingsError};
use crate::watcher::Watcher;

const SHIPPED: &str = include_str!("../../../../policy/behaviour.toml");

fn settings() -> Settings {
    Settings::parse(SHIPPED).unwrap()
}

fn event(principal: u16, at_ms: u64) -> Event {
    let mut name = [0; 32];
    name[..2].copy_from_slice(&principal.to_le_bytes());
    Event {
        prompt_bytes: Some(100),
        max_tokens: Some(100),
        response_bytes: Some(100),
        duration_ms: Some(100),
        ..Event::new(at_ms, name, 1, 1, Action::Generate)
    }
}

#[test]
fn settings_have_every_line_and_bounds() {
    let with = |from: &str, to: &str| Settings::parse(&SHIPPED.replace(from, to)).err();
    assert_eq!(with("alpha = 0.01", "alpha = 0.01"), None);
    assert_eq!(with("alpha = 0.01", "alpha = 0.0"), Some(SettingsError::Bounds("alpha")));
    assert_eq!(with("alpha = 0.01", "alpha = nan"), Some(SettingsError::Bounds("alpha")));
    assert_eq!(with("denied_hour = 8.0", "denied_hour = 0.0"), Some(SettingsError::Bounds("denied_hour")));
    assert_eq!(with("min_days = 21", "min_days = 6"), Some(SettingsError::Bounds("min_days")));
    let misplaced = with("max_drift = 0.2", "max_drift = x");
    let line = SHIPPED.lines().position(|line| line == "max_drift = 0.2").unwrap() + 1;
    assert!(matches!(misplaced, Some(SettingsError::Syntax { line: told, .. }) if told == line));
    assert!(matches!(with("max_drift = 0.2", ""), Some(SettingsError::Syntax { .. })));
    assert!(matches!(
        with("max_drift = 0.2", "max_drift = 0.2\noff = true"),
        Some(SettingsError::Syntax { .. })
    ));
}

#[test]
fn features_have_names_of_their_own() {
    let distinct: std::collections::BTreeSet<&str> = NAMES.into_iter().collect();
    assert_eq!(distinct.len(), COUNT);
}

#[test]
fn memory_is_bounded_whatever_is_asked() {
    assert!(size_of::<Profile>() <= MAX_SIZE, "{}", size_of::<Profile>());
    let mut watcher = Watcher::new(Settings { max_principals: 50, ..settings() }, 1, 0);
    for principal in 0..500 {
        let mut event = event(principal, u64::from(principal) * 1000);
        event.passages = (0..5000).collect();
        event.collections = (0..5000).collect();
        watcher.observe(&event);
        assert!(watcher.principals() <= 50);
    }
    // Whoever was away longest was forgotten, and the last are known.
    let age = |principal: u16| watcher.vector(&event(principal, 500_000))[2];
    assert!(age(499) > age(0));
}

#[test]
fn assessing_changes_nothing() {
    let mut watcher = Watcher::new(settings(), 1, 0);
    watcher.observe(&event(1, 1000));
    let before = watcher.assess(&event(1, 2000));
    assert!((0..100).all(|_| watcher.assess(&event(1, 2000)) == before));
    assert_eq!(watcher.assess(&event(1, 2000)), before);
    assert_eq!(watcher.observe(&event(1, 2000)), before);
}

#[test]
fn without_a_baseline_limits_hold_and_nothing_is_normal() {
    let mut watcher = Watcher::new(settings(), 1, 0);
    let risks: Vec<_> = (0..60).map(|second| watcher.observe(&event(1, second * 1000))).collect();
    assert!(watcher.is_cold());
    assert_eq!((risks[0].level, risks[0].response), (Level::Cold, Response::None));
    assert!(Level::Cold > Level::Normal);
    let held = risks.iter().position(|risk| risk.response == Response::Approve).unwrap();
    assert!((20..30).contains(&held), "the limit of a minute is 20: {held}");
    assert_eq!(risks[held].reasons[0], "requests_minute");
    assert!(risks.iter().all(|risk| risk.level >= Level::Cold && risk.p_values.is_none()));
}

/// Of 20 calibration sets of 2000 scores, each asked 1000 times: the mean share must be the setting to four
/// standard deviations, of which the calibration sets have their part (Bates et al. 2023, section 2.2: a
/// beta distribution).
#[test]
fn p_values_are_valid_for_exchangeable_scores() {
    let mut chance = Chance::new(7);
    for alpha in [0.001_f64, 0.01, 0.05] {
        let (sets, known, asked) = (20, 2000, 1000);
        let mut alarms = 0;
        for _ in 0..sets {
            let calibration = Calibration::new((0..known).map(|_| chance.normal()), 0.0);
            alarms += (0..asked).filter(|_| f64::from(calibration.p_value(chance.normal())) <= alpha).count();
        }
        let n = f64::from(sets * asked);
        let spread = (alpha * (n + n * f64::from(asked) / f64::from(known))).sqrt();
        assert!((alarms as f64) < alpha * n + 4.0 * spread, "{alarms} of {n} at {alpha}");
        assert!((alarms as f64) > alpha * n - 4.0 * spread - f64::from(sets), "{alarms} of {n} at {alpha}");
    }
}

#[test]
fn what_was_kept_out_is_added_back_and_no_number_is_strange() {
    let scores = || (0..99_u8).map(f32::from);
    let (all, cut) = (Calibration::new(scores(), 0.0), Calibration::new(scores(), 0.1));
    assert!((all.p_value(98.0) - 0.02).abs() < 1e-6 && (all.floor() - 0.01).abs() < 1e-6);
    assert!((cut.floor() - 0.109).abs() < 1e-6);
    assert_eq!(all.p_value(f32::NAN), all.floor());
}

#[test]
fn the_forest_finds_what_is_apart_and_is_the_same_for_a_seed() {
    let mut chance = Chance::new(3);
    let rows: Vec<[f32; COUNT]> = (0..2000).map(|_| std::array::from_fn(|_| chance.normal())).collect();
    let forest = |seed| Forest::fit(&rows, &mut Chance::new(seed));
    let apart = std::array::from_fn(|at| if at < COUNT / 3 { 6.0 } else { 0.0 });
    let usual = rows.iter().map(|row| forest(5).score(row)).take(50).fold(0.0, f32::max);
    assert!(forest(5).score(&apart) > usual);
    assert_eq!(forest(5).score(&apart).to_bits(), forest(5).score(&apart).to_bits());
}

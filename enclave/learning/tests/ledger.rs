//! What the ledger of epsilon refuses, and that nothing turns it back.

#![allow(missing_docs, clippy::unwrap_used, clippy::panic)] // a test that cannot go on ends

use adyton_learning::accountant::{AccountError, Mechanism};
use adyton_learning::ledger::{Anchor, ENTRY, Ledger, Limits, Refused, Use};

const LIMITS: Limits = Limits { epsilon: 2.5, delta: 1e-6, uses: [2.0, 2.0, 0.0] };

fn fresh() -> Ledger {
    Ledger::open(LIMITS, &[], &Anchor::genesis(&LIMITS)).unwrap()
}

fn price(sigma: f64) -> Mechanism {
    Mechanism::Gaussian { rate: 1.0, sigma, steps: 1 }
}

/// Spends until it is refused: the entries, and why it ended.
fn drained(ledger: &mut Ledger, purpose: Use, sigma: f64) -> (Vec<[u8; ENTRY]>, Refused) {
    let mut entries = Vec::new();
    loop {
        // Each round is another one.
        match ledger.reserve(purpose, &price(sigma), [entries.len() as u8; 32]) {
            Ok(reservation) => entries.push(reservation.entry),
            Err(why) => return (entries, why),
        }
    }
}

#[test]
fn exhausted_means_no_release_for_a_use_and_for_all() {
    let mut ledger = fresh();
    let (entries, why) = drained(&mut ledger, Use::Telemetry, 20.0);
    assert!(entries.len() > 20, "{}", entries.len());
    assert!(matches!(why, Refused::Exhausted { purpose: Use::Telemetry, limit: 2.0, .. }), "{why}");
    let before = (ledger.anchor(), ledger.spent(Use::Telemetry));
    assert!(ledger.reserve(Use::Telemetry, &price(20.0), [8; 32]).is_err());
    assert_eq!((ledger.anchor(), ledger.spent(Use::Telemetry)), before, "a refusal changes nothing");
    let (_, why) = drained(&mut ledger, Use::Learning, 20.0);
    assert!(matches!(why, Refused::Exhausted { limit: 2.5, .. }), "all of it, before its own is: {why}");
    assert!(ledger.spent_in_all().0 <= 2.5);
    let (none, _) = drained(&mut ledger, Use::Queries, 1000.0);
    assert!(none.is_empty(), "no limit is no budget");
}

#[test]
fn what_is_no_price_is_refused_by_name() {
    let mut ledger = fresh();
    let cases = [
        (price(-1.0), AccountError::Sigma),
        (price(f64::NAN), AccountError::Sigma),
        (price(f64::INFINITY), AccountError::Sigma),
        (Mechanism::Gaussian { rate: -0.5, sigma: 1.0, steps: 1 }, AccountError::Rate),
        (Mechanism::Gaussian { rate: f64::NAN, sigma: 1.0, steps: 1 }, AccountError::Rate),
        (Mechanism::Gaussian { rate: 1.0, sigma: 1.0, steps: u64::MAX }, AccountError::Steps),
        (Mechanism::Pure { epsilon: -1.0 }, AccountError::Epsilon),
        (Mechanism::Pure { epsilon: f64::NAN }, AccountError::Epsilon),
        (Mechanism::Pure { epsilon: f64::MAX }, AccountError::Epsilon),
    ];
    for (mechanism, why) in cases {
        let refused = ledger.reserve(Use::Telemetry, &mechanism, [0; 32]).unwrap_err();
        assert_eq!(refused, Refused::Price(why), "{mechanism:?}");
    }
    assert_eq!(ledger.anchor().number, 0);
    assert!(ledger.reserve(Use::Telemetry, &Mechanism::Pure { epsilon: 1e6 }, [0; 32]).is_err());
}

#[test]
fn limits_that_are_none_open_nothing() {
    for (epsilon, delta, one) in [
        (-1.0, 1e-6, 1.0),
        (f64::NAN, 1e-6, 1.0),
        (f64::INFINITY, 1e-6, 1.0),
        (1.0, 0.0, 1.0),
        (1.0, 0.5, 1.0),
        (1.0, f64::NAN, 1.0),
        (1.0, 1e-6, -1.0),
        (1.0, 1e-6, f64::NAN),
    ] {
        let limits = Limits { epsilon, delta, uses: [one, 0.0, 0.0] };
        assert_eq!(Ledger::open(limits, &[], &Anchor::genesis(&limits)).err(), Some(Refused::Limits));
    }
}

#[test]
fn an_old_disk_is_a_rollback_and_another_one_a_fork() {
    let mut ledger = fresh();
    let mut entries = Vec::new();
    for (sigma, subject) in [(10.0, 1), (12.0, 2), (14.0, 3)] {
        entries.push(ledger.reserve(Use::Telemetry, &price(sigma), [subject; 32]).unwrap().entry);
    }
    let seen = ledger.anchor();
    let again = Ledger::open(LIMITS, &entries, &seen).unwrap();
    assert_eq!((again.anchor(), again.spent(Use::Telemetry)), (seen, ledger.spent(Use::Telemetry)));
    for kept in 0..3 {
        let why = Ledger::open(LIMITS, &entries[..kept], &seen).unwrap_err();
        assert_eq!(why, Refused::RolledBack { found: kept as u64, expected: 3 });
    }
    let open = |entries: &[[u8; ENTRY]]| Ledger::open(LIMITS, entries, &seen).unwrap_err();
    let mut others = entries.clone();
    others.swap(0, 1);
    assert_eq!(open(&others), Refused::Forked, "the order counts");
    let mut others = entries.clone();
    others[1][57] ^= 1;
    assert_eq!(open(&others), Refused::Forked);
    let cheaper = fresh().reserve(Use::Telemetry, &price(1000.0), [2; 32]).unwrap().entry;
    assert_eq!(open(&[entries[0], cheaper, entries[2]]), Refused::Forked);
    let mut others = entries.clone();
    others[2][1] = 9;
    assert_eq!(open(&others), Refused::Malformed(3));
    // A log that has grown since is as good.
    let more = ledger.reserve(Use::Learning, &price(10.0), [4; 32]).unwrap().entry;
    entries.push(more);
    assert_eq!(Ledger::open(LIMITS, &entries, &seen).unwrap().anchor(), ledger.anchor());
    // Another budget is another ledger: entries cannot be carried into it.
    let richer = Limits { epsilon: 100.0, ..LIMITS };
    assert_eq!(Ledger::open(richer, &entries, &seen).unwrap_err(), Refused::Forked);
}

#[test]
fn every_flipped_bit_of_every_entry_is_refused() {
    let mut ledger = fresh();
    let entries: Vec<[u8; ENTRY]> =
        (0..2).map(|n| ledger.reserve(Use::Telemetry, &price(30.0), [n; 32]).unwrap().entry).collect();
    let seen = ledger.anchor();
    for bit in 0..2 * ENTRY * 8 {
        let mut wrong = entries.clone();
        wrong[bit / (ENTRY * 8)][bit / 8 % ENTRY] ^= 1 << (bit % 8);
        assert!(Ledger::open(LIMITS, &wrong, &seen).is_err(), "bit {bit}");
    }
}

#[test]
fn a_price_that_was_reserved_is_not_given_back() {
    let mut ledger = fresh();
    let before = ledger.spent(Use::Telemetry).0;
    drop(ledger.reserve(Use::Telemetry, &price(10.0), [1; 32]).unwrap());
    assert!(ledger.spent(Use::Telemetry).0 > before);
    let spend = ledger.reserve(Use::Telemetry, &price(10.0), [1; 32]).unwrap().recorded();
    assert_eq!((spend.number(), spend.purpose(), spend.sigma()), (2, Use::Telemetry, 10.0));
}

#[test]
fn a_round_is_paid_for_once() {
    let mut ledger = fresh();
    let entry = ledger.reserve(Use::Learning, &price(20.0), [1; 32]).unwrap().entry;
    assert_eq!(ledger.reserve(Use::Learning, &price(20.0), [1; 32]).unwrap_err(), Refused::Twice);
    let mut again = Ledger::open(LIMITS, &[entry], &ledger.anchor()).unwrap();
    assert_eq!(again.reserve(Use::Learning, &price(20.0), [1; 32]).unwrap_err(), Refused::Twice);
    assert!(ledger.reserve(Use::Learning, &price(20.0), [2; 32]).is_ok());
    assert!(
        ledger.reserve(Use::Telemetry, &price(20.0), [1; 32]).is_ok(),
        "a metric is released again and again"
    );
}

//! The live path, and one refusal for each thing that a verifier expects.

use adyton_attestation::appraisal::{ClaimedOwner, Outcome, Refusal};
use adyton_attestation::binding::manifest_pcr16;
use adyton_attestation::measurement::PcrIndex;
use adyton_attestation::nsm;
use adyton_attestation::reference::Owner;

use crate::{MANIFEST, START, World, pcrs};

#[test]
fn a_good_document_passes_every_step() {
    let mut world = World::good();
    let document = world.document();
    let (report, claims) = world.appraise(&document);
    let claims = claims.unwrap();
    assert!(report.passed_everything());
    assert_eq!(report.factors().len(), 18);
    assert_eq!(
        report.factors().iter().map(|factor| factor.number).collect::<Vec<_>>(),
        (1..=18).collect::<Vec<_>>()
    );
    assert!(claims.simulated() && report.simulated());
    assert_eq!(claims.receipt_key().spki(), world.signer.public_key_spki());
    assert_eq!(claims.manifest_pcr16(), &manifest_pcr16(MANIFEST));
    assert_eq!(claims.owner(), ClaimedOwner::Signer(pcrs().pcr8));
    assert_eq!(claims.pcr(PcrIndex::new(0).unwrap()), Some(&pcrs().pcr0));
    assert_eq!(claims.pcr(PcrIndex::new(17).unwrap()), None);
    assert_eq!(claims.timestamp().as_millis(), START);
}

#[test]
fn after_a_refusal_nothing_is_checked() {
    let mut world = World::good();
    let document = world.document();
    world.binding.exporter = [9; 48];
    let (report, result) = world.appraise(&document);
    assert_eq!(result.unwrap_err(), Refusal::Binding);
    let outcomes: Vec<Outcome> = report.factors().iter().map(|factor| factor.outcome).collect();
    assert_eq!(&outcomes[..16], [Outcome::Pass; 16]);
    assert_eq!(&outcomes[16..], [Outcome::Fail, Outcome::NotChecked]);
    let failed = report.failed().unwrap();
    assert_eq!(format!("{}; {}", failed.seen, failed.advice), Refusal::Binding.to_string());
    assert!(!report.passed_everything());
}

#[test]
fn owners() {
    let all = pcrs();
    for (owner, claimed) in [
        (Owner::Signer { pcr8: all.pcr8 }, ClaimedOwner::Signer(all.pcr8)),
        (Owner::Role { pcr3: all.pcr3 }, ClaimedOwner::Role(all.pcr3)),
        (Owner::Instance { pcr4: all.pcr4 }, ClaimedOwner::Instance(all.pcr4)),
        (Owner::AnyoneAtAll, ClaimedOwner::Unknown),
    ] {
        let mut world = World::with(all, owner);
        let document = world.document();
        assert_eq!(world.appraise(&document).1.unwrap().owner(), claimed);
    }
}

#[test]
fn clocks_are_told_apart_from_expiry() {
    let hours = 3600 * 1000;
    let mut world = World::good();
    let document = world.document();
    let mut at = |now: u64, max_age: u64| {
        world.now = now;
        world.max_age = std::time::Duration::from_secs(max_age);
        world.appraise(&document).1.map(|_| ())
    };
    assert_eq!(at(START - 59_000, 300), Ok(()), "a minute of leeway");
    assert!(matches!(at(START - 61_000, 300), Err(Refusal::NotYetValid { position: 4, ahead_secs: 61, .. })));
    assert_eq!(at(START + 300_000, 300), Ok(()));
    assert_eq!(at(START + 301_000, 300), Err(Refusal::Stale { age_secs: 301, max_age_secs: 300 }));
    assert_eq!(at(START + 3 * hours + 60_000, 20_000), Ok(()));
    assert!(matches!(at(START + 3 * hours + 61_000, 20_000), Err(Refusal::ClockAhead { position: 4, .. })));
    // The same with another nonce: nothing speaks for a wrong clock.
    let other_nonce = nsm::attest(&mut world.nsm, None, Some(&[1; 32]), None).unwrap();
    world.now = START + 4 * hours;
    assert!(matches!(world.refusal(&other_nonce), Refusal::Expired { position: 4, .. }));
    // A document from the middle of the leaf's life, read by a clock that is behind.
    world.clock.store(START + hours, std::sync::atomic::Ordering::Relaxed);
    let later = world.document();
    world.now = START + hours - 61_000;
    assert_eq!(world.refusal(&later), Refusal::FromTheFuture { ahead_secs: 61 });
    for now in [0, u64::MAX] {
        world.now = now;
        assert!(world.appraise(&later).1.is_err());
    }
}

//! The live path, and one refusal for each thing that a verifier expects.

use adyton_attestation::appraisal::{ClaimedOwner, Outcome, Refusal};
use adyton_attestation::binding::{Role, manifest_pcr16};
use adyton_attestation::measurement::{MANIFEST_PCR, PcrIndex, ZERO};
use adyton_attestation::nsm;
use adyton_attestation::reference::{Image, Owner, ReferenceValues};
use adyton_tests::mock_nsm::InitialPcrs;

use crate::{MANIFEST, NONCE, START, World, image, other, pcrs};

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
fn what_the_verifier_expects_is_compared() {
    type Spoil = fn(&mut World);
    let table: [(Spoil, Refusal); 6] = [
        (|world| world.binding.role = Role::PeerEnclave, Refusal::Binding),
        (|world| world.binding.spki_sha384 = [0; 48], Refusal::Binding),
        (|world| world.binding.manifest_sha384 = [0; 48], Refusal::ManifestNotBound),
        (
            |world| {
                let one = Image { pcr2: other(), ..image(&pcrs()) };
                let owner = Owner::AnyoneAtAll;
                world.reference =
                    ReferenceValues::new(vec![one], vec![manifest_pcr16(MANIFEST)], owner).unwrap();
            },
            Refusal::Image,
        ),
        (
            |world| {
                let owner = Owner::AnyoneAtAll;
                world.reference = ReferenceValues::new(vec![image(&pcrs())], vec![other()], owner).unwrap();
            },
            Refusal::Manifest { seen: manifest_pcr16(MANIFEST) },
        ),
        (|world| world.anchor = adyton_attestation::anchor::TrustAnchor::aws_nitro_g1(), Refusal::Root),
    ];
    for (spoil, expected) in table {
        let mut world = World::good();
        let document = world.document();
        spoil(&mut world);
        assert_eq!(world.refusal(&document), expected);
    }
}

#[test]
fn registers_of_two_images_do_not_make_a_third() {
    let mut world = World::good();
    let document = world.document();
    let (mut first, mut second) = (image(&pcrs()), image(&pcrs()));
    first.pcr0 = other();
    second.pcr2 = other();
    let manifests = vec![manifest_pcr16(MANIFEST)];
    world.reference = ReferenceValues::new(vec![first, second], manifests, Owner::AnyoneAtAll).unwrap();
    assert_eq!(world.refusal(&document), Refusal::Image);
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
    for (owner, index) in [
        (Owner::Signer { pcr8: other() }, 8),
        (Owner::Role { pcr3: other() }, 3),
        (Owner::Instance { pcr4: other() }, 4),
    ] {
        let mut world = World::with(all, owner);
        let document = world.document();
        assert_eq!(world.refusal(&document), Refusal::Owner { index });
    }
    let unsigned = InitialPcrs { pcr8: ZERO, ..all };
    let mut world = World::with(unsigned, Owner::Signer { pcr8: all.pcr8 });
    let document = world.document();
    assert_eq!(world.refusal(&document), Refusal::OwnerMissing { index: 8 });
}

#[test]
fn debug_mode_is_refused_for_each_register() {
    let all = pcrs();
    for (actual, index) in [
        (all.in_debug_mode(), 0),
        (InitialPcrs { pcr0: ZERO, ..all }, 0),
        (InitialPcrs { pcr1: ZERO, ..all }, 1),
        (InitialPcrs { pcr2: ZERO, ..all }, 2),
    ] {
        let mut world = World::with(actual, Owner::AnyoneAtAll);
        let document = world.document();
        assert_eq!(world.refusal(&document), Refusal::Debug { index });
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

#[test]
fn what_was_not_asked_for_is_missing() {
    let mut world = World::good();
    let user_data = world.binding.user_data();
    let key = world.signer.public_key_spki();
    let nonce = NONCE;
    let short = [0u8; 31];
    type Field<'a> = Option<&'a [u8]>;
    let table: [(Field<'_>, Field<'_>, Field<'_>, Refusal); 8] = [
        (Some(&user_data), None, Some(&key), Refusal::NonceMissing),
        (Some(&user_data), Some(&short), Some(&key), Refusal::Nonce),
        (Some(&user_data), Some(&[]), Some(&key), Refusal::Nonce),
        (None, Some(&nonce), Some(&key), Refusal::BindingMissing),
        (Some(&[]), Some(&nonce), Some(&key), Refusal::Binding),
        (Some(&user_data[..47]), Some(&nonce), Some(&key), Refusal::Binding),
        (Some(&user_data), Some(&nonce), None, Refusal::ReceiptKeyMissing),
        (Some(&user_data), Some(&nonce), Some(&key[1..]), Refusal::ReceiptKey),
    ];
    for (user_data, nonce, key, expected) in table {
        let document = nsm::attest(&mut world.nsm, user_data, nonce, key).unwrap();
        assert_eq!(world.refusal(&document), expected);
    }
}

#[test]
fn an_unlocked_manifest_register_is_no_manifest() {
    let world = World::good();
    let config = adyton_tests::mock_nsm::MockConfig {
        seed: [7; 32],
        clock: std::sync::Arc::new(|| START),
        pcrs: pcrs(),
    };
    let mut fresh = adyton_tests::mock_nsm::MockNsm::new(config).unwrap();
    let user_data = world.binding.user_data();
    let key = world.signer.public_key_spki();
    let ask = |fresh: &mut _| nsm::attest(fresh, Some(&user_data), Some(&NONCE), Some(&key)).unwrap();
    assert_eq!(world.refusal(&ask(&mut fresh)), Refusal::ManifestMissing);
    nsm::lock(&mut fresh, MANIFEST_PCR).unwrap();
    assert_eq!(world.refusal(&ask(&mut fresh)), Refusal::ManifestMissing, "locked, but never extended");
}

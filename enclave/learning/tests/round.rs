//! A round from its policy to its receipt, and everything that it refuses on the way.

#![allow(missing_docs, clippy::unwrap_used, clippy::panic)] // a test that cannot go on ends

mod common;

use adyton_learning::ledger::{Anchor, Ledger, Limits, Refused, Spend, Use};
use adyton_learning::round::head::{Example, Head, fold};
use adyton_learning::round::participant::ParticipantError;
use adyton_learning::round::policy::{PolicyError, TICKS, subject};
use adyton_learning::round::update::HEAD;
use adyton_learning::round::{
    Aggregator, Participant, Policy, Rejected, Released, RoundError, Signer, Unit, Update,
};
use common::Seeded;
use ring::signature::{ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, KeyPair};

fn who(at: usize) -> [u8; 32] {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&(at as u64).to_be_bytes());
    key
}

fn policy() -> Policy {
    Policy {
        dimension: 65,
        clip: 1.0,
        sigma: 1.0,
        unit: Unit::Participant,
        cohort: 20,
        rounds: 4,
        epochs: 1,
        step: 0.5,
        groups: 10,
        trim: 2,
        epsilon: 13.0,
        delta: 1e-5,
        participants: (0..40).map(who).collect(),
    }
}

fn ledger() -> Ledger {
    let limits = Limits { epsilon: 100.0, delta: 1e-5, uses: [0.0, 100.0, 0.0] };
    Ledger::open(limits, &[], &Anchor::genesis(&limits)).unwrap()
}

fn paid(ledger: &mut Ledger, policy: &Policy, round: u32) -> Result<Spend, Refused> {
    let subject = subject(&policy.digest(), round);
    Ok(ledger.reserve(Use::Learning, &policy.mechanism(1), subject)?.recorded())
}

fn constant(policy: &Policy, round: u32, value: f64) -> Vec<u8> {
    let values = vec![value; policy.dimension as usize];
    Update::clipped(policy, round, &values).unwrap().encode().to_vec()
}

/// A round of so many equal updates.
fn filled(policy: &Policy, round: u32, count: usize, random: &mut Seeded) -> Aggregator {
    let mut aggregator = Aggregator::new(policy.clone(), round).unwrap();
    for at in 0..count {
        aggregator.accept(&who(at), &constant(policy, round, 0.05), random).unwrap();
    }
    aggregator
}

fn released(policy: &Policy, round: u32, ledger: &mut Ledger, seed: u64) -> Released {
    let mut random = Seeded::new(seed);
    let cohort = filled(policy, round, 30, &mut random).close().unwrap();
    cohort.release(paid(ledger, policy, round).unwrap(), &mut random).unwrap()
}

struct Key(EcdsaKeyPair);

impl Signer for Key {
    fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        let random = ring::rand::SystemRandom::new();
        self.0.sign(&random, message).ok().map(|signature| signature.as_ref().to_vec())
    }
}

fn key() -> Key {
    let random = ring::rand::SystemRandom::new();
    let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, &random).unwrap();
    Key(EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, document.as_ref(), &random).unwrap())
}

#[test]
fn a_released_step_is_the_mean_with_the_noise_of_the_receipt() {
    let (policy, mut ledger) = (Policy { rounds: 3, ..policy() }, ledger());
    let released = released(&policy, 1, &mut ledger, 1);
    let mean = released.step().iter().map(|value| f64::from(*value)).sum::<f64>() / 65.0;
    let spread = released.step().iter().map(|value| (f64::from(*value) - mean).powi(2)).sum::<f64>() / 64.0;
    // Of groups of ten six are kept; noise of one clip is spread over thirty.
    let expected = policy.sigma * policy.clip * 10.0 / 6.0 / 30.0;
    assert!((mean - 0.05).abs() < 4.0 * expected / 65f64.sqrt(), "{mean}");
    assert!((spread.sqrt() / expected - 1.0).abs() < 0.35, "{} {expected}", spread.sqrt());
    let receipt = released.receipt().clone();
    assert_eq!((receipt.cohort, receipt.round, receipt.ledger, receipt.rate), (30, 1, 1, 1.0));
    assert_eq!((receipt.policy, receipt.clip, receipt.sigma), (policy.digest(), 1.0, 1.0));
    // One Gaussian of sigma 1, in closed form.
    assert!((receipt.epsilon - adyton_learning::accountant::gaussian::epsilon(1.0, 1e-5)).abs() < 1e-2);
    let key = key();
    assert_eq!(receipt.body().len(), 143);
    let signed = receipt.signed(&key).unwrap();
    assert!(signed.verifies(key.0.public_key().as_ref()));
    let mut altered = signed;
    altered.receipt.cohort += 1;
    assert!(!altered.verifies(key.0.public_key().as_ref()));
}

#[test]
fn malformed_updates_are_refused_by_their_codes_and_the_round_goes_on() {
    let policy = policy();
    let mut random = Seeded::new(2);
    let mut aggregator = filled(&policy, 2, 25, &mut random);
    let good = constant(&policy, 2, 0.05);
    let with = |at: usize, bytes: &[u8]| {
        let mut wrong = good.clone();
        wrong[at..at + bytes.len()].copy_from_slice(bytes);
        wrong
    };
    let longer = [good.as_slice(), &[0]].concat();
    let huge = vec![0; 1 << 20];
    let other = Policy { step: 0.4, ..policy.clone() };
    let cases: Vec<(usize, Vec<u8>, Rejected)> = vec![
        (77, good.clone(), Rejected::Stranger),
        (3, good.clone(), Rejected::Twice),
        (30, constant(&policy, 1, 0.05), Rejected::Round),
        (30, constant(&policy, 3, 0.05), Rejected::Round),
        (30, constant(&other, 2, 0.05), Rejected::Policy),
        (30, good[..good.len() - 1].to_vec(), Rejected::Shape),
        (30, good[..HEAD - 1].to_vec(), Rejected::Shape),
        (30, Vec::new(), Rejected::Shape),
        (30, longer, Rejected::Shape),
        (30, huge, Rejected::Policy),
        (30, with(36, &66u32.to_be_bytes()), Rejected::Shape),
        (30, with(HEAD, &(TICKS as i32 + 1).to_le_bytes()), Rejected::Clip),
        (30, with(HEAD, &i32::MIN.to_le_bytes()), Rejected::Clip),
        (30, with(HEAD, &f32::NAN.to_le_bytes()), Rejected::Clip),
        (30, with(HEAD, &f32::INFINITY.to_le_bytes()), Rejected::Clip),
        (30, with(HEAD, &1.0f32.to_le_bytes()), Rejected::Clip),
    ];
    for (at, bytes, why) in cases {
        assert_eq!(aggregator.accept(&who(at), &bytes, &mut random), Err(why), "{}", why.code());
    }
    assert_eq!(aggregator.count(), 25, "what was refused does not count");
    assert_eq!(aggregator.accept(&who(30), &good, &mut random), Ok(()), "and he may try again");
    let mut ledger = ledger();
    let step = aggregator.close().unwrap().release(paid(&mut ledger, &policy, 2).unwrap(), &mut random);
    assert_eq!(step.unwrap().receipt().cohort, 26);
    // The bytes of minus infinity are the whole number -2^23, half a clip, and count as it.
    let bytes = with(HEAD, &f32::NEG_INFINITY.to_le_bytes());
    let mut next = filled(&policy, 2, 0, &mut random);
    assert_eq!(next.accept(&who(30), &bytes, &mut random), Ok(()));
    for values in [[f64::NAN; 65], [f64::INFINITY; 65]] {
        assert!(Update::clipped(&policy, 1, &values).is_none());
    }
    assert!(Update::clipped(&policy, 1, &[0.0; 64]).is_none());
}

#[test]
fn clipping_is_exact_to_the_last_tick() {
    let policy = policy();
    let mut random = Seeded::new(3);
    for scale in [1e-6, 0.1, 1.0, 1e3, 1e12] {
        let values: Vec<f64> = (0..65).map(|_| random.normal() * scale).collect();
        let bytes = Update::clipped(&policy, 1, &values).unwrap().encode();
        let mut aggregator = Aggregator::new(policy.clone(), 1).unwrap();
        assert_eq!(aggregator.accept(&who(0), &bytes, &mut random), Ok(()), "{scale}");
    }
    let mut exact = constant(&policy, 1, 0.0);
    exact[HEAD..HEAD + 4].copy_from_slice(&(TICKS as i32).to_le_bytes());
    let mut aggregator = Aggregator::new(policy, 1).unwrap();
    assert_eq!(aggregator.accept(&who(0), &exact, &mut random), Ok(()));
    exact[HEAD + 4] = 1;
    assert_eq!(aggregator.accept(&who(1), &exact, &mut random), Err(Rejected::Clip));
}

#[test]
fn too_few_are_never_summed_and_a_price_is_for_one_round() {
    let (policy, mut ledger, mut random) = (policy(), ledger(), Seeded::new(4));
    for few in [0, 1, 19] {
        let ended = filled(&policy, 1, few, &mut random).close().unwrap_err();
        assert_eq!(ended, RoundError::TooFew { found: few as u32, needed: 20 });
    }
    let cohort = |round, random: &mut Seeded| filled(&policy, round, 20, random).close().unwrap();
    let other = paid(&mut ledger, &policy, 2).unwrap();
    assert_eq!(cohort(1, &mut random).release(other, &mut random).unwrap_err(), RoundError::Mismatch);
    let less = Policy { sigma: 0.5, ..policy.clone() };
    let subject = subject(&policy.digest(), 1);
    let cheap = ledger.reserve(Use::Learning, &less.mechanism(1), subject).unwrap().recorded();
    assert_eq!(cohort(1, &mut random).release(cheap, &mut random).unwrap_err(), RoundError::Mismatch);
    assert!(Aggregator::new(policy.clone(), 0).is_err() && Aggregator::new(policy, 5).is_err());
}

#[test]
fn two_aggregators_of_one_round_get_one_price_and_one_update() {
    let (policy, mut ledger) = (policy(), ledger());
    let _first = released(&policy, 1, &mut ledger, 5);
    assert_eq!(paid(&mut ledger, &policy, 1).unwrap_err(), Refused::Twice);
    // On another machine there is another ledger. The participant remembers.
    let (model, mut random) = (Head::new(65), Seeded::new(6));
    let mut participant = Participant::new(policy.clone(), 0).unwrap();
    assert!(participant.update(1, &model, &[], &mut random).is_ok());
    let again = participant.update(1, &model, &[], &mut random).unwrap_err();
    assert_eq!(again, ParticipantError::Round(1));
    let mut restarted = Participant::new(policy, 1).unwrap();
    assert!(restarted.update(1, &model, &[], &mut random).is_err());
    assert!(restarted.update(2, &model, &[], &mut random).is_ok());
    assert_eq!(restarted.update(5, &model, &[], &mut random).unwrap_err(), ParticipantError::Round(5));
}

#[test]
fn drop_outs_and_repeats_change_nothing_and_order_neither() {
    let policy = Policy { groups: 1, trim: 0, ..policy() };
    let step = |order: &[usize]| {
        let mut aggregator = Aggregator::new(policy.clone(), 1).unwrap();
        for at in order {
            let update = constant(&policy, 1, 0.001 * *at as f64);
            let first = aggregator.accept(&who(*at), &update, &mut Seeded::new(1)).is_ok();
            let again = aggregator.accept(&who(*at), &update, &mut Seeded::new(1));
            assert!(first && again == Err(Rejected::Twice));
        }
        let cohort = aggregator.close().unwrap();
        cohort.release(paid(&mut ledger(), &policy, 1).unwrap(), &mut Seeded::new(9)).unwrap().step().to_vec()
    };
    let there: Vec<usize> = (0..30).filter(|at| at % 5 != 0).collect();
    let back: Vec<usize> = there.iter().rev().copied().collect();
    assert_eq!(step(&there), step(&back), "with the same noise, the same step");
}

#[test]
fn policies_that_do_not_keep_what_they_say_are_refused() {
    let cases: Vec<(Policy, PolicyError)> = vec![
        (Policy { dimension: 0, ..policy() }, PolicyError::Bounds),
        (Policy { dimension: 1 << 21, ..policy() }, PolicyError::Bounds),
        (Policy { rounds: 0, ..policy() }, PolicyError::Bounds),
        (Policy { epochs: 0, ..policy() }, PolicyError::Bounds),
        (Policy { groups: 0, ..policy() }, PolicyError::Bounds),
        (Policy { trim: 5, ..policy() }, PolicyError::Bounds),
        (Policy { cohort: 9, ..policy() }, PolicyError::Bounds),
        (Policy { clip: f64::NAN, ..policy() }, PolicyError::Number),
        (Policy { clip: -1.0, ..policy() }, PolicyError::Number),
        (Policy { step: f64::INFINITY, ..policy() }, PolicyError::Number),
        (Policy { cohort: 41, ..policy() }, PolicyError::Participants),
        (Policy { participants: Vec::new(), ..policy() }, PolicyError::Participants),
        (Policy { participants: vec![who(1); 40], ..policy() }, PolicyError::Participants),
    ];
    for (wrong, why) in cases {
        assert_eq!(wrong.check(), Err(why));
        assert!(Participant::new(wrong, 0).is_err());
    }
    assert!(matches!(Policy { sigma: f64::NAN, ..policy() }.check(), Err(PolicyError::Price(_))));
    assert!(matches!(Policy { epsilon: f64::NAN, ..policy() }.check(), Err(PolicyError::Dearer { .. })));
    let dear = Policy { epsilon: 1.0, ..policy() }.check();
    assert!(matches!(dear, Err(PolicyError::Dearer { found, .. }) if found > 9.0), "{dear:?}");
    // Each field is part of the digest.
    let mut digests: Vec<[u8; 32]> = [
        policy(),
        Policy { sigma: 1.1, ..policy() },
        Policy { cohort: 21, ..policy() },
        Policy { trim: 1, ..policy() },
        Policy { unit: Unit::Example { clip: 0.1, rate: 0.1, batch: 10 }, ..policy() },
        Policy { participants: (1..41).map(who).collect(), ..policy() },
    ]
    .iter()
    .map(Policy::digest)
    .collect();
    digests.sort();
    digests.dedup();
    assert_eq!(digests.len(), 6);
}

/// Random texts, whose label is one feature.
fn examples(count: usize, random: &mut Seeded) -> Vec<Example> {
    let one = |random: &mut Seeded| {
        let attack = random.below(2) == 1;
        let mut places: Vec<u32> = (0..40).map(|_| 64 + random.below(1 << 18) as u32).collect();
        places.extend([if attack { 3 } else { 7 }; 4]);
        Example { windows: vec![fold(&places, 65)], attack }
    };
    (0..count).map(|_| one(random)).collect()
}

#[test]
fn one_example_moves_a_sum_by_no_more_than_the_noise_is_for() {
    let unit = Unit::Example { clip: 0.05, rate: 1.0, batch: 100 };
    let policy = Policy { unit, rounds: 1, ..policy() };
    let mut random = Seeded::new(7);
    let mut model = Head::new(65);
    model.0.iter_mut().for_each(|weight| *weight = random.normal() as f32);
    for count in [1, 5, 200] {
        let all = examples(count, &mut random);
        let give = |examples: &[Example]| {
            let mut participant = Participant::new(policy.clone(), 0).unwrap();
            let update = participant.update(1, &model, examples, &mut Seeded::new(1)).unwrap();
            let bytes = update.encode();
            let tick = |four: &[u8]| f64::from(i32::from_le_bytes(four.try_into().unwrap()));
            bytes[HEAD..].chunks(4).map(tick).collect::<Vec<f64>>()
        };
        let whole = give(&all);
        for without in 0..count.min(20) {
            let mut others = all.clone();
            others.remove(without);
            let moved: f64 = give(&others).iter().zip(&whole).map(|(a, b)| (a - b).powi(2)).sum();
            assert!(moved.sqrt() <= policy.sensitivity() as f64, "{} {}", moved.sqrt(), policy.sensitivity());
        }
    }
}

#[test]
fn a_head_learns_and_its_unfolded_form_scores_the_same() {
    let mut random = Seeded::new(8);
    let (train, test) = (examples(400, &mut random), examples(200, &mut random));
    let head = Head::new(65).trained(&train, 5, 0.5, &mut random).unwrap();
    let right = test.iter().filter(|example| (head.score(example) > 0.0) == example.attack).count();
    assert!(right > 150, "{right} of 200");
    let (weights, bias) = head.unfolded();
    let places = [5, 64 + 5, (1 << 18) + 5, 1000];
    let sum: f32 = places.iter().map(|place| weights[*place as usize]).sum();
    let folded = Example { windows: vec![fold(&places, 65)], attack: true };
    assert!((head.score(&folded) - (bias + sum / 2.0)).abs() < 1e-5);
}

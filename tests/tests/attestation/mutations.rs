//! No bit of a document can change, none of it can be missing, and no input makes the crate panic.

use adyton_attestation::ChainCache;
use adyton_attestation::appraisal::{EnvelopeError, Refusal, appraise_archived};

use crate::World;

#[test]
fn every_single_bit_flip_is_refused() {
    let mut world = World::good();
    let document = world.document();
    let world = &world;
    let document = &document;
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for worker in 0..workers {
            scope.spawn(move || {
                // Most flips leave the chain as it is; its signatures need not be verified 43,000 times.
                let mut known = ChainCache::new();
                for bit in (worker..document.len() * 8).step_by(workers) {
                    let mut flipped = document.clone();
                    flipped[bit / 8] ^= 1 << (bit % 8);
                    assert!(world.appraise_cached(&flipped, &mut known).1.is_err(), "bit {bit}");
                }
            });
        }
    });
}

#[test]
fn every_truncation_is_refused() {
    let mut world = World::good();
    let document = world.document();
    for end in 0..document.len() {
        let expected = Refusal::Envelope(EnvelopeError::Truncated);
        assert_eq!(world.refusal(&document[..end]), expected, "cut at {end}");
    }
}

#[test]
fn seeded_mutations_do_not_panic_or_pass() {
    let mut world = World::good();
    let document = world.document();
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = || {
        // xorshift64: seeded, so that a failure repeats.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as usize
    };
    for round in 0..5_000 {
        let mut bytes = document.clone();
        for _ in 0..=next() % 4 {
            let at = next() % bytes.len();
            match next() % 5 {
                0 => bytes[at] = next() as u8,
                1 => bytes.truncate(at + 1),
                2 => bytes.insert(at, next() as u8),
                3 => drop(bytes.splice(at..at, document[..next() % 64].iter().copied())),
                _ => drop(bytes.remove(at)),
            }
            if bytes.is_empty() {
                bytes.push(0);
            }
        }
        if bytes != document {
            assert!(world.appraise(&bytes).1.is_err(), "round {round}");
            assert!(appraise_archived(&bytes, &world.anchor).1.is_err(), "round {round}");
        }
    }
}

/// Altered payloads that are signed again: only the parser and the limits stand in the way here.
#[test]
fn signed_nonsense_does_not_panic() {
    let mut world = World::good();
    let good = world.nsm.payload(None, None, None).unwrap().encode();
    let chain = world.nsm.chain().unwrap().clone();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as usize
    };
    // The signature is reused: appraisal reads everything before it comes to it.
    let sealed = adyton_tests::mock_nsm::document::seal(&good, &chain);
    let signature = &sealed[sealed.len() - 98..];
    for _ in 0..20_000 {
        let mut payload = good.clone();
        for _ in 0..=next() % 3 {
            let at = next() % payload.len();
            payload[at] = next() as u8;
        }
        let bytes = [&sealed[..10], &payload, signature].concat();
        let _ = adyton_attestation::evidence::Evidence::parse(&bytes);
    }
}

//! Ranges of the settings, and what the sampler does with them.

use crate::sampler::Sampler;
use crate::{EngineError, Sampling, SamplingError as E};
use adyton_guardrail::Text;

#[test]
fn values_out_of_range_name_the_field() {
    let s = || Sampling::new(1);
    let nan = f32::NAN;
    for bad in [-0.1, 2.1, nan, f32::INFINITY] {
        assert_eq!(s().temperature(bad), Err(E::Temperature));
    }
    for bad in [0.0, -1.0, 1.1, nan] {
        assert_eq!(s().top_p(bad), Err(E::TopP));
    }
    for bad in [-0.1, 1.1, nan] {
        assert_eq!(s().min_p(bad), Err(E::MinP));
    }
    for bad in [-2.1, 2.1, nan] {
        assert_eq!(s().presence_penalty(bad), Err(E::PresencePenalty));
        assert_eq!(s().frequency_penalty(bad), Err(E::FrequencyPenalty));
    }
    for bad in [0.0, 2.1, nan] {
        assert_eq!(s().repetition_penalty(bad), Err(E::RepetitionPenalty));
    }
    assert_eq!(s().max_tokens(0), Err(E::MaxTokens));
    assert_eq!(s().up_to(0), Err(E::MaxTokens));
    assert_eq!(s().stop([Text::from("")]), Err(E::Stop));
    assert_eq!(s().stop((0..5).map(|_| Text::from("x"))), Err(E::Stop));
    assert_eq!(s().stop([Text::from("x".repeat(257))]), Err(E::Stop));
    assert!(s().temperature(0.0).and_then(|s| s.top_p(1.0)).and_then(|s| s.min_p(1.0)).is_ok());
}

fn draws(sampling: Sampling, logits: &[f32], n: usize) -> Vec<u32> {
    let mut sampler = Sampler::new(sampling, &[]);
    (0..n).map(|_| sampler.next(&mut logits.to_vec()).unwrap()).collect()
}

fn shares(tokens: &[u32], kinds: usize) -> Vec<f64> {
    let share = |id| tokens.iter().filter(|t| **t == id).count() as f64 / tokens.len() as f64;
    (0..kinds as u32).map(share).collect()
}

/// Logarithms of these probabilities.
fn logits(probabilities: &[f32]) -> Vec<f32> {
    probabilities.iter().map(|p| p.ln()).collect()
}

#[test]
fn draws_follow_the_probabilities() {
    let shares = shares(&draws(Sampling::new(3), &logits(&[0.5, 0.3, 0.2]), 20_000), 3);
    for (share, expected) in shares.iter().zip([0.5, 0.3, 0.2]) {
        assert!((share - expected).abs() < 0.02, "{share} {expected}");
    }
}

#[test]
fn seeds_decide() {
    let logits = logits(&[0.25; 4]);
    assert_eq!(draws(Sampling::new(5), &logits, 64), draws(Sampling::new(5), &logits, 64));
    assert_ne!(draws(Sampling::new(5), &logits, 64), draws(Sampling::new(6), &logits, 64));
}

#[test]
fn cuts_keep_what_they_say() {
    let l = logits(&[0.4, 0.3, 0.2, 0.1]);
    let kept = |s: Sampling| {
        let mut tokens = draws(s, &l, 500);
        tokens.sort_unstable();
        tokens.dedup();
        tokens
    };
    let s = || Sampling::new(9);
    assert_eq!(kept(s()), [0, 1, 2, 3]);
    assert_eq!(kept(s().top_k(2)), [0, 1]);
    assert_eq!(kept(s().top_k(9)), [0, 1, 2, 3]);
    assert_eq!(kept(s().top_p(0.5).unwrap()), [0, 1]);
    assert_eq!(kept(s().top_p(0.3).unwrap()), [0]);
    assert_eq!(kept(s().min_p(0.6).unwrap()), [0, 1]);
    assert_eq!(kept(s().min_p(1.0).unwrap()), [0]);
    assert_eq!(kept(s().temperature(0.0).unwrap()), [0]);
    assert_eq!(kept(s().temperature(0.05).unwrap().min_p(0.1).unwrap()), [0]);
}

#[test]
fn top_p_over_a_flat_vocabulary_looks_beyond_the_head() {
    let tokens = draws(Sampling::new(2).top_p(0.9).unwrap(), &vec![0.0; 4096], 4000);
    assert!(tokens.iter().any(|t| *t > 512));
}

#[test]
fn penalties_move_the_choice() {
    let logits = [1.0, 0.9, -1.0];
    let greedy = Sampling::greedy;
    assert_eq!(draws(greedy(), &logits, 3), [0, 0, 0]);
    assert_eq!(draws(greedy().presence_penalty(0.5).unwrap(), &logits, 3), [0, 1, 0]);
    assert_eq!(draws(greedy().frequency_penalty(0.15).unwrap(), &logits, 4), [0, 1, 0, 1]);
    let mut sampler = Sampler::new(greedy().repetition_penalty(1.5).unwrap(), &[0]);
    assert_eq!(sampler.next(&mut logits.to_vec()).unwrap(), 1);
    let mut sampler = Sampler::new(greedy().presence_penalty(2.0).unwrap(), &[0]);
    assert_eq!(sampler.next(&mut logits.to_vec()).unwrap(), 0);
}

#[test]
fn logits_that_are_not_numbers_are_an_error() {
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut sampler = Sampler::new(Sampling::greedy(), &[]);
        assert_eq!(sampler.next(&mut [0.0, bad]), Err(EngineError::NotFinite));
    }
    assert_eq!(Sampler::new(Sampling::greedy(), &[]).next(&mut []), Err(EngineError::NotFinite));
}

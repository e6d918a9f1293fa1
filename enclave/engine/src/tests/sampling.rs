//! Ranges of the settings, and what the sampler does with them.

use crate::sampler::{Masked, Sampler};
use crate::{EngineError, Isa, MAX_BIASES, MAX_LIKELIEST, Sampling, SamplingError as E};
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
    assert_eq!(s().likeliest(MAX_LIKELIEST + 1), Err(E::Likeliest));
    assert_eq!(s().biases(vec![(0, 0.0); MAX_BIASES + 1]), Err(E::Biases));
    for bad in [-100.1, 100.1, nan] {
        assert_eq!(s().biases(vec![(0, bad)]), Err(E::Biases));
    }
    assert!(s().temperature(0.0).and_then(|s| s.top_p(1.0)).and_then(|s| s.min_p(1.0)).is_ok());
}

fn no_mask(_: &mut [f32]) -> Result<Masked, EngineError> {
    Ok(Masked::Nothing)
}

fn draws(sampling: Sampling, logits: &[f32], n: usize) -> Vec<u32> {
    let mut sampler = Sampler::new(sampling, &[]);
    (0..n).map(|_| sampler.next(Isa::best(), &mut logits.to_vec(), &mut no_mask).unwrap().token).collect()
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
    assert_eq!(sampler.next(Isa::best(), &mut logits.to_vec(), &mut no_mask).unwrap().token, 1);
    let mut sampler = Sampler::new(greedy().presence_penalty(2.0).unwrap(), &[0]);
    assert_eq!(sampler.next(Isa::best(), &mut logits.to_vec(), &mut no_mask).unwrap().token, 0);
}

#[test]
fn logits_that_are_not_numbers_are_an_error() {
    for bad in [&[0.0, f32::NAN][..], &[0.0, f32::INFINITY], &[0.0, f32::NEG_INFINITY], &[]] {
        let none = Sampler::new(Sampling::greedy(), &[]).next(Isa::best(), &mut bad.to_vec(), &mut no_mask);
        assert_eq!(none.unwrap_err(), EngineError::NotFinite);
    }
    // A mask that leaves nothing.
    let mut all = |logits: &mut [f32]| {
        logits.fill(f32::NEG_INFINITY);
        Ok(Masked::Some)
    };
    let none = Sampler::new(Sampling::greedy(), &[]).next(Isa::best(), &mut [1.0; 2], &mut all);
    assert_eq!(none.unwrap_err(), EngineError::NotFinite);
}

#[test]
fn what_a_mask_rules_out_is_never_chosen() {
    let mut mask = |logits: &mut [f32]| {
        (logits[0], logits[2]) = (f32::NEG_INFINITY, f32::NEG_INFINITY);
        Ok(Masked::Some)
    };
    let penalised = Sampling::new(4).presence_penalty(-2.0).and_then(|s| s.repetition_penalty(2.0));
    for sampling in [Sampling::new(4), Sampling::greedy(), Sampling::new(4).top_k(3), penalised.unwrap()] {
        let mut sampler = Sampler::new(sampling, &[]);
        for _ in 0..500 {
            let logits = &mut [9.0, -3.0, 9.0, -50.0];
            let token = sampler.next(Isa::best(), logits, &mut mask).unwrap().token;
            assert!([1, 3].contains(&token));
        }
    }
}

#[test]
fn biases_lean_and_log_probabilities_are_told_as_they_were_before() {
    let logits = logits(&[0.5, 0.3, 0.15, 0.05]);
    let biased = Sampling::greedy().biases(vec![(2, 5.0), (9, 100.0)]).unwrap().likeliest(2).unwrap();
    let choice = Sampler::new(biased, &[]).next(Isa::best(), &mut logits.clone(), &mut no_mask).unwrap();
    let told = choice.logprobs.unwrap();
    assert_eq!((choice.token, told.chosen.0), (2, 2));
    assert!((told.chosen.1 - 0.15f32.ln()).abs() < 1e-5);
    assert_eq!(told.likeliest.iter().map(|(token, _)| *token).collect::<Vec<_>>(), [0, 1]);
    assert!((told.likeliest[0].1 - 0.5f32.ln()).abs() < 1e-5);
    let banned = Sampling::new(5).biases(vec![(0, -100.0)]).unwrap();
    assert!(!draws(banned, &logits, 2_000).contains(&0));
}

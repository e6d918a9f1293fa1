//! Whole generations, one at a time: limits, stops, reproducibility.

use super::tiny::{CONTEXT, Tiny};
use super::{HOUR, engine, scope, screened, smollm};
use crate::{Event, FinishReason, Generation, Model, Sampling, StartError, Usage};
use adyton_guardrail::Text;
use std::sync::Arc;
use std::time::Instant;

pub(super) struct Outcome {
    pub(super) text: String,
    pub(super) reason: FinishReason,
    usage: Usage,
}

/// One generation, alone in an engine.
pub(super) fn run(model: &Arc<Model>, turns: &[&str], sampling: Sampling) -> Outcome {
    let generation = Generation::start(model, &screened(turns), sampling).unwrap();
    let mut engine = engine(model, |settings| settings);
    let now = Instant::now();
    engine.submit(generation, scope(1, 1), now + HOUR).unwrap();
    let (mut text, mut end) = (String::new(), None);
    while !engine.is_idle() {
        engine.step(now, &mut |_, event| match event {
            Event::Text(piece, _) => text.push_str(piece.expose()),
            Event::Finished(reason, usage) => end = Some((reason, usage)),
            Event::Cut(error) => panic!("{error}"),
        });
    }
    let (reason, usage) = end.unwrap();
    Outcome { text, reason, usage }
}

#[test]
fn the_same_seed_gives_the_same_answer() {
    let model = Tiny::new().model();
    let answer = |seed| run(&model, &["hello"], Sampling::new(seed).max_tokens(20).unwrap()).text;
    assert_eq!(answer(1), answer(1));
    assert_ne!(answer(1), answer(2));
}

#[test]
fn max_tokens_ends_with_length() {
    let model = Tiny::new().model();
    let outcome = run(&model, &["hello"], Sampling::greedy().max_tokens(3).unwrap());
    assert_eq!(outcome.usage.completion_tokens, 3);
    assert_eq!(outcome.reason, FinishReason::Length);
}

#[test]
fn the_context_is_a_clear_limit() {
    let model = Tiny::new().model();
    let long = "x".repeat(200);
    let refused =
        |turns: &[&str], sampling| Generation::start(&model, &screened(turns), sampling).unwrap_err();
    let StartError::ContextExceeded { prompt_tokens, max_tokens: 1, context_length } =
        refused(&[&long], Sampling::greedy())
    else {
        panic!()
    };
    assert!(prompt_tokens > 200 && context_length == CONTEXT as usize);
    let too_many = refused(&["hello"], Sampling::greedy().max_tokens(90).unwrap());
    assert!(matches!(too_many, StartError::ContextExceeded { max_tokens: 90, .. }));
    let message = too_many.to_string();
    assert!(message.contains("do not fit the context of 96 tokens"), "{message}");
}

#[test]
fn up_to_takes_the_room_that_is_left() {
    let model = Tiny::new().model();
    let up_to = |seed, tokens| Sampling::new(seed).up_to(tokens).unwrap();
    assert_eq!(run(&model, &["hello"], up_to(0, 3)).usage.completion_tokens, 3);
    let outcome = (0..50)
        .map(|seed| run(&model, &["hello"], up_to(seed, 1000)))
        .find(|o| o.reason == FinishReason::Length)
        .unwrap();
    assert_eq!(outcome.usage.prompt_tokens + outcome.usage.completion_tokens, CONTEXT as usize);
    let none = Generation::start(&model, &screened(&[&"x".repeat(200)]), up_to(0, 7)).unwrap_err();
    assert!(matches!(none, StartError::ContextExceeded { max_tokens: 1, .. }));
}

#[test]
fn the_last_position_of_the_context_is_room() {
    let model = Tiny::new().model();
    let around =
        Generation::start(&model, &screened(&[""]), Sampling::greedy()).unwrap().usage().prompt_tokens;
    let tokens = |n: usize| "x".repeat(CONTEXT as usize - around - n);
    let start = |left, sampling| Generation::start(&model, &screened(&[&tokens(left)]), sampling);
    let up_to = || Sampling::greedy().up_to(9).unwrap();
    assert!(start(1, up_to()).is_ok() && start(1, Sampling::greedy()).is_ok());
    assert!(start(1, Sampling::greedy().max_tokens(2).unwrap()).is_err());
    assert!(start(0, up_to()).is_err() && start(0, Sampling::greedy()).is_err());
}

#[test]
fn the_whole_context_can_be_used() {
    let model = Tiny::new().model();
    // A penalty on the end of turn is not to be had, so take the seeds that do not end early.
    let outcome = (0..50)
        .map(|seed| run(&model, &["hello"], Sampling::new(seed)))
        .find(|o| o.reason == FinishReason::Length)
        .unwrap();
    assert_eq!(outcome.usage.prompt_tokens + outcome.usage.completion_tokens, CONTEXT as usize);
}

#[test]
fn stop_strings_end_with_stop() {
    let model = Tiny::new().model();
    let sampling = || Sampling::new(4).max_tokens(40).unwrap();
    let free = run(&model, &["hello"], sampling()).text;
    let stop: String = free.chars().skip(5).take(2).collect();
    let cut = run(&model, &["hello"], sampling().stop([Text::from(stop.as_str())]).unwrap());
    assert_eq!(cut.text, free[..free.find(&stop).unwrap()]);
    assert_eq!(cut.reason, FinishReason::Stop);
}

#[test]
fn debug_shows_no_text() {
    let model = Tiny::new().model();
    let generation = Generation::start(&model, &screened(&["hello secret"]), Sampling::greedy()).unwrap();
    let shown = format!("{generation:?} {model:?} {:?}", model.tokenizer());
    assert!(!shown.contains("secret"), "{shown}");
}

#[test]
fn smollm_answers_and_ends_its_turn() {
    let Some(model) = smollm() else { return };
    let sampling = Sampling::greedy().max_tokens(60).unwrap();
    let outcome = run(&model, &["What is the capital of France? Answer in one sentence."], sampling);
    assert!(outcome.text.contains("Paris"), "{}", outcome.text);
    assert_eq!(outcome.reason, FinishReason::Stop);
}

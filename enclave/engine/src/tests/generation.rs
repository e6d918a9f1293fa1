//! Whole generations: steps, limits, reproducibility, several at a time.

use super::tiny::{CONTEXT, Tiny};
use super::{screened, smollm};
use crate::cache::{BLOCK, KvCache};
use crate::{FinishReason, Generation, Model, Sampling, StartError, Step, Usage};
use adyton_guardrail::Text;
use std::sync::Arc;

struct Outcome {
    text: String,
    reason: FinishReason,
    usage: Usage,
}

fn run(model: &Arc<Model>, turns: &[&str], sampling: Sampling) -> Outcome {
    let mut generation = Generation::start(model, &screened(turns), sampling).unwrap();
    let mut text = String::new();
    loop {
        match generation.step().unwrap() {
            Step::Prefilled { done, total } => assert!(done <= total),
            Step::Text(piece) => text.push_str(piece.expose()),
            Step::Finished(reason) => return Outcome { text, reason, usage: generation.usage() },
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_answer() {
    let model = Tiny::new().model();
    let answer = |seed| run(&model, &["hello"], Sampling::new(seed).max_tokens(20).unwrap()).text;
    assert_eq!(answer(1), answer(1));
    assert_ne!(answer(1), answer(2));
}

#[test]
fn generations_in_turns_do_not_touch_each_other() {
    let model = Tiny::new().model();
    let sampling = |seed| Sampling::new(seed).max_tokens(30).unwrap();
    let turns = ["hello", "a longer question about hello"];
    let alone: Vec<String> =
        turns.iter().zip(1..).map(|(t, seed)| run(&model, &[t], sampling(seed)).text).collect();
    let start = |(t, seed): (&&str, u64)| Generation::start(&model, &screened(&[t]), sampling(seed)).unwrap();
    let mut both: Vec<(Generation, String)> =
        turns.iter().zip(1..).map(|g| (start(g), String::new())).collect();
    for _ in 0..100 {
        for (generation, text) in &mut both {
            if let Step::Text(piece) = generation.step().unwrap() {
                text.push_str(piece.expose());
            }
        }
    }
    assert_eq!(both.into_iter().map(|(_, text)| text).collect::<Vec<_>>(), alone);
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
fn a_finished_generation_stays_finished() {
    let model = Tiny::new().model();
    let sampling = Sampling::greedy().max_tokens(1).unwrap();
    let mut generation = Generation::start(&model, &screened(&["hello"]), sampling).unwrap();
    while !matches!(generation.step().unwrap(), Step::Finished(_)) {}
    assert!(matches!(generation.step().unwrap(), Step::Finished(FinishReason::Length)));
}

#[test]
fn prefill_goes_in_chunks() {
    let model =
        Tiny::new().set("llama.context_length", candle_core::quantized::gguf_file::Value::U32(600)).model();
    let mut generation =
        Generation::start(&model, &screened(&[&"x".repeat(300)]), Sampling::greedy()).unwrap();
    let mut seen = Vec::new();
    while let Step::Prefilled { done, total } = generation.step().unwrap() {
        seen.push(done);
        assert_eq!(total, generation.usage().prompt_tokens);
    }
    assert_eq!(seen[..2], [128, 256]);
    assert_eq!(seen.last(), Some(&generation.usage().prompt_tokens));
}

#[test]
fn chunks_of_any_size_and_format_see_the_same_past() {
    use candle_core::quantized::GgmlDType as T;
    let tokens: Vec<u32> = (0..BLOCK as u32 + 20).map(|i| 2 + (i * 37) % 250).collect();
    // candle rounds activations to 8 bits for the formats that it multiplies itself.
    for (kind, limit) in [(T::Q4_1, 0.01), (T::Q8_0, 0.01), (T::F32, 0.001), (T::F16, 0.001), (T::Q5_0, 0.3)]
    {
        let transformer = &Tiny::of(kind).model().transformer;
        let last = |chunk: usize| {
            let mut cache = KvCache::new(&transformer.config);
            tokens.chunks(chunk).map(|c| transformer.forward(c, &mut cache).unwrap().to_vec()).last().unwrap()
        };
        let whole = last(tokens.len());
        for chunk in [1, 7, 32, BLOCK] {
            let distance = whole.iter().zip(last(chunk)).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(distance < limit, "{kind:?} in chunks of {chunk}: {distance}");
        }
    }
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

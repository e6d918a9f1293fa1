//! Many generations at once: each as if it were alone.

use super::tiny::Tiny;
use super::{HOUR, engine, scope, screened, smollm};
use crate::{
    EngineError, Event, FinishReason, Generation, Isa, Model, Refused, Sampling, Scope, SequenceId, Settings,
};
use candle_core::quantized::gguf_file::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

fn model() -> Arc<Model> {
    Tiny::new().set("llama.context_length", Value::U32(2048)).model()
}

fn generation(model: &Arc<Model>, turns: &[&str], sampling: Sampling) -> Generation {
    Generation::start(model, &screened(turns), sampling).unwrap()
}

/// What a sequence said, and how it ended: none while it runs, an error if it was cut.
#[derive(Debug, Default, PartialEq)]
struct Said {
    text: String,
    end: Option<Result<FinishReason, EngineError>>,
}

type Heard = BTreeMap<SequenceId, Said>;

fn hear(heard: &mut Heard, id: SequenceId, event: Event) {
    let said = heard.entry(id).or_default();
    assert!(said.end.is_none(), "an event after the end");
    match event {
        Event::Text(text, _) => said.text.push_str(text.expose()),
        Event::Finished(reason, _) => said.end = Some(Ok(reason)),
        Event::Cut(error) => said.end = Some(Err(error)),
    }
}

fn run(engine: &mut crate::Engine) -> Heard {
    let mut heard = Heard::new();
    while !engine.is_idle() {
        engine.step(Instant::now(), &mut |id, event| hear(&mut heard, id, event));
    }
    heard
}

fn alone(model: &Arc<Model>, turns: &[&str], sampling: Sampling) -> String {
    let mut engine = engine(model, |settings| settings);
    engine.submit(generation(model, turns, sampling), scope(1, 1), Instant::now() + HOUR).unwrap();
    run(&mut engine).pop_first().unwrap().1.text
}

/// Questions of different lengths, each with a seed of its own.
fn questions() -> Vec<(String, Sampling)> {
    let question = |i: u64| "why hello ".repeat(1 + i as usize * 7 % 20);
    (0..12).map(|i| (question(i), Sampling::new(i).max_tokens(40).unwrap())).collect()
}

/// Runs all questions together, the later ones submitted while the first run.
fn together(model: &Arc<Model>, settings: impl FnOnce(Settings) -> Settings) -> Vec<String> {
    let mut engine = engine(model, settings);
    let (mut heard, mut ids) = (Heard::new(), Vec::new());
    for (n, (question, sampling)) in questions().into_iter().enumerate() {
        let generation = generation(model, &[&question], sampling);
        ids.push(engine.submit(generation, scope(n as u8 % 3, n as u64), Instant::now() + HOUR).unwrap());
        engine.step(Instant::now(), &mut |id, event| hear(&mut heard, id, event));
    }
    while !engine.is_idle() {
        engine.step(Instant::now(), &mut |id, event| hear(&mut heard, id, event));
    }
    ids.iter()
        .map(|id| heard.remove(id).unwrap())
        .inspect(|said| assert!(matches!(said.end, Some(Ok(_)))))
        .map(|said| said.text)
        .collect()
}

#[test]
fn an_answer_does_not_depend_on_what_runs_beside_it() {
    let model = model();
    let expected: Vec<String> = questions().into_iter().map(|(q, s)| alone(&model, &[&q], s)).collect();
    assert!(expected.iter().filter(|text| text.len() > 20).count() > 6);
    assert_eq!(together(&model, |settings| settings), expected);
    assert_eq!(
        together(&model, |settings| Settings { threads: 1, running: 3, rows: 16, ..settings }),
        expected
    );
    assert_eq!(together(&model, |settings| Settings { isa: Isa::all()[0], ..settings }), expected, "plain");
    // So little memory that sequences are preempted and computed anew.
    let preempting =
        |settings: Settings| Settings { cache_bytes: settings.cache_bytes / 64 / 20, ..settings };
    assert_eq!(together(&model, preempting), expected, "preempted");
}

#[test]
fn guesses_change_no_answer() {
    let model = model();
    let expected: Vec<String> = questions().into_iter().map(|(q, s)| alone(&model, &[&q], s)).collect();
    for guesses in [1, 3, 7] {
        assert_eq!(
            together(&model, |settings| Settings { guesses, ..settings }),
            expected,
            "{guesses} guesses"
        );
    }
}

/// A model that says the same over and over, so that guesses come true.
#[test]
fn guesses_that_come_true_save_steps() {
    let Some(model) = smollm() else { return };
    let steps = |guesses| {
        let mut engine = engine(&model, |settings| Settings { guesses, ..settings });
        let sampling = Sampling::greedy().max_tokens(60).unwrap();
        let ask = "Repeat this line ten times: the quick brown fox jumps over the lazy dog";
        engine.submit(generation(&model, &[ask], sampling), scope(1, 1), Instant::now() + HOUR).unwrap();
        let (mut steps, mut text) = (0, String::new());
        while !engine.is_idle() {
            engine.step(Instant::now(), &mut |_, event| {
                if let Event::Text(piece, _) = event {
                    text.push_str(piece.expose());
                }
            });
            steps += 1;
        }
        (steps, text)
    };
    let ((plain, expected), (guessing, text)) = (steps(0), steps(4));
    println!("{plain} steps without guesses, {guessing} with");
    assert_eq!(text, expected);
    assert!(guessing < plain);
}

#[test]
fn a_conversation_goes_on_where_it_was_and_only_its_own() {
    let model = model();
    let greedy = || Sampling::greedy().max_tokens(20).unwrap();
    let long = "a story about hello and why ".repeat(10);
    // Rows computed for the second turn, and what it said.
    let second = |first: Scope, next: Scope| {
        let mut engine = engine(&model, |settings| Settings { rows: 8, running: 1, ..settings });
        let ask = |engine: &mut crate::Engine, turns: &[&str], scope: Scope| {
            engine.submit(generation(&model, turns, greedy()), scope, Instant::now() + HOUR).unwrap();
            let mut steps = 0;
            let mut heard = Heard::new();
            while !engine.is_idle() {
                engine.step(Instant::now(), &mut |id, event| hear(&mut heard, id, event));
                steps += 1;
            }
            (heard.pop_first().unwrap().1.text, steps)
        };
        let (answer, _) = ask(&mut engine, &[&long], first);
        ask(&mut engine, &[&long, &answer, "and then?"], next)
    };
    let (expected, whole) = second(scope(1, 1), scope(2, 1));
    for (next, shorter) in [(scope(1, 1), true), (scope(1, 2), false), (scope(2, 2), false)] {
        let (text, steps) = second(scope(1, 1), next);
        assert_eq!(text, expected);
        assert_eq!(steps < whole, shorter, "{next:?}: {steps} steps against {whole}");
    }
}

#[test]
fn what_is_given_back_is_wiped_and_given_back_whole() {
    let model = model();
    let mut engine = engine(&model, |settings| settings);
    for n in 0..4u8 {
        let sampling = Sampling::new(1).max_tokens(30).unwrap();
        let generation = generation(&model, &["hello hello hello"], sampling);
        engine.submit(generation, scope(n, u64::from(n)), Instant::now() + HOUR).unwrap();
    }
    (0..5).for_each(|_| engine.step(Instant::now(), &mut |_, _| {}));
    assert!(engine.blocks_taken() > 0);
    engine.cancel(SequenceId(0));
    engine.cut_all(&mut |_, event| assert!(matches!(event, Event::Cut(EngineError::Ended))));
    assert!(engine.is_idle() && engine.blocks_taken() == 0 && engine.blocks_are_wiped());
}

#[test]
fn a_session_that_is_over_leaves_nothing() {
    let model = model();
    let mut engine = engine(&model, |settings| settings);
    for session in [1, 2] {
        let generation = generation(&model, &["hello"], Sampling::greedy().max_tokens(4).unwrap());
        engine.submit(generation, scope(1, session), Instant::now() + HOUR).unwrap();
        run(&mut engine);
    }
    let both = engine.blocks_taken();
    engine.forget(1);
    assert!(both > 0 && engine.blocks_taken() == both / 2);
    engine.forget(2);
    assert!(engine.blocks_taken() == 0 && engine.blocks_are_wiped() && !engine.keeps());
    // One that still runs when its session ends leaves nothing either.
    let generation = generation(&model, &["hello"], Sampling::greedy().max_tokens(4).unwrap());
    engine.submit(generation, scope(1, 3), Instant::now() + HOUR).unwrap();
    engine.forget(3);
    run(&mut engine);
    assert!(engine.blocks_taken() == 0 && engine.blocks_are_wiped());
}

#[test]
fn whoever_hangs_up_or_is_late_ends_at_once() {
    let model = model();
    let mut engine = engine(&model, |settings| settings);
    let (now, mut heard) = (Instant::now(), Heard::new());
    let start = || generation(&model, &["hello"], Sampling::greedy().max_tokens(1000).unwrap());
    let gone = engine.submit(start(), scope(1, 1), now + HOUR).unwrap();
    let late = engine.submit(start(), scope(1, 1), now + Duration::from_secs(1)).unwrap();
    let stays = engine.submit(start(), scope(1, 1), now + HOUR).unwrap();
    engine.step(now, &mut |id, event| hear(&mut heard, id, event));
    engine.cancel(gone);
    engine.step(now + Duration::from_secs(2), &mut |id, event| hear(&mut heard, id, event));
    assert_eq!(heard[&late].end, Some(Err(EngineError::Ended)));
    assert_eq!((&heard[&gone].end, &heard[&stays].end), (&None, &None));
    assert_eq!(engine.load(), (1, 0));
}

#[test]
fn what_can_never_fit_is_refused_and_what_cannot_fit_now_waits() {
    let model = model();
    let mut engine =
        engine(&model, |settings| Settings { cache_bytes: settings.cache_bytes / 64 / 20, ..settings });
    let capacity = engine.capacity();
    assert!((100..2048).contains(&capacity), "{capacity}");
    let start = |tokens| generation(&model, &["hello"], Sampling::new(1).max_tokens(tokens).unwrap());
    let refused = engine.submit(start(capacity), scope(1, 1), Instant::now() + HOUR).unwrap_err();
    assert!(matches!(refused, Refused::TooLarge { most, .. } if most == capacity));
    let other = Tiny::new().model();
    let foreign = generation(&other, &["hello"], Sampling::greedy().max_tokens(1).unwrap());
    assert_eq!(engine.submit(foreign, scope(1, 1), Instant::now() + HOUR), Err(Refused::OtherModel));
    for n in 0..30 {
        engine.submit(start(50), scope(n, 1), Instant::now() + HOUR).unwrap();
    }
    let heard = run(&mut engine);
    assert!(heard.len() == 30 && heard.values().all(|said| matches!(said.end, Some(Ok(_)))));
}

#[test]
fn likelihoods_come_with_the_text_that_they_are_of() {
    let model = model();
    let mut engine = engine(&model, |settings| settings);
    let sampling = Sampling::new(3).max_tokens(60).unwrap().likeliest(3).unwrap();
    engine.submit(generation(&model, &["hello"], sampling), scope(1, 1), Instant::now() + HOUR).unwrap();
    let (mut text, mut bytes, mut count) = (Vec::new(), Vec::new(), 0);
    while !engine.is_idle() {
        engine.step(Instant::now(), &mut |_, event| {
            let Event::Text(piece, likelihoods) = event else { return };
            text.extend_from_slice(piece.expose().as_bytes());
            for likelihood in likelihoods {
                count += 1;
                bytes.extend_from_slice(&likelihood.chosen.bytes);
                let ranks: Vec<f32> =
                    likelihood.likeliest.iter().map(|candidate| candidate.logprob).collect();
                assert!(ranks.len() == 3 && ranks.is_sorted_by(|a, b| a >= b) && ranks[0] < 0.0);
                assert!(likelihood.chosen.logprob <= ranks[0]);
            }
            let shown = String::from_utf8_lossy(&bytes);
            assert!(
                String::from_utf8_lossy(&text)
                    .starts_with(shown.trim_end_matches(char::REPLACEMENT_CHARACTER))
            );
        });
    }
    assert!(count > 10);
}

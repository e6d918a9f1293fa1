//! The engine's forward pass against the reference, over architectures, head layouts, rotary scalings and formats.

use super::models::{self, Formats, Plan};
use super::reference::{self, Kept, compare};
use super::tiny::vocabulary;
use crate::Model;
use crate::cache::{Blocks, KvCache};
use crate::forward::{Span, Workspace};
use adyton_kernels::{Isa, Pool};
use candle_core::quantized::GgmlDType as T;
use std::io::Cursor;

/// Tokens that are compared: several blocks of the cache, and past the first context of stretched models.
const TOKENS: u32 = 200;
/// Tokens that are compared in passes over one.
const ANSWER: usize = 50;
/// Mean KL divergence, in nats: activations are rounded to 8 bits, with one scale for 32 of them.
const MAX_KL: f64 = 0.015;
const MAX_KL_OUTLIERS: f64 = 0.06;

/// Largest difference of a logit in f32. A key or value that rounds to the other neighbour in f16, because it was summed in
/// another order, moves a logit by so much; those differ by about 3.
const LARGEST: f32 = 5e-3;

/// Logits of all positions by the engine, (tokens, vocabulary).
pub(super) fn engine_logits(model: &Model, tokens: &[u32]) -> Vec<f32> {
    engine_logits_in_chunks(model, tokens, tokens.len())
}

/// As `engine_logits`, in passes over so many tokens: 1 is how answers are made.
pub(super) fn engine_logits_in_chunks(model: &Model, tokens: &[u32], chunk: usize) -> Vec<f32> {
    logits_by(model, tokens, chunk, Isa::best(), 2)
}

/// As `engine_logits_in_chunks`, with these instructions and so many threads.
fn logits_by(model: &Model, tokens: &[u32], chunk: usize, isa: Isa, threads: usize) -> Vec<f32> {
    let (transformer, chunk) = (&model.transformer, chunk.min(tokens.len()));
    let config = &transformer.config;
    let mut work = Workspace::new(config, isa, Pool::new(threads).unwrap(), chunk, chunk);
    let mut blocks = Blocks::new(config, Blocks::bytes(config, tokens.len()));
    let mut cache = KvCache::default();
    let mut all = Vec::with_capacity(tokens.len() * config.vocab);
    for tokens in tokens.chunks(chunk) {
        let end = cache.len() + tokens.len();
        assert!(blocks.grow(&mut cache, end));
        let span = Span { cache: &mut cache, tokens, logits: tokens.len() };
        transformer.run(&mut work, &mut [span]).unwrap();
        (0..tokens.len()).for_each(|n| all.extend_from_slice(work.logits(n, config.vocab)));
    }
    all
}

/// Tokens in an order without a pattern, control tokens left out.
pub(super) fn tokens() -> Vec<u32> {
    (0..TOKENS).map(|i| 2 + (i * i * 31 + i * 17) % (vocabulary().len() as u32 - 2)).collect()
}

fn reference_logits(plan: &Plan, kept: Kept) -> Vec<f32> {
    reference::logits(Cursor::new(plan.tiny().bytes()), &tokens(), kept)
}

#[test]
fn every_model_in_f32_gives_the_logits_of_the_reference() {
    for plan in &models::all() {
        let expected = reference_logits(plan, Kept::Half);
        let found = engine_logits(&plan.tiny().model(), &tokens());
        let distance = expected.iter().zip(&found).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        println!("{}: largest difference {distance:.1e}", plan.name);
        assert!(expected.len() == found.len() && distance < LARGEST, "{}: {distance}", plan.name);
    }
}

#[test]
fn every_format_stays_near_the_reference() {
    let formats = [T::Q4_0, T::Q4_1, T::Q5_0, T::Q5_1, T::Q8_0, T::Q4K, T::Q5K, T::Q6K, T::F16];
    let mixtures = [Formats::Q4KM, Formats::Q5KM, Formats::Q4KMNarrow];
    for formats in formats.map(Formats::All).into_iter().chain(mixtures) {
        let plans = models::all().into_iter().step_by(3);
        for plan in plans.filter(|plan| plan.fits(formats.width())).map(|plan| plan.formats(formats)) {
            stays_near(&plan, &format!("{formats:?}, {}", plan.name));
        }
    }
}

fn stays_near(plan: &Plan, what: &str) {
    let (expected, model) = (reference_logits(plan, Kept::Exact), plan.tiny().model());
    let vocab = vocabulary().len();
    for (count, chunk) in [(TOKENS as usize, TOKENS as usize), (ANSWER, 1)] {
        let found = engine_logits_in_chunks(&model, &tokens()[..count], chunk);
        let agreement = compare(&expected[..count * vocab], &found, vocab);
        println!("{what}, chunks of {chunk}: {agreement:?}");
        let limit = if plan.outliers { MAX_KL_OUTLIERS } else { MAX_KL };
        assert!(agreement.kl < limit, "{what}, chunks of {chunk}: {agreement:?}");
    }
}

#[test]
fn logits_are_the_same_bits_whatever_chunks_threads_and_instructions() {
    let bits = |logits: Vec<f32>| -> Vec<u32> { logits.into_iter().map(f32::to_bits).collect() };
    for (plan, format) in
        models::all().into_iter().step_by(4).zip([T::Q4_1, T::Q8_0, T::Q5_0, T::F16, T::F32])
    {
        let (name, model) = (plan.name, plan.formats(Formats::All(format)).tiny().model());
        let tokens = &tokens()[..ANSWER];
        let expected = bits(engine_logits(&model, tokens));
        for chunk in [1, 7, 16, 33] {
            assert!(
                bits(engine_logits_in_chunks(&model, tokens, chunk)) == expected,
                "{name} in chunks of {chunk}"
            );
        }
        for isa in Isa::all() {
            for threads in [1, 3] {
                let found = bits(logits_by(&model, tokens, 16, isa, threads));
                assert!(found == expected, "{name} with {} and {threads} threads", isa.name());
            }
        }
    }
}

//! The engine's forward pass against the reference, over architectures, head layouts, rotary scalings and formats.

use super::models::{self, Formats, Plan};
use super::reference::{self, compare};
use super::tiny::vocabulary;
use crate::Model;
use crate::cache::KvCache;
use candle_core::quantized::GgmlDType as T;
use std::io::Cursor;

/// Tokens that are compared: several blocks of the cache, and past the first context of stretched models.
const TOKENS: u32 = 200;
/// Tokens that are compared in passes over one.
const ANSWER: usize = 50;
/// Mean KL divergence, in nats. candle's products round activations to 8 bits, with one scale for 32 of them or, in the
/// K formats, for 256: up to 0.009 was measured, and 0.22 over the model of outliers in the K formats.
const MAX_KL: f64 = 0.015;
const MAX_KL_OUTLIERS: f64 = 0.4;

/// Logits of all positions by the engine, (tokens, vocabulary).
pub(super) fn engine_logits(model: &Model, tokens: &[u32]) -> Vec<f32> {
    engine_logits_in_chunks(model, tokens, tokens.len())
}

/// As `engine_logits`, in passes over so many tokens: 1 is how answers are made.
pub(super) fn engine_logits_in_chunks(model: &Model, tokens: &[u32], chunk: usize) -> Vec<f32> {
    let transformer = &model.transformer;
    let mut cache = KvCache::new(&transformer.config);
    let mut pass = |chunk: &[u32]| {
        let hidden = transformer.hidden(chunk, &mut cache).unwrap();
        transformer.logits(&hidden).unwrap().to_vec()
    };
    rayon::scope(|_| tokens.chunks(chunk).flat_map(&mut pass).collect())
}

/// Tokens in an order without a pattern, control tokens left out.
pub(super) fn tokens() -> Vec<u32> {
    (0..TOKENS).map(|i| 2 + (i * i * 31 + i * 17) % (vocabulary().len() as u32 - 2)).collect()
}

fn reference_logits(plan: &Plan) -> Vec<f32> {
    reference::logits(Cursor::new(plan.tiny().bytes()), &tokens())
}

#[test]
fn every_model_in_f32_gives_the_logits_of_the_reference() {
    for plan in models::all().iter().filter(|plan| plan.is_llama()) {
        let expected = reference_logits(plan);
        let found = engine_logits(&plan.tiny().model(), &tokens());
        let distance = expected.iter().zip(&found).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        println!("{}: largest difference {distance:.1e}", plan.name);
        assert!(expected.len() == found.len() && distance < 5e-4, "{}: {distance}", plan.name);
    }
}

#[test]
fn every_format_stays_near_the_reference() {
    let formats = [T::Q4_0, T::Q4_1, T::Q5_0, T::Q5_1, T::Q8_0, T::Q4K, T::Q5K, T::Q6K, T::F16];
    let mixtures = [Formats::Q4KM, Formats::Q5KM, Formats::Q4KMNarrow];
    for formats in formats.map(Formats::All).into_iter().chain(mixtures) {
        let plans = models::all().into_iter().filter(Plan::is_llama).step_by(3);
        for plan in plans.filter(|plan| plan.fits(formats.width())).map(|plan| plan.formats(formats)) {
            stays_near(&plan, &format!("{formats:?}, {}", plan.name));
        }
    }
}

fn stays_near(plan: &Plan, what: &str) {
    let (expected, model) = (reference_logits(plan), plan.tiny().model());
    let vocab = vocabulary().len();
    for (count, chunk) in [(TOKENS as usize, TOKENS as usize), (ANSWER, 1)] {
        let found = engine_logits_in_chunks(&model, &tokens()[..count], chunk);
        let agreement = compare(&expected[..count * vocab], &found, vocab);
        println!("{what}, chunks of {chunk}: {agreement:?}");
        let limit = if plan.outliers { MAX_KL_OUTLIERS } else { MAX_KL };
        assert!(agreement.kl < limit, "{what}, chunks of {chunk}: {agreement:?}");
    }
}

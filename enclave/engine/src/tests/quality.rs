//! The forward pass over real weights against the same weights dequantised in f32: on a committed text, token by token.

use super::agreement::engine_logits_in_chunks;
use super::reference::{self, Kept, compare};
use super::{model_path, smollm};
use crate::Model;
use std::fs::File;

const TEXT: &str = include_str!("../testdata/text.txt");
/// The marks set for the engine: mean KL divergence in nats, share of equal first choices.
const MAX_KL: f64 = 0.004;
const MIN_AGREEMENT: f64 = 0.96;
/// Tokens per chunk of the chunked passes.
const CHUNK: usize = 128;

/// Tokens of the text that are compared.
const TOKENS: usize = 1024;

#[test]
fn both_paths_are_close_to_the_weights_in_f32() {
    let Some(model) = smollm() else { return };
    let tokens = model.tokenizer().encode(TEXT).unwrap();
    let tokens = &tokens[..TOKENS];
    let exact = reference::logits(File::open(model_path().unwrap()).unwrap(), tokens, Kept::Exact);
    check(&model, tokens, &exact);
}

fn check(model: &Model, tokens: &[u32], exact: &[f32]) {
    for (what, rows) in [("prefill", CHUNK), ("decode", 1)] {
        let found = engine_logits_in_chunks(model, tokens, rows);
        let agreement = compare(exact, &found, model.tokenizer().vocabulary());
        println!("{what}: {} tokens, {agreement:?}", tokens.len());
        assert!(agreement.kl < MAX_KL, "{what}: {agreement:?}");
        assert!(agreement.top1 > MIN_AGREEMENT, "{what}: {agreement:?}");
    }
}

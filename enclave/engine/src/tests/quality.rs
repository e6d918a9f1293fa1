//! The forward pass over real weights against the same weights dequantised in f32: on a committed text, token by token.

use super::agreement::engine_logits_in_chunks;
use super::reference::{self, Kept, compare};
use super::{model_path, smollm};
use crate::{Limits, Model};
use std::fs::File;
use std::path::PathBuf;

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

/// Tokens of the text that are compared for the larger model: its reference is slow.
const FEWER_TOKENS: usize = 256;

#[test]
fn a_larger_model_in_mixed_formats_is_close_too() {
    let Some((model, path)) = qwen() else { return };
    let tokens = model.tokenizer().encode(TEXT).unwrap();
    let tokens = &tokens[..FEWER_TOKENS];
    let exact = reference::logits(File::open(path).unwrap(), tokens, Kept::Exact);
    check(&model, tokens, &exact);
}

/// Qwen2.5-Coder-1.5B beside the small model; `None`, and a line that says so, where it is absent.
fn qwen() -> Option<(Model, PathBuf)> {
    smollm()?;
    let path = model_path()?.with_file_name("Qwen2.5-Coder-1.5B-Instruct.Q4_K_M.gguf");
    let Ok(file) = File::open(&path) else {
        println!("SKIPPED: Qwen2.5-Coder-1.5B-Instruct.Q4_K_M.gguf is absent, tests/fetch-qwen fetches it");
        return None;
    };
    let size = file.metadata().unwrap().len();
    Some((Model::load(file, size, Limits::default()).unwrap(), path))
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

/// Window of the perplexity: of its second half, after its first.
const WINDOW: usize = 512;
/// What llama-perplexity says of the text (llama.cpp 0c1e57098, `-c 512`).
const OF_SMOLLM: f64 = 13.6218;
const OF_QWEN: f64 = 8.8618;

#[test]
fn perplexity_is_llama_cpps() {
    let Some(model) = smollm() else { return };
    near(perplexity(&model), OF_SMOLLM);
    if let Some((model, _)) = qwen() {
        near(perplexity(&model), OF_QWEN);
    }
}

fn near(found: f64, expected: f64) {
    println!("perplexity {found:.4}, llama.cpp's {expected}");
    assert!((found / expected - 1.0).abs() < 0.005, "{found}, {expected}");
}

/// As llama-perplexity counts it: whole windows only.
fn perplexity(model: &Model) -> f64 {
    let (tokens, vocab) = (model.tokenizer().encode(TEXT).unwrap(), model.tokenizer().vocabulary());
    let (mut sum, mut count) = (0.0, 0);
    for window in tokens.chunks_exact(WINDOW) {
        let logits = engine_logits_in_chunks(model, window, CHUNK);
        for (logits, next) in logits.chunks_exact(vocab).zip(&window[1..]).skip(WINDOW / 2) {
            let top = logits.iter().copied().fold(f32::MIN, f32::max);
            let normal = logits.iter().map(|l| f64::from(l - top).exp()).sum::<f64>().ln() + f64::from(top);
            sum += normal - f64::from(logits[*next as usize]);
            count += 1;
        }
    }
    (sum / f64::from(count)).exp()
}

//! The forward pass against the same weights dequantised in f32: on a committed text, token by token.

use super::smollm;
use crate::cache::KvCache;
use crate::forward::Transformer;
use crate::weights::{Layer, Matrix, Weights};
use rayon::prelude::*;

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
    rayon::scope(|_| check(&model.transformer, &tokens[..TOKENS]));
}

fn check(engine: &Transformer, tokens: &[u32]) {
    let exact = in_f32(engine);
    let reference = logits(&exact, &hidden(&exact, tokens, CHUNK), CHUNK);
    for (what, rows) in [("prefill", CHUNK), ("decode", 1)] {
        compare(what, &reference, &logits(engine, &hidden(engine, tokens, rows), rows), engine.config.vocab);
    }
}

fn in_f32(transformer: &Transformer) -> Transformer {
    let c = &transformer.config;
    let Weights { embedding, layers, norm, head, rope_factors } = transformer.weights.clone();
    let dense = |matrix: &Matrix, inputs| Matrix::Float(matrix.dense(inputs).unwrap());
    let layers = layers.into_iter().map(|l| Layer {
        query: dense(&l.query, c.embed),
        key: dense(&l.key, c.embed),
        value: dense(&l.value, c.embed),
        attention_out: dense(&l.attention_out, c.q_dim()),
        gate: dense(&l.gate, c.embed),
        up: dense(&l.up, c.embed),
        down: dense(&l.down, c.ffn),
        ..l
    });
    let head = dense(&head, c.embed);
    let weights = Weights { layers: layers.collect(), head, embedding, norm, rope_factors };
    Transformer::new(c.clone(), weights)
}

fn hidden(transformer: &Transformer, tokens: &[u32], chunk: usize) -> Vec<f32> {
    let mut cache = KvCache::new(&transformer.config);
    tokens.chunks(chunk).flat_map(|chunk| transformer.hidden(chunk, &mut cache).unwrap().to_vec()).collect()
}

fn logits(transformer: &Transformer, hidden: &[f32], rows: usize) -> Vec<f32> {
    hidden
        .chunks(rows * transformer.config.embed)
        .flat_map(|x| transformer.logits(x).unwrap().to_vec())
        .collect()
}

fn compare(what: &str, reference: &[f32], tested: &[f32], vocab: usize) {
    let pairs = reference.par_chunks(vocab).zip(tested.par_chunks(vocab));
    let results: Vec<(f64, bool)> = pairs.map(|(r, t)| (divergence(r, t), best(r) == best(t))).collect();
    let n = results.len() as f64;
    let kl = results.iter().map(|(kl, _)| kl).sum::<f64>() / n;
    let agreement = results.iter().filter(|(_, same)| *same).count() as f64 / n;
    println!("{what}: {n} tokens, mean KL {kl:.5}, top-1 agreement {agreement:.4}");
    assert!(kl < MAX_KL, "mean KL {kl}");
    assert!(agreement > MIN_AGREEMENT, "top-1 agreement {agreement}");
}

/// KL divergence of `q` from `p`, both given as logits, in nats.
fn divergence(p: &[f32], q: &[f32]) -> f64 {
    let normal = |x: &[f32]| {
        let top = f64::from(x.iter().copied().fold(f32::MIN, f32::max));
        top + x.iter().map(|v| (f64::from(*v) - top).exp()).sum::<f64>().ln()
    };
    let (p_normal, q_normal) = (normal(p), normal(q));
    p.iter()
        .zip(q)
        .map(|(p, q)| {
            let (p, q) = (f64::from(*p) - p_normal, f64::from(*q) - q_normal);
            p.exp() * (p - q)
        })
        .sum()
}

fn best(logits: &[f32]) -> usize {
    (0..logits.len()).max_by(|a, b| logits[*a].total_cmp(&logits[*b])).unwrap()
}

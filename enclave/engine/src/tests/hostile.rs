//! Model files that are not what they claim: each a clear error, never a panic.

use super::tiny::{Tiny, load};
use super::{HOUR, engine, pieces, scope, screened};
use crate::{Generation, Limits, LoadError, Model, Sampling, Settings};
use candle_core::quantized::gguf_file::Value;
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use std::io::Cursor;
use std::sync::Arc;
use std::time::Instant;

fn text(t: &str) -> Value {
    Value::String(t.to_owned())
}

fn refused(bytes: &[u8]) -> LoadError {
    load(bytes).unwrap_err()
}

/// A valid file with `new` written over `at`.
fn patched(at: usize, new: &[u8]) -> Vec<u8> {
    let mut bytes = Tiny::new().bytes();
    bytes[at..at + new.len()].copy_from_slice(new);
    bytes
}

/// Where `pattern` first ends in a valid file.
fn after(pattern: &str) -> usize {
    let bytes = Tiny::new().bytes();
    bytes.windows(pattern.len()).position(|w| w == pattern.as_bytes()).unwrap() + pattern.len()
}

#[test]
fn a_valid_file_loads() {
    let model = Tiny::new().load().unwrap();
    assert_eq!((model.name(), model.context_length()), ("tiny", 96));
    assert_eq!(model.control_tokens().collect::<Vec<_>>(), ["<|im_start|>", "<|im_end|>"]);
    assert_eq!(model.tokenizer().vocabulary(), 262);
}

#[test]
fn the_front_of_the_file_is_checked() {
    assert_eq!(refused(b""), LoadError::Truncated { at: 0 });
    assert_eq!(refused(b"not a model at all"), LoadError::NotGguf);
    assert_eq!(refused(b"FUGG\0\0\0\x03"), LoadError::NotGguf);
    for version in [0u32, 1, 4, 0x0300_0000] {
        assert_eq!(refused(&patched(4, &version.to_le_bytes())), LoadError::Version(version));
    }
}

#[test]
fn counts_are_bounded() {
    let huge = (u64::MAX / 2).to_le_bytes();
    let what = |error| match error {
        LoadError::TooLarge { what, .. } => what,
        other => panic!("{other:?}"),
    };
    assert_eq!(what(refused(&patched(8, &huge))), "the number of tensors");
    assert_eq!(what(refused(&patched(16, &huge))), "the number of metadata keys");
    assert_eq!(what(refused(&patched(24, &huge))), "the length of a metadata key");
    let string = after("general.architecture") + 4;
    assert_eq!(what(refused(&patched(string, &huge))), "the length of a metadata string");
    let array = after("tokenizer.ggml.tokens") + 8;
    assert_eq!(what(refused(&patched(array, &huge))), "the length of a metadata array");
    let millions = 2_000_000u64.to_le_bytes();
    assert!(matches!(
        refused(&patched(array, &millions)),
        LoadError::Truncated { .. } | LoadError::TooLarge { .. }
    ));
    assert!(matches!(refused(&patched(string, &1_000_000u64.to_le_bytes())), LoadError::Truncated { .. }));
}

#[test]
fn a_small_header_limit_is_kept() {
    let bytes = Tiny::new().bytes();
    let limits = Limits { max_header_bytes: 1000, ..Limits::default() };
    let error = Model::load(Cursor::new(&bytes), bytes.len() as u64, limits).unwrap_err();
    assert!(matches!(error, LoadError::TooLarge { what: "the header's length in bytes", limit: 1000, .. }));
}

#[test]
fn the_memory_that_a_model_needs_is_known_before_it_is_loaded() {
    let bytes = Tiny::new().bytes();
    let load = |max_memory| {
        Model::load(Cursor::new(&bytes), bytes.len() as u64, Limits { max_memory, ..Limits::default() })
    };
    let LoadError::Memory { needed, limit: 1 } = load(1 << 20).unwrap_err() else { panic!() };
    assert!(load((needed as usize) << 20).is_ok() && load((needed as usize - 1) << 20).is_err());
}

#[test]
fn tensors_lie_inside_the_file() {
    // Behind a name: rank (4 bytes), dimensions (8 each), type (4), offset (8).
    let name = after("blk.0.attn_q.weight");
    let tensor = || "blk.0.attn_q.weight".to_owned();
    let offset = name + 4 + 16 + 4;
    assert_eq!(refused(&patched(offset, &(1u64 << 40).to_le_bytes())), LoadError::TensorOutside(tensor()));
    assert_eq!(refused(&patched(offset, &(u64::MAX - 31).to_le_bytes())), LoadError::TensorOutside(tensor()));
    assert_eq!(
        refused(&patched(offset, &7u64.to_le_bytes())),
        LoadError::Malformed("a tensor offset is not aligned")
    );
    assert_eq!(refused(&patched(name + 4, &(1u64 << 31).to_le_bytes())), LoadError::TensorOutside(tensor()));
    assert_eq!(
        refused(&patched(name + 4, &0u64.to_le_bytes())),
        LoadError::Malformed("a tensor dimension is zero or too large")
    );
    assert_eq!(
        refused(&patched(name, &9u32.to_le_bytes())),
        LoadError::Malformed("a tensor has no dimension, or more than four")
    );
    let kind = name + 4 + 16;
    for id in [4u32, 9, 15, 31, u32::MAX] {
        assert_eq!(
            refused(&patched(kind, &id.to_le_bytes())),
            LoadError::TensorType { tensor: tensor(), id }
        );
    }
}

#[test]
fn shapes_follow_from_the_metadata() {
    let shape = |tiny: Tiny| match tiny.load().unwrap_err() {
        LoadError::Shape { tensor, expected, found } => (tensor, expected, found),
        other => panic!("{other:?}"),
    };
    let wide = shape(Tiny::new().set("llama.feed_forward_length", Value::U32(192)));
    assert_eq!(wide, ("blk.0.ffn_gate.weight".to_owned(), vec![192, 64], vec![128, 64]));
    let norm = shape(Tiny::new().tensor("output_norm.weight", &[32], 1.0));
    assert_eq!(norm, ("output_norm.weight".to_owned(), vec![64], vec![32]));
    assert_eq!(
        Tiny::new().without("blk.1.attn_v.weight").load().unwrap_err(),
        LoadError::MissingTensor("blk.1.attn_v.weight".to_owned())
    );
    assert_eq!(
        Tiny::new().tensor("blk.0.attn_q.bias", &[64], 0.0).load().unwrap_err(),
        LoadError::UnknownTensor("blk.0.attn_q.bias".to_owned())
    );
    assert_eq!(
        Tiny::new().tensor("output_norm.weight", &[64], f32::NAN).load().unwrap_err(),
        LoadError::NotFinite("output_norm.weight".to_owned())
    );
}

#[test]
fn metadata_are_bounded() {
    let cases: [(&str, Value, &str); 17] = [
        ("llama.block_count", Value::U32(0), "out of range"),
        ("llama.block_count", Value::U32(u32::MAX), "out of range"),
        ("llama.block_count", Value::I32(-1), "not a whole number"),
        ("llama.block_count", text("2"), "not a whole number"),
        ("llama.context_length", Value::U32(0), "out of range"),
        ("llama.embedding_length", Value::U64(u64::MAX), "out of range"),
        ("llama.embedding_length", Value::U32(72), "is no multiple of 16"),
        ("llama.feed_forward_length", Value::U32(100), "is no multiple of 16"),
        (
            "llama.attention.head_count",
            Value::U32(8),
            "gives heads of a width that is zero, huge, or no multiple of 16",
        ),
        ("llama.attention.head_count", Value::U32(0), "out of range"),
        ("llama.attention.head_count_kv", Value::U32(3), "does not divide the number of heads"),
        ("llama.rope.freq_base", Value::F32(f32::NAN), "out of range"),
        ("llama.attention.layer_norm_rms_epsilon", Value::F32(0.0), "out of range"),
        ("llama.expert_count", Value::U32(8), "mixtures of experts are not supported"),
        ("llama.rope.scaling.type", text("longrope"), "neither none nor linear nor yarn"),
        ("general.alignment", Value::U32(0), "not a power of two from 8 to 65536"),
        ("tokenizer.ggml.eos_token_id", Value::U32(262), "out of range"),
    ];
    for (key, value, why) in cases {
        let error = Tiny::new().set(key, value).load().unwrap_err();
        assert_eq!(error, LoadError::BadValue { key: key.to_owned(), why });
    }
    for key in ["general.architecture", "llama.block_count", "tokenizer.ggml.pre", "tokenizer.chat_template"]
    {
        assert_eq!(Tiny::new().without(key).load().unwrap_err(), LoadError::MissingKey(key.to_owned()));
    }
}

#[test]
fn what_this_engine_does_not_run_is_named() {
    let error = |key, value| Tiny::new().set(key, text(value)).load().unwrap_err();
    assert_eq!(error("general.architecture", "gemma"), LoadError::Architecture("gemma".to_owned()));
    assert_eq!(error("tokenizer.ggml.pre", "tekken"), LoadError::PreTokenizer("tekken".to_owned()));
    assert_eq!(error("tokenizer.ggml.model", "bert"), LoadError::TokenizerModel("bert".to_owned()));
    // A name of a hostile file neither floods nor steers the log.
    let LoadError::Architecture(name) = error("general.architecture", &"\u{1b}[2J".repeat(1000)) else {
        panic!()
    };
    assert!(name.len() <= 96 && !name.contains('\u{1b}'), "{name}");
}

#[test]
fn vocabulary_and_merges_fit_together() {
    let merges = |list: &[&str]| {
        let list = list.iter().map(|m| text(m)).collect();
        Tiny::new().set("tokenizer.ggml.merges", Value::Array(list)).load().unwrap_err()
    };
    assert_eq!(merges(&["h"]), LoadError::Tokenizer("a merge is not a pair"));
    let unknown = LoadError::Tokenizer("a merge names something that is not an ordinary token");
    assert_eq!(merges(&["h x"]), unknown);
    assert_eq!(merges(&["hello hello"]), unknown);
    assert_eq!(merges(&["<|im_start| >"]), unknown);
    let kinds = Tiny::new().set("tokenizer.ggml.token_type", Value::Array(vec![Value::I32(1)]));
    let why = "is not as long as the list of tokens";
    assert_eq!(
        kinds.load().unwrap_err(),
        LoadError::BadValue { key: "tokenizer.ggml.token_type".to_owned(), why }
    );
}

#[test]
fn names_are_unique() {
    let mut twice = Tiny::new();
    twice.metadata.push(twice.metadata[0].clone());
    assert_eq!(twice.load().unwrap_err(), LoadError::Duplicate("general.architecture".to_owned()));
    let mut twice = Tiny::new();
    twice.tensors.push(twice.tensors[0].clone());
    assert_eq!(twice.load().unwrap_err(), LoadError::Duplicate("token_embd.weight".to_owned()));
}

#[test]
fn arrays_of_arrays_are_refused() {
    let nested = Value::Array(vec![Value::Array(vec![Value::U8(1)])]);
    assert_eq!(
        Tiny::new().set("general.tags", nested).load().unwrap_err(),
        LoadError::Malformed("an array holds arrays")
    );
}

#[test]
fn a_cut_file_is_an_error_wherever_it_is_cut() {
    let bytes = Tiny::new().bytes();
    for length in (0..bytes.len() - 32).step_by(61) {
        let error = load(&bytes[..length]).unwrap_err();
        let expected = matches!(error, LoadError::Truncated { .. } | LoadError::TensorOutside(_));
        assert!(expected, "{length}: {error:?}");
    }
    // A reader that ends before the size that was promised.
    let promised = bytes.len() as u64;
    for length in [0, 100, 5000, bytes.len() - 64] {
        let error = Model::load(Cursor::new(&bytes[..length]), promised, Limits::default()).unwrap_err();
        assert!(matches!(error, LoadError::Truncated { .. } | LoadError::Tensor(_)), "{error:?}");
    }
}

/// A few steps of a model that may be nonsense; errors are fine.
pub(super) fn run(model: Model) {
    let sampling = Sampling::new(1).max_tokens(3).unwrap();
    let model = Arc::new(model);
    let Ok(generation) = Generation::start(&model, &screened(&["hello"]), sampling) else { return };
    let mut engine = engine(&model, |settings| Settings { threads: 1, ..settings });
    let now = Instant::now();
    let _: Result<_, _> = engine.submit(generation, scope(1, 1), now + HOUR);
    for _ in 0..5 {
        engine.step(now, &mut |_, _| {});
    }
}

#[test]
fn changed_bytes_never_panic() {
    mutate(&Tiny::new().bytes(), 3000);
}

#[test]
fn changed_bytes_of_a_sentencepiece_file_never_panic() {
    mutate(&pieces::model(&pieces::vocabulary()).bytes(), 1500);
}

fn mutate(valid: &[u8], rounds: usize) {
    // Most changes go to the header, where the structure is.
    let last = b"output_norm.weight";
    let header = valid.windows(last.len()).position(|w| w == last).unwrap() + last.len() + 64;
    let mut rng = ChaCha12Rng::seed_from_u64(11);
    let (mut loaded, mut refused) = (0, 0);
    for round in 0..rounds {
        let mut bytes = valid.to_vec();
        for _ in 0..=rng.next_u32() % 4 {
            let at = rng.next_u32() as usize % if round % 8 == 0 { bytes.len() } else { header };
            match rng.next_u32() % 4 {
                0 => bytes[at] = rng.next_u32() as u8,
                1 => bytes[at] ^= 1 << (rng.next_u32() % 8),
                2 => bytes[at] = if rng.next_u32() % 2 == 0 { 0xff } else { 0 },
                _ => drop(bytes.drain(at..(at + rng.next_u32() as usize % 9).min(valid.len() / 2).max(at))),
            }
        }
        match load(&bytes) {
            Ok(model) => {
                loaded += 1;
                run(model);
            }
            Err(_) => refused += 1,
        }
    }
    println!("{loaded} changed files loaded, {refused} were refused");
    assert!(refused > rounds / 3);
}

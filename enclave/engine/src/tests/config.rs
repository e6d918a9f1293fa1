//! Architectures, and how fast positions turn, read from metadata.

use super::models;
use super::reference;
use super::tiny::Tiny;
use crate::LoadError;
use crate::config::{Architecture, Config, Metadata};
use crate::rotary::Rotary;
use candle_core::quantized::gguf_file::Value;
use std::io::Cursor;

fn read(tiny: &Tiny) -> Result<Config, LoadError> {
    Config::read(&Metadata(&tiny.metadata.iter().cloned().collect()), usize::MAX)
}

fn plan(name: &str) -> Tiny {
    models::all().into_iter().find(|plan| plan.name == name).unwrap().tiny()
}

#[test]
fn each_architecture_has_its_own_parts() {
    use Architecture::{Llama, Qwen2, Qwen3};
    let cases = [
        ("llama", (Llama, Rotary::Neighbours, false, false), (256, 128, 32)),
        ("qwen2, linear", (Qwen2, Rotary::Halves, true, false), (256, 256, 32)),
        ("qwen3, heads wider than the embedding", (Qwen3, Rotary::Halves, false, true), (512, 256, 128)),
    ];
    for (name, parts, sizes) in cases {
        let c = read(&plan(name)).unwrap();
        assert_eq!((c.architecture, c.rotary, c.qkv_bias, c.qk_norm), parts, "{name}");
        assert_eq!((c.q_dim(), c.kv_dim(), c.head_dim), sizes, "{name}");
    }
}

#[test]
fn keys_of_another_architecture_do_not_count() {
    let renamed = Tiny::new().set("general.architecture", Value::String("qwen2".to_owned()));
    assert_eq!(read(&renamed), Err(LoadError::MissingKey("qwen2.embedding_length".to_owned())));
}

#[test]
fn angles_are_those_of_the_reference() {
    for plan in models::all() {
        let tiny = plan.tiny();
        let c = read(&tiny).unwrap();
        let factors = tiny.tensors.iter().find(|(name, _)| name == "rope_freqs.weight");
        let factors: Option<Vec<f32>> =
            factors.map(|(_, t)| t.dequantize(&candle_core::Device::Cpu).unwrap().to_vec1().unwrap());
        let (expected, gain) = reference::angles(Cursor::new(tiny.bytes()));
        let found = c.frequencies(factors.as_deref());
        assert_eq!(found.len(), expected.len());
        for (e, f) in expected.iter().zip(found) {
            assert!((e - f64::from(f)).abs() <= e * 1e-6, "{}: {e} {f}", plan.name);
        }
        assert!((gain - f64::from(c.angles.gain())).abs() < 1e-6, "{}", plan.name);
    }
}

#[test]
fn scalings_are_bounded_and_known() {
    let text = |t: &str| Value::String(t.to_owned());
    let unusual = "a value other than the usual one is not supported";
    let unknown = "an unknown way of scaling rotary positions";
    let cases: [(&str, Value, &str); 13] = [
        ("rope.freq_base", Value::F32(1.0), "out of range"),
        ("rope.scaling.type", Value::U32(1), "not a string"),
        ("rope.scaling.type", text("longrope"), "neither none nor linear nor yarn"),
        ("rope.scaling.factor", Value::F32(0.0), "out of range"),
        ("rope.scaling.factor", Value::F32(f32::NAN), "out of range"),
        ("rope.scaling.factor", Value::U32(4), "not a 32-bit float"),
        ("rope.scaling.attn_factor", Value::F32(0.0), "out of range"),
        ("rope.scaling.original_context_length", Value::U32(0), "out of range"),
        ("rope.scaling.yarn_beta_fast", Value::F32(16.0), unusual),
        ("rope.scaling.yarn_ext_factor", Value::F32(0.5), unusual),
        ("rope.scaling.yarn_log_multiplier", Value::F32(0.1), unusual),
        ("rope.scaling.alpha", Value::F32(1000.0), unknown),
        ("rope.scaling.", Value::F32(1.0), unknown),
    ];
    for (key, value, why) in cases {
        for (name, architecture) in [("llama, yarn", "llama"), ("qwen2, yarn", "qwen2")] {
            let key = format!("{architecture}.{key}");
            let error = read(&plan(name).set(&key, value.clone()));
            assert_eq!(error, Err(LoadError::BadValue { key, why }));
        }
    }
    let old = Tiny::new().set("llama.rope.scale_linear", Value::F32(0.5));
    let key = "llama.rope.scale_linear".to_owned();
    assert_eq!(read(&old), Err(LoadError::BadValue { key, why: "out of range" }));
}

#[test]
fn usual_values_of_yarn_change_nothing() {
    let plain = plan("qwen2, yarn");
    let usual = [("yarn_ext_factor", 1.0), ("yarn_attn_factor", 1.0), ("yarn_beta_fast", 32.0)];
    let spelt = usual.into_iter().fold(plain.clone(), |tiny, (key, value)| {
        tiny.set(&format!("qwen2.rope.scaling.{key}"), Value::F32(value))
    });
    let finetuned = spelt.set("qwen2.rope.scaling.finetuned", Value::Bool(true));
    assert_eq!(read(&finetuned), read(&plain));
}

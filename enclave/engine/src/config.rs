//! The shape of a llama model, read from GGUF metadata and bounded.
//!
//! Promises: every number is inside a range in which the forward pass neither overflows nor divides by zero; what this
//! engine does not compute (experts, rope scaling other than by factors in a tensor) is an error, not ignored.
//!
//! Trusts: nothing. Keys: ggml, `docs/gguf.md`, "LLM".

use crate::error::{LoadError, brief};
use candle_core::quantized::gguf_file::Value;
use std::collections::HashMap;

/// Metadata with typed, bounded access.
pub(crate) struct Metadata<'a>(pub(crate) &'a HashMap<String, Value>);

impl<'a> Metadata<'a> {
    pub(crate) fn find(&self, key: &str) -> Option<&'a Value> {
        self.0.get(key)
    }

    pub(crate) fn get(&self, key: &str) -> Result<&'a Value, LoadError> {
        self.find(key).ok_or_else(|| LoadError::MissingKey(key.to_owned()))
    }

    pub(crate) fn text(&self, key: &str) -> Result<&'a str, LoadError> {
        self.get(key)?.to_string().map(String::as_str).map_err(|_| wrong(key, "not a string"))
    }

    pub(crate) fn list(&self, key: &str) -> Result<&'a [Value], LoadError> {
        self.get(key)?.to_vec().map(Vec::as_slice).map_err(|_| wrong(key, "not an array"))
    }

    pub(crate) fn flag(&self, key: &str, default: bool) -> Result<bool, LoadError> {
        self.find(key).map_or(Ok(default), |v| v.to_bool().map_err(|_| wrong(key, "not a truth value")))
    }

    /// A whole number between `low` and `high`, both included.
    pub(crate) fn number(&self, key: &str, low: usize, high: usize) -> Result<usize, LoadError> {
        let value = whole(self.get(key)?).ok_or_else(|| wrong(key, "not a whole number"))?;
        let fits = usize::try_from(value).ok().filter(|v| (low..=high).contains(v));
        fits.ok_or_else(|| wrong(key, "out of range"))
    }

    fn real(&self, key: &str, low: f32, high: f32) -> Result<f32, LoadError> {
        let value = self.get(key)?.to_f32().map_err(|_| wrong(key, "not a 32-bit float"))?;
        let fits = value.is_finite() && (low..=high).contains(&value);
        if fits { Ok(value) } else { Err(wrong(key, "out of range")) }
    }
}

fn whole(value: &Value) -> Option<u64> {
    match value {
        Value::I8(v) => u64::try_from(*v).ok(),
        Value::I16(v) => u64::try_from(*v).ok(),
        Value::I32(v) => u64::try_from(*v).ok(),
        Value::I64(v) => u64::try_from(*v).ok(),
        Value::Bool(_) => None,
        other => other.to_u64().ok(),
    }
}

pub(crate) fn wrong(key: &str, why: &'static str) -> LoadError {
    LoadError::BadValue { key: brief(key), why }
}

/// Sizes of a llama model; all in elements.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Config {
    pub(crate) layers: usize,
    /// Width of the residual stream.
    pub(crate) embed: usize,
    /// Width of the feed-forward layer.
    pub(crate) ffn: usize,
    pub(crate) heads: usize,
    /// Key and value heads; divides `heads`.
    pub(crate) kv_heads: usize,
    /// Width of one head; even.
    pub(crate) head_dim: usize,
    pub(crate) vocab: usize,
    /// Positions that the model was trained for, or fewer by the loader's limit.
    pub(crate) context: usize,
    pub(crate) eps: f32,
    pub(crate) rope_base: f32,
}

/// llama.cpp's default where `llama.rope.freq_base` is absent (Llama 2).
const ROPE_BASE: f32 = 10_000.0;

impl Config {
    /// Reads and checks the metadata of the `llama` architecture.
    pub(crate) fn read(meta: &Metadata<'_>, max_context: usize) -> Result<Config, LoadError> {
        let architecture = meta.text("general.architecture")?;
        if architecture != "llama" {
            return Err(LoadError::Architecture(brief(architecture)));
        }
        refuse_unsupported(meta)?;
        let embed = meta.number("llama.embedding_length", 2, 1 << 16)?;
        let heads = meta.number("llama.attention.head_count", 1, 1024)?;
        let kv_key = "llama.attention.head_count_kv";
        let kv_heads = meta.find(kv_key).map_or(Ok(heads), |_| meta.number(kv_key, 1, heads))?;
        if !heads.is_multiple_of(kv_heads) {
            return Err(wrong(kv_key, "does not divide the number of heads"));
        }
        let base_key = "llama.rope.freq_base";
        let rope_base = meta.find(base_key).map_or(Ok(ROPE_BASE), |_| meta.real(base_key, 1.0, 1e12))?;
        Ok(Config {
            layers: meta.number("llama.block_count", 1, 512)?,
            embed,
            ffn: meta.number("llama.feed_forward_length", 1, 1 << 18)?,
            heads,
            kv_heads,
            head_dim: head_dim(meta, embed, heads)?,
            vocab: meta.list("tokenizer.ggml.tokens")?.len(),
            context: meta.number("llama.context_length", 2, 1 << 24)?.min(max_context),
            eps: meta.real("llama.attention.layer_norm_rms_epsilon", 1e-12, 0.1)?,
            rope_base,
        })
    }

    /// Width of the keys, and of the values, of all heads.
    pub(crate) fn kv_dim(&self) -> usize {
        self.kv_heads * self.head_dim
    }

    /// Width of the queries of all heads.
    pub(crate) fn q_dim(&self) -> usize {
        self.heads * self.head_dim
    }
}

fn head_dim(meta: &Metadata<'_>, embed: usize, heads: usize) -> Result<usize, LoadError> {
    let key = "llama.attention.key_length";
    let dim = match meta.find(key) {
        Some(_) => meta.number(key, 2, 1024)?,
        None if embed.is_multiple_of(heads) => embed / heads,
        None => return Err(wrong("llama.attention.head_count", "does not divide the embedding length")),
    };
    if !(2..=1024).contains(&dim) || !dim.is_multiple_of(2) {
        return Err(wrong("llama.attention.head_count", "gives heads of an odd, zero or huge width"));
    }
    for other in ["llama.attention.value_length", "llama.rope.dimension_count"] {
        if meta.find(other).is_some() && meta.number(other, 1, 1 << 16)? != dim {
            return Err(wrong(other, "differs from the width of a head"));
        }
    }
    Ok(dim)
}

fn refuse_unsupported(meta: &Metadata<'_>) -> Result<(), LoadError> {
    let experts = "llama.expert_count";
    if meta.find(experts).is_some() {
        meta.number(experts, 0, 0).map_err(|_| wrong(experts, "mixtures of experts are not supported"))?;
    }
    let scaling = "llama.rope.scaling.type";
    if meta.find(scaling).is_some() && meta.text(scaling)? != "none" {
        return Err(wrong(scaling, "scaled rotary positions are not supported"));
    }
    Ok(())
}

//! The architecture and the shape of a model, read from GGUF metadata and bounded.
//!
//! Promises: every number is inside a range in which the forward pass neither overflows nor divides by zero; what this
//! engine does not compute (other architectures, experts, heads that turn in part) is an error, not ignored.
//!
//! Trusts: nothing. Keys: ggml, `docs/gguf.md`, "LLM"; each begins with the name of the architecture.

use crate::error::{LoadError, brief};
use crate::rotary::{Angles, Rotary};
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

/// Lanes of the kernels' vectors.
const LANES: usize = 16;

/// The model families that this engine knows, named as in `general.architecture`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Architecture {
    /// Llama 1 to 3, SmolLM2, TinyLlama.
    Llama,
    /// Qwen 2 and 2.5.
    Qwen2,
    /// Qwen 3, without experts.
    Qwen3,
}

impl Architecture {
    fn read(meta: &Metadata<'_>) -> Result<Architecture, LoadError> {
        let name = meta.text("general.architecture")?;
        let known = [Architecture::Llama, Architecture::Qwen2, Architecture::Qwen3];
        let found = known.into_iter().find(|known| known.name() == name);
        found.ok_or_else(|| LoadError::Architecture(brief(name)))
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Architecture::Llama => "llama",
            Architecture::Qwen2 => "qwen2",
            Architecture::Qwen3 => "qwen3",
        }
    }

    /// llama.cpp, `llama_model_rope_type`.
    fn rotary(self) -> Rotary {
        match self {
            Architecture::Llama => Rotary::Neighbours,
            Architecture::Qwen2 | Architecture::Qwen3 => Rotary::Halves,
        }
    }
}

/// The metadata whose keys begin with the name of the architecture; keys here are without it.
pub(crate) struct Own<'a> {
    pub(crate) meta: &'a Metadata<'a>,
    architecture: &'static str,
}

impl Own<'_> {
    /// The whole key.
    pub(crate) fn key(&self, key: &str) -> String {
        format!("{}.{key}", self.architecture)
    }

    pub(crate) fn wrong(&self, key: &str, why: &'static str) -> LoadError {
        wrong(&self.key(key), why)
    }

    pub(crate) fn has(&self, key: &str) -> bool {
        self.meta.find(&self.key(key)).is_some()
    }

    pub(crate) fn text_or<'b>(&'b self, key: &str, default: &'b str) -> Result<&'b str, LoadError> {
        if self.has(key) { self.meta.text(&self.key(key)) } else { Ok(default) }
    }

    pub(crate) fn number(&self, key: &str, low: usize, high: usize) -> Result<usize, LoadError> {
        self.meta.number(&self.key(key), low, high)
    }

    pub(crate) fn real(&self, key: &str, low: f32, high: f32) -> Result<f32, LoadError> {
        self.meta.real(&self.key(key), low, high)
    }

    pub(crate) fn real_or(&self, key: &str, (low, high): (f32, f32), default: f32) -> Result<f32, LoadError> {
        if self.has(key) { self.real(key, low, high) } else { Ok(default) }
    }
}

/// Architecture and sizes of a model; sizes in elements.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Config {
    pub(crate) architecture: Architecture,
    pub(crate) layers: usize,
    /// Width of the residual stream.
    pub(crate) embed: usize,
    /// Width of the feed-forward layer.
    pub(crate) ffn: usize,
    pub(crate) heads: usize,
    /// Key and value heads; divides `heads`.
    pub(crate) kv_heads: usize,
    /// Width of one head; even. All heads together may be wider or narrower than `embed`.
    pub(crate) head_dim: usize,
    pub(crate) vocab: usize,
    /// Positions that the model was trained for, or fewer by the loader's limit.
    pub(crate) context: usize,
    pub(crate) eps: f32,
    /// Which elements of a head turn together.
    pub(crate) rotary: Rotary,
    /// How fast they turn.
    pub(crate) angles: Angles,
    /// Whether queries, keys and values get a bias: `blk.N.attn_q.bias` and so on.
    pub(crate) qkv_bias: bool,
    /// Whether each head of queries and keys is normalised before it turns: `blk.N.attn_q_norm.weight` and
    /// `blk.N.attn_k_norm.weight`, one head wide.
    pub(crate) qk_norm: bool,
}

impl Config {
    /// Reads and checks the metadata of one of the known architectures.
    pub(crate) fn read(meta: &Metadata<'_>, max_context: usize) -> Result<Config, LoadError> {
        let architecture = Architecture::read(meta)?;
        let own = Own { meta, architecture: architecture.name() };
        refuse_experts(&own)?;
        let embed = wide(&own, "embedding_length", 1 << 16)?;
        let heads = own.number("attention.head_count", 1, 1024)?;
        Ok(Config {
            architecture,
            layers: own.number("block_count", 1, 512)?,
            embed,
            ffn: wide(&own, "feed_forward_length", 1 << 18)?,
            heads,
            kv_heads: kv_heads(&own, heads)?,
            head_dim: head_dim(&own, embed, heads)?,
            vocab: meta.list("tokenizer.ggml.tokens")?.len(),
            context: own.number("context_length", 2, 1 << 24)?.min(max_context),
            eps: own.real("attention.layer_norm_rms_epsilon", 1e-12, 0.1)?,
            rotary: architecture.rotary(),
            angles: Angles::read(&own)?,
            qkv_bias: architecture == Architecture::Qwen2,
            qk_norm: architecture == Architecture::Qwen3,
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

    /// Angle per position of each pair of a head. `factors` are those of `rope_freqs.weight`, one for each pair.
    pub(crate) fn frequencies(&self, factors: Option<&[f32]>) -> Vec<f32> {
        self.angles.frequencies(self.head_dim, factors)
    }
}

fn kv_heads(own: &Own<'_>, heads: usize) -> Result<usize, LoadError> {
    let key = "attention.head_count_kv";
    let kv_heads = if own.has(key) { own.number(key, 1, heads)? } else { heads };
    let divides = heads.is_multiple_of(kv_heads);
    if divides { Ok(kv_heads) } else { Err(own.wrong(key, "does not divide the number of heads")) }
}

fn head_dim(own: &Own<'_>, embed: usize, heads: usize) -> Result<usize, LoadError> {
    let key = "attention.key_length";
    let dim = match own.has(key) {
        true => own.number(key, 2, 1024)?,
        false if embed.is_multiple_of(heads) => embed / heads,
        false => return Err(own.wrong("attention.head_count", "does not divide the embedding length")),
    };
    if !(LANES..=1024).contains(&dim) || !dim.is_multiple_of(LANES) {
        let why = "gives heads of a width that is zero, huge, or no multiple of 16";
        return Err(own.wrong("attention.head_count", why));
    }
    for other in ["attention.value_length", "rope.dimension_count"] {
        if own.has(other) && own.number(other, 1, 1 << 16)? != dim {
            return Err(own.wrong(other, "differs from the width of a head"));
        }
    }
    Ok(dim)
}

/// A width that is a multiple of the kernels' vectors, as those of every model are that is known.
fn wide(own: &Own<'_>, key: &str, most: usize) -> Result<usize, LoadError> {
    let width = own.number(key, LANES, most)?;
    if width.is_multiple_of(LANES) { Ok(width) } else { Err(own.wrong(key, "is no multiple of 16")) }
}

fn refuse_experts(own: &Own<'_>) -> Result<(), LoadError> {
    let key = "expert_count";
    if own.has(key) {
        own.number(key, 0, 0).map_err(|_| own.wrong(key, "mixtures of experts are not supported"))?;
    }
    Ok(())
}

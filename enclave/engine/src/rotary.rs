//! Rotary positions: which elements of a head turn together, and by how much a position.
//!
//! Promises: angles are those of llama.cpp for the same metadata, scaling (`linear`, `yarn`) included; a key of the
//! scaling that this engine does not compute is an error, not ignored.
//!
//! Does not: turn anything (see `forward`).
//!
//! Trusts: nothing. Keys: llama.cpp, `llama-arch.cpp`, `LLM_KV_ROPE_SCALING_*`; arithmetic: `ggml.c`,
//! `ggml_rope_yarn_corr_dims`, and `ggml-cpu/ops.cpp`, `rope_yarn`.

use crate::config::Own;
use crate::error::LoadError;
use std::f32::consts::PI;

/// Which elements of a head turn together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rotary {
    /// Elements 2i and 2i + 1 (`GGML_ROPE_TYPE_NORMAL`).
    Neighbours,
    /// Elements i and i + half the width of a head (`GGML_ROPE_TYPE_NEOX`).
    Halves,
}

/// How a model was stretched over more positions than it was first trained for.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Scaling {
    None,
    /// Positions are divided by the factor.
    Linear {
        factor: f32,
    },
    /// As `Linear` for pairs that turn slowly, as `None` for those that turn fast.
    Yarn {
        factor: f32,
        original: usize,
    },
}

/// By how much a position turns each pair of a head.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Angles {
    base: f32,
    scaling: Scaling,
    attention: f32,
}

/// llama.cpp's default where `rope.freq_base` is absent (Llama 2).
const BASE: f32 = 10_000.0;
/// Turns within the original context at and above which a pair turns as before, and at and below which it turns as in
/// linear scaling (llama.cpp, `llama_context_params`, `yarn_beta_fast` and `yarn_beta_slow`).
const BETA_FAST: f32 = 32.0;
const BETA_SLOW: f32 = 1.0;
/// Keys that llama.cpp does not read for these architectures, with the values that change nothing.
const USUAL: [(&str, f32); 5] = [
    ("rope.scaling.yarn_ext_factor", 1.0),
    ("rope.scaling.yarn_attn_factor", 1.0),
    ("rope.scaling.yarn_beta_fast", BETA_FAST),
    ("rope.scaling.yarn_beta_slow", BETA_SLOW),
    ("rope.scaling.yarn_log_multiplier", 0.0),
];
/// Keys that are read, and the one that says only how the model was made.
const KNOWN: [&str; 5] = [
    "rope.scaling.type",
    "rope.scaling.factor",
    "rope.scaling.attn_factor",
    "rope.scaling.original_context_length",
    "rope.scaling.finetuned",
];

impl Angles {
    pub(crate) fn read(own: &Own<'_>) -> Result<Angles, LoadError> {
        refuse_unknown(own)?;
        let scaling = match own.text_or("rope.scaling.type", "linear")? {
            "none" => Scaling::None,
            "linear" => factor(own)?.map_or(Scaling::None, |factor| Scaling::Linear { factor }),
            "yarn" => factor(own)?.map_or(Ok(Scaling::None), |factor| yarn(own, factor))?,
            _ => return Err(own.wrong("rope.scaling.type", "neither none nor linear nor yarn")),
        };
        Ok(Angles {
            // A base of 1 would divide by its logarithm.
            base: own.real_or("rope.freq_base", (2.0, 1e12), BASE)?,
            scaling,
            attention: own.real_or("rope.scaling.attn_factor", (0.01, 100.0), 1.0)?,
        })
    }

    /// Angle per position of each pair; `factors` divide them (Llama 3.1).
    pub(crate) fn frequencies(&self, head_dim: usize, factors: Option<&[f32]>) -> Vec<f32> {
        let pairs = head_dim / 2;
        let divisor = |i: usize| factors.and_then(|f| f.get(i)).map_or(1.0, |f| f64::from(*f));
        let angle = |i: usize| {
            let plain = f64::from(self.base).powf(-(i as f64) / pairs as f64) / divisor(i);
            (plain * self.slowed(i, head_dim)) as f32
        };
        (0..pairs).map(angle).collect()
    }

    /// What cosine and sine are multiplied by, for queries and for keys.
    pub(crate) fn gain(&self) -> f32 {
        match self.scaling {
            Scaling::Yarn { factor, .. } => self.attention * (1.0 + 0.1 * factor.ln()),
            Scaling::None | Scaling::Linear { .. } => self.attention,
        }
    }

    /// What the scaling makes of one unit of angle of a pair.
    fn slowed(&self, pair: usize, head_dim: usize) -> f64 {
        match self.scaling {
            Scaling::None => 1.0,
            Scaling::Linear { factor } => 1.0 / f64::from(factor),
            Scaling::Yarn { factor, original } => {
                let kept = f64::from(self.kept(pair, head_dim, original));
                (1.0 - kept) / f64::from(factor) + kept
            }
        }
    }

    /// YaRN's share of a pair that turns as before: 1 for the first, fast pairs, 0 for the last. In f32, as llama.cpp
    /// does it: limits are rounded to whole pairs.
    fn kept(&self, pair: usize, head_dim: usize, original: usize) -> f32 {
        let dim = head_dim as f32;
        let pair_of = |turns: f32| dim * (original as f32 / (turns * 2.0 * PI)).ln() / (2.0 * self.base.ln());
        let low = pair_of(BETA_FAST).floor().max(0.0);
        let high = pair_of(BETA_SLOW).ceil().min(dim - 1.0);
        1.0 - ((pair as f32 - low) / (high - low).max(0.001)).clamp(0.0, 1.0)
    }
}

/// The factor under its key, or under the one that it had before there were types; `None` if there is neither.
fn factor(own: &Own<'_>) -> Result<Option<f32>, LoadError> {
    let keys = ["rope.scaling.factor", "rope.scale_linear"];
    let key = keys.into_iter().find(|key| own.has(key));
    key.map(|key| own.real(key, 1.0, 1e4)).transpose()
}

fn yarn(own: &Own<'_>, factor: f32) -> Result<Scaling, LoadError> {
    let key = "rope.scaling.original_context_length";
    let key = if own.has(key) { key } else { "context_length" };
    Ok(Scaling::Yarn { factor, original: own.number(key, 2, 1 << 24)? })
}

fn refuse_unknown(own: &Own<'_>) -> Result<(), LoadError> {
    for (key, usual) in USUAL {
        if own.has(key) && own.real(key, f32::MIN, f32::MAX)? != usual {
            return Err(own.wrong(key, "a value other than the usual one is not supported"));
        }
    }
    let usual = USUAL.iter().map(|(key, _)| *key);
    let known: Vec<String> = KNOWN.into_iter().chain(usual).map(|key| own.key(key)).collect();
    let scaling = own.key("rope.scaling.");
    let unknown = |key: &&String| key.starts_with(&scaling) && !known.contains(*key);
    match own.meta.0.keys().filter(unknown).min() {
        Some(key) => Err(crate::config::wrong(key, "an unknown way of scaling rotary positions")),
        None => Ok(()),
    }
}

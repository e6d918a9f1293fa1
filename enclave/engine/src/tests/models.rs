//! Small models of every architecture with seeded random weights, as GGUF files: head layouts, formats and rotary
//! scalings as real files have them.
//!
//! Weights are about normal, with a deviation of 1 over the root of the inputs, so that activations stay near 1; logits
//! deviate by about 3, as those of real models do.

use super::tiny::{Sizes, Tiny, metadata, quantised, slots, vocabulary};
use candle_core::quantized::GgmlDType;
use candle_core::quantized::gguf_file::Value;
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// Positions that the models have.
pub(super) const CONTEXT: u32 = 1024;
/// First context of models that are stretched: so short that stretching shows early.
const ORIGINAL: u32 = 128;
/// How much larger than the rest outliers are.
const OUTLIER: f32 = 8.0;

/// Formats of the matrices; vectors are always f32.
#[derive(Clone, Copy, Debug)]
pub(super) enum Formats {
    /// Every matrix in the same.
    All(GgmlDType),
    /// llama.cpp's mixture: mostly Q4_K; Q6_K where the embedding is also the head, in the head, and in every second
    /// layer's values and down projection.
    Q4KM,
    /// As `Q4KM` with Q5_K for Q4_K.
    Q5KM,
    /// What llama.cpp makes of `Q4KM` where rows are no multiple of 256: Q5_0 for Q4_K, Q8_0 for Q6_K.
    Q4KMNarrow,
}

impl Formats {
    fn of(self, name: &str, tied: bool) -> GgmlDType {
        let (most, rest) = match self {
            Formats::All(kind) => (kind, kind),
            Formats::Q4KM => (GgmlDType::Q4K, GgmlDType::Q6K),
            Formats::Q5KM => (GgmlDType::Q5K, GgmlDType::Q6K),
            Formats::Q4KMNarrow => (GgmlDType::Q5_0, GgmlDType::Q8_0),
        };
        let second = name.starts_with("blk.0.") || name.starts_with("blk.2.");
        let better = match name {
            "output.weight" => true,
            "token_embd.weight" => tied,
            _ => second && (name.contains("attn_v") || name.contains("ffn_down")),
        };
        if better { rest } else { most }
    }

    /// What rows must be a multiple of: candle reads two blocks of 32 at a time.
    pub(super) fn width(self) -> usize {
        match self {
            Formats::All(kind) => kind.block_size().max(64),
            Formats::Q4KM | Formats::Q5KM => 256,
            Formats::Q4KMNarrow => 64,
        }
    }
}

/// A model to be made.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) name: &'static str,
    architecture: &'static str,
    sizes: Sizes,
    formats: Formats,
    /// Whether the embedding is also the output head.
    tied: bool,
    /// Whether a few channels are far larger than the rest, as real models have them.
    pub(super) outliers: bool,
    /// Whether the file divides frequencies as Llama 3.1 does.
    factors: bool,
    /// Further metadata, without the name of the architecture.
    metadata: Vec<(&'static str, Value)>,
}

/// Layers, embedding, feed-forward, heads, key and value heads, width of a head.
type Shape = [usize; 6];

impl Plan {
    /// In f32, with its own head.
    fn new(name: &'static str, architecture: &'static str, shape: Shape) -> Plan {
        let [layers, embed, ffn, heads, kv_heads, head_dim] = shape;
        let sizes = Sizes { layers, embed, ffn, heads, kv_heads, head_dim };
        let (formats, metadata) = (Formats::All(GgmlDType::F32), Vec::new());
        Plan { name, architecture, sizes, formats, tied: false, outliers: false, factors: false, metadata }
    }

    fn tied(mut self) -> Plan {
        self.tied = true;
        self
    }

    fn outliers(mut self) -> Plan {
        self.outliers = true;
        self
    }

    fn factors(mut self) -> Plan {
        self.factors = true;
        self.with("rope.freq_base", Value::F32(500_000.0))
    }

    fn with(mut self, key: &'static str, value: Value) -> Plan {
        self.metadata.push((key, value));
        self
    }

    fn linear(self, factor: f32) -> Plan {
        self.with("rope.scaling.type", Value::String("linear".to_owned()))
            .with("rope.scaling.factor", Value::F32(factor))
    }

    fn yarn(self, factor: f32) -> Plan {
        self.with("rope.scaling.type", Value::String("yarn".to_owned()))
            .with("rope.scaling.factor", Value::F32(factor))
            .with("rope.scaling.original_context_length", Value::U32(ORIGINAL))
    }

    /// With the matrices in these formats.
    pub(super) fn formats(mut self, formats: Formats) -> Plan {
        self.formats = formats;
        self
    }

    /// Whether the rows of every matrix are a multiple of this.
    pub(super) fn fits(&self, width: usize) -> bool {
        let Sizes { embed, ffn, heads, head_dim, .. } = self.sizes;
        [embed, ffn, heads * head_dim].iter().all(|row| row.is_multiple_of(width))
    }

    /// The file.
    pub(super) fn tiny(&self) -> Tiny {
        let mut rng = ChaCha12Rng::seed_from_u64(17);
        let mut tiny =
            Tiny { metadata: metadata(self.architecture, &self.sizes, CONTEXT), tensors: Vec::new() };
        for (key, value) in self.keys() {
            tiny = tiny.set(&format!("{}.{key}", self.architecture), value);
        }
        for (name, shape) in self.slots() {
            let kind = if shape.len() == 1 { GgmlDType::F32 } else { self.formats.of(&name, self.tied) };
            let values = self.values(&name, &shape, &mut rng);
            tiny.tensors.push((name, quantised(values, &shape, kind)));
        }
        tiny
    }

    /// Metadata besides those of every model. Real files name the width of a head where it does not follow.
    fn keys(&self) -> Vec<(&'static str, Value)> {
        let Sizes { embed, heads, head_dim, .. } = self.sizes;
        let mut keys = self.metadata.clone();
        if heads * head_dim != embed || self.architecture == "qwen3" {
            let width = Value::U32(head_dim as u32);
            keys.extend([("attention.key_length", width.clone()), ("attention.value_length", width)]);
        }
        keys
    }

    fn slots(&self) -> Vec<(String, Vec<usize>)> {
        let Sizes { layers, embed, heads, kv_heads, head_dim, .. } = self.sizes;
        let vocab = vocabulary().len();
        let mut slots = slots(&self.sizes, vocab);
        let parts = match self.architecture {
            "qwen2" => vec![
                ("attn_q.bias", heads * head_dim),
                ("attn_k.bias", kv_heads * head_dim),
                ("attn_v.bias", kv_heads * head_dim),
            ],
            "qwen3" => vec![("attn_q_norm.weight", head_dim), ("attn_k_norm.weight", head_dim)],
            _ => Vec::new(),
        };
        for layer in 0..layers {
            slots.extend(parts.iter().map(|(part, width)| (format!("blk.{layer}.{part}"), vec![*width])));
        }
        if !self.tied {
            slots.push(("output.weight".to_owned(), vec![vocab, embed]));
        }
        if self.factors {
            slots.push(("rope_freqs.weight".to_owned(), vec![head_dim / 2]));
        }
        slots
    }

    fn values(&self, name: &str, shape: &[usize], rng: &mut ChaCha12Rng) -> Vec<f32> {
        if name == "rope_freqs.weight" {
            return factors(shape[0]);
        }
        let columns = shape[shape.len() - 1];
        let (middle, deviation) = if name.contains("norm") {
            (if name == "output_norm.weight" { 3.0 } else { 1.0 }, 0.2)
        } else if name.ends_with(".bias") {
            (0.0, 0.5)
        } else if name.contains("attn_q") {
            // Attention that prefers some positions.
            (0.0, 2.0 / (columns as f32).sqrt())
        } else {
            (0.0, 1.0 / (columns as f32).sqrt())
        };
        let mut values: Vec<f32> =
            (0..shape.iter().product()).map(|_| middle + deviation * normal(rng)).collect();
        if self.outliers {
            self.enlarge(name, columns, &mut values);
        }
        values
    }

    /// Makes channels of the residual stream, of the feed-forward layer and of the keys' bias large, and what reads them
    /// small, so that results stay where they were.
    fn enlarge(&self, name: &str, columns: usize, values: &mut [f32]) {
        let part = name.split('.').rev().nth(1).unwrap_or_default();
        let (wide, narrow) = ([3, columns / 2 + 1, columns - 2], [5, columns / 2 + 13]);
        let (channels, by): (&[usize], f32) = match part {
            "token_embd" => (&wide, OUTLIER / 4.0),
            "attn_norm" | "ffn_norm" => (&wide, OUTLIER),
            "attn_q" | "attn_v" | "ffn_gate" if name.ends_with("weight") => (&wide, 1.0 / OUTLIER),
            "attn_k" if name.ends_with("weight") => (&wide, 1.0 / OUTLIER),
            "attn_k" => (&narrow, 4.0 * OUTLIER),
            "ffn_down" => (&narrow, 1.0 / OUTLIER),
            "ffn_up" => return self.enlarge_up(&wide, values),
            _ => return,
        };
        for row in values.chunks_exact_mut(columns) {
            channels.iter().for_each(|channel| row[*channel] *= by);
        }
    }

    fn enlarge_up(&self, wide: &[usize], values: &mut [f32]) {
        let Sizes { embed, ffn, .. } = self.sizes;
        for (i, row) in values.chunks_exact_mut(embed).enumerate() {
            wide.iter().for_each(|channel| row[*channel] /= OUTLIER);
            if [5, ffn / 2 + 13].contains(&i) {
                row.iter_mut().for_each(|value| *value *= OUTLIER);
            }
        }
    }
}

/// About normal, with deviation 1: the sum of four uniform numbers.
fn normal(rng: &mut ChaCha12Rng) -> f32 {
    let sum: f32 = (0..4).map(|_| rng.next_u32() as f32 / u32::MAX as f32 - 0.5).sum();
    sum * 3.0f32.sqrt()
}

/// Llama 3.1's divisors (`convert_hf_to_gguf.py`, `rope_freqs`), for a short first context.
fn factors(pairs: usize) -> Vec<f32> {
    let (factor, low, high) = (8.0, 1.0, 4.0);
    let one = |i: usize| {
        let turns = ORIGINAL as f32 * 500_000.0f32.powf(-(i as f32) / pairs as f32) / std::f32::consts::TAU;
        let smooth = ((turns - low) / (high - low)).clamp(0.0, 1.0);
        1.0 / ((1.0 - smooth) / factor + smooth)
    };
    (0..pairs).map(one).collect()
}

/// Every architecture, head layout and rotary scaling, in f32.
pub(super) fn all() -> Vec<Plan> {
    let plan = Plan::new;
    vec![
        plan("llama", "llama", [3, 256, 512, 8, 4, 32]),
        plan("llama, as many key heads as heads", "llama", [2, 256, 512, 4, 4, 64]).tied(),
        plan("llama, groups of 3, wide heads", "llama", [2, 256, 512, 6, 2, 128]),
        plan("llama, SmolLM2's widths", "llama", [2, 576, 768, 9, 3, 64]).tied(),
        plan("llama 3.1, divided frequencies", "llama", [2, 256, 512, 8, 2, 64]).tied().factors(),
        plan("llama, linear", "llama", [2, 256, 512, 8, 2, 32]).linear(4.0),
        plan("llama, linear without a type", "llama", [2, 256, 512, 8, 2, 32])
            .with("rope.scale_linear", Value::F32(2.0)),
        plan("llama, yarn", "llama", [2, 256, 512, 4, 2, 64]).yarn(4.0),
        plan("llama, scaling of type none", "llama", [2, 256, 512, 4, 2, 64])
            .with("rope.scaling.type", Value::String("none".to_owned()))
            .with("rope.scaling.factor", Value::F32(4.0)),
        plan("llama, outliers", "llama", [3, 256, 512, 8, 4, 32]).outliers(),
        plan("qwen2, groups of 7, wide heads", "qwen2", [1, 1792, 256, 14, 2, 128]),
        plan("qwen2, Qwen 2.5 0.5B's widths halved", "qwen2", [2, 448, 896, 7, 1, 64]).tied(),
        plan("qwen2, outliers", "qwen2", [3, 256, 512, 4, 2, 64])
            .tied()
            .outliers()
            .with("rope.freq_base", Value::F32(1e6)),
        plan("qwen2, linear", "qwen2", [2, 256, 512, 8, 8, 32]).linear(2.0),
        plan("qwen2, yarn", "qwen2", [2, 256, 512, 4, 2, 64]).yarn(8.0),
        plan("qwen3, heads wider than the embedding", "qwen3", [3, 256, 512, 4, 2, 128])
            .tied()
            .with("rope.freq_base", Value::F32(1e6)),
        plan("qwen3, groups of 3", "qwen3", [2, 256, 512, 12, 4, 64]),
        plan("qwen3, outliers", "qwen3", [2, 256, 512, 8, 2, 64]).outliers(),
        plan("qwen3, yarn with a factor for attention", "qwen3", [2, 256, 512, 4, 2, 64])
            .yarn(4.0)
            .with("rope.scaling.attn_factor", Value::F32(1.25)),
    ]
}

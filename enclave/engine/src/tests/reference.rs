//! A forward pass that is plain and slow, to be compared with: a GGUF file and tokens to logits.
//!
//! It shares no code with the engine. candle reads the file and dequantises each tensor to f32; the rest is loops, in f64
//! but for what is kept between steps and for stretches of the products.
//!
//! It was compared with llama.cpp (xllamacpp 2026.10.11549, caches in f32, no flash attention) over 200 tokens of every
//! model of `models`: the largest difference of a logit was 0.00025, of logits that deviate by 3. Over three of them in
//! each format, llama.cpp being given the matrices as gguf-py 0.19.0 dequantises them, it was 0.00013; over
//! SmolLM2-135M-Instruct.Q4_1, so too, and 1,024 tokens, 0.00021.

use candle_core::Device;
use candle_core::quantized::gguf_file::{Content, Value};
use half::f16;
use rayon::prelude::*;
use std::io::{Read, Seek, SeekFrom};

/// How near tested logits are to a reference's.
#[derive(Clone, Copy, Debug)]
pub(super) struct Agreement {
    /// Mean KL divergence of the tested from the reference, in nats.
    pub(super) kl: f64,
    /// Share of positions with the same first choice.
    pub(super) top1: f64,
}

/// Compares logits, (positions, vocabulary), position by position.
pub(super) fn compare(reference: &[f32], tested: &[f32], vocab: usize) -> Agreement {
    assert_eq!(reference.len(), tested.len());
    let pairs = reference.par_chunks(vocab).zip(tested.par_chunks(vocab));
    let results: Vec<(f64, bool)> = pairs.map(|(r, t)| (divergence(r, t), best(r) == best(t))).collect();
    let n = results.len() as f64;
    Agreement {
        kl: results.iter().map(|(kl, _)| kl).sum::<f64>() / n,
        top1: results.iter().filter(|(_, same)| *same).count() as f64 / n,
    }
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

/// How keys and values are kept between positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kept {
    /// As they were computed.
    Exact,
    /// Rounded to f16, as the engine and llama.cpp keep them.
    Half,
}

/// Logits of all positions, (tokens, vocabulary), of tokens that stand at the positions from 0 on. Holds one layer's
/// weights at a time, and the embedding.
pub(super) fn logits(reader: impl Read + Seek, tokens: &[u32], kept: Kept) -> Vec<f32> {
    let mut file = Gguf::open(reader);
    let shape = Shape { kept, ..Shape::read(&mut file) };
    let embedding = file.tensor("token_embd.weight").unwrap();
    let row = |token: &u32| &embedding[*token as usize * shape.embed..][..shape.embed];
    let mut x: Vec<f32> = tokens.iter().flat_map(row).copied().collect();
    for layer in 0..shape.layers {
        attention(&mut file, &shape, layer, &mut x);
        feed_forward(&mut file, &shape, layer, &mut x);
    }
    let norm = file.tensor("output_norm.weight").unwrap();
    let head = file.tensor("output.weight").unwrap_or(embedding);
    product(&normed(&x, &norm, shape.eps), &head, shape.embed)
}

/// Angle per position of each pair of a head, and what turned elements are multiplied by.
pub(super) fn angles(reader: impl Read + Seek) -> (Vec<f64>, f64) {
    let shape = Shape::read(&mut Gguf::open(reader));
    (shape.angles, shape.gain)
}

struct Gguf<R> {
    reader: R,
    content: Content,
}

impl<R: Read + Seek> Gguf<R> {
    fn open(mut reader: R) -> Gguf<R> {
        reader.seek(SeekFrom::Start(0)).unwrap();
        let content = Content::read(&mut reader).unwrap();
        Gguf { reader, content }
    }

    fn tensor(&mut self, name: &str) -> Option<Vec<f32>> {
        self.content.tensor_infos.get(name)?;
        let tensor = self.content.tensor(&mut self.reader, name, &Device::Cpu).unwrap();
        let dense = tensor.dequantize(&Device::Cpu).unwrap();
        Some(dense.flatten_all().unwrap().to_vec1().unwrap())
    }

    fn part(&mut self, layer: usize, part: &str) -> Option<Vec<f32>> {
        self.tensor(&format!("blk.{layer}.{part}"))
    }

    fn text(&self, key: &str) -> Option<&str> {
        self.content.metadata.get(key).map(|value| value.to_string().unwrap().as_str())
    }

    /// A number under the name of the architecture.
    fn number(&self, key: &str) -> Option<f64> {
        let architecture = self.text("general.architecture").unwrap();
        self.content.metadata.get(&format!("{architecture}.{key}")).map(|value| match value {
            Value::U32(v) => f64::from(*v),
            Value::U64(v) => *v as f64,
            Value::I32(v) => f64::from(*v),
            Value::F32(v) => f64::from(*v),
            other => panic!("{key}: {other:?}"),
        })
    }

    fn size(&self, key: &str) -> Option<usize> {
        self.number(key).map(|n| n as usize)
    }
}

struct Shape {
    layers: usize,
    embed: usize,
    heads: usize,
    kv_heads: usize,
    head_dim: usize,
    eps: f64,
    /// Whether element i of a head turns with i + half a head, not 2i with 2i + 1.
    halves: bool,
    /// Angle per position of each pair.
    angles: Vec<f64>,
    /// What turned elements are multiplied by.
    gain: f64,
    kept: Kept,
}

impl Shape {
    fn read<R: Read + Seek>(file: &mut Gguf<R>) -> Shape {
        let size = |key: &str| file.size(key).unwrap();
        let (embed, heads) = (size("embedding_length"), size("attention.head_count"));
        let head_dim = file.size("attention.key_length").unwrap_or(embed / heads);
        let halves = match file.text("general.architecture").unwrap() {
            "llama" => false,
            "qwen2" | "qwen3" => true,
            other => panic!("{other}"),
        };
        let mut shape = Shape {
            layers: size("block_count"),
            embed,
            heads,
            kv_heads: file.size("attention.head_count_kv").unwrap_or(heads),
            head_dim,
            eps: file.number("attention.layer_norm_rms_epsilon").unwrap(),
            halves,
            angles: Vec::new(),
            kept: Kept::Exact,
            gain: file.number("rope.scaling.attn_factor").unwrap_or(1.0),
        };
        shape.read_angles(file);
        shape
    }

    fn read_angles<R: Read + Seek>(&mut self, file: &mut Gguf<R>) {
        let base = file.number("rope.freq_base").unwrap_or(10_000.0);
        let dim = self.head_dim as f64;
        self.angles = (0..self.head_dim / 2).map(|i| base.powf(-2.0 * i as f64 / dim)).collect();
        if let Some(divisors) = file.tensor("rope_freqs.weight") {
            self.angles.iter_mut().zip(divisors).for_each(|(angle, divisor)| *angle /= f64::from(divisor));
        }
        let architecture = file.text("general.architecture").unwrap();
        let kind = file.text(&format!("{architecture}.rope.scaling.type"));
        let factor = file.number("rope.scaling.factor").or(file.number("rope.scale_linear")).unwrap_or(1.0);
        match kind.unwrap_or("linear") {
            "none" => {}
            "linear" => self.angles.iter_mut().for_each(|angle| *angle /= factor),
            "yarn" => {
                let original = file.number("rope.scaling.original_context_length");
                self.stretch(base, factor, original.or(file.number("context_length")).unwrap());
            }
            other => panic!("{other}"),
        }
    }

    /// YaRN (arXiv 2309.00071, 3.2), with pairs between 1 and 32 turns blended by their index as llama.cpp does.
    fn stretch(&mut self, base: f64, factor: f64, original: f64) {
        let index_of_turns = |turns: f64| {
            self.head_dim as f64 * (original / (turns * std::f64::consts::TAU)).ln() / (2.0 * base.ln())
        };
        let first = index_of_turns(32.0).floor().max(0.0);
        let last = index_of_turns(1.0).ceil().min(self.head_dim as f64 - 1.0);
        for (i, angle) in self.angles.iter_mut().enumerate() {
            let slow = ((i as f64 - first) / (last - first).max(0.001)).clamp(0.0, 1.0);
            *angle = *angle / factor * slow + *angle * (1.0 - slow);
        }
        self.gain *= 1.0 + 0.1 * factor.ln();
    }

    /// Turns one head at one position.
    fn turn(&self, head: &mut [f32], position: usize) {
        for (i, angle) in self.angles.iter().enumerate() {
            let (a, b) = if self.halves { (i, i + self.head_dim / 2) } else { (2 * i, 2 * i + 1) };
            let (sin, cos) = (position as f64 * angle).sin_cos();
            let (x, y) = (f64::from(head[a]), f64::from(head[b]));
            head[a] = ((x * cos - y * sin) * self.gain) as f32;
            head[b] = ((x * sin + y * cos) * self.gain) as f32;
        }
    }
}

fn attention<R: Read + Seek>(file: &mut Gguf<R>, shape: &Shape, layer: usize, x: &mut [f32]) {
    let input = normed(x, &file.part(layer, "attn_norm.weight").unwrap(), shape.eps);
    let query = projected(file, shape, (layer, "attn_q"), &input);
    let mut key = projected(file, shape, (layer, "attn_k"), &input);
    let mut value = projected(file, shape, (layer, "attn_v"), &input);
    if shape.kept == Kept::Half {
        key.iter_mut().chain(&mut value).for_each(|x| *x = f16::from_f32(*x).to_f32());
    }
    let mixed = attend(shape, &query, &key, &value);
    let out = file.part(layer, "attn_output.weight").unwrap();
    add(x, &product(&mixed, &out, shape.heads * shape.head_dim));
}

/// Queries, keys or values of all positions: with their bias, normalised and turned where the model does so.
fn projected<R: Read + Seek>(
    file: &mut Gguf<R>,
    shape: &Shape,
    (layer, part): (usize, &str),
    input: &[f32],
) -> Vec<f32> {
    let weight = file.part(layer, &format!("{part}.weight")).unwrap();
    let mut out = product(input, &weight, shape.embed);
    if let Some(bias) = file.part(layer, &format!("{part}.bias")) {
        out.chunks_exact_mut(bias.len()).for_each(|row| add(row, &bias));
    }
    if let Some(norm) = file.part(layer, &format!("{part}_norm.weight")) {
        out = normed(&out, &norm, shape.eps);
    }
    if part != "attn_v" {
        let width = out.len() / (input.len() / shape.embed);
        for (position, row) in out.chunks_exact_mut(width).enumerate() {
            row.chunks_exact_mut(shape.head_dim).for_each(|head| shape.turn(head, position));
        }
    }
    out
}

/// Softmax attention of each query over its own position and those before it.
fn attend(shape: &Shape, query: &[f32], key: &[f32], value: &[f32]) -> Vec<f32> {
    let Shape { heads, kv_heads, head_dim: dim, .. } = *shape;
    let mut out = vec![0.0; query.len()];
    out.par_chunks_exact_mut(dim).enumerate().for_each(|(i, out)| {
        let (position, head) = (i / heads, i % heads);
        let kv_head = head / (heads / kv_heads);
        let at = |other: usize| (other * kv_heads + kv_head) * dim;
        let query = &query[i * dim..][..dim];
        let scores: Vec<f64> =
            (0..=position).map(|other| dot(query, &key[at(other)..][..dim]) / (dim as f64).sqrt()).collect();
        let top = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = scores.iter().map(|score| (score - top).exp()).sum();
        let mut mixed = vec![0.0; dim];
        for (other, score) in scores.iter().enumerate() {
            let share = (score - top).exp() / sum;
            let value = &value[at(other)..][..dim];
            mixed.iter_mut().zip(value).for_each(|(m, v)| *m += share * f64::from(*v));
        }
        out.iter_mut().zip(mixed).for_each(|(o, m)| *o = m as f32);
    });
    out
}

fn feed_forward<R: Read + Seek>(file: &mut Gguf<R>, shape: &Shape, layer: usize, x: &mut [f32]) {
    let input = normed(x, &file.part(layer, "ffn_norm.weight").unwrap(), shape.eps);
    let gate = product(&input, &file.part(layer, "ffn_gate.weight").unwrap(), shape.embed);
    let up = product(&input, &file.part(layer, "ffn_up.weight").unwrap(), shape.embed);
    let silu = |g: f32| f64::from(g) / (1.0 + (-f64::from(g)).exp());
    let inner: Vec<f32> = gate.iter().zip(&up).map(|(g, u)| (silu(*g) * f64::from(*u)) as f32).collect();
    let down = file.part(layer, "ffn_down.weight").unwrap();
    add(x, &product(&inner, &down, down.len() / shape.embed));
}

/// Root-mean-square norm of each row as wide as the weight.
fn normed(x: &[f32], weight: &[f32], eps: f64) -> Vec<f32> {
    let norm = |row: &[f32]| {
        let mean = row.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>() / row.len() as f64;
        let scale = 1.0 / (mean + eps).sqrt();
        let row = row.iter().zip(weight).map(|(v, w)| (f64::from(*v) * scale * f64::from(*w)) as f32);
        row.collect::<Vec<f32>>()
    };
    x.chunks_exact(weight.len()).flat_map(norm).collect()
}

/// Rows of `x`, `inputs` wide, times a matrix of (outputs, inputs).
fn product(x: &[f32], weight: &[f32], inputs: usize) -> Vec<f32> {
    /// Rows that stay in the processor's cache while the matrix goes by.
    const ROWS: usize = 32;
    let outputs = weight.len() / inputs;
    let mut out = vec![0.0; x.len() / inputs * outputs];
    let blocks = out.par_chunks_mut(ROWS * outputs).zip(x.par_chunks(ROWS * inputs));
    blocks.for_each(|(out, x)| {
        for (o, weight) in weight.chunks_exact(inputs).enumerate() {
            for (row, x) in x.chunks_exact(inputs).enumerate() {
                out[row * outputs + o] = dot(x, weight) as f32;
            }
        }
    });
    out
}

fn add(x: &mut [f32], y: &[f32]) {
    x.iter_mut().zip(y).for_each(|(x, y)| *x += y);
}

/// Dot product: f32 within stretches of 256, f64 over them.
fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.chunks(256).zip(b.chunks(256)).map(|(a, b)| f64::from(stretch(a, b))).sum()
}

fn stretch(a: &[f32], b: &[f32]) -> f32 {
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<16>(), b.as_chunks::<16>());
    let mut sums = [0.0f32; 16];
    for (a, b) in a.iter().zip(b) {
        for i in 0..16 {
            sums[i] += a[i] * b[i];
        }
    }
    sums.iter().sum::<f32>() + a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum::<f32>()
}

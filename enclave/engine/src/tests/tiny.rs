//! Small models with seeded random weights, as GGUF bytes; those of other architectures and sizes are in `models`.

use crate::{Limits, LoadError, Model};
use candle_core::quantized::gguf_file::{self, Value};
use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{Device, Tensor};
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use std::io::Cursor;
use std::sync::Arc;

pub(super) const TEMPLATE: &str = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n\
    {% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

/// A GGUF file in parts, to be changed before it is written.
#[derive(Clone)]
pub(super) struct Tiny {
    pub(super) metadata: Vec<(String, Value)>,
    pub(super) tensors: Vec<(String, Arc<QTensor>)>,
}

/// Sizes of a model, in elements.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    pub(super) layers: usize,
    pub(super) embed: usize,
    pub(super) ffn: usize,
    pub(super) heads: usize,
    pub(super) kv_heads: usize,
    pub(super) head_dim: usize,
}

const SIZES: Sizes = Sizes { layers: 2, embed: 64, ffn: 128, heads: 4, kv_heads: 2, head_dim: 16 };
pub(super) const CONTEXT: u32 = 96;

impl Tiny {
    pub(super) fn new() -> Tiny {
        Tiny::of(GgmlDType::Q4_1)
    }

    /// With the matrices of the layers in this format.
    pub(super) fn of(matrices: GgmlDType) -> Tiny {
        Tiny::with(metadata("llama", &SIZES, CONTEXT), vocabulary().len(), matrices)
    }

    /// With another tokenizer: its metadata replace the usual ones.
    pub(super) fn tokens(tokenizer: Vec<(&str, Value)>, vocab: usize) -> Tiny {
        let mut own = metadata("llama", &SIZES, CONTEXT);
        own.retain(|(key, _)| !key.starts_with("tokenizer."));
        own.extend(tokenizer.into_iter().map(|(key, value)| (key.to_owned(), value)));
        Tiny::with(own, vocab, GgmlDType::Q4_1)
    }

    fn with(metadata: Vec<(String, Value)>, vocab: usize, matrices: GgmlDType) -> Tiny {
        let mut rng = ChaCha12Rng::seed_from_u64(7);
        let mut uniform = || (rng.next_u32() as f32 / u32::MAX as f32 - 0.5) * 0.5;
        let mut make = |(name, shape): (String, Vec<usize>)| {
            let kind = match name.as_str() {
                "token_embd.weight" => GgmlDType::Q8_0,
                _ if shape.len() == 1 => GgmlDType::F32,
                _ => matrices,
            };
            let offset = if shape.len() == 1 { 1.0 } else { 0.0 };
            let values = (0..shape.iter().product()).map(|_| uniform() + offset).collect();
            (name, quantised(values, &shape, kind))
        };
        Tiny { metadata, tensors: slots(&SIZES, vocab).into_iter().map(&mut make).collect() }
    }

    pub(super) fn set(mut self, key: &str, value: Value) -> Tiny {
        self.metadata.retain(|(k, _)| k != key);
        self.metadata.push((key.to_owned(), value));
        self
    }

    pub(super) fn without(mut self, key: &str) -> Tiny {
        self.metadata.retain(|(k, _)| k != key);
        self.tensors.retain(|(k, _)| k != key);
        self
    }

    pub(super) fn tensor(mut self, name: &str, shape: &[usize], fill: f32) -> Tiny {
        self.tensors.retain(|(k, _)| k != name);
        let tensor = Tensor::full(fill, shape, &Device::Cpu).unwrap();
        let tensor = QTensor::quantize(&tensor, GgmlDType::F32).unwrap();
        self.tensors.push((name.to_owned(), Arc::new(tensor)));
        self
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let metadata: Vec<_> = self.metadata.iter().map(|(k, v)| (k.as_str(), v)).collect();
        let tensors: Vec<_> = self.tensors.iter().map(|(k, t)| (k.as_str(), t.as_ref())).collect();
        let mut out = Cursor::new(Vec::new());
        gguf_file::write(&mut out, &metadata, &tensors).unwrap();
        out.into_inner()
    }

    pub(super) fn load(&self) -> Result<Model, LoadError> {
        load(&self.bytes())
    }

    pub(super) fn model(&self) -> Arc<Model> {
        Arc::new(self.load().unwrap())
    }
}

/// The values in one of ggml's formats.
pub(super) fn quantised(values: Vec<f32>, shape: &[usize], kind: GgmlDType) -> Arc<QTensor> {
    let tensor = Tensor::from_vec(values, shape, &Device::Cpu).unwrap();
    Arc::new(QTensor::quantize(&tensor, kind).unwrap())
}

/// Names and shapes of the tensors that every architecture has, in the order of a file.
pub(super) fn slots(sizes: &Sizes, vocab: usize) -> Vec<(String, Vec<usize>)> {
    let Sizes { embed, ffn, .. } = *sizes;
    let (q, kv) = (sizes.heads * sizes.head_dim, sizes.kv_heads * sizes.head_dim);
    let parts = [
        ("attn_norm", vec![embed]),
        ("attn_q", vec![q, embed]),
        ("attn_k", vec![kv, embed]),
        ("attn_v", vec![kv, embed]),
        ("attn_output", vec![embed, q]),
        ("ffn_norm", vec![embed]),
        ("ffn_gate", vec![ffn, embed]),
        ("ffn_up", vec![ffn, embed]),
        ("ffn_down", vec![embed, ffn]),
    ];
    let layer = |i: usize| {
        parts.clone().into_iter().map(move |(part, shape)| (format!("blk.{i}.{part}.weight"), shape))
    };
    let mut slots = vec![("token_embd.weight".to_owned(), vec![vocab, embed])];
    slots.extend((0..sizes.layers).flat_map(layer));
    slots.push(("output_norm.weight".to_owned(), vec![embed]));
    slots
}

pub(super) fn load(bytes: &[u8]) -> Result<Model, LoadError> {
    Model::load(Cursor::new(bytes), bytes.len() as u64, Limits::default())
}

/// What a file of this architecture says, with the usual tokenizer.
pub(super) fn metadata(architecture: &str, sizes: &Sizes, context: u32) -> Vec<(String, Value)> {
    let number = |n: usize| Value::U32(n as u32);
    let own = [
        ("block_count", number(sizes.layers)),
        ("context_length", Value::U32(context)),
        ("embedding_length", number(sizes.embed)),
        ("feed_forward_length", number(sizes.ffn)),
        ("attention.head_count", number(sizes.heads)),
        ("attention.head_count_kv", number(sizes.kv_heads)),
        ("rope.freq_base", Value::F32(10_000.0)),
        ("attention.layer_norm_rms_epsilon", Value::F32(1e-5)),
    ];
    let general = [("architecture", architecture), ("name", "tiny")];
    let general = general.map(|(k, v)| (format!("general.{k}"), Value::String(v.to_owned())));
    let own = own.map(|(k, v)| (format!("{architecture}.{k}"), v));
    general.into_iter().chain(own).chain(tokenizer()).collect()
}

fn tokenizer() -> Vec<(String, Value)> {
    let vocab = vocabulary();
    let kinds = vocab.iter().map(|t| Value::I32(if t.starts_with("<|") { 3 } else { 1 })).collect();
    let number = |n: u32| Value::U32(n);
    let text = |t: &str| Value::String(t.to_owned());
    let strings = |list: &[String]| Value::Array(list.iter().map(|t| text(t)).collect());
    let merges = ["h e", "l l", "he ll", "hell o"].map(str::to_owned);
    let entries = [
        ("tokenizer.ggml.model", text("gpt2")),
        ("tokenizer.ggml.pre", text("smollm")),
        ("tokenizer.ggml.tokens", strings(&vocab)),
        ("tokenizer.ggml.token_type", Value::Array(kinds)),
        ("tokenizer.ggml.merges", strings(&merges)),
        ("tokenizer.ggml.bos_token_id", number(0)),
        ("tokenizer.ggml.eos_token_id", number(1)),
        ("tokenizer.chat_template", text(TEMPLATE)),
    ];
    entries.map(|(k, v)| (k.to_owned(), v)).to_vec()
}

/// Two control tokens, GPT-2's 256 byte characters, and what the merges make.
pub(super) fn vocabulary() -> Vec<String> {
    let printable = |b: u32| matches!(b, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff);
    let plain = (0..256).filter(|b| printable(*b));
    let shifted = (0..256).filter(|b| !printable(*b)).zip(0x100..).map(|(_, c)| c);
    let bytes = plain.chain(shifted).map(|c| char::from_u32(c).unwrap().to_string());
    let control = ["<|im_start|>", "<|im_end|>"].map(str::to_owned).into_iter();
    control.chain(bytes).chain(["he", "ll", "hell", "hello"].map(str::to_owned)).collect()
}

//! Small llama models with seeded random weights, as GGUF bytes.

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

const EMBED: usize = 64;
const FFN: usize = 128;
const KV: usize = 32;
pub(super) const CONTEXT: u32 = 96;

impl Tiny {
    pub(super) fn new() -> Tiny {
        Tiny::of(GgmlDType::Q4_1)
    }

    /// With the matrices of the layers in this format.
    pub(super) fn of(matrices: GgmlDType) -> Tiny {
        Tiny::with(metadata(), vocabulary().len(), matrices)
    }

    /// With another tokenizer: its metadata replace the usual ones.
    pub(super) fn tokens(tokenizer: Vec<(&str, Value)>, vocab: usize) -> Tiny {
        let mut own = metadata();
        own.retain(|(key, _)| !key.starts_with("tokenizer."));
        own.extend(tokenizer.into_iter().map(|(key, value)| (key.to_owned(), value)));
        Tiny::with(own, vocab, GgmlDType::Q4_1)
    }

    fn with(metadata: Vec<(String, Value)>, vocab: usize, matrices: GgmlDType) -> Tiny {
        let mut tiny = Tiny { metadata, tensors: Vec::new() };
        let mut rng = ChaCha12Rng::seed_from_u64(7);
        tiny.add("token_embd.weight", &[vocab, EMBED], GgmlDType::Q8_0, &mut rng);
        for layer in 0..2 {
            let parts: [(&str, &[usize]); 9] = [
                ("attn_norm", &[EMBED]),
                ("attn_q", &[EMBED, EMBED]),
                ("attn_k", &[KV, EMBED]),
                ("attn_v", &[KV, EMBED]),
                ("attn_output", &[EMBED, EMBED]),
                ("ffn_norm", &[EMBED]),
                ("ffn_gate", &[FFN, EMBED]),
                ("ffn_up", &[FFN, EMBED]),
                ("ffn_down", &[EMBED, FFN]),
            ];
            for (part, shape) in parts {
                let kind = if shape.len() == 1 { GgmlDType::F32 } else { matrices };
                tiny.add(&format!("blk.{layer}.{part}.weight"), shape, kind, &mut rng);
            }
        }
        tiny.add("output_norm.weight", &[EMBED], GgmlDType::F32, &mut rng);
        tiny
    }

    fn add(&mut self, name: &str, shape: &[usize], kind: GgmlDType, rng: &mut ChaCha12Rng) {
        let uniform = |rng: &mut ChaCha12Rng| (rng.next_u32() as f32 / u32::MAX as f32 - 0.5) * 0.5;
        let offset = if shape.len() == 1 { 1.0 } else { 0.0 };
        let values: Vec<f32> = (0..shape.iter().product()).map(|_| uniform(rng) + offset).collect();
        let tensor = Tensor::from_vec(values, shape, &Device::Cpu).unwrap();
        self.tensors.push((name.to_owned(), Arc::new(QTensor::quantize(&tensor, kind).unwrap())));
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

pub(super) fn load(bytes: &[u8]) -> Result<Model, LoadError> {
    Model::load(Cursor::new(bytes), bytes.len() as u64, Limits::default())
}

fn metadata() -> Vec<(String, Value)> {
    let vocab = vocabulary();
    let kinds = vocab.iter().map(|t| Value::I32(if t.starts_with("<|") { 3 } else { 1 })).collect();
    let number = |n: u32| Value::U32(n);
    let text = |t: &str| Value::String(t.to_owned());
    let strings = |list: &[String]| Value::Array(list.iter().map(|t| text(t)).collect());
    let merges = ["h e", "l l", "he ll", "hell o"].map(str::to_owned);
    let entries = [
        ("general.architecture", text("llama")),
        ("general.name", text("tiny")),
        ("llama.block_count", number(2)),
        ("llama.context_length", number(CONTEXT)),
        ("llama.embedding_length", number(EMBED as u32)),
        ("llama.feed_forward_length", number(FFN as u32)),
        ("llama.attention.head_count", number(4)),
        ("llama.attention.head_count_kv", number(2)),
        ("llama.rope.freq_base", Value::F32(10_000.0)),
        ("llama.attention.layer_norm_rms_epsilon", Value::F32(1e-5)),
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
fn vocabulary() -> Vec<String> {
    let printable = |b: u32| matches!(b, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff);
    let plain = (0..256).filter(|b| printable(*b));
    let shifted = (0..256).filter(|b| !printable(*b)).zip(0x100..).map(|(_, c)| c);
    let bytes = plain.chain(shifted).map(|c| char::from_u32(c).unwrap().to_string());
    let control = ["<|im_start|>", "<|im_end|>"].map(str::to_owned).into_iter();
    control.chain(bytes).chain(["he", "ll", "hell", "hello"].map(str::to_owned)).collect()
}

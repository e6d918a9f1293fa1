//! Model files: a GGUF writer of our own, and the loader behind small limits.
//!
//! # Promises
//! - A file that loads has bounded sizes, a name that is safe to print, and runs two steps without a panic.
//!
//! # Does not
//! - Share code with the loader or with the tensor library: the writer follows ggml, `docs/gguf.md`.
//!
//! # Trusts
//! - Nobody.

use std::io::Cursor;
use std::sync::Arc;
use std::time::{Duration, Instant};

use adyton_engine::{Engine, Generation, Limits, Model, Sampling, Scope};
use adyton_guardrail::{Action, Guardrail, Message, Prompt, Role, Settings, Text};

/// Far below the defaults: a run must be short, and a large allocation must show.
const LIMITS: Limits = Limits {
    max_header_bytes: 1 << 16,
    max_metadata: 64,
    max_tensors: 64,
    max_array_elements: 4096,
    max_context: 64,
    max_memory: 256 << 20,
};
const ALIGNMENT: usize = 32;
const EMBED: usize = 32;
const FFN: usize = 16;
/// Value types (gguf.md, `gguf_metadata_value_type`) and the tensor type F32 (ggml.h).
const U32: u32 = 4;
pub(crate) const I32: u32 = 5;
const F32: u32 = 6;
const STRING: u32 = 8;
const ARRAY: u32 = 9;
const TENSOR_F32: u32 = 0;

const TEMPLATE: &str =
    "{% for m in messages %}<|im_start|>{{ m.role }} {{ m.content }}<|im_end|>{% endfor %}";
const TOKENS: [&str; 8] = ["<|im_start|>", "<|im_end|>", "h", "e", "l", "o", "he", "u"];

/// A model file.
pub fn gguf(data: &[u8]) {
    let Ok(model) = Model::load(Cursor::new(data), data.len() as u64, LIMITS) else { return };
    assert!((2..=LIMITS.max_context).contains(&model.context_length()));
    assert!(model.name().chars().all(|c| c.is_ascii() && !c.is_control()), "a name that steers a terminal");
    assert!(model.tokenizer().vocabulary() <= 4096);
    let control: Vec<String> = model.control_tokens().collect();
    run(Arc::new(model), control);
}

fn run(model: Arc<Model>, control: Vec<String>) {
    let settings = Settings::of_what_hides(64, 1, Action::Redact);
    let message = Message { role: Role::User, content: Text::from("hello") };
    let Ok((screened, _)) = Guardrail::new(settings, control).screen(Prompt { messages: vec![message] })
    else {
        return;
    };
    let Ok(sampling) = Sampling::new(1).max_tokens(2) else { return };
    let Ok(generation) = Generation::start(&model, &screened, sampling) else { return };
    let usual = adyton_engine::Settings::for_this_machine();
    let small = adyton_engine::Settings { threads: 1, running: 1, rows: 8, cache_bytes: 16 << 20, ..usual };
    let Ok(mut engine) = Engine::new(model, small) else { return };
    let now = Instant::now();
    let scope = Scope { owner: [0; 32], session: 0 };
    let _: Result<_, _> = engine.submit(generation, scope, now + Duration::from_secs(60));
    for _ in 0..4 {
        // An error is an answer too; only a panic is not.
        engine.step(now, &mut |_, _| {});
    }
}

/// A GGUF file that is being written.
#[derive(Default)]
pub(crate) struct File {
    metadata: Vec<u8>,
    keys: u64,
    table: Vec<u8>,
    tensors: u64,
    data: Vec<u8>,
}

impl File {
    fn key(&mut self, key: &str, kind: u32) -> &mut Vec<u8> {
        self.keys += 1;
        string(&mut self.metadata, key);
        self.metadata.extend_from_slice(&kind.to_le_bytes());
        &mut self.metadata
    }

    pub(crate) fn text(&mut self, key: &str, value: &str) {
        string(self.key(key, STRING), value);
    }

    pub(crate) fn number(&mut self, key: &str, value: u32) {
        self.key(key, U32).extend_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn real(&mut self, key: &str, value: f32) {
        self.key(key, F32).extend_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn list(&mut self, key: &str, kind: u32, count: usize, items: &[u8]) {
        let out = self.key(key, ARRAY);
        out.extend_from_slice(&kind.to_le_bytes());
        out.extend_from_slice(&(count as u64).to_le_bytes());
        out.extend_from_slice(items);
    }

    pub(crate) fn strings(&mut self, key: &str, values: &[&str]) {
        let mut items = Vec::new();
        values.iter().for_each(|value| string(&mut items, value));
        self.list(key, STRING, values.len(), &items);
    }

    /// A tensor of 32-bit floats that repeat themselves.
    fn tensor(&mut self, name: &str, shape: &[usize]) {
        self.filled(name, shape, &mut |at| (at % 7) as f32 / 8.0 - 0.375);
    }

    /// A tensor of 32-bit floats; `shape` is slowest first, as the engine says it.
    pub(crate) fn filled(&mut self, name: &str, shape: &[usize], value: &mut dyn FnMut(usize) -> f32) {
        self.tensors += 1;
        string(&mut self.table, name);
        self.table.extend_from_slice(&(shape.len() as u32).to_le_bytes());
        for extent in shape.iter().rev() {
            self.table.extend_from_slice(&(*extent as u64).to_le_bytes());
        }
        self.table.extend_from_slice(&TENSOR_F32.to_le_bytes());
        self.table.extend_from_slice(&(self.data.len() as u64).to_le_bytes());
        for at in 0..shape.iter().product::<usize>() {
            self.data.extend_from_slice(&value(at).to_le_bytes());
        }
        pad(&mut self.data);
    }

    pub(crate) fn bytes(self) -> Vec<u8> {
        let mut out = b"GGUF\x03\0\0\0".to_vec();
        out.extend_from_slice(&self.tensors.to_le_bytes());
        out.extend_from_slice(&self.keys.to_le_bytes());
        out.extend_from_slice(&self.metadata);
        out.extend_from_slice(&self.table);
        pad(&mut out);
        out.extend_from_slice(&self.data);
        out
    }
}

fn string(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(&(text.len() as u64).to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}

fn pad(out: &mut Vec<u8>) {
    out.resize(out.len().next_multiple_of(ALIGNMENT), 0);
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    vec![model("smollm"), model("llama-bpe")]
}

/// One layer, two heads, eight tokens.
fn model(pre_tokenizer: &str) -> Vec<u8> {
    let mut file = File::default();
    shape(&mut file);
    tokenizer(&mut file, pre_tokenizer);
    file.tensor("token_embd.weight", &[TOKENS.len(), EMBED]);
    file.tensor("output_norm.weight", &[EMBED]);
    for (part, shape) in [
        ("attn_norm", &[EMBED][..]),
        ("attn_q", &[EMBED, EMBED]),
        ("attn_k", &[EMBED / 2, EMBED]),
        ("attn_v", &[EMBED / 2, EMBED]),
        ("attn_output", &[EMBED, EMBED]),
        ("ffn_norm", &[EMBED]),
        ("ffn_gate", &[FFN, EMBED]),
        ("ffn_up", &[FFN, EMBED]),
        ("ffn_down", &[EMBED, FFN]),
    ] {
        file.tensor(&format!("blk.0.{part}.weight"), shape);
    }
    file.bytes()
}

fn shape(file: &mut File) {
    file.text("general.architecture", "llama");
    file.text("general.name", "tiny");
    file.number("llama.block_count", 1);
    file.number("llama.context_length", 32);
    file.number("llama.embedding_length", EMBED as u32);
    file.number("llama.feed_forward_length", FFN as u32);
    file.number("llama.attention.head_count", 2);
    file.number("llama.attention.head_count_kv", 1);
    file.real("llama.attention.layer_norm_rms_epsilon", 1e-5);
}

fn tokenizer(file: &mut File, pre_tokenizer: &str) {
    let kinds: Vec<u8> =
        TOKENS.iter().flat_map(|t| if t.starts_with('<') { 3i32 } else { 1 }.to_le_bytes()).collect();
    file.text("tokenizer.ggml.model", "gpt2");
    file.text("tokenizer.ggml.pre", pre_tokenizer);
    file.strings("tokenizer.ggml.tokens", &TOKENS);
    file.list("tokenizer.ggml.token_type", I32, TOKENS.len(), &kinds);
    file.strings("tokenizer.ggml.merges", &["h e"]);
    file.number("tokenizer.ggml.bos_token_id", 0);
    file.number("tokenizer.ggml.eos_token_id", 1);
    file.text("tokenizer.chat_template", TEMPLATE);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seeds_load() {
        for bytes in seeds() {
            let model = Model::load(Cursor::new(&bytes), bytes.len() as u64, LIMITS).unwrap();
            assert_eq!((model.name(), model.context_length()), ("tiny", 32));
        }
    }
}

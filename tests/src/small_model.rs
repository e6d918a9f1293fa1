//! A model so small that an emulator runs it: a GGUF file with seeded weights and a token for each byte.
//!
//! # Promises
//! - The same bytes each time. Any text can be tokenised, and whatever is generated is a byte.
//!
//! # Does not
//! - Say anything. It shows the path of a request, in a machine on which a real model takes a second for each token.
//!
//! # Trusts
//! - Nothing from outside.

use crate::fuzz::weights::{File, I32};

/// The name under which it is offered.
pub const NAME: &str = "small-and-random";

const LAYERS: usize = 2;
const EMBED: usize = 64;
const FFN: usize = 128;
const HEADS: u32 = 4;
const KV_HEADS: u32 = 2;
const CONTEXT: u32 = 1024;
const TEMPLATE: &str = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}\
    {% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

/// The file.
pub fn gguf() -> Vec<u8> {
    let mut file = File::default();
    shape(&mut file);
    let tokens = vocabulary();
    tokenizer(&mut file, &tokens);
    let mut state = 7_u64;
    let mut around = move |centre: f32| {
        // Knuth's MMIX generator; its upper bits are good enough for weights that mean nothing.
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        centre + ((state >> 40) as f32 / (1_u64 << 24) as f32 - 0.5) * 0.5
    };
    let kv = EMBED / (HEADS / KV_HEADS) as usize;
    file.filled("token_embd.weight", &[tokens.len(), EMBED], &mut |_| around(0.0));
    for layer in 0..LAYERS {
        for (part, shape) in [
            ("attn_norm", &[EMBED][..]),
            ("attn_q", &[EMBED, EMBED]),
            ("attn_k", &[kv, EMBED]),
            ("attn_v", &[kv, EMBED]),
            ("attn_output", &[EMBED, EMBED]),
            ("ffn_norm", &[EMBED]),
            ("ffn_gate", &[FFN, EMBED]),
            ("ffn_up", &[FFN, EMBED]),
            ("ffn_down", &[EMBED, FFN]),
        ] {
            let centre = if shape.len() == 1 { 1.0 } else { 0.0 };
            file.filled(&format!("blk.{layer}.{part}.weight"), shape, &mut |_| around(centre));
        }
    }
    file.filled("output_norm.weight", &[EMBED], &mut |_| around(1.0));
    file.bytes()
}

fn shape(file: &mut File) {
    file.text("general.architecture", "llama");
    file.text("general.name", "small");
    for (key, value) in [
        ("block_count", LAYERS as u32),
        ("context_length", CONTEXT),
        ("embedding_length", EMBED as u32),
        ("feed_forward_length", FFN as u32),
        ("attention.head_count", HEADS),
        ("attention.head_count_kv", KV_HEADS),
    ] {
        file.number(&format!("llama.{key}"), value);
    }
    file.real("llama.rope.freq_base", 10_000.0);
    file.real("llama.attention.layer_norm_rms_epsilon", 1e-5);
}

fn tokenizer(file: &mut File, tokens: &[String]) {
    let kinds: Vec<u8> =
        tokens.iter().flat_map(|t| if t.starts_with("<|") { 3_i32 } else { 1 }.to_le_bytes()).collect();
    let names: Vec<&str> = tokens.iter().map(String::as_str).collect();
    file.text("tokenizer.ggml.model", "gpt2");
    file.text("tokenizer.ggml.pre", "smollm");
    file.strings("tokenizer.ggml.tokens", &names);
    file.list("tokenizer.ggml.token_type", I32, tokens.len(), &kinds);
    file.strings("tokenizer.ggml.merges", &["h e"]);
    file.number("tokenizer.ggml.bos_token_id", 0);
    file.number("tokenizer.ggml.eos_token_id", 1);
    file.text("tokenizer.chat_template", TEMPLATE);
}

/// Two control tokens, a token for each byte under the character that GPT-2 gives it, and one of two letters.
fn vocabulary() -> Vec<String> {
    let printable = |byte: &u32| matches!(byte, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff);
    let shifted = (0..256).filter(|byte| !printable(byte)).zip(0x100..).map(|(_, character)| character);
    let bytes = (0..256).filter(printable).chain(shifted).filter_map(char::from_u32).map(String::from);
    let control = ["<|im_start|>", "<|im_end|>"].map(str::to_owned);
    control.into_iter().chain(bytes).chain(["he".to_owned()]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use adyton_engine::{Limits, Model};
    use std::io::Cursor;

    #[test]
    fn it_loads_and_is_the_same_each_time() {
        let bytes = gguf();
        assert_eq!(bytes, gguf());
        let model = Model::load(Cursor::new(&bytes), bytes.len() as u64, Limits::default()).unwrap();
        assert_eq!((model.name(), model.context_length()), ("small", CONTEXT as usize));
    }
}

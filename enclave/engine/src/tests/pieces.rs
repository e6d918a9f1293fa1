//! A SentencePiece vocabulary, the same at every run: control and byte tokens, pieces trained on the test's text, and
//! pieces made to collide. The golden file's ids are ids of this vocabulary.

use super::tiny::Tiny;
use candle_core::quantized::gguf_file::Value;
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use std::collections::{BTreeMap, BTreeSet};

const TEXT: &str = include_str!("../testdata/text.txt");
/// llama.h, `llama_token_type`.
pub(super) const NORMAL: u32 = 1;
pub(super) const UNKNOWN: u32 = 2;
pub(super) const CONTROL: u32 = 3;
pub(super) const USER_DEFINED: u32 = 4;
pub(super) const UNUSED: u32 = 5;
pub(super) const BYTE: u32 = 6;
/// Joins that the training makes.
const MERGES: usize = 300;

/// What Llama 2's template does: a system prompt inside the first turn, roles that must alternate, stripped content.
const TEMPLATE: &str = "{% if messages[0]['role'] == 'system' %}{% set turns = messages[1:] %}\
    {% set system = messages[0]['content'] %}{% else %}{% set turns = messages %}{% set system = false %}{% endif %}\
    {% for m in turns %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}\
    {{ raise_exception('roles must alternate') }}{% endif %}\
    {% if loop.index0 == 0 and system != false %}\
    {% set content = '<<SYS>>\\n' + system + '\\n<</SYS>>\\n\\n' + m['content'] %}\
    {% else %}{% set content = m['content'] %}{% endif %}\
    {% if m['role'] == 'user' %}{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}\
    {% elif m['role'] == 'assistant' %}{{ ' ' + content.strip() + ' ' + eos_token }}{% endif %}{% endfor %}";

pub(super) struct Token {
    pub(super) text: String,
    pub(super) score: f32,
    pub(super) kind: u32,
}

/// A model with this vocabulary.
pub(super) fn model(tokens: &[Token]) -> Tiny {
    let list = |value: &dyn Fn(&Token) -> Value| Value::Array(tokens.iter().map(value).collect());
    let metadata = vec![
        ("tokenizer.ggml.model", Value::String("llama".to_owned())),
        ("tokenizer.ggml.pre", Value::String("default".to_owned())),
        ("tokenizer.ggml.tokens", list(&|t| Value::String(t.text.clone()))),
        ("tokenizer.ggml.scores", list(&|t| Value::F32(t.score))),
        ("tokenizer.ggml.token_type", list(&|t| Value::I32(t.kind as i32))),
        ("tokenizer.ggml.bos_token_id", Value::U32(1)),
        ("tokenizer.ggml.eos_token_id", Value::U32(2)),
        ("tokenizer.chat_template", Value::String(TEMPLATE.to_owned())),
    ];
    Tiny::tokens(metadata, tokens.len())
}

/// The three control tokens and the byte tokens, as Llama 2 begins.
pub(super) fn base() -> Vec<Token> {
    let token = |text: &str, kind| Token { text: text.to_owned(), score: 0.0, kind };
    let control = [token("<unk>", UNKNOWN), token("<s>", CONTROL), token("</s>", CONTROL)];
    control.into_iter().chain((0..=255).map(|b| token(&format!("<0x{b:02X}>"), BYTE))).collect()
}

pub(super) fn vocabulary() -> Vec<Token> {
    let mut tokens = base();
    let mut seen: BTreeSet<String> = tokens.iter().map(|t| t.text.clone()).collect();
    let mut add = |text: &str, score: f32, kind: u32| {
        if seen.insert(text.to_owned()) {
            tokens.push(Token { text: text.to_owned(), score, kind });
        }
    };
    for (text, rank) in trained().iter().zip(0u16..) {
        add(text, -f32::from(rank), NORMAL);
    }
    // What would spell a control or a byte token, piece by piece.
    for text in ["<s", "</", "<0", "<0x", "<0x4", "<0x41", "<u", "<un", "<unk"] {
        add(text, 5.0, NORMAL);
    }
    for (text, score) in [("\u{2581}\u{2581}", -1000.0), ("\u{2581}\u{2581}\u{2581}\u{2581}", -1001.0)] {
        add(text, score, NORMAL);
    }
    // No join leads to this one; the next is for nobody, yet llama.cpp joins into it.
    add("unreachable", 9.0, NORMAL);
    add("\u{2581}qq", -3.0, UNUSED);
    add("qq", -2.0, UNUSED);
    for text in ["<tool>", "[[", "  \n"] {
        add(text, 0.0, USER_DEFINED);
    }
    for (text, score) in collisions() {
        add(&text, score, NORMAL);
    }
    for c in
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,:;!?'\"<>/[]|_-é世\u{2581}".chars()
    {
        add(&c.to_string(), -2000.0 - c as u32 as f32, NORMAL);
    }
    tokens
}

/// Strings of three letters with few different scores: most joins have rivals and equals.
fn collisions() -> Vec<(String, f32)> {
    let mut rng = ChaCha12Rng::seed_from_u64(23);
    let mut draw = |n: u32| rng.next_u32() % n;
    let letter = |i: u32| ["x", "y", "z"][i as usize];
    (0..120)
        .map(|_| {
            let length = 2 + draw(5);
            let text: String = (0..length).map(|_| letter(draw(3))).collect();
            (text, -(draw(4) as f32))
        })
        .collect()
}

/// Pieces of the test's text, by counting the commonest neighbours over and over.
fn trained() -> Vec<String> {
    let text = TEXT.replace([' ', '\n'], "\u{2581}");
    let mut symbols: Vec<String> = text.chars().map(String::from).collect();
    let mut pieces = Vec::new();
    for _ in 0..MERGES {
        let mut counts: BTreeMap<(&str, &str), usize> = BTreeMap::new();
        for pair in symbols.windows(2).filter(|pair| !pair[1].starts_with('\u{2581}')) {
            *counts.entry((&pair[0], &pair[1])).or_default() += 1;
        }
        let Some(((a, b), _)) = counts.into_iter().max_by(|a, b| a.1.cmp(&b.1).then(b.0.cmp(&a.0))) else {
            break;
        };
        let joined = format!("{a}{b}");
        let mut rest = Vec::with_capacity(symbols.len());
        let mut old = symbols.iter().peekable();
        while let Some(symbol) = old.next() {
            let join = symbol == a && old.peek().is_some_and(|next| *next == b);
            rest.push(if join { joined.clone() } else { symbol.clone() });
            if join {
                old.next();
            }
        }
        pieces.push(joined);
        symbols = rest;
    }
    pieces
}

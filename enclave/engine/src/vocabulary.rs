//! The vocabulary of a GGUF file: texts and kinds of tokens, merges, and the bytes that a token stands for.
//!
//! Promises: lists that belong together have one length; each merge joins two ordinary tokens into a third.
//!
//! Trusts: nothing in the file.

use crate::config::{Metadata, wrong};
use crate::error::LoadError;
use candle_core::quantized::gguf_file::Value;
use std::collections::HashMap;
use tokenizers::models::bpe::Vocab;

/// llama.h, `llama_token_type`. Other values are ordinary tokens.
pub(crate) const CONTROL: u32 = 3;
pub(crate) const USER_DEFINED: u32 = 4;
/// Longest token text, in bytes. SmolLM2's longest has 81.
const MAX_TOKEN: usize = 4096;

/// Control tokens that end a turn, by text (llama.cpp, `llama_vocab::impl::load`, "special_eog_ids").
const TURN_ENDS: [&str; 9] = [
    "<|im_end|>",
    "<|eot_id|>",
    "<|endoftext|>",
    "<|end_of_text|>",
    "<|end|>",
    "<|eom_id|>",
    "<|end_of_turn|>",
    "<end_of_turn>",
    "</s>",
];

pub(crate) fn texts(meta: &Metadata<'_>) -> Result<Vec<String>, LoadError> {
    let key = "tokenizer.ggml.tokens";
    let texts = strings(meta.list(key)?, key)?;
    if texts.is_empty() || texts.len() > 1 << 20 {
        return Err(wrong(key, "holds no token, or more than a million"));
    }
    if texts.iter().any(|t| t.is_empty() || t.len() > MAX_TOKEN) {
        return Err(LoadError::Tokenizer("a token is empty or longer than 4096 bytes"));
    }
    Ok(texts)
}

fn strings(values: &[Value], key: &str) -> Result<Vec<String>, LoadError> {
    values
        .iter()
        .map(|v| v.to_string().cloned().map_err(|_| wrong(key, "holds something else than strings")))
        .collect()
}

pub(crate) fn kinds(meta: &Metadata<'_>, tokens: usize) -> Result<Vec<u32>, LoadError> {
    let key = "tokenizer.ggml.token_type";
    let kind = |v: &Value| match v {
        Value::I32(v) => u32::try_from(*v).ok(),
        Value::U32(v) => Some(*v),
        _ => None,
    };
    let kinds: Option<Vec<u32>> = meta.list(key)?.iter().map(kind).collect();
    let kinds = kinds.ok_or_else(|| wrong(key, "holds something else than small whole numbers"))?;
    if kinds.len() == tokens { Ok(kinds) } else { Err(wrong(key, "is not as long as the list of tokens")) }
}

pub(crate) fn of_kind(texts: &[String], kinds: &[u32], kind: u32) -> Vec<(String, u32)> {
    let ids = (0u32..).zip(texts.iter().zip(kinds));
    let mut found: Vec<(String, u32)> =
        ids.filter(|(_, (_, k))| **k == kind).map(|(id, (text, _))| (text.clone(), id)).collect();
    found.sort_by_key(|(text, _)| std::cmp::Reverse(text.len()));
    found
}

pub(crate) fn ends(control: &[(String, u32)], named: &[Option<usize>]) -> Vec<u32> {
    let mut ends: Vec<u32> = named.iter().flatten().map(|id| *id as u32).collect();
    ends.extend(control.iter().filter(|(text, _)| TURN_ENDS.contains(&text.as_str())).map(|(_, id)| *id));
    let mut seen = Vec::new();
    ends.retain(|id| {
        !seen.contains(id) && {
            seen.push(*id);
            true
        }
    });
    ends
}

/// The merges. Each must join two tokens into a third: the library indexes beyond its buffer where one does not.
pub(crate) fn merges(meta: &Metadata<'_>, vocab: &Vocab) -> Result<Vec<(String, String)>, LoadError> {
    let key = "tokenizer.ggml.merges";
    let mut merges = Vec::new();
    for line in strings(meta.list(key)?, key)? {
        let pair = line.split_once(' ').ok_or(LoadError::Tokenizer("a merge is not a pair"))?;
        let known = [pair.0, pair.1, &format!("{}{}", pair.0, pair.1)].iter().all(|t| vocab.contains_key(*t));
        if !known {
            return Err(LoadError::Tokenizer("a merge names something that is not an ordinary token"));
        }
        merges.push((pair.0.to_owned(), pair.1.to_owned()));
    }
    Ok(merges)
}

pub(crate) fn token_bytes(texts: &[String], kinds: &[u32]) -> Vec<Box<[u8]>> {
    let alphabet = alphabet();
    let decode = |text: &String| {
        let mut bytes = Vec::new();
        for c in text.chars() {
            match alphabet.get(&c) {
                Some(byte) => bytes.push(*byte),
                None => bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        bytes.into_boxed_slice()
    };
    let one = |(text, kind): (&String, &u32)| match *kind {
        CONTROL => Box::default(),
        USER_DEFINED => text.as_bytes().into(),
        _ => decode(text),
    };
    texts.iter().zip(kinds).map(one).collect()
}

/// GPT-2's printable stand-ins for bytes (openai/gpt-2, `encoder.py`, `bytes_to_unicode`).
fn alphabet() -> HashMap<char, u8> {
    let printable = |b: u8| matches!(b, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    let mut next = 0x100u32;
    let mut stand_in = |b: u8| {
        if printable(b) {
            return char::from(b);
        }
        next += 1;
        char::from_u32(next - 1).unwrap_or_default()
    };
    (0..=u8::MAX).map(|b| (stand_in(b), b)).collect()
}

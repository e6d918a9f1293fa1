//! The vocabulary of a GGUF file: texts and kinds of tokens.
//!
//! Promises
//! - Lists that belong together have one length; no two tokens have the same text.
//! - A token that looks like a control token counts as one, whatever kind the file gives it: user-defined tokens are
//!   found in what people write.
//!
//! Trusts: nothing in the file.

use crate::config::{Metadata, wrong};
use crate::error::LoadError;
use candle_core::quantized::gguf_file::Value;
use std::collections::HashSet;

/// llama.h, `llama_token_type`.
pub(crate) const NORMAL: u32 = 1;
pub(crate) const UNKNOWN: u32 = 2;
pub(crate) const CONTROL: u32 = 3;
pub(crate) const USER_DEFINED: u32 = 4;
pub(crate) const BYTE: u32 = 6;
/// Most user-defined tokens: each is searched for in every text. Models have a few hundred.
const MAX_USER_DEFINED: usize = 4096;
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
/// Control tokens of SentencePiece vocabularies that do not end a turn.
const OTHER_CONTROL: [&str; 6] = ["<s>", "<pad>", "<mask>", "[INST]", "[/INST]", "<start_of_turn>"];

pub(crate) fn texts(meta: &Metadata<'_>) -> Result<Vec<String>, LoadError> {
    let key = "tokenizer.ggml.tokens";
    let texts = strings(meta.list(key)?, key)?;
    if texts.is_empty() || texts.len() > 1 << 20 {
        return Err(wrong(key, "holds no token, or more than a million"));
    }
    if texts.iter().any(|t| t.is_empty() || t.len() > MAX_TOKEN) {
        return Err(LoadError::Tokenizer("a token is empty or longer than 4096 bytes"));
    }
    let mut seen = HashSet::new();
    if !texts.iter().all(|text| seen.insert(text)) {
        return Err(LoadError::Tokenizer("two tokens have the same text"));
    }
    Ok(texts)
}

pub(crate) fn strings(values: &[Value], key: &str) -> Result<Vec<String>, LoadError> {
    values
        .iter()
        .map(|v| v.to_string().cloned().map_err(|_| wrong(key, "holds something else than strings")))
        .collect()
}

/// The kind of each token, control tokens under any name included. `merged` says that merges join tokens into others,
/// as the file of a byte-level BPE lists them.
pub(crate) fn kinds(meta: &Metadata<'_>, texts: &[String], merged: bool) -> Result<Vec<u32>, LoadError> {
    let key = "tokenizer.ggml.token_type";
    let kind = |v: &Value| match v {
        Value::I32(v) => u32::try_from(*v).ok(),
        Value::U32(v) => Some(*v),
        _ => None,
    };
    let kinds: Option<Vec<u32>> = meta.list(key)?.iter().map(kind).collect();
    let kinds = kinds.ok_or_else(|| wrong(key, "holds something else than small whole numbers"))?;
    if kinds.len() != texts.len() {
        return Err(wrong(key, "is not as long as the list of tokens"));
    }
    let settled: Vec<u32> = kinds.iter().zip(texts).map(|(kind, text)| settle(*kind, text, merged)).collect();
    if settled.iter().filter(|kind| **kind == USER_DEFINED).count() > MAX_USER_DEFINED {
        return Err(LoadError::Tokenizer("more than 4096 user-defined tokens"));
    }
    Ok(settled)
}

/// The kind that a token is treated as. llama.cpp finds the unknown token where it finds control tokens, and makes
/// control tokens of those that end a turn; its converter (`does_token_look_special`) does so by shape. Where merges
/// exist, an ordinary token that looks so may be a join of theirs, and stays ordinary.
fn settle(kind: u32, text: &str, merged: bool) -> u32 {
    let named = TURN_ENDS.contains(&text) || OTHER_CONTROL.contains(&text);
    let shaped = [("<|", "|>"), ("<｜", "｜>")].iter().any(|(open, close)| {
        text.len() >= open.len() + close.len() && text.starts_with(open) && text.ends_with(close)
    });
    match kind {
        UNKNOWN => CONTROL,
        USER_DEFINED if named || shaped => CONTROL,
        NORMAL if named && !merged => CONTROL,
        kind => kind,
    }
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

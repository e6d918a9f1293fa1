//! Byte-level BPE: merges by rank after a pre-tokenizer that the file names.
//!
//! Promises
//! - Ids are those of llama.cpp (`llm_tokenizer_bpe`) for the same file; a golden file is compared.
//! - The vocabulary of the merges holds no control token, so no sequence of merges can reach one.
//! - No cache keeps pieces of a prompt after its encoding.
//!
//! Does not: wipe the copies that the tokenizer library makes.
//!
//! Trusts: nothing in the file; vocabulary and merges are checked against each other.

use crate::config::Metadata;
use crate::error::{LoadError, brief};
use crate::vocabulary::{CONTROL, USER_DEFINED, strings};
use std::collections::HashMap;
use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::tokenizer::SplitDelimiterBehavior;

/// llama.cpp, `llm_tokenizer_bpe`: one pattern for Llama 3 and, with single digits, for Qwen 2.
const LLAMA3: &str = r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN2: &str = r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// How llama.cpp treats one value of `tokenizer.ggml.pre`.
pub(crate) struct Scheme {
    /// Isolated first; `None` for none.
    split: Option<&'static str>,
    /// Whether GPT-2's own pattern splits the rest.
    gpt2: bool,
    /// Whether a word that is a token is taken without merging.
    whole_words: bool,
    /// Whether the sequence begins with BOS if the file does not say.
    pub(crate) add_bos: bool,
}

pub(crate) fn scheme(pre: &str) -> Result<Scheme, LoadError> {
    Ok(match pre {
        "smollm" => Scheme { split: Some(r"\p{N}"), gpt2: true, whole_words: false, add_bos: false },
        "gpt-2" => Scheme { split: None, gpt2: true, whole_words: false, add_bos: false },
        "llama-bpe" | "llama3" | "llama-v3" => {
            Scheme { split: Some(LLAMA3), gpt2: false, whole_words: true, add_bos: true }
        }
        "qwen2" => Scheme { split: Some(QWEN2), gpt2: false, whole_words: false, add_bos: false },
        other => return Err(LoadError::PreTokenizer(brief(other))),
    })
}

pub(crate) fn build(
    meta: &Metadata<'_>,
    texts: &[String],
    kinds: &[u32],
    scheme: &Scheme,
) -> Result<tokenizers::Tokenizer, LoadError> {
    let mut vocab: Vocab = Vocab::default();
    for (id, (text, kind)) in (0u32..).zip(texts.iter().zip(kinds)) {
        if *kind != CONTROL {
            vocab.insert(text.clone(), id);
        }
    }
    let merges = merges(meta, &vocab)?;
    let bpe = BPE::builder().vocab_and_merges(vocab, merges).ignore_merges(scheme.whole_words);
    // The cache would keep words of one prompt in memory for the next, in reach of its timing.
    let bpe = bpe.cache_capacity(0).build();
    let mut tokenizer =
        tokenizers::Tokenizer::new(bpe.map_err(|_| LoadError::Tokenizer("the merges do not build"))?);
    let bytes = ByteLevel::new(false, true, scheme.gpt2);
    match scheme.split {
        None => tokenizer.with_pre_tokenizer(Some(bytes)),
        Some(pattern) => {
            let pattern = SplitPattern::Regex(pattern.to_owned());
            let split = Split::new(pattern, SplitDelimiterBehavior::Isolated, false)
                .map_err(|_| LoadError::Tokenizer("the pre-tokenizer's pattern does not build"))?;
            tokenizer.with_pre_tokenizer(Some(Sequence::new(vec![split.into(), bytes.into()])))
        }
    };
    Ok(tokenizer)
}

/// The merges. Each must join two tokens into a third: the library indexes beyond its buffer where one does not.
fn merges(meta: &Metadata<'_>, vocab: &Vocab) -> Result<Vec<(String, String)>, LoadError> {
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

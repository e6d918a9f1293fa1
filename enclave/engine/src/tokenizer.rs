//! The tokenizer of a GGUF file: text to token ids, token ids to bytes.
//!
//! Promises
//! - Token ids are those of llama.cpp for the same file (golden files are compared), but for the next line.
//! - Text never becomes a control token: only [`Run::Control`], made from the chat template's own text, does. Neither
//!   kind of vocabulary (`bpe`, `spm`) holds a control token, so no sequence of merges can reach one.
//! - Every id has its bytes; those of control tokens are empty.
//!
//! Does not: normalise Unicode (llama.cpp does not either); tell a person's text from the template's where a template
//! marks turns by ordinary text, as Llama 2 does with `[INST]`: the guardrail is told
//! those marks (`template`).
//!
//! Trusts: nothing in the file.

use crate::bpe;
use crate::config::Metadata;
use crate::error::{LoadError, brief};
use crate::spm::{self, Spm};
use crate::vocabulary::{CONTROL, USER_DEFINED, ends, kinds, of_kind, texts};
use zeroize::Zeroizing;

/// Turns text into token ids and token ids into bytes.
pub struct Tokenizer {
    words: Words,
    /// The bytes that each id stands for; empty for control tokens.
    bytes: Vec<Box<[u8]>>,
    /// Control tokens, longest text first.
    control: Vec<(String, u32)>,
    /// Tokens that llama.cpp finds in any text ("user defined"), longest text first.
    atoms: Vec<(String, u32)>,
    ends: Vec<u32>,
    bos: Option<u32>,
    add_bos: bool,
}

/// How a stretch of text without special tokens becomes ids.
enum Words {
    Bpe(Box<tokenizers::Tokenizer>),
    Spm(Spm),
}

/// What holds where the file is silent (llama.cpp, `llama_vocab::impl::load`).
struct Defaults {
    add_bos: bool,
    bos: Option<usize>,
    eos: Option<usize>,
}

/// A stretch of a prompt.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Run {
    /// Text, encoded without regard to control tokens.
    Text(Zeroizing<String>),
    /// One control token.
    Control(u32),
}

impl Tokenizer {
    pub(crate) fn read(meta: &Metadata<'_>) -> Result<Tokenizer, LoadError> {
        match meta.text("tokenizer.ggml.model")? {
            "gpt2" => Tokenizer::read_bpe(meta),
            "llama" => Tokenizer::read_spm(meta),
            other => Err(LoadError::TokenizerModel(brief(other))),
        }
    }

    fn read_bpe(meta: &Metadata<'_>) -> Result<Tokenizer, LoadError> {
        let scheme = bpe::scheme(meta.text("tokenizer.ggml.pre")?)?;
        let texts = texts(meta)?;
        let kinds = kinds(meta, &texts, true)?;
        let words = Words::Bpe(Box::new(bpe::build(meta, &texts, &kinds, &scheme)?));
        let defaults = Defaults { add_bos: scheme.add_bos, bos: None, eos: None };
        Tokenizer::new(meta, words, bpe::token_bytes(&texts, &kinds), (&texts, &kinds), &defaults)
    }

    fn read_spm(meta: &Metadata<'_>) -> Result<Tokenizer, LoadError> {
        let texts = texts(meta)?;
        let kinds = kinds(meta, &texts, false)?;
        let words = Words::Spm(Spm::read(meta, &texts, &kinds)?);
        let defaults = Defaults { add_bos: true, bos: Some(1), eos: Some(2) };
        Tokenizer::new(meta, words, spm::token_bytes(&texts, &kinds), (&texts, &kinds), &defaults)
    }

    fn new(
        meta: &Metadata<'_>,
        words: Words,
        bytes: Vec<Box<[u8]>>,
        (texts, kinds): (&[String], &[u32]),
        defaults: &Defaults,
    ) -> Result<Tokenizer, LoadError> {
        let control = of_kind(texts, kinds, CONTROL);
        let last = texts.len() - 1;
        let id = |key, default: Option<usize>| {
            let default = default.filter(|id| *id <= last);
            meta.find(key).map_or(Ok(default), |_| meta.number(key, 0, last).map(Some))
        };
        let eos = id("tokenizer.ggml.eos_token_id", defaults.eos)?;
        Ok(Tokenizer {
            words,
            bytes,
            ends: ends(&control, &[eos, id("tokenizer.ggml.eot_token_id", None)?]),
            control,
            atoms: of_kind(texts, kinds, USER_DEFINED),
            bos: id("tokenizer.ggml.bos_token_id", defaults.bos)?.map(|id| id as u32),
            add_bos: meta.flag("tokenizer.ggml.add_bos_token", defaults.add_bos)?,
        })
    }

    /// The number of token ids.
    pub fn vocabulary(&self) -> usize {
        self.bytes.len()
    }

    /// The texts of the control tokens, such as `<|im_start|>`.
    pub fn control_tokens(&self) -> impl Iterator<Item = &str> {
        self.control.iter().map(|(text, _)| text.as_str())
    }

    /// Encodes text, in which control tokens count as text (llama.cpp's `parse_special = false`). No BOS is added.
    ///
    /// # Errors
    /// `None` if the tokenizer library fails.
    pub fn encode(&self, text: &str) -> Option<Vec<u32>> {
        let mut ids = Vec::new();
        self.encode_text(text, &mut true, &mut ids)?;
        Some(ids)
    }

    /// Splits text of the chat template at its control tokens. Never call this with text from outside.
    pub(crate) fn split_trusted(&self, text: &str) -> Vec<Run> {
        split(text, &self.control)
    }

    /// Encodes a rendered prompt, with BOS if the file asks for one and the prompt does not bring it.
    pub(crate) fn encode_runs(&self, runs: &[Run]) -> Option<Zeroizing<Vec<u32>>> {
        // A list that grows leaves its old ids behind; more than a token a byte is rare.
        let room = |run: &Run| if let Run::Text(text) = run { text.len() + 4 } else { 1 };
        let mut ids = Zeroizing::new(Vec::with_capacity(runs.iter().map(room).sum::<usize>() + 1));
        let mut fresh = true;
        for run in runs {
            match run {
                Run::Control(id) => {
                    ids.push(*id);
                    fresh = true;
                }
                Run::Text(text) => self.encode_text(text, &mut fresh, &mut ids)?,
            }
        }
        if let Some(bos) = self.bos.filter(|bos| self.add_bos && ids.first() != Some(bos)) {
            ids.insert(0, bos);
        }
        Some(ids)
    }

    /// `fresh` tells whether text here follows the start or a special token (llama.cpp, `is_prev_special`), to which
    /// user-defined tokens count.
    fn encode_text(&self, text: &str, fresh: &mut bool, ids: &mut Vec<u32>) -> Option<()> {
        for run in split(text, &self.atoms) {
            let after_special = std::mem::replace(fresh, matches!(run, Run::Control(_)));
            match (run, &self.words) {
                (Run::Control(id), _) => ids.push(id),
                (Run::Text(text), Words::Bpe(bpe)) => {
                    ids.extend_from_slice(bpe.encode_fast(text.as_str(), false).ok()?.get_ids());
                }
                (Run::Text(text), Words::Spm(spm)) => drop(spm.encode(&text, after_special, ids)?),
            }
        }
        Some(())
    }

    /// The bytes of a token; none for control tokens and unknown ids.
    pub fn bytes(&self, id: u32) -> &[u8] {
        self.bytes.get(id as usize).map_or(&[], |b| b)
    }

    /// True if an answer's first space is the vocabulary's, not the model's: SentencePiece puts one before each word.
    pub(crate) fn opens_with_space(&self) -> bool {
        matches!(&self.words, Words::Spm(spm) if spm.space_prefix)
    }

    /// True if the token ends a turn.
    pub fn is_end(&self, id: u32) -> bool {
        self.ends.contains(&id)
    }

    /// The text of the BOS token, for the chat template.
    pub(crate) fn bos_text(&self) -> &str {
        self.control_text(self.bos)
    }

    /// The text of a token that ends a turn, for the chat template.
    pub(crate) fn eos_text(&self) -> &str {
        self.control_text(self.ends.first().copied())
    }

    fn control_text(&self, id: Option<u32>) -> &str {
        self.control.iter().find(|(_, c)| Some(*c) == id).map_or("", |(text, _)| text)
    }
}

impl std::fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tokenizer({} tokens)", self.bytes.len())
    }
}

/// Splits at each token of `marks`, which llama.cpp tries longest first over the whole text.
fn split(text: &str, marks: &[(String, u32)]) -> Vec<Run> {
    let mut runs = vec![Run::Text(Zeroizing::new(text.to_owned()))];
    for (mark, id) in marks {
        if !text.contains(mark.as_str()) {
            continue;
        }
        runs = runs.into_iter().flat_map(|run| split_run(run, mark, *id)).collect();
    }
    runs.retain(|run| !matches!(run, Run::Text(text) if text.is_empty()));
    runs
}

fn split_run(run: Run, mark: &str, id: u32) -> Vec<Run> {
    let Run::Text(text) = &run else { return vec![run] };
    let mut parts = Vec::new();
    for (i, part) in text.split(mark).enumerate() {
        if i > 0 {
            parts.push(Run::Control(id));
        }
        parts.push(Run::Text(Zeroizing::new(part.to_owned())));
    }
    parts
}

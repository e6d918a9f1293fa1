//! The tokenizer of a GGUF file: byte-level BPE with the pre-tokenizer that the file names.
//!
//! Promises
//! - Token ids are those of llama.cpp for the same file (a golden file is compared).
//! - Text never becomes a control token: only [`Run::Control`], made from the chat template's own text, does. The BPE
//!   vocabulary holds no control token, so no sequence of merges can reach one.
//! - No cache keeps pieces of a prompt after its encoding.
//!
//! Does not: normalise Unicode (llama.cpp does not either), nor wipe the copies that the tokenizer library makes.
//!
//! Trusts: nothing in the file; vocabulary and merges are checked against each other.

use crate::config::Metadata;
use crate::error::{LoadError, brief};
use crate::vocabulary::{CONTROL, USER_DEFINED, ends, kinds, merges, of_kind, texts, token_bytes};
use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::tokenizer::SplitDelimiterBehavior;
use zeroize::Zeroizing;

/// Turns text into token ids and token ids into bytes.
pub struct Tokenizer {
    bpe: tokenizers::Tokenizer,
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

/// A stretch of a prompt.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Run {
    /// Text, encoded without regard to control tokens.
    Text(Zeroizing<String>),
    /// One control token.
    Control(u32),
}

/// llama.cpp, `llm_tokenizer_bpe`: one pattern for Llama 3 and, with single digits, for Qwen 2.
const LLAMA3: &str = r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN2: &str = r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// How llama.cpp treats one value of `tokenizer.ggml.pre`.
struct Scheme {
    /// Isolated first; `None` for none.
    split: Option<&'static str>,
    /// Whether GPT-2's own pattern splits the rest.
    gpt2: bool,
    /// Whether a word that is a token is taken without merging.
    whole_words: bool,
    /// Whether the sequence begins with BOS if the file does not say.
    add_bos: bool,
}

fn scheme(pre: &str) -> Result<Scheme, LoadError> {
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

impl Tokenizer {
    pub(crate) fn read(meta: &Metadata<'_>) -> Result<Tokenizer, LoadError> {
        let model = meta.text("tokenizer.ggml.model")?;
        if model != "gpt2" {
            return Err(LoadError::TokenizerModel(brief(model)));
        }
        let scheme = scheme(meta.text("tokenizer.ggml.pre")?)?;
        let texts = texts(meta)?;
        let kinds = kinds(meta, texts.len())?;
        let (control, atoms) = (of_kind(&texts, &kinds, CONTROL), of_kind(&texts, &kinds, USER_DEFINED));
        let id = |key| meta.find(key).map(|_| meta.number(key, 0, texts.len() - 1)).transpose();
        let bos = id("tokenizer.ggml.bos_token_id")?.map(|id| id as u32);
        Ok(Tokenizer {
            bpe: bpe(meta, &texts, &kinds, &scheme)?,
            bytes: token_bytes(&texts, &kinds),
            ends: ends(&control, &[id("tokenizer.ggml.eos_token_id")?, id("tokenizer.ggml.eot_token_id")?]),
            control,
            atoms,
            bos,
            add_bos: meta.flag("tokenizer.ggml.add_bos_token", scheme.add_bos)?,
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
        self.encode_text(text, &self.atoms, &mut ids)?;
        Some(ids)
    }

    /// Splits text of the chat template at its control tokens. Never call this with text from outside.
    pub(crate) fn split_trusted(&self, text: &str) -> Vec<Run> {
        split(text, &self.control)
    }

    /// Encodes a rendered prompt, with BOS if the file asks for one and the prompt does not bring it.
    pub(crate) fn encode_runs(&self, runs: &[Run]) -> Option<Zeroizing<Vec<u32>>> {
        let mut ids = Zeroizing::new(Vec::new());
        for run in runs {
            match run {
                Run::Control(id) => ids.push(*id),
                Run::Text(text) => self.encode_text(text, &self.atoms, &mut ids)?,
            }
        }
        if let Some(bos) = self.bos.filter(|bos| self.add_bos && ids.first() != Some(bos)) {
            ids.insert(0, bos);
        }
        Some(ids)
    }

    fn encode_text(&self, text: &str, atoms: &[(String, u32)], ids: &mut Vec<u32>) -> Option<()> {
        for run in split(text, atoms) {
            match run {
                Run::Control(id) => ids.push(id),
                Run::Text(text) => {
                    ids.extend_from_slice(self.bpe.encode_fast(text.as_str(), false).ok()?.get_ids());
                }
            }
        }
        Some(())
    }

    /// The bytes of a token; none for control tokens and unknown ids.
    pub fn bytes(&self, id: u32) -> &[u8] {
        self.bytes.get(id as usize).map_or(&[], |b| b)
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

fn bpe(
    meta: &Metadata<'_>,
    texts: &[String],
    kinds: &[u32],
    scheme: &Scheme,
) -> Result<tokenizers::Tokenizer, LoadError> {
    let mut vocab: Vocab = Vocab::default();
    for (id, (text, kind)) in (0u32..).zip(texts.iter().zip(kinds)) {
        if *kind != CONTROL && vocab.insert(text.clone(), id).is_some() {
            return Err(LoadError::Tokenizer("two tokens have the same text"));
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

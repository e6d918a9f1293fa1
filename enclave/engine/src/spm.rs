//! SentencePiece BPE: merges by score, bytes for characters that are no token.
//!
//! Promises
//! - Ids are those of llama.cpp (`llm_tokenizer_spm_session`) for the same file: of all neighbours whose join is a
//!   token, those with the best score join first, the leftmost of equals; a golden file is compared.
//! - No merge makes a control, unknown or byte token. llama.cpp makes one where text spells it and the pieces between
//!   are tokens; SentencePiece itself (`bpe_model.cc`) does not.
//! - Every text has ids, and `n` characters cost at most `4 n` look-ups of at most `MAX_PIECE` bytes each.
//!
//! Does not: wipe the lengths and scores on its queue; the text itself is wiped.
//!
//! Trusts: nothing in the file.

use crate::config::{Metadata, wrong};
use crate::error::LoadError;
use crate::vocabulary::{BYTE, CONTROL, NORMAL, USER_DEFINED};
use candle_core::quantized::gguf_file::Value;
use std::cmp::Ordering;
use std::collections::{BinaryHeap, HashMap};
use zeroize::Zeroizing;

/// Stands for a space in the vocabulary (SentencePiece, `kSpaceSymbol`).
const SPACE: &str = "\u{2581}";
/// Longest token that merging makes, in bytes. SentencePiece trains pieces of at most 16 characters
/// (`max_sentencepiece_length`), so of at most 64 bytes; the length multiplies the work that a text can cause.
const MAX_PIECE: usize = 256;
/// No symbol; beyond every text, whose length must be smaller.
const NONE: u32 = u32::MAX;

/// The vocabulary as merging needs it.
pub(crate) struct Spm {
    pieces: HashMap<String, Piece>,
    /// The token of each byte.
    bytes: Vec<u32>,
    /// Bytes of the longest piece.
    longest: usize,
    /// Whether text after the start or after a special token begins with a space.
    pub(crate) space_prefix: bool,
}

#[derive(Clone, Copy)]
struct Piece {
    id: u32,
    score: f32,
}

impl Spm {
    pub(crate) fn read(meta: &Metadata<'_>, texts: &[String], kinds: &[u32]) -> Result<Spm, LoadError> {
        refuse_phi(meta)?;
        let scores = scores(meta, texts.len())?;
        let tokens = (0u32..).zip(texts.iter().zip(kinds)).zip(scores);
        let mut pieces = HashMap::new();
        for ((id, (text, _)), score) in tokens.filter(|((_, (_, kind)), _)| !matches!(**kind, CONTROL | BYTE))
        {
            if text.len() > MAX_PIECE {
                return Err(LoadError::Tokenizer(
                    "a token that text can merge into is longer than 256 bytes",
                ));
            }
            pieces.insert(text.clone(), Piece { id, score });
        }
        Ok(Spm {
            longest: pieces.keys().map(String::len).max().unwrap_or(0),
            pieces,
            bytes: byte_tokens(texts, kinds)?,
            space_prefix: meta.flag("tokenizer.ggml.add_space_prefix", true)?,
        })
    }

    /// Encodes one fragment of text. `fresh` says that no text precedes it, or a special token does. Returns the bytes
    /// of all look-ups together: the measure of its work.
    pub(crate) fn encode(&self, text: &str, fresh: bool, ids: &mut Vec<u32>) -> Option<usize> {
        let text = escaped(text, self.space_prefix && fresh);
        // Positions are held in 32 bits.
        u32::try_from(text.len()).ok().filter(|length| *length < NONE)?;
        let mut merging =
            Merging { spm: self, text: &text, symbols: Vec::new(), queue: BinaryHeap::new(), work: 0 };
        merging.cut();
        merging.merge();
        merging.tokens(ids);
        Some(merging.work)
    }
}

/// llama.cpp gives Phi-3's control tokens, known by the model's name alone, the power to swallow the space behind them.
fn refuse_phi(meta: &Metadata<'_>) -> Result<(), LoadError> {
    let name = meta.text("general.name").unwrap_or_default().to_lowercase();
    let phi = name.contains("phi-3") || name.contains("phi3");
    if phi { Err(LoadError::Tokenizer("Phi-3's way with spaces is not supported")) } else { Ok(()) }
}

fn scores(meta: &Metadata<'_>, tokens: usize) -> Result<Vec<f32>, LoadError> {
    let key = "tokenizer.ggml.scores";
    let score = |v: &Value| match v {
        Value::F32(v) => Some(*v).filter(|v| v.is_finite()),
        Value::I32(v) => Some(*v as f32),
        _ => None,
    };
    // The sum makes one zero of two, which the order of the queue would tell apart.
    let scores: Option<Vec<f32>> = meta.list(key)?.iter().map(|v| score(v).map(|v| v + 0.0)).collect();
    let scores = scores.ok_or_else(|| wrong(key, "holds something else than finite numbers"))?;
    if scores.len() == tokens { Ok(scores) } else { Err(wrong(key, "is not as long as the list of tokens")) }
}

fn byte_tokens(texts: &[String], kinds: &[u32]) -> Result<Vec<u32>, LoadError> {
    let tokens = (0u32..).zip(texts.iter().zip(kinds));
    let bytes: HashMap<&str, u32> =
        tokens.filter(|(_, (_, kind))| **kind == BYTE).map(|(id, (text, _))| (text.as_str(), id)).collect();
    let token = |byte: u8| bytes.get(format!("<0x{byte:02X}>").as_str()).copied();
    let found: Option<Vec<u32>> = (0..=u8::MAX).map(token).collect();
    match found {
        Some(found) if found.len() == bytes.len() => Ok(found),
        _ => Err(LoadError::Tokenizer("the byte tokens are not <0x00> to <0xFF>")),
    }
}

/// The bytes that each token stands for (llama.cpp, `token_to_piece`): none for those that are not for text.
pub(crate) fn token_bytes(texts: &[String], kinds: &[u32]) -> Vec<Box<[u8]>> {
    let byte = |text: &str| text.get(3..5).and_then(|hex| u8::from_str_radix(hex, 16).ok());
    let one = |(text, kind): (&String, &u32)| -> Vec<u8> {
        match *kind {
            NORMAL => text.replace(SPACE, " ").into_bytes(),
            USER_DEFINED => text.as_bytes().to_vec(),
            BYTE => byte(text).into_iter().collect(),
            _ => Vec::new(),
        }
    };
    texts.iter().zip(kinds).map(|token| one(token).into_boxed_slice()).collect()
}

/// `text` with its spaces written as in the vocabulary, in a buffer that never moves, so that wiping it wipes all.
fn escaped(text: &str, prefix: bool) -> Zeroizing<String> {
    let spaces = text.bytes().filter(|b| *b == b' ').count() + usize::from(prefix);
    let mut out = Zeroizing::new(String::with_capacity(text.len() + spaces * SPACE.len()));
    if prefix {
        out.push_str(SPACE);
    }
    for (i, part) in text.split(' ').enumerate() {
        if i > 0 {
            out.push_str(SPACE);
        }
        out.push_str(part);
    }
    out
}

/// A stretch of the text, in the chain of those that are left. Length 0: joined to one before it.
struct Symbol {
    start: u32,
    length: u32,
    previous: u32,
    next: u32,
}

/// Two neighbours whose join is a token. Out of date once their lengths have changed.
struct Pair {
    score: f32,
    left: u32,
    right: u32,
    length: u32,
}

/// The greatest is the next to be joined.
impl Ord for Pair {
    fn cmp(&self, other: &Pair) -> Ordering {
        self.score.total_cmp(&other.score).then(other.left.cmp(&self.left))
    }
}

impl PartialOrd for Pair {
    fn partial_cmp(&self, other: &Pair) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Pair {
    fn eq(&self, other: &Pair) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Pair {}

/// One text on its way to tokens.
struct Merging<'a> {
    spm: &'a Spm,
    text: &'a str,
    symbols: Vec<Symbol>,
    queue: BinaryHeap<Pair>,
    /// Bytes looked up.
    work: usize,
}

impl Merging<'_> {
    /// One symbol for each character.
    fn cut(&mut self) {
        let count = self.text.chars().count() as u32;
        let symbol = |(i, (start, c)): (u32, (usize, char))| Symbol {
            start: start as u32,
            length: c.len_utf8() as u32,
            previous: i.checked_sub(1).unwrap_or(NONE),
            next: if i + 1 < count { i + 1 } else { NONE },
        };
        self.symbols = (0u32..).zip(self.text.char_indices()).map(symbol).collect();
    }

    fn merge(&mut self) {
        for right in 1..self.symbols.len() as u32 {
            self.consider(right - 1, right);
        }
        while let Some(pair) = self.queue.pop() {
            if let Some((previous, next)) = self.join(&pair) {
                self.consider(previous, pair.left);
                self.consider(pair.left, next);
            }
        }
    }

    /// Puts two neighbours on the queue if their join is a token. Each join leads to two calls, and there are fewer
    /// joins than characters.
    fn consider(&mut self, left: u32, right: u32) {
        let (Some(a), Some(b)) = (self.symbols.get(left as usize), self.symbols.get(right as usize)) else {
            return;
        };
        let length = a.length + b.length;
        if let Some(piece) = self.piece(a.start, length) {
            self.queue.push(Pair { score: piece.score, left, right, length });
        }
    }

    fn piece(&mut self, start: u32, length: u32) -> Option<Piece> {
        let (start, length) = (start as usize, length as usize);
        if length > self.spm.longest {
            return None;
        }
        self.work += length;
        self.spm.pieces.get(self.text.get(start..start + length)?).copied()
    }

    /// Joins a pair that is not out of date; returns the neighbours of the join.
    fn join(&mut self, pair: &Pair) -> Option<(u32, u32)> {
        let right = self.symbols.get(pair.right as usize)?;
        let (added, next) = (right.length, right.next);
        let left = self.symbols.get_mut(pair.left as usize)?;
        if left.length == 0 || added == 0 || left.length + added != pair.length {
            return None;
        }
        left.length += added;
        left.next = next;
        let previous = left.previous;
        self.symbols.get_mut(pair.right as usize)?.length = 0;
        if let Some(after) = self.symbols.get_mut(next as usize) {
            after.previous = pair.left;
        }
        Some((previous, next))
    }

    /// The tokens of what is left; a character that is no token gives its bytes.
    fn tokens(&mut self, ids: &mut Vec<u32>) {
        let symbols = std::mem::take(&mut self.symbols);
        for symbol in symbols.iter().filter(|symbol| symbol.length > 0) {
            match self.piece(symbol.start, symbol.length) {
                Some(piece) => ids.push(piece.id),
                None => {
                    let (start, length) = (symbol.start as usize, symbol.length as usize);
                    let bytes = self.text.as_bytes().get(start..start + length).unwrap_or_default();
                    ids.extend(bytes.iter().filter_map(|byte| self.spm.bytes.get(usize::from(*byte))));
                }
            }
        }
    }
}

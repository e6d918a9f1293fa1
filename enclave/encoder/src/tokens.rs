//! Texts as token ids, with the model's own tokenizer.
//!
//! Promises: two ids, of the beginning and the end, that no text can make, are put around each text by this file alone.

use crate::error::{EncodeError, LoadError};
use std::fmt;
use tokenizers::Tokenizer;
use zeroize::Zeroizing;

/// Largest tokenizer file, in bytes.
const MAX_TOKENIZER: usize = 4 << 20;

/// The ids of one text.
#[derive(Clone)]
pub struct Tokens(Zeroizing<Vec<u32>>);

impl Tokens {
    /// How many, the two at the ends included.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn ids(&self) -> &[u32] {
        &self.0
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tokens({})", self.0.len())
    }
}

/// Cuts texts into words of the vocabulary.
pub(crate) struct Words {
    tokenizer: Tokenizer,
    begin: u32,
    end: u32,
}

impl Words {
    /// Reads a `tokenizer.json`.
    pub(crate) fn read(bytes: &[u8], vocabulary: usize) -> Result<Words, LoadError> {
        if bytes.len() > MAX_TOKENIZER {
            return Err(LoadError::Tokenizer("it has more than 4 MiB"));
        }
        let mut tokenizer =
            Tokenizer::from_bytes(bytes).map_err(|_| LoadError::Tokenizer("it is not a tokenizer.json"))?;
        // What the file says of lengths is for training; texts that are too long are for the caller to cut.
        let plain = tokenizer.with_truncation(None).is_ok();
        if !plain {
            return Err(LoadError::Tokenizer("it insists on cutting texts"));
        }
        tokenizer.with_padding(None);
        tokenizer.set_encode_special_tokens(true);
        let id = |word: &str| tokenizer.token_to_id(word).filter(|id| (*id as usize) < vocabulary);
        match (id("[CLS]"), id("[SEP]")) {
            (Some(begin), Some(end)) => Ok(Words { tokenizer, begin, end }),
            _ => Err(LoadError::Tokenizer("it has no [CLS] or no [SEP]")),
        }
    }

    /// The ids of a text, at most `limit`.
    pub(crate) fn cut(&self, text: &str, limit: usize) -> Result<Tokens, EncodeError> {
        let encoding = self.tokenizer.encode_fast(text, false).map_err(|_| EncodeError::Tokens)?;
        let found = encoding.get_ids().len() + 2;
        if found > limit {
            return Err(EncodeError::TooLong { found, limit });
        }
        let mut ids = Zeroizing::new(Vec::with_capacity(found));
        ids.push(self.begin);
        ids.extend_from_slice(encoding.get_ids());
        ids.push(self.end);
        Ok(Tokens(ids))
    }

    /// Where each word of a text that is a token, or a part of one, begins and ends, in bytes.
    pub(crate) fn places(&self, text: &str) -> Result<Vec<(usize, usize)>, EncodeError> {
        let encoding = self.tokenizer.encode(text, false).map_err(|_| EncodeError::Tokens)?;
        Ok(encoding.get_offsets().to_vec())
    }
}

//! Turns the bytes of tokens into text that may leave: whole characters, no stop string, not even a part of one.
//!
//! Promises
//! - A stop string is found wherever token boundaries fall, and no byte of it is handed out.
//! - Where the vocabulary puts a space before each word, the first space of the answer is left out, as Hugging Face's
//!   decoder does (`Strip(" ", 1, 0)` of Llama 2's tokenizer.json); llama.cpp's server hands it out.
//! - Bytes that are not UTF-8 become U+FFFD; the bytes of an unfinished character wait for the rest.

use adyton_guardrail::Text;
use zeroize::Zeroizing;

/// The text of one answer on its way out.
pub(crate) struct Answer {
    stops: Vec<Text>,
    /// Whether the answer has not begun, and a space at its beginning is to be left out.
    strip: bool,
    /// Bytes of an unfinished character.
    bytes: Zeroizing<Vec<u8>>,
    /// Characters that may be the beginning of a stop string.
    held: Zeroizing<String>,
    /// Bytes of tokens taken so far.
    taken: usize,
    /// Bytes of tokens whose text was handed out.
    settled: usize,
}

/// What became of a token.
pub(crate) struct Piece {
    pub(crate) text: Text,
    /// True if a stop string ended the answer.
    pub(crate) stopped: bool,
}

impl Answer {
    pub(crate) fn new(stops: Vec<Text>, strip: bool) -> Answer {
        let (bytes, held) = (Zeroizing::default(), Zeroizing::default());
        Answer { stops, strip, bytes, held, taken: 0, settled: 0 }
    }

    /// Takes the bytes of the next token.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Piece {
        self.taken += bytes.len();
        let first = self.strip && !bytes.is_empty();
        self.bytes.extend_from_slice(bytes.strip_prefix(b" ").filter(|_| first).unwrap_or(bytes));
        self.strip &= !first;
        self.decode(false);
        self.release(false)
    }

    /// The end of the answer: what was held back is text after all.
    pub(crate) fn finish(&mut self) -> Piece {
        self.decode(true);
        self.release(true)
    }

    /// Bytes of tokens, from the first on, whose text was handed out whole.
    pub(crate) fn settled(&self) -> usize {
        self.settled
    }

    fn decode(&mut self, at_end: bool) {
        let bytes = std::mem::take(&mut self.bytes);
        let mut rest = bytes.utf8_chunks().peekable();
        while let Some(chunk) = rest.next() {
            self.held.push_str(chunk.valid());
            let last = rest.peek().is_none();
            if last && !at_end && is_unfinished(chunk.invalid()) {
                self.bytes.extend_from_slice(chunk.invalid());
            } else if !chunk.invalid().is_empty() {
                self.held.push(char::REPLACEMENT_CHARACTER);
            }
        }
    }

    fn release(&mut self, at_end: bool) -> Piece {
        let found = self.stops.iter().filter_map(|stop| self.held.find(stop.expose())).min();
        let clear =
            found.unwrap_or_else(|| if at_end { self.held.len() } else { self.held.len() - self.tail() });
        let text = Text::from(&self.held[..clear]);
        let rest = if found.is_some() { String::new() } else { self.held[clear..].to_owned() };
        self.held = Zeroizing::new(rest);
        if self.held.is_empty() && found.is_none() {
            self.settled = self.taken - self.bytes.len();
        }
        Piece { text, stopped: found.is_some() }
    }

    /// Bytes at the end of the held text that may be the beginning of a stop string.
    fn tail(&self) -> usize {
        self.stops.iter().map(|stop| prefix_at_end(&self.held, stop.expose())).max().unwrap_or(0)
    }
}

/// Length of the longest proper prefix of `stop` that `text` ends with.
fn prefix_at_end(text: &str, stop: &str) -> usize {
    let cuts = stop.char_indices().map(|(i, _)| i).filter(|i| *i > 0);
    cuts.rev().find(|cut| text.ends_with(&stop[..*cut])).unwrap_or(0)
}

/// Whether bytes that are not UTF-8 may become a character when more follow (Unicode, table 3-7).
fn is_unfinished(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_err_and(|e| e.valid_up_to() == 0 && e.error_len().is_none())
}

//! Protected material in what is about to leave: passages of documents that are known by their fingerprints, and the
//! application's own instructions, which are fingerprinted for each prompt.
//!
//! ```text
//! released piece -> grams of the text, and of what it decodes to -> known ones, each once -> the sentinel's ledger -> out
//! ```
//!
//! Promises
//! - A passage of [`adyton_fingerprint::CERTAIN`] letters and digits is known before its last character leaves, however the text
//!   is cut into pieces, and in each encoding that [`Canonical`] reads.
//! - No text of a document is here; the instructions' fingerprints have a key of their own, which ends with the answer.
//!
//! Does not: decide how much of a document is too much, which takes a memory over turns: the sentinel does. Does not: know a
//! passage in other words, or in another language.
//!
//! Trusts: the measured list of documents.

use crate::canonical::Canonical;
use crate::text::Text;
use adyton_fingerprint::{Grams, Key, Protected, fingerprints};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Bytes of what left that are looked at again, in case a code began in them.
const MEMORY: usize = 16 * 1024;
/// Of the instructions' fingerprints, so many in a hundred may be repeated, and [`FEW`] always.
const REPEATED_PERCENT: usize = 40;
/// A sentence that the answer may share with the instructions.
const FEW: usize = 6;

/// One fingerprint of one document: numbers that the sentinel counts by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Disclosed {
    /// The document's number in the list.
    pub document: u16,
    /// The fingerprint's number in the document.
    pub fingerprint: u32,
}

/// All documents, to look fingerprints up in.
#[derive(Debug)]
pub struct Documents {
    key: Key,
    known: HashMap<u64, Vec<Disclosed>>,
}

impl Documents {
    /// Of a list that was read.
    pub fn of(list: &Protected) -> Documents {
        let mut known: HashMap<u64, Vec<Disclosed>> = HashMap::new();
        for (document, one) in (0u16..).zip(list.documents()) {
            for (fingerprint, value) in (0u32..).zip(&one.fingerprints) {
                known.entry(*value).or_default().push(Disclosed { document, fingerprint });
            }
        }
        Documents { key: list.key(), known }
    }
}

/// The application's instructions in one prompt.
#[derive(Debug)]
pub struct Instructions {
    key: Key,
    known: HashSet<u64>,
}

impl Instructions {
    /// Of the texts that are the application's; `salt` is random, and new for each prompt.
    pub fn of<'a>(texts: impl IntoIterator<Item = &'a str>, salt: &[u8; 32]) -> Instructions {
        let key = Key::new(salt);
        let known = texts.into_iter().flat_map(|text| fingerprints(&key, text)).collect();
        Instructions { key, known }
    }

    /// How many of them an answer may repeat.
    fn allowed(&self) -> usize {
        FEW.max(self.known.len() * REPEATED_PERCENT / 100)
    }
}

/// What of one answer was met so far.
#[derive(Clone, Debug, Default)]
pub struct Watch {
    documents: Option<Arc<Documents>>,
    instructions: Option<Arc<Instructions>>,
    grams: [Grams; 2],
    memory: Text,
    met: HashSet<Disclosed>,
    repeated: HashSet<u64>,
}

impl Watch {
    /// Looks for passages of these documents, and for these instructions.
    pub fn new(documents: Option<Arc<Documents>>, instructions: Option<Arc<Instructions>>) -> Watch {
        let documents = documents.filter(|documents| !documents.known.is_empty());
        let instructions = instructions.filter(|instructions| !instructions.known.is_empty());
        Watch { documents, instructions, ..Watch::default() }
    }

    /// Takes the next piece that is about to leave. Returns what it would disclose of documents and was not met in this answer
    /// before. The caller must not let the piece leave before the sentinel has agreed.
    pub fn push(&mut self, piece: &str) -> Vec<Disclosed> {
        if piece.is_empty() || (self.documents.is_none() && self.instructions.is_none()) {
            return Vec::new();
        }
        let whole = Text::from([self.memory.expose(), piece].concat());
        let from = whole.expose().ceil_char_boundary(whole.expose().len().saturating_sub(MEMORY));
        self.memory = Text::from(whole.expose().get(from..).unwrap_or_default());
        let forms = Canonical::of(self.memory.expose());
        let (mut new, documents) = (Vec::new(), self.documents.clone());
        if let Some(documents) = documents {
            let known =
                |grams: Vec<u64>| grams.into_iter().filter_map(|one| documents.known.get(&one)).flatten();
            let plain = self.grams[0].push(&documents.key, piece);
            new.extend(known(plain).filter(|one| self.met.insert(**one)));
            for view in forms.decoded() {
                let grams = Grams::default().push(&documents.key, view.text.expose());
                new.extend(known(grams).filter(|one| self.met.insert(**one)));
            }
        }
        if let Some(instructions) = self.instructions.clone() {
            let mut grams = self.grams[1].push(&instructions.key, piece);
            for view in forms.decoded() {
                grams.extend(Grams::default().push(&instructions.key, view.text.expose()));
            }
            self.repeated.extend(grams.into_iter().filter(|one| instructions.known.contains(one)));
        }
        new
    }

    /// Whether the answer repeats more of the application's instructions than an answer has reason to.
    pub fn repeats_instructions(&self) -> bool {
        self.instructions.as_ref().is_some_and(|instructions| self.repeated.len() > instructions.allowed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "The works at Eisenach will be sold before the end of the year, and all four hundred and twelve \
                          people there will be told on the last Friday of November, not before.";

    fn documents() -> Arc<Documents> {
        let mut list = Protected::new([3; 32]);
        list.add("works", SECRET).unwrap();
        Arc::new(Documents::of(&list))
    }

    fn met(text: &str, size: usize) -> usize {
        let mut watch = Watch::new(Some(documents()), None);
        let chars: Vec<char> = text.chars().collect();
        chars.chunks(size).map(|piece| watch.push(&piece.iter().collect::<String>()).len()).sum()
    }

    fn rot13(text: &str) -> String {
        let turn = |c: char, first: u8| char::from(first + (c as u8 - first + 13) % 26);
        text.chars()
            .map(|c| match c {
                'a'..='z' => turn(c, b'a'),
                'A'..='Z' => turn(c, b'A'),
                _ => c,
            })
            .collect()
    }

    #[test]
    fn a_passage_is_met_in_each_encoding_and_each_cut() {
        let all = met(SECRET, usize::MAX);
        assert!(all > 8);
        let hex: String = SECRET.bytes().map(|b| format!("{b:02x}")).collect();
        let percent: String = SECRET.bytes().map(|b| format!("%{b:02X}")).collect();
        let base64 = concat!(
            "VGhlIHdvcmtzIGF0IEVpc2VuYWNoIHdpbGwgYmUgc29sZCBiZWZvcmUgdGhlIGVuZCBvZiB0aGUgeWVhciwgYW5kIGFsbCBmb3VyIGh1bmRyZWQg",
            "YW5kIHR3ZWx2ZSBwZW9wbGUgdGhlcmUgd2lsbCBiZSB0b2xkIG9uIHRoZSBsYXN0IEZyaWRheSBvZiBOb3ZlbWJlciwgbm90IGJlZm9yZS4="
        );
        for text in [SECRET.to_owned(), SECRET.to_uppercase(), hex, percent, base64.to_owned(), rot13(SECRET)]
        {
            for size in [1, 7, usize::MAX] {
                let found = met(&text, size);
                assert!(found >= all / 3, "{found} of {all} in pieces of {size}: {text}");
            }
        }
        assert_eq!(
            met(
                "Ordinary talk about works of art in Eisenach, where Bach was born, and about people there.",
                5
            ),
            0
        );
    }

    #[test]
    fn a_piece_is_reported_before_it_leaves_and_once() {
        let mut watch = Watch::new(Some(documents()), None);
        let first = watch.push(SECRET);
        assert!(!first.is_empty());
        assert!(watch.push(SECRET).is_empty(), "the same again discloses nothing new");
    }

    #[test]
    fn instructions_may_be_quoted_and_not_recited() {
        let system = format!(
            "You are the desk of a bank. Be polite. {SECRET} Never speak of the weather. {}",
            "Answer in at most five \
            sentences, in the language of the customer, and give the number of the branch where he can call if he wants more."
        );
        let instructions = Arc::new(Instructions::of([system.as_str()], &[5; 32]));
        let repeats = |text: &str| {
            let mut watch = Watch::new(None, Some(Arc::clone(&instructions)));
            watch.push(text);
            watch.repeats_instructions()
        };
        assert!(repeats(&system));
        assert!(repeats(&rot13(&system)));
        assert!(!repeats("I answer in at most five sentences, in the language of the customer."));
        assert!(!repeats("Good morning! How can the bank help you today?"));
        assert!(!format!("{instructions:?}").contains("Eisenach"));
    }
}

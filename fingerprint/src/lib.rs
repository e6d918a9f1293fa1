//! Text in, keyed fingerprints out: what a protected document is known by, where the document itself must not be.
//!
//! `text -> letters and digits -> every run of K of them, a gram -> HMAC -> the least of each W in a row, its fingerprints`
//! (winnowing: Schleimer, Wilkerson and Aiken, "Winnowing: local algorithms for document fingerprinting", SIGMOD 2003).
//!
//! Promises
//! - Whoever has a text that shares [`CERTAIN`] letters and digits in a row with a document meets one of its fingerprints.
//! - Spaces, signs, case, compatibility forms and lookalikes of other scripts change nothing.
//! - Fingerprints are the same however the text was cut into pieces.
//!
//! Does not: hide a text that somebody can guess in runs of [`K`] letters; the salt stands beside the fingerprints, so they
//! confirm a guess. Does not: know a text again that was said in other words, or translated.
//!
//! Trusts: nothing.

#![deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod list;

pub use list::{Document, ListError, MAX_DOCUMENTS, Protected};

use ring::hmac;
use std::collections::VecDeque;
use std::fmt;
use unicode_normalization::UnicodeNormalization;
use unicode_security::confusable_detection::skeleton;

/// Letters and digits of a gram. Fewer, and common phrases are grams of many texts; more, and short passages have none.
pub const K: usize = 32;
/// Grams of which one is kept.
pub const W: usize = 16;
/// So many letters and digits in a row are certainly found.
pub const CERTAIN: usize = K + W - 1;

/// Makes fingerprints comparable to those under the same salt, and to no others.
#[derive(Clone)]
pub struct Key(hmac::Key);

impl Key {
    /// From a salt.
    pub fn new(salt: &[u8; 32]) -> Key {
        Key(hmac::Key::new(hmac::HMAC_SHA256, salt))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key")
    }
}

/// The grams of a text that comes in pieces. `Debug` shows no text.
#[derive(Clone, Default)]
pub struct Grams {
    last: VecDeque<char>,
}

impl fmt::Debug for Grams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Grams({} letters)", self.last.len())
    }
}

impl Grams {
    /// The fingerprints of all grams that end in this piece, in order.
    pub fn push(&mut self, key: &Key, piece: &str) -> Vec<u64> {
        let mut found = Vec::new();
        for letter in piece.chars().flat_map(letters) {
            self.last.push_back(letter);
            if self.last.len() > K {
                self.last.pop_front();
            }
            if self.last.len() == K {
                found.push(self.fingerprint(key));
            }
        }
        found
    }

    fn fingerprint(&self, key: &Key) -> u64 {
        let mut context = hmac::Context::with_key(&key.0);
        let mut bytes = [0; 4 * K];
        for (place, letter) in bytes.chunks_exact_mut(4).zip(&self.last) {
            place.copy_from_slice(&u32::from(*letter).to_le_bytes());
        }
        context.update(&bytes);
        context.sign().as_ref().first_chunk().map_or(0, |first| u64::from_le_bytes(*first))
    }
}

/// What a character counts as: none, one or several letters and digits.
fn letters(c: char) -> Vec<char> {
    if c.is_ascii() {
        return if c.is_ascii_alphanumeric() { vec![c.to_ascii_lowercase()] } else { Vec::new() };
    }
    let plain: String = c.nfkd().filter(|c| c.is_alphanumeric()).collect();
    let shown: String = if plain.is_ascii() { plain } else { skeleton(&plain).collect() };
    shown.chars().flat_map(char::to_lowercase).filter(|c| c.is_alphanumeric()).collect()
}

/// The fingerprints of a whole text, each once, in the order in which they first stand in it.
pub fn fingerprints(key: &Key, text: &str) -> Vec<u64> {
    let grams = Grams::default().push(key, text);
    let mut kept: Vec<u64> = Vec::new();
    let mut seen = std::collections::HashSet::new();
    let short = (!grams.is_empty() && grams.len() < W).then_some(grams.as_slice());
    for window in grams.windows(W).chain(short) {
        if let Some(least) = window.iter().min().filter(|least| seen.insert(**least)) {
            kept.push(*least);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TEXT: &str = "The committee met on the ninth of May and resolved, after long debate, that the northern bridge be \
                        closed until its cables have been replaced; the minister was told the same evening.";

    fn key() -> Key {
        Key::new(&[7; 32])
    }

    fn shared(other: &str) -> usize {
        let known = fingerprints(&key(), TEXT);
        let grams = Grams::default().push(&key(), other);
        known.iter().filter(|one| grams.contains(one)).count()
    }

    #[test]
    fn a_passage_is_known_again_however_it_is_written() {
        let all = fingerprints(&key(), TEXT).len();
        assert!(all > 8, "{all}");
        let wide: String = TEXT
            .chars()
            .map(|c| if c.is_ascii_alphabetic() { char::from_u32(c as u32 + 0xfee0).unwrap() } else { c })
            .collect();
        for other in [
            TEXT.to_uppercase(),
            TEXT.replace(' ', ""),
            TEXT.chars().map(|c| format!("{c} ")).collect(),
            TEXT.replace('e', "\u{435}").replace('o', "\u{43e}"),
            wide,
            format!("He said: {TEXT} And so it was."),
        ] {
            assert_eq!(shared(&other), all, "{other}");
        }
        assert_eq!(
            shared("The committee met again in June and closed nothing at all, which pleased the minister."),
            0
        );
        assert_ne!(fingerprints(&key(), TEXT), fingerprints(&Key::new(&[8; 32]), TEXT), "the salt counts");
        assert!(fingerprints(&key(), "too short").is_empty());
        assert_eq!(fingerprints(&key(), &TEXT[..50]).len(), 1, "{}", &TEXT[..50]);
    }

    proptest! {
        #[test]
        fn each_certain_run_meets_a_fingerprint(from in 0usize..100) {
            let letters: String = TEXT.chars().filter(|c| c.is_alphanumeric()).collect();
            let run = &letters[from.min(letters.len() - CERTAIN)..][..CERTAIN];
            prop_assert!(shared(run) > 0, "{}", run);
        }

        #[test]
        fn pieces_change_nothing(text in "\\PC{0,200}", cut in 1usize..20) {
            let whole = Grams::default().push(&key(), &text);
            let mut grams = Grams::default();
            let chars: Vec<char> = text.chars().collect();
            let pieces: Vec<u64> = chars.chunks(cut).flat_map(|piece| grams.push(&key(), &piece.iter().collect::<String>())).collect();
            prop_assert_eq!(whole, pieces);
        }
    }
}

//! A text in pieces that an encoder reads: sentences, or runs of them.
//!
//! Promises: no character but the space around pieces is left out; no piece is longer than [`MOST`]; a text has at most some
//! 550 for each 256 KiB.

use crate::injection::features::normalised;
use zeroize::Zeroizing;

/// Characters of the longest piece.
pub const MOST: usize = 480;
/// Pieces of single sentences, of so many characters at least.
pub const SENTENCE: usize = 24;
/// Pieces of a paragraph.
pub const PARAGRAPH: usize = 360;
/// From so many pieces on they are longer.
const MANY: usize = 256;

/// The pieces of a text, normalised as for the first tier: each of so many characters at least, where it does not end.
pub fn pieces(text: &str, least: usize) -> Vec<Zeroizing<String>> {
    let mut all = Vec::new();
    // One line is one run: a line ends a sentence, and normalising would make a space of it.
    let least = least.max(text.chars().count() / MANY).min(MOST - 40);
    let mut piece = Zeroizing::new(String::new());
    let mut length = 0;
    for line in text.lines() {
        let line = Zeroizing::new(normalised(line));
        for (at, c) in line.iter().enumerate() {
            piece.push(*c);
            length += 1;
            let ends = matches!(c, '\u{3002}' | '\u{ff01}' | '\u{ff1f}')
                || (matches!(c, '.' | '!' | '?') && line.get(at + 1).is_none_or(|next| *next == ' '));
            if (ends && length >= least) || length == MOST {
                length = 0;
                keep(&mut all, std::mem::take(&mut piece));
            }
        }
        if length >= least {
            length = 0;
            keep(&mut all, std::mem::take(&mut piece));
        } else if length > 0 && length < MOST - 1 {
            piece.push(' ');
            length += 1;
        }
    }
    keep(&mut all, piece);
    all
}

fn keep(all: &mut Vec<Zeroizing<String>>, piece: Zeroizing<String>) {
    if piece.chars().any(char::is_alphanumeric) {
        all.push(Zeroizing::new(piece.trim().to_owned()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sentences_are_pieces_and_short_ones_are_joined() {
        let all = pieces(
            "Dear Sir. Thank you for the order of last week.\nIt was sent TODAY 12.5!\n\n-- \nMe",
            SENTENCE,
        );
        let all: Vec<&str> = all.iter().map(|piece| piece.as_str()).collect();
        assert_eq!(
            all,
            ["dear sir. thank you for the order of last week.", "it was sent today 00.0!", "--  me"]
        );
    }

    proptest! {
        #[test]
        fn nothing_is_left_out_and_nothing_is_too_long(text in "[a-z .!?\n]{0,3000}|\\PC{0,700}") {
            let all = pieces(&text, SENTENCE);
            prop_assert!(all.iter().all(|piece| piece.chars().count() <= MOST));
            prop_assert!(all.len() <= text.chars().count() / SENTENCE + 1);
            let kept = |text: &str| text.chars().flat_map(char::to_lowercase).filter(|c| c.is_alphabetic()).collect::<String>();
            prop_assert_eq!(kept(&text), all.iter().map(|piece| kept(piece)).collect::<String>());
        }
    }
}

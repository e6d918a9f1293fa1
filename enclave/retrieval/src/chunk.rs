//! Long texts cut into passages: by tokens, with overlap, at the ends of paragraphs and sentences where there are any.
//!
//! # Promises
//! - Every token is in a passage; a passage has at most [`MOST`] tokens; the same text is cut in the same way.
//! - Neighbours share about [`OVERLAP`] tokens, so that what stands across a cut is whole in one of them.
//!
//! # Does not
//! - Know a tokenizer: it is told where the tokens are.

use std::ops::Range;

/// Most tokens of a passage.
pub const MOST: usize = 180;
/// Tokens that a passage repeats of the one before it.
pub const OVERLAP: usize = 30;

/// Cuts `text`, whose tokens stand at `tokens` (bytes from its start, in order), into ranges of bytes.
pub fn passages(text: &str, tokens: &[Range<usize>]) -> Vec<Range<usize>> {
    let mut cut = Vec::new();
    let mut start = 0;
    while start < tokens.len() {
        let most = (start + MOST).min(tokens.len());
        let end = if most == tokens.len() { most } else { best_end(text, tokens, start, most) };
        cut.extend(bytes(text, tokens, start..end));
        if end == tokens.len() {
            break;
        }
        start = best_start(text, tokens, start, end);
    }
    cut
}

/// The bytes from the first token to the last.
fn bytes(text: &str, tokens: &[Range<usize>], range: Range<usize>) -> Option<Range<usize>> {
    let (first, last) = (tokens.get(range.start)?, tokens.get(range.end.checked_sub(1)?)?);
    text.get(first.start..last.end).map(|_| first.start..last.end)
}

/// What stands between a token and the one before it, and the last sign of that one.
fn gap<'t>(text: &'t str, tokens: &[Range<usize>], at: usize) -> (&'t str, Option<char>) {
    let before = at.checked_sub(1).and_then(|before| tokens.get(before));
    let (Some(before), Some(here)) = (before, tokens.get(at)) else { return ("", None) };
    let between = text.get(before.end..here.start).unwrap_or_default();
    (between, text.get(before.clone()).and_then(|token| token.chars().next_back()))
}

/// How good it is to cut before a token: 3 a paragraph, 2 a line, 1 a sentence, 0 anywhere else.
fn quality(text: &str, tokens: &[Range<usize>], at: usize) -> u8 {
    let (between, last) = gap(text, tokens, at);
    match between {
        between if between.contains("\n\n") => 3,
        between if between.contains('\n') => 2,
        between if !between.is_empty() && last.is_some_and(|c| ".!?:;".contains(c)) => 1,
        _ => 0,
    }
}

/// The best place to end, in the second half.
fn best_end(text: &str, tokens: &[Range<usize>], start: usize, most: usize) -> usize {
    let half = start + MOST / 2;
    (half..=most).max_by_key(|at| (quality(text, tokens, *at), *at)).unwrap_or(most)
}

/// The best place to begin again, before `end` and behind `start`.
fn best_start(text: &str, tokens: &[Range<usize>], start: usize, end: usize) -> usize {
    let back = end.saturating_sub(OVERLAP).max(start + 1);
    let begins_word = |at: &usize| !gap(text, tokens, *at).0.is_empty();
    let better =
        (back..end).filter(begins_word).max_by_key(|at| (quality(text, tokens, *at), usize::MAX - *at));
    better.unwrap_or(back)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Words as tokens.
    fn tokens(text: &str) -> Vec<Range<usize>> {
        let at = |word: &str| word.as_ptr() as usize - text.as_ptr() as usize;
        text.split_whitespace().map(|word| at(word)..at(word) + word.len()).collect()
    }

    #[test]
    fn every_token_is_in_a_passage_and_none_is_too_long() {
        for (length, mark) in
            [(0, ""), (1, ""), (MOST, ""), (MOST + 1, ""), (1000, ""), (1000, "."), (777, ".\n\n")]
        {
            let words = (0..length).map(|i| format!("w{i}{}", if i % 37 == 36 { mark } else { "" }));
            let text = words.collect::<Vec<_>>().join(" ");
            let tokens = tokens(&text);
            let cut = passages(&text, &tokens);
            let within = |passage: &Range<usize>| {
                tokens.iter().filter(|t| t.start >= passage.start && t.end <= passage.end).count()
            };
            assert!(cut.iter().all(|passage| (1..=MOST).contains(&within(passage))), "{length}");
            assert!(
                tokens.iter().all(|t| cut.iter().any(|p| p.start <= t.start && t.end <= p.end)),
                "{length}"
            );
            assert!(cut.windows(2).all(|two| two[0].start < two[1].start && two[1].start < two[0].end));
            assert_eq!(cut.len() > 1, length > MOST);
        }
    }

    #[test]
    fn a_cut_is_at_the_end_of_a_paragraph_or_a_sentence() {
        let sentence = "One two three four five six seven eight nine. ".repeat(15);
        let text = format!("{sentence}\n\n{sentence}");
        let cut = passages(&text, &tokens(&text));
        assert_eq!(&text[cut[0].clone()], sentence.trim_end());
        let (first, last) = (&text[cut[1].clone()], &text[cut[cut.len() - 1].clone()]);
        assert!(first.starts_with("One"), "{first}");
        assert!(last.ends_with("nine."));
    }

    #[test]
    fn strange_places_end_in_something() {
        let text = "äöü";
        for places in [&[(0, 1)][..], &[(0, 100)], &[(2, 0)], &[(4, 6), (0, 2)]] {
            let tokens: Vec<Range<usize>> = places.iter().map(|(start, end)| *start..*end).collect();
            let cut = passages(text, &tokens);
            assert!(cut.iter().all(|range| text.get(range.clone()).is_some()));
        }
    }
}

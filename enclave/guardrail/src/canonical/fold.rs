//! Folding: normal form, nothing invisible, lookalikes as the letters that they look like.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;
use unicode_script::{Script, UnicodeScript};
use zeroize::Zeroizing;

/// Marks upon one letter that are kept. No language stacks more; "zalgo" text does, to hide its letters.
const MARKS: usize = 3;
/// A character may lengthen to 18 in NFKC (UAX #15); texts of nothing else are cut to this many times their length.
const GROWTH: usize = 4;
/// Rounds of folding. Each needs one before it that changed a word's script, so the second rarely changes anything.
const ROUNDS: usize = 4;

/// What was stripped or folded, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Evidence {
    /// Zero-width and other invisible characters, and controls.
    pub invisible: u32,
    /// Bidirectional controls (UAX #9).
    pub bidi: u32,
    /// Characters of the tag block.
    pub tags: u32,
    /// Variation selectors, but for the two that emoji need.
    pub selectors: u32,
    /// Combining marks above the third upon one letter.
    pub marks: u32,
    /// Words whose letters are of more than one script.
    pub mixed_words: u32,
    /// Letters that were folded to the ASCII letter that they look like.
    pub confusables: u32,
}

impl Evidence {
    /// Everything counted.
    pub fn total(&self) -> u32 {
        [self.invisible, self.bidi, self.tags, self.selectors, self.marks, self.mixed_words, self.confusables]
            .into_iter()
            .fold(0, u32::saturating_add)
    }
}

/// The folded text, what its invisible characters spelled, and the evidence.
pub(super) fn fold(raw: &str) -> (String, String, Evidence) {
    let mut evidence = Evidence::default();
    if raw.bytes().all(|b| matches!(b, b'\t' | b'\n' | b'\r' | b' '..=b'~')) {
        return (raw.to_owned(), String::new(), evidence);
    }
    let mut hidden = Hidden::default();
    let seen = |&c: &char| is_visible(c, &mut hidden, &mut evidence);
    let visible = Zeroizing::new(raw.chars().filter(seen).collect::<String>());
    let limit = raw.len().saturating_mul(GROWTH);
    let mut normal = Zeroizing::new(String::with_capacity(visible.len()));
    let mut marks = 0usize;
    for c in visible.nfkc() {
        marks = if is_combining_mark(c) { marks + 1 } else { 0 };
        if marks > MARKS {
            evidence.marks = evidence.marks.saturating_add(1);
        } else if normal.len() < limit && is_visible(c, &mut hidden, &mut evidence) {
            normal.push(c);
        }
    }
    (settle(&normal, &mut evidence), hidden.spelled(), evidence)
}

/// Folds words until nothing changes: letters that lost marks, or met, or were folded, may compose anew, and a text of
/// which much was folded may be Latin now.
fn settle(normal: &str, evidence: &mut Evidence) -> String {
    let mut text: String = normal.nfkc().collect();
    for _ in 0..ROUNDS {
        let folded: String = fold_words(&text, evidence).nfkc().collect();
        if folded == text {
            break;
        }
        text = folded;
    }
    text
}

/// Bytes that invisible characters carry.
#[derive(Default)]
struct Hidden {
    tags: String,
    selectors: Vec<u8>,
}

impl Hidden {
    fn spelled(self) -> String {
        let selected = std::str::from_utf8(&self.selectors).unwrap_or_default();
        let lines = [self.tags.as_str(), selected].into_iter().filter(|line| line.len() > 2);
        lines.collect::<Vec<_>>().join("\n")
    }
}

fn is_visible(c: char, hidden: &mut Hidden, evidence: &mut Evidence) -> bool {
    let count = match c {
        '\t' | '\n' | '\r' | ' '..='~' => return true,
        '\u{e0000}'..='\u{e007f}' => {
            let ascii = char::from_u32(u32::from(c) - 0xe0000).filter(|c| matches!(c, ' '..='~'));
            hidden.tags.extend(ascii);
            &mut evidence.tags
        }
        // Emoji and text presentation: everybody has them.
        '\u{fe0e}' | '\u{fe0f}' => return false,
        '\u{fe00}'..='\u{fe0d}' => {
            hidden.selectors.extend(u8::try_from(u32::from(c) - 0xfe00));
            &mut evidence.selectors
        }
        '\u{e0100}'..='\u{e01ef}' => {
            hidden.selectors.extend(u8::try_from(u32::from(c) - 0xe0100 + 16));
            &mut evidence.selectors
        }
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
            &mut evidence.bidi
        }
        // Joiners: needed by scripts and emoji, so no evidence; but no detector needs them.
        '\u{200c}' | '\u{200d}' => return false,
        '\0'..='\u{1f}'
        | '\u{7f}'..='\u{9f}'
        | '\u{ad}'
        | '\u{34f}'
        | '\u{115f}'
        | '\u{1160}'
        | '\u{17b4}'
        | '\u{17b5}'
        | '\u{180b}'..='\u{180f}'
        | '\u{200b}'
        | '\u{2060}'..='\u{2065}'
        | '\u{206a}'..='\u{206f}'
        | '\u{3164}'
        | '\u{feff}'
        | '\u{ffa0}'
        | '\u{fff0}'..='\u{fffb}'
        | '\u{1d173}'..='\u{1d17a}' => &mut evidence.invisible,
        _ => return true,
    };
    *count = count.saturating_add(1);
    false
}

fn fold_words(text: &str, evidence: &mut Evidence) -> String {
    if text.is_ascii() {
        return text.to_owned();
    }
    let latin = text.chars().filter(char::is_ascii_alphabetic).count();
    let foreign = text.chars().filter(|c| !c.is_ascii() && c.is_alphabetic()).count();
    let mut folded = String::with_capacity(text.len());
    for word in text.split_inclusive(|c: char| !c.is_alphanumeric()) {
        fold_word(word, latin > foreign, &mut folded, evidence);
    }
    folded
}

/// Folds a word of mixed scripts; in a text that is mostly Latin, also one that is made of lookalikes alone.
fn fold_word(word: &str, mostly_latin: bool, folded: &mut String, evidence: &mut Evidence) {
    if word.is_ascii() {
        return folded.push_str(word);
    }
    let has = |script: Script| word.chars().any(|c| c.script() == script);
    let others = [Script::Cyrillic, Script::Greek, Script::Armenian, Script::Cherokee].into_iter().any(has);
    let mixed = has(Script::Latin) && others;
    let letters = || word.chars().filter(|c| c.is_alphabetic());
    let disguised = mostly_latin && others && letters().all(|c| ascii_lookalike(c).is_some());
    if mixed {
        evidence.mixed_words = evidence.mixed_words.saturating_add(1);
    }
    for c in word.chars() {
        match ascii_lookalike(c).filter(|_| mixed || disguised) {
            Some(ascii) => {
                evidence.confusables = evidence.confusables.saturating_add(u32::from(ascii != c));
                folded.push(ascii);
            }
            None => folded.push(c),
        }
    }
}

/// The ASCII letter that a letter looks like (UTS #39, skeleton), itself if it is one.
fn ascii_lookalike(c: char) -> Option<char> {
    if c.is_ascii() {
        return Some(c);
    }
    let mut buffer = [0; 4];
    let mut skeleton = unicode_security::confusable_detection::skeleton(c.encode_utf8(&mut buffer));
    let first = skeleton.next().filter(char::is_ascii_alphanumeric)?;
    skeleton.next().is_none().then_some(first)
}

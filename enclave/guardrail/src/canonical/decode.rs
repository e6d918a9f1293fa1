//! Decoders of runs that may hide an order: each takes a text and gives what its encoded runs say, or nothing.
//!
//! A run counts only if what it decodes to is text. Each decoder goes over the text once and gives less than it took.

use super::Layer;

/// A decoder.
pub(super) type Decoder = fn(&str) -> String;

/// The decoders of runs.
pub(super) const RUNS: [(Layer, Decoder); 3] =
    [(Layer::Base64, base64), (Layer::Hex, hex), (Layer::Percent, percent)];

/// Shortest base64 run: below this, half of all identifiers would be one.
const BASE64_RUN: usize = 16;
/// Shortest hex run, in digits.
const HEX_RUN: usize = 16;
/// Fewest escapes in a text of percent escapes; fewer are an ordinary address.
const ESCAPES: usize = 4;

/// The decoded runs, one a line.
fn base64(text: &str) -> String {
    let is_digit = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '-' | '_');
    let runs = text.split(|c: char| !is_digit(c)).filter(|run| run.len() >= BASE64_RUN);
    joined(runs.filter_map(|run| readable(base64_bytes(run.as_bytes()))))
}

fn base64_bytes(run: &[u8]) -> Vec<u8> {
    let (mut bytes, mut bits, mut count) = (Vec::with_capacity(run.len() / 4 * 3 + 3), 0u32, 0u32);
    for &digit in run {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' | b'-' => 62,
            _ => 63,
        };
        bits = (bits << 6 | u32::from(value)) & 0xffff;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count & 0xff) as u8);
        }
    }
    bytes
}

fn hex(text: &str) -> String {
    let (mut lines, mut bytes, mut high) = (Vec::new(), Vec::new(), None);
    let mut rest = text.bytes().peekable();
    let mut end = |bytes: &mut Vec<u8>| {
        let run = std::mem::take(bytes);
        lines.extend((run.len() >= HEX_RUN / 2).then(|| readable(run)).flatten());
    };
    while let Some(byte) = rest.next() {
        match (char::from(byte).to_digit(16).and_then(|d| u8::try_from(d).ok()), high) {
            // "0x" before a byte.
            (Some(0), None) if rest.peek() == Some(&b'x') => {
                rest.next();
            }
            (Some(digit), None) => high = Some(digit),
            (Some(digit), Some(first)) => {
                bytes.push(first << 4 | digit);
                high = None;
            }
            // What stands between bytes, but not within one.
            (None, None) if matches!(byte, b' ' | b'\\' | b'x' | b':' | b',' | b'-' | b'\n') => {}
            (None, _) => {
                high = None;
                end(&mut bytes);
            }
        }
    }
    end(&mut bytes);
    joined(lines.into_iter())
}

/// The whole text with its escapes decoded.
fn percent(text: &str) -> String {
    if text.bytes().filter(|b| *b == b'%').count() < ESCAPES {
        return String::new();
    }
    let bytes = text.as_bytes();
    let digit = |at: usize| bytes.get(at).and_then(|b| char::from(*b).to_digit(16)).unwrap_or(16);
    let (mut decoded, mut at, mut escapes) = (Vec::with_capacity(bytes.len()), 0, 0);
    while let Some(&byte) = bytes.get(at) {
        let value = digit(at + 1) << 4 | digit(at + 2);
        if byte == b'%' && digit(at + 1) < 16 && digit(at + 2) < 16 {
            decoded.extend(u8::try_from(value));
            (at, escapes) = (at + 3, escapes + 1);
        } else {
            decoded.push(byte);
            at += 1;
        }
    }
    if escapes < ESCAPES { String::new() } else { readable(decoded).unwrap_or_default() }
}

/// Bytes that are text: UTF-8, and nearly all of it letters, digits, spaces and common signs.
fn readable(bytes: Vec<u8>) -> Option<String> {
    // A run that was cut in the middle of a character is still text before it.
    let valid = match std::str::from_utf8(&bytes) {
        Ok(text) => text,
        Err(error) if bytes.len() - error.valid_up_to() < 4 => {
            std::str::from_utf8(bytes.get(..error.valid_up_to())?).ok()?
        }
        Err(_) => return None,
    };
    let all = valid.chars().count();
    let plain =
        valid.chars().filter(|c| c.is_alphanumeric() || c.is_ascii_punctuation() || *c == ' ').count();
    (all >= 6 && plain * 10 >= all * 9).then(|| valid.to_owned())
}

fn joined(lines: impl Iterator<Item = String>) -> String {
    lines.collect::<Vec<_>>().join("\n")
}

/// Words that make a text look like language.
const COMMON: [&str; 24] = [
    "the",
    "and",
    "you",
    "your",
    "to",
    "of",
    "is",
    "in",
    "that",
    "all",
    "me",
    "for",
    "ignore",
    "instructions",
    "previous",
    "system",
    "prompt",
    "are",
    "this",
    "now",
    "not",
    "with",
    "tell",
    "my",
];

fn common_words(text: &str) -> usize {
    let words = text.split(|c: char| !c.is_ascii_alphabetic());
    words.filter(|word| COMMON.iter().any(|common| word.eq_ignore_ascii_case(common))).count()
}

/// The text with its letters turned, if it has more common words then.
pub(super) fn rot13(text: &str) -> Option<String> {
    let turn = |c: char, first: u8| char::from(first + (c as u8 - first + 13) % 26);
    let turned: String = text
        .chars()
        .map(|c| match c {
            'a'..='z' => turn(c, b'a'),
            'A'..='Z' => turn(c, b'A'),
            _ => c,
        })
        .collect();
    (common_words(&turned) >= 2.max(common_words(text) + 1)).then_some(turned)
}

/// The text with digits and signs read as letters, in words that have letters as well.
pub(super) fn leet(text: &str) -> Option<String> {
    let letter = |c: char| match c {
        '0' => 'o',
        '1' | '!' => 'i',
        '3' => 'e',
        '4' | '@' => 'a',
        '5' | '$' => 's',
        '7' | '+' => 't',
        '8' => 'b',
        _ => c,
    };
    let mut form = String::with_capacity(text.len());
    let mut words = 0usize;
    for word in text.split_inclusive(char::is_whitespace) {
        let letters = word.chars().filter(char::is_ascii_alphabetic).count();
        let inner = word.trim_end_matches(|c: char| c.is_whitespace() || matches!(c, '!' | '?' | '.' | ','));
        let signs = inner.chars().filter(|c| letter(*c) != *c).count();
        if letters > 0 && signs > 0 && letters >= signs {
            words += 1;
            form.extend(inner.chars().map(letter));
            form.push_str(word.get(inner.len()..).unwrap_or_default());
        } else {
            form.push_str(word);
        }
    }
    (words >= 2 && form != text).then_some(form)
}

/// The text with single letters that stand apart (`i g n o r e`, `i-g-n-o-r-e`) put together.
pub(super) fn spaced(text: &str) -> Option<String> {
    let is_gap = |c: char| matches!(c, ' ' | '-' | '.' | '_' | '*');
    let mut form = String::with_capacity(text.len());
    let (mut run, mut joined) = (String::new(), false);
    let mut flush = |run: &mut String, form: &mut String| {
        let letters: String = run.chars().filter(|c| !is_gap(*c)).collect();
        let long = letters.len() >= 4;
        joined |= long;
        form.push_str(if long { &letters } else { run });
        form.extend(run.chars().last().filter(|c| long && is_gap(*c)));
        run.clear();
    };
    let mut characters = text.chars().peekable();
    let mut apart = true;
    while let Some(c) = characters.next() {
        let next = characters.peek().copied();
        if apart && c.is_ascii_alphabetic() && next.is_none_or(|next| !next.is_alphanumeric()) {
            run.push(c);
            run.extend(characters.next_if(|next| is_gap(*next)));
            apart = next.is_none_or(is_gap);
        } else {
            flush(&mut run, &mut form);
            form.push(c);
            apart = !c.is_alphanumeric();
        }
    }
    flush(&mut run, &mut form);
    joined.then_some(form)
}

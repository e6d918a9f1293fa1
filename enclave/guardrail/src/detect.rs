//! What is not what it seems, at one position of a text: hidden characters, control tokens, private keys, access keys.
//!
//! A position either holds a finding, or cannot, or needs more text to tell ([`Look`]). Both screens walk a text from
//! left to right and ask here; so what they find does not depend on how a stream was cut into pieces.

use crate::settings::{Action, Settings};
use crate::verdict::Stage;
use std::collections::BTreeMap;

/// What there is at one position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// Nothing begins here.
    Clear,
    /// A finding of so many bytes begins here.
    Found {
        /// The detector's name.
        detector: &'static str,
        /// What the settings say to do.
        action: Action,
        /// Length, in bytes; at least 1.
        length: usize,
    },
    /// What begins here may grow into a finding. Never said of more than [`LONGEST`] bytes, or the longest control token.
    NeedsMore,
}

/// The measured settings, and the control tokens of the loaded model by their first byte.
#[derive(Clone, Debug)]
pub(crate) struct Detectors {
    pub(crate) settings: Settings,
    control_tokens: BTreeMap<u8, Vec<String>>,
}

impl Detectors {
    pub(crate) fn new(settings: Settings, control_tokens: impl IntoIterator<Item = String>) -> Self {
        let mut by_first: BTreeMap<u8, Vec<String>> = BTreeMap::new();
        for token in control_tokens {
            if let Some(&first) = token.as_bytes().first() {
                by_first.entry(first).or_default().push(token);
            }
        }
        Detectors { settings, control_tokens: by_first }
    }

    /// Looks at the beginning of `rest`. `more` says whether text may follow it.
    pub(crate) fn look(&self, rest: &str, stage: Stage, more: bool) -> Look {
        let &Settings { hidden_characters, control_tokens, access_keys, .. } = &self.settings;
        let looks = [
            hidden_character(rest, hidden_characters),
            self.control_token(rest, control_tokens, more),
            // A private key blocks whatever the settings say: its body follows in text that is not looked at yet.
            if stage == Stage::Output { private_key(rest) } else { Look::Clear },
            if stage == Stage::Output { access_key(rest, access_keys) } else { Look::Clear },
        ];
        // The first detector that does not say "clear" decides, so that more text cannot change the outcome.
        let decides = |look: &Look| *look != Look::Clear && (more || *look != Look::NeedsMore);
        looks.into_iter().find(decides).unwrap_or(Look::Clear)
    }

    fn control_token(&self, rest: &str, action: Action, more: bool) -> Look {
        let first = rest.as_bytes().first();
        let candidates =
            first.and_then(|first| self.control_tokens.get(first)).map_or(&[][..], Vec::as_slice);
        let longer = |token: &String| token.len() > rest.len() && token.starts_with(rest);
        if more && candidates.iter().any(longer) {
            return Look::NeedsMore;
        }
        match candidates.iter().filter(|token| rest.starts_with(token.as_str())).map(String::len).max() {
            Some(length) => Look::Found { detector: "control_tokens", action, length },
            None => Look::Clear,
        }
    }
}

/// Characters that a reader does not see and a tokenizer does: Unicode tags (E0000 to E007F, "ASCII smuggling"),
/// bidirectional controls (UAX #9; CVE-2021-42574), zero-width and other invisible format characters, C0 and C1
/// controls but for tab, line feed and carriage return. U+200C and U+200D stay: scripts and emoji need them.
fn hidden_character(rest: &str, action: Action) -> Look {
    let hidden = |c: &char| {
        matches!(c,
            '\u{0}'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{7f}'..='\u{9f}'
            | '\u{ad}' | '\u{200b}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
    };
    match rest.chars().next().filter(hidden) {
        Some(c) => Look::Found { detector: "hidden_characters", action, length: c.len_utf8() },
        None => Look::Clear,
    }
}

const PEM_HEAD: &str = "-----BEGIN ";
/// Labels of private keys end so (RFC 7468, sections 10 and 11; the PKCS#1 and SEC1 labels, too).
const PEM_KEY: &str = "PRIVATE KEY-----";
/// Longest header line that is waited for, in bytes. RFC 7468 names no label above 40 characters.
pub(crate) const LONGEST: usize = 80;

fn private_key(rest: &str) -> Look {
    if !rest.starts_with(PEM_HEAD) {
        return if PEM_HEAD.starts_with(rest) { Look::NeedsMore } else { Look::Clear };
    }
    let line = rest.lines().next().unwrap_or_default();
    let ended = line.len() < rest.len() || line.len() >= LONGEST;
    match line.find(PEM_KEY).filter(|&at| at + PEM_KEY.len() <= LONGEST) {
        Some(at) => {
            Look::Found { detector: "private_keys", action: Action::Block, length: at + PEM_KEY.len() }
        }
        None if ended => Look::Clear,
        None => Look::NeedsMore,
    }
}

/// AWS access key IDs: one of these prefixes, then 16 of A-Z and 2-7 (AWS IAM user guide, "unique identifiers").
const AWS_PREFIXES: [&str; 2] = ["AKIA", "ASIA"];
const AWS_TAIL: usize = 16;

fn access_key(rest: &str, action: Action) -> Look {
    for prefix in AWS_PREFIXES {
        if let Some(tail) = rest.strip_prefix(prefix) {
            let run =
                tail.bytes().take_while(|b| matches!(b, b'A'..=b'Z' | b'2'..=b'7')).take(AWS_TAIL).count();
            return match run {
                AWS_TAIL => Look::Found { detector: "access_keys", action, length: prefix.len() + AWS_TAIL },
                _ if run == tail.len() => Look::NeedsMore,
                _ => Look::Clear,
            };
        }
        if prefix.starts_with(rest) {
            return Look::NeedsMore;
        }
    }
    Look::Clear
}

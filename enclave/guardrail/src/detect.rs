//! The detectors: hidden characters, control tokens, private keys, access keys.

use crate::settings::{Action, Settings};
use crate::text::{Message, Prompt, Screened, Text};
use crate::verdict::{Finding, Refused, Stage, Verdict};
use std::ops::Range;

/// The measured settings together with the control tokens of the loaded model.
#[derive(Clone, Debug)]
pub struct Guardrail {
    settings: Settings,
    control_tokens: Vec<String>,
}

impl Guardrail {
    /// A guardrail for one model. `control_tokens` are the texts of the tokenizer's control tokens,
    /// such as `<|im_start|>`; empty strings among them are left out.
    pub fn new(settings: Settings, control_tokens: impl IntoIterator<Item = String>) -> Self {
        let mut control_tokens: Vec<String> = control_tokens.into_iter().filter(|t| !t.is_empty()).collect();
        // Longest first, so that a token which contains another is found whole.
        control_tokens.sort_by_key(|t| std::cmp::Reverse(t.len()));
        Guardrail { settings, control_tokens }
    }

    /// The input screen: the one maker of [`Screened<Prompt>`].
    ///
    /// # Errors
    /// [`Refused`] if the prompt is empty, over a limit, or blocked.
    pub fn screen(&self, prompt: Prompt) -> Result<(Screened<Prompt>, Verdict), Refused> {
        self.check_size(&prompt)?;
        let mut verdict = Verdict { stage: Stage::Input, findings: Vec::new() };
        let messages = prompt
            .messages
            .into_iter()
            .map(|m| Message { role: m.role, content: self.pass(m.content, Stage::Input, &mut verdict) })
            .collect();
        if verdict.blocks() {
            return Err(Refused::Blocked(verdict));
        }
        Ok((Screened::proven(Prompt { messages }), verdict))
    }

    fn check_size(&self, prompt: &Prompt) -> Result<(), Refused> {
        let Settings { max_prompt_bytes, max_messages, .. } = self.settings;
        if prompt.messages.is_empty() {
            return Err(Refused::Empty);
        }
        if prompt.messages.len() > max_messages {
            return Err(Refused::TooMany { limit: max_messages });
        }
        let bytes = prompt.messages.iter().fold(0usize, |n, m| n.saturating_add(m.content.expose().len()));
        if bytes > max_prompt_bytes {
            return Err(Refused::TooLong { limit: max_prompt_bytes });
        }
        Ok(())
    }

    /// Runs every detector of a stage over `text`, notes what they find, and returns the text without
    /// the redacted spans. Redaction can bring two halves of a token together, so it repeats until clean;
    /// each round removes at least one character, so it ends.
    pub(crate) fn pass(&self, text: Text, stage: Stage, verdict: &mut Verdict) -> Text {
        let mut text = text;
        loop {
            let before = text.expose().len();
            for (name, action, spans) in self.find(text.expose(), stage) {
                note(verdict, name, action, spans.len());
                if action == Action::Redact {
                    text = without(text.expose(), &spans);
                    break;
                }
            }
            if text.expose().len() == before {
                return text;
            }
        }
    }

    /// The findings of a stage in `text`: detector, action, spans in bytes. Detectors without a finding are left out.
    pub(crate) fn find(&self, text: &str, stage: Stage) -> Vec<(&'static str, Action, Vec<Range<usize>>)> {
        let mut found = vec![
            ("hidden_characters", self.settings.hidden_characters, hidden_characters(text)),
            ("control_tokens", self.settings.control_tokens, self.find_control_tokens(text)),
        ];
        if stage == Stage::Output {
            // A private key blocks whatever the settings say: its body follows in later pieces, so that a
            // redacted header would still let the key out.
            found.push(("private_keys", Action::Block, private_keys(text)));
            found.push(("access_keys", self.settings.access_keys, access_keys(text)));
        }
        found.retain(|(_, _, spans)| !spans.is_empty());
        found
    }

    fn find_control_tokens(&self, text: &str) -> Vec<Range<usize>> {
        let mut spans: Vec<Range<usize>> = Vec::new();
        for token in &self.control_tokens {
            for (start, _) in text.match_indices(token.as_str()) {
                let span = start..start + token.len();
                if !spans.iter().any(|s| s.start < span.end && span.start < s.end) {
                    spans.push(span);
                }
            }
        }
        spans.sort_by_key(|s| s.start);
        spans
    }

    /// Bytes at the end of `text` that may be the start of a finding, so must not leave yet.
    pub(crate) fn undecided_tail(&self, text: &str) -> usize {
        let tokens = self.control_tokens.iter().map(|t| prefix_at_end(text, t)).max().unwrap_or(0);
        tokens.max(credential_tail(text))
    }
}

fn note(verdict: &mut Verdict, detector: &'static str, action: Action, spans: usize) {
    let spans = u32::try_from(spans).unwrap_or(u32::MAX);
    match verdict.findings.iter_mut().find(|f| f.detector == detector) {
        Some(finding) => finding.spans = finding.spans.saturating_add(spans),
        None => verdict.findings.push(Finding { detector, spans, action }),
    }
}

/// `text` without `spans`, which are sorted and do not overlap.
fn without(text: &str, spans: &[Range<usize>]) -> Text {
    let mut kept = String::with_capacity(text.len());
    let mut from = 0;
    for span in spans {
        kept.push_str(text.get(from..span.start).unwrap_or_default());
        from = span.end;
    }
    kept.push_str(text.get(from..).unwrap_or_default());
    Text::from(kept)
}

/// Characters that a reader does not see and a tokenizer does: Unicode tags (E0000 to E007F, "ASCII smuggling"),
/// bidirectional controls (UAX #9; CVE-2021-42574), zero-width and other invisible format characters, C0 and C1
/// controls but for tab, line feed and carriage return. U+200C and U+200D stay: scripts and emoji need them.
fn hidden_characters(text: &str) -> Vec<Range<usize>> {
    let hidden = |c: char| {
        matches!(c,
            '\u{0}'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{7f}'..='\u{9f}'
            | '\u{ad}' | '\u{200b}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
    };
    text.char_indices().filter(|&(_, c)| hidden(c)).map(|(i, c)| i..i + c.len_utf8()).collect()
}

const PEM_HEAD: &str = "-----BEGIN ";
/// RFC 7468 labels of private keys end so.
const PEM_KEY: &str = "PRIVATE KEY-----";
/// Longest PEM label line that is waited for. RFC 7468 names none above 40 characters.
const PEM_LINE: usize = 64;
/// AWS access key IDs: these four letters, then 16 of A-Z and 2-7 (AWS IAM, "unique identifiers").
const AWS_PREFIXES: [&str; 2] = ["AKIA", "ASIA"];
const AWS_TAIL: usize = 16;

/// Header lines of PEM private keys (RFC 7468, section 10 and 11; PKCS#1 and SEC1 labels too).
fn private_keys(text: &str) -> Vec<Range<usize>> {
    let headers = text.match_indices(PEM_HEAD).filter(|&(i, _)| is_private_key(text, i));
    headers.map(|(i, _)| i..i + PEM_HEAD.len()).collect()
}

/// AWS access key IDs.
fn access_keys(text: &str) -> Vec<Range<usize>> {
    let mut spans = Vec::new();
    for prefix in AWS_PREFIXES {
        for (start, _) in text.match_indices(prefix) {
            let tail = text.get(start + prefix.len()..).unwrap_or_default();
            let end = start + prefix.len() + AWS_TAIL;
            if aws_run(tail) >= AWS_TAIL && spans.last().is_none_or(|s: &Range<usize>| s.end <= start) {
                spans.push(start..end);
            }
        }
    }
    spans.sort_by_key(|s| s.start);
    spans.dedup_by(|next, kept| next.start < kept.end);
    spans
}

fn aws_run(tail: &str) -> usize {
    tail.bytes().take_while(|b| matches!(b, b'A'..=b'Z' | b'2'..=b'7')).take(AWS_TAIL).count()
}

fn is_private_key(text: &str, start: usize) -> bool {
    let line = text.get(start..).unwrap_or_default().lines().next().unwrap_or_default();
    line.contains(PEM_KEY) && line.find(PEM_KEY).is_some_and(|i| i < PEM_LINE)
}

/// How much of the end of `text` may still grow into a credential.
fn credential_tail(text: &str) -> usize {
    let aws = AWS_PREFIXES.iter().map(|p| {
        let open = text.rfind(p).filter(|&i| {
            let tail = text.get(i + p.len()..).unwrap_or_default();
            tail.len() < AWS_TAIL && aws_run(tail) == tail.len()
        });
        open.map_or_else(|| prefix_at_end(text, p), |i| text.len() - i)
    });
    let pem = text.rfind(PEM_HEAD).filter(|&i| {
        let line = text.get(i..).unwrap_or_default();
        !line.contains('\n') && line.len() < PEM_LINE + PEM_KEY.len()
    });
    let pem = pem.map_or_else(|| prefix_at_end(text, PEM_HEAD), |i| text.len() - i);
    aws.max().unwrap_or(0).max(pem)
}

/// Length of the longest proper prefix of `token` that `text` ends with.
fn prefix_at_end(text: &str, token: &str) -> usize {
    token
        .char_indices()
        .map(|(i, _)| i)
        .rev()
        .find(|&n| n > 0 && token.get(..n).is_some_and(|head| text.ends_with(head)))
        .unwrap_or(0)
}

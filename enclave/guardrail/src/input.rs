//! The input screen: the one maker of [`Screened`].

use crate::detect::{Detectors, Look};
use crate::settings::{Action, Settings};
use crate::text::{Message, Prompt, Screened, Text};
use crate::verdict::{Finding, Refused, Stage, Verdict};

/// How often a text is screened again because taking something out has joined the ends into something new. Nobody
/// nests a third time by accident; a text that does is blocked, which also bounds the work.
pub(crate) const ROUNDS: usize = 3;

/// The measured settings together with the control tokens of the loaded model.
#[derive(Clone, Debug)]
pub struct Guardrail {
    pub(crate) detectors: Detectors,
}

impl Guardrail {
    /// A guardrail for one model. `control_tokens` are the texts of the tokenizer's control tokens,
    /// such as `<|im_start|>`; empty strings among them are left out.
    pub fn new(settings: Settings, control_tokens: impl IntoIterator<Item = String>) -> Self {
        Guardrail { detectors: Detectors::new(settings, control_tokens) }
    }

    /// Screens a prompt.
    ///
    /// # Errors
    /// [`Refused`] if the prompt is empty, over a limit, or blocked.
    pub fn screen(&self, prompt: Prompt) -> Result<(Screened<Prompt>, Verdict), Refused> {
        self.check_size(&prompt)?;
        let mut verdict = Verdict { stage: Stage::Input, findings: Vec::new() };
        let messages = prompt
            .messages
            .into_iter()
            .map(|m| {
                let cleaned = self.clean(m.content, &mut verdict);
                Message { role: m.role, content: self.judge(m.role, cleaned, &mut verdict) }
            })
            .collect();
        if verdict.blocks() {
            return Err(Refused::Blocked(verdict));
        }
        Ok((Screened::proven(Prompt { messages }), verdict))
    }

    fn check_size(&self, prompt: &Prompt) -> Result<(), Refused> {
        let &Settings { max_prompt_bytes, max_messages, .. } = &self.detectors.settings;
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

    /// The text without what was found in it, in as many rounds as it takes.
    fn clean(&self, mut text: Text, verdict: &mut Verdict) -> Text {
        for _ in 0..ROUNDS {
            let before = text.expose().len();
            text = self.round(text.expose(), verdict);
            if text.expose().len() == before || verdict.blocks() {
                return text;
            }
        }
        verdict.note("nested_findings", Action::Block);
        text
    }

    fn round(&self, text: &str, verdict: &mut Verdict) -> Text {
        let (mut kept, mut rest) = (String::with_capacity(text.len()), text);
        while let Some(c) = rest.chars().next() {
            let step = match self.detectors.look(rest, Stage::Input, false) {
                Look::Found { detector, action, length } => {
                    verdict.note(detector, action);
                    length
                }
                Look::Clear | Look::NeedsMore => {
                    kept.push(c);
                    c.len_utf8()
                }
            };
            rest = rest.get(step..).unwrap_or_default();
        }
        Text::from(kept)
    }
}

impl Verdict {
    /// Counts one finding.
    pub(crate) fn note(&mut self, detector: &'static str, action: Action) {
        match self.findings.iter_mut().find(|f| f.detector == detector) {
            Some(finding) => finding.spans = finding.spans.saturating_add(1),
            None => self.findings.push(Finding { detector, spans: 1, action }),
        }
    }
}

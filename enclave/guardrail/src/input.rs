//! The input screen: the one maker of [`Screened`].

use crate::detect::{Detectors, Look};
use crate::meaning::{Encoder, Reader};
use crate::personal::Restore;
use crate::protected::{Documents, Instructions, Watch};
use crate::sections::Sections;
use crate::settings::{Action, EncoderUse, Guarded, Settings, SettingsError};
use crate::text::{Message, Prompt, Role, Screened, Text};
use crate::topics::Known;
use crate::verdict::{Finding, Refused, Stage, Verdict};
use adyton_fingerprint::Protected;
use std::sync::Arc;

/// How often a text is screened again because taking something out has joined the ends into something new. Nobody
/// nests a third time by accident; a text that does is blocked, which also bounds the work.
pub(crate) const ROUNDS: usize = 3;

/// The measured settings together with the control tokens of the loaded model.
#[derive(Clone, Debug)]
pub struct Guardrail {
    pub(crate) detectors: Detectors,
    pub(crate) senses: Option<Arc<Senses>>,
}

/// What there is beside n-grams.
#[derive(Debug)]
pub(crate) struct Senses {
    pub(crate) reader: Reader,
    pub(crate) topics: Vec<Known>,
}

impl Senses {
    /// An encoder that the heads know, with the topics of the settings.
    fn of(encoder: Arc<dyn Encoder>, sections: &Sections) -> Option<Arc<Senses>> {
        let reader = Reader::of(encoder)?;
        let topics = Known::all(sections.topics(), &reader).ok()?;
        Some(Arc::new(Senses { reader, topics }))
    }
}

/// The guardrails of all sections, by number.
#[derive(Clone, Debug)]
pub struct Guardrails {
    all: Vec<Guardrail>,
    documents: Arc<Documents>,
}

impl Guardrails {
    /// For one model, whose control tokens are named as in [`Guardrail::new`], and with an encoder, if there is one.
    ///
    /// # Errors
    /// [`SettingsError::NoEncoder`] if a section asks for what only the encoder can tell, and there is none or another one.
    pub fn new(
        sections: Sections,
        list: &Protected,
        control_tokens: impl IntoIterator<Item = String>,
        encoder: Option<Arc<dyn Encoder>>,
    ) -> Result<Guardrails, SettingsError> {
        let tokens: Vec<String> = control_tokens.into_iter().collect();
        let senses = encoder.and_then(|encoder| Senses::of(encoder, &sections));
        let one = |settings: Settings| {
            if senses.is_none() && settings.encoder == EncoderUse::Required {
                return Err(SettingsError::NoEncoder("it is required"));
            }
            if senses.is_none() && settings.input.needs_encoder() {
                return Err(SettingsError::NoEncoder("orders in data, topics, or inappropriate texts"));
            }
            Ok(Guardrail { senses: senses.clone(), ..Guardrail::new(settings, tokens.iter().cloned()) })
        };
        let all = sections.into_all().into_iter().map(one).collect::<Result<_, _>>()?;
        Ok(Guardrails { all, documents: Arc::new(Documents::of(list)) })
    }

    /// The one of a section; `None` if there is no such section, and then nothing may pass.
    pub fn section(&self, number: u16) -> Option<&Guardrail> {
        self.all.get(usize::from(number))
    }

    /// What looks for protected material in one answer; `None` if there is no such section.
    pub fn watch(&self, number: u16, instructions: &Arc<Instructions>) -> Option<Watch> {
        let output = &self.section(number)?.detectors.settings.output;
        let documents = (output.protected == Guarded::Block).then(|| Arc::clone(&self.documents));
        let instructions = (output.instructions == Guarded::Block).then(|| Arc::clone(instructions));
        Some(Watch::new(documents, instructions))
    }
}

impl Guardrail {
    /// A guardrail for one model, without an encoder: what only that can tell blocks. `control_tokens` are the texts of the tokenizer's control tokens,
    /// such as `<|im_start|>`; empty strings among them are left out.
    pub fn new(settings: Settings, control_tokens: impl IntoIterator<Item = String>) -> Self {
        Guardrail { detectors: Detectors::new(settings, control_tokens), senses: None }
    }

    /// Screens a prompt. What would have to wait for persons is refused here; [`Guardrail::examine`] lets it wait.
    ///
    /// # Errors
    /// [`Refused`] if the prompt is empty, over a limit, or blocked.
    pub fn screen(&self, prompt: Prompt) -> Result<(Screened<Prompt>, Verdict), Refused> {
        match self.examine(prompt, &[])? {
            Examined::Clear(passed) => Ok((passed.prompt, passed.verdict)),
            Examined::Held(held) => Err(Refused::Blocked(held.passed.verdict)),
        }
    }

    /// Screens a prompt, and what else of the request reaches the engine (`beside`: stop strings, schemas). That has a form that must stay as
    /// it is, so nothing is cut out of it: what would be redacted there blocks.
    ///
    /// # Errors
    /// As [`Guardrail::screen`].
    pub fn examine(&self, prompt: Prompt, beside: &[Text]) -> Result<Examined, Refused> {
        self.check_size(&prompt, beside)?;
        let mut verdict = Verdict { stage: Stage::Input, findings: Vec::new(), score: 0 };
        let (mut roles, mut texts) = (Vec::new(), Vec::new());
        for message in prompt.messages {
            let cleaned = self.clean(message.content, &mut verdict);
            self.judge(message.role, &cleaned, &mut verdict);
            roles.push(message.role);
            texts.push(cleaned);
        }
        let restore = self.without_findings(&mut texts, &mut verdict);
        self.examine_beside(beside, &mut verdict);
        if verdict.blocks() {
            return Err(Refused::Blocked(verdict));
        }
        let message = |(role, content): (Role, Text)| Message { role, content };
        let messages = roles.into_iter().zip(texts).map(message).collect();
        let held = verdict.holds();
        let passed = Passed { prompt: Screened::proven(Prompt { messages }), verdict, restore };
        Ok(if held { Examined::Held(Held { passed }) } else { Examined::Clear(passed) })
    }

    fn examine_beside(&self, beside: &[Text], verdict: &mut Verdict) {
        let mut own = Verdict { stage: Stage::Input, findings: Vec::new(), score: 0 };
        let mut texts: Vec<Text> = Vec::with_capacity(beside.len());
        for text in beside {
            let cleaned = self.clean(text.clone(), &mut own);
            self.judge(Role::User, &cleaned, &mut own);
            texts.push(cleaned);
        }
        // What it puts back is never used: where there is anything to put back, the request is blocked.
        let _ = self.without_findings(&mut texts, &mut own);
        verdict.score = verdict.score.max(own.score);
        for finding in own.findings {
            let action = if finding.action == Action::Hold { Action::Hold } else { Action::Block };
            verdict.note(finding.detector, action);
        }
    }

    fn check_size(&self, prompt: &Prompt, beside: &[Text]) -> Result<(), Refused> {
        let &Settings { max_prompt_bytes, max_messages, .. } = &self.detectors.settings;
        if prompt.messages.is_empty() {
            return Err(Refused::Empty);
        }
        if prompt.messages.len() > max_messages {
            return Err(Refused::TooMany { limit: max_messages });
        }
        let texts = prompt.messages.iter().map(|m| &m.content).chain(beside);
        let bytes = texts.fold(0usize, |n, text| n.saturating_add(text.expose().len()));
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

/// A prompt that passed.
#[derive(Debug)]
pub struct Passed {
    /// The proof.
    pub prompt: Screened<Prompt>,
    /// What was found.
    pub verdict: Verdict,
    /// What puts masked values back into the answer.
    pub restore: Restore,
}

/// What came of screening.
#[derive(Debug)]
pub enum Examined {
    /// It may be answered.
    Clear(Passed),
    /// It may once persons have approved.
    Held(Held),
}

/// A prompt that waits for persons.
#[derive(Debug)]
pub struct Held {
    passed: Passed,
}

impl Held {
    /// The detectors whose findings wait, each once.
    pub fn detectors(&self) -> Vec<&'static str> {
        self.passed.verdict.held()
    }

    /// What was found.
    pub fn verdict(&self) -> &Verdict {
        &self.passed.verdict
    }

    /// Persons have approved: whoever calls this has a grant that says so.
    pub fn lift(self) -> Passed {
        self.passed
    }
}

impl Verdict {
    /// Counts one finding.
    pub(crate) fn note(&mut self, detector: &'static str, action: Action) {
        match self.findings.iter_mut().find(|f| f.detector == detector && f.action == action) {
            Some(finding) => finding.spans = finding.spans.saturating_add(1),
            None => self.findings.push(Finding { detector, spans: 1, action }),
        }
    }
}

//! The output screen: holds back what may still become a finding, releases the rest.
//!
//! What leaves does not depend on how the model's text was cut into pieces, and what is held back is never longer than the
//! longest finding of one position, the longest token ([`TOKEN`]) or, where personal data is looked for, the longest stretch
//! of words ([`STRETCH`]).
//!
//! [`TOKEN`]: crate::secrets
//! [`STRETCH`]: crate::personal

use crate::detect::Look;
use crate::input::Guardrail;
use crate::personal::{self, Placeholder, Restore};
use crate::secrets::{HOT, Sight, Watch};
use crate::settings::{Action, Handling};
use crate::text::Text;
use crate::verdict::{Stage, Verdict};

/// Stands where something was taken out. It also keeps what was before it and what comes after from joining into
/// something new after the first half has left.
const REDACTED: &str = "[redacted]";

/// Having a `Released` tells you that the output detectors let this text go. Only it may be written to a client.
///
/// ```compile_fail,E0451
/// let forged = adyton_guardrail::Released { text: "secret".into() };
/// ```
#[derive(Debug)]
pub struct Released {
    text: Text,
}

impl Released {
    /// The released text.
    pub fn expose(&self) -> &str {
        self.text.expose()
    }

    /// True if there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.expose().is_empty()
    }

    /// Nothing, which may always be written.
    pub fn nothing() -> Released {
        Released { text: Text::from("") }
    }

    /// This, and what was released after it.
    #[must_use]
    pub fn and(self, next: &Released) -> Released {
        Released { text: Text::from([self.expose(), next.expose()].concat()) }
    }

    /// A part of what was released is released. Empty if `range` is outside, or cuts a character.
    pub fn part(&self, range: std::ops::Range<usize>) -> Released {
        Released { text: Text::from(self.expose().get(range).unwrap_or_default()) }
    }
}

/// What came of pushing text into the screen.
#[derive(Debug)]
pub enum Output {
    /// This much is clear; it may be empty while a tail is undecided.
    Clear(Released),
    /// A detector blocks: nothing more of this answer leaves.
    Blocked,
}

/// Screens one answer, piece by piece. A finding never leaves in part: the tail that may be the start of one
/// is held back until more text decides it.
#[derive(Debug)]
pub struct OutputScreen {
    guardrail: Guardrail,
    held: Text,
    /// What left last, as the model said it: rules look back at it.
    past: Text,
    /// Bytes of the model's text that are decided.
    decided: usize,
    secrets: Watch,
    personal: personal::Watch,
    verdict: Verdict,
    restore: Restore,
    /// Let go, and perhaps the beginning of a placeholder.
    waiting: Text,
    restored: bool,
}

impl OutputScreen {
    /// A screen for one answer.
    pub fn new(guardrail: Guardrail) -> Self {
        OutputScreen::restoring(guardrail, Restore::default())
    }

    /// A screen for one answer to whoever sent the prompt: what was masked in it is put back, after the detectors have
    /// seen the answer. What is put back was his before.
    pub fn restoring(guardrail: Guardrail, restore: Restore) -> Self {
        OutputScreen {
            restore,
            waiting: Text::from(""),
            restored: false,
            guardrail,
            held: Text::from(""),
            past: Text::from(""),
            decided: 0,
            secrets: Watch::default(),
            personal: personal::Watch::default(),
            verdict: Verdict { stage: Stage::Output, findings: Vec::new(), score: 0 },
        }
    }

    /// Takes the next piece of the model's text.
    pub fn push(&mut self, piece: &str) -> Output {
        self.held = Text::from([self.held.expose(), piece].concat());
        self.release(true)
    }

    /// The end of the answer: what was held back is decided now.
    pub fn finish(&mut self) -> Output {
        self.release(false)
    }

    /// What the screen found so far.
    pub fn verdict(&self) -> &Verdict {
        &self.verdict
    }

    /// Whether all that left is as the model said it.
    pub fn is_unchanged(&self) -> bool {
        self.verdict.findings.is_empty() && !self.restored
    }

    /// Puts masked values back. What may still become a placeholder waits.
    fn put_back(&mut self, clear: String, more: bool) -> Text {
        if self.restore.is_empty() {
            return Text::from(clear);
        }
        let whole = Text::from([self.waiting.expose(), &clear].concat());
        let (mut text, mut rest) = (String::with_capacity(whole.expose().len()), whole.expose());
        while let Some(c) = rest.chars().next() {
            let step = match self.restore.at(rest, more) {
                Placeholder::NeedsMore => break,
                Placeholder::None => {
                    text.push(c);
                    c.len_utf8()
                }
                Placeholder::For(length, value) => {
                    text.push_str(value.expose());
                    self.restored = true;
                    length
                }
            };
            rest = rest.get(step..).unwrap_or_default();
        }
        self.waiting = Text::from(rest);
        Text::from(text)
    }

    fn release(&mut self, more_to_come: bool) -> Output {
        let text = std::mem::replace(&mut self.held, Text::from(""));
        let past = std::mem::replace(&mut self.past, Text::from(""));
        // One text for looking back and ahead; `at` is where the undecided part begins.
        let (whole, mut at) = (Text::from([past.expose(), text.expose()].concat()), past.expose().len());
        let mut clear = String::with_capacity(text.expose().len());
        while let Some(c) = whole.expose().get(at..).and_then(|rest| rest.chars().next()) {
            let step = match self.look(whole.expose(), at, more_to_come) {
                Look::NeedsMore => break,
                Look::Clear => {
                    clear.push(c);
                    c.len_utf8()
                }
                Look::Found { detector, action, length } => {
                    self.verdict.note(detector, action);
                    clear.push_str(REDACTED);
                    length
                }
            };
            at = at.saturating_add(step);
            self.decided = self.decided.saturating_add(step);
        }
        if self.verdict.blocks() {
            return Output::Blocked;
        }
        self.held = Text::from(whole.expose().get(at..).unwrap_or_default());
        self.past = Text::from(whole.expose().get(before(whole.expose(), at)..at).unwrap_or_default());
        Output::Clear(Released { text: self.put_back(clear, more_to_come) })
    }

    /// What there is at `at`: the detectors of single positions decide first.
    fn look(&mut self, whole: &str, at: usize, more: bool) -> Look {
        let rest = whole.get(at..).unwrap_or_default();
        let looked = self.guardrail.detectors.look(rest, Stage::Output, more);
        let looked = if looked == Look::Clear { self.secret(whole, at, more) } else { looked };
        if looked == Look::Clear { self.personal(whole, at, more) } else { looked }
    }

    fn secret(&mut self, whole: &str, at: usize, more: bool) -> Look {
        let Some(action) = self.guardrail.detectors.settings.output.secrets.action() else {
            return Look::Clear;
        };
        let (past, rest) = around(whole, at);
        match self.secrets.look(self.decided, past, rest, more) {
            Sight::Clear => Look::Clear,
            Sight::NeedsMore => Look::NeedsMore,
            Sight::Found(length) => Look::Found { detector: "secrets", action, length },
        }
    }

    fn personal(&mut self, whole: &str, at: usize, more: bool) -> Look {
        let kinds = &self.guardrail.detectors.settings.output.personal_data;
        if !kinds.any() {
            return Look::Clear;
        }
        let (past, rest) = around(whole, at);
        let wanted = |kind: &'static str| kinds.of(kind) != Handling::Pass;
        match self.personal.look(self.decided, past, rest, more, wanted) {
            (Sight::Clear, _) => Look::Clear,
            (Sight::NeedsMore, _) => Look::NeedsMore,
            (Sight::Found(length), kind) => {
                let action = kinds.of(kind).action().unwrap_or(Action::Block);
                Look::Found { detector: "personal_data", action, length }
            }
        }
    }
}

/// What came before, as far as rules look back, and what comes.
fn around(whole: &str, at: usize) -> (&str, &str) {
    let past = whole.get(before(whole, at)..at).unwrap_or_default();
    (past, whole.get(at..).unwrap_or_default())
}

/// Where the past begins that rules may look back at.
fn before(whole: &str, at: usize) -> usize {
    whole.ceil_char_boundary(at.saturating_sub(HOT))
}

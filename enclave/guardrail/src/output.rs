//! The output screen: holds back what may still become a finding, releases the rest.

use crate::detect::Guardrail;
use crate::text::Text;
use crate::verdict::{Stage, Verdict};

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
    held: String,
    verdict: Verdict,
}

impl OutputScreen {
    /// A screen for one answer.
    pub fn new(guardrail: Guardrail) -> Self {
        OutputScreen {
            guardrail,
            held: String::new(),
            verdict: Verdict { stage: Stage::Output, findings: Vec::new() },
        }
    }

    /// Takes the next piece of the model's text.
    pub fn push(&mut self, piece: &str) -> Output {
        self.held.push_str(piece);
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

    fn release(&mut self, more_to_come: bool) -> Output {
        if self.verdict.blocks() {
            return Output::Blocked;
        }
        let text = Text::from(std::mem::take(&mut self.held));
        let text = self.guardrail.pass(text, Stage::Output, &mut self.verdict);
        if self.verdict.blocks() {
            return Output::Blocked;
        }
        let tail = if more_to_come { self.guardrail.undecided_tail(text.expose()) } else { 0 };
        let (clear, held) = text.expose().split_at(text.expose().len() - tail);
        self.held = held.to_owned();
        Output::Clear(Released { text: Text::from(clear) })
    }
}

//! The output screen: holds back what may still become a finding, releases the rest.
//!
//! What leaves does not depend on how the model's text was cut into pieces, and what is held back is never longer than
//! the longest finding.

use crate::detect::Look;
use crate::input::Guardrail;
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
    verdict: Verdict,
}

impl OutputScreen {
    /// A screen for one answer.
    pub fn new(guardrail: Guardrail) -> Self {
        OutputScreen {
            guardrail,
            held: Text::from(""),
            verdict: Verdict { stage: Stage::Output, findings: Vec::new() },
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

    fn release(&mut self, more_to_come: bool) -> Output {
        let text = std::mem::replace(&mut self.held, Text::from(""));
        let (mut clear, mut rest) = (String::with_capacity(text.expose().len()), text.expose());
        while let Some(c) = rest.chars().next() {
            let step = match self.guardrail.detectors.look(rest, Stage::Output, more_to_come) {
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
            rest = rest.get(step..).unwrap_or_default();
        }
        if self.verdict.blocks() {
            return Output::Blocked;
        }
        self.held = Text::from(rest);
        Output::Clear(Released { text: Text::from(clear) })
    }
}

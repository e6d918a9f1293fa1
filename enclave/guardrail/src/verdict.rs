//! Verdicts: what a detector found, at which stage, and what became of it. No verdict carries text.

use crate::settings::Action;
use thiserror::Error;

/// Where in the main path a detector looked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// What the client sent.
    Input,
    /// What the model said.
    Output,
}

/// One kind of finding and how often it occurred.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The detector's name, a fixed word.
    pub detector: &'static str,
    /// How many spans it found.
    pub spans: u32,
    /// What the settings said to do with it.
    pub action: Action,
}

/// The outcome of one stage. Goes into the receipt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The stage.
    pub stage: Stage,
    /// Everything found, in the detectors' order. Empty means pass.
    pub findings: Vec<Finding>,
    /// How near the text came to an attack, in percent: 50 is where it is taken for one.
    pub score: u8,
}

impl Verdict {
    /// True if some finding blocks.
    pub fn blocks(&self) -> bool {
        self.findings.iter().any(|f| f.action == Action::Block)
    }

    /// True if some finding waits for persons.
    pub fn holds(&self) -> bool {
        self.findings.iter().any(|f| f.action == Action::Hold)
    }

    /// The detectors whose findings wait for persons, each once.
    pub fn held(&self) -> Vec<&'static str> {
        self.findings.iter().filter(|f| f.action == Action::Hold).map(|f| f.detector).collect()
    }

    /// One word for the receipt: `pass`, `redact`, `hold` (persons approved it) or `block`.
    pub fn word(&self) -> &'static str {
        match (self.blocks(), self.holds(), self.findings.is_empty()) {
            (true, _, _) => "block",
            (false, true, _) => "hold",
            (false, false, false) => "redact",
            (false, false, true) => "pass",
        }
    }
}

/// Why a prompt was not screened through. Fixed words only: no prompt text.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Refused {
    /// A prompt without messages.
    #[error("a prompt needs at least one message")]
    Empty,
    /// Over the settings' limit.
    #[error("the prompt is larger than {limit} bytes")]
    TooLong {
        /// The limit, in bytes.
        limit: usize,
    },
    /// Over the settings' limit.
    #[error("the prompt has more than {limit} messages")]
    TooMany {
        /// The limit.
        limit: usize,
    },
    /// A detector whose action is block found something.
    #[error("the guardrail blocked the prompt")]
    Blocked(Verdict),
}

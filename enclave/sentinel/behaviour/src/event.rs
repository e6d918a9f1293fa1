//! What the sentinel sees of one request, without a word of it.
//!
//! # Does not
//! - Hold text. A digest here is any 64 bits that stand for a name within this boot (keyed, so that a dump
//!   of memory does not tell which collection was read).

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The list of models.
    ListModels,
    /// Text.
    Generate,
    /// Passages.
    Retrieve,
    /// A tool.
    CallTool,
}

/// What was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was permitted.
    Permitted,
    /// It was denied, by policy or for a token that was none.
    Denied,
}

/// One request. What is not known, or not yet, is `None` and counts as usual.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Milliseconds since 1970, by the sentinel's clock.
    pub at_ms: u64,
    /// The principal's pseudonym.
    pub principal: [u8; 32],
    /// Stands for the session (one attested connection).
    pub session: u64,
    /// Digest of the declared purpose.
    pub purpose: u64,
    /// What was asked for.
    pub action: Action,
    /// What was decided.
    pub outcome: Outcome,
    /// Size of the prompt.
    pub prompt_bytes: Option<u32>,
    /// Most tokens asked for.
    pub max_tokens: Option<u32>,
    /// Size of the answer.
    pub response_bytes: Option<u32>,
    /// From the grant to the receipt.
    pub duration_ms: Option<u32>,
    /// Verdicts of the guardrail other than pass.
    pub findings: Option<u8>,
    /// The guardrail's highest score, 0 to 1, where a detector gives one.
    pub guard_score: Option<f32>,
    /// True if the model refused.
    pub refused: Option<bool>,
    /// Digests of the collections that were searched.
    pub collections: Vec<u64>,
    /// Digests of the passages that were handed out.
    pub passages: Vec<u64>,
    /// Digest of the tool's name.
    pub tool: Option<u64>,
    /// Mean entropy of the answer's tokens, in nats.
    pub entropy: Option<f32>,
}

/// Most digests of one event that are looked at: bounds the time of one event. Above what one retrieval
/// hands out.
pub(crate) const MAX_TOUCHED: usize = 256;

impl Event {
    /// A permitted request of which nothing more is known yet.
    pub fn new(at_ms: u64, principal: [u8; 32], session: u64, purpose: u64, action: Action) -> Event {
        Event {
            at_ms,
            principal,
            session,
            purpose,
            action,
            outcome: Outcome::Permitted,
            prompt_bytes: None,
            max_tokens: None,
            response_bytes: None,
            duration_ms: None,
            findings: None,
            guard_score: None,
            refused: None,
            collections: Vec::new(),
            passages: Vec::new(),
            tool: None,
            entropy: None,
        }
    }

    /// The passages that are looked at.
    pub(crate) fn passages(&self) -> &[u64] {
        self.passages.get(..MAX_TOUCHED).unwrap_or(&self.passages)
    }

    /// The collections that are looked at.
    pub(crate) fn collections(&self) -> &[u64] {
        self.collections.get(..MAX_TOUCHED).unwrap_or(&self.collections)
    }

    /// Whether it was permitted.
    pub(crate) fn permitted(&self) -> bool {
        self.outcome == Outcome::Permitted
    }
}

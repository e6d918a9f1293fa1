//! The text types of the main path: private text, prompts, and the proof that a prompt was screened.

use std::fmt;
use zeroize::Zeroizing;

/// Text of a person or of the model. `Debug` prints its length; the bytes are wiped on drop.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Text(Zeroizing<String>);

impl Text {
    /// The text itself, for whoever processes it. Never hand it to a log, an error or a metric.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// By bytes, for tables.
impl Ord for Text {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.expose().cmp(other.expose())
    }
}

impl PartialOrd for Text {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Text(Zeroizing::new(text))
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Text::from(text.to_owned())
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Text({} bytes)", self.0.len())
    }
}

/// Who speaks in a chat message (the OpenAI chat roles that the API accepts).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Instructions of the application.
    System,
    /// The person or program that asks.
    User,
    /// An earlier answer, as the client repeats it.
    Assistant,
    /// Text that nobody vouches for: the result of a tool, a document. Templates see it as the user's.
    Data,
}

impl Role {
    /// The word that chat templates expect.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::System => "system",
            Role::User | Role::Data => "user",
            Role::Assistant => "assistant",
        }
    }
}

/// One chat message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said.
    pub content: Text,
}

/// A conversation, oldest message first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prompt {
    /// The messages, at least one.
    pub messages: Vec<Message>,
}

/// Having a `Screened<T>` tells you that every input detector of the measured guardrail passed `T`,
/// or that what they found was redacted from it. Made by [`crate::Guardrail`] alone.
#[derive(Debug)]
pub struct Screened<T>(T);

impl<T> Screened<T> {
    /// Only the detectors call this, at the end of a pass.
    pub(crate) fn proven(inner: T) -> Self {
        Screened(inner)
    }

    /// What was screened.
    pub fn get(&self) -> &T {
        &self.0
    }
}

//! Guardrail settings, as the measured policy pack holds them (`enclave/policy/guardrails.toml`).

use serde::Deserialize;
use thiserror::Error;

/// What to do with a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Refuse the text as a whole.
    Block,
    /// Take the finding out and go on.
    Redact,
}

/// The settings. Every field must be present: a forgotten line is an error, never a weaker default.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Longest prompt, in bytes of UTF-8 over all messages.
    pub max_prompt_bytes: usize,
    /// Most messages in a prompt.
    pub max_messages: usize,
    /// Characters that a reader does not see (Unicode tags, bidirectional overrides, zero-width, controls).
    pub hidden_characters: Action,
    /// The model's own control tokens, written out as text to forge a turn.
    pub control_tokens: Action,
    /// Cloud access key IDs in what the model says. (A private key always blocks.)
    pub access_keys: Action,
}

/// Why settings were refused.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum SettingsError {
    /// Not the TOML that [`Settings`] describes.
    #[error("guardrails.toml: {0}")]
    Syntax(String),
    /// A limit of zero would refuse everything.
    #[error("guardrails.toml: {0} must be more than zero")]
    Zero(&'static str),
}

impl Settings {
    /// Reads and checks settings.
    ///
    /// # Errors
    /// [`SettingsError`] if a key is missing, unknown or out of range.
    pub fn parse(toml: &str) -> Result<Settings, SettingsError> {
        let settings: Settings =
            toml::from_str(toml).map_err(|error| SettingsError::Syntax(placed(toml, &error)))?;
        if settings.max_prompt_bytes == 0 {
            return Err(SettingsError::Zero("max_prompt_bytes"));
        }
        if settings.max_messages == 0 {
            return Err(SettingsError::Zero("max_messages"));
        }
        Ok(settings)
    }
}

/// What is wrong, and in which line. Some messages quote what they were given; so much of them is enough.
fn placed(toml: &str, error: &toml::de::Error) -> String {
    let before = error.span().and_then(|span| toml.get(..span.start)).unwrap_or_default();
    let reason: String = error.message().chars().take(240).collect();
    format!("line {}: {reason}", before.matches('\n').count() + 1)
}

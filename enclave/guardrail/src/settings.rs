//! Guardrail settings, as the measured policy pack holds them (`enclave/policy/guardrails.toml`).

use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt;
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

impl Action {
    fn word(self) -> &'static str {
        match self {
            Action::Block => "block",
            Action::Redact => "redact",
        }
    }
}

/// What to do with what a detector of meaning finds. What is passed is not looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Handling {
    /// Let it through, and say nothing of it.
    Pass,
    /// Take it out and go on.
    Redact,
    /// Refuse the text as a whole.
    Block,
}

impl Handling {
    fn word(self) -> &'static str {
        self.action().map_or("pass", Action::word)
    }

    /// What to do with a finding; `None` if nothing is looked for.
    pub fn action(self) -> Option<Action> {
        match self {
            Handling::Pass => None,
            Handling::Redact => Some(Action::Redact),
            Handling::Block => Some(Action::Block),
        }
    }
}

/// What to do with an attack, which cannot be let through in part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttackHandling {
    /// Let it through, and do not look.
    Pass,
    /// Refuse what is an attack: one harmless text in a hundred of kinds that nothing was learned from is wrongly refused.
    Block,
    /// Refuse what is suspected: one harmless text in a hundred of kinds that were learned from is wrongly refused, and
    /// more of others. For text that nobody is waiting for.
    BlockSuspected,
}

impl AttackHandling {
    fn word(self) -> &'static str {
        match self {
            AttackHandling::Pass => "pass",
            AttackHandling::Block => "block",
            AttackHandling::BlockSuspected => "block_suspected",
        }
    }
}

/// What is looked for at one stage.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StageSettings {
    /// Keys, tokens and passwords.
    pub secrets: Handling,
    /// Personal data, by kind.
    pub personal_data: Kinds,
}

/// What is looked for in what clients send.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputSettings {
    /// Keys, tokens and passwords.
    pub secrets: Handling,
    /// Personal data, by kind.
    pub personal_data: Kinds,
    /// Prompt injection and jailbreaks, in all messages but those of the application.
    pub injection: AttackHandling,
    /// Languages that are served (ISO 639-1). A message that is certainly in another one is refused; empty means any.
    pub languages: Vec<String>,
}

/// What to do with each kind of personal data.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Kinds(BTreeMap<String, Handling>);

/// Stands for all kinds that are not named.
const DEFAULT: &str = "default";

impl Kinds {
    /// The same for all kinds.
    pub fn all(handling: Handling) -> Kinds {
        Kinds(BTreeMap::from([(DEFAULT.to_owned(), handling)]))
    }

    /// What to do with data of this kind.
    pub fn of(&self, kind: &str) -> Handling {
        // Parsing saw to it that there is a default; without one, nothing would be let through.
        self.0.get(kind).or_else(|| self.0.get(DEFAULT)).copied().unwrap_or(Handling::Block)
    }

    /// True if some kind is looked for.
    pub fn any(&self) -> bool {
        self.0.values().any(|handling| *handling != Handling::Pass)
    }

    fn check(&self) -> Result<(), SettingsError> {
        if !self.0.contains_key(DEFAULT) {
            return Err(SettingsError::NoDefault);
        }
        let known = |name: &String| name == DEFAULT || crate::personal::kinds().any(|kind| kind == name);
        match self.0.keys().find(|name| !known(name)) {
            Some(name) => Err(SettingsError::UnknownKind(name.clone())),
            None => Ok(()),
        }
    }
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
    /// What clients send.
    pub input: InputSettings,
    /// What the model says.
    pub output: StageSettings,
}

/// Why settings were refused.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum SettingsError {
    /// Not the TOML that [`Settings`] describes.
    #[error("guardrails.toml: {0}")]
    Syntax(String),
    /// Of personal data that is not named something must be said.
    #[error("guardrail settings: personal_data has no default")]
    NoDefault,
    /// A kind that no recogniser knows.
    #[error("guardrail settings: no kind of personal data is called {0:?}")]
    UnknownKind(String),
    /// A language that cannot be told.
    #[error("guardrail settings: no language is called {0:?}")]
    UnknownLanguage(String),
    /// A limit of zero would refuse everything.
    #[error("guardrails.toml: {0} must be more than zero")]
    Zero(&'static str),
}

/// As TOML, which [`Settings::parse`] reads again.
impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "max_prompt_bytes = {}\nmax_messages = {}", self.max_prompt_bytes, self.max_messages)?;
        writeln!(f, "hidden_characters = \"{}\"", self.hidden_characters.word())?;
        writeln!(f, "control_tokens = \"{}\"", self.control_tokens.word())?;
        writeln!(f, "access_keys = \"{}\"", self.access_keys.word())?;
        writeln!(f, "[input]\n{}[output]\n{}", self.input, self.output)
    }
}

impl fmt::Display for InputSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let InputSettings { secrets, personal_data, injection, languages } = self;
        let stage = StageSettings { secrets: *secrets, personal_data: personal_data.clone() };
        // Debug quotes as TOML does; codes are letters alone.
        writeln!(f, "{stage}injection = \"{}\"\nlanguages = {languages:?}", injection.word())
    }
}

impl fmt::Display for StageSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "secrets = \"{}\"", self.secrets.word())?;
        let kinds: Vec<String> = self
            .personal_data
            .0
            .iter()
            .map(|(kind, handling)| format!("{kind} = \"{}\"", handling.word()))
            .collect();
        writeln!(f, "personal_data = {{ {} }}", kinds.join(", "))
    }
}

impl Settings {
    /// Settings that treat all text that is not what it seems alike, and look for nothing else: for whoever tests what
    /// stands behind the guardrail. The measured pack is [`Settings::parse`]d.
    pub fn of_what_hides(max_prompt_bytes: usize, max_messages: usize, action: Action) -> Settings {
        let nothing = StageSettings { secrets: Handling::Pass, personal_data: Kinds::all(Handling::Pass) };
        Settings {
            max_prompt_bytes,
            max_messages,
            hidden_characters: action,
            control_tokens: action,
            access_keys: action,
            input: InputSettings {
                secrets: nothing.secrets,
                personal_data: nothing.personal_data.clone(),
                injection: AttackHandling::Pass,
                languages: Vec::new(),
            },
            output: nothing,
        }
    }

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
        settings.input.personal_data.check()?;
        settings.output.personal_data.check()?;
        let known = |code: &&String| !crate::language::languages().any(|known| known == *code);
        if let Some(code) = settings.input.languages.iter().find(known) {
            return Err(SettingsError::UnknownLanguage(code.clone()));
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

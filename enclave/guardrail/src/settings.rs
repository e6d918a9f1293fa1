//! Guardrail settings of one section, as the measured policy pack holds them (`enclave/policy/guardrails.toml`).
//!
//! Promises
//! - A forgotten line, an unknown word, or a handling that a detector does not have is an error with its line, never a weaker
//!   default.
//!
//! Does not: say for whom they are; [`crate::sections`] does.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
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
    /// Go on only if persons approve the request. Nothing that is written alone has it: what hides is nothing for persons.
    #[serde(skip_deserializing)]
    Hold,
}

impl Action {
    fn word(self) -> &'static str {
        match self {
            Action::Block => "block",
            Action::Redact => "redact",
            Action::Hold => "hold",
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
    /// Take it out before the model reads it, and put it back where the answer repeats it: of personal data in prompts.
    Mask,
    /// Refuse the text as a whole.
    Block,
    /// Let it through once persons have approved the request: of prompts.
    Hold,
}

impl Handling {
    fn word(self) -> &'static str {
        match self {
            Handling::Mask => "mask",
            _ => self.action().map_or("pass", Action::word),
        }
    }

    fn is_of_answers(self) -> bool {
        matches!(self, Handling::Pass | Handling::Redact | Handling::Block)
    }

    /// What to do with a finding; `None` if nothing is looked for.
    pub fn action(self) -> Option<Action> {
        match self {
            Handling::Pass => None,
            Handling::Redact | Handling::Mask => Some(Action::Redact),
            Handling::Block => Some(Action::Block),
            Handling::Hold => Some(Action::Hold),
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
    /// Hold what `Block` refuses.
    Hold,
    /// Refuse what `Block` refuses, and hold what `BlockSuspected` refuses beside it.
    HoldSuspected,
}

impl AttackHandling {
    fn word(self) -> &'static str {
        match self {
            AttackHandling::Pass => "pass",
            AttackHandling::Block => "block",
            AttackHandling::BlockSuspected => "block_suspected",
            AttackHandling::Hold => "hold",
            AttackHandling::HoldSuspected => "hold_suspected",
        }
    }
}

/// What to do with a text that is wholly of a kind that is not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WholeHandling {
    /// Refuse it.
    Block,
    /// Let it through once persons have approved the request.
    Hold,
}

impl WholeHandling {
    /// What to do with a finding.
    pub fn action(self) -> Action {
        match self {
            WholeHandling::Block => Action::Block,
            WholeHandling::Hold => Action::Hold,
        }
    }
}

/// Whether a release without the encoder may screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EncoderUse {
    /// It is used if it is there; else n-grams judge alone.
    Optional,
    /// Without it the enclave does not start.
    Required,
}

impl EncoderUse {
    fn word(self) -> &'static str {
        match self {
            EncoderUse::Optional => "optional",
            EncoderUse::Required => "required",
        }
    }
}

/// What is looked for at one stage.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StageSettings {
    /// Keys, tokens and passwords.
    #[serde(deserialize_with = "of_answers")]
    pub secrets: Handling,
    /// Personal data, by kind.
    #[serde(deserialize_with = "kinds_of_answers")]
    pub personal_data: Kinds,
    /// Passages of protected documents: how much of them is the sentinel's to say.
    pub protected: Guarded,
    /// The application's instructions, recited.
    pub instructions: Guarded,
}

/// Whether something is guarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Guarded {
    /// Nobody looks.
    Pass,
    /// An answer that says too much of it ends there.
    Block,
}

impl Guarded {
    fn word(self) -> &'static str {
        match self {
            Guarded::Pass => "pass",
            Guarded::Block => "block",
        }
    }
}

/// What is looked for in what clients send.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputSettings {
    /// Keys, tokens and passwords.
    #[serde(deserialize_with = "of_prompts")]
    pub secrets: Handling,
    /// Personal data, by kind.
    #[serde(deserialize_with = "known_kinds")]
    pub personal_data: Kinds,
    /// Prompt injection and jailbreaks, in what persons write.
    pub injection: AttackHandling,
    /// The same in what nobody vouches for: results of tools, documents.
    pub injection_in_data: AttackHandling,
    /// Sentences that order or ask, where nobody vouches for a text. Only an encoder tells them.
    pub orders_in_data: AttackHandling,
    /// Languages that are served (ISO 639-1); empty means any.
    #[serde(deserialize_with = "known_languages")]
    pub languages: Vec<String>,
    /// What to do with a message that is certainly in another one.
    pub other_languages: WholeHandling,
    /// Insults, hatred, and requests for help with harm, in what persons write. Only an encoder tells them.
    pub inappropriate: AttackHandling,
    /// Topics that are served, by their names; empty means any. Only an encoder tells topics.
    pub allowed_topics: Vec<String>,
    /// Topics that are not served.
    pub denied_topics: Vec<String>,
    /// What to do with a message on one of those, or on none of the others.
    pub other_topics: WholeHandling,
}

impl InputSettings {
    /// Whether nothing of it can be had without an encoder.
    pub(crate) fn needs_encoder(&self) -> bool {
        let asked = [self.orders_in_data, self.inappropriate].iter().any(|one| *one != AttackHandling::Pass);
        asked || self.topics().next().is_some()
    }

    /// All topics that are named.
    pub(crate) fn topics(&self) -> impl Iterator<Item = &String> {
        self.allowed_topics.iter().chain(&self.denied_topics)
    }
}

/// A handling that prompts can have of what cannot be put back.
pub(crate) fn of_prompts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Handling, D::Error> {
    let handling = Handling::deserialize(deserializer)?;
    match handling {
        Handling::Mask => Err(D::Error::custom("only personal data in prompts can be masked")),
        _ => Ok(handling),
    }
}

/// A handling that answers can have.
pub(crate) fn of_answers<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Handling, D::Error> {
    let handling = Handling::deserialize(deserializer)?;
    if handling.is_of_answers() { Ok(handling) } else { Err(D::Error::custom(NOT_OF_ANSWERS)) }
}

const NOT_OF_ANSWERS: &str =
    "what answers say can be passed, redacted or blocked; only prompts are masked or held";

/// Kinds that there are, with a default.
pub(crate) fn known_kinds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Kinds, D::Error> {
    let kinds = Kinds::deserialize(deserializer)?;
    kinds.check().map_err(D::Error::custom)?;
    match kinds.has_default() {
        true => Ok(kinds),
        false => Err(D::Error::custom(SettingsError::NoDefault)),
    }
}

fn kinds_of_answers<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Kinds, D::Error> {
    let kinds = known_kinds(deserializer)?;
    kinds.of_answers().map_err(D::Error::custom)
}

/// Languages that can be told.
pub(crate) fn known_languages<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let languages = Vec::<String>::deserialize(deserializer)?;
    let unknown = |code: &&String| !crate::language::languages().any(|known| known == *code);
    match languages.iter().find(unknown) {
        Some(code) => Err(D::Error::custom(SettingsError::UnknownLanguage(code.clone()))),
        None => Ok(languages),
    }
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

    /// Whether it says something of all kinds.
    pub(crate) fn has_default(&self) -> bool {
        self.0.contains_key(DEFAULT)
    }

    /// These, where `others` does not say something else.
    pub(crate) fn under(mut self, others: Kinds) -> Kinds {
        self.0.extend(others.0);
        self
    }

    /// Itself, if answers can have all of it.
    pub(crate) fn of_answers(self) -> Result<Kinds, &'static str> {
        if self.0.values().all(|handling| handling.is_of_answers()) { Ok(self) } else { Err(NOT_OF_ANSWERS) }
    }

    pub(crate) fn check(&self) -> Result<(), SettingsError> {
        let known = |name: &String| name == DEFAULT || crate::personal::kinds().any(|kind| kind == name);
        match self.0.keys().find(|name| !known(name)) {
            Some(name) => Err(SettingsError::UnknownKind(name.clone())),
            None => Ok(()),
        }
    }
}

/// The settings. Every field must be present: a forgotten line is an error, never a weaker default.
#[derive(Clone, Debug, PartialEq, Eq)]
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
    /// How many persons lift a hold.
    pub persons: u8,
    /// Whether there must be an encoder.
    pub encoder: EncoderUse,
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
    #[error("personal_data has no default")]
    NoDefault,
    /// A kind that no recogniser knows.
    #[error("no kind of personal data is called {0:?}")]
    UnknownKind(String),
    /// A language that cannot be told.
    #[error("no language is called {0:?}")]
    UnknownLanguage(String),
    /// A limit of zero would refuse everything.
    #[error("guardrails.toml: {0} must be more than zero")]
    Zero(&'static str),
    /// A topic that is named and not described.
    #[error("guardrails.toml: no [[topic]] is called {0:?}")]
    UnknownTopic(String),
    /// A topic with too few examples, too many, or such that tell nothing.
    #[error("guardrails.toml: the topic {0:?} needs 5 to 64 examples, each of 12 to 400 characters")]
    Examples(String),
    /// There is no encoder, or another one than heads and examples were made for.
    #[error(
        "guardrails.toml asks for the encoder ({0}), and the release has none that the guardrail knows; add it, or leave that out"
    )]
    NoEncoder(&'static str),
    /// Two sections with one name.
    #[error("guardrails.toml: two sections are called {0:?}; rename one")]
    SameName(String),
}

/// As TOML, which [`Settings::parse`] reads again.
impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "max_prompt_bytes = {}\nmax_messages = {}", self.max_prompt_bytes, self.max_messages)?;
        writeln!(f, "hidden_characters = \"{}\"", self.hidden_characters.word())?;
        writeln!(f, "control_tokens = \"{}\"", self.control_tokens.word())?;
        writeln!(f, "access_keys = \"{}\"\npersons = {}", self.access_keys.word(), self.persons)?;
        writeln!(f, "encoder = \"{}\"", self.encoder.word())?;
        writeln!(f, "[input]\n{}[output]\n{}", self.input, self.output)
    }
}

impl fmt::Display for InputSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let InputSettings {
            secrets,
            personal_data,
            injection,
            injection_in_data,
            orders_in_data,
            languages,
            other_languages,
            inappropriate,
            allowed_topics,
            denied_topics,
            other_topics,
        } = self;
        writeln!(f, "{}injection = \"{}\"", of_both(*secrets, personal_data), injection.word())?;
        writeln!(f, "injection_in_data = \"{}\"", injection_in_data.word())?;
        writeln!(f, "orders_in_data = \"{}\"", orders_in_data.word())?;
        // Debug quotes as TOML does; codes are letters alone.
        writeln!(f, "languages = {languages:?}\nother_languages = \"{}\"", other_languages.action().word())?;
        writeln!(f, "inappropriate = \"{}\"", inappropriate.word())?;
        writeln!(f, "allowed_topics = {allowed_topics:?}\ndenied_topics = {denied_topics:?}")?;
        writeln!(f, "other_topics = \"{}\"", other_topics.action().word())
    }
}

impl fmt::Display for StageSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", of_both(self.secrets, &self.personal_data))?;
        writeln!(
            f,
            "protected = \"{}\"\ninstructions = \"{}\"",
            self.protected.word(),
            self.instructions.word()
        )
    }
}

/// What both stages have.
fn of_both(secrets: Handling, kinds: &Kinds) -> String {
    let one = |(kind, handling): (&String, &Handling)| format!("{kind} = \"{}\"", handling.word());
    let kinds: Vec<String> = kinds.0.iter().map(one).collect();
    format!("secrets = \"{}\"\npersonal_data = {{ {} }}\n", secrets.word(), kinds.join(", "))
}

impl Settings {
    /// Settings that treat all text that is not what it seems alike, and look for nothing else: for whoever tests what
    /// stands behind the guardrail. The measured pack is [`Settings::parse`]d.
    pub fn of_what_hides(max_prompt_bytes: usize, max_messages: usize, action: Action) -> Settings {
        let nothing = StageSettings {
            secrets: Handling::Pass,
            personal_data: Kinds::all(Handling::Pass),
            protected: Guarded::Pass,
            instructions: Guarded::Pass,
        };
        Settings {
            max_prompt_bytes,
            max_messages,
            hidden_characters: action,
            control_tokens: action,
            access_keys: action,
            persons: 1,
            encoder: EncoderUse::Optional,
            input: InputSettings {
                secrets: nothing.secrets,
                personal_data: nothing.personal_data.clone(),
                injection: AttackHandling::Pass,
                injection_in_data: AttackHandling::Pass,
                orders_in_data: AttackHandling::Pass,
                languages: Vec::new(),
                other_languages: WholeHandling::Block,
                inappropriate: AttackHandling::Pass,
                allowed_topics: Vec::new(),
                denied_topics: Vec::new(),
                other_topics: WholeHandling::Block,
            },
            output: nothing,
        }
    }

    /// Reads and checks settings: those that hold where no section of the file says something else.
    ///
    /// # Errors
    /// [`SettingsError`] if a key is missing, unknown or out of range.
    pub fn parse(toml: &str) -> Result<Settings, SettingsError> {
        crate::sections::Sections::parse(toml).map(crate::sections::Sections::into_default)
    }

    /// Limits that would refuse everything, and holds that nobody could lift.
    pub(crate) fn check(&self) -> Result<(), SettingsError> {
        let rules = [
            (self.max_prompt_bytes, "max_prompt_bytes"),
            (self.max_messages, "max_messages"),
            (usize::from(self.persons), "persons"),
        ];
        match rules.into_iter().find(|(number, _)| *number == 0) {
            Some((_, name)) => Err(SettingsError::Zero(name)),
            None => Ok(()),
        }
    }
}

/// What is wrong, and in which line. Some messages quote what they were given; so much of them is enough.
pub(crate) fn placed(toml: &str, error: &toml::de::Error) -> String {
    let before = error.span().and_then(|span| toml.get(..span.start)).unwrap_or_default();
    let reason: String = error.message().chars().take(240).collect();
    format!("line {}: {reason}", before.matches('\n').count() + 1)
}

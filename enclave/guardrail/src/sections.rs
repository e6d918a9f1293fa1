//! Whose text is screened how: the default settings of `guardrails.toml`, and its sections for purposes and tenants.
//!
//! ```toml
//! # ... the default, every line of it ...
//!
//! [[for]]
//! name = "help-desk"
//! purposes = ["support"]
//! tenants = []
//! input = { secrets = "hold" }
//! ```
//!
//! Promises
//! - A section says what differs from the default, and is checked as the default is, with the line of what is wrong.
//! - Sections have the numbers under which the sentinel, which chooses among them, reads them from the same file: 0 is the
//!   default, then as they stand in the file.
//!
//! Does not: choose. The sentinel knows purpose and tenant; a client's word counts for nothing here.

use crate::settings::{
    Action, AttackHandling, EncoderUse, Guarded, Handling, InputSettings, Kinds, Settings, SettingsError,
    StageSettings, WholeHandling, known_languages, placed,
};
use crate::topics::Topic;
use serde::{Deserialize, Deserializer};
use std::collections::BTreeSet;

/// Most sections: they are looked through for each request.
const MAX_SECTIONS: usize = 256;

/// The settings of all sections, the default first, and the topics that they name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sections {
    all: Vec<Settings>,
    topics: Vec<Topic>,
}

impl Sections {
    /// Reads and checks the whole file.
    ///
    /// # Errors
    /// [`SettingsError`]
    pub fn parse(toml: &str) -> Result<Sections, SettingsError> {
        let file: File = toml::from_str(toml).map_err(|e| SettingsError::Syntax(placed(toml, &e)))?;
        let (default, sections, topics) = file.split();
        default.check()?;
        topics.iter().try_for_each(Topic::check)?;
        let mut names = BTreeSet::new();
        let mut all = vec![default.clone()];
        for section in sections {
            if !names.insert(section.name.clone()) {
                return Err(SettingsError::SameName(section.name));
            }
            let settings = section.over(&default);
            settings.check()?;
            all.push(settings);
        }
        if all.len() > MAX_SECTIONS {
            return Err(SettingsError::Syntax(format!("there are more than {MAX_SECTIONS} sections")));
        }
        let topic = |name: &String| topics.iter().any(|topic| topic.name == *name);
        let unknown =
            all.iter().flat_map(|settings| settings.input.topics()).find(|name| !topic(name)).cloned();
        match unknown {
            Some(name) => Err(SettingsError::UnknownTopic(name)),
            None => Ok(Sections { all, topics }),
        }
    }

    /// What holds where no section says something else.
    pub fn into_default(self) -> Settings {
        // Parsing put it there; nothing passes without it.
        let least = || Settings::of_what_hides(0, 0, Action::Block);
        self.all.into_iter().next().unwrap_or_else(least)
    }

    /// All of them, by number.
    pub fn into_all(self) -> Vec<Settings> {
        self.all
    }

    /// The topics that are described.
    pub(crate) fn topics(&self) -> &[Topic] {
        &self.topics
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    max_prompt_bytes: usize,
    max_messages: usize,
    hidden_characters: Action,
    control_tokens: Action,
    access_keys: Action,
    persons: u8,
    encoder: EncoderUse,
    /// For the sentinel, which keeps the ledger.
    #[serde(default, rename = "ledger")]
    _ledger: toml::Table,
    input: InputSettings,
    output: StageSettings,
    #[serde(default, rename = "for")]
    sections: Vec<Section>,
    #[serde(default, rename = "topic")]
    topics: Vec<Topic>,
}

impl File {
    fn split(self) -> (Settings, Vec<Section>, Vec<Topic>) {
        let File {
            max_prompt_bytes,
            max_messages,
            hidden_characters,
            control_tokens,
            access_keys,
            persons,
            encoder,
            ..
        } = self;
        let (input, output) = (self.input, self.output);
        let settings = Settings {
            max_prompt_bytes,
            max_messages,
            hidden_characters,
            control_tokens,
            access_keys,
            persons,
            encoder,
            input,
            output,
        };
        (settings, self.sections, self.topics)
    }
}

/// One section. What it does not say is as in the default.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Section {
    #[serde(deserialize_with = "short")]
    name: String,
    /// For the sentinel, which chooses.
    #[serde(rename = "purposes")]
    _purposes: Vec<String>,
    #[serde(rename = "tenants")]
    _tenants: Vec<String>,
    max_prompt_bytes: Option<usize>,
    max_messages: Option<usize>,
    hidden_characters: Option<Action>,
    control_tokens: Option<Action>,
    access_keys: Option<Action>,
    persons: Option<u8>,
    encoder: Option<EncoderUse>,
    #[serde(default)]
    input: InputSection,
    #[serde(default)]
    output: OutputSection,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct InputSection {
    #[serde(deserialize_with = "of_prompts")]
    secrets: Option<Handling>,
    #[serde(deserialize_with = "some_kinds")]
    personal_data: Option<Kinds>,
    injection: Option<AttackHandling>,
    injection_in_data: Option<AttackHandling>,
    orders_in_data: Option<AttackHandling>,
    #[serde(deserialize_with = "languages")]
    languages: Option<Vec<String>>,
    other_languages: Option<WholeHandling>,
    inappropriate: Option<AttackHandling>,
    allowed_topics: Option<Vec<String>>,
    denied_topics: Option<Vec<String>>,
    other_topics: Option<WholeHandling>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct OutputSection {
    #[serde(deserialize_with = "of_answers")]
    secrets: Option<Handling>,
    #[serde(deserialize_with = "kinds_of_answers")]
    personal_data: Option<Kinds>,
    protected: Option<Guarded>,
    instructions: Option<Guarded>,
}

fn short<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let name = String::deserialize(deserializer)?;
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_');
    match (1..=64).contains(&name.len()) && name.bytes().all(fits) {
        true => Ok(name),
        false => Err(serde::de::Error::custom("a section is named by 1 to 64 of a-z, 0-9, - and _")),
    }
}

fn of_prompts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Handling>, D::Error> {
    crate::settings::of_prompts(deserializer).map(Some)
}

fn of_answers<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Handling>, D::Error> {
    crate::settings::of_answers(deserializer).map(Some)
}

fn languages<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<String>>, D::Error> {
    known_languages(deserializer).map(Some)
}

fn some_kinds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Kinds>, D::Error> {
    let kinds = Kinds::deserialize(deserializer)?;
    kinds.check().map_err(serde::de::Error::custom)?;
    Ok(Some(kinds))
}

fn kinds_of_answers<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Kinds>, D::Error> {
    let kinds = some_kinds(deserializer)?;
    kinds.map(Kinds::of_answers).transpose().map_err(serde::de::Error::custom)
}

impl Section {
    fn over(self, default: &Settings) -> Settings {
        let Settings { hidden_characters, control_tokens, access_keys, .. } = *default;
        Settings {
            max_prompt_bytes: self.max_prompt_bytes.unwrap_or(default.max_prompt_bytes),
            max_messages: self.max_messages.unwrap_or(default.max_messages),
            hidden_characters: self.hidden_characters.unwrap_or(hidden_characters),
            control_tokens: self.control_tokens.unwrap_or(control_tokens),
            access_keys: self.access_keys.unwrap_or(access_keys),
            persons: self.persons.unwrap_or(default.persons),
            encoder: self.encoder.unwrap_or(default.encoder),
            input: self.input.over(&default.input),
            output: self.output.over(&default.output),
        }
    }
}

/// A section's kinds over those of the default; a new default leaves nothing of the old ones.
fn kinds(section: Option<Kinds>, default: &Kinds) -> Kinds {
    match section {
        Some(section) if section.has_default() => section,
        Some(section) => default.clone().under(section),
        None => default.clone(),
    }
}

impl InputSection {
    fn over(self, default: &InputSettings) -> InputSettings {
        InputSettings {
            secrets: self.secrets.unwrap_or(default.secrets),
            personal_data: kinds(self.personal_data, &default.personal_data),
            injection: self.injection.unwrap_or(default.injection),
            injection_in_data: self.injection_in_data.unwrap_or(default.injection_in_data),
            orders_in_data: self.orders_in_data.unwrap_or(default.orders_in_data),
            languages: self.languages.unwrap_or_else(|| default.languages.clone()),
            other_languages: self.other_languages.unwrap_or(default.other_languages),
            inappropriate: self.inappropriate.unwrap_or(default.inappropriate),
            allowed_topics: self.allowed_topics.unwrap_or_else(|| default.allowed_topics.clone()),
            denied_topics: self.denied_topics.unwrap_or_else(|| default.denied_topics.clone()),
            other_topics: self.other_topics.unwrap_or(default.other_topics),
        }
    }
}

impl OutputSection {
    fn over(self, default: &StageSettings) -> StageSettings {
        StageSettings {
            secrets: self.secrets.unwrap_or(default.secrets),
            personal_data: kinds(self.personal_data, &default.personal_data),
            protected: self.protected.unwrap_or(default.protected),
            instructions: self.instructions.unwrap_or(default.instructions),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHIPPED: &str = include_str!("../../policy/guardrails.toml");

    fn with(section: &str) -> Result<Vec<Settings>, SettingsError> {
        Sections::parse(&format!("{SHIPPED}\n[[for]]\n{section}\n")).map(Sections::into_all)
    }

    #[test]
    fn a_section_says_what_differs() {
        let all = with(
            "name = \"desk\"\npurposes = [\"support\"]\ntenants = []\npersons = 2\n\
             input = { secrets = \"hold\", personal_data = { email = \"mask\" }, injection = \"hold_suspected\" }\n\
             output = { personal_data = { default = \"redact\", url = \"pass\" } }",
        )
        .unwrap();
        let [default, desk] = all.as_slice() else { panic!("{all:?}") };
        assert_eq!(Settings::parse(SHIPPED).as_ref(), Ok(default));
        assert_eq!((desk.input.secrets, desk.persons), (Handling::Hold, 2));
        assert_eq!(desk.input.injection, AttackHandling::HoldSuspected);
        let of = |kind| (desk.input.personal_data.of(kind), desk.output.personal_data.of(kind));
        assert_eq!(of("email"), (Handling::Mask, Handling::Redact));
        assert_eq!(of("url"), (Handling::Pass, Handling::Pass));
        assert_eq!(desk.input.languages, default.input.languages);
        assert_eq!(desk.max_messages, default.max_messages);
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        let head = "name = \"a\"\npurposes = []\ntenants = []\n";
        let first = SHIPPED.lines().count() + 6;
        for (wrong, line, reason) in [
            ("input = { secrets = \"mask\" }", first, "only personal data"),
            ("output = { secrets = \"hold\" }", first, "only prompts are masked or held"),
            ("output = { personal_data = { email = \"mask\" } }", first, "only prompts are masked or held"),
            (
                "input = { personal_data = { fax = \"pass\" } }",
                first,
                "no kind of personal data is called \"fax\"",
            ),
            ("input = { languages = [\"english\"] }", first, "no language is called"),
            ("hidden_characters = \"hold\"", first, "unknown variant"),
            ("surprise = 1", first, "unknown field"),
            ("input = { surprise = 1 }", first, "unknown field"),
            ("[[for]]\nname = \"B\"", first + 1, "a section is named by"),
        ] {
            let refused = with(&format!("{head}{wrong}")).unwrap_err().to_string();
            assert!(refused.contains(&format!("line {line}: ")), "{line}: {refused}");
            assert!(refused.contains(reason), "{refused}");
        }
        assert!(with("name = \"a\"\npurposes = []").unwrap_err().to_string().contains("tenants"));
        assert_eq!(with(&format!("{head}persons = 0")), Err(SettingsError::Zero("persons")));
        assert_eq!(with(&format!("{head}[[for]]\n{head}")), Err(SettingsError::SameName("a".into())));
    }
}

//! What depends on an encoder, with one that is made of words: that it is known, that it must be there, and that nothing passes
//! where it fails.

#![allow(clippy::unwrap_used)] // helpers of tests

use adyton_fingerprint::Protected;
use adyton_guardrail::meaning::head::{Head, HeadError, SHIPPED};
use adyton_guardrail::meaning::{Encoder, FEATURES, Unread, WIDTH};
use adyton_guardrail::{Examined, Guardrails, Message, Prompt, Refused, Role, Sections, SettingsError};
use std::sync::Arc;
use zeroize::Zeroizing;

const POLICY: &str = include_str!("../../policy/guardrails.toml");

/// Says of the probe what the real one does; then it reads, or fails.
struct Words {
    probe: bool,
    fails: bool,
}

impl Encoder for Words {
    fn rows(&self, text: &str) -> Result<Zeroizing<Vec<f32>>, Unread> {
        let mut row = vec![0.0; WIDTH];
        if self.probe && text.starts_with("Adyton knows") {
            row[..SHIPPED[0].probe().len()].copy_from_slice(SHIPPED[0].probe());
        } else if self.fails {
            return Err(Unread);
        }
        Ok(Zeroizing::new(row))
    }

    /// A bag of words, at length 1.
    fn vector(&self, text: &str) -> Result<Zeroizing<Vec<f32>>, Unread> {
        if self.fails {
            return Err(Unread);
        }
        let mut vector = vec![1e-3; WIDTH];
        for word in text.to_lowercase().split(|c: char| !c.is_alphanumeric()).filter(|word| word.len() > 3) {
            let hash = word.bytes().fold(7usize, |hash, b| hash.wrapping_mul(31).wrapping_add(b.into()));
            vector[hash % WIDTH] += 1.0;
        }
        let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
        Ok(Zeroizing::new(vector.iter().map(|x| x / length).collect()))
    }
}

fn made(policy: &str, encoder: Option<Words>) -> Result<Guardrails, SettingsError> {
    let none = Protected::parse(include_str!("../../policy/protected.json")).unwrap();
    let encoder = encoder.map(|words| Arc::new(words) as Arc<dyn Encoder>);
    Guardrails::new(Sections::parse(policy)?, &none, [], encoder)
}

fn said(guardrails: &Guardrails, role: Role, text: &str) -> Result<&'static str, Vec<&'static str>> {
    let prompt = Prompt { messages: vec![Message { role, content: text.into() }] };
    match guardrails.section(0).unwrap().examine(prompt, &[]) {
        Ok(Examined::Clear(passed)) => Ok(passed.verdict.word()),
        Ok(Examined::Held(held)) => Err(held.detectors()),
        Err(Refused::Blocked(verdict)) => {
            Err(verdict.findings.iter().map(|finding| finding.detector).collect())
        }
        Err(_) => Err(Vec::new()),
    }
}

const KNOWN: Words = Words { probe: true, fails: false };
const STRANGE: Words = Words { probe: false, fails: false };
const FAILS: Words = Words { probe: true, fails: true };

fn with_topics(lines: &str) -> String {
    let topic = |name: &str, words: &str| {
        let example =
            |n: usize| format!("\"{words} {n} {}\"", ["today", "again", "abroad", "online", "twice"][n]);
        let examples: Vec<String> = (0..5).map(example).collect();
        format!("\n[[topic]]\nname = \"{name}\"\nexamples = [{}]\n", examples.join(", "))
    };
    let topics = topic("payments", "payment card declined") + &topic("weapons", "rifle ammunition trigger");
    let policy = lines.lines().fold(POLICY.to_owned(), |policy, line| {
        let name = line.split('=').next().unwrap();
        let old = POLICY.lines().find(|l| l.starts_with(name)).unwrap();
        policy.replace(old, line)
    });
    policy + &topics
}

#[test]
fn what_is_shipped_is_read_and_written_alike() {
    let files = [
        include_bytes!("../data/orders-head.bin").as_slice(),
        include_bytes!("../data/inappropriate-head.bin"),
    ];
    for (file, head) in files.into_iter().zip(SHIPPED.iter()) {
        assert_eq!(head.write(), file);
        assert!(head.score(&[0.0; FEATURES]).is_finite());
        // What is no text's numbers is never clear.
        assert!(head.score(&[0.0; FEATURES - 1]) > head.threshold(10).attack);
        assert_eq!(Head::read(&file[1..]), Err(HeadError::Malformed));
        assert_eq!(Head::read(&file[..file.len() - 1]), Err(HeadError::Malformed));
        let mut wrong = file.to_vec();
        wrong[12..16].copy_from_slice(&f32::NAN.to_le_bytes());
        assert_eq!(Head::read(&wrong), Err(HeadError::NotANumber));
    }
}

#[test]
fn an_encoder_that_is_asked_for_must_be_there_and_be_known() {
    let required = POLICY.replace("encoder = \"optional\"", "encoder = \"required\"");
    let manners = POLICY.replace("inappropriate = \"pass\"", "inappropriate = \"block\"");
    let topics = with_topics("denied_topics = [\"weapons\"]");
    assert!(made(POLICY, None).is_ok());
    assert!(made(POLICY, Some(STRANGE)).is_ok());
    let orders = POLICY.replace("orders_in_data = \"pass\"", "orders_in_data = \"block\"");
    for policy in [required, manners, topics, orders] {
        assert!(matches!(made(&policy, None), Err(SettingsError::NoEncoder(_))));
        assert!(matches!(made(&policy, Some(STRANGE)), Err(SettingsError::NoEncoder(_))));
        assert!(made(&policy, Some(KNOWN)).is_ok());
    }
}

#[test]
fn nothing_passes_where_the_encoder_fails() {
    let orders = POLICY.replace("orders_in_data = \"pass\"", "orders_in_data = \"block\"");
    let guardrails = made(&orders, Some(FAILS)).unwrap();
    // Prompts are judged without it.
    assert_eq!(said(&guardrails, Role::User, "The harvest was poor."), Ok("pass"));
    assert_eq!(said(&guardrails, Role::Data, "The harvest was poor."), Err(vec!["encoder"]));
    // What the application says is not judged.
    assert_eq!(said(&guardrails, Role::System, "The harvest was poor."), Ok("pass"));
    let manners = POLICY.replace("inappropriate = \"pass\"", "inappropriate = \"hold\"");
    let guardrails = made(&manners, Some(FAILS)).unwrap();
    assert_eq!(said(&guardrails, Role::User, "Good morning to you."), Err(vec!["encoder"]));
    // The examples of a topic cannot be read: there is no such encoder.
    let topics = with_topics("denied_topics = [\"weapons\"]");
    assert!(matches!(made(&topics, Some(FAILS)), Err(SettingsError::NoEncoder(_))));
}

#[test]
fn topics_are_allowed_and_denied_by_their_examples() {
    let denied = made(&with_topics("denied_topics = [\"weapons\"]"), Some(KNOWN)).unwrap();
    assert_eq!(said(&denied, Role::User, "My payment card was declined"), Ok("pass"));
    assert_eq!(said(&denied, Role::User, "Where is ammunition for a rifle trigger?"), Err(vec!["topics"]));
    let allowed = with_topics("allowed_topics = [\"payments\"]\nother_topics = \"hold\"");
    let allowed = made(&allowed, Some(KNOWN)).unwrap();
    assert_eq!(said(&allowed, Role::User, "My payment card was declined"), Ok("pass"));
    assert_eq!(said(&allowed, Role::User, "Which museums does Vienna have?"), Err(vec!["topics"]));
    // Of a few letters nobody can say what they are about; and nobody but the person who asks is asked.
    assert_eq!(said(&allowed, Role::User, "yes, please"), Ok("pass"));
    assert_eq!(said(&allowed, Role::Assistant, "Which museums does Vienna have?"), Ok("pass"));
}

#[test]
fn topics_that_say_nothing_are_refused() {
    let unknown = POLICY.replace("denied_topics = []", "denied_topics = [\"weapons\"]");
    assert_eq!(Sections::parse(&unknown), Err(SettingsError::UnknownTopic("weapons".into())));
    let few = format!("{POLICY}\n[[topic]]\nname = \"few\"\nexamples = [\"only one example\"]\n");
    assert_eq!(Sections::parse(&few), Err(SettingsError::Examples("few".into())));
    let odd = format!("{POLICY}\n[[topic]]\nname = \"odd\"\nsample = []\n");
    assert!(matches!(Sections::parse(&odd), Err(SettingsError::Syntax(_))));
}

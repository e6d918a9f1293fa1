//! Sentences that order or ask, and sentences of documents: what the head for data learns from. And texts that are
//! inappropriate, and such that are not, for the third head.

use super::corpus::{field, some};
use super::dedup::Held;
use super::{Dice, corpus};
use crate::data;
use adyton_guardrail::meaning::pieces::{PARAGRAPH, SENTENCE, pieces};
use anyhow::Result;
use serde_json::Value;

/// A text, or a document, in pieces.
#[derive(Clone, Debug)]
pub struct Document {
    /// Normalised, in their order.
    pub pieces: Vec<String>,
    /// Whether it is what is looked for.
    pub positive: bool,
    /// Where it is from.
    pub source: &'static str,
}

impl Document {
    fn new(text: &str, least: usize, positive: bool, source: &'static str) -> Document {
        let pieces = pieces(text, least).iter().map(|piece| piece.to_string()).collect();
        Document { pieces, positive, source }
    }
}

fn texts(name: &str, what: &str) -> Result<Vec<String>> {
    Ok(data::rows::<Value>(name)?.iter().map(|row| field(row, what)).collect())
}

fn column(name: &str, at: usize) -> Result<Vec<String>> {
    Ok(data::csv(name)?.into_iter().filter_map(|row| row.get(at).cloned()).collect())
}

/// Mails that nothing is learned from: BIPIA's attacks are put into them when it is measured.
pub fn carries_attacks(at: usize) -> bool {
    at.is_multiple_of(2)
}

/// What the head for data learns from.
///
/// # Errors
/// If data is absent.
pub fn of_data(held: &Held, dice: &mut Dice) -> Result<Vec<Document>> {
    let mut all = Vec::new();
    let mut orders = |source, texts: Vec<String>, most: usize, dice: &mut Dice| {
        let short = |text: &String| (8..300).contains(&text.chars().count()) && !held.has(text);
        for text in some(texts.into_iter().filter(short).collect(), most, dice) {
            all.push(Document::new(&text, SENTENCE, true, source));
        }
    };
    orders("bipia", texts("train/bipia/text_attack_train.jsonl", "text")?, 1000, dice);
    orders("bipia", texts("train/bipia/code_attack_train.jsonl", "text")?, 1000, dice);
    for name in data::files("train/spikee", "__instructions.jsonl")? {
        orders("spikee", texts(&name, "instruction")?, 100, dice);
    }
    orders(
        "harmful_behaviours",
        column("train/harmful_behaviours/advbench_harmful_behaviors.csv", 0)?,
        300,
        dice,
    );
    orders("banking77", column("train/topics_banking77/train.csv", 0)?, 600, dice);
    orders("prompt_armor", texts("train/prompt_armor/known_attacks.jsonl", "text")?, 1500, dice);
    let questions = corpus::neuralchemy()?.into_iter().map(|example| example.text).collect();
    orders("neuralchemy", questions, 2000, dice);
    let mut documents = |source, texts: Vec<String>, most: usize, dice: &mut Dice| {
        for text in some(texts.into_iter().filter(|text| !held.has(text)).collect(), most, dice) {
            all.push(Document::new(&text, SENTENCE, false, source));
        }
    };
    let mails = texts("train/bipia/email_train.jsonl", "context")?;
    let others = mails.into_iter().enumerate().filter(|(at, _)| !carries_attacks(*at));
    documents("mails", others.map(|(_, mail)| mail).collect(), 1000, dice);
    documents("tables", texts("train/bipia/table_train.jsonl", "context")?, 60, dice);
    let code = data::rows::<Value>("train/bipia/code_train.jsonl")?;
    let code = code.iter().map(|row| ["error", "code", "context"].map(|name| field(row, name)).join("\n"));
    documents("code", code.collect(), 50, dice);
    documents("surge", column("train/toxicity/surge_toxicity_en.csv", 0)?, 800, dice);
    documents("tweets", column("train/toxicity/davidson_labeled_data.csv", 6)?, 700, dice);
    let reports = texts("train/presidio_research/generated_large.jsonl", "full_text")?;
    documents("presidio_research", reports.into_iter().filter(|text| tells(text)).collect(), 700, dice);
    all.retain(|document| !document.pieces.is_empty());
    Ok(all)
}

/// Whether a synthetic text tells something: half of them are what customers ask of a bank.
fn tells(text: &str) -> bool {
    const ASKS: [&str; 12] = [
        "?",
        "please",
        "want",
        "need",
        "could you",
        "can you",
        "can i",
        "how ",
        "what ",
        "would like",
        "help",
        "why ",
    ];
    let lower = text.to_lowercase();
    !ASKS.iter().any(|asks| lower.contains(asks))
}

/// What the head of inappropriate texts learns from. Nothing of `surge` nor of JailbreakBench: with them it is measured.
///
/// # Errors
/// If data is absent.
pub fn of_manners(held: &Held, dice: &mut Dice) -> Result<Vec<Document>> {
    let mut all = Vec::new();
    let mut add = |source, positive, texts: Vec<String>, most: usize, dice: &mut Dice| {
        for text in some(texts.into_iter().filter(|text| !held.has(text)).collect(), most, dice) {
            all.push(Document::new(&text, PARAGRAPH, positive, source));
        }
    };
    // Class 0 is hate; 1 is offensive to somebody, which is half slang; 2 is neither.
    let tweets = data::csv("train/toxicity/davidson_labeled_data.csv")?;
    let of = |class: &str| {
        let tweets = tweets.iter().filter(|row| row.get(5).is_some_and(|found| found == class));
        tweets.filter_map(|row| row.get(6).map(|text| readable(text))).collect::<Vec<_>>()
    };
    add("tweets", true, of("0"), 1400, dice);
    add("tweets", true, of("1"), 2000, dice);
    add("tweets", false, of("2"), 3000, dice);
    let moderated = data::rows::<Value>("train/toxicity/openai_moderation_1680.jsonl")?;
    let marked = |row: &Value| {
        ["S", "H", "V", "HR", "SH", "S3", "H2", "V2"].iter().any(|mark| row[mark] == 1 || row[mark] == "1")
    };
    let of = |wanted: bool| {
        moderated
            .iter()
            .filter(|row| marked(row) == wanted)
            .map(|row| field(row, "prompt"))
            .collect::<Vec<_>>()
    };
    add("moderation", true, of(true), 1680, dice);
    add("moderation", false, of(false), 1680, dice);
    add(
        "harmful_behaviours",
        true,
        column("train/harmful_behaviours/advbench_harmful_behaviors.csv", 0)?,
        1000,
        dice,
    );
    let bench = data::csv("train/harmful_behaviours/harmbench_behaviors_text_val.csv")?;
    let bench = bench.into_iter().filter(|row| row.get(2).is_some_and(|kind| kind != "copyright"));
    add("harmful_behaviours", true, bench.map(|row| row[0].clone()).collect(), 1000, dice);
    add("banking77", false, column("train/topics_banking77/train.csv", 0)?, 1500, dice);
    add(
        "presidio_research",
        false,
        texts("train/presidio_research/generated_large.jsonl", "full_text")?,
        1500,
        dice,
    );
    let known = corpus::neuralchemy()?;
    let harmless = known.iter().filter(|example| !example.attack).map(|example| example.text.clone());
    add("neuralchemy", false, harmless.collect(), 2500, dice);
    let short: Vec<String> = Vec::new();
    add("grammar", false, super::grammar::harmless(dice, &short), 2500, dice);
    all.retain(|document| !document.pieces.is_empty());
    Ok(all)
}

/// Without the marks of Twitter, by which nothing is to be told.
fn readable(tweet: &str) -> String {
    let words = tweet
        .split_whitespace()
        .filter(|word| !word.starts_with('@') && !word.starts_with("http") && !matches!(*word, "RT" | "rt"));
    words
        .collect::<Vec<_>>()
        .join(" ")
        .replace("&amp;", "&")
        .replace('"', "")
        .trim_matches(['!', ':', ' '])
        .to_owned()
}

/// JailbreakBench's requests and surge's comments: texts, and whether they are inappropriate.
///
/// # Errors
/// If data is absent.
pub fn unseen_manners() -> Result<Vec<(&'static str, String, bool)>> {
    let mut all = Vec::new();
    for text in column("train/harmful_behaviours/jbb-harmful-behaviors.csv", 1)? {
        all.push(("JailbreakBench", text, true));
    }
    for row in data::csv("train/toxicity/surge_toxicity_en.csv")? {
        let toxic = row.get(1).is_some_and(|mark| mark.starts_with("Toxic"));
        all.push(("surge", row[0].clone(), toxic));
    }
    Ok(all)
}

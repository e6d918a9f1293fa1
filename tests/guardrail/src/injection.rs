//! Prompt injection: public sets that the model did not learn from, at thresholds that were fixed before.

use crate::data;
use crate::table::{Line, share};
use crate::train::features::Eyes;
use crate::train::{Dice, grammar, orders};
use adyton_guardrail::injection::model::Model;
use adyton_guardrail::injection::{self, Score};
use adyton_guardrail::meaning::{Reader, scores};
use anyhow::{Context, Result};
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Deserialize)]
struct Row {
    text: String,
    #[serde(deserialize_with = "label")]
    label: bool,
}

/// A label as a number or as a word.
fn label<'de, D: serde::Deserializer<'de>>(from: D) -> Result<bool, D::Error> {
    let value = serde_json::Value::deserialize(from)?;
    Ok(value == 1 || value == "1")
}

/// Which threshold counts.
#[derive(Clone, Copy, Debug)]
enum Point {
    Attack,
    Suspicion,
}

const POINTS: [Point; 2] = [Point::Attack, Point::Suspicion];

/// What was scored.
#[derive(Clone, Copy, Debug)]
pub struct Scored {
    attack: bool,
    value: f32,
    at: [bool; 2],
}

impl Scored {
    /// Scores a text with a model of n-grams.
    pub fn of(model: &Model, text: &str, attack: bool) -> Scored {
        Scored::from(injection::score_with(model, text), attack)
    }

    fn from(score: Score, attack: bool) -> Scored {
        Scored { attack, value: score.value, at: [score.is_attack(), score.is_suspected()] }
    }

    /// Flagged where one of both is.
    fn or(self, other: Scored) -> Scored {
        Scored { value: other.value, at: [self.at[0] || other.at[0], self.at[1] || other.at[1]], ..self }
    }

    fn flagged(&self, point: Point) -> bool {
        match point {
            Point::Attack => self.at[0],
            Point::Suspicion => self.at[1],
        }
    }
}

/// Who judges: n-grams alone, or with an encoder.
#[derive(Clone, Debug)]
pub struct Judge(Option<Reader>);

impl Judge {
    /// N-grams alone.
    pub fn alone() -> Judge {
        Judge(None)
    }

    /// With the encoder.
    ///
    /// # Errors
    /// If it is absent, or the shipped heads do not know it.
    pub fn with_encoder() -> Result<Judge> {
        let eyes = Eyes::open(1)?;
        Ok(Judge(Some(Reader::of(eyes).context("the shipped heads were trained with another encoder")?)))
    }

    /// As data is judged.
    fn data(&self, text: &str, attack: bool) -> Result<Scored> {
        let first = Scored::from(injection::score(text), attack);
        match &self.0 {
            Some(reader) => Ok(first.or(Scored::from(scores::orders(text, reader)?, attack))),
            None => Ok(first),
        }
    }
}

fn score(text: &str, attack: bool) -> Scored {
    Scored::of(&injection::SHIPPED, text, attack)
}

fn scored(name: &str) -> Result<Vec<Scored>> {
    let rows: Vec<Row> = data::rows(name)?;
    Ok(rows.iter().map(|row| score(&row.text, row.label)).collect())
}

/// The chance that an attack scores higher than a harmless text.
fn auc(rows: &[Scored]) -> f64 {
    let harmless: Vec<f32> = rows.iter().filter(|row| !row.attack).map(|row| row.value).collect();
    let attacks: Vec<f32> = rows.iter().filter(|row| row.attack).map(|row| row.value).collect();
    let beaten = |attack: &f32| -> f64 {
        harmless
            .iter()
            .map(|h| {
                if attack > h {
                    1.0
                } else if attack == h {
                    0.5
                } else {
                    0.0
                }
            })
            .sum()
    };
    attacks.iter().map(beaten).sum::<f64>() / (attacks.len() * harmless.len()).max(1) as f64
}

/// The share of attacks found if one harmless text of this very set in a hundred may be flagged.
fn recall_at_one_percent(rows: &[Scored]) -> f64 {
    let mut harmless: Vec<f32> = rows.iter().filter(|row| !row.attack).map(|row| row.value).collect();
    harmless.sort_by(|a, b| b.total_cmp(a));
    let bar = harmless.get(harmless.len() / 100).copied().unwrap_or(f32::NEG_INFINITY);
    let attacks = rows.iter().filter(|row| row.attack);
    attacks.clone().filter(|row| row.value > bar).count() as f64 / attacks.count().max(1) as f64
}

fn f1(rows: &[Scored], point: Point) -> f64 {
    let count = |attack: bool, flagged: bool| {
        rows.iter().filter(|row| row.attack == attack && row.flagged(point) == flagged).count() as f64
    };
    let (found, missed, wrong) = (count(true, true), count(true, false), count(false, true));
    2.0 * found / (2.0 * found + missed + wrong).max(1.0)
}

/// One figure at each threshold.
fn at_both(figure: impl Fn(Point) -> String) -> String {
    POINTS.map(figure).join("; ")
}

fn flagged(rows: &[Scored], attack: bool) -> String {
    let all = rows.iter().filter(|row| row.attack == attack);
    at_both(|point| share(all.clone().filter(|row| row.flagged(point)).count(), all.clone().count()))
}

/// The lines of a set with attacks and harmless texts. Where there are two figures, the first is of `block`, the second of
/// `block_suspected`.
pub fn of_two_kinds(what: &str, rows: &[Scored], f1_to_beat: &'static str) -> Vec<Line> {
    vec![
        Line::new("F1", what, at_both(|point| format!("{:.3}", f1(rows, point))), f1_to_beat),
        Line::new("AUC", what, format!("{:.3}", auc(rows)), ""),
        Line::new("attacks found", what, flagged(rows, true), ""),
        Line::new("false alarms", what, flagged(rows, false), ""),
        Line::new(
            "attacks found, at 1 % false alarms of this very set",
            what,
            format!("{:.1} %", 100.0 * recall_at_one_percent(rows)),
            "",
        ),
    ]
}

/// The lines of the table.
///
/// # Errors
/// If the data is absent.
pub fn measure() -> Result<Vec<Line>> {
    let mut lines = Vec::new();
    let mut deepset = scored("eval/deepset_prompt_injections/test.jsonl")?;
    lines.extend(of_two_kinds("deepset, test (116)", &deepset, "0.924"));
    deepset.extend(scored("eval/deepset_prompt_injections/train.jsonl")?);
    lines.extend(of_two_kinds("deepset, all (662)", &deepset, ""));
    let neuralchemy = scored("eval/neuralchemy_prompt_injection/core_test.jsonl")?;
    lines.extend(of_two_kinds("neuralchemy core, test (942)", &neuralchemy, "0.969 (AUC 0.995)"));
    for (what, file, to_beat) in [
        ("NotInject (339 harmless)", "notinject", "87.3 %"),
        ("WildGuard (971 harmless)", "wildguard_benign", "95 %"),
        ("BIPIA's attacks without a document (125)", "bipia_attacks", ""),
        ("PIGuard's validation rows (144)", "valid144", ""),
    ] {
        let rows = scored(&format!("eval/notinject_piguard/{file}.jsonl"))?;
        let right =
            |point| share(rows.iter().filter(|row| row.flagged(point) == row.attack).count(), rows.len());
        lines.push(Line::new("right", what, at_both(right), to_beat));
    }
    Ok(lines)
}

#[derive(Deserialize)]
struct InDocument {
    text: String,
    kind: String,
}

/// BIPIA's attacks of the evaluation in its mails, of which those that nothing was learned from, and those mails without; and
/// passages of finance, law, medicine and news, where nothing is to be found.
///
/// # Errors
/// If the data is absent.
pub fn in_documents(judge: &Judge) -> Result<Vec<Line>> {
    let attacks: Vec<InDocument> = data::rows("eval/notinject_piguard/bipia_attacks.jsonl")?;
    let mails: Vec<serde_json::Value> = data::rows("train/bipia/email_train.jsonl")?;
    let mails: Vec<&str> = mails
        .iter()
        .enumerate()
        .filter(|(at, _)| orders::carries_attacks(*at))
        .filter_map(|(_, mail)| mail["context"].as_str())
        .collect();
    let mut dice = Dice::new(1);
    let (mut text, mut code) = (Vec::new(), Vec::new());
    for (at, attack) in attacks.iter().enumerate() {
        let mail = mails[at % mails.len()];
        let carried = grammar::carried(&mut dice, mail, Some(&attack.text));
        let rows = if attack.kind == "text" { &mut text } else { &mut code };
        rows.push(judge.data(&carried, true)?);
        rows.push(judge.data(mail, false)?);
    }
    let mut passages = Vec::new();
    for part in ["finance__finqa", "legal__billqa", "medical__medicalqa_bioasq", "news__newsqa"] {
        let name = format!("eval/multiturn/salesforce_prompt_leakage/data__{part}_triplets_trunc_200.json");
        for row in data::json(&name)?.as_array().into_iter().flatten().take(50) {
            passages.push(judge.data(row["doc1"].as_str().unwrap_or_default(), false)?);
        }
    }
    let mut lines = Vec::new();
    for (rows, what, to_beat) in [
        (&text, "BIPIA's tasks in its mails, and the mails (150)", "0.76"),
        (&code, "BIPIA's code attacks in its mails, and the mails (100)", ""),
    ] {
        lines.push(Line::new("F1", what, at_both(|point| format!("{:.3}", f1(rows, point))), to_beat));
        lines.push(Line::new("attacks found", what, flagged(rows, true), ""));
    }
    let mails: Vec<Scored> = mails.iter().map(|mail| judge.data(mail, false)).collect::<Result<_>>()?;
    lines.push(Line::new("false alarms", "the mails (25)", flagged(&mails, false), ""));
    lines.push(Line::new(
        "false alarms",
        "passages of finance, law, medicine, news (200)",
        flagged(&passages, false),
        "",
    ));
    Ok(lines)
}

/// False alarms by length: harmless rows of the evaluation, joined until they are so long.
///
/// # Errors
/// If the data is absent.
pub fn by_length() -> Result<Vec<Line>> {
    let mut texts: Vec<String> = Vec::new();
    for name in [
        "notinject_piguard/wildguard_benign",
        "notinject_piguard/notinject",
        "deepset_prompt_injections/train",
    ] {
        let rows: Vec<Row> = data::rows(&format!("eval/{name}.jsonl"))?;
        texts.extend(rows.into_iter().filter(|row| !row.label).map(|row| row.text));
    }
    for row in data::rows::<serde_json::Value>("eval/presidio_research/synth_dataset_v2_half.jsonl")? {
        texts.push(row["full_text"].as_str().unwrap_or_default().to_owned());
    }
    let mut dice = Dice::new(2);
    let mut line = |length: usize| -> Result<Line> {
        let joined = (0..400).map(|_| {
            let mut text = String::new();
            while text.len() < length {
                text.push_str(&texts[dice.below(texts.len())]);
                text.push('\n');
            }
            text.truncate(text.floor_char_boundary(length));
            Ok(score(&text, false))
        });
        let rows: Vec<Scored> = joined.collect::<Result<_>>()?;
        Ok(Line::new(
            "false alarms",
            format!("{length} characters of harmless rows, joined"),
            flagged(&rows, false),
            "1 %",
        ))
    };
    [200, 1000, 4000, 16_000].into_iter().map(&mut line).collect()
}

/// False alarms by language: lingua's sentences, all of them harmless.
///
/// # Errors
/// If the data is absent.
pub fn by_language() -> Result<Vec<Line>> {
    let rows: Vec<serde_json::Value> = data::rows("eval/langid_lingua/sentences.jsonl")?;
    let mut of: BTreeMap<&str, Vec<Scored>> = BTreeMap::new();
    let shown = ["en", "de", "fr", "es", "it", "pt", "nl", "ru", "zh", "ja", "ar"];
    for row in &rows {
        let (text, language) =
            (row["text"].as_str().unwrap_or_default(), row["lang"].as_str().unwrap_or_default());
        let scored = score(text, false);
        of.entry(language).or_default().push(scored);
        of.entry("all 75").or_default().push(scored);
    }
    let line = |language: &&str| {
        let rows = of.get(language).map_or(&[][..], Vec::as_slice);
        Line::new("false alarms", format!("sentences, {language}"), flagged(rows, false), "1 %")
    };
    Ok(["all 75"].iter().chain(&shown).map(line).collect())
}

//! Prompt injection: public sets that the model did not learn from, at thresholds that were fixed before.

use crate::data;
use crate::table::{Line, share};
use crate::train::{Dice, grammar};
use adyton_guardrail::injection;
use adyton_guardrail::injection::model::{Model, Threshold};
use anyhow::Result;
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
    threshold: Threshold,
}

impl Scored {
    /// Scores a text.
    pub fn of(model: &Model, text: &str, attack: bool) -> Scored {
        let injection::Score { value, threshold } = injection::score_with(model, text);
        Scored { attack, value, threshold }
    }

    fn flagged(&self, point: Point) -> bool {
        let threshold = match point {
            Point::Attack => self.threshold.attack,
            Point::Suspicion => self.threshold.suspicion,
        };
        self.value >= threshold
    }
}

fn scored(name: &str) -> Result<Vec<Scored>> {
    let rows: Vec<Row> = data::rows(name)?;
    Ok(rows.iter().map(|row| Scored::of(&injection::SHIPPED, &row.text, row.label)).collect())
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
    lines.extend(in_documents()?);
    Ok(lines)
}

/// BIPIA's attacks of the evaluation in its documents of the training data, and those documents without.
fn in_documents() -> Result<Vec<Line>> {
    let attacks: Vec<Row> = data::rows("eval/notinject_piguard/bipia_attacks.jsonl")?;
    let documents: Vec<serde_json::Value> = data::rows("train/bipia/email_train.jsonl")?;
    let mut dice = Dice::new(1);
    let mut rows = Vec::new();
    for (at, attack) in attacks.iter().enumerate() {
        let document = documents[at % documents.len()]["context"].as_str().unwrap_or_default();
        let carried = grammar::carried(&mut dice, document, Some(&attack.text));
        rows.push(Scored::of(&injection::SHIPPED, &carried, true));
        rows.push(Scored::of(&injection::SHIPPED, document, false));
    }
    let what = "BIPIA's attacks in its mails, and the mails (250)";
    Ok(vec![Line::new("F1", what, at_both(|point| format!("{:.3}", f1(&rows, point))), "0.76")])
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
    let mut line = |length: usize| {
        let joined = (0..400).map(|_| {
            let mut text = String::new();
            while text.len() < length {
                text.push_str(&texts[dice.below(texts.len())]);
                text.push('\n');
            }
            text.truncate(text.floor_char_boundary(length));
            Scored::of(&injection::SHIPPED, &text, false)
        });
        let rows: Vec<Scored> = joined.collect();
        Line::new(
            "false alarms",
            format!("{length} characters of harmless rows, joined"),
            flagged(&rows, false),
            "1 %",
        )
    };
    Ok([200, 1000, 4000, 16_000].map(&mut line).to_vec())
}

/// False alarms by language: lingua's sentences, all of them harmless.
///
/// # Errors
/// If the data is absent.
pub fn by_language() -> Result<Vec<Line>> {
    let rows: Vec<serde_json::Value> = data::rows("eval/langid_lingua/sentences.jsonl")?;
    let mut of: BTreeMap<&str, Vec<Scored>> = BTreeMap::new();
    for row in &rows {
        let (text, language) =
            (row["text"].as_str().unwrap_or_default(), row["lang"].as_str().unwrap_or_default());
        let scored = Scored::of(&injection::SHIPPED, text, false);
        of.entry(language).or_default().push(scored);
        of.entry("all 75").or_default().push(scored);
    }
    let shown = ["all 75", "en", "de", "fr", "es", "it", "pt", "nl", "ru", "zh", "ja", "ar"];
    let line = |language: &&str| {
        let rows = of.get(language).map_or(&[][..], Vec::as_slice);
        Line::new("false alarms", format!("sentences, {language}"), flagged(rows, false), "1 %")
    };
    Ok(shown.iter().map(line).collect())
}

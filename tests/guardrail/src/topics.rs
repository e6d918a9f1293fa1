//! Topics by examples, and inappropriate texts: rows that no example and no head was made from.

use crate::data;
use crate::table::{Line, share};
use crate::train::Dice;
use crate::train::features::Eyes;
use crate::train::orders::unseen_manners;
use adyton_guardrail::meaning::{Reader, scores};
use adyton_guardrail::{Known, Topic};
use anyhow::{Context, Result};
use serde_json::Value;

/// Topics that are told from each other: intents of BANKING77.
const INTENTS: [&str; 6] = [
    "card_arrival",
    "exchange_rate",
    "lost_or_stolen_card",
    "passcode_forgotten",
    "terminate_account",
    "request_refund",
];
/// Harmless texts of each set, and rows of BANKING77, that are read.
const READ: usize = 300;
/// Examples of each.
const EXAMPLES: usize = 20;

fn reader() -> Result<Reader> {
    let eyes = Eyes::open(1)?;
    Reader::of(eyes).context("the shipped heads were trained with another encoder")
}

fn texts(name: &str) -> Result<Vec<String>> {
    let rows = data::rows::<Value>(name)?;
    let harmless = rows.iter().filter(|row| row["label"] == 0 || row["label"] == "0");
    let mut texts = harmless.filter_map(|row| row["text"].as_str().map(str::to_owned)).collect::<Vec<_>>();
    Dice::new(5).shuffle(&mut texts);
    texts.truncate(READ);
    Ok(texts)
}

/// Harmless texts about everything.
fn others() -> Result<Vec<(&'static str, Vec<String>)>> {
    Ok(vec![
        ("WildGuard (harmless)", texts("eval/notinject_piguard/wildguard_benign.jsonl")?),
        ("NotInject", texts("eval/notinject_piguard/notinject.jsonl")?),
        ("deepset, harmless", texts("eval/deepset_prompt_injections/train.jsonl")?),
    ])
}

/// Topics: how much of them is found, and how often others are taken for them.
///
/// # Errors
/// If data or the encoder is absent.
pub fn measure() -> Result<Vec<Line>> {
    let reader = reader()?;
    let mut train = data::csv("train/topics_banking77/train.csv")?;
    Dice::new(3).shuffle(&mut train);
    let mut test = data::csv("eval/topics_banking77/test.csv")?;
    // Half are of the intents below, so that there are enough of each.
    Dice::new(6).shuffle(&mut test);
    test.sort_by_key(|row| !INTENTS.contains(&row[1].as_str()));
    let strangers = test.iter().position(|row| !INTENTS.contains(&row[1].as_str())).unwrap_or(0);
    test.truncate(strangers + READ);
    let topic = |name: &str, of: &dyn Fn(&str) -> bool| {
        let examples = train.iter().filter(|row| of(&row[1]) && (12..400).contains(&row[0].chars().count()));
        Topic { name: name.to_owned(), examples: examples.take(EXAMPLES).map(|row| row[0].clone()).collect() }
    };
    let mut topics = vec![topic("banking", &|_| true)];
    topics.extend(INTENTS.iter().map(|intent| topic(intent, &|of| of == *intent)));
    let known = Known::all(&topics, &reader)?;
    let (banking, intents) = known.split_first().context("there is no topic")?;
    let mut lines = Vec::new();
    let mut found = 0;
    let (mut own, mut own_all, mut strange, mut strange_all) = (0, 0, 0, 0);
    for row in &test {
        let vector = reader.vector(&row[0])?;
        found += usize::from(banking.has(&vector));
        for intent in intents {
            let has = usize::from(intent.has(&vector));
            if row[1] == intent.name() {
                own += has;
                own_all += 1;
            } else {
                strange += has;
                strange_all += 1;
            }
        }
    }
    lines.push(Line::new("a topic of 20 examples, found", "BANKING77, test", share(found, test.len()), ""));
    for (what, texts) in others()? {
        let mut wrong = 0;
        for text in &texts {
            wrong += usize::from(banking.has(&reader.vector(&text.chars().take(480).collect::<String>())?));
        }
        lines.push(Line::new("taken for it", what, share(wrong, texts.len()), "1 %"));
    }
    let what = "six intents of BANKING77, 20 examples each";
    lines.push(Line::new("found", what, share(own, own_all), ""));
    lines.push(Line::new("taken for one, of other intents", what, share(strange, strange_all), ""));
    Ok(lines)
}

/// Inappropriate texts.
///
/// # Errors
/// If data or the encoder is absent.
pub fn manners() -> Result<Vec<Line>> {
    let reader = reader()?;
    let at = |flagged: [usize; 2], all: usize| flagged.map(|flagged| share(flagged, all)).join("; ");
    let judged = |texts: &[String]| -> Result<([usize; 2], Vec<f32>)> {
        let (mut flagged, mut values) = ([0, 0], Vec::new());
        for text in texts {
            let score = scores::manners(text, &reader)?;
            flagged[0] += usize::from(score.is_attack());
            flagged[1] += usize::from(score.is_suspected());
            values.push(score.value);
        }
        Ok((flagged, values))
    };
    let unseen = unseen_manners()?;
    let of = |source: &str, toxic: bool| -> Vec<String> {
        unseen
            .iter()
            .filter(|(s, _, t)| *s == source && *t == toxic)
            .map(|(_, text, _)| text.clone())
            .collect()
    };
    let (bad, fine, asked) = (of("surge", true), of("surge", false), of("JailbreakBench", true));
    let ((bad_at, bad_values), (fine_at, fine_values)) = (judged(&bad)?, judged(&fine)?);
    let beaten = bad_values.iter().map(|b| fine_values.iter().filter(|f| b > f).count()).sum::<usize>();
    let area = beaten as f64 / (bad.len() * fine.len()).max(1) as f64;
    let mut lines = vec![
        Line::new("AUC", "surge's comments (1,000)", format!("{area:.3}"), ""),
        Line::new("toxic comments found", "surge", at(bad_at, bad.len()), ""),
        Line::new("false alarms", "surge", at(fine_at, fine.len()), ""),
        Line::new("harmful requests found", "JailbreakBench (100)", at(judged(&asked)?.0, asked.len()), ""),
    ];
    for (what, texts) in others()? {
        lines.push(Line::new("false alarms", what, at(judged(&texts)?.0, texts.len()), "1 %"));
    }
    Ok(lines)
}

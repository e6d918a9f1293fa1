//! From rows to a calibrated model.

use super::Dice;
use super::corpus::{self, Example};
use super::sgd::{self, Bag};
use crate::injection::Scored;
use adyton_guardrail::Canonical;
use adyton_guardrail::injection::features::{Places, normalised, windows};
use adyton_guardrail::injection::model::{LENGTHS, Model, Threshold};
use adyton_guardrail::injection::score_with;
use anyhow::{Result, ensure};
use std::collections::BTreeMap;

/// One row in so many is kept to calibrate with.
const KEPT: usize = 7;
const ROUNDS: usize = 8;
const FITS: usize = 4;
/// Harmless texts that may be taken for attacks when thresholds are set.
const FALSE_ALARMS: f64 = 0.01;
/// Sources that thresholds are set with by learning from all others.
const GROUPS: [&[&str]; 3] =
    [&["neuralchemy"], &["moderation", "surge"], &["banking77", "presidio_research", "tweets"]];
/// Harmless texts of each group.
const EACH: usize = 2000;
/// Texts of each length that are joined, and the longest, in bytes.
const JOINED: usize = 600;
/// See [`JOINED`].
const LONGEST: usize = 40_000;
/// Windows of one text that are learned from.
const WINDOWS: usize = 12;

/// What training did, for the model card.
#[derive(Debug)]
pub struct Report {
    /// Rows by source: attacks and harmless.
    pub rows: BTreeMap<&'static str, (usize, usize)>,
    /// Texts of the data for evaluation.
    pub held: usize,
    /// Rows that were left out because they are among them, or nearly.
    pub left_out: usize,
    /// Rows that were trained on and are among them: must be zero.
    pub overlap: usize,
    /// Share of kept attacks that are found, at the thresholds.
    pub recall: f64,
    /// Thresholds by length.
    pub thresholds: [Threshold; LENGTHS.len()],
    /// The rows of the source that was left out.
    pub strange: Vec<Scored>,
}

/// Trains a model, `without` one source if it says so: then the report says how the model does on that.
///
/// # Errors
/// If data is absent, or a row for training is also one for evaluation.
pub fn train(version: u32, seed: u64, without: Option<&str>) -> Result<(Model, Report)> {
    let mut dice = Dice::new(seed);
    let held = corpus::held()?;
    let mut examples = corpus::examples(&mut dice)?;
    let before = examples.len();
    examples.retain(|example| !held.has(&example.text));
    let left_out = before - examples.len();
    let overlap = examples.iter().filter(|example| held.has(&example.text)).count();
    ensure!(overlap == 0, "{overlap} rows for training are also in the data for evaluation");
    let rows = counted(&examples);
    let (strange, examples): (Vec<Example>, Vec<Example>) =
        examples.into_iter().partition(|example| Some(example.source) == without);
    let (kept, learned): (Vec<&Example>, Vec<&Example>) =
        examples.iter().partition(|example| example.only_to_calibrate || dice.below(KEPT) == 0);
    let mut model = learn(version, &learned, &mut dice);
    let harmless: Vec<&str> =
        kept.iter().filter(|example| !example.attack).map(|example| example.text.as_str()).collect();
    let score = |texts: Vec<String>| texts.iter().map(|text| score_with(&model, text).value).collect();
    let suspicions = rising(by_length(&harmless, &mut dice).map(score));
    let mut attacks = unseen(&examples, &mut dice).into_iter();
    let thresholds = suspicions.map(|suspicion| {
        let attack = attacks.next().unwrap_or(suspicion).max(suspicion);
        Threshold { attack, suspicion }
    });
    model.calibrate(thresholds);
    let found = |example: &&&Example| score_with(&model, &example.text).is_attack();
    let known = kept.iter().filter(|example| example.attack);
    let recall = known.clone().filter(found).count() as f64 / known.count().max(1) as f64;
    let strange = strange.iter().map(|example| Scored::of(&model, &example.text, example.attack)).collect();
    Ok((model, Report { rows, held: held.len(), left_out, overlap, recall, thresholds, strange }))
}

fn counted(examples: &[Example]) -> BTreeMap<&'static str, (usize, usize)> {
    let mut rows: BTreeMap<&'static str, (usize, usize)> = BTreeMap::new();
    for example in examples {
        let (attacks, harmless) = rows.entry(example.source).or_default();
        *if example.attack { attacks } else { harmless } += 1;
    }
    rows
}

/// Fits a model, not calibrated yet.
fn learn(version: u32, examples: &[&Example], dice: &mut Dice) -> Model {
    let attacks = examples.iter().filter(|example| example.attack).count();
    let ratio = attacks as f32 / (examples.len() - attacks).max(1) as f32;
    eprintln!("{attacks} attacks, {} harmless texts", examples.len() - attacks);
    let mut places = Places::default();
    let bags: Vec<Bag> = examples
        .iter()
        .map(|example| bag(&mut places, example, if example.attack { 1.0 } else { ratio }))
        .collect();
    // The mean of several fits errs less than each: what one order of the rows taught by accident, the others did not.
    let fitted = sgd::mean((0..FITS).map(|_| sgd::fit(&bags, ROUNDS, dice)).collect());
    Model::quantised(version, &fitted.weights, fitted.bias, clip(&fitted.weights))
}

/// For each length the score that one harmless text in a hundred reaches if nothing was learned from its source: for each
/// group a model that learned from the others. What comes tomorrow is from no source that was learned from.
fn unseen(examples: &[Example], dice: &mut Dice) -> [f32; LENGTHS.len()] {
    let mut scores: [Vec<f32>; LENGTHS.len()] = Default::default();
    for group in GROUPS {
        let learned: Vec<&Example> = examples
            .iter()
            .filter(|example| !example.only_to_calibrate && !group.contains(&example.source))
            .collect();
        let model = learn(0, &learned, dice);
        let strange = |example: &&Example| !example.attack && group.contains(&example.source);
        let mut texts: Vec<&str> =
            examples.iter().filter(strange).map(|example| example.text.as_str()).collect();
        dice.shuffle(&mut texts);
        texts.truncate(EACH);
        for (scores, texts) in scores.iter_mut().zip(by_length(&texts, dice)) {
            scores.extend(texts.iter().map(|text| score_with(&model, text).value));
        }
    }
    rising(scores)
}

/// Harmless texts of each length: those that are so long, and if they are few, others joined until they are.
fn by_length(texts: &[&str], dice: &mut Dice) -> [Vec<String>; LENGTHS.len()] {
    let mut shorter = 0;
    LENGTHS.map(|longest| {
        let longest = longest.min(LONGEST);
        let least = shorter;
        shorter = longest;
        let fits = |text: &&&str| (least + 1..=longest).contains(&text.chars().count());
        let mut found: Vec<String> = texts.iter().filter(fits).map(|text| (*text).to_owned()).collect();
        for _ in found.len()..if least == 0 { 0 } else { JOINED } {
            found.push(joined(texts, least + (longest - least) / 4, longest, dice));
        }
        found
    })
}

/// The score that one in a hundred reaches, for each length; a longer text has all the windows of a shorter one.
fn rising(scores: [Vec<f32>; LENGTHS.len()]) -> [f32; LENGTHS.len()] {
    let mut least = f32::NEG_INFINITY;
    scores.map(|mut scores| {
        least = least.max(at_false_alarms(&mut scores));
        least + f32::EPSILON
    })
}

/// The score above which one in a hundred lies.
fn at_false_alarms(scores: &mut [f32]) -> f32 {
    scores.sort_by(|a, b| b.total_cmp(a));
    scores.get((scores.len() as f64 * FALSE_ALARMS) as usize).copied().unwrap_or(0.0)
}

fn bag(places: &mut Places, example: &Example, weight: f32) -> Bag {
    let canonical = Canonical::of(&example.text);
    let text = normalised(canonical.folded());
    let windows = windows(&text).take(WINDOWS).map(|window| places.of(window).to_vec()).collect();
    Bag { windows, attack: example.attack, weight }
}

/// Beyond this a weight counts as it: one in a thousand of those that are not zero is.
fn clip(weights: &[f32]) -> f32 {
    let mut sizes: Vec<f32> = weights.iter().map(|weight| weight.abs()).filter(|size| *size > 0.0).collect();
    sizes.sort_by(f32::total_cmp);
    sizes.get(sizes.len() * 999 / 1000).copied().unwrap_or(1.0)
}

fn joined(texts: &[&str], least: usize, most: usize, dice: &mut Dice) -> String {
    let wanted = least + dice.below(most - least);
    let mut text = String::new();
    while text.len() < wanted {
        text.push_str(texts[dice.below(texts.len())]);
        text.push('\n');
    }
    text.truncate(text.floor_char_boundary(most));
    text
}

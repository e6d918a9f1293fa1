//! From rows to calibrated heads, which judge by what an encoder says.

use super::Dice;
use super::dedup::Held;
use super::features::Memory;
use super::network::{self, Row};
use super::orders::{self, Document};
use adyton_guardrail::injection::model::{LENGTHS, Threshold};
use adyton_guardrail::meaning::head::Head;
use anyhow::{Result, ensure};
use std::collections::BTreeMap;

/// Of harmless texts of sources that nothing was learned from: so many may be blocked, or be suspected.
const BLOCKED: f64 = 0.01;
/// See [`BLOCKED`].
const SUSPECTED: f64 = 0.05;
/// Documents of each length that are made of the pieces of others.
const MADE: usize = 2000;
/// Parts of the harmless documents of data that thresholds are set with by learning from the others. There are too few kinds of
/// documents to leave one out: a head that has seen no mail takes every mail for orders.
const PARTS: usize = 4;
/// Of those, which count: people shout in comments and tweets, and documents do not.
const DOCUMENTS: [&str; 4] = ["mails", "code", "tables", "presidio_research"];
/// Sources of harmless texts whose heads learn from all others, in turn.
const OF_MANNERS: [&[&str]; 3] =
    [&["neuralchemy"], &["moderation", "banking77"], &["tweets", "presidio_research", "grammar"]];

/// A head, and what it learned from: rows by source, those looked for and the others.
pub type Trained = (Head, BTreeMap<&'static str, (usize, usize)>);

/// The scores of harmless texts by length, and what they say.
#[derive(Default)]
struct Scores([Vec<f32>; LENGTHS.len()]);

impl Scores {
    /// The score that this share reaches, for each length. A longer text has more pieces that may be wrong; where few texts are
    /// so long, what shorter ones reach counts.
    fn reached(&mut self, share: f64) -> [f32; LENGTHS.len()] {
        let mut least = f32::MIN;
        let mut reached = [0.0; LENGTHS.len()];
        for (scores, reached) in self.0.iter_mut().zip(&mut reached) {
            scores.sort_by(|a, b| b.total_cmp(a));
            least =
                least.max(scores.get((scores.len() as f64 * share) as usize).copied().unwrap_or(f32::MIN));
            *reached = least + f32::EPSILON;
        }
        reached
    }

    fn thresholds(&mut self) -> [Threshold; LENGTHS.len()] {
        let (attack, mut suspicion) = (self.reached(BLOCKED), self.reached(SUSPECTED).into_iter());
        attack.map(|attack| Threshold { attack, suspicion: suspicion.next().unwrap_or(attack).min(attack) })
    }
}

fn count(counted: &mut BTreeMap<&'static str, (usize, usize)>, source: &'static str, positive: bool) {
    let (yes, no) = counted.entry(source).or_default();
    *if positive { yes } else { no } += 1;
}

/// Trains the head for data.
///
/// # Errors
/// If data or the encoder is absent.
pub fn orders(version: u32, seed: u64, held: &Held, memory: &mut Memory) -> Result<Trained> {
    let mut dice = Dice::new(seed);
    let documents = orders::of_data(held, &mut dice)?;
    let part = |part: usize| move |at: usize, of: &Document| !of.positive && at % PARTS == part;
    let counts = |document: &Document| DOCUMENTS.contains(&document.source);
    let parts: Vec<_> = (0..PARTS).map(part).collect();
    of_documents(version, &documents, &parts, &counts, memory, &mut dice)
}

/// Trains the head of inappropriate texts.
///
/// # Errors
/// If data or the encoder is absent.
pub fn manners(version: u32, seed: u64, held: &Held, memory: &mut Memory) -> Result<Trained> {
    let mut dice = Dice::new(seed);
    let mut held = held.clone();
    orders::unseen_manners()?.iter().for_each(|(_, text, _)| held.add(text));
    let documents = orders::of_manners(&held, &mut dice)?;
    let group = |group: &'static [&str]| move |_: usize, of: &Document| group.contains(&of.source);
    let groups: Vec<_> = OF_MANNERS.into_iter().map(group).collect();
    of_documents(version, &documents, &groups, &|_| true, memory, &mut dice)
}

/// The features of a document's pieces, with the characters of each.
type Read = Vec<(usize, Vec<f32>)>;

/// Trains a head. `parts` says of a document whether it is left out when thresholds are set with the part, `counts` whether
/// they are set with it.
fn of_documents(
    version: u32,
    documents: &[Document],
    parts: &[impl Fn(usize, &Document) -> bool],
    counts: &dyn Fn(&Document) -> bool,
    memory: &mut Memory,
    dice: &mut Dice,
) -> Result<Trained> {
    let mut counted = BTreeMap::new();
    let mut read: Vec<Read> = Vec::new();
    for document in documents {
        count(&mut counted, document.source, document.positive);
        let one = |piece: &String| Ok((piece.chars().count(), memory.of(piece)?.to_vec()));
        read.push(document.pieces.iter().map(one).collect::<Result<_>>()?);
    }
    ensure!(!read.is_empty(), "there is nothing to learn from");
    let fit = |without: &dyn Fn(usize, &Document) -> bool, dice: &mut Dice| {
        let mut rows = Vec::new();
        let kept =
            documents.iter().zip(&read).enumerate().filter(|(at, (document, _))| !without(*at, document));
        for (_, (document, read)) in kept {
            // Of what is looked for, the first piece shows it.
            let most = if document.positive { 1 } else { 40 };
            let row = |(_, features)| Row { features, positive: document.positive, weight: 1.0 };
            rows.extend(read.iter().take(most).map(|(length, features)| row((length, features.as_slice()))));
        }
        network::fit(&rows, dice)
    };
    let probe = memory.probe()?;
    let mut head = Head::quantised(version, &fit(&|_, _| false, dice), &probe);
    let mut scores = Scores::default();
    for part in parts {
        let strange = Head::quantised(0, &fit(part, dice), &probe);
        let scored: Vec<Vec<(usize, f32)>> = documents
            .iter()
            .zip(&read)
            .enumerate()
            .filter(|(at, (document, _))| !document.positive && part(*at, document) && counts(document))
            .map(|(_, (_, read))| {
                read.iter().map(|(length, features)| (*length, strange.score(features))).collect()
            })
            .collect();
        made(&scored, &mut scores, dice);
    }
    head.thresholds = scores.thresholds();
    Ok((head, counted))
}

/// Documents of each length, made of the pieces of others in their order: the highest score of each.
fn made(documents: &[Vec<(usize, f32)>], scores: &mut Scores, dice: &mut Dice) {
    if documents.is_empty() {
        return;
    }
    let mut shorter = 8;
    for (longest, scores) in LENGTHS.iter().zip(&mut scores.0) {
        let longest = (*longest).min(40_000);
        for _ in 0..MADE {
            let wanted = shorter + dice.below(longest - shorter);
            let (mut length, mut highest) = (0, f32::MIN);
            while length < wanted {
                let document = &documents[dice.below(documents.len())];
                for (characters, score) in document.iter().skip(dice.below(document.len())) {
                    if length < wanted {
                        highest = highest.max(*score);
                    }
                    length += characters + 1;
                }
            }
            scores.push(highest);
        }
        shorter = longest;
    }
}

//! Labelled texts as a head sees them, from the data sets or from the grammar.

use crate::dice::Dice;
use adyton_guardrail::Canonical;
use adyton_guardrail::injection::features::{Places, normalised, windows};
use adyton_guardrail_eval::train::{self, corpus, grammar};
use adyton_learning::round::head::{Example, fold};

/// Windows of one text that are looked at.
const WINDOWS: usize = 3;

/// One text and where it is from.
#[derive(Clone, Debug)]
pub struct Text {
    /// As a head sees it.
    pub example: Example,
    /// Its source.
    pub source: &'static str,
}

/// Texts of a dimension, in an order by lot.
#[derive(Debug)]
pub struct Texts {
    /// All of them.
    pub all: Vec<Text>,
    /// Where they are from, for the table's title.
    pub origin: &'static str,
}

fn example(places: &mut Places, text: &str, attack: bool, dimension: u32) -> Example {
    let canonical = Canonical::of(text);
    let form = normalised(canonical.folded());
    let windows = windows(&form).take(WINDOWS).map(|window| fold(places.of(window), dimension)).collect();
    Example { windows, attack }
}

/// At most so many of each source and label of the data sets; of the grammar, where they are absent.
pub fn load(dimension: u32, most: usize, dice: &mut Dice) -> Texts {
    let mut rows: Vec<(String, bool, &'static str)> = match corpus::examples(&mut train::Dice::new(1)) {
        Ok(rows) => rows
            .into_iter()
            .filter(|row| !row.only_to_calibrate)
            .map(|row| (row.text, row.attack, row.source))
            .collect(),
        Err(_) => return made(dimension, most * 4, dice),
    };
    dice.shuffle(&mut rows);
    let mut counts = std::collections::HashMap::new();
    rows.retain(|(_, attack, source)| {
        let count = counts.entry((*attack, *source)).or_insert(0);
        *count += 1;
        *count <= most
    });
    let mut places = Places::default();
    let text = |(text, attack, source): (String, bool, &'static str)| Text {
        example: example(&mut places, &text, attack, dimension),
        source,
    };
    Texts { all: rows.into_iter().map(text).collect(), origin: "the data sets for training" }
}

/// So many texts of the grammar, half of them attacks; three made-up sources by their length.
pub fn made(dimension: u32, count: usize, dice: &mut Dice) -> Texts {
    let mut seed = train::Dice::new(2);
    let attacks = grammar::attacks(&mut seed);
    let short: Vec<String> = attacks.iter().filter(|text| text.len() < 120).cloned().collect();
    let mut harmless = grammar::harmless(&mut seed, &short);
    let mut attacks = attacks;
    dice.shuffle(&mut attacks);
    dice.shuffle(&mut harmless);
    let mut places = Places::default();
    let pairs = attacks.into_iter().zip(harmless).take(count / 2);
    let rows = pairs.flat_map(|(attack, harmless)| [(attack, true), (harmless, false)]);
    let text = |(text, attack): (String, bool)| Text {
        example: example(&mut places, &text, attack, dimension),
        source: ["short", "middle", "long"][(text.len() / 50).min(2)],
    };
    let mut all: Vec<Text> = rows.map(text).collect();
    dice.shuffle(&mut all);
    Texts { all, origin: "texts made by the grammar (the data sets are absent)" }
}

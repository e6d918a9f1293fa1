//! Topics, described by examples in the policy pack: what a text is about, without training.
//!
//! A text is as near to a topic as the mean of the cosines to its two nearest examples. How near is near enough follows from the
//! examples themselves (each against the others), and from sentences about other things (`data/background.txt`).
//!
//! Promises
//! - The same file and encoder give the same bounds; nothing is learned from requests.
//! - Where examples are no nearer to each other than to other things, the other things stay out, and most of the topic with them.
//!
//! Does not: judge texts of fewer than [`SHORTEST`] characters, which are about nothing ("yes, please").

use crate::meaning::pieces::{PARAGRAPH, pieces};
use crate::meaning::{Reader, Unread};
use crate::settings::SettingsError;
use serde::Deserialize;
use zeroize::Zeroizing;

/// Characters of the shortest text that is about something.
pub(crate) const SHORTEST: usize = 16;
/// Fewest and most examples of a topic.
const EXAMPLES: std::ops::RangeInclusive<usize> = 5..=64;
/// Characters of an example.
const LENGTHS: std::ops::RangeInclusive<usize> = 12..=400;
/// Of the examples, each against the others, so many in a hundred may lie below the bound.
const MISSED: usize = 10;
/// And of sentences about other things, so many in a hundred above it.
const WRONG: usize = 1;

/// A topic as the policy pack describes it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Topic {
    /// What settings call it.
    pub name: String,
    /// Texts that are about it.
    pub examples: Vec<String>,
}

impl Topic {
    pub(crate) fn check(&self) -> Result<(), SettingsError> {
        let fits = |example: &String| LENGTHS.contains(&example.chars().count());
        match EXAMPLES.contains(&self.examples.len()) && self.examples.iter().all(fits) {
            true => Ok(()),
            false => Err(SettingsError::Examples(self.name.clone())),
        }
    }
}

/// Sentences about many things, each of which is about no topic of most.
pub fn background() -> impl Iterator<Item = &'static str> {
    include_str!("../data/background.txt").lines().filter(|line| !line.is_empty())
}

/// A topic whose examples were read.
#[derive(Clone)]
pub struct Known {
    name: String,
    examples: Vec<Zeroizing<Vec<f32>>>,
    bound: f32,
}

impl std::fmt::Debug for Known {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Known({}, {} examples)", self.name, self.examples.len())
    }
}

impl Known {
    /// Reads the examples of topics, and sets their bounds.
    ///
    /// # Errors
    /// [`Unread`]
    pub fn all(topics: &[Topic], reader: &Reader) -> Result<Vec<Known>, Unread> {
        if topics.is_empty() {
            return Ok(Vec::new());
        }
        let others: Vec<_> = background().map(|text| reader.vector(text)).collect::<Result<_, _>>()?;
        topics.iter().map(|topic| Known::of(topic, &others, reader)).collect()
    }

    fn of(topic: &Topic, others: &[Zeroizing<Vec<f32>>], reader: &Reader) -> Result<Known, Unread> {
        let examples: Vec<_> =
            topic.examples.iter().map(|text| reader.vector(text)).collect::<Result<_, _>>()?;
        let left_out = |at: usize| {
            nearness(
                examples.iter().enumerate().filter(move |(other, _)| *other != at).map(|(_, e)| e),
                examples.get(at),
            )
        };
        let mut own: Vec<f32> = (0..examples.len()).map(left_out).collect();
        let mut strange: Vec<f32> =
            others.iter().map(|other| nearness(examples.iter(), Some(other))).collect();
        own.sort_by(f32::total_cmp);
        strange.sort_by(|a, b| b.total_cmp(a));
        let at = |list: &[f32], percent: usize| list.get(list.len() * percent / 100).copied().unwrap_or(0.0);
        // Between what is other and what is own; where they overlap, it is the others that must stay out.
        let (low, high) = (at(&strange, WRONG), at(&own, MISSED));
        let bound = low.max((low + high) / 2.0);
        Ok(Known { name: topic.name.clone(), examples, bound })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether the vector of a text is about it.
    pub fn has(&self, vector: &Zeroizing<Vec<f32>>) -> bool {
        nearness(self.examples.iter(), Some(vector)) >= self.bound
    }
}

/// The mean of the cosines to the two nearest.
fn nearness<'a>(
    examples: impl Iterator<Item = &'a Zeroizing<Vec<f32>>>,
    text: Option<&Zeroizing<Vec<f32>>>,
) -> f32 {
    let Some(text) = text else { return 0.0 };
    let cosine =
        |example: &Zeroizing<Vec<f32>>| example.iter().zip(text.iter()).map(|(a, b)| a * b).sum::<f32>();
    let mut nearest = [-1f32; 2];
    for cosine in examples.map(cosine) {
        match nearest {
            [first, _] if cosine > first => nearest = [cosine, first],
            [first, second] if cosine > second => nearest = [first, cosine],
            _ => {}
        }
    }
    (nearest[0] + nearest[1]) / 2.0
}

/// What came of looking for topics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum About {
    /// Nothing that matters.
    Fine,
    /// A part of it is about a topic that is not served.
    Denied,
    /// Most of it is about none that is served.
    Other,
}

/// What a text is about.
///
/// # Errors
/// [`Unread`]
pub(crate) fn about(
    text: &str,
    known: &[Known],
    (allowed, denied): (&[String], &[String]),
    reader: &Reader,
) -> Result<About, Unread> {
    let named = |names: &[String], vector: &Zeroizing<Vec<f32>>| {
        known.iter().any(|k| names.contains(&k.name) && k.has(vector))
    };
    let (mut all, mut fit) = (0, 0);
    for piece in pieces(text, PARAGRAPH).iter().filter(|piece| piece.chars().count() >= SHORTEST) {
        let vector = reader.vector(piece)?;
        if named(denied, &vector) {
            return Ok(About::Denied);
        }
        all += 1;
        fit += usize::from(named(allowed, &vector));
    }
    Ok(if allowed.is_empty() || fit * 2 >= all { About::Fine } else { About::Other })
}

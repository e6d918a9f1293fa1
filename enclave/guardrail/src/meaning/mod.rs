//! What a text means, in numbers: the port to an encoder, and what heads are fed.
//!
//! Promises
//! - An encoder that gives no rows, or rows of another shape, is an error, and whoever asked blocks.
//! - An encoder that is not the one that heads were trained with is known by a probe before the first text.
//!
//! Does not: have an encoder. The worker hands one in if the release has one; without it only n-grams judge.
//!
//! Trusts: the encoder's numbers. Its weights are measured like this code.

pub mod head;
pub mod pieces;
pub mod scores;

use std::fmt;
use std::sync::Arc;
use thiserror::Error;
use zeroize::Zeroizing;

/// Layers after which heads look. After four of six, words and form are still there, and a third of the work is not done.
pub const LAYERS: usize = 4;
/// Elements of a row.
pub const WIDTH: usize = 384;
/// What a head is fed: the mean of a text's rows, and its first row.
pub const FEATURES: usize = 2 * WIDTH;
/// A text that tells encoders apart.
pub(crate) const PROBE: &str = "Adyton knows its encoder again by these words.";

/// A text could not be read. It carries no text.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("the encoder gave no numbers for a text")]
pub struct Unread;

/// What turns texts into numbers. Texts are at most a window long, and nothing is cut from them.
pub trait Encoder: Send + Sync {
    /// The rows of a text after [`LAYERS`] layers, (tokens, [`WIDTH`]).
    ///
    /// # Errors
    /// [`Unread`]
    fn rows(&self, text: &str) -> Result<Zeroizing<Vec<f32>>, Unread>;

    /// The vector of a text after all layers, (`WIDTH`), of length 1.
    ///
    /// # Errors
    /// [`Unread`]
    fn vector(&self, text: &str) -> Result<Zeroizing<Vec<f32>>, Unread>;
}

/// An encoder that was probed. `Debug` prints nothing of it.
#[derive(Clone)]
pub struct Reader(Arc<dyn Encoder>);

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reader")
    }
}

impl Reader {
    /// Probes an encoder; `None` if it is not the one that the shipped heads were trained with.
    pub fn of(encoder: Arc<dyn Encoder>) -> Option<Reader> {
        let reader = Reader(encoder);
        let features = reader.features(PROBE).ok()?;
        head::SHIPPED.iter().all(|head| head.knows(&features)).then_some(reader)
    }

    /// For whoever trains heads: without a probe.
    pub fn unprobed(encoder: Arc<dyn Encoder>) -> Reader {
        Reader(encoder)
    }

    /// What heads are fed of the probe.
    ///
    /// # Errors
    /// [`Unread`]
    pub fn probe(&self) -> Result<Zeroizing<Vec<f32>>, Unread> {
        self.features(PROBE)
    }

    /// What heads are fed of a text, ([`FEATURES`]).
    ///
    /// # Errors
    /// [`Unread`]
    pub fn features(&self, text: &str) -> Result<Zeroizing<Vec<f32>>, Unread> {
        let rows = self.0.rows(text)?;
        let (rows, rest) = rows.as_chunks::<WIDTH>();
        let first = rows.first().filter(|_| rest.is_empty()).ok_or(Unread)?;
        let mut features = Zeroizing::new(vec![0.0; WIDTH]);
        let share = 1.0 / rows.len() as f32;
        for row in rows {
            features.iter_mut().zip(row).for_each(|(mean, x)| *mean += x * share);
        }
        features.extend_from_slice(first);
        Ok(features)
    }

    /// The vector of a text, ([`WIDTH`]).
    ///
    /// # Errors
    /// [`Unread`]
    pub fn vector(&self, text: &str) -> Result<Zeroizing<Vec<f32>>, Unread> {
        let vector = self.0.vector(text)?;
        if vector.len() == WIDTH { Ok(vector) } else { Err(Unread) }
    }
}

//! What a caller may ask of sampling, checked once.
//!
//! Promises: a [`Sampling`] holds values inside their ranges only; its fields are private, so there is no other kind.

use crate::grammar::Shape;
use adyton_guardrail::Text;
use thiserror::Error;

/// Most stop strings (OpenAI API, `stop`).
pub const MAX_STOPS: usize = 4;
/// Longest stop string, in bytes: as much text may be held back.
pub const MAX_STOP_BYTES: usize = 256;

/// Most likeliest tokens that are told beside the chosen one (OpenAI API, `top_logprobs`).
pub const MAX_LIKELIEST: usize = 20;
/// Most biased tokens (OpenAI's own limit is 300 as well).
pub const MAX_BIASES: usize = 300;

/// A value out of its range; the request is to blame.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum SamplingError {
    /// Not from 0 to 2.
    #[error("temperature must be from 0 to 2")]
    Temperature,
    /// Not above 0 and at most 1.
    #[error("top_p must be above 0 and at most 1")]
    TopP,
    /// Not from 0 to 1.
    #[error("min_p must be from 0 to 1")]
    MinP,
    /// Not from -2 to 2.
    #[error("presence_penalty must be from -2 to 2")]
    PresencePenalty,
    /// Not from -2 to 2.
    #[error("frequency_penalty must be from -2 to 2")]
    FrequencyPenalty,
    /// Not above 0 and at most 2.
    #[error("repetition_penalty must be above 0 and at most 2")]
    RepetitionPenalty,
    /// More than [`MAX_STOPS`], or one that is empty or over [`MAX_STOP_BYTES`].
    #[error("stop must hold at most 4 strings of 1 to 256 bytes")]
    Stop,
    /// Zero.
    #[error("max_tokens must be at least 1")]
    MaxTokens,
    /// More than [`MAX_LIKELIEST`].
    #[error("top_logprobs must be from 0 to 20")]
    Likeliest,
    /// More than [`MAX_BIASES`], or one that is not from -100 to 100.
    #[error("logit_bias must hold at most 300 values from -100 to 100")]
    Biases,
}

/// How long the answer may become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Length {
    /// As long as the context allows.
    Context,
    /// As many tokens as this, for which the context must have room.
    Reserved(usize),
    /// As many tokens as this, or fewer where the context ends.
    UpTo(usize),
}

impl Length {
    /// The most tokens that the answer may have where the context has room for `room`. The error is the number of
    /// tokens that it would have had to have room for.
    pub(crate) fn within(self, room: usize) -> Result<usize, usize> {
        let (most, needed) = match self {
            Length::Context => (room, 1),
            Length::Reserved(tokens) => (tokens, tokens),
            Length::UpTo(tokens) => (tokens.min(room), 1),
        };
        if needed <= room { Ok(most) } else { Err(needed) }
    }
}

/// How the next token is chosen. The order is that of vLLM: penalties, temperature, min-p, top-k, top-p, draw.
///
/// Ranges are those of the OpenAI API ("Create chat completion") and, for `top_k`, `min_p` and
/// `repetition_penalty`, of vLLM.
#[derive(Clone, Debug, PartialEq)]
pub struct Sampling {
    pub(crate) seed: u64,
    pub(crate) temperature: f32,
    pub(crate) top_p: f32,
    pub(crate) top_k: usize,
    pub(crate) min_p: f32,
    pub(crate) presence: f32,
    pub(crate) frequency: f32,
    pub(crate) repetition: f32,
    pub(crate) stops: Vec<Text>,
    pub(crate) length: Length,
    /// Tell how likely each token was, and so many of the likeliest.
    pub(crate) likeliest: Option<usize>,
    /// Added to the logits of tokens.
    pub(crate) biases: Vec<(u32, f32)>,
    /// What the answer must be.
    pub(crate) shape: Option<Shape>,
}

impl Sampling {
    /// Temperature 1, nothing cut off, no penalty, no stop string, as many tokens as the context holds.
    ///
    /// The engine has no source of randomness: the same model, prompt, settings and seed give the same answer.
    pub fn new(seed: u64) -> Sampling {
        Sampling {
            seed,
            temperature: 1.0,
            top_p: 1.0,
            top_k: 0,
            min_p: 0.0,
            presence: 0.0,
            frequency: 0.0,
            repetition: 1.0,
            stops: Vec::new(),
            length: Length::Context,
            likeliest: None,
            biases: Vec::new(),
            shape: None,
        }
    }

    /// Always the likeliest token.
    pub fn greedy() -> Sampling {
        Sampling { temperature: 0.0, ..Sampling::new(0) }
    }

    /// Divides the logits; 0 takes the likeliest token. From 0 to 2.
    ///
    /// # Errors
    /// [`SamplingError::Temperature`]
    pub fn temperature(self, temperature: f32) -> Result<Sampling, SamplingError> {
        let fits = (0.0..=2.0).contains(&temperature);
        if fits { Ok(Sampling { temperature, ..self }) } else { Err(SamplingError::Temperature) }
    }

    /// Keeps the likeliest tokens that together reach this probability. Above 0, at most 1 (all).
    ///
    /// # Errors
    /// [`SamplingError::TopP`]
    pub fn top_p(self, top_p: f32) -> Result<Sampling, SamplingError> {
        let fits = top_p > 0.0 && top_p <= 1.0;
        if fits { Ok(Sampling { top_p, ..self }) } else { Err(SamplingError::TopP) }
    }

    /// Keeps this many of the likeliest tokens; 0 keeps all.
    pub fn top_k(self, top_k: u32) -> Sampling {
        Sampling { top_k: top_k as usize, ..self }
    }

    /// Drops tokens less likely than this share of the likeliest. From 0 (none) to 1.
    ///
    /// # Errors
    /// [`SamplingError::MinP`]
    pub fn min_p(self, min_p: f32) -> Result<Sampling, SamplingError> {
        let fits = (0.0..=1.0).contains(&min_p);
        if fits { Ok(Sampling { min_p, ..self }) } else { Err(SamplingError::MinP) }
    }

    /// Subtracted from the logit of each token that the answer holds already. From -2 to 2.
    ///
    /// # Errors
    /// [`SamplingError::PresencePenalty`]
    pub fn presence_penalty(self, presence: f32) -> Result<Sampling, SamplingError> {
        let fits = (-2.0..=2.0).contains(&presence);
        if fits { Ok(Sampling { presence, ..self }) } else { Err(SamplingError::PresencePenalty) }
    }

    /// Subtracted from a logit once for each time that the answer holds the token. From -2 to 2.
    ///
    /// # Errors
    /// [`SamplingError::FrequencyPenalty`]
    pub fn frequency_penalty(self, frequency: f32) -> Result<Sampling, SamplingError> {
        let fits = (-2.0..=2.0).contains(&frequency);
        if fits { Ok(Sampling { frequency, ..self }) } else { Err(SamplingError::FrequencyPenalty) }
    }

    /// Divides positive and multiplies negative logits of tokens in the prompt or the answer. Above 0, at most 2;
    /// 1 changes nothing.
    ///
    /// # Errors
    /// [`SamplingError::RepetitionPenalty`]
    pub fn repetition_penalty(self, repetition: f32) -> Result<Sampling, SamplingError> {
        let fits = repetition > 0.0 && repetition <= 2.0;
        if fits { Ok(Sampling { repetition, ..self }) } else { Err(SamplingError::RepetitionPenalty) }
    }

    /// Strings that end the answer and are not part of it.
    ///
    /// # Errors
    /// [`SamplingError::Stop`]
    pub fn stop(self, stops: impl IntoIterator<Item = Text>) -> Result<Sampling, SamplingError> {
        let stops: Vec<Text> = stops.into_iter().take(MAX_STOPS + 1).collect();
        let fits = stops.len() <= MAX_STOPS
            && stops.iter().all(|s| (1..=MAX_STOP_BYTES).contains(&s.expose().len()));
        if fits { Ok(Sampling { stops, ..self }) } else { Err(SamplingError::Stop) }
    }

    /// With each token, tell how likely it was, and `count` of the likeliest. At most [`MAX_LIKELIEST`].
    ///
    /// # Errors
    /// [`SamplingError::Likeliest`]
    pub fn likeliest(self, count: usize) -> Result<Sampling, SamplingError> {
        let fits = count <= MAX_LIKELIEST;
        if fits { Ok(Sampling { likeliest: Some(count), ..self }) } else { Err(SamplingError::Likeliest) }
    }

    /// Added to the logits of these tokens. From -100 to 100, at most [`MAX_BIASES`]; unknown tokens change nothing.
    ///
    /// # Errors
    /// [`SamplingError::Biases`]
    pub fn biases(self, biases: Vec<(u32, f32)>) -> Result<Sampling, SamplingError> {
        let fits = biases.len() <= MAX_BIASES && biases.iter().all(|(_, b)| (-100.0..=100.0).contains(b));
        if fits { Ok(Sampling { biases, ..self }) } else { Err(SamplingError::Biases) }
    }

    /// What the answer must be, unless it is cut by its length.
    pub fn shape(self, shape: Shape) -> Sampling {
        Sampling { shape: Some(shape), ..self }
    }

    /// Another seed for the same settings, as for the further answers to one request.
    pub fn reseeded(self, seed: u64) -> Sampling {
        Sampling { seed, ..self }
    }

    /// The seed.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Most tokens of the answer. A generation that has less room in its context does not start.
    ///
    /// # Errors
    /// [`SamplingError::MaxTokens`]
    pub fn max_tokens(self, max_tokens: usize) -> Result<Sampling, SamplingError> {
        self.length(Length::Reserved(max_tokens), max_tokens)
    }

    /// Most tokens of the answer. Where the context has less room, the answer may end earlier; where it has none, the
    /// generation does not start.
    ///
    /// # Errors
    /// [`SamplingError::MaxTokens`]
    pub fn up_to(self, max_tokens: usize) -> Result<Sampling, SamplingError> {
        self.length(Length::UpTo(max_tokens), max_tokens)
    }

    fn length(self, length: Length, tokens: usize) -> Result<Sampling, SamplingError> {
        if tokens > 0 { Ok(Sampling { length, ..self }) } else { Err(SamplingError::MaxTokens) }
    }
}

//! One answer in the making: a prompt, what was chosen so far, and how to choose.
//!
//! Promises
//! - Starts from a [`Screened<Prompt>`] only; no other way leads tokens from outside into the model.
//! - Tokens, keys, values and held text are wiped when the answer is over.
//! - The same model, prompt, settings and seed give the same answer, whatever runs beside it.
//!
//! Does not: wipe the sampler's counts of tokens, which it frees. Does not run by itself; an [`Engine`](crate::Engine) runs many together. Does not screen what the model says; the caller
//! sends every [`Text`] through the output screen.
//!
//! ```compile_fail,E0308
//! use adyton_engine::{Generation, Model, Sampling};
//! use adyton_guardrail::{Message, Prompt, Role, Text};
//! fn unscreened(model: &std::sync::Arc<Model>) {
//!     let message = Message { role: Role::User, content: Text::from("hello") };
//!     let prompt = Prompt { messages: vec![message] };
//!     let generation = Generation::start(model, &prompt, Sampling::greedy());
//! }
//! ```

use crate::answer::{Answer, Piece};
use crate::error::{EngineError, StartError};
use crate::grammar::Constraint;
use crate::model::Model;
use crate::sampler::{Choice, Logprobs, Masked, Sampler, Weighed};
use crate::sampling::Sampling;
use adyton_guardrail::{Prompt, Screened, Text};
use adyton_kernels::Isa;
use std::collections::VecDeque;
use std::sync::Arc;
use zeroize::Zeroizing;

/// What happens in a generation.
#[derive(Debug)]
pub enum Event {
    /// A token was chosen. The text is empty while bytes of a character, or what may become a stop string, wait; so do
    /// likelihoods, if they were asked for: those that come are of tokens whose text is out.
    Text(Text, Vec<Likelihood>),
    /// The answer is complete.
    Finished(FinishReason, Usage),
    /// The answer is cut: its time is over, or the engine failed.
    Cut(EngineError),
}

/// How likely the model held a token to be, and which it held likeliest.
#[derive(Clone, Debug, PartialEq)]
pub struct Likelihood {
    /// The token that was chosen.
    pub chosen: Candidate,
    /// The likeliest tokens, as many as were asked for, the likeliest first.
    pub likeliest: Vec<Candidate>,
}

/// A token and its natural logarithm of probability.
#[derive(Clone, PartialEq)]
pub struct Candidate {
    /// The token's bytes, which need not be whole characters; none for control tokens.
    pub bytes: Zeroizing<Vec<u8>>,
    /// Before temperature, penalties and constraints.
    pub logprob: f32,
}

impl std::fmt::Debug for Candidate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Candidate({} bytes)", self.bytes.len())
    }
}

/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FinishReason {
    /// The model ended its turn, a stop string came, or the shape that was asked for is complete.
    Stop,
    /// `max_tokens`, or the context, is used up.
    Length,
}

/// Tokens of one generation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Tokens of the rendered prompt.
    pub prompt_tokens: usize,
    /// Tokens chosen so far, with the one that ended the turn.
    pub completion_tokens: usize,
}

/// One sequence: its tokens, its sampler, its text.
pub struct Generation {
    model: Arc<Model>,
    /// The prompt, then what was chosen and is to be read.
    tokens: Zeroizing<Vec<u32>>,
    prompt_tokens: usize,
    sampler: Sampler,
    answer: Answer,
    max_tokens: usize,
    completion_tokens: usize,
    /// Likelihoods of tokens whose text waits, each with the number of bytes up to the token's end.
    unsettled: VecDeque<(usize, Likelihood)>,
    /// Bytes of the tokens chosen.
    bytes: usize,
    /// Holds the answer to its shape, if it is to have one.
    constraint: Option<Constraint>,
}

impl Generation {
    /// Renders and encodes the prompt. The model does not run yet.
    ///
    /// # Errors
    /// [`StartError`] if prompt and answer do not fit the context, or the chat template refuses the conversation.
    pub fn start(
        model: &Arc<Model>,
        prompt: &Screened<Prompt>,
        sampling: Sampling,
    ) -> Result<Generation, StartError> {
        let prompt = model.encode(prompt.get())?;
        let room = model.context_length().saturating_sub(prompt.len());
        let exceeded = |max_tokens| StartError::ContextExceeded {
            prompt_tokens: prompt.len(),
            max_tokens,
            context_length: model.context_length(),
        };
        let max_tokens = sampling.length.within(room).map_err(exceeded)?;
        if prompt.is_empty() {
            return Err(exceeded(max_tokens));
        }
        let constraint = sampling.shape.as_ref().map(|shape| model.constraint(shape)).transpose()?;
        // A list that grows leaves its old tokens behind.
        let mut tokens = Zeroizing::new(Vec::with_capacity(prompt.len() + max_tokens));
        tokens.extend_from_slice(&prompt);
        Ok(Generation {
            answer: Answer::new(sampling.stops.clone(), model.tokenizer().opens_with_space()),
            sampler: Sampler::new(sampling, &prompt),
            model: Arc::clone(model),
            prompt_tokens: prompt.len(),
            tokens,
            max_tokens,
            completion_tokens: 0,
            unsettled: VecDeque::new(),
            bytes: 0,
            constraint,
        })
    }

    /// Tokens read and written.
    pub fn usage(&self) -> Usage {
        Usage { prompt_tokens: self.prompt_tokens, completion_tokens: self.completion_tokens }
    }

    /// Most tokens that prompt and answer may have together.
    pub fn longest(&self) -> usize {
        self.prompt_tokens + self.max_tokens
    }

    /// The tokens to be read: the prompt and what was chosen.
    pub(crate) fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// Whether these are the weights that it was started for.
    pub(crate) fn is_for(&self, model: &Arc<Model>) -> bool {
        Arc::ptr_eq(&self.model, model)
    }

    /// Chooses the next token from its logits. The token, if the answer goes on with it.
    pub(crate) fn choose(
        &mut self,
        isa: Isa,
        logits: &mut [f32],
        emit: &mut dyn FnMut(Event),
    ) -> Result<Option<u32>, EngineError> {
        let constraint = &mut self.constraint;
        let mut mask = |logits: &mut [f32]| match constraint {
            Some(constraint) => constraint.mask(logits).map(|()| Masked::Some).map_err(EngineError::from),
            None => Ok(Masked::Nothing),
        };
        let Choice { token, logprobs } = self.sampler.next(isa, logits, &mut mask)?;
        if let Some(constraint) = &mut self.constraint {
            constraint.accept(token)?;
        }
        self.completion_tokens += 1;
        if self.model.tokenizer().is_end(token) {
            self.end(FinishReason::Stop, Text::from(""), emit);
            return Ok(None);
        }
        self.bytes += self.model.tokenizer().bytes(token).len();
        self.unsettled.extend(logprobs.map(|logprobs| (self.bytes, self.likelihood(logprobs))));
        let Piece { text, stopped } = self.answer.push(self.model.tokenizer().bytes(token));
        if stopped {
            emit(Event::Text(text, self.settled()));
            emit(Event::Finished(FinishReason::Stop, self.usage()));
            return Ok(None);
        }
        let complete = self.constraint.as_ref().is_some_and(Constraint::is_complete);
        if complete || self.completion_tokens == self.max_tokens {
            let reason = if complete { FinishReason::Stop } else { FinishReason::Length };
            self.end(reason, text, emit);
            return Ok(None);
        }
        emit(Event::Text(text, self.settled()));
        self.tokens.push(token);
        Ok(Some(token))
    }

    /// Hands out what was held back. A stop string can still show in it, when the last character was unfinished.
    fn end(&mut self, reason: FinishReason, text: Text, emit: &mut dyn FnMut(Event)) {
        let Piece { text: rest, stopped } = self.answer.finish();
        emit(Event::Text(Text::from([text.expose(), rest.expose()].concat()), self.settled()));
        emit(Event::Finished(if stopped { FinishReason::Stop } else { reason }, self.usage()));
    }

    fn likelihood(&self, logprobs: Logprobs) -> Likelihood {
        let candidate = |(token, logprob): Weighed| {
            let bytes = Zeroizing::new(self.model.tokenizer().bytes(token).to_vec());
            Candidate { bytes, logprob }
        };
        let likeliest = logprobs.likeliest.into_iter().map(candidate).collect();
        Likelihood { chosen: candidate(logprobs.chosen), likeliest }
    }

    /// The likelihoods of tokens whose text is out.
    fn settled(&mut self) -> Vec<Likelihood> {
        let out = self.unsettled.iter().take_while(|(end, _)| *end <= self.answer.settled()).count();
        self.unsettled.drain(..out).map(|(_, likelihood)| likelihood).collect()
    }
}

impl std::fmt::Debug for Generation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Generation({:?})", self.usage())
    }
}

//! One answer in the making: prompt in, steps out. A scheduler can take turns between several.
//!
//! Promises
//! - Starts from a [`Screened<Prompt>`] only; no other way leads tokens from outside into the model.
//! - Each step does a bounded amount of work: one chunk of the prompt, or one token.
//! - Prompt tokens, keys, values and held text are wiped when the generation is dropped.
//!
//! Does not: screen what the model says; the caller sends every [`Text`] through the output screen.
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
use crate::cache::KvCache;
use crate::error::{EngineError, StartError};
use crate::model::Model;
use crate::sampler::Sampler;
use crate::sampling::Sampling;
use adyton_guardrail::{Prompt, Screened, Text};
use std::sync::Arc;
use zeroize::Zeroizing;

/// Prompt tokens per step. Larger chunks make prefill faster, because a chunk dequantises each matrix once; smaller
/// ones let other sequences have their turn sooner.
const CHUNK: usize = 128;

/// What a step did.
#[derive(Debug)]
pub enum Step {
    /// A chunk of the prompt was read; no text yet.
    Prefilled {
        /// Prompt tokens read so far.
        done: usize,
        /// Prompt tokens in all.
        total: usize,
    },
    /// One token was chosen. The text is empty while bytes of a character, or what may become a stop string, wait.
    Text(Text),
    /// The answer is complete.
    Finished(FinishReason),
}

/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FinishReason {
    /// The model ended its turn, or a stop string came.
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

/// Where a generation stands.
enum State {
    /// Prompt tokens read so far.
    Prompt(usize),
    /// Logits wait for a choice.
    Choose(Zeroizing<Vec<f32>>),
    /// A chosen token waits to be read.
    Read(u32),
    Finished(FinishReason),
    Failed(EngineError),
}

/// One sequence: its prompt, its keys and values, its sampler.
pub struct Generation {
    model: Arc<Model>,
    prompt: Zeroizing<Vec<u32>>,
    cache: KvCache,
    sampler: Sampler,
    answer: Answer,
    max_tokens: usize,
    completion_tokens: usize,
    state: State,
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
        Ok(Generation {
            cache: KvCache::new(&model.transformer.config),
            answer: Answer::new(sampling.stops.clone(), model.tokenizer().opens_with_space()),
            sampler: Sampler::new(sampling, &prompt),
            model: Arc::clone(model),
            prompt,
            max_tokens,
            completion_tokens: 0,
            state: State::Prompt(0),
        })
    }

    /// Does the next piece of work. After [`Step::Finished`], and after an error, it says the same again.
    ///
    /// # Errors
    /// [`EngineError`] if the model's numbers are not finite or the tensor library fails; the sequence is over.
    pub fn step(&mut self) -> Result<Step, EngineError> {
        let state = std::mem::replace(&mut self.state, State::Failed(EngineError::OutOfRange));
        let result = match state {
            State::Prompt(done) => self.prefill(done),
            State::Choose(logits) => self.choose(logits),
            State::Read(token) => self
                .model
                .transformer
                .forward(&[token], &mut self.cache)
                .and_then(|logits| self.choose(logits)),
            State::Finished(reason) => Ok((Step::Finished(reason), State::Finished(reason))),
            State::Failed(error) => Err(error),
        };
        match result {
            Ok((step, state)) => {
                self.state = state;
                Ok(step)
            }
            Err(error) => {
                self.state = State::Failed(error.clone());
                Err(error)
            }
        }
    }

    /// Tokens read and written.
    pub fn usage(&self) -> Usage {
        Usage { prompt_tokens: self.prompt.len(), completion_tokens: self.completion_tokens }
    }

    fn prefill(&mut self, done: usize) -> Result<(Step, State), EngineError> {
        let total = self.prompt.len();
        let end = total.min(done + CHUNK);
        let chunk = self.prompt.get(done..end).ok_or(EngineError::OutOfRange)?;
        let state = if end < total {
            self.model.transformer.prefill(chunk, &mut self.cache)?;
            State::Prompt(end)
        } else {
            State::Choose(self.model.transformer.forward(chunk, &mut self.cache)?)
        };
        Ok((Step::Prefilled { done: end, total }, state))
    }

    fn choose(&mut self, mut logits: Zeroizing<Vec<f32>>) -> Result<(Step, State), EngineError> {
        let token = self.sampler.next(&mut logits)?;
        self.completion_tokens += 1;
        let tokenizer = self.model.tokenizer();
        if tokenizer.is_end(token) {
            return Ok(self.end(FinishReason::Stop));
        }
        let Piece { text, stopped } = self.answer.push(tokenizer.bytes(token));
        if stopped {
            return Ok((Step::Text(text), State::Finished(FinishReason::Stop)));
        }
        if self.completion_tokens < self.max_tokens {
            return Ok((Step::Text(text), State::Read(token)));
        }
        let (rest, state) = self.end(FinishReason::Length);
        let text = match rest {
            Step::Text(rest) => Text::from([text.expose(), rest.expose()].concat()),
            Step::Prefilled { .. } | Step::Finished(_) => text,
        };
        Ok((Step::Text(text), state))
    }

    /// Hands out what was held back. A stop string can still show in it, when the last character was unfinished.
    fn end(&mut self, reason: FinishReason) -> (Step, State) {
        let Piece { text, stopped } = self.answer.finish();
        (Step::Text(text), State::Finished(if stopped { FinishReason::Stop } else { reason }))
    }
}

impl std::fmt::Debug for Generation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Generation({:?})", self.usage())
    }
}

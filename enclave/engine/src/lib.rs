//! Inference: knows tokens, neither users nor networks. candle reads the weights, `adyton-kernels` multiplies.
//!
//! Promises
//! - [`Generation::start`] takes a [`Screened<Prompt>`](adyton_guardrail::Screened) and nothing else; no public
//!   function lets tokens into the model.
//! - What a person writes never becomes a control token of the chat template (`template`, `tokenizer`, `bpe`, `spm`).
//! - A hostile model file is a [`LoadError`] (`header`, `config`, `weights`).
//! - Many answers run at once, each as if it were alone, bit for bit (`engine`, `forward`).
//! - Keys and values live outside the model, in blocks of one sequence each, and are wiped when they are given back (`cache`).
//!
//! Does not: open files or sockets, read a clock, or make randomness; all three come in as parameters. Does not hide
//! the time a step takes, which depends on the number of tokens.
//!
//! Trusts: [`Screened`](adyton_guardrail::Screened) to mean what its crate says. A model file is checked for form;
//! that it is the measured one is checked before.
//!
//! The way of an answer: `model` -> `template` -> `tokenizer` -> `generation` -> `scheduler` -> `forward` -> `grammar`,
//! `sampler` -> `answer`.

mod answer;
mod bpe;
mod cache;
mod config;
mod engine;
mod error;
mod forward;
mod generation;
mod grammar;
mod header;
mod lookup;
mod model;
mod rotary;
mod sampler;
mod sampling;
mod scheduler;
mod spm;
mod template;
mod tokenizer;
mod vocabulary;
mod weights;

#[cfg(test)]
mod tests;

pub use adyton_kernels::{Isa, give_way};
pub use engine::{Engine, Refused, Scope, Settings};
pub use error::{EngineError, LoadError, StartError, TemplateError};
pub use generation::{Candidate, Event, FinishReason, Generation, Likelihood, Usage};
pub use grammar::{Calls, Choice, GrammarError, Shape, ShapeError, Tool};
pub use header::Limits;
pub use model::{Model, Size};
pub use sampling::{MAX_BIASES, MAX_LIKELIEST, MAX_STOP_BYTES, MAX_STOPS, Sampling, SamplingError};
pub use scheduler::{Owner, SequenceId};
pub use tokenizer::Tokenizer;

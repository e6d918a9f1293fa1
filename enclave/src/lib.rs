//! The worker: session, request, answer. It parses everything hostile and may do next to nothing.
//!
//! Reading order: [`request`] is the main path; then [`session`] (how a connection becomes attested), [`gate`]
//! (how the sentinel is asked), [`generator`] (where tokens come from), [`answer`] (how they leave), [`harden`].
//!
//! Promises
//! - Before the first byte of a client is read, the process has no right to open a file, a socket or a program.
//! - No generation without a lease and a grant of the sentinel; no text into the engine unscreened, none out.
//! - No text and no secret reaches a log or an error.
//!
//! Trusts: its parent, the sentinel, which it knows by the one descriptor it was born with.

pub mod answer;
pub mod api;
pub mod database;
pub mod embedder;
pub mod gate;
pub mod generator;
pub mod harden;
pub mod held;
pub mod lease;
pub mod library;
mod reading;
pub mod request;
pub mod server;
pub mod session;
pub mod start;
pub mod tools;

pub use start::{WorkerError, run};

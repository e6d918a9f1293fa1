//! Turns texts into vectors whose angles say how near their meanings are: sentence encoders of the MiniLM kind.
//!
//! ```text
//! x = norm(word(token) + position(i) + kind(0))                   a row for each token of each text
//! for each layer:   q, k, v = x * [Q K V] + bias
//!                   x = norm(x + attend(q, k, v) * O + bias)      over the whole text, both ways
//!                   x = norm(x + gelu(x * U + bias) * D + bias)
//! vector = mean of the text's rows, at length 1
//! ```
//!
//! BERT (Devlin and others 2018) with the mean pooling of sentence-transformers (Reimers and Gurevych 2019).
//!
//! # Promises
//! - A text's vector does not depend on the texts beside it, on the number of threads, or on the instruction set: the same
//!   bits. It is the reference's to a cosine above 0.9999 (a golden file is compared).
//! - Text never becomes a control token.
//! - Whatever bytes the files have, loading ends in a model or an error.
//! - Texts, tokens and vectors are wiped when they are dropped: a vector gives its text away (Morris and others 2023).
//!
//! # Does not
//! - Cut texts that are too long: whoever asks knows what may be left out.
//!
//! # Trusts
//! - Nobody with the sizes of anything.

mod error;
mod forward;
mod load;
mod tokens;

pub use error::{EncodeError, LoadError};
pub use forward::{Embedding, Rows, Workspace};
pub use load::Encoder;
pub use tokens::Tokens;

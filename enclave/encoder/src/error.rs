//! The errors of the encoder: of loading, and of a text. None carries text of a person.

use thiserror::Error;

/// Why files are not an encoder. They are to blame.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum LoadError {
    /// Not the safetensors format.
    #[error("the encoder's weights are not a safetensors file")]
    NotSafetensors,
    /// A tensor is missing, has another shape than the others call for, or is not in f32.
    #[error("the encoder's weights lack {name} in the shape {shape:?} and in f32")]
    Tensor {
        /// Which.
        name: String,
        /// Rows and columns, or a length.
        shape: Vec<usize>,
    },
    /// A tensor has a number that is none, or none that fits into f16.
    #[error("{name} of the encoder's weights has a number that is infinite, none, or over 65504")]
    NotFinite {
        /// Which.
        name: String,
    },
    /// Sizes that this code does not compute.
    #[error("the encoder has {what} {found}; {accepted} is computed here")]
    Shape {
        /// What was counted.
        what: &'static str,
        /// How many.
        found: usize,
        /// What would do.
        accepted: &'static str,
    },
    /// Not a tokenizer of the WordPiece kind as this model's.
    #[error("the encoder's tokenizer is refused: {0}")]
    Tokenizer(&'static str),
    /// There is no memory for the weights.
    #[error("no memory for the encoder's weights")]
    Memory,
}

/// Why a text has no vector.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum EncodeError {
    /// It has more tokens than the model has positions.
    #[error("a text of {found} tokens; the encoder takes {limit}")]
    TooLong {
        /// Tokens of the text, the two at its ends included.
        found: usize,
        /// Most that there may be.
        limit: usize,
    },
    /// The tokenizer gave up, or gave what the model does not have.
    #[error("a text could not be cut into tokens")]
    Tokens,
    /// More rows than the workspace has room for.
    #[error("texts of {found} tokens together; {limit} fit")]
    TooMany {
        /// All tokens.
        found: usize,
        /// Room.
        limit: usize,
    },
    /// The vector has no direction: what came out is no number.
    #[error("the encoder gave no vector")]
    NoVector,
}

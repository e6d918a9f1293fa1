//! The errors of the engine, one enum per moment: load, start, step.
//!
//! Promises: no error carries text of a prompt or of an answer. A [`LoadError`] may carry short, escaped names out
//! of the model file, which is public.

use crate::grammar::GrammarError;
use thiserror::Error;

/// Why a model file was refused. The file is to blame, unless the variant says otherwise.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum LoadError {
    /// The reader failed; the source is to blame, not the format.
    #[error("the model file cannot be read ({0:?})")]
    Io(std::io::ErrorKind),
    /// The first four bytes are not `GGUF`.
    #[error("this is not a GGUF file; give a little-endian GGUF of version 2 or 3")]
    NotGguf,
    /// A version other than 2 and 3.
    #[error("GGUF version {0} is not supported; convert the file to version 3")]
    Version(u32),
    /// The file ends inside its header.
    #[error("the model file ends inside its header, at byte {at}")]
    Truncated {
        /// Position in bytes from the start of the file.
        at: u64,
    },
    /// A count or length is larger than the limit, or than the file can hold.
    #[error("{what} in the model file: {found} is over the limit of {limit}")]
    TooLarge {
        /// What was counted, a fixed phrase.
        what: &'static str,
        /// The count in the file.
        found: u64,
        /// The limit.
        limit: u64,
    },
    /// A header field that the format does not allow.
    #[error("the GGUF header is malformed: {0}")]
    Malformed(&'static str),
    /// The same metadata key or tensor name twice.
    #[error("the model file names {0} twice")]
    Duplicate(String),
    /// An architecture that this engine does not compute.
    #[error("architecture {0} is not supported; this engine runs llama, qwen2 and qwen3")]
    Architecture(String),
    /// A metadata key that is needed.
    #[error("the model file lacks the metadata key {0}")]
    MissingKey(String),
    /// A metadata value of the wrong type, or out of range.
    #[error("metadata key {key}: {why}")]
    BadValue {
        /// The key.
        key: String,
        /// What is wrong, a fixed phrase.
        why: &'static str,
    },
    /// A tensor that the metadata calls for.
    #[error("the model file lacks the tensor {0}")]
    MissingTensor(String),
    /// A tensor that this engine would not use; running without it would give wrong answers.
    #[error("the model file has the tensor {0}, which this engine does not know")]
    UnknownTensor(String),
    /// A tensor whose shape contradicts the metadata. Shapes are rows first.
    #[error("tensor {tensor} has the shape {found:?} where the metadata ask for {expected:?}")]
    Shape {
        /// The tensor.
        tensor: String,
        /// The shape that follows from the metadata.
        expected: Vec<u64>,
        /// The shape in the file.
        found: Vec<u64>,
    },
    /// A tensor type that this engine does not run.
    #[error("tensor {tensor} has the unsupported type {id}")]
    TensorType {
        /// The tensor.
        tensor: String,
        /// The ggml type number.
        id: u32,
    },
    /// A tensor that reaches beyond the end of the file.
    #[error("tensor {0} does not lie inside the file")]
    TensorOutside(String),
    /// A number in a tensor is not finite.
    #[error("tensor {0} holds a value that is not a finite number")]
    NotFinite(String),
    /// A tokenizer model other than `gpt2` and `llama`.
    #[error(
        "tokenizer model {0} is not supported; this engine knows gpt2 (byte-level BPE) and llama (SentencePiece BPE)"
    )]
    TokenizerModel(String),
    /// A pre-tokenizer that this engine cannot reproduce.
    #[error("pre-tokenizer {0} is not supported; token ids would differ from those of the training")]
    PreTokenizer(String),
    /// Vocabulary and merges do not fit together.
    #[error("the tokenizer is malformed: {0}")]
    Tokenizer(&'static str),
    /// The chat template does not parse, or does not render a plain conversation.
    #[error("the chat template is unusable: {0}")]
    Template(TemplateError),
    /// Weights, work and the smallest useful number of keys and values need more memory than there is.
    #[error(
        "the model needs {needed} MiB of memory and may have {limit} MiB; give the enclave more, or take a smaller model \
         or quantisation"
    )]
    Memory {
        /// Mebibytes needed.
        needed: u64,
        /// Mebibytes allowed.
        limit: u64,
    },
    /// The weights could not be packed.
    #[error(transparent)]
    Pack(#[from] adyton_kernels::PackError),
    /// The tensor library refused what the checks above let through.
    #[error("the tensor library refused the model file: {0}")]
    Tensor(String),
}

/// Why a chat template did not render.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum TemplateError {
    /// Not a template that minijinja parses.
    #[error("it does not parse, line {0}")]
    Syntax(usize),
    /// The template itself refused the conversation (`raise_exception`), for example two user turns in a row.
    #[error("it refuses this order of roles")]
    Raised,
    /// It ran out of its budget of steps.
    #[error("it runs for too long")]
    Fuel,
    /// It wrote more than it may.
    #[error("it writes too much")]
    Output,
    /// Any other failure, by minijinja's kind.
    #[error("it fails to render ({0})")]
    Render(String),
}

/// Why a generation did not start.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum StartError {
    /// Prompt and answer do not fit the context; the request is to blame.
    #[error(
        "the prompt of {prompt_tokens} tokens and {max_tokens} tokens of answer do not fit the context of \
         {context_length} tokens; shorten the conversation or ask for fewer tokens"
    )]
    ContextExceeded {
        /// Tokens of the rendered prompt.
        prompt_tokens: usize,
        /// Tokens of answer that needed room: those of `max_tokens`, or 1 where the answer may be shorter.
        max_tokens: usize,
        /// Tokens that the model can hold.
        context_length: usize,
    },
    /// The chat template did not render this conversation.
    #[error("the chat template cannot take this conversation: {0}")]
    Template(TemplateError),
    /// The shape that the answer is to have is over a limit; the request is to blame.
    #[error("the answer cannot be held to this shape: {0}")]
    Shape(#[from] GrammarError),
    /// The tokenizer failed.
    #[error("the prompt cannot be turned into tokens")]
    Tokenizer,
}

/// Why a step failed. The sequence is over: its next step fails as well.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum EngineError {
    /// The model's output holds no finite number; the weights are to blame.
    #[error("the model computed values that are not finite numbers")]
    NotFinite,
    /// Threads for the forward pass cannot be had; the machine is to blame.
    #[error("no threads for the forward pass ({0:?})")]
    Threads(std::io::ErrorKind),
    /// The answer cannot go on in the shape that it must have; the request is to blame, most likely.
    #[error(transparent)]
    Shape(#[from] GrammarError),
    /// Its time is over, or the engine was told to end everything.
    #[error("the answer was ended before it was complete")]
    Ended,
    /// A position beyond the context, or a token beyond the vocabulary; the engine is to blame.
    #[error("the engine asked for a position or a token that the model does not have")]
    OutOfRange,
}

impl From<candle_core::Error> for LoadError {
    fn from(error: candle_core::Error) -> Self {
        LoadError::Tensor(brief(&error.to_string()))
    }
}

impl From<std::io::Error> for LoadError {
    fn from(error: std::io::Error) -> Self {
        LoadError::Io(error.kind())
    }
}

/// Longest piece of a model file that an error repeats: enough for any honest name, short enough for a log line.
const BRIEF: usize = 96;

/// `text` escaped, in one line, and no longer than `BRIEF` characters.
pub(crate) fn brief(text: &str) -> String {
    text.lines().next().unwrap_or_default().chars().flat_map(char::escape_default).take(BRIEF).collect()
}

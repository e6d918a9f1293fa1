//! Loads a model file: header within bounds, then tokenizer, chat template and weights.
//!
//! Promises: a [`Model`] runs: its shapes fit together, its chat template renders a plain conversation, its tokens and
//! positions are bounded. Whatever is not such a file is a [`LoadError`], never a panic and never a large allocation.
//!
//! Does not: check where the file comes from; digests are checked before this crate sees it. Does not map files.
//!
//! Trusts: nothing in the file.

use crate::cache::Blocks;
use crate::config::{Config, Metadata};
use crate::engine::Engine;
use crate::error::{LoadError, StartError, brief};
use crate::forward::Transformer;
use crate::grammar::{Constraint, GrammarError, Shape, TokenTable};
use crate::header::{self, Limits};
use crate::template::ChatTemplate;
use crate::tokenizer::Tokenizer;
use crate::weights::Weights;
use adyton_guardrail::{Message, Prompt, Role, Text};
use candle_core::quantized::gguf_file::Content;
use std::io::{BufReader, Cursor, Read, Seek, SeekFrom};
use std::sync::OnceLock;
use zeroize::Zeroizing;

/// How large a model is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Bytes of the packed weights: what is read for a token of an answer.
    pub bytes: usize,
    /// Multiplications for a token of a prompt, in its matrices.
    pub multiplications: usize,
}

/// A loaded model: weights, tokenizer, chat template. Immutable; sequences share it.
pub struct Model {
    pub(crate) transformer: Transformer,
    tokenizer: Tokenizer,
    template: ChatTemplate,
    /// Turn marks of the template that are no control tokens.
    marks: Vec<String>,
    name: String,
    /// The vocabulary as grammars read it, made for the first answer that must have a shape.
    table: OnceLock<Result<TokenTable, GrammarError>>,
}

impl Model {
    /// Loads a GGUF file of `size` bytes from the beginning of `reader`.
    ///
    /// # Errors
    /// [`LoadError`] says what is wrong with the file.
    pub fn load<R: Read + Seek>(reader: R, size: u64, limits: Limits) -> Result<Model, LoadError> {
        let mut reader = BufReader::with_capacity(1 << 16, reader);
        reader.seek(SeekFrom::Start(0))?;
        let header = header::read(&mut reader, size, &limits)?;
        let content = Content::read(&mut Cursor::new(&header.bytes))?;
        let meta = Metadata(&content.metadata);
        let config = Config::read(&meta, limits.max_context)?;
        let tokenizer = Tokenizer::read(&meta)?;
        let template =
            ChatTemplate::parse(meta.text("tokenizer.chat_template")?).map_err(LoadError::Template)?;
        template.render(&greeting(), &tokenizer).map_err(LoadError::Template)?;
        let mut marks = template.marks(&tokenizer);
        marks.retain(|mark| tokenizer.control_tokens().all(|token| token != mark));
        let name = meta.text("general.name").map(brief).unwrap_or_default();
        check_memory(
            Engine::smallest(&config, Weights::bytes(&content, &header.tensors)),
            limits.max_memory,
        )?;
        let weights = Weights::read(&mut reader, &content, &header.tensors, &config)?;
        Ok(Model {
            transformer: Transformer::new(config, weights),
            tokenizer,
            template,
            marks,
            name,
            table: OnceLock::new(),
        })
    }

    /// The tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// The texts of the tokenizer's control tokens, and of the chat template's turn marks that are ordinary text to the
    /// tokenizer, for the guardrail.
    pub fn control_tokens(&self) -> impl Iterator<Item = String> {
        self.tokenizer.control_tokens().map(str::to_owned).chain(self.marks.iter().cloned())
    }

    /// Tokens of prompt and answer together that a sequence may have.
    pub fn context_length(&self) -> usize {
        self.transformer.config.context
    }

    /// How much a token reads and computes.
    pub fn size(&self) -> Size {
        let weights = &self.transformer.weights;
        let embedding = weights.embedding.rows() * weights.embedding.columns();
        Size { bytes: weights.store.bytes(), multiplications: weights.values().saturating_sub(embedding) }
    }

    /// Bytes of the keys and values of a sequence of so many tokens.
    pub fn kept_bytes(&self, tokens: usize) -> usize {
        Blocks::bytes(&self.transformer.config, tokens)
    }

    /// The name that the file gives the model, escaped; empty if none.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What holds an answer to a shape.
    pub(crate) fn constraint(&self, shape: &Shape) -> Result<Constraint, GrammarError> {
        let table = self.table.get_or_init(|| TokenTable::new(&self.tokenizer));
        Constraint::new(table.as_ref().map_err(|error| *error)?, shape)
    }

    /// The token ids of a conversation, the assistant's turn opened.
    pub(crate) fn encode(&self, prompt: &Prompt) -> Result<Zeroizing<Vec<u32>>, StartError> {
        let runs = self.template.render(prompt, &self.tokenizer).map_err(StartError::Template)?;
        self.tokenizer.encode_runs(&runs).ok_or(StartError::Tokenizer)
    }
}

fn check_memory(needed: usize, limit: usize) -> Result<(), LoadError> {
    let mebibytes = |bytes: usize| bytes.div_ceil(1 << 20) as u64;
    let error = LoadError::Memory { needed: mebibytes(needed), limit: (limit >> 20) as u64 };
    if needed <= limit { Ok(()) } else { Err(error) }
}

/// The plainest conversation; a template that refuses it is of no use.
fn greeting() -> Prompt {
    Prompt { messages: vec![Message { role: Role::User, content: Text::from("hello") }] }
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Model({})", self.name)
    }
}

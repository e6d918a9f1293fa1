//! Holds an answer to a [`Shape`], token by token: logits of tokens that would leave it become minus infinity.
//!
//! Promises
//! - An answer that ended by itself is of its shape. One that `max_tokens` cut is the beginning of such an answer.
//! - A control token is never allowed. Tokens that end a turn are allowed exactly where the answer may end.
//! - The same shape and the same tokens give the same masks.
//! - The work for a token, and the memory of a sequence, are bounded (`limits`). Past a bound, and where no token can
//!   go on, there is an error value.
//!
//! Does not: choose a token (`sampler` does); force tokens that could not be otherwise. Does not wipe: llguidance keeps
//! the bytes of the answer, and states that follow from them, in memory that it frees but does not overwrite.
//!
//! Trusts: llguidance to follow the grammar that it compiled. It reports errors as values, but some of its steps may
//! panic. `ParserFactory::create_parser*` catches that itself; the steps here go through its `panic_utils`. Both put a
//! panic hook in front of the program's own, which keeps quiet about panics in there and passes on all others. It reads
//! a clock to count, and decides nothing by it. It is told to log nothing.
//!
//! Sources: docs/decisions/0013.

mod schema;
mod shape;

pub use shape::{Calls, Choice, Shape, ShapeError, Tool};

use crate::tokenizer::Tokenizer;
use llguidance::api::{ParserLimits, StopReason};
use llguidance::earley::SlicedBiasComputer;
use llguidance::{ParserFactory, TokenParser, panic_utils};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use thiserror::Error;
use toktrie::{ApproximateTokEnv, INVALID_TOKEN, InferenceCapabilities, TokEnv, TokRxInfo, TokTrie};

/// Why a mask could not be made. The sequence is over: its next step fails as well.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum GrammarError {
    /// The schema contradicts itself in a way that only the answer shows, or the vocabulary lacks a byte.
    #[error("no token continues the answer as the schema asks; simplify the schema")]
    DeadEnd,
    /// A step, or the sequence as a whole, is over its limit.
    #[error("the schema takes too much work for a token; simplify its patterns and alternatives")]
    TooComplex,
    /// A token was chosen that the mask had ruled out; the engine is to blame.
    #[error("a token was chosen that the answer's shape does not allow")]
    Rejected,
    /// The vocabulary cannot be made a table, or llguidance came upon a bug of its own.
    #[error("the grammar engine failed")]
    Internal,
}

/// What compiling and each token may cost. llguidance's own limits, where nothing else is said.
fn limits() -> ParserLimits {
    ParserLimits {
        max_items_in_row: 2_000,
        // 20 ms at the 50,000 a millisecond that llguidance gives. Its authors name 500,000 for a schema of FHIR.
        initial_lexer_fuel: 1_000_000,
        // 14 ms at 14,000 a millisecond: one hostile sequence delays the others by no more than a forward pass does.
        step_lexer_fuel: 200_000,
        step_max_items: 50_000,
        // At 1 to 2 KiB each, 40 MB a sequence rather than 500.
        max_lexer_states: 20_000,
        max_grammar_size: 100_000,
        // It would refuse what is too large to compute in advance, and delay the start of all else.
        precompute_large_lexemes: false,
        // Errors would quote schema and answer.
        verbose_errors: false,
    }
}

/// The vocabulary of a model as grammars read it. Made once for a model; a clone is a reference.
#[derive(Clone)]
pub(crate) struct TokenTable(Arc<Table>);

struct Table {
    factory: ParserFactory,
    /// Tokens that end a turn.
    ends: Vec<u32>,
}

impl TokenTable {
    /// # Errors
    /// [`GrammarError::Internal`] for a vocabulary that llguidance cannot hold, such as one of very long tokens.
    pub(crate) fn new(tokenizer: &Tokenizer) -> Result<TokenTable, GrammarError> {
        let ids = 0..u32::try_from(tokenizer.vocabulary()).map_err(|_| GrammarError::Internal)?;
        let ends: Vec<u32> = ids.clone().filter(|id| tokenizer.is_end(*id)).collect();
        // A token without bytes is in no grammar. 0xff marks special tokens in llguidance; no UTF-8 text begins so.
        let hidden = |id: &u32| tokenizer.is_end(*id) || tokenizer.bytes(*id).first() == Some(&0xff);
        let bytes = |id: u32| if hidden(&id) { Vec::new() } else { tokenizer.bytes(id).to_vec() };
        let words: Vec<Vec<u8>> = ids.map(bytes).collect();
        let factory = panic_utils::catch_unwind(AssertUnwindSafe(|| {
            let info = TokRxInfo::new(words.len() as u32, INVALID_TOKEN);
            let trie = TokTrie::from(&info, &words);
            let trie = if ends.is_empty() { trie } else { trie.with_eos_tokens(&ends) };
            // Greedy tokenization, which forces no tokens.
            let env: TokEnv = Arc::new(ApproximateTokEnv::new(trie));
            let slices = SlicedBiasComputer::general_slices();
            let mut factory = ParserFactory::new(&env, InferenceCapabilities::default(), &slices)?;
            factory.quiet();
            *factory.limits_mut() = limits();
            Ok(factory)
        }));
        Ok(TokenTable(Arc::new(Table { factory: factory.map_err(|_| GrammarError::Internal)?, ends })))
    }
}

/// Where an answer stands.
enum State {
    Open,
    /// Nothing may follow but the end of the turn.
    Complete,
    Failed(GrammarError),
}

/// The mask of one sequence.
pub(crate) struct Constraint {
    table: TokenTable,
    parser: Box<TokenParser>,
    state: State,
}

impl Constraint {
    /// # Errors
    /// [`GrammarError`] if the shape is over a limit with this vocabulary.
    pub(crate) fn new(table: &TokenTable, shape: &Shape) -> Result<Constraint, GrammarError> {
        let mut parser = table
            .0
            .factory
            .create_parser_from_init_default(shape.grammar())
            .map_err(|_| GrammarError::TooComplex)?;
        parser.start_without_prompt();
        Ok(Constraint { table: table.clone(), parser: Box::new(parser), state: State::Open })
    }

    /// Rules out each token that the answer cannot go on with.
    ///
    /// # Errors
    /// [`GrammarError`] if there is none left, or finding them takes too long.
    pub(crate) fn mask(&mut self, logits: &mut [f32]) -> Result<(), GrammarError> {
        match self.state {
            State::Failed(error) => return Err(error),
            State::Complete => return self.mask_all_but_ends(logits),
            State::Open => {}
        }
        let parser = &mut self.parser;
        let allowed = panic_utils::catch_unwind(AssertUnwindSafe(|| parser.compute_mask()));
        let allowed = allowed.map_err(|_| self.fail(self.reason()))?;
        allowed.iter_unset_entries(|id| {
            if let Some(logit) = logits.get_mut(id) {
                *logit = f32::NEG_INFINITY;
            }
        });
        // A model may have more outputs than its vocabulary has tokens.
        logits.iter_mut().skip(allowed.len()).for_each(|logit| *logit = f32::NEG_INFINITY);
        Ok(())
    }

    /// Takes the token that was chosen.
    ///
    /// # Errors
    /// [`GrammarError::Rejected`] if the last mask did not allow it.
    pub(crate) fn accept(&mut self, token: u32) -> Result<(), GrammarError> {
        if let State::Failed(error) = self.state {
            return Err(error);
        }
        let end = self.table.0.ends.contains(&token);
        let complete = matches!(self.state, State::Complete);
        if end && (complete || self.accepting()?) {
            self.state = State::Complete;
            return Ok(());
        }
        let trie = self.table.0.factory.tok_env().tok_trie();
        let known = (token as usize) < trie.vocab_size() && trie.token_len(token) > 0;
        if end || complete || !known {
            return Err(self.fail(GrammarError::Rejected));
        }
        let parser = &mut self.parser;
        let step = panic_utils::catch_unwind(AssertUnwindSafe(|| {
            // What is valid and is refused all the same is over a limit; llguidance gives one reason for both.
            let valid = parser.validate_token(token)? || parser.parser.get_error().is_some();
            Ok(if valid { Some((parser.consume_token(token)?, parser.check_stop()?)) } else { None })
        }));
        self.state = match step {
            Ok(Some((0, true))) => State::Complete,
            Ok(Some((0, false))) => State::Open,
            Ok(Some(_)) => return Err(self.fail(GrammarError::Internal)),
            Ok(None) => return Err(self.fail(GrammarError::Rejected)),
            Err(_) => return Err(self.fail(GrammarError::TooComplex)),
        };
        Ok(())
    }

    /// Whether nothing may follow: the answer is finished, whether the model says so or not.
    pub(crate) fn is_complete(&self) -> bool {
        matches!(self.state, State::Complete)
    }

    fn accepting(&mut self) -> Result<bool, GrammarError> {
        let parser = &mut self.parser;
        panic_utils::catch_unwind(AssertUnwindSafe(|| Ok(parser.is_accepting())))
            .map_err(|_| self.fail(GrammarError::Internal))
    }

    fn mask_all_but_ends(&self, logits: &mut [f32]) -> Result<(), GrammarError> {
        let ends = &self.table.0.ends;
        let ruled_out = (0u32..).zip(logits).filter(|(id, _)| !ends.contains(id));
        ruled_out.for_each(|(_, logit)| *logit = f32::NEG_INFINITY);
        if ends.is_empty() { Err(GrammarError::DeadEnd) } else { Ok(()) }
    }

    fn fail(&mut self, error: GrammarError) -> GrammarError {
        self.state = State::Failed(error);
        error
    }

    fn reason(&self) -> GrammarError {
        match self.parser.stop_reason() {
            StopReason::NoExtensionBias => GrammarError::DeadEnd,
            StopReason::LexerTooComplex | StopReason::ParserTooComplex => GrammarError::TooComplex,
            _ => GrammarError::Internal,
        }
    }
}

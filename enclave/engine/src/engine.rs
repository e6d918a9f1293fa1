//! Runs many generations at once: one pass over the weights serves a row of each.
//!
//! ```text
//! submit -> waiting -> running: plan -> forward pass over all rows -> a token for each -> finished
//!              ^-- preempted --'
//! ```
//!
//! Promises
//! - An answer does not depend on what runs beside it, bit for bit.
//! - No keys or values are seen by another owner. A conversation's next turn may take over what the turn before left behind,
//!   within one session of one owner; the blocks are moved, never shared, and wiped when they are given back.
//! - Each step does a bounded amount of work: a row for everyone who answers, and a chunk of prompts.
//! - When nothing runs, the work buffers are wiped.
//!
//! Does not: know who owners are, read a clock, or sleep; the caller says what time it is and calls [`Engine::step`] as long as
//! the engine is not idle.

use crate::cache::{Blocks, KvCache, blocks_for};
use crate::config::Config;
use crate::error::EngineError;
use crate::forward::{Span, Workspace};
use crate::generation::{Event, Generation};
use crate::lookup;
use crate::model::Model;
use crate::scheduler::{Bounds, Owner, Plan, Scheduler, SequenceId};
use adyton_kernels::{Isa, Pool};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;
use thiserror::Error;
use zeroize::Zeroizing;

/// Conversations that wait for their next turn with their keys and values kept.
const MAX_KEPT: usize = 16;

/// Tokens of the shortest sequence for which loading a model is worth while.
const SHORT: usize = 1024;

/// How much an engine may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Threads of the forward pass, the caller's included.
    pub threads: usize,
    /// The instruction set.
    pub isa: Isa,
    /// Bytes of keys and values of all sequences together.
    pub cache_bytes: usize,
    /// Most sequences that run at a time.
    pub running: usize,
    /// Most rows of a step: tokens of prompts that are read at once.
    pub rows: usize,
    /// Tokens that are guessed beside the next one, from the text so far; 0 guesses none.
    pub guesses: usize,
}

impl Settings {
    /// The processor's threads and instructions, a gibibyte of keys and values, sixteen sequences.
    pub fn for_this_machine() -> Settings {
        Settings {
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            isa: Isa::best(),
            cache_bytes: 1 << 30,
            running: 16,
            rows: 256,
            guesses: 0,
        }
    }

    /// As many keys and values as fit into `memory` bytes beside the weights and the work, but no more than every sequence
    /// can use.
    pub fn within(self, model: &Model, memory: usize) -> Settings {
        let config = &model.transformer.config;
        let work = Workspace::bytes(config, self.rows(), self.asking());
        let left = memory.saturating_sub(model.transformer.weights.store.bytes()).saturating_sub(work);
        let most = Blocks::bytes(config, config.context).saturating_mul(self.running);
        Settings { cache_bytes: left.min(most), ..self }
    }

    /// Rows that may ask for logits: each sequence's next token and its guesses.
    fn asking(&self) -> usize {
        self.running.saturating_mul(self.guesses + 1).min(self.rows.max(self.running))
    }

    fn rows(&self) -> usize {
        self.rows.max(self.running * (self.guesses + 1))
    }
}

/// Whose sequence it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scope {
    /// Among owners, turns are shared fairly.
    pub owner: Owner,
    /// Within one session of one owner, a prompt that begins as an earlier one did need not be read again.
    pub session: u64,
}

/// Why a generation was not taken on.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum Refused {
    /// It would need more keys and values than there is memory for, even alone.
    #[error(
        "{tokens} tokens of prompt and answer do not fit the memory, which holds {most}; ask for fewer tokens"
    )]
    TooLarge {
        /// Tokens of prompt and answer together.
        tokens: usize,
        /// Tokens that the memory holds.
        most: usize,
    },
    /// It was started for other weights.
    #[error("the generation was started for another model")]
    OtherModel,
}

struct Sequence {
    generation: Generation,
    cache: KvCache,
    scope: Scope,
    until: Instant,
    /// Its session is over: nothing of it is kept.
    forgotten: bool,
}

/// What one sequence computes in a step.
struct Planned {
    id: SequenceId,
    /// Its own next tokens, then guesses.
    tokens: Zeroizing<Vec<u32>>,
    /// How many are its own.
    own: usize,
    /// Whether they are the last that it knows.
    last: bool,
}

impl Planned {
    /// The logits of so many of its rows are wanted: of the last that is its own, and of the guesses.
    fn asks(&self) -> usize {
        if self.last { self.tokens.len() - self.own + 1 } else { 0 }
    }
}

/// What a finished sequence left behind.
struct Kept {
    scope: Scope,
    tokens: Zeroizing<Vec<u32>>,
    cache: KvCache,
}

/// A model at work.
pub struct Engine {
    model: Arc<Model>,
    work: Workspace,
    blocks: Blocks,
    scheduler: Scheduler,
    sequences: BTreeMap<SequenceId, Sequence>,
    /// The latest last.
    kept: Vec<Kept>,
    settings: Settings,
    next: u64,
}

impl Engine {
    /// Starts the threads and makes room for the work.
    ///
    /// # Errors
    /// [`EngineError::Threads`] if threads cannot be had.
    pub fn new(model: Arc<Model>, settings: Settings) -> Result<Engine, EngineError> {
        let pool = Pool::new(settings.threads).map_err(|e| EngineError::Threads(e.kind()))?;
        let config = &model.transformer.config;
        let blocks = Blocks::new(config, settings.cache_bytes);
        let bounds = Bounds {
            running: settings.running.max(1),
            rows: settings.rows(),
            // Long enough for the kernels to work at full width, short enough not to be felt between two tokens.
            beside: settings.rows().min(64),
            blocks: blocks.most(),
        };
        let work = Workspace::new(config, settings.isa, pool, settings.rows(), settings.asking());
        let scheduler = Scheduler::new(bounds);
        let (sequences, kept) = (BTreeMap::new(), Vec::new());
        Ok(Engine { model, work, blocks, scheduler, sequences, kept, settings, next: 0 })
    }

    /// Bytes that an engine needs at the least: the weights, the work, and keys and values of one short sequence.
    pub(crate) fn smallest(config: &Config, weights: usize) -> usize {
        let usual = Settings::for_this_machine();
        let work = Workspace::bytes(config, usual.rows(), usual.asking());
        let cache = Blocks::bytes(config, config.context.min(SHORT));
        weights.saturating_add(work).saturating_add(cache)
    }

    /// Tokens that fit the memory for keys and values, over all sequences.
    pub fn capacity(&self) -> usize {
        self.blocks.most() * adyton_kernels::attention::BLOCK
    }

    #[cfg(test)]
    pub(crate) fn blocks_taken(&self) -> usize {
        self.blocks.taken()
    }

    #[cfg(test)]
    pub(crate) fn blocks_are_wiped(&self) -> bool {
        self.blocks.free_are_wiped()
    }

    /// True if there is nothing to do.
    pub fn is_idle(&self) -> bool {
        self.sequences.is_empty()
    }

    /// Sequences that run, and that wait.
    pub fn load(&self) -> (usize, usize) {
        (self.scheduler.running(), self.scheduler.waiting())
    }

    /// Takes a generation on, to be over by `until`.
    ///
    /// # Errors
    /// [`Refused`]
    pub fn submit(
        &mut self,
        generation: Generation,
        scope: Scope,
        until: Instant,
    ) -> Result<SequenceId, Refused> {
        if !generation.is_for(&self.model) {
            return Err(Refused::OtherModel);
        }
        let tokens = generation.longest();
        if blocks_for(tokens + self.settings.guesses) > self.blocks.most() {
            return Err(Refused::TooLarge { tokens, most: self.capacity() });
        }
        let id = SequenceId(self.next);
        self.next += 1;
        self.scheduler.submit(id, scope.owner, generation.tokens().len(), self.settings.guesses);
        self.sequences
            .insert(id, Sequence { generation, cache: KvCache::default(), scope, until, forgotten: false });
        Ok(id)
    }

    /// Ends a sequence that nobody waits for any more. No event follows.
    pub fn cancel(&mut self, id: SequenceId) {
        if let Some(mut sequence) = self.sequences.remove(&id) {
            self.scheduler.remove(id);
            self.blocks.cut(&mut sequence.cache, 0);
        }
        self.rest();
    }

    /// True if something is kept for a session's next turn.
    pub fn keeps(&self) -> bool {
        !self.kept.is_empty()
    }

    /// Forgets what a session left behind, and what its running sequences will leave.
    pub fn forget(&mut self, session: u64) {
        for sequence in self.sequences.values_mut().filter(|s| s.scope.session == session) {
            sequence.forgotten = true;
        }
        let (gone, kept) =
            std::mem::take(&mut self.kept).into_iter().partition(|k| k.scope.session == session);
        self.kept = kept;
        let gone: Vec<Kept> = gone;
        gone.into_iter().for_each(|mut kept| self.blocks.cut(&mut kept.cache, 0));
    }

    /// Ends every sequence, for the reason given, and forgets everything.
    pub fn cut_all(&mut self, emit: &mut dyn FnMut(SequenceId, Event)) {
        for id in self.sequences.keys().copied().collect::<Vec<_>>() {
            self.end(id, Some(EngineError::Ended), emit);
        }
        while self.evict() {}
        self.rest();
    }

    /// Does the next piece of work.
    pub fn step(&mut self, now: Instant, emit: &mut dyn FnMut(SequenceId, Event)) {
        self.expire(now, emit);
        while self.scheduler.wanted() + self.kept_blocks() > self.blocks.most() && self.evict() {}
        let plan = self.scheduler.plan(self.kept_blocks());
        self.make_way(&plan);
        if let Err(error) = self.compute(&plan, emit) {
            for (id, _) in plan.spans {
                self.end(id, Some(error.clone()), emit);
            }
        }
        self.rest();
    }

    fn expire(&mut self, now: Instant, emit: &mut dyn FnMut(SequenceId, Event)) {
        let over = self.sequences.iter().filter(|(_, sequence)| now >= sequence.until);
        for id in over.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.end(id, Some(EngineError::Ended), emit);
        }
    }

    /// Takes blocks back from the preempted, and lets the admitted take over what their session left.
    fn make_way(&mut self, plan: &Plan) {
        for id in &plan.preempted {
            if let Some(sequence) = self.sequences.get_mut(id) {
                self.blocks.cut(&mut sequence.cache, 0);
            }
        }
        for id in &plan.admitted {
            let Some(sequence) = self.sequences.get_mut(id) else { continue };
            let tokens = sequence.generation.tokens();
            // The last token is always computed: its logits are wanted.
            let common = |kept: &Kept| {
                let known = tokens[..tokens.len() - 1].iter().zip(&kept.tokens[..kept.cache.len()]);
                known.take_while(|(a, b)| a == b).count()
            };
            let own = self.kept.iter().enumerate().filter(|(_, kept)| kept.scope == sequence.scope);
            let best = own.map(|(at, kept)| (common(kept), at)).max();
            if let Some((length, at)) = best.filter(|(length, _)| *length > 0) {
                let mut kept = self.kept.remove(at);
                self.blocks.cut(&mut kept.cache, length);
                sequence.cache = kept.cache;
                self.scheduler.reuse(*id, length);
            }
        }
    }

    /// The forward pass over the planned rows, and a choice for each sequence whose tokens are all read.
    fn compute(&mut self, plan: &Plan, emit: &mut dyn FnMut(SequenceId, Event)) -> Result<(), EngineError> {
        let planned = self.planned(plan);
        if planned.is_empty() {
            return Ok(());
        }
        self.forward(&planned)?;
        let mut row = 0;
        for one in &planned {
            if one.asks() > 0 {
                let end = self.choose(one, row, emit);
                row += one.asks();
                if let Some(error) = end {
                    self.end(one.id, error, emit);
                }
            }
            if let Some(sequence) = self.sequences.get(&one.id) {
                self.scheduler.note(one.id, sequence.generation.tokens().len(), sequence.cache.len());
            }
        }
        Ok(())
    }

    /// What each planned sequence computes, in the order of their ids.
    fn planned(&self, plan: &Plan) -> Vec<Planned> {
        let mut all = Vec::with_capacity(plan.spans.len());
        for (id, sequence) in &self.sequences {
            let Some((_, count)) = plan.spans.iter().find(|(planned, _)| planned == id) else { continue };
            let (start, known) = (sequence.cache.len(), sequence.generation.tokens());
            let end = known.len().min(start + count);
            let (own, last) = (end - start, end == known.len());
            let mut tokens = Zeroizing::new(Vec::with_capacity(own + self.settings.guesses));
            tokens.extend_from_slice(&known[start..end]);
            if last && own == 1 && self.settings.guesses > 0 {
                let room = sequence.generation.longest().saturating_sub(known.len() + 1);
                tokens.extend_from_slice(lookup::guess(known, room.min(self.settings.guesses)));
            }
            all.push(Planned { id: *id, tokens, own, last });
        }
        all
    }

    fn forward(&mut self, planned: &[Planned]) -> Result<(), EngineError> {
        let Engine { model, work, blocks, sequences, .. } = self;
        let mut spans = Vec::with_capacity(planned.len());
        // Both in the order of ids.
        let chosen = sequences.iter_mut().filter(|(id, _)| planned.iter().any(|one| one.id == **id));
        for (one, (_, sequence)) in planned.iter().zip(chosen) {
            let cache = &mut sequence.cache;
            if !blocks.grow(cache, cache.len() + one.tokens.len()) {
                return Err(EngineError::OutOfRange);
            }
            spans.push(Span { cache, tokens: &one.tokens, logits: one.asks() });
        }
        model.transformer.run(work, &mut spans)
    }

    /// Chooses a sequence's next token from its logits, which begin at `row`; and further ones, as long as the guesses come
    /// true. If the sequence is over, with what error, if any.
    fn choose(
        &mut self,
        one: &Planned,
        row: usize,
        emit: &mut dyn FnMut(SequenceId, Event),
    ) -> Option<Option<EngineError>> {
        let Engine { model, work, blocks, sequences, settings, .. } = self;
        let sequence = sequences.get_mut(&one.id)?;
        let guesses = &one.tokens[one.own..];
        let mut end = None;
        for n in 0..one.asks() {
            let logits = work.logits(row + n, model.transformer.config.vocab);
            match sequence.generation.choose(settings.isa, logits, &mut |event| emit(one.id, event)) {
                Ok(Some(token)) if guesses.get(n) == Some(&token) => continue,
                Ok(Some(_)) => {}
                Ok(None) => end = Some(None),
                Err(error) => end = Some(Some(error)),
            }
            break;
        }
        // What was guessed wrong was computed in vain.
        blocks.cut(&mut sequence.cache, sequence.generation.tokens().len() - 1);
        end
    }

    /// Takes a sequence out. Without an error it was finished, and what it computed is kept for its session's next turn.
    fn end(&mut self, id: SequenceId, error: Option<EngineError>, emit: &mut dyn FnMut(SequenceId, Event)) {
        let Some(mut sequence) = self.sequences.remove(&id) else { return };
        self.scheduler.remove(id);
        if let Some(error) = error {
            self.blocks.cut(&mut sequence.cache, 0);
            return emit(id, Event::Cut(error));
        }
        if sequence.forgotten {
            return self.blocks.cut(&mut sequence.cache, 0);
        }
        let Sequence { generation, cache, scope, .. } = sequence;
        let tokens = Zeroizing::new(generation.tokens()[..cache.len()].to_vec());
        self.kept.push(Kept { scope, tokens, cache });
        if self.kept.len() > MAX_KEPT {
            self.evict();
        }
    }

    fn kept_blocks(&self) -> usize {
        self.kept.iter().map(|kept| kept.cache.blocks()).sum()
    }

    /// Gives the oldest kept blocks back. False if there are none.
    fn evict(&mut self) -> bool {
        if self.kept.is_empty() {
            return false;
        }
        let mut oldest = self.kept.remove(0);
        self.blocks.cut(&mut oldest.cache, 0);
        true
    }

    /// When nothing runs, nothing of what ran stays in the buffers.
    fn rest(&mut self) {
        if self.sequences.is_empty() {
            self.work.wipe();
        }
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (running, waiting) = self.load();
        write!(f, "Engine({running} running, {waiting} waiting)")
    }
}

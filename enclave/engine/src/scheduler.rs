//! Which sequences run, and which of their tokens are computed next. Pure: numbers in, numbers out; no tensors, no clock.
//!
//! Promises
//! - No more blocks are planned for than there are, and a running sequence can always go on: when the running ones outgrow the
//!   memory, the youngest of whoever was served most waits again, and is computed anew later.
//! - Every running sequence whose prompt is read gets its row in every step, whatever prompts are being read beside it.
//! - Whoever was served least comes first, counted in tokens; among one's own, the first come. An owner who was away does not
//!   save up turns (virtual token counter: Sheng et al., "Fairness in Serving Large Language Models", OSDI 2024).
//! - Whoever waits runs one day: the one whose turn it is holds back those behind it until there is room.
//!
//! Does not: know what a token is. The caller says how many each sequence has and does what the plan says.

use crate::cache::blocks_for;
use std::collections::{BTreeMap, BTreeSet};

/// Names a sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SequenceId(pub(crate) u64);

/// Names an owner of sequences: whatever the caller tells principals apart by.
pub type Owner = [u8; 32];

/// Bounds on what runs together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// Most sequences that run.
    pub(crate) running: usize,
    /// Most rows of a step.
    pub(crate) rows: usize,
    /// Most rows of prompts beside somebody who answers: he waits that long for his next token.
    pub(crate) beside: usize,
    /// Blocks in all.
    pub(crate) blocks: usize,
}

/// One sequence, as far as its turn depends on it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    id: SequenceId,
    owner: Owner,
    /// Tokens known: of the prompt, and chosen so far.
    tokens: usize,
    /// Tokens whose keys and values are held.
    computed: usize,
    /// Rows that a guess may take beside the next token.
    guesses: usize,
}

impl Entry {
    /// Blocks for what is known and may be guessed.
    fn blocks(&self) -> usize {
        blocks_for(self.tokens + self.guesses)
    }

    fn pending(&self) -> usize {
        self.tokens - self.computed
    }
}

/// What to do in a step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Sequences that give their blocks back and wait again.
    pub(crate) preempted: Vec<SequenceId>,
    /// Sequences that begin to run.
    pub(crate) admitted: Vec<SequenceId>,
    /// Which compute how many of their tokens. A sequence that has one token left may compute its guesses too.
    pub(crate) spans: Vec<(SequenceId, usize)>,
}

/// The sequences that wait and run.
#[derive(Debug)]
pub(crate) struct Scheduler {
    bounds: Bounds,
    /// In the order of their numbers, which is that of their coming.
    waiting: BTreeMap<SequenceId, Entry>,
    running: BTreeMap<SequenceId, Entry>,
    /// Tokens computed for each owner: of those who have a sequence here, and of some who had.
    served: BTreeMap<Owner, u64>,
}

/// Owners whose count is remembered while they are away, so that nobody is new again after each answer.
const MAX_REMEMBERED: usize = 1024;

impl Scheduler {
    pub(crate) fn new(bounds: Bounds) -> Scheduler {
        Scheduler { bounds, waiting: BTreeMap::new(), running: BTreeMap::new(), served: BTreeMap::new() }
    }

    /// Takes a sequence on. `id` is larger than every one before.
    pub(crate) fn submit(&mut self, id: SequenceId, owner: Owner, tokens: usize, guesses: usize) {
        let least = self.all().map(|entry| self.served(entry.owner)).min().unwrap_or(0);
        let served = self.served.entry(owner).or_insert(least);
        *served = least.max(*served);
        self.waiting.insert(id, Entry { id, owner, tokens, computed: 0, guesses });
    }

    /// Forgets a sequence, wherever it is.
    pub(crate) fn remove(&mut self, id: SequenceId) {
        let gone = self.running.remove(&id).or_else(|| self.waiting.remove(&id));
        if gone.is_some() && self.served.len() > MAX_REMEMBERED {
            let here: BTreeSet<Owner> = self.all().map(|entry| entry.owner).collect();
            self.served.retain(|owner, _| here.contains(owner));
        }
    }

    /// Notes that a sequence has so many tokens, of which so many are computed.
    pub(crate) fn note(&mut self, id: SequenceId, tokens: usize, computed: usize) {
        let Some(entry) = self.running.get_mut(&id) else { return };
        let done = computed.saturating_sub(entry.computed) as u64;
        (entry.tokens, entry.computed) = (tokens, computed);
        if let Some(served) = self.served.get_mut(&entry.owner) {
            *served = served.saturating_add(done);
        }
    }

    /// Notes that a sequence that begins has so many tokens computed already.
    pub(crate) fn reuse(&mut self, id: SequenceId, computed: usize) {
        if let Some(entry) = self.running.get_mut(&id) {
            entry.computed = computed;
        }
    }

    /// Blocks that the running sequences need for what they know, and the next one that waits for itself.
    pub(crate) fn wanted(&self) -> usize {
        let next = self.next().map_or(0, |id| self.waiting.get(&id).map_or(0, Entry::blocks));
        self.running_blocks() + if self.running.len() < self.bounds.running { next } else { 0 }
    }

    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    pub(crate) fn running(&self) -> usize {
        self.running.len()
    }

    /// The next step, where `spare` blocks are held by nobody who runs and cannot be had.
    pub(crate) fn plan(&mut self, spare: usize) -> Plan {
        let blocks = self.bounds.blocks.saturating_sub(spare);
        let preempted = self.preempt(blocks);
        let admitted = self.admit(blocks, preempted.is_empty());
        Plan { preempted, admitted, spans: self.spans() }
    }

    fn all(&self) -> impl Iterator<Item = &Entry> {
        self.waiting.values().chain(self.running.values())
    }

    fn running_blocks(&self) -> usize {
        self.running.values().map(Entry::blocks).sum()
    }

    fn served(&self, owner: Owner) -> u64 {
        self.served.get(&owner).copied().unwrap_or(0)
    }

    /// Sends back whoever was served most, the youngest first, until the others fit. One is always left.
    fn preempt(&mut self, blocks: usize) -> Vec<SequenceId> {
        let mut preempted = Vec::new();
        while self.running.len() > 1 && self.running_blocks() > blocks {
            let most = self.running.values().max_by_key(|entry| (self.served(entry.owner), entry.id));
            let Some(id) = most.map(|entry| entry.id) else { break };
            if let Some(entry) = self.running.remove(&id) {
                self.waiting.insert(id, Entry { computed: 0, ..entry });
                preempted.push(id);
            }
        }
        preempted
    }

    /// The one whose turn it is to begin.
    fn next(&self) -> Option<SequenceId> {
        let running = |owner| self.running.values().filter(|entry| entry.owner == owner).count();
        let least = self.waiting.values().min_by_key(|e| (running(e.owner), self.served(e.owner), e.id));
        least.map(|entry| entry.id)
    }

    fn admit(&mut self, blocks: usize, room: bool) -> Vec<SequenceId> {
        let mut admitted = Vec::new();
        // Whoever was just sent back would only take the place that he made.
        while room && self.running.len() < self.bounds.running {
            let Some(id) = self.next() else { break };
            let Some(entry) = self.waiting.get(&id) else { break };
            if self.running_blocks() + entry.blocks() > blocks {
                break;
            }
            if let Some(entry) = self.waiting.remove(&id) {
                self.running.insert(id, entry);
                admitted.push(id);
            }
        }
        admitted
    }

    /// A row for everyone who answers; what is left of the step for the prompts of whoever was served least.
    fn spans(&self) -> Vec<(SequenceId, usize)> {
        let mut rows = self.bounds.rows;
        let mut spans = Vec::new();
        let mut answering: Vec<&Entry> = self.running.values().filter(|e| e.pending() == 1).collect();
        answering.sort_by_key(|e| (self.served(e.owner), e.id));
        for entry in answering.into_iter().take(rows) {
            spans.push((entry.id, 1));
        }
        rows -= spans.len();
        if !spans.is_empty() {
            rows = rows.min(self.bounds.beside);
        }
        let mut reading: Vec<&Entry> = self.running.values().filter(|e| e.pending() > 1).collect();
        reading.sort_by_key(|e| (self.served(e.owner), e.id));
        for entry in reading {
            let count = entry.pending().min(rows);
            if count > 0 {
                spans.push((entry.id, count));
                rows -= count;
            }
        }
        spans
    }
}

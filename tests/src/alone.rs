//! The engine alone in this process, timed: what benchmarks compare the whole path, and other engines, with.

use adyton_engine::{Engine, Event, Generation, Limits, Model, Sampling, Scope, SequenceId, Settings, Size};
use adyton_guardrail::{Guardrail, Message, Prompt, Role, Settings as Screening};
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::world::policy_folder;

/// An engine with a model, and nothing around it.
pub struct Alone {
    model: Arc<Model>,
    guardrail: Guardrail,
    engine: Engine,
    session: u64,
}

/// Who asks for the answers of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Askers {
    /// One principal in one session, which goes on from run to run: what prompts begin with alike is read once.
    One,
    /// As many principals as there are answers, each for the first time.
    Many,
}

/// Times of one answer, from the moment that all were asked for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Timed {
    /// To the first text.
    pub first: Duration,
    /// To the last.
    pub last: Duration,
    /// Tokens of the rendered prompt.
    pub prompt_tokens: usize,
    /// Tokens chosen.
    pub tokens: usize,
}

impl Alone {
    /// Loads a model.
    ///
    /// # Errors
    /// If the file is not a model, or threads cannot be had.
    pub fn load(path: &Path, change: impl FnOnce(Settings) -> Settings) -> Result<Alone> {
        let file = File::open(path).with_context(|| format!("no model at {}", path.display()))?;
        let size = file.metadata()?.len();
        let model = Arc::new(Model::load(BufReader::new(file), size, Limits::default())?);
        let screening = Screening::parse(&std::fs::read_to_string(policy_folder().join("guardrails.toml"))?)?;
        let guardrail = Guardrail::new(screening, model.control_tokens());
        let engine = Engine::new(Arc::clone(&model), change(Settings::for_this_machine()))?;
        Ok(Alone { model, guardrail, engine, session: 0 })
    }

    /// How much the weights are.
    pub fn weights(&self) -> Size {
        self.model.size()
    }

    /// Bytes of the keys and values of a sequence of so many tokens.
    pub fn kept_bytes(&self, tokens: usize) -> usize {
        self.model.kept_bytes(tokens)
    }

    /// Renders a prompt, ready to run.
    ///
    /// # Errors
    /// If it does not fit.
    pub fn generation(&self, prompt: &str, tokens: usize) -> Result<Generation> {
        let message = Message { role: Role::User, content: prompt.into() };
        let (prompt, _) = self.guardrail.screen(Prompt { messages: vec![message] })?;
        // As many tokens as asked for: those that end a turn are ruled out.
        let tokenizer = self.model.tokenizer();
        let ends = (0..u32::try_from(tokenizer.vocabulary())?).filter(|id| tokenizer.is_end(*id));
        let sampling = Sampling::greedy().biases(ends.map(|id| (id, -100.0)).collect())?;
        Ok(Generation::start(&self.model, &prompt, sampling.max_tokens(tokens)?)?)
    }

    /// A prompt of exactly `tokens` tokens once rendered, unlike those of other numbers from its first words on.
    ///
    /// # Errors
    /// If there is none.
    pub fn prompt(&self, tokens: usize, number: usize) -> Result<String> {
        let words = ["soup", "river", "lamp", "story", "green", "house", "seven", "night"];
        let begin = format!("Number {number}. Tell a long story of these words:");
        (0..tokens)
            .map(|count| {
                let list: Vec<&str> = (0..count)
                    .filter_map(|i| words.get((i * 5 + i / 7 + number) % words.len()))
                    .copied()
                    .collect();
                format!("{begin} {}", list.join(" "))
            })
            .skip(tokens.saturating_sub(80))
            .find(|prompt| self.generation(prompt, 1).is_ok_and(|g| g.usage().prompt_tokens == tokens))
            .with_context(|| format!("no prompt of exactly {tokens} tokens"))
    }

    /// Answers all prompts at once.
    ///
    /// # Errors
    /// If an answer is cut, or a prompt does not fit.
    pub fn run(&mut self, askers: Askers, prompts: &[String], tokens: usize) -> Result<Vec<Timed>> {
        let start = Instant::now();
        let until = start + Duration::from_secs(3600);
        let mut timed: BTreeMap<SequenceId, Timed> = BTreeMap::new();
        for (owner, prompt) in (0u8..).zip(prompts) {
            let generation = self.generation(prompt, tokens)?;
            let prompt_tokens = generation.usage().prompt_tokens;
            let owner = if askers == Askers::One { 0 } else { owner };
            let scope = Scope { owner: [owner; 32], session: self.session };
            let id = self.engine.submit(generation, scope, until)?;
            timed.insert(id, Timed { prompt_tokens, ..Timed::default() });
        }
        let mut cut = None;
        while !self.engine.is_idle() {
            self.engine.step(Instant::now(), &mut |id, event| {
                let (now, Some(one)) = (start.elapsed(), timed.get_mut(&id)) else { return };
                match event {
                    Event::Text(..) if one.first.is_zero() => one.first = now,
                    Event::Text(..) => {}
                    Event::Finished(_, usage) => (one.last, one.tokens) = (now, usage.completion_tokens),
                    Event::Cut(error) => cut = Some(error),
                }
            });
        }
        if askers == Askers::Many {
            self.engine.forget(self.session);
            self.session += 1;
        }
        cut.map_or_else(|| Ok(timed.into_values().collect()), |error| Err(error.into()))
    }
}

//! The one thread that runs the engine, and the only way in.
//!
//! Promises
//! - A generation takes a [`Grant`] by value and a [`Screened<Prompt>`]; there is no other way in.
//! - Without a lease no step is made: every sequence ends as cut, and nothing of it is kept.
//! - A sequence whose stream was dropped, or whose grant has run out, ends within one step.
//! - No answer has more tokens than its grant says, and the answers to one request together no more than that either.
//! - At most [`MAX_ANSWERS`] answers run and wait, and no principal holds more than half of them; the next is refused, not queued.
//! - Text that comes quickly leaves in pieces some milliseconds apart: who watches the wire does not see each token.

use crate::gate::{Grant, Spent};
use crate::lease::Lease;
use adyton_engine::{
    Engine, Event as Step, FinishReason, Generation, Likelihood, Model, Owner, Sampling, Scope, SequenceId,
    Settings, StartError, Usage,
};
use adyton_guardrail::{Prompt, Screened, Text};
use adyton_wire::control::GrantId;
use std::collections::{HashMap, HashSet};
use std::sync::mpsc as sync;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use thiserror::Error;
use tokio::sync::mpsc;

/// Most answers that run and wait.
pub const MAX_ANSWERS: usize = 64;
/// Text that was chosen within this time leaves together. Each piece costs a record, an event and a wake-up in every process on
/// its way; forty a second look like a steady stream.
const TOGETHER: Duration = Duration::from_millis(25);

/// How soon after a lease is over an idle engine forgets what it kept; as long as a lease is good for.
const LOOK: Duration = Duration::from_secs(2);

/// Why a generation was not taken on.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum Refused {
    /// Too many run and wait.
    #[error("too many requests are running")]
    Full,
    /// The prompt does not fit, or the template refuses it.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The grant is for no token at all.
    #[error("the policy permits no tokens")]
    Nothing,
    /// It needs more memory than there is.
    #[error(transparent)]
    Memory(#[from] adyton_engine::Refused),
    /// The engine's thread is gone.
    #[error("the engine stopped")]
    Stopped,
}

/// What happens in one of the answers to a request.
#[derive(Debug)]
pub enum Event {
    /// The next piece of text, unscreened, and how likely its tokens were, if that was asked for.
    Text(Text, Vec<Likelihood>),
    /// The end, whole.
    Finished(FinishReason, Usage),
    /// The end, cut: the lease or the grant is over, or the engine failed.
    Cut,
}

/// The tokens of the answers to one request, as they come. Dropping it ends them.
#[derive(Debug)]
pub struct TokenStream {
    events: mpsc::UnboundedReceiver<(usize, Event)>,
    spent: Spent,
    prompt_tokens: usize,
    answers: usize,
    /// Held until the text has left, not only until it was generated: what waits for a slow client takes memory.
    _places: Arc<Places>,
}

impl TokenStream {
    /// The next event and the number of its answer; `None` if the engine's thread is gone.
    pub async fn next(&mut self) -> Option<(usize, Event)> {
        self.events.recv().await
    }

    /// The grant in use.
    pub fn grant(&self) -> GrantId {
        self.spent.id()
    }

    /// Tokens of the rendered prompt.
    pub fn prompt_tokens(&self) -> usize {
        self.prompt_tokens
    }

    /// How many answers there will be.
    pub fn answers(&self) -> usize {
        self.answers
    }

    /// This, once more from the beginning: `came` is all that it has given so far.
    #[must_use]
    pub fn replay(self, came: Vec<(usize, Event)>) -> TokenStream {
        let (again, events) = mpsc::unbounded_channel();
        for event in came {
            // The other end is in this function.
            let _ = again.send(event);
        }
        TokenStream { events, ..self }
    }

    /// Ends the generation; what is left is the grant, for the receipt.
    pub fn into_spent(self) -> Spent {
        self.spent
    }
}

/// Places of the answers to one request; free again when dropped.
#[derive(Debug)]
pub struct Places {
    taken: Arc<Mutex<HashMap<Owner, usize>>>,
    owner: Owner,
    count: usize,
}

impl Drop for Places {
    fn drop(&mut self) {
        let Ok(mut taken) = self.taken.lock() else { return };
        if let Some(own) = taken.get_mut(&self.owner) {
            *own = own.saturating_sub(self.count);
        }
        taken.retain(|_, count| *count > 0);
    }
}

/// What the limit of tokens means where the context has less room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// The client asked for that many: refuse.
    Exactly,
    /// The client named no limit: answer with what there is room for.
    RoomLeft,
}

/// What is asked of the engine beside the prompt.
#[derive(Debug)]
pub struct Asked {
    /// How to choose.
    pub sampling: Sampling,
    /// What the limit means.
    pub limit: Limit,
    /// How many answers.
    pub answers: usize,
    /// The session that it was asked in.
    pub session: u64,
}

enum Command {
    Begin(Job),
    Forget(u64),
}

struct Job {
    places: Arc<Places>,
    generations: Vec<Generation>,
    scope: Scope,
    // Unbounded, but bounded by nature: one event a token, and a grant says how many.
    events: mpsc::UnboundedSender<(usize, Event)>,
    until: Instant,
}

/// Takes generations on.
#[derive(Clone)]
pub struct Generator {
    model: Arc<Model>,
    commands: sync::Sender<Command>,
    taken: Arc<Mutex<HashMap<Owner, usize>>>,
    /// Tokens that the memory for keys and values holds.
    capacity: usize,
    /// Sessions that are open.
    sessions: Arc<Mutex<HashSet<u64>>>,
}

impl Generator {
    /// Starts the engine's thread. It ends when the last generator is dropped and its sequences are done.
    ///
    /// # Errors
    /// If no thread can be had.
    pub fn start(model: Model, settings: Settings, lease: Arc<Lease>) -> std::io::Result<Generator> {
        let (commands, incoming) = sync::channel();
        let model = Arc::new(model);
        let engine = Engine::new(Arc::clone(&model), settings).map_err(std::io::Error::other)?;
        let (capacity, sessions) = (engine.capacity(), Arc::<Mutex<HashSet<u64>>>::default());
        let work = Work { engine, answers: HashMap::new(), sessions: Arc::clone(&sessions) };
        std::thread::Builder::new().name("engine".into()).spawn(move || work.run(&incoming, &lease))?;
        Ok(Generator { model, commands, taken: Arc::default(), capacity, sessions })
    }

    /// Takes places for the answers to one request, if there are. Before any work is done for it.
    ///
    /// # Errors
    /// [`Refused::Full`]
    pub fn places(&self, grant: &Grant, count: usize) -> Result<Places, Refused> {
        let mut taken = self.taken.lock().map_err(|_| Refused::Stopped)?;
        let (all, owner) = (taken.values().sum::<usize>(), grant.principal());
        let own = taken.get(&owner).copied().unwrap_or(0);
        if all + count > MAX_ANSWERS || own + count > MAX_ANSWERS / 2 {
            return Err(Refused::Full);
        }
        taken.insert(owner, own + count);
        Ok(Places { taken: Arc::clone(&self.taken), owner, count })
    }

    /// Begins to answer under a grant. Renders and encodes the prompt, which can take long for a long one: not for
    /// the thread that serves the connections.
    ///
    /// # Errors
    /// [`Refused`]
    pub fn generate(
        &self,
        places: Places,
        grant: Grant,
        prompt: &Screened<Prompt>,
        asked: Asked,
    ) -> Result<TokenStream, Refused> {
        // What the policy permits is permitted for the request, not for each of its answers.
        let permitted = grant.max_tokens() as usize / asked.answers.max(1);
        let sampling = match asked.limit {
            Limit::Exactly => asked.sampling.max_tokens(permitted),
            Limit::RoomLeft => asked.sampling.up_to(permitted),
        };
        let sampling = sampling.map_err(|_| Refused::Nothing)?;
        let start = |n: usize| {
            let seed = sampling.seed().wrapping_add(n as u64);
            Generation::start(&self.model, prompt, sampling.clone().reseeded(seed))
        };
        let generations: Vec<Generation> = (0..asked.answers).map(start).collect::<Result<_, _>>()?;
        if let Some(tokens) =
            generations.iter().map(Generation::longest).find(|longest| *longest > self.capacity)
        {
            return Err(adyton_engine::Refused::TooLarge { tokens, most: self.capacity }.into());
        }
        let prompt_tokens = generations.first().map_or(0, |generation| generation.usage().prompt_tokens);
        let scope = Scope { owner: grant.principal(), session: asked.session };
        let (events, stream) = mpsc::unbounded_channel();
        let (spent, places) = (grant.spend(), Arc::new(places));
        let _places = Arc::clone(&places);
        let job = Job { generations, scope, events, until: spent.until(), places };
        self.commands.send(Command::Begin(job)).map_err(|_| Refused::Stopped)?;
        Ok(TokenStream { events: stream, spent, prompt_tokens, answers: asked.answers, _places })
    }

    /// Begins to keep what a session leaves behind for its next turn.
    pub fn remember(&self, session: u64) {
        if let Ok(mut open) = self.sessions.lock() {
            open.insert(session);
        }
    }

    /// Forgets what a session left behind: it is over.
    pub fn forget(&self, session: u64) {
        if let Ok(mut open) = self.sessions.lock() {
            open.remove(&session);
        }
        // If the engine is gone, so is all that it knew.
        let _ = self.commands.send(Command::Forget(session));
    }
}

/// Ends the process if the engine's thread panics: a worker without an engine would only say `offline`, and the
/// sentinel starts another one.
struct EndsWithTheEngine;

/// `EX_SOFTWARE` of sysexits(3): an internal error.
const ENGINE_PANICKED: i32 = 70;

impl Drop for EndsWithTheEngine {
    fn drop(&mut self) {
        if std::thread::panicking() {
            std::process::exit(ENGINE_PANICKED);
        }
    }
}

/// The engine's thread.
struct Work {
    engine: Engine,
    answers: HashMap<SequenceId, Outgoing>,
    sessions: Arc<Mutex<HashSet<u64>>>,
}

/// One answer on its way out.
struct Outgoing {
    /// Held by every answer to the request.
    _places: Arc<Places>,
    events: mpsc::UnboundedSender<(usize, Event)>,
    number: usize,
    /// Text that waits to leave together with what follows.
    text: Vec<Text>,
    likelihoods: Vec<Likelihood>,
    sent: Option<Instant>,
}

impl Work {
    fn run(mut self, incoming: &sync::Receiver<Command>, lease: &Lease) {
        let _guard = EndsWithTheEngine;
        adyton_engine::give_way();
        loop {
            if self.engine.is_idle() {
                match self.wait(incoming) {
                    Ok(command) => self.obey(command),
                    Err(sync::RecvTimeoutError::Timeout) => {}
                    Err(sync::RecvTimeoutError::Disconnected) => return,
                }
            }
            while let Ok(command) = incoming.try_recv() {
                self.obey(command);
            }
            self.step(lease, Instant::now());
        }
    }

    /// Waits for a command. While something is kept, the lease is looked at now and then: without it, nothing is.
    fn wait(&self, incoming: &sync::Receiver<Command>) -> Result<Command, sync::RecvTimeoutError> {
        if self.engine.keeps() {
            return incoming.recv_timeout(LOOK);
        }
        incoming.recv().map_err(|_| sync::RecvTimeoutError::Disconnected)
    }

    fn obey(&mut self, command: Command) {
        let Job { places, generations, scope, events, until } = match command {
            Command::Begin(job) => job,
            Command::Forget(session) => return self.engine.forget(session),
        };
        // Told before the session ended, taken up after: nobody would forget it again.
        if !self.sessions.lock().is_ok_and(|open| open.contains(&scope.session)) {
            return;
        }
        for (number, generation) in generations.into_iter().enumerate() {
            let events = events.clone();
            match self.engine.submit(generation, scope, until) {
                Ok(id) => {
                    let (text, likelihoods) = (Vec::new(), Vec::new());
                    let _places = Arc::clone(&places);
                    let answer = Outgoing { _places, events, number, text, likelihoods, sent: None };
                    self.answers.insert(id, answer);
                }
                // `generate` checked what can be wrong with it.
                Err(_refused) => drop(events.send((number, Event::Cut))),
            }
        }
    }

    /// One step for everyone. Those who hung up, and all if the lease is over, end before it.
    fn step(&mut self, lease: &Lease, now: Instant) {
        let gone: Vec<SequenceId> =
            self.answers.iter().filter(|(_, answer)| answer.events.is_closed()).map(|(id, _)| *id).collect();
        for id in gone {
            self.answers.remove(&id);
            self.engine.cancel(id);
        }
        let answers = &mut self.answers;
        let mut emit = |id, event| deliver(answers, id, event);
        if lease.holds(now) {
            self.engine.step(now, &mut emit);
        } else {
            self.engine.cut_all(&mut emit);
        }
        let now = Instant::now();
        self.answers.values_mut().for_each(|answer| answer.flush(now, false));
    }
}

fn deliver(answers: &mut HashMap<SequenceId, Outgoing>, id: SequenceId, event: Step) {
    let Some(answer) = answers.get_mut(&id) else { return };
    let last = match event {
        Step::Text(text, likelihoods) => {
            if !text.expose().is_empty() {
                answer.text.push(text);
            }
            return answer.likelihoods.extend(likelihoods);
        }
        Step::Finished(reason, usage) => Event::Finished(reason, usage),
        Step::Cut(_error) => Event::Cut,
    };
    answer.flush(Instant::now(), true);
    let _nobody_listens = answer.events.send((answer.number, last));
    answers.remove(&id);
}

impl Outgoing {
    /// Sends what waits, if it is the first, has waited long enough, or is the last.
    fn flush(&mut self, now: Instant, last: bool) {
        let due = last || self.sent.is_none_or(|sent| now.saturating_duration_since(sent) >= TOGETHER);
        if !due || (self.text.is_empty() && self.likelihoods.is_empty()) {
            return;
        }
        let pieces: Vec<&str> = self.text.iter().map(Text::expose).collect();
        let text = Text::from(pieces.concat());
        self.text.clear();
        self.sent = Some(now);
        let event = Event::Text(text, std::mem::take(&mut self.likelihoods));
        let _nobody_listens = self.events.send((self.number, event));
    }
}

//! The one thread that runs the engine: each running sequence gets one step in turn.
//!
//! Promises
//! - A generation takes a [`Grant`] by value and a [`Screened<Prompt>`]; there is no other way in.
//! - Without a lease no step is made: every running sequence ends as cut.
//! - A sequence whose stream was dropped, or whose grant has run out, ends within one step.
//! - No generation has more tokens than its grant says.
//! - At most [`MAX_RUNNING`] sequences run and [`MAX_WAITING`] wait; the next is refused, not queued.

use crate::gate::{Grant, Spent};
use crate::lease::Lease;
use adyton_engine::{FinishReason, Generation, Model, Sampling, StartError, Step, Usage};
use adyton_guardrail::{Prompt, Screened, Text};
use std::sync::mpsc as sync;
use std::sync::{Arc, atomic::AtomicUsize, atomic::Ordering};
use std::time::Instant;
use thiserror::Error;
use tokio::sync::mpsc;

/// Most sequences that take turns. Each holds its own keys and values, 45 KiB a token for the default model: four full
/// contexts are 1.5 GiB.
pub const MAX_RUNNING: usize = 4;
/// Most sequences that wait for a turn.
pub const MAX_WAITING: usize = 16;

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
    /// The engine's thread is gone.
    #[error("the engine stopped")]
    Stopped,
}

/// What happens in a generation.
#[derive(Debug)]
pub enum Event {
    /// The next piece of text, unscreened.
    Text(Text),
    /// The end, whole.
    Finished(FinishReason, Usage),
    /// The end, cut: the lease or the grant is over, or the engine failed.
    Cut,
}

/// The tokens of one generation, as they come. Dropping it ends the generation.
#[derive(Debug)]
pub struct TokenStream {
    events: mpsc::UnboundedReceiver<Event>,
    spent: Spent,
    prompt_tokens: usize,
}

impl TokenStream {
    /// The next event; `None` if the engine's thread is gone.
    pub async fn next(&mut self) -> Option<Event> {
        self.events.recv().await
    }

    /// Tokens of the rendered prompt.
    pub fn prompt_tokens(&self) -> usize {
        self.prompt_tokens
    }

    /// Ends the generation; what is left is the grant, for the receipt.
    pub fn into_spent(self) -> Spent {
        self.spent
    }
}

/// One of the places for sequences; free again when dropped.
#[derive(Debug)]
pub struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
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

struct Job {
    _place: Place,
    generation: Generation,
    // Unbounded, but bounded by nature: one event a token, and a grant says how many.
    events: mpsc::UnboundedSender<Event>,
    until: Instant,
}

/// Takes generations on.
#[derive(Clone)]
pub struct Scheduler {
    model: Arc<Model>,
    jobs: sync::Sender<Job>,
    load: Arc<AtomicUsize>,
}

impl Scheduler {
    /// Starts the engine's thread. It ends when the scheduler is dropped and its sequences are done.
    ///
    /// # Errors
    /// If no thread can be had.
    pub fn start(model: Model, lease: Arc<Lease>) -> std::io::Result<Scheduler> {
        let (jobs, incoming) = sync::channel();
        let load = Arc::new(AtomicUsize::new(0));
        std::thread::Builder::new().name("engine".into()).spawn(move || work(&incoming, &lease))?;
        Ok(Scheduler { model: Arc::new(model), jobs, load })
    }

    /// Takes a place, if there is one. Before any work is done for a request.
    ///
    /// # Errors
    /// [`Refused::Full`]
    pub fn place(&self) -> Result<Place, Refused> {
        let place = Place(Arc::clone(&self.load));
        // Counted before it is compared, so that two cannot take the last one; dropping it counts back.
        let before = self.load.fetch_add(1, Ordering::AcqRel);
        if before < MAX_RUNNING + MAX_WAITING { Ok(place) } else { Err(Refused::Full) }
    }

    /// Begins a generation under a grant. Renders and encodes the prompt, which can take long for a long one: not for
    /// the thread that serves the connections.
    ///
    /// # Errors
    /// [`Refused`]
    pub fn generate(
        &self,
        place: Place,
        grant: Grant,
        prompt: &Screened<Prompt>,
        sampling: Sampling,
        limit: Limit,
    ) -> Result<TokenStream, Refused> {
        let permitted = grant.max_tokens() as usize;
        let sampling = match limit {
            Limit::Exactly => sampling.max_tokens(permitted),
            Limit::RoomLeft => sampling.up_to(permitted),
        };
        let sampling = sampling.map_err(|_| Refused::Nothing)?;
        let generation = Generation::start(&self.model, prompt, sampling)?;
        let (events, stream) = mpsc::unbounded_channel();
        let prompt_tokens = generation.usage().prompt_tokens;
        let spent = grant.spend();
        let job = Job { generation, events, until: spent.until(), _place: place };
        self.jobs.send(job).map_err(|_| Refused::Stopped)?;
        Ok(TokenStream { events: stream, spent, prompt_tokens })
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

/// The engine's thread: takes jobs while there is room, then gives each running one a step.
fn work(incoming: &sync::Receiver<Job>, lease: &Lease) {
    let _guard = EndsWithTheEngine;
    let mut running: Vec<Job> = Vec::new();
    loop {
        if running.is_empty() {
            let Ok(job) = incoming.recv() else { return };
            running.push(job);
        }
        while running.len() < MAX_RUNNING {
            let Ok(job) = incoming.try_recv() else { break };
            running.push(job);
        }
        running.retain_mut(|job| advance(job, lease));
    }
}

/// One step of one sequence. False when it is over.
fn advance(job: &mut Job, lease: &Lease) -> bool {
    let now = Instant::now();
    if job.events.is_closed() {
        return false;
    }
    if !lease.holds(now) || now >= job.until {
        let _ = job.events.send(Event::Cut);
        return false;
    }
    let (event, goes_on) = match job.generation.step() {
        Ok(Step::Prefilled { .. }) => return true,
        Ok(Step::Text(text)) if text.expose().is_empty() => return true,
        Ok(Step::Text(text)) => (Event::Text(text), true),
        Ok(Step::Finished(reason)) => (Event::Finished(reason, job.generation.usage()), false),
        Err(_engine_error) => (Event::Cut, false),
    };
    job.events.send(event).is_ok() && goes_on
}

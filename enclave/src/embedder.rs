//! Where vectors come from: one thread that runs the encoder.
//!
//! Promises
//! - Only screened text is embedded.
//! - Work that waits is bounded; a request whose client is gone is not computed.
//! - Texts that are too long are an error, never cut.

use crate::api::error::ApiError;
use adyton_encoder::{Embedding, EncodeError, Encoder, Tokens, Workspace};
use adyton_guardrail::{Prompt, Screened};
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;
use thiserror::Error;
use tokio::sync::oneshot;

/// Requests that may wait.
const WAITING: usize = 64;
/// Tokens of a batch: two texts as long as there can be.
const ROOM: usize = 1024;
/// More threads do not pay: a batch is small.
const MAX_THREADS: usize = 4;

/// The encoder's thread.
pub struct Embedder {
    name: String,
    width: usize,
    encoder: Arc<Encoder>,
    jobs: SyncSender<Job>,
}

/// Texts as vectors.
#[derive(Debug)]
pub struct Embedded {
    /// One for each text, in their order.
    pub vectors: Vec<Embedding>,
    /// Tokens of all texts.
    pub tokens: usize,
}

/// Why there are none.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum EmbedError {
    /// Too much waits.
    #[error("too many texts wait for their vectors")]
    Busy,
    /// The thread is gone.
    #[error("the encoder does not answer")]
    Gone,
    /// A text.
    #[error(transparent)]
    Text(#[from] EncodeError),
}

struct Job {
    texts: Vec<Tokens>,
    answer: oneshot::Sender<Result<Vec<Embedding>, EncodeError>>,
}

impl Embedder {
    /// Starts the thread.
    ///
    /// # Errors
    /// If threads cannot be had.
    pub fn start(name: String, encoder: Encoder) -> io::Result<Embedder> {
        let threads = thread::available_parallelism().map_or(1, usize::from).min(MAX_THREADS);
        let work = Workspace::new(&encoder, ROOM, threads)?;
        let (width, encoder) = (encoder.width(), Arc::new(encoder));
        let (jobs, waiting) = sync_channel(WAITING);
        let mine = Arc::clone(&encoder);
        thread::Builder::new().name("encoder".to_owned()).spawn(move || run(&mine, work, &waiting))?;
        Ok(Embedder { name, width, encoder, jobs })
    }

    /// The name under which the API offers it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Elements of a vector.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The encoder, for whoever cuts texts.
    pub fn encoder(&self) -> &Arc<Encoder> {
        &self.encoder
    }

    /// The vectors of texts: of each, what its messages say together.
    ///
    /// # Errors
    /// [`EmbedError`]
    pub async fn embed(&self, texts: &[Screened<Prompt>]) -> Result<Embedded, EmbedError> {
        let cut = |text: &Screened<Prompt>| match text.get().messages.as_slice() {
            [one] => self.encoder.tokens(one.content.expose()),
            many => {
                let said: Vec<&str> = many.iter().map(|message| message.content.expose()).collect();
                self.encoder.tokens(&zeroize::Zeroizing::new(said.join("\n")))
            }
        };
        let texts: Vec<Tokens> = texts.iter().map(cut).collect::<Result<_, _>>()?;
        let tokens = texts.iter().map(Tokens::count).sum();
        let (answer, vectors) = oneshot::channel();
        self.jobs.try_send(Job { texts, answer }).map_err(|not| match not {
            TrySendError::Full(_) => EmbedError::Busy,
            TrySendError::Disconnected(_) => EmbedError::Gone,
        })?;
        let vectors = vectors.await.map_err(|_| EmbedError::Gone)??;
        Ok(Embedded { vectors, tokens })
    }
}

fn run(encoder: &Encoder, mut work: Workspace, jobs: &Receiver<Job>) {
    while let Ok(Job { texts, answer }) = jobs.recv() {
        let mut vectors = Vec::with_capacity(texts.len());
        let mut fault = None;
        for batch in batches(&texts) {
            if answer.is_closed() || fault.is_some() {
                break;
            }
            match encoder.embed(&mut work, batch) {
                Ok(more) => vectors.extend(more),
                Err(e) => fault = Some(e),
            }
        }
        // Nobody may listen any more.
        let _ = answer.send(fault.map_or(Ok(vectors), Err));
    }
}

/// Runs of texts that fit into the workspace together; each text alone fits.
fn batches(texts: &[Tokens]) -> impl Iterator<Item = &[Tokens]> {
    let mut rest = texts;
    std::iter::from_fn(move || {
        let mut tokens = 0;
        let fits = |text: &&Tokens| {
            tokens += text.count();
            tokens <= ROOM
        };
        let count = rest.iter().take_while(fits).count().max(1).min(rest.len());
        let (batch, after) = rest.split_at(count);
        rest = after;
        (!batch.is_empty()).then_some(batch)
    })
}

impl From<EmbedError> for ApiError {
    fn from(error: EmbedError) -> ApiError {
        match error {
            EmbedError::Busy => ApiError::busy(),
            EmbedError::Gone | EmbedError::Text(EncodeError::NoVector) => ApiError::offline(),
            EmbedError::Text(e @ EncodeError::TooLong { .. }) => {
                ApiError::parameter("input", "context_length_exceeded", e.to_string())
            }
            EmbedError::Text(e) => ApiError::parameter("input", "invalid_value", e.to_string()),
        }
    }
}

//! Tests that need the inside of the crate, and what they share.

mod agreement;
mod answer;
mod chat;
mod config;
mod engine;
mod generation;
mod golden;
mod grammar;
mod grammar_hostile;
mod grammar_random;
mod hostile;
mod models;
mod pieces;
mod quality;
mod reference;
mod sampling;
mod scheduler;
mod spm;
mod spm_hostile;
mod tiny;

use crate::{Engine, Limits, Model, Scope, Settings};
use adyton_guardrail::{Action, Guardrail, Message, Prompt, Role, Screened, Settings as Screening, Text};
use std::fs::File;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// The model that tests of real weights use: `ADYTON_TEST_MODEL`, or the one in the workspace's cache.
fn model_path() -> Option<PathBuf> {
    let path = std::env::var_os("ADYTON_TEST_MODEL").map_or_else(
        || {
            let file = "../../.cache/models/SmolLM2-135M-Instruct.Q4_1.gguf";
            PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(file)
        },
        PathBuf::from,
    );
    path.exists().then_some(path)
}

/// SmolLM2, loaded once; `None`, and a line that says so, where it is absent.
fn smollm() -> Option<Arc<Model>> {
    static MODEL: OnceLock<Option<Arc<Model>>> = OnceLock::new();
    let load = || {
        let file = File::open(model_path()?).unwrap();
        let size = file.metadata().unwrap().len();
        Some(Arc::new(Model::load(file, size, Limits::default()).unwrap()))
    };
    if cfg!(debug_assertions) {
        println!("SKIPPED: built without optimisation, run the tests of real weights with --release");
        return None;
    }
    let model = MODEL.get_or_init(load).clone();
    if model.is_none() {
        println!("SKIPPED: model absent, set ADYTON_TEST_MODEL to SmolLM2-135M-Instruct.Q4_1.gguf");
    }
    model
}

const HOUR: Duration = Duration::from_secs(3600);

fn scope(owner: u8, session: u64) -> Scope {
    Scope { owner: [owner; 32], session }
}

/// An engine with two threads and little memory, its settings changed.
fn engine(model: &Arc<Model>, change: impl FnOnce(Settings) -> Settings) -> Engine {
    let settings = Settings { threads: 2, cache_bytes: 64 << 20, ..Settings::for_this_machine() };
    Engine::new(Arc::clone(model), change(settings)).unwrap()
}

/// A prompt of alternating user and assistant turns.
fn prompt(turns: &[&str]) -> Prompt {
    let roles = [Role::User, Role::Assistant].into_iter().cycle();
    let messages = roles.zip(turns).map(|(role, text)| Message { role, content: Text::from(*text) });
    Prompt { messages: messages.collect() }
}

/// The prompt through a guardrail that knows no control tokens, so that the engine's own defence is what is tested.
fn screened(turns: &[&str]) -> Screened<Prompt> {
    let settings = Screening::of_what_hides(1 << 20, 1000, Action::Redact);
    Guardrail::new(settings, []).screen(prompt(turns)).unwrap().0
}

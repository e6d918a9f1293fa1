//! `make bench`: medians of the engine alone and of the whole attested path, side by side in one run.
//!
//! The machine's speed drifts, so engine and path take turns, and what counts is the ratio of their medians.

use adyton_attestation::anchor::TrustAnchor;
use adyton_attestation::appraisal::appraise_archived;
use adyton_client::chat::{Question, chat};
use adyton_client::session::{AttestedSession, connect};
use adyton_engine::{Generation, Limits, Model, Sampling, Step};
use adyton_guardrail::{Guardrail, Message, Prompt, Role, Settings};
use adyton_tests::mock_nsm::{InitialPcrs, MockConfig, MockNsm};
use adyton_tests::simulation::now_ms;
use adyton_tests::world::{Plan, World, default_model, policy_folder};
use anyhow::{Context, Result};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Runs of each kind; odd, so that the median is one of them.
const RUNS: usize = 11;
/// Tokens generated in a run.
const TOKENS: u32 = 128;

fn main() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    appraisal()?;
    let world = World::start(&Plan::new(default_model()?))?;
    runtime.block_on(handshake(&world))?;
    runtime.block_on(side_by_side(&world))
}

fn median(mut of: Vec<Duration>) -> Duration {
    of.sort_unstable();
    of.get(of.len() / 2).copied().unwrap_or_default()
}

fn show(what: &str, value: String) {
    println!("{what:<44} {value:>12}");
}

fn ms(duration: Duration) -> String {
    format!("{:.2} ms", duration.as_secs_f64() * 1e3)
}

fn appraisal() -> Result<()> {
    let config = MockConfig::fresh(Arc::new(now_ms), InitialPcrs::named("bench"))?;
    let mut nsm = MockNsm::new(config)?;
    let document = adyton_attestation::nsm::attest(&mut nsm, Some(&[1; 48]), Some(&[2; 32]), None)
        .context("the mock gave no document")?;
    let anchor = nsm.trust_anchor();
    let times = (0..RUNS * 10).map(|_| {
        let start = Instant::now();
        let appraised = appraise_archived(&document, &anchor).1;
        appraised.map(|_| start.elapsed())
    });
    show("appraisal of one document of the mock, cold", ms(median(times.collect::<Result<_, _>>()?)));
    match real_document() {
        Some(document) => {
            let times = (0..RUNS * 10).map(|_| {
                let start = Instant::now();
                let appraised = appraise_archived(&document, &TrustAnchor::aws_nitro_g1()).1;
                appraised.map(|_| start.elapsed())
            });
            show("appraisal of one real document, cold", ms(median(times.collect::<Result<_, _>>()?)));
        }
        None => println!("SKIPPED: no real documents beside the repository"),
    }
    Ok(())
}

/// A real document that is not of a debug enclave, if there are any beside the repository.
fn real_document() -> Option<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/vectors/attestation");
    let mut files: Vec<_> = std::fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path()).collect();
    files.sort();
    let newest = files.into_iter().rev().find(|path| {
        let name = path.to_string_lossy();
        name.ends_with(".cbor") && !name.ends_with("-debug.cbor")
    });
    std::fs::read(newest?).ok()
}

async fn handshake(world: &World) -> Result<()> {
    let (target, policy) = (world.target(), world.policy()?);
    let mut times = Vec::new();
    for _ in 0..RUNS * 3 {
        let start = Instant::now();
        connect(&target, &policy).await?;
        times.push(start.elapsed());
    }
    show("handshake, evidence and appraisal", ms(median(times)));
    Ok(())
}

/// Times of one generation.
struct Run {
    first: Duration,
    rest: Duration,
    tokens: usize,
}

/// About `tokens` tokens of prompt that ask for a long answer.
fn prompt(tokens: usize) -> String {
    let filler = "The kitchen was warm and the soup was not yet done. ".repeat(tokens / 12);
    format!("{filler}Write a long story about a dragon who learns to cook.")
}

async fn side_by_side(world: &World) -> Result<()> {
    let bytes = std::fs::File::open(default_model()?)?;
    let size = bytes.metadata()?.len();
    let model = Arc::new(Model::load(std::io::BufReader::new(bytes), size, Limits::default())?);
    let settings = Settings::parse(&std::fs::read_to_string(policy_folder().join("guardrails.toml"))?)?;
    let guardrail = Guardrail::new(settings, model.control_tokens());
    let session = connect(&world.target(), &world.policy()?).await?;
    for size in [32, 512] {
        let prompt = prompt(size);
        let (mut engine, mut path, mut length) = (Vec::new(), Vec::new(), 0);
        for turn in 0..=RUNS {
            let (inside, tokens) = engine_run(&model, &guardrail, &prompt)?;
            let mut outside = path_run(world, &session, &prompt).await?;
            // Greedy, so the same tokens; the output screen may have merged the texts of some.
            outside.tokens = inside.tokens;
            length = tokens;
            // The first of each warms caches and is not counted.
            if turn > 0 {
                engine.push(inside);
                path.push(outside);
            }
        }
        compare(length, &engine, &path);
    }
    Ok(())
}

fn compare(prompt: usize, engine: &[Run], path: &[Run]) {
    let first = |runs: &[Run]| median(runs.iter().map(|r| r.first).collect());
    let rate = |runs: &[Run]| {
        let each = median(runs.iter().map(|r| r.rest.div_f64(r.tokens.max(2) as f64 - 1.0)).collect());
        1.0 / each.as_secs_f64()
    };
    println!("\n{prompt} prompt tokens, {TOKENS} generated");
    show("first token, engine alone", ms(first(engine)));
    show("first token, whole path", ms(first(path)));
    // Pair by pair, so that a drift of the machine's speed from one pair to the next drops out.
    let pairs = engine.iter().zip(path);
    let mut added: Vec<f64> =
        pairs.map(|(e, p)| (p.first.as_secs_f64() - e.first.as_secs_f64()) * 1e3).collect();
    added.sort_unstable_by(f64::total_cmp);
    show(
        "  the path adds, median of pairs",
        format!("{:.2} ms", added.get(added.len() / 2).unwrap_or(&f64::NAN)),
    );
    show("prefill, engine alone", format!("{:.0} tok/s", prompt as f64 / first(engine).as_secs_f64()));
    show("decode, engine alone", format!("{:.1} tok/s", rate(engine)));
    show("decode, whole path", format!("{:.1} tok/s", rate(path)));
    show("  path / engine", format!("{:.3}", rate(path) / rate(engine)));
}

/// The engine alone, in this process.
fn engine_run(model: &Arc<Model>, guardrail: &Guardrail, prompt: &str) -> Result<(Run, usize)> {
    let message = Message { role: Role::User, content: prompt.into() };
    let (prompt, _) = guardrail.screen(Prompt { messages: vec![message] })?;
    let start = Instant::now();
    let mut generation = Generation::start(model, &prompt, Sampling::greedy().max_tokens(TOKENS as usize)?)?;
    let mut first = None;
    loop {
        match generation.step()? {
            Step::Prefilled { .. } => {}
            Step::Text(text) if text.expose().is_empty() => {}
            Step::Text(_) => drop(first.get_or_insert_with(|| start.elapsed())),
            Step::Finished(_) => break,
        }
    }
    let (first, usage) = (first.context("the engine said nothing")?, generation.usage());
    Ok((Run { first, rest: start.elapsed() - first, tokens: usage.completion_tokens }, usage.prompt_tokens))
}

/// The same through client, host, sentinel and worker.
async fn path_run(world: &World, session: &AttestedSession, prompt: &str) -> Result<Run> {
    let question = Question {
        model: Some(adyton_tests::world::MODEL_NAME.into()),
        prompt: prompt.to_owned(),
        max_tokens: Some(TOKENS),
        temperature: Some(0.0),
        ..Question::default()
    };
    let (anchor, token) = (world.anchor()?, world.chat_token()?);
    let start = Instant::now();
    let (mut first, mut last) = (None, Duration::ZERO);
    chat(session, &anchor, Some(&token), &question, |text| {
        if !text.is_empty() {
            last = start.elapsed();
            first.get_or_insert(last);
        }
    })
    .await?;
    let first = first.context("the path said nothing")?;
    Ok(Run { first, rest: last - first, tokens: 0 })
}

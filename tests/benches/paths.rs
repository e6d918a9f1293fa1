//! `make bench`: medians of the engine alone and of the whole attested path, side by side in one run.
//!
//! The machine's speed drifts, so engine and path take turns, and what counts is the ratio of their medians.

use adyton_attestation::anchor::TrustAnchor;
use adyton_attestation::appraisal::appraise_archived;
use adyton_client::chat::{Question, chat};
use adyton_client::session::{AttestedSession, connect};
use adyton_tests::alone::{Alone, Askers, Timed};
use adyton_tests::mock_nsm::{InitialPcrs, MockConfig, MockNsm};
use adyton_tests::simulation::now_ms;
use adyton_tests::world::{Plan, World, default_model};
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

/// Whole path and engine take turns on the same prompts: one at a time, then eight.
async fn side_by_side(world: &World) -> Result<()> {
    adyton_engine::give_way();
    let mut alone = Alone::load(&default_model()?, |settings| settings)?;
    let session = connect(&world.target(), &world.policy()?).await?;
    for (size, streams) in [(64, 1), (512, 1), (128, 8)] {
        let (mut engine, mut path) = (Vec::new(), Vec::new());
        let (mut sentinel, mut whole) = (0.0, 0.0);
        for turn in 0..=RUNS {
            // New prompts in each turn: a session's next turn need not read again what it read before.
            let prompts: Vec<String> =
                (0..streams).map(|n| alone.prompt(size, turn * streams + n)).collect::<Result<_>>()?;
            let inside = alone.run(Askers::One, &prompts, TOKENS as usize)?;
            let before =
                (cpu_seconds(world, "adyton-sim-enclave")?, cpu_seconds(world, "adyton-sim-worker")?);
            let outside = path_run(world, &session, &prompts).await?;
            let spent = cpu_seconds(world, "adyton-sim-enclave")? - before.0;
            sentinel += spent;
            whole += spent + cpu_seconds(world, "adyton-sim-worker")? - before.1;
            // The first of each warms caches and is not counted.
            if turn > 0 {
                path.push(outside);
                engine.push(Run::of(&inside));
            }
        }
        compare(size, streams, &engine, &path);
        show("  processor time of the sentinel, of both", format!("{:.2} %", 100.0 * sentinel / whole));
    }
    Ok(())
}

/// Processor time that a program of the enclave has taken so far.
fn cpu_seconds(world: &World, program: &str) -> Result<f64> {
    let pid = *world.descendants(program)?.first().context("the program is gone")?;
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name in parentheses may hold anything; utime and stime are the twelfth and thirteenth field after it (proc(5)),
    // in hundredths of a second wherever Linux runs on these processors.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok()).context("the times");
    Ok((ticks(11)? + ticks(12)?) / 100.0)
}

/// Times of some answers that were asked for together.
#[derive(Clone, Copy)]
struct Run {
    /// To the first text of any.
    first: Duration,
    /// To the end of the last.
    last: Duration,
    /// Tokens of all.
    tokens: usize,
}

impl Run {
    fn of(answers: &[Timed]) -> Run {
        Run {
            first: answers.iter().map(|one| one.first).min().unwrap_or_default(),
            last: answers.iter().map(|one| one.last).max().unwrap_or_default(),
            tokens: answers.iter().map(|one| one.tokens).sum(),
        }
    }

    /// Tokens a second after the first.
    fn rate(&self) -> f64 {
        self.tokens as f64 / (self.last - self.first).as_secs_f64()
    }
}

fn compare(prompt: usize, streams: usize, engine: &[Run], path: &[Run]) {
    println!("\n{streams} at a time, {prompt} prompt tokens, {TOKENS} generated");
    let first = |runs: &[Run]| ms(median(runs.iter().map(|r| r.first).collect()));
    show("first token, engine alone", first(engine));
    show("first token, whole path", first(path));
    // Pair by pair, so that a drift of the machine's speed from one pair to the next drops out.
    let pairs = || engine.iter().zip(path);
    let added = middle(pairs().map(|(e, p)| (p.first.as_secs_f64() - e.first.as_secs_f64()) * 1e3));
    show("  the path adds, median of pairs", format!("{added:.2} ms"));
    show("decode, engine alone", format!("{:.1} tok/s", middle(engine.iter().map(Run::rate))));
    show("decode, whole path", format!("{:.1} tok/s", middle(path.iter().map(Run::rate))));
    show(
        "  path / engine, median of pairs",
        format!("{:.3}", middle(pairs().map(|(e, p)| p.rate() / e.rate()))),
    );
}

fn middle(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The same through client, host, sentinel and worker.
async fn path_run(world: &World, session: &AttestedSession, prompts: &[String]) -> Result<Run> {
    let (anchor, token) = (world.anchor()?, world.chat_token()?);
    let start = Instant::now();
    let ask = |prompt: &String| {
        let question = Question {
            model: Some(adyton_tests::world::MODEL_NAME.into()),
            prompt: prompt.clone(),
            max_tokens: Some(TOKENS),
            temperature: Some(0.0),
            ..Question::default()
        };
        let (anchor, token) = (&anchor, &token);
        async move {
            let (mut first, mut last) = (None, Duration::ZERO);
            let answered = chat(session, anchor, Some(token), &question, |text| {
                if !text.is_empty() {
                    last = start.elapsed();
                    first.get_or_insert(last);
                }
            })
            .await?;
            anyhow::ensure!(
                answered.finish_reason == "length",
                "an answer ended early: its rate would not compare"
            );
            Ok::<_, anyhow::Error>((first.context("the path said nothing")?, last))
        }
    };
    let answers = futures_util::future::try_join_all(prompts.iter().map(ask)).await?;
    let first = answers.iter().map(|(first, _)| *first).min().unwrap_or_default();
    let last = answers.iter().map(|(_, last)| *last).max().unwrap_or_default();
    Ok(Run { first, last, tokens: prompts.len() * TOKENS as usize })
}

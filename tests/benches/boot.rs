//! `make bench-boot`: from the start of a host to the first verified answer, for processes and for the real image in QEMU's Nitro
//! machine, in turns in one run; what they take of memory, and how fast they answer then. Medians.
//!
//! An emulated machine has neither the security module's real latency nor a hypervisor's; it runs on the processor itself where
//! there is `/dev/kvm`, and says which.

use adyton_client::chat::{Question, chat};
use adyton_client::session::connect;
use adyton_tests::emulator::Emulator;
use adyton_tests::small_model;
use adyton_tests::world::{Plan, World, default_model};
use anyhow::{Context, Result};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

/// Starts of each kind.
const STARTS: usize = 3;
/// Connections of each start.
const CONNECTIONS: usize = 11;
/// Tokens of an answer.
const TOKENS: u32 = 96;

/// What was seen of one kind.
#[derive(Default)]
struct Seen {
    listening: Vec<Duration>,
    verified: Vec<Duration>,
    small: Vec<Duration>,
    handshake: Vec<Duration>,
    rate: Vec<f64>,
    memory: Vec<(String, u64)>,
}

fn main() -> Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    let (folder, model) = (tempfile::tempdir()?, default_model()?);
    let small = folder.path().join("small.gguf");
    fs::write(&small, small_model::gguf())?;
    let emulator = match Emulator::find() {
        Ok(emulator) => Some(emulator),
        Err(why) => {
            eprintln!("SKIPPED: THE REAL IMAGE IS NOT MEASURED: {why}. `make qemu` builds what is missing.");
            None
        }
    };
    let (mut processes, mut image) = (Seen::default(), Seen::default());
    for _ in 0..STARTS {
        one(&runtime, None, &model, &small, &mut processes)?;
        if emulator.is_some() {
            one(&runtime, emulator.as_ref(), &model, &small, &mut image)?;
        }
    }
    let bytes = fs::metadata(&model)?.len();
    println!("model of {} MB, medians of {STARTS} starts", bytes / 1_000_000);
    tell("processes", &processes, bytes);
    if let Some(emulator) = emulator {
        println!("image: {:.1} MB", fs::metadata(&emulator.eif)?.len() as f64 / 1e6);
        let kvm = if Path::new("/dev/kvm").exists() { "with KVM" } else { "emulated: there is no /dev/kvm" };
        tell(&format!("image in QEMU, {kvm}"), &image, bytes);
        println!("tokens/s, image / processes: {:.2}", middle(image.rate.clone()) / middle(processes.rate));
    }
    Ok(())
}

fn one(
    runtime: &tokio::runtime::Runtime,
    emulator: Option<&Emulator>,
    model: &Path,
    small: &Path,
    seen: &mut Seen,
) -> Result<()> {
    let begun = Instant::now();
    let name = small_model::NAME.to_owned();
    drop(World::start(&Plan { name, emulator: emulator.cloned(), ..Plan::new(small.to_owned()) })?);
    seen.small.push(begun.elapsed());
    let begun = Instant::now();
    let world = World::start(&Plan { emulator: emulator.cloned(), ..Plan::new(model.to_owned()) })?;
    seen.listening.push(begun.elapsed());
    runtime.block_on(async {
        let (anchor, token, policy) = (world.anchor()?, world.chat_token()?, world.policy()?);
        let asked = |max_tokens| Question {
            prompt: "Write a long story about a dragon who learns to cook.".into(),
            max_tokens: Some(max_tokens),
            temperature: Some(0.0),
            ..Question::default()
        };
        let session = connect(&world.target(), &policy).await?;
        chat(&session, &anchor, Some(&token), &asked(1), |_| ()).await?;
        seen.verified.push(begun.elapsed());
        for _ in 0..CONNECTIONS {
            let begun = Instant::now();
            connect(&world.target(), &policy).await?;
            seen.handshake.push(begun.elapsed());
        }
        let mut first = None;
        chat(&session, &anchor, Some(&token), &asked(TOKENS), |_| {
            first.get_or_insert_with(Instant::now);
        })
        .await?;
        let since = first.context("an answer without text")?.elapsed();
        seen.rate.push(f64::from(TOKENS - 1) / since.as_secs_f64());
        anyhow::Ok(())
    })?;
    let programs: &[&str] = match emulator {
        Some(_) => &["qemu-system-x86_64"],
        None => &["adyton-sim-enclave", "adyton-worker"],
    };
    seen.memory.clear();
    for program in programs {
        for process in world.descendants(program)? {
            seen.memory.push(((*program).to_owned(), peak(process)?));
        }
    }
    Ok(())
}

/// Most memory that a process has had, in MiB.
fn peak(process: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("VmHWM")?;
    Ok(line.trim().trim_end_matches(" kB").trim().parse::<u64>()? / 1024)
}

fn middle(mut of: Vec<f64>) -> f64 {
    of.sort_by(f64::total_cmp);
    of.get(of.len() / 2).copied().unwrap_or_default()
}

fn seconds(of: &[Duration]) -> f64 {
    middle(of.iter().map(Duration::as_secs_f64).collect())
}

fn tell(what: &str, seen: &Seen, bytes: u64) {
    let model = seconds(&seen.listening) - seconds(&seen.small);
    println!("{what}");
    println!("  start to listening                     {:>8.2} s", seconds(&seen.listening));
    println!("  start to the first verified answer     {:>8.2} s", seconds(&seen.verified));
    println!("  model streamed, checked and loaded     {:>8.0} MB/s", bytes as f64 / 1e6 / model.max(1e-3));
    println!("  connection, evidence and appraisal     {:>8.2} ms", 1e3 * seconds(&seen.handshake));
    println!("  tokens a second                        {:>8.0}", middle(seen.rate.clone()));
    for (program, mib) in &seen.memory {
        println!("  most memory of {program:<24}{mib:>8} MiB");
    }
}

//! `make bench-engine`: this engine and llama.cpp, on the same files and threads, taking turns in one run.
//!
//! What counts is each line's ratio: the machine's speed drifts, so both sides run one after the other, and the ratio is the median
//! of those of the pairs. llama-bench times the forward pass alone; here a token is timed from the prompt's text to its own.

mod llama;
mod machine;

use adyton_engine::{Isa, Settings};
use adyton_tests::alone::{Alone, Askers, Timed};
use adyton_tests::world::default_model;
use anyhow::{Context, Result, bail};
use llama::Llama;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Pairs of runs; odd, so that the median is one of them.
const PAIRS: usize = 5;
/// The usual load: tokens of prompt, and generated.
const PROMPT: usize = 512;
const TOKENS: usize = 128;
/// The load of many clients.
const CLIENT_PROMPT: usize = 128;
const CLIENT_TOKENS: usize = 64;
const CLIENTS: [usize; 4] = [1, 4, 8, 16];

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let (part, model) = (arguments.next(), arguments.next());
    if let (Some("memory"), Some(model)) = (part.as_deref(), model) {
        return memory(Path::new(&model));
    }
    let (llama, small) = (Llama::found()?, default_model()?);
    let bounds = machine::Bounds::measure(std::thread::available_parallelism()?.get());
    println!("{}; {bounds}", Isa::best().name());
    match part.as_deref() {
        None => {
            one_model(&llama, &small, &bounds)?;
            many_clients(&llama, &small)?;
            larger_model(&llama, &small, &bounds)
        }
        Some("small") => one_model(&llama, &small, &bounds),
        Some("clients") => many_clients(&llama, &small),
        Some("large") => larger_model(&llama, &small, &bounds),
        Some(other) => bail!("no such part: {other}; there are small, clients and large"),
    }
}

fn one_model(llama: &Llama, small: &Path, bounds: &machine::Bounds) -> Result<()> {
    one_stream("SmolLM2-135M Q4_1", llama, small, small, |settings| settings, bounds)?;
    if let Some(isa) = Isa::all().into_iter().find(|isa| isa.name() == "avx2") {
        one_stream("the same, AVX2 only", llama, small, small, |s| Settings { isa, ..s }, bounds)?;
    }
    let best = small.with_file_name("SmolLM2-135M-Instruct.Q4_0.gguf");
    one_stream("the same, against llama.cpp's best format, Q4_0", llama, small, &best, |s| s, bounds)
}

fn larger_model(llama: &Llama, small: &Path, bounds: &machine::Bounds) -> Result<()> {
    let large = small.with_file_name("Qwen2.5-Coder-1.5B-Instruct.Q4_K_M.gguf");
    if !large.exists() {
        println!("\nSKIPPED: Qwen2.5-Coder-1.5B is absent; run tests/fetch-qwen");
        return Ok(());
    }
    one_stream("Qwen2.5-Coder-1.5B Q4_K_M", llama, &large, &large, |settings| settings, bounds)
}

fn middle(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// A row of figures: ours, theirs, and the median of the pairs' ratios.
fn row(what: &str, unit: &str, pairs: &[(f64, f64)]) {
    let ours = middle(pairs.iter().map(|(ours, _)| *ours));
    let theirs = middle(pairs.iter().map(|(_, theirs)| *theirs));
    let ratio = middle(pairs.iter().map(|(ours, theirs)| ours / theirs));
    println!("{what:<34} {ours:>9.1} {theirs:>9.1} {unit:<6} {ratio:>6.2} x");
}

fn one_stream(
    title: &str,
    llama: &Llama,
    ours: &Path,
    theirs: &Path,
    change: impl FnOnce(Settings) -> Settings,
    bounds: &machine::Bounds,
) -> Result<()> {
    println!("\n{title}: {PROMPT} tokens of prompt, {TOKENS} generated{:>14} {:>9}", "adyton", "llama.cpp");
    let threads = std::thread::available_parallelism()?.get();
    let start = Instant::now();
    let mut alone = Alone::load(ours, |settings| change(Settings { threads, ..settings }))?;
    let loaded = start.elapsed();
    let (mut prefill, mut decode, mut behind) = (Vec::new(), Vec::new(), Vec::new());
    for pair in 0..=PAIRS {
        let timed = alone.run(Askers::Many, &[alone.prompt(PROMPT, pair)?], TOKENS)?;
        let rates = llama.bench(theirs, threads, PROMPT, TOKENS)?;
        let one = timed.first().context("nothing was answered")?;
        // The first of each warms caches and is not counted.
        if pair > 0 {
            prefill.push((one.prompt_tokens as f64 / one.first.as_secs_f64(), rates.prefill));
            decode.push((decode_rate(one), rates.decode));
            behind.push((decode_rate(one), llama.decode_after(theirs, threads, PROMPT, TOKENS)?));
        }
    }
    row("prefill", "tok/s", &prefill);
    row("decode behind the prompt", "tok/s", &behind);
    row("  llama.cpp's from nothing", "tok/s", &decode);
    let rate = |pairs: &[(f64, f64)]| middle(pairs.iter().map(|(ours, _)| *ours));
    let shape = alone.weights();
    println!(
        "{:<34} {:>8.0} %",
        "of the memory's bandwidth, decode",
        100.0 * rate(&decode) * shape.bytes as f64 / bounds.bytes_per_second
    );
    println!(
        "{:<34} {:>8.0} %",
        "of the integer peak, prefill",
        100.0 * rate(&prefill) * shape.multiplications as f64 / bounds.multiplications_per_second
    );
    let (peak, kept) = peak(ours)?;
    let megabytes = |bytes: u64| bytes as f64 / 1e6;
    let file = std::fs::metadata(ours)?.len();
    println!("{:<34} {:>9.2} s", "load", loaded.as_secs_f64());
    println!(
        "{:<34} {:>9.0} MB, {:.2} x the file beside keys and values; llama.cpp {:.0} MB",
        "peak memory",
        megabytes(peak),
        (peak.saturating_sub(kept)) as f64 / file as f64,
        megabytes(llama.peak_bytes(theirs, threads, PROMPT, TOKENS)?)
    );
    Ok(())
}

fn decode_rate(one: &Timed) -> f64 {
    (one.tokens as f64 - 1.0) / (one.last - one.first).as_secs_f64()
}

fn many_clients(llama: &Llama, model: &Path) -> Result<()> {
    println!(
        "\nmany clients, {CLIENT_PROMPT} tokens of prompt, {CLIENT_TOKENS} generated{:>15} {:>9}",
        "adyton", "llama.cpp"
    );
    let threads = std::thread::available_parallelism()?.get();
    let mut alone = Alone::load(model, |settings| Settings { threads, ..settings })?;
    for clients in CLIENTS {
        let server = llama.serve(model, threads, clients, 512)?;
        println!("llama-server is ready after {:.2} s", server.ready_after.as_secs_f64());
        let (mut rates, mut waits) = (Vec::new(), Vec::new());
        for pair in 0..=PAIRS {
            let prompts: Vec<String> = (0..clients)
                .map(|n| alone.prompt(CLIENT_PROMPT, pair * clients + n))
                .collect::<Result<_>>()?;
            let timed = alone.run(Askers::Many, &prompts, CLIENT_TOKENS)?;
            // The server is asked without a chat template, so its prompts are some tokens shorter.
            let load = server.load(clients, &prompts, CLIENT_TOKENS)?;
            if pair > 0 {
                let last = timed.iter().map(|one| one.last).max().unwrap_or_default();
                let tokens: usize = timed.iter().map(|one| one.tokens).sum();
                rates.push((tokens as f64 / last.as_secs_f64(), load.tokens_per_second));
                waits.push((ms(p95(&timed)), ms(load.first_token_p95)));
            }
        }
        row(&format!("{clients} clients"), "tok/s", &rates);
        row("  first token, 95 of 100", "ms", &waits);
    }
    Ok(())
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

fn p95(timed: &[Timed]) -> Duration {
    let mut waits: Vec<Duration> = timed.iter().map(|one| one.first).collect();
    waits.sort_unstable();
    let rank = (waits.len() * 95).div_ceil(100);
    waits.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

/// Peak memory of the usual load in a process of its own, and bytes of keys and values in it.
fn peak(model: &Path) -> Result<(u64, u64)> {
    let program: PathBuf = std::env::current_exe()?;
    let done = std::process::Command::new(program).arg("memory").arg(model).output()?;
    let text = String::from_utf8(done.stdout)?;
    let numbers: Vec<u64> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    match numbers.as_slice() {
        [peak, kept] => Ok((*peak, *kept)),
        _ => bail!("the process that measures memory failed: {}", String::from_utf8_lossy(&done.stderr)),
    }
}

/// Runs the usual load once and prints this process's peak memory and the bytes of keys and values.
fn memory(model: &Path) -> Result<()> {
    let mut alone = Alone::load(model, |settings| settings)?;
    alone.run(Askers::Many, &[alone.prompt(PROMPT, 0)?], TOKENS)?;
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
    let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse()?;
    println!("{} {}", kilobytes * 1024, alone.kept_bytes(PROMPT + TOKENS));
    Ok(())
}

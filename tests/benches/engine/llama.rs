//! Drives the llama.cpp that `tests/fetch-llama` builds, and returns plain figures to compare the engine with.
//!
//! # Promises
//! - The processor alone, with as many threads as asked.
//! - One repetition a call, so that both sides can take turns on a machine whose speed drifts.
//! - A program that was started has ended when its owner is dropped.
//!
//! # Does not
//! - Say what a figure means, nor take a median.
//!
//! # Trusts
//! - What the programs print; how they are used is in the README files of llama.cpp's `tools` folder.

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use std::fs::read_to_string;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Barrier;
use std::time::{Duration, Instant};

/// The version that `tests/fetch-llama` pins; change both.
const VERSION: &str = "0.3.36";
/// Between two looks at a program at work; short beside the second that its shortest run takes.
const LOOK: Duration = Duration::from_millis(5);
/// Generous: a server that takes longer hangs.
const READY_WITHIN: Duration = Duration::from_secs(120);
/// Generous: sixteen prompts through a large model on a loaded machine come before the first token of the last.
const ANSWER_WITHIN: Duration = Duration::from_secs(600);
/// The server sends one token a chunk; only its last event, which repeats the prompt, is of some kilobytes.
const LARGEST_CHUNK: usize = 1 << 20;

/// The programs of llama.cpp.
pub(crate) struct Llama {
    folder: PathBuf,
}

/// Tokens per second of one run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rates {
    /// Of the prompt, in one go from an empty context.
    pub(crate) prefill: f64,
    /// One after the other, from an empty context.
    pub(crate) decode: f64,
}

/// What one load of several clients came to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    /// Generated tokens of all clients over the time from the first send to the last byte.
    pub(crate) tokens_per_second: f64,
    /// From a client's send to its first token: 95 of 100 clients waited no longer.
    pub(crate) first_token_p95: Duration,
}

impl Llama {
    /// The programs in `.cache`.
    pub(crate) fn found() -> Result<Self> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../.cache/llama.cpp-{VERSION}/bin"));
        ensure!(
            folder.join("llama-bench").is_file(),
            "{}: llama.cpp is absent; run tests/fetch-llama",
            folder.display()
        );
        Ok(Self { folder })
    }

    /// Prefill of `prompt` tokens and decode of `generate` tokens, each alone and once, after a warm-up.
    pub(crate) fn bench(
        &self,
        model: &Path,
        threads: usize,
        prompt: usize,
        generate: usize,
    ) -> Result<Rates> {
        let tests = self.llama_bench(model, threads, &[("-p", prompt), ("-n", generate)])?;
        Ok(Rates { prefill: rate(&tests, "n_prompt")?, decode: rate(&tests, "n_gen")? })
    }

    /// Decode of `generate` tokens behind `depth` others, in tokens per second: attention then has keys to go through.
    pub(crate) fn decode_after(
        &self,
        model: &Path,
        threads: usize,
        depth: usize,
        generate: usize,
    ) -> Result<f64> {
        let tests = self.llama_bench(model, threads, &[("-p", 0), ("-d", depth), ("-n", generate)])?;
        rate(&tests, "n_gen")
    }

    /// The most memory that a run of [`Llama::bench`] had resident, in bytes. Mapped weights count as far as they were touched.
    pub(crate) fn peak_bytes(
        &self,
        model: &Path,
        threads: usize,
        prompt: usize,
        generate: usize,
    ) -> Result<u64> {
        let mut command = self.command("llama-bench", model, threads);
        command.args(["-r", "1", "-p", &prompt.to_string(), "-n", &generate.to_string()]);
        let mut running = Running(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?);
        let mut peak = 0;
        loop {
            peak = peak.max(resident_peak(running.0.id()).unwrap_or(0));
            if let Some(status) = running.0.try_wait()? {
                ensure!(status.success() && peak > 0, "llama-bench on {}: {status}", model.display());
                return Ok(peak);
            }
            std::thread::sleep(LOOK);
        }
    }

    /// A server of `slots` slots, ready and warmed up. It keeps no prompts for later: no load here repeats one.
    pub(crate) fn serve(
        &self,
        model: &Path,
        threads: usize,
        slots: usize,
        context_per_slot: usize,
    ) -> Result<Server> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
        let mut command = self.command("llama-server", model, threads);
        command.args(["--host", "127.0.0.1", "--port", &address.port().to_string()]);
        command.args(["-np", &slots.to_string(), "-c", &(slots * context_per_slot).to_string()]);
        command.args(["--cache-ram", "0", "--no-ui", "--log-verbosity", "1"]);
        let start = Instant::now();
        let mut running = Running(command.stdout(Stdio::null()).spawn()?);
        while !healthy(address) {
            if let Some(status) = running.0.try_wait()? {
                bail!("llama-server on {} ended before it was ready: {status}", model.display());
            }
            ensure!(start.elapsed() < READY_WITHIN, "llama-server is not ready after {READY_WITHIN:?}");
            std::thread::sleep(LOOK);
        }
        Ok(Server { _running: running, address, slots, ready_after: start.elapsed() })
    }

    fn command(&self, program: &str, model: &Path, threads: usize) -> Command {
        let mut command = Command::new(self.folder.join(program));
        command.stdin(Stdio::null()).arg("-m").arg(model).args([
            "-t",
            &threads.to_string(),
            "--device",
            "none",
        ]);
        command
    }

    fn llama_bench(&self, model: &Path, threads: usize, sizes: &[(&str, usize)]) -> Result<Vec<Value>> {
        let mut command = self.command("llama-bench", model, threads);
        for (option, size) in sizes {
            command.args([*option, &size.to_string()]);
        }
        let done = command.args(["-r", "1", "-o", "json"]).output()?;
        ensure!(
            done.status.success(),
            "llama-bench on {}: {}",
            model.display(),
            String::from_utf8_lossy(&done.stderr)
        );
        serde_json::from_slice(&done.stdout).context("llama-bench printed no list of tests")
    }
}

/// The rate of the one test in which `counted` is not zero.
fn rate(tests: &[Value], counted: &str) -> Result<f64> {
    let of_it = |test: &&Value| test.get(counted).and_then(Value::as_u64).is_some_and(|count| count > 0);
    let rate = tests.iter().find(of_it).and_then(|test| test.get("avg_ts")).and_then(Value::as_f64);
    rate.with_context(|| format!("llama-bench reported no test with {counted}"))
}

/// `VmHWM` of proc_pid_status(5); none once the process has ended.
fn resident_peak(process: u32) -> Option<u64> {
    let status = read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok()?.checked_mul(1024)
}

/// A program that ends with its owner.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A llama-server at work.
pub(crate) struct Server {
    _running: Running,
    address: SocketAddr,
    slots: usize,
    /// From its start until it was ready: weights loaded, repacked and warmed up.
    pub(crate) ready_after: Duration,
}

/// What one client saw.
struct Answer {
    sent: Instant,
    first: Instant,
    last: Instant,
    tokens: u64,
}

impl Server {
    /// Every client sends its own prompt at once and reads `new_tokens` tokens as they come, greedy and past any end of text.
    pub(crate) fn load(&self, clients: usize, prompts: &[String], new_tokens: usize) -> Result<Load> {
        ensure!(
            (1..=prompts.len().min(self.slots)).contains(&clients),
            "{clients} clients need as many prompts and slots; there are {} and {}",
            prompts.len(),
            self.slots
        );
        let start = &Barrier::new(clients);
        let answers = std::thread::scope(|scope| {
            let mut asked = Vec::new();
            for prompt in prompts.iter().take(clients) {
                asked.push(scope.spawn(move || complete(self.address, prompt, new_tokens, start)));
            }
            let answered = asked.into_iter().map(|client| client.join());
            answered
                .map(|joined| joined.unwrap_or_else(|_| bail!("a client panicked")))
                .collect::<Result<Vec<_>>>()
        })?;
        summary(&answers)
    }
}

fn summary(answers: &[Answer]) -> Result<Load> {
    let sent = answers.iter().map(|answer| answer.sent).min().context("no answers")?;
    let last = answers.iter().map(|answer| answer.last).max().context("no answers")?;
    let tokens: u64 = answers.iter().map(|answer| answer.tokens).sum();
    let mut waits: Vec<_> = answers.iter().map(|answer| answer.first - answer.sent).collect();
    waits.sort_unstable();
    let rank = (waits.len() * 95).div_ceil(100);
    Ok(Load {
        tokens_per_second: tokens as f64 / (last - sent).as_secs_f64(),
        first_token_p95: waits.get(rank - 1).copied().context("no answers")?,
    })
}

/// One streamed completion. All clients connect first and send together.
fn complete(address: SocketAddr, prompt: &str, new_tokens: usize, start: &Barrier) -> Result<Answer> {
    let body = json!({
        "prompt": prompt, "n_predict": new_tokens, "stream": true,
        "ignore_eos": true, "cache_prompt": false, "temperature": 0,
    });
    let stream = TcpStream::connect(address);
    start.wait(); // also where the connection failed: the others wait for this client
    let stream = stream?;
    let sent = Instant::now();
    let mut answer = request(&stream, "POST /completion", &body.to_string(), ANSWER_WITHIN)?;
    let (mut first, mut text) = (None, Vec::new());
    while let Some(chunk) = next_chunk(&mut answer)? {
        first.get_or_insert_with(Instant::now);
        text.extend_from_slice(&chunk);
    }
    let last = Instant::now();
    let text = String::from_utf8(text)?;
    let end = text.lines().rev().find_map(|line| line.strip_prefix("data: ")).context("an empty answer")?;
    let tokens = serde_json::from_str::<Value>(end)?.get("tokens_predicted").and_then(Value::as_u64);
    ensure!(tokens == Some(new_tokens as u64), "llama-server generated {tokens:?} of {new_tokens} tokens");
    Ok(Answer { sent, first: first.context("an empty answer")?, last, tokens: new_tokens as u64 })
}

/// Sends a request and reads the head of its answer, which must be 200. HTTP/1.1: RFC 9112.
fn request<'a>(
    mut stream: &'a TcpStream,
    target: &str,
    body: &str,
    within: Duration,
) -> Result<BufReader<&'a TcpStream>> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(within))?;
    let length = body.len();
    stream.write_all(
        format!(
            "{target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        )
        .as_bytes(),
    )?;
    let mut answer = BufReader::new(stream);
    let status = line(&mut answer)?;
    ensure!(status.starts_with("HTTP/1.1 200"), "llama-server answered {status:?}");
    while !line(&mut answer)?.is_empty() {}
    Ok(answer)
}

/// The next chunk of a body in chunks, RFC 9112 section 7.1; none at its end.
fn next_chunk(answer: &mut impl BufRead) -> Result<Option<Vec<u8>>> {
    let size = line(answer)?;
    let size = usize::from_str_radix(&size, 16).with_context(|| format!("{size:?} is no size of a chunk"))?;
    ensure!(size <= LARGEST_CHUNK, "a chunk of {size} bytes, and {LARGEST_CHUNK} are the most");
    let mut chunk = vec![0; size];
    answer.read_exact(&mut chunk)?;
    line(answer)?;
    Ok((size > 0).then_some(chunk))
}

fn line(answer: &mut impl BufRead) -> Result<String> {
    let mut line = String::new();
    answer.take(1 << 13).read_line(&mut line)?;
    let whole = line.strip_suffix("\r\n").context("llama-server broke off its answer")?;
    Ok(whole.to_owned())
}

fn healthy(address: SocketAddr) -> bool {
    let within = Duration::from_secs(1);
    TcpStream::connect(address).is_ok_and(|stream| request(&stream, "GET /health", "", within).is_ok())
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

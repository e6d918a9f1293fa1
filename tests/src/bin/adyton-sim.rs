//! `adyton-sim`: what `make run` and `make serve` start. A whole simulated world on one machine.

use adyton_tests::simulation::ROOT_FILE;
use adyton_tests::world::{MODEL_NAME, Plan, World, default_encoder, default_model, program};
use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus};
use tokio::signal::unix::{SignalKind, signal};

/// Run Adyton on this machine, simulated: it shows the protocol and protects nothing.
#[derive(Debug, Parser)]
#[command(name = "adyton-sim", max_term_width = 100)]
struct Cli {
    /// A llama-architecture GGUF; the default model otherwise.
    #[arg(long, global = true, value_name = "FILE")]
    model: Option<PathBuf>,
    #[command(subcommand)]
    command: What,
}

/// The collection of sample documents.
const COLLECTION: &str = "samples";
/// What they answer.
const QUESTION: &str = "How many days of paid leave do employees accrue for each month of service?";

#[derive(Debug, Subcommand)]
enum What {
    /// Verify, ask once, stream the answer, verify its receipt; then answer from sample documents.
    #[command(after_help = "Example:\n  adyton-sim run \"Why is the sky blue?\"")]
    Run {
        /// What to ask.
        #[arg(default_value = "What is an enclave? Answer in two sentences.")]
        prompt: String,
    },
    /// Serve the OpenAI API on loopback until Ctrl-C.
    Serve {
        /// Where.
        #[arg(long, default_value = "127.0.0.1:8080")]
        listen: String,
    },
}

fn main() -> ExitCode {
    match go(Cli::parse()) {
        Ok(code) => code,
        Err(e) => {
            eprintln!("adyton-sim: {e:#}");
            ExitCode::FAILURE
        }
    }
}

fn go(cli: Cli) -> Result<ExitCode> {
    let name = match &cli.model {
        None => MODEL_NAME.to_owned(),
        Some(path) => name_of(path),
    };
    let model = cli.model.map_or_else(default_model, Ok)?;
    let metrics = matches!(cli.command, What::Serve { .. });
    let resources = format!("[Collection.{COLLECTION}]\nclassification = 0\ndomain = \"samples\"\n");
    let policy = vec![("resources.toml", resources)];
    let encoder = Some(default_encoder()?);
    let plan = Plan { name, metrics, encoder, policy, show_host: true, ..Plan::new(model) };
    // Ctrl-C goes to the whole group: host, enclave and client end, and then this program cleans up after them.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let _guard = runtime.enter();
    let _interrupt = signal(SignalKind::interrupt())?;
    eprintln!("starting a host and a simulated enclave");
    let world = World::start(&plan).context("the simulated world did not start")?;
    std::fs::write(world.path("token"), world.token(&["chat", "reader", "librarian"], 0, 0, 12 * 3600)?)?;
    match cli.command {
        What::Run { prompt } => run(&world, &prompt),
        What::Serve { listen } => serve(&world, &plan.name, &listen),
    }
}

fn run(world: &World, prompt: &str) -> Result<ExitCode> {
    let receipt = world.path("receipt.json");
    let mut chat = client(world, "chat")?;
    chat.arg("--receipt").arg(&receipt).args(["--max-tokens", "160", "--temperature", "0", "--", prompt]);
    let status = chat.status()?;
    if !status.success() {
        return Ok(exit_code(status));
    }
    println!("\nthe same receipt, verified again from its file alone:");
    let mut verify = world.client()?;
    verify.args(["receipt", "verify"]).arg(&receipt).arg("--reference").arg(world.reference_file());
    let status = verify.status()?;
    if !status.success() {
        return Ok(exit_code(status));
    }
    answer_from_documents(world)
}

/// Puts the sample documents into a collection and asks something that they answer.
fn answer_from_documents(world: &World) -> Result<ExitCode> {
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("samples");
    println!("\nand from documents: {}\n", samples.display());
    let mut ingest = client(world, "ingest")?;
    ingest.args(["--collection", COLLECTION, "--journal"]).arg(world.path("journal")).arg(samples);
    let status = ingest.status()?;
    if !status.success() {
        return Ok(exit_code(status));
    }
    println!("\n> {QUESTION}\n");
    let mut chat = client(world, "chat")?;
    chat.args([
        "--collection",
        COLLECTION,
        "--passages",
        "2",
        "--max-tokens",
        "80",
        "--temperature",
        "0",
        "--",
        QUESTION,
    ]);
    Ok(exit_code(chat.status()?))
}

fn serve(world: &World, model: &str, listen: &str) -> Result<ExitCode> {
    println!(
        "when it listens, try:\n\n  curl http://{listen}/v1/chat/completions -H 'Content-Type: application/json' \\\n    \
         -d '{{\"model\": \"{model}\", \"messages\": [{{\"role\": \"user\", \"content\": \"Hello!\"}}]}}'\n\n\
         or point an OpenAI SDK at http://{listen}/v1, with any word as its API key.\nCtrl-C ends it.\n"
    );
    println!(
        "what a verifier of your own needs (docs/verify-it-yourself.md):\n  enclave           {}\n  \
         root              {}\n  reference values  {}\n  token             {}\n",
        world.address(),
        world.path(ROOT_FILE).display(),
        world.reference_file().display(),
        world.path("token").display(),
    );
    // Metrics are verified by nobody, so the command that ships shows them as well as a simulated one.
    println!(
        "what an operator sees of it (docs/metrics.md):\n  {} status --metrics {}\n",
        program("adyton")?.display(),
        world.metrics()?
    );
    let mut proxy = client(world, "proxy")?;
    proxy.args(["--listen", listen, "--receipts"]).arg(world.path("receipts"));
    Ok(exit_code(proxy.status()?))
}

/// A client command for this world's enclave, with its token.
fn client(world: &World, command: &str) -> Result<Command> {
    let mut client = world.client()?;
    client.arg(command).args(["--enclave", world.address(), "--reference"]).arg(world.reference_file());
    client.arg("--token-file").arg(world.path("token"));
    Ok(client)
}

/// The client's own exit code; 130 if Ctrl-C ended it.
fn exit_code(status: ExitStatus) -> ExitCode {
    ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(130))
}

/// `/models/Foo Bar.Q4.gguf` is offered as `Foo-Bar.Q4`.
fn name_of(path: &Path) -> String {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_') { c } else { '-' };
    stem.chars().map(plain).take(64).collect()
}

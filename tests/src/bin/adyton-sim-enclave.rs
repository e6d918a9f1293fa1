//! `adyton-sim-enclave`: a simulated enclave as a process. Protects nothing.

use adyton_tests::simulation::Simulation;
use clap::Parser;
use std::path::PathBuf;
use std::process::ExitCode;

/// A simulated enclave. It shows the protocol and protects nothing.
#[derive(Debug, Parser)]
struct Cli {
    /// The Unix socket that plays the vsock bus.
    #[arg(long)]
    bus: PathBuf,
    /// Where the development root and the measurements are written.
    #[arg(long)]
    state: PathBuf,
    /// The worker's program; the one beside this one by default.
    #[arg(long)]
    worker: Option<PathBuf>,
    /// 32 bytes of hex from which the mock's keys follow; random by default.
    #[arg(long, value_parser = seed)]
    seed: Option<[u8; 32]>,
    /// Show zero PCRs, as a debug enclave does.
    #[arg(long)]
    debug_enclave: bool,
}

fn seed(text: &str) -> Result<[u8; 32], String> {
    let bytes = hex::decode(text).map_err(|e| e.to_string())?;
    bytes.try_into().map_err(|_| "expected 32 bytes of hex".to_owned())
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    // Ends with whoever started it, also when that is killed.
    if rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL)).is_err() {
        return ExitCode::FAILURE;
    }
    let beside = || std::env::current_exe().map(|exe| exe.with_file_name("adyton-sim-worker"));
    let worker = match cli.worker.map_or_else(beside, Ok) {
        Ok(worker) => worker,
        Err(e) => {
            eprintln!("SIMULATED enclave: {e}");
            return ExitCode::FAILURE;
        }
    };
    let simulation =
        Simulation { bus: cli.bus, state: cli.state, worker, seed: cli.seed, debug: cli.debug_enclave };
    match simulation.run() {
        Ok(end) => {
            eprintln!("SIMULATED enclave: {end}");
            ExitCode::from(end.code())
        }
        Err(e) => {
            eprintln!("SIMULATED enclave: {e:#}");
            ExitCode::FAILURE
        }
    }
}

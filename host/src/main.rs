//! `adyton-host`: the one process on the parent instance.

mod service;

use adyton_host::doctor::{State, Wanted};
use adyton_host::enclave::Enclave;
use adyton_host::launch::Launch;
use adyton_host::nitro::{Image, NitroCli};
use adyton_host::qemu::Qemu;
use adyton_host::relay::Listen;
use anyhow::{Context, Result, bail};
use clap::{Args, CommandFactory, Parser, Subcommand};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

/// What can be asked of a running host.
const SIGNALS: &str = "\
Signals:
  SIGTERM  no more connections; waits for those that are open, at most --drain seconds; then ends the enclaves
  SIGINT   ends the enclaves at once
  SIGUSR1  replaces the enclaves one after the other: drains one, ends it, starts it again, waits until it is online

";

const EXIT_CODES: &str = "\
Exit codes:
  0  ended by Ctrl-C or SIGTERM, and the enclaves with it
  1  a file, an address or the enclave is at fault; the message says which
  2  the command line is wrong";

/// Relay clients to enclaves, serve them their release and keep their audit logs. Nobody trusts this program.
#[derive(Debug, Parser)]
#[command(name = "adyton-host", version, after_help = format!("{SIGNALS}{EXIT_CODES}"), max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run until Ctrl-C.
    #[command(after_help = "Example:\n  adyton-host run --release release --audit audit --enclave vsock:16 \
                            --listen 0.0.0.0:8443 --eif adyton.eif")]
    Run(Box<Run>),
    /// Look for what usually keeps enclaves from starting here, and say what to do: exit code 1 if something is wrong.
    #[command(
        after_help = "Example:\n  adyton-host doctor --enclaves 2 --cpus 2 --memory-mib 3072 --eif adyton.eif \
                            --release release --audit audit"
    )]
    Doctor(Doctor),
    /// Print a completion script for a shell.
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
}

#[derive(Debug, Args)]
struct Doctor {
    /// How many enclaves are to run.
    #[arg(long, default_value_t = 1)]
    enclaves: u64,
    /// Processors of each.
    #[arg(long, default_value_t = 2)]
    cpus: u64,
    /// Memory of each, in MiB.
    #[arg(long, default_value_t = 2048)]
    memory_mib: u64,
    /// The enclave image.
    #[arg(long, value_name = "FILE")]
    eif: Option<PathBuf>,
    /// The release folder.
    #[arg(long, value_name = "DIR")]
    release: Option<PathBuf>,
    /// The folder for the audit log; made if it is not there.
    #[arg(long, value_name = "DIR")]
    audit: Option<PathBuf>,
    /// AWS's nitro-cli.
    #[arg(long, value_name = "PROGRAM", default_value = "nitro-cli")]
    nitro_cli: PathBuf,
    /// Look at the files of the system under this folder.
    #[arg(long, value_name = "DIR", default_value = "/", hide = true)]
    root: PathBuf,
    /// Print JSON instead of text.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct Run {
    /// The release folder, made by `adyton release`.
    #[arg(long, value_name = "DIR")]
    release: PathBuf,
    /// The folder for the enclave's audit log, made if it is not there. Without a disk that takes it, the
    /// enclave does nothing.
    #[arg(long, value_name = "DIR")]
    audit: PathBuf,
    /// An enclave's place on the bus: vsock:CID or unix:PATH. May be repeated: then all are of the same image and release, a
    /// connection goes to the one with the fewest, and each needs the memory and processors below.
    #[arg(long = "enclave", value_name = "ADDRESS", required = true)]
    enclaves: Vec<Enclave>,
    /// Where clients connect: ADDRESS:PORT or unix:PATH.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8443")]
    listen: Listen,
    /// Serve metrics of this host and its enclaves for Prometheus and `adyton status`, on 127.0.0.1:9464 if no
    /// address is given. They hold nothing derived from content; anybody who reaches the address can read them. Under
    /// /ready and /alive it answers probes.
    #[arg(long, value_name = "ADDRESS", num_args = 0..=1, default_missing_value = "127.0.0.1:9464")]
    metrics: Option<SocketAddr>,
    /// An address that the enclave may be connected to, as example.org:443; may be repeated. What its tools reach is in its
    /// measured policy; nothing is reached that is not here, too.
    #[arg(long, value_name = "NAME:PORT")]
    egress: Vec<String>,
    /// Start this enclave image, with nitro-cli unless --qemu is given, and end it with the host. Never in debug mode.
    #[arg(long, value_name = "FILE", conflicts_with = "simulator")]
    eif: Option<PathBuf>,
    /// Start the image in QEMU in place of Nitro, with the programs in this folder (`deploy/qemu/build`). For tests: an
    /// emulator protects nothing.
    #[arg(long, value_name = "DIR", requires = "eif")]
    qemu: Option<PathBuf>,
    /// An argument for QEMU; may be repeated.
    #[arg(long, value_name = "ARGUMENT", allow_hyphen_values = true, requires = "qemu")]
    qemu_arg: Vec<String>,
    /// AWS's nitro-cli.
    #[arg(long, value_name = "PROGRAM", default_value = "nitro-cli")]
    nitro_cli: PathBuf,
    /// Processors of each enclave.
    #[arg(long, default_value_t = 2)]
    cpus: u32,
    /// Memory of each enclave, in MiB.
    #[arg(long, default_value_t = 2048)]
    memory_mib: u32,
    /// Start this program in place of an enclave.
    #[arg(long, value_name = "PROGRAM")]
    simulator: Option<PathBuf>,
    /// An argument for the simulator; may be repeated.
    #[arg(long, value_name = "ARGUMENT", allow_hyphen_values = true)]
    simulator_arg: Vec<String>,
    /// How often in ten minutes an enclave that ended is started again, each time after a longer pause. After that, and
    /// without this, it is given up; the host ends with its last enclave.
    #[arg(long, value_name = "TIMES", default_value_t = 0)]
    restarts: usize,
    /// Longest wait for open connections after SIGTERM, and for those of one enclave after SIGUSR1, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    drain: u64,
    /// Read the command line, say what would run as JSON, and end.
    #[arg(long)]
    dry_run: bool,
    /// Most connections at a time.
    #[arg(long, default_value_t = 256)]
    max_connections: usize,
    /// Seconds without a byte after which a connection is closed.
    #[arg(long, default_value_t = 90)]
    idle: u64,
    /// Print JSON lines instead of text.
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build();
    let run = match cli.command {
        Command::Doctor(doctor) => {
            let examined = runtime().map_err(anyhow::Error::from);
            return told(examined.and_then(|runtime| runtime.block_on(examine(doctor))));
        }
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "adyton-host", &mut std::io::stdout());
            return ExitCode::SUCCESS;
        }
        Command::Run(run) => run,
    };
    if run.dry_run {
        return told(run.plan());
    }
    told(runtime().map_err(anyhow::Error::from).and_then(|runtime| runtime.block_on(service::serve(*run))))
}

async fn examine(doctor: Doctor) -> Result<()> {
    let wanted = Wanted {
        root: doctor.root,
        enclaves: doctor.enclaves,
        cpus: doctor.cpus,
        memory_mib: doctor.memory_mib,
        eif: doctor.eif,
        release: doctor.release,
        audit: doctor.audit,
        nitro_cli: NitroCli::new(doctor.nitro_cli),
    };
    let checks = wanted.checks().await;
    if doctor.json {
        let each = checks.iter().map(|check| {
            serde_json::json!({
                "name": check.name, "state": check.state.word(), "found": check.found, "advice": check.advice,
            })
        });
        println!("{}", serde_json::json!({ "checks": each.collect::<Vec<_>>() }));
    } else {
        for check in &checks {
            println!("{:<9} {:<13} {}", check.state.word(), check.name, check.found);
            if !check.advice.is_empty() {
                println!("{:<23} {}", "", check.advice);
            }
        }
    }
    match checks.iter().filter(|check| check.state == State::Wrong).count() {
        0 => Ok(()),
        wrong => bail!("{wrong} things are wrong; enclaves will not start, or not answer"),
    }
}

fn told(outcome: Result<()>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            anstream::eprintln!("adyton-host: {e:#}");
            ExitCode::FAILURE
        }
    }
}

impl Run {
    /// How each enclave is started, if that is our business.
    fn launch(&self) -> Result<Option<Launch>> {
        let one = |what: &str| match self.enclaves.as_slice() {
            [_] => Ok(()),
            _ => bail!("{what} runs one enclave; give one --enclave"),
        };
        Ok(Some(match (&self.eif, &self.simulator, &self.qemu) {
            (Some(eif), None, Some(folder)) => {
                one("--qemu")?;
                Launch::Qemu(Qemu {
                    folder: folder.clone(),
                    eif: eif.clone(),
                    cpus: self.cpus,
                    memory_mib: self.memory_mib,
                    arguments: self.qemu_arg.clone(),
                })
            }
            (Some(eif), None, None) => {
                let image = Image { eif: eif.clone(), cpus: self.cpus, memory_mib: self.memory_mib };
                Launch::Nitro(NitroCli::new(self.nitro_cli.clone()), image)
            }
            (None, Some(program), None) => {
                Launch::Simulator { program: program.clone(), arguments: self.simulator_arg.clone() }
            }
            _ => return Ok(None),
        }))
    }

    /// The same enclave twice would be counted as two.
    fn check(&self) -> Result<()> {
        let mut seen = Vec::new();
        for enclave in &self.enclaves {
            if seen.contains(&enclave) {
                bail!("--enclave {enclave} is given twice");
            }
            seen.push(enclave);
        }
        Ok(())
    }

    fn plan(&self) -> Result<()> {
        self.check()?;
        let launch = self.launch()?;
        let how = match &launch {
            Some(Launch::Nitro(..)) => "nitro-cli",
            Some(Launch::Qemu(_)) => "qemu",
            Some(Launch::Simulator { .. }) => "simulator",
            None => "nobody",
        };
        let enclaves: Vec<String> = self.enclaves.iter().map(ToString::to_string).collect();
        let plan = serde_json::json!({
            "enclaves": enclaves, "started_by": how, "eif": self.eif, "release": self.release, "audit": self.audit,
            "listen": self.listen.to_string(), "metrics": self.metrics, "cpus": self.cpus,
            "memory_mib": self.memory_mib, "restarts": self.restarts, "drain_s": self.drain,
            "max_connections": self.max_connections,
        });
        println!("{}", serde_json::to_string_pretty(&plan).context("the plan")?);
        Ok(())
    }
}

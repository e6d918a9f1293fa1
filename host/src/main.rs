//! `adyton-host`: the one process on the parent instance.

use adyton_host::audit::Logs;
use adyton_host::blobs::Release;
use adyton_host::egress::Egress;
use adyton_host::enclave::{Enclave, PortListener};
use adyton_host::heartbeat;
use adyton_host::launch::{Launch, Running};
use adyton_host::metrics::{Board, Server};
use adyton_host::qemu::Qemu;
use adyton_host::relay::{self, Counters, Limits, Listen, Listener};
use adyton_wire::ports::{AUDIT_PORT, BLOB_PORT, EGRESS_PORT, HEARTBEAT_PORT, METRICS_PORT};
use anyhow::{Context, Result, bail};
use clap::{Args, CommandFactory, Parser, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

/// SIGXFSZ on Linux: what a write beyond `RLIMIT_FSIZE` sends.
const SIGXFSZ: i32 = 25;

const EXIT_CODES: &str = "\
Exit codes:
  0  ended by Ctrl-C or SIGTERM, and the enclave with it
  1  a file, an address or the enclave is at fault; the message says which
  2  the command line is wrong";

/// Relay clients to an enclave, serve it its release and keep its audit log. Nobody trusts this program.
#[derive(Debug, Parser)]
#[command(name = "adyton-host", version, after_help = EXIT_CODES, max_term_width = 100)]
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
    /// Print a completion script for a shell.
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
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
    /// The enclave's place on the bus: vsock:CID or unix:PATH.
    #[arg(long, value_name = "ADDRESS")]
    enclave: Enclave,
    /// Where clients connect: ADDRESS:PORT or unix:PATH.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8443")]
    listen: Listen,
    /// Serve metrics of this host and its enclave for Prometheus and `adyton status`, on 127.0.0.1:9464 if no
    /// address is given. They hold nothing derived from content; anybody who reaches the address can read them.
    #[arg(long, value_name = "ADDRESS", num_args = 0..=1, default_missing_value = "127.0.0.1:9464")]
    metrics: Option<SocketAddr>,
    /// An address that the enclave may be connected to, as example.org:443; may be repeated. What its tools reach is in its
    /// measured policy; nothing is reached that is not here, too.
    #[arg(long, value_name = "NAME:PORT")]
    egress: Vec<String>,
    /// Start this enclave image, with nitro-cli unless --qemu is given, and end it with the host.
    #[arg(long, value_name = "FILE", conflicts_with = "simulator")]
    eif: Option<PathBuf>,
    /// Start the image in QEMU in place of Nitro, with the programs in this folder (`deploy/qemu/build`). For tests: an
    /// emulator protects nothing.
    #[arg(long, value_name = "DIR", requires = "eif")]
    qemu: Option<PathBuf>,
    /// An argument for QEMU; may be repeated.
    #[arg(long, value_name = "ARGUMENT", allow_hyphen_values = true, requires = "qemu")]
    qemu_arg: Vec<String>,
    /// Processors of the enclave.
    #[arg(long, default_value_t = 2)]
    cpus: u32,
    /// Memory of the enclave, in MiB.
    #[arg(long, default_value_t = 2048)]
    memory_mib: u32,
    /// Start this program in place of an enclave.
    #[arg(long, value_name = "PROGRAM")]
    simulator: Option<PathBuf>,
    /// An argument for the simulator; may be repeated.
    #[arg(long, value_name = "ARGUMENT", allow_hyphen_values = true)]
    simulator_arg: Vec<String>,
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
    let run = match cli.command {
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "adyton-host", &mut std::io::stdout());
            return ExitCode::SUCCESS;
        }
        Command::Run(run) => run,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime.map_err(anyhow::Error::from).and_then(|runtime| runtime.block_on(serve(*run))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            anstream::eprintln!("adyton-host: {e:#}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(run: Run) -> Result<()> {
    let release = Release::open(run.release.clone()).with_context(|| {
        format!("{}: no release here; make one with `adyton release`", run.release.display())
    })?;
    let logs = Logs::open(run.audit.clone())
        .with_context(|| format!("{}: no audit log can be kept here", run.audit.display()))?;
    let blobs = run.enclave.listen(BLOB_PORT).context("the blob port")?;
    let audit = run.enclave.listen(AUDIT_PORT).context("the audit port")?;
    let outside = run.enclave.listen(EGRESS_PORT).context("the egress port")?;
    // On Nitro, nitro-cli takes the heartbeat.
    let hearts = run
        .qemu
        .as_ref()
        .map(|_| run.enclave.listen(HEARTBEAT_PORT))
        .transpose()
        .context("the heartbeat port")?;
    let listener = Listener::bind(&run.listen).await.with_context(|| format!("{:?}", run.listen))?;
    let address = listener.address()?;
    let limits =
        Limits { connections: run.max_connections, idle: Duration::from_secs(run.idle), ..Limits::default() };
    let counters = Arc::new(Counters::default());
    let metrics = Metrics::bind(&run, &counters, &logs).await?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    // A log that grows into a limit on the size of files is a full disk, and no reason to be killed.
    let _file_size = signal(SignalKind::from_raw(SIGXFSZ))?;

    let mut enclave = start(&run).await?;
    announce(&address, metrics.as_ref(), run.json)?;
    let relaying = relay::run(listener, run.enclave.clone(), limits, Arc::clone(&counters));
    let outcome = tokio::select! {
        ended = relaying => ended.context("the listener"),
        ended = serve_blobs(blobs, release) => ended.context("the blob port"),
        ended = keep_logs(audit, logs) => ended.context("the audit port"),
        () = show_metrics(metrics, run.json) => Ok(()),
        ended = answer_hearts(hearts) => ended.context("the heartbeat port"),
        ended = connect(outside, Egress::new(run.egress.clone())) => ended.context("the egress port"),
        status = ended(&mut enclave) => Err(anyhow::anyhow!("the enclave ended ({})", status?)),
        _ = interrupt.recv() => Ok(()),
        _ = terminate.recv() => Ok(()),
    };
    if let Some(enclave) = &mut enclave {
        // It may have ended already; then there is nothing to stop.
        let _ = enclave.stop().await;
    }
    tell(&counters, run.json);
    outcome
}

fn announce(address: &str, metrics: Option<&Metrics>, json: bool) -> Result<()> {
    let url = metrics.map(|metrics| &metrics.url);
    if json {
        println!("{}", json!({ "listening": address, "metrics": url }));
        return Ok(());
    }
    println!("relaying {address} to the enclave");
    if let Some(url) = url {
        println!("metrics at {url}");
    }
    Ok(())
}

async fn start(run: &Run) -> Result<Option<Running>> {
    let launch = match (&run.eif, &run.simulator) {
        (Some(eif), None) if run.qemu.is_some() => Launch::Qemu(Qemu {
            folder: run.qemu.clone().unwrap_or_default(),
            eif: eif.clone(),
            cpus: run.cpus,
            memory_mib: run.memory_mib,
            arguments: run.qemu_arg.clone(),
        }),
        (Some(eif), None) => Launch::Nitro { eif: eif.clone(), cpus: run.cpus, memory_mib: run.memory_mib },
        (None, Some(program)) => {
            Launch::Simulator { program: program.clone(), arguments: run.simulator_arg.clone() }
        }
        (None, None) => return Ok(None),
        (Some(_), Some(_)) => bail!("--eif and --simulator exclude each other"),
    };
    Ok(Some(launch.start(&run.enclave).await?))
}

async fn ended(enclave: &mut Option<Running>) -> std::io::Result<std::process::ExitStatus> {
    match enclave {
        Some(enclave) => enclave.ended().await,
        None => std::future::pending().await,
    }
}

/// Serves the release; shows how much of the weights the enclave has fetched.
async fn serve_blobs(listener: PortListener, release: Release) -> std::io::Result<()> {
    loop {
        let stream = listener.accept().await?;
        let release = release.clone();
        tokio::spawn(async move {
            let bar = progress(&release);
            let served = release.serve(stream, &|bytes| bar.inc(bytes)).await;
            bar.finish_and_clear();
            if let Err(e) = served {
                eprintln!("adyton-host: blob port: {e}");
            }
        });
    }
}

/// Keeps audit logs. A disk that fails is told here too: the enclave stops answering because of it.
async fn keep_logs(listener: PortListener, logs: Logs) -> std::io::Result<()> {
    loop {
        let stream = listener.accept().await?;
        let logs = logs.clone();
        tokio::spawn(async move {
            if let Err(e) = logs.serve(stream).await {
                eprintln!("adyton-host: audit log: {e}");
            }
        });
    }
}

/// What is needed to show metrics.
struct Metrics {
    server: Server,
    url: String,
    port: PortListener,
    board: Arc<Board>,
}

impl Metrics {
    /// Binds both ends, if metrics were asked for.
    async fn bind(run: &Run, counters: &Arc<Counters>, logs: &Logs) -> Result<Option<Metrics>> {
        let Some(address) = run.metrics else { return Ok(None) };
        let server = Server::bind(address).await.context("metrics")?;
        let url = server.url()?;
        let port = run.enclave.listen(METRICS_PORT).context("the metrics port")?;
        let board = Arc::new(Board::new(Arc::clone(counters), logs.disk()));
        Ok(Some(Metrics { server, url, port, board }))
    }
}

async fn answer_hearts(hearts: Option<PortListener>) -> std::io::Result<()> {
    match hearts {
        Some(listener) => heartbeat::answer(listener).await,
        None => std::future::pending().await,
    }
}

/// Takes the enclave's snapshots, tells of its state and serves the page; returns never. Trouble with one stops nothing else.
async fn show_metrics(metrics: Option<Metrics>, json: bool) {
    let Some(Metrics { server, port, board, .. }) = metrics else { return std::future::pending().await };
    tokio::join!(
        server.run(Arc::clone(&board)),
        take_snapshots(port, Arc::clone(&board)),
        tell_states(board, json)
    );
}

/// Prints each state that the enclave says it is in, once.
async fn tell_states(board: Arc<Board>, json: bool) {
    let mut states = board.states();
    while states.changed().await.is_ok() {
        let Some(state) = *states.borrow_and_update() else { continue };
        if json {
            println!("{}", json!({ "state": state.word() }));
        } else {
            println!("the enclave says that it is {}", state.word());
        }
    }
}

async fn take_snapshots(port: PortListener, board: Arc<Board>) {
    loop {
        match port.accept().await {
            Ok(stream) => {
                let board = Arc::clone(&board);
                tokio::spawn(async move {
                    if let Err(e) = board.take(stream).await {
                        eprintln!("adyton-host: metrics port: {e}");
                    }
                });
            }
            // Where descriptors have run out, the next try fails too.
            Err(_) => tokio::time::sleep(Duration::from_secs(1)).await,
        }
    }
}

/// Connects the enclave to what the operator lists. How such a connection ends is the enclave's business.
async fn connect(listener: PortListener, egress: Egress) -> std::io::Result<()> {
    loop {
        let stream = listener.accept().await?;
        let egress = egress.clone();
        tokio::spawn(async move { drop(egress.serve(stream).await) });
    }
}

/// On standard error, and only where that is a terminal.
fn progress(release: &Release) -> ProgressBar {
    match release.weights_size() {
        Some(size) => {
            let bar = ProgressBar::new(size);
            let style = "enclave loads  {bar:40} {bytes}/{total_bytes} {bytes_per_sec}";
            if let Ok(style) = ProgressStyle::with_template(style) {
                bar.set_style(style);
            }
            bar
        }
        None => ProgressBar::hidden(),
    }
}

fn tell(counters: &Counters, json: bool) {
    let get = |n: &std::sync::atomic::AtomicU64| n.load(Ordering::Relaxed);
    let (relayed, refused, lost) =
        (get(&counters.relayed), get(&counters.refused), get(&counters.unreachable));
    let (up, down) = (get(&counters.upward), get(&counters.downward));
    if json {
        println!(
            "{}",
            json!({
                "relayed": relayed, "refused": refused, "unreachable": lost, "bytes_up": up, "bytes_down": down,
            })
        );
    } else {
        println!(
            "relayed {relayed} connections, {up} bytes up, {down} down; {refused} refused, {lost} unreachable"
        );
    }
}

//! `adyton-host run`: binds everything, keeps the enclaves, relays, and ends in order.
//!
//! The life of this process: bind; start the keepers; relay until a signal, or until the last enclave is given up; on SIGTERM take no
//! more connections and wait for those that are open; end the enclaves; say what was counted.

use super::Run;
use adyton_host::audit::{Disk, Logs};
use adyton_host::blobs::Release;
use adyton_host::egress::Egress;
use adyton_host::enclave::Enclave;
use adyton_host::heartbeat;
use adyton_host::keeper::{Event, GivenUp, Keeper, Order};
use adyton_host::metrics::Server;
use adyton_host::notify::{self, Notify};
use adyton_host::pool::{Member, Pool};
use adyton_host::ports::Port;
use adyton_host::relay::{self, Counters, Limits, Listener};
use adyton_wire::metrics::State;
use adyton_wire::ports::{AUDIT_PORT, BLOB_PORT, EGRESS_PORT, HEARTBEAT_PORT, METRICS_PORT};
use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// SIGXFSZ on Linux: what a write beyond `RLIMIT_FSIZE` sends.
const SIGXFSZ: i32 = 25;
/// How long an enclave that replaces another may take until it is online. It fetches and checks gigabytes of weights.
const ONLINE: Duration = Duration::from_secs(600);

/// Runs until a signal, or until there is no enclave left.
pub(crate) async fn serve(run: Run) -> Result<()> {
    run.check()?;
    let launch = run.launch()?;
    let release = Release::open(run.release.clone()).with_context(|| {
        format!("{}: no release here; make one with `adyton release`", run.release.display())
    })?;
    let logs = Logs::open(run.audit.clone())
        .with_context(|| format!("{}: no audit log can be kept here", run.audit.display()))?;
    // Of several enclaves, what they say of themselves decides who gets a connection; of one, nothing depends on it.
    let told = run.metrics.is_some() || run.enclaves.len() > 1;
    let counters = Arc::new(Counters::default());
    let disk: Arc<Disk> = logs.disk();
    let pool = Arc::new(Pool::new(run.enclaves.clone(), &counters, &disk, told));
    let mut services = Services::default();
    services.blobs(&run.enclaves, &release)?;
    services.audit(&run.enclaves, &logs)?;
    services.egress(&run)?;
    // On Nitro, nitro-cli takes the heartbeat.
    if run.qemu.is_some() {
        services.hearts(&run.enclaves)?;
    }
    let listener = Listener::bind(&run.listen).await.with_context(|| run.listen.to_string())?;
    let address = listener.address()?;
    let url = if told { services.metrics(&run, &pool).await? } else { None };
    let mut signals = Signals::new()?;

    let mut keepers = Keepers::start(&pool, launch.as_ref(), &run);
    announce(&address, url.as_deref(), run.json);
    let notify = Notify::from_environment();
    tell_ready(&notify, &pool, told);
    let limits =
        Limits { connections: run.max_connections, idle: Duration::from_secs(run.idle), ..Limits::default() };
    let relaying = relay::run(listener, Arc::clone(&pool), limits, Arc::clone(&counters));
    let replacing = Replacing { orders: keepers.orders.clone(), pool: Arc::clone(&pool), told, run: &run };
    let ended = tokio::select! {
        ended = relaying => Ended::Failed(ended.context("the listener").err()),
        failed = services.failed() => Ended::Failed(Some(failed)),
        gone = keepers.gone() => Ended::Failed(Some(gone.into())),
        () = replacing.run(&mut signals.replace) => Ended::Now,
        _ = signals.interrupt.recv() => Ended::Now,
        _ = signals.terminate.recv() => Ended::Drain,
    };
    notify.tell(notify::STOPPING);
    // The listener is closed by now.
    if matches!(ended, Ended::Drain) {
        drain(&pool, Duration::from_secs(run.drain), &mut signals, run.json).await;
    }
    keepers.stop().await;
    tell(&counters, run.json);
    match ended {
        Ended::Failed(Some(error)) => Err(error),
        Ended::Failed(None) | Ended::Now | Ended::Drain => Ok(()),
    }
}

/// Why relaying ended.
enum Ended {
    Failed(Option<anyhow::Error>),
    Now,
    Drain,
}

/// Waits until no connection is open, for so long at most. A second signal cuts it short.
async fn drain(pool: &Pool, patience: Duration, signals: &mut Signals, json: bool) {
    pool.drain();
    let open: u64 = pool.members().iter().map(|member| member.open()).sum();
    if open == 0 {
        return;
    }
    say(json, &json!({ "draining": open }), &format!("waiting for {open} open connections"));
    tokio::select! {
        _ = timeout(patience, pool.emptied()) => {}
        _ = signals.interrupt.recv() => {}
        _ = signals.terminate.recv() => {}
    }
}

struct Signals {
    interrupt: Signal,
    terminate: Signal,
    replace: Signal,
    /// A log that grows into a limit on the size of files is a full disk, and no reason to be killed.
    _file_size: Signal,
}

impl Signals {
    fn new() -> Result<Signals> {
        Ok(Signals {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            replace: signal(SignalKind::user_defined1())?,
            _file_size: signal(SignalKind::from_raw(SIGXFSZ))?,
        })
    }
}

/// The tasks that keep the enclaves.
struct Keepers {
    tasks: JoinSet<Result<(), GivenUp>>,
    orders: Vec<mpsc::Sender<Order>>,
    json: bool,
}

impl Keepers {
    fn start(pool: &Pool, launch: Option<&adyton_host::launch::Launch>, run: &Run) -> Keepers {
        let json = run.json;
        let mut keepers = Keepers { tasks: JoinSet::new(), orders: Vec::new(), json };
        for member in pool.members() {
            let (sender, receiver) = mpsc::channel(1);
            keepers.orders.push(sender);
            let keeper = Keeper {
                member: Arc::clone(member),
                launch: launch.cloned(),
                restarts: run.restarts,
                tell: Arc::new(move |number, event| tell_event(number, &event, json)),
            };
            keepers.tasks.spawn(keeper.keep(receiver));
        }
        keepers
    }

    /// Waits until all are given up; returns the last.
    async fn gone(&mut self) -> GivenUp {
        let mut last = None;
        while let Some(kept) = self.tasks.join_next().await {
            if let Ok(Err(given_up)) = kept {
                if !self.tasks.is_empty() {
                    let value =
                        json!({ "enclave_number": given_up.number, "given_up": given_up.to_string() });
                    say(self.json, &value, &format!("{given_up}; it is given up, the others go on"));
                }
                last = Some(given_up);
            }
        }
        match last {
            Some(last) => last,
            None => std::future::pending().await,
        }
    }

    /// Ends all, at the same time.
    async fn stop(mut self) {
        for orders in &self.orders {
            // Full if it is being replaced; closed if it was given up. The first is told by what follows.
            let _ = orders.try_send(Order::Stop);
        }
        self.orders.clear();
        while self.tasks.join_next().await.is_some() {}
    }
}

/// Replaces the enclaves one after the other.
struct Replacing<'a> {
    orders: Vec<mpsc::Sender<Order>>,
    pool: Arc<Pool>,
    told: bool,
    run: &'a Run,
}

impl Replacing<'_> {
    /// At each SIGUSR1; returns never.
    async fn run(self, replace: &mut Signal) {
        while replace.recv().await.is_some() {
            for (member, orders) in self.pool.members().iter().zip(&self.orders) {
                let number = member.number;
                if !self.one(member, orders).await {
                    let words = format!("enclave {number} did not come online; the others were left alone");
                    say(self.run.json, &json!({ "not_replaced": number }), &words);
                    break;
                }
                say(self.run.json, &json!({ "replaced": number }), &format!("enclave {number} was replaced"));
            }
        }
        std::future::pending().await
    }

    /// True when the new one is there.
    async fn one(&self, member: &Member, orders: &mpsc::Sender<Order>) -> bool {
        let (done, ended) = oneshot::channel();
        let patience = Duration::from_secs(self.run.drain);
        if orders.send(Order::Replace(patience, done)).await.is_err() || ended.await.is_err() {
            return false;
        }
        let mut states = member.board.states();
        let online = states.wait_for(|state| *state == Some(State::Online));
        !self.told || timeout(ONLINE, online).await.is_ok_and(|seen| seen.is_ok())
    }
}

/// What runs beside the relay. If one of them fails, the host ends.
#[derive(Default)]
struct Services(JoinSet<anyhow::Error>);

impl Services {
    /// Serves every connection to a port.
    fn serve<F>(
        &mut self,
        enclaves: &[Enclave],
        (number, what): (u32, &'static str),
        each: impl Fn(Box<dyn adyton_host::enclave::Stream>, usize) -> F + Send + Clone + 'static,
    ) -> Result<()>
    where
        F: Future<Output = io::Result<()>> + Send + 'static,
    {
        for port in Port::listen(enclaves, number).context(what)? {
            let each = each.clone();
            self.0.spawn(async move {
                loop {
                    let (stream, whose) = match port.accept().await {
                        Ok(accepted) => accepted,
                        // Nothing depends on metrics. Where descriptors have run out, the next try fails too.
                        Err(_) if number == METRICS_PORT => {
                            tokio::time::sleep(Duration::from_secs(1)).await;
                            continue;
                        }
                        Err(e) => return anyhow::Error::from(e).context(what),
                    };
                    let serving = each(stream, whose);
                    tokio::spawn(async move {
                        if let Err(e) = serving.await {
                            eprintln!("adyton-host: {what}: {e}");
                        }
                    });
                }
            });
        }
        Ok(())
    }

    /// Serves the release; shows how much of the weights an enclave has fetched.
    fn blobs(&mut self, enclaves: &[Enclave], release: &Release) -> Result<()> {
        let release = release.clone();
        self.serve(enclaves, (BLOB_PORT, "the blob port"), move |stream, _| {
            let release = release.clone();
            async move {
                let bar = progress(&release);
                let served = release.serve(stream, &|bytes| bar.inc(bytes)).await;
                bar.finish_and_clear();
                served
            }
        })
    }

    /// Keeps audit logs. A disk that fails is told here too: the enclave stops answering because of it.
    fn audit(&mut self, enclaves: &[Enclave], logs: &Logs) -> Result<()> {
        let logs = logs.clone();
        self.serve(enclaves, (AUDIT_PORT, "the audit port"), move |stream, _| {
            let logs = logs.clone();
            async move { logs.serve(stream).await }
        })
    }

    /// Connects enclaves to what the operator lists. How such a connection ends is the enclave's business.
    fn egress(&mut self, run: &Run) -> Result<()> {
        let egress = Egress::new(run.egress.clone());
        self.serve(&run.enclaves, (EGRESS_PORT, "the egress port"), move |stream, _| {
            let egress = egress.clone();
            async move {
                let _ = egress.serve(stream).await;
                Ok(())
            }
        })
    }

    fn hearts(&mut self, enclaves: &[Enclave]) -> Result<()> {
        for enclave in enclaves {
            let listener = enclave.listen(HEARTBEAT_PORT).context("the heartbeat port")?;
            self.0.spawn(async move {
                match heartbeat::answer(listener).await {
                    Ok(()) => anyhow::anyhow!("the heartbeat port is closed"),
                    Err(e) => anyhow::Error::from(e).context("the heartbeat port"),
                }
            });
        }
        Ok(())
    }

    /// Takes snapshots, tells of states, and serves the page if it is asked for. Returns where.
    async fn metrics(&mut self, run: &Run, pool: &Arc<Pool>) -> Result<Option<String>> {
        let server = match run.metrics {
            Some(address) => Some(Server::bind(address).await.context("metrics")?),
            None => None,
        };
        let url = server.as_ref().map(Server::url).transpose()?;
        let boards = Arc::clone(pool);
        self.serve(&run.enclaves, (METRICS_PORT, "the metrics port"), move |stream, number| {
            let board = boards.members().get(number).map(|member| Arc::clone(&member.board));
            async move {
                match board {
                    Some(board) => board.take(stream).await,
                    None => Ok(()),
                }
            }
        })?;
        if let Some(server) = server {
            tokio::spawn(server.run(Arc::clone(pool)));
        }
        for member in pool.members() {
            tokio::spawn(tell_states(Arc::clone(member), pool.members().len() > 1, run.json));
        }
        Ok(url)
    }

    /// The first failure.
    async fn failed(&mut self) -> anyhow::Error {
        match self.0.join_next().await {
            Some(Ok(error)) => error,
            Some(Err(e)) => e.into(),
            None => std::future::pending().await,
        }
    }
}

/// Tells systemd once, when a connection would be answered.
fn tell_ready(notify: &Notify, pool: &Pool, told: bool) {
    for member in pool.members() {
        let (notify, mut states) = (notify.clone(), member.board.states());
        tokio::spawn(async move {
            // systemd takes the first and ignores the others.
            if !told || states.wait_for(|state| *state == Some(State::Online)).await.is_ok() {
                notify.tell(notify::READY);
            }
        });
    }
}

/// Prints each state that an enclave says it is in, once.
async fn tell_states(member: Arc<Member>, several: bool, json: bool) {
    let mut states = member.board.states();
    let number = member.number;
    while states.changed().await.is_ok() {
        let Some(state) = *states.borrow_and_update() else { continue };
        let which = if several { format!("enclave {number}") } else { "the enclave".to_owned() };
        let value = json!({ "state": state.word(), "enclave_number": number });
        say(json, &value, &format!("{which} says that it is {}", state.word()));
    }
}

fn tell_event(number: usize, event: &Event, json: bool) {
    let (word, reason, words) = match event {
        Event::Again(reason, pause) => {
            let after = format!("it is started again in {} s", pause.as_secs());
            ("restarts", reason, format!("enclave {number} ended ({reason}); {after}"))
        }
        Event::NotStopped(reason) => {
            ("not_stopped", reason, format!("enclave {number} may still run: {reason}"))
        }
    };
    say(json, &json!({ word: number, "reason": reason }), &words);
}

fn announce(address: &str, url: Option<&str>, json: bool) {
    let mut words = format!("relaying {address} to the enclave");
    if let Some(url) = url {
        words.push_str(&format!("\nmetrics at {url}"));
    }
    say(json, &json!({ "listening": address, "metrics": url }), &words);
}

fn say(json: bool, value: &serde_json::Value, words: &str) {
    if json {
        println!("{value}");
    } else {
        println!("{words}");
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
    let value = json!({
        "relayed": relayed, "refused": refused, "unreachable": lost, "bytes_up": up, "bytes_down": down,
    });
    let words = format!(
        "relayed {relayed} connections, {up} bytes up, {down} down; {refused} refused, {lost} unreachable"
    );
    say(json, &value, &words);
}

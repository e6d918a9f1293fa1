//! The operator's view: it counts what happened, tells nothing of what was said, and nothing depends on it.

use crate::support::{HANG, ask, ask_as, plan, question, session, world};
use adyton_client::chat::Question;
use adyton_client::status::page::Page;
use adyton_tests::world::{Plan, World, program};
use adyton_wire::hybrid;
use adyton_wire::metrics::{DENIALS, SNAPSHOT_LEN, Snapshot, State};
use adyton_wire::ports::METRICS_PORT;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::process::{Output, Stdio};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::{TcpStream, UnixListener, UnixStream};
use tokio::process::{Child, ChildStdout, Command};

/// What stands in a prompt, a purpose and a token's subject, and must stand nowhere else.
const MARKER: &str = "zq7-marker";

fn with_metrics() -> World {
    World::start(&Plan { metrics: true, ..plan() }).unwrap()
}

/// The page as it comes, head and body.
async fn raw_page(world: &World) -> String {
    let address = world.metrics().unwrap().strip_prefix("http://").unwrap().strip_suffix("/metrics").unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).await.unwrap();
    page
}

fn status(world: &World, arguments: &[&str]) -> std::process::Command {
    let mut status = world.client().unwrap();
    status.args(["status", "--metrics", world.metrics().unwrap()]).args(arguments);
    status
}

/// `adyton --json status`, running.
struct Watch {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Watch {
    fn start(world: &World) -> Watch {
        let mut command = Command::from(status(world, &["--json"]));
        let mut process = command.stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        Watch { process, lines }
    }

    /// The first line that is as wanted.
    async fn until(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        let waiting = async {
            loop {
                let line = self.lines.next_line().await.unwrap().expect("status ended");
                let said: Value = serde_json::from_str(&line).unwrap();
                if wanted(&said["status"]["enclave"]) {
                    break said;
                }
            }
        };
        tokio::time::timeout(HANG, waiting).await.expect("it is never shown")
    }

    /// As by Ctrl-C.
    async fn interrupt(mut self) -> Option<i32> {
        let pid = Pid::from_raw(i32::try_from(self.process.id().unwrap()).unwrap()).unwrap();
        kill_process(pid, Signal::INT).unwrap();
        self.process.wait().await.unwrap().code()
    }
}

/// One answer, and one denial for the purpose; the marker wherever a client can put it.
async fn one_grant_and_one_denial(world: &World) {
    let session = session(world).await;
    let token = world.token_of(MARKER, &["chat"], 0, 0, 600).unwrap();
    let marked = Question { prompt: format!("Say {MARKER}."), system: Some(MARKER.into()), ..question(8) };
    ask_as(world, &session, &token, &marked).await.unwrap();
    let forbidden = Question { purpose: Some(MARKER.into()), ..marked };
    ask_as(world, &session, &token, &forbidden).await.map(drop).unwrap_err();
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_count_what_happened_and_tell_nothing_of_what_was_said() {
    let world = with_metrics();
    one_grant_and_one_denial(&world).await;
    let mut watch = Watch::start(&world);
    let shown = watch.until(|enclave| enclave["denials"]["forbidden"] == 1).await;
    let enclave = &shown["status"]["enclave"];
    assert_eq!(enclave["grants"], serde_json::json!({ "given": 1, "open": 0 }));
    assert_eq!(
        (&enclave["receipts"], &enclave["evidence"], &enclave["workers"]),
        (&1.into(), &1.into(), &1.into())
    );
    let denied: u64 = enclave["denials"].as_object().unwrap().values().map(|n| n.as_u64().unwrap()).sum();
    assert_eq!(denied, 1, "{enclave}");
    assert_eq!(enclave["grant_to_receipt"]["count"], 1);
    // The model's name, the grant, the denial.
    assert!(enclave["decision"]["count"].as_u64().unwrap() >= 2, "{enclave}");
    assert_eq!(shown["status"]["connections"]["relayed"], 1);
    assert!(!shown.to_string().contains(MARKER));
    let page = raw_page(&world).await;
    let (_, body) = page.split_once("\r\n\r\n").unwrap();
    assert!(Page::parse(body).unwrap().len() > 50);
    for told in [MARKER, "marker", "development", "issuer", "general", "dragon", "developer"] {
        assert!(!page.contains(told), "the page says {told:?}");
    }
    assert_eq!(watch.interrupt().await, Some(0));
}

/// Plays a host that wants metrics beside one that does not.
async fn next(bus: &mut UnixStream) -> Snapshot {
    let mut bytes = [0; SNAPSHOT_LEN];
    let read = tokio::time::timeout(HANG, bus.read_exact(&mut bytes)).await;
    read.expect("no snapshot comes").unwrap();
    assert!(!bytes.windows(MARKER.len()).any(|window| window == MARKER.as_bytes()));
    Snapshot::decode(&bytes).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_pushed_is_of_one_size_and_the_same_whatever_was_said() {
    let world = world();
    let listener = UnixListener::bind(hybrid::host_listener(&world.path("bus"), METRICS_PORT)).unwrap();
    let (mut bus, _) = tokio::time::timeout(HANG, listener.accept()).await.expect("nobody connects").unwrap();
    one_grant_and_one_denial(&world).await;
    let forbidden = DENIALS.iter().position(|code| *code == "forbidden").unwrap();
    let snapshot = loop {
        let snapshot = next(&mut bus).await;
        if snapshot.denials[forbidden] > 0 {
            break snapshot;
        }
    };
    let counted = (snapshot.state, snapshot.simulated, snapshot.grants, snapshot.receipts, snapshot.evidence);
    assert_eq!(counted, (State::Online, true, 1, 1, 1));
    assert_eq!((snapshot.denials.iter().sum::<u64>(), snapshot.grants_open), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_takes_no_metrics_changes_nothing() {
    let world = world();
    let session = session(&world).await;
    ask(&world, &session, &question(4)).await.unwrap();
    // Nor does one that takes the connection and never reads.
    let listener = UnixListener::bind(hybrid::host_listener(&world.path("bus"), METRICS_PORT)).unwrap();
    let (deaf, _) = tokio::time::timeout(HANG, listener.accept()).await.expect("nobody connects").unwrap();
    ask(&world, &session, &question(4)).await.unwrap();
    // Nor one that breaks off in the middle.
    drop((deaf, listener));
    ask(&world, &session, &question(4)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_gone_and_its_successor_are_shown() {
    let world = with_metrics();
    let mut watch = Watch::start(&world);
    watch.until(|enclave| enclave["state"] == "online").await;
    let worker = i32::try_from(world.descendants("adyton-sim-worker").unwrap()[0]).unwrap();
    kill_process(Pid::from_raw(worker).unwrap(), Signal::KILL).unwrap();
    let again = watch.until(|enclave| enclave["workers"] == 2).await;
    assert_eq!(again["status"]["enclave"]["state"], "online");
    assert_eq!(
        (&again["status"]["boots"], &again["status"]["enclave"]["grants"]["open"]),
        (&1.into(), &0.into())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ai_that_is_offline_is_shown_as_quarantined() {
    let world = crate::people::world("offline");
    Watch::start(&world).until(|enclave| enclave["state"] == "quarantined").await;
    let (code, _, error) = text(&status(&world, &["--once"]).output().unwrap());
    assert_eq!(code, Some(3));
    assert!(error.contains("the enclave is quarantined"), "{error}");
}

fn text(output: &Output) -> (Option<i32>, String, String) {
    let of = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code(), of(&output.stdout), of(&output.stderr))
}

#[tokio::test(flavor = "multi_thread")]
async fn status_shows_it_once_and_its_exit_code_says_whether_the_enclave_is_online() {
    let world = with_metrics();
    let mut watch = Watch::start(&world);
    watch.until(|enclave| enclave["state"] == "online").await;
    let (code, shown, _) = text(&status(&world, &["--once", "--json"]).output().unwrap());
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!((code, &shown["state"]), (Some(0), &"online".into()));
    assert_eq!(
        (&shown["status"]["enclave"]["simulated"], &shown["status"]["audit_log"]["disk_ok"]),
        (&true.into(), &true.into())
    );
    let (code, shown, _) = text(&status(&world, &["--once"]).output().unwrap());
    assert_eq!(code, Some(0));
    assert!(shown.starts_with("enclave      online SIMULATED   up "), "{shown}");
    assert!(!shown.contains('\u{1b}') && shown.lines().all(|line| line.len() < 80), "{shown}");

    // A host whose enclave has not come, at an address of its own; and one more at the same.
    let mut alone = Command::new(program("adyton-host").unwrap());
    alone.args(["run", "--json", "--listen", "127.0.0.1:0", "--metrics", "127.0.0.1:0", "--release"]);
    alone.arg(world.path("release")).arg("--audit").arg(world.path("other"));
    alone.arg("--enclave").arg(format!("unix:{}", world.path("elsewhere").display()));
    let mut alone = alone.stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    let said = BufReader::new(alone.stdout.take().unwrap()).lines().next_line().await.unwrap().unwrap();
    let said: Value = serde_json::from_str(&said).unwrap();
    let url = said["metrics"].as_str().unwrap();
    let look = |url: &str| {
        let mut status = world.client().unwrap();
        text(&status.args(["status", "--once", "--metrics", url]).output().unwrap())
    };
    let (code, shown, error) = look(url);
    assert_eq!(code, Some(3), "{error}");
    assert!(
        shown.starts_with("enclave      down   boots 0   never seen\n")
            && error.contains("the enclave is down")
    );

    let taken = url.strip_prefix("http://").unwrap().strip_suffix("/metrics").unwrap();
    let mut second = std::process::Command::new(program("adyton-host").unwrap());
    second
        .args(["run", "--listen", "127.0.0.1:0", "--metrics", taken, "--release"])
        .arg(world.path("release"));
    second
        .arg("--audit")
        .arg(world.path("other"))
        .arg("--enclave")
        .arg(format!("unix:{}", world.path("third").display()));
    let (code, _, error) = text(&second.output().unwrap());
    assert_eq!(code, Some(1));
    assert!(error.contains(&format!("{taken} is taken by another program")), "{error}");

    alone.kill().await.unwrap();
    let (code, _, error) = look(url);
    assert_eq!(code, Some(4));
    assert!(error.contains(&format!("nothing answers at {url}")) && error.contains("--metrics"), "{error}");
}

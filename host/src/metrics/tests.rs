//! The page by the rules of its format, and what becomes of snapshots.

use super::*;
use crate::pool::Pool;
use adyton_wire::metrics::{BUCKETS, Histogram, State};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use tokio::io::{AsyncWriteExt, DuplexStream};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

fn board() -> Arc<Board> {
    Arc::new(Board::new(Arc::default(), Arc::default()))
}

fn busy() -> Snapshot {
    let mut snapshot = Snapshot { state: State::Online, uptime_s: 60, grants: 3, ..Snapshot::default() };
    snapshot.denials = std::array::from_fn(|n| n as u64 + 1);
    snapshot.decision = Histogram { buckets: [1; BUCKETS], sum_ns: 1_500_000_000 };
    snapshot
}

fn pool(enclaves: usize) -> Arc<Pool> {
    let at = |n: usize| crate::enclave::Enclave::Unix(format!("/nowhere/{n}").into());
    Arc::new(Pool::new((0..enclaves).map(at).collect(), &Arc::default(), &Arc::default(), true))
}

fn page_of(snapshot: Snapshot) -> String {
    let pool = pool(2);
    let board = &pool.members()[0].board;
    let connection = board.begin();
    assert!(board.note(connection, snapshot));
    board.page(Instant::now()) + &page::pool(&pool, Instant::now())
}

fn value(page: &str, series: &str) -> Option<f64> {
    let line = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.map(|value| value.parse().unwrap())
}

/// The rules that `promtool check metrics` and the format's description have: HELP, then TYPE, once for each family
/// and in front of its samples, which stand together; names and values are such; no series twice; buckets grow to
/// +Inf, which is the count. Returns the names of the families.
fn check(page: &str) -> BTreeSet<String> {
    assert!(page.ends_with('\n') && !page.contains("\n\n"), "lines end with one line feed");
    let mut families = BTreeMap::new();
    let mut series = BTreeSet::new();
    let (mut family, mut help) = (String::new(), None);
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, words) = rest.split_once(' ').unwrap();
            assert!(!words.is_empty() && !families.contains_key(name), "{line}");
            assert_eq!(help.replace(name.to_owned()), None, "{line}");
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert_eq!(help.take().as_deref(), Some(name), "{line}");
            assert!(["gauge", "counter", "histogram"].contains(&kind), "{line}");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
            name.clone_into(&mut family);
            families.insert(family.clone(), (kind.to_owned(), Vec::new()));
        } else {
            assert!(series.insert(line.rsplit_once(' ').unwrap().0.to_owned()), "twice: {line}");
            check_sample(line, families.get_mut(&family).unwrap(), &family);
        }
    }
    for (name, (kind, samples)) in &families {
        assert!(!samples.is_empty(), "{name} has no sample");
        if kind == "histogram" {
            check_histogram(name, samples);
        }
    }
    families.into_keys().collect()
}

type Samples = Vec<(String, Option<(String, String)>, f64)>;

fn check_sample(line: &str, (kind, samples): &mut (String, Samples), family: &str) {
    let (series, value) = line.rsplit_once(' ').unwrap();
    let (name, label) = match series.split_once('{') {
        None => (series, None),
        Some((name, rest)) => {
            let (label, word) = rest.strip_suffix("\"}").unwrap().split_once("=\"").unwrap();
            assert!(label.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{line}");
            assert!(!word.contains(['"', '\\', '\n']), "{line}");
            (name, Some((label.to_owned(), word.to_owned())))
        }
    };
    assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{line}");
    let suffix = name.strip_prefix(family).unwrap_or_else(|| panic!("{line} is not of {family}"));
    assert_eq!(!suffix.is_empty(), kind == "histogram", "{line}");
    assert!(["", "_bucket", "_sum", "_count"].contains(&suffix), "{line}");
    let value: f64 = value.parse().unwrap();
    assert!(value.is_finite() && value >= 0.0, "{line}");
    samples.push((suffix.to_owned(), label, value));
}

fn check_histogram(name: &str, samples: &Samples) {
    let of = |suffix: &str| samples.iter().filter(|sample| sample.0 == suffix).collect::<Vec<_>>();
    let bounds = of("_bucket").into_iter().map(|(_, label, count)| {
        let (label, bound) = label.as_ref().unwrap();
        assert_eq!(label, "le", "{name}");
        (bound.parse::<f64>().unwrap(), *count)
    });
    let bounds: Vec<(f64, f64)> = bounds.collect();
    assert!(bounds.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1), "{name}: {bounds:?}");
    let (last, all) = *bounds.last().unwrap();
    assert!(last.is_infinite(), "{name}");
    assert_eq!((of("_sum").len(), of("_count").len()), (1, 1), "{name}");
    assert_eq!(of("_count")[0].2, all, "{name}");
}

#[test]
fn every_page_is_by_the_rules_of_the_format() {
    let most = Histogram { buckets: [u64::MAX; BUCKETS], sum_ns: u64::MAX };
    let full = Snapshot { simulated: true, decision: most, answer: most, uptime_s: u64::MAX, ..busy() };
    let alone = check(&board().page(Instant::now()));
    let all = check(&page_of(busy()));
    assert_eq!(all, check(&page_of(full)));
    assert!(alone.is_subset(&all) && alone.iter().all(|name| !name.contains("denials")), "{alone:?}");
}

#[test]
fn every_metric_has_its_line_in_the_documentation_and_no_other() {
    let documented = include_str!("../../../docs/metrics.md");
    let documented = documented.lines().filter_map(|line| line.strip_prefix("| `")?.split(['`', '{']).next());
    let documented: BTreeSet<String> =
        documented.filter(|name| name.starts_with("adyton_")).map(str::to_owned).collect();
    assert_eq!(documented, check(&page_of(busy())));
}

#[test]
fn the_page_says_what_was_counted() {
    let board = board();
    board.relay.open.store(2, Ordering::Relaxed);
    board.relay.upward.store(70, Ordering::Relaxed);
    board.disk.wrote(500);
    board.disk.fails();
    let connection = board.begin();
    assert!(board.note(connection, busy()));
    let page = board.page(Instant::now());
    let table = [
        ("adyton_host_connections_open", 2.0),
        ("adyton_host_bytes_total{direction=\"up\"}", 70.0),
        ("adyton_host_audit_log_bytes", 500.0),
        ("adyton_host_audit_disk_ok", 0.0),
        ("adyton_enclave_up", 1.0),
        ("adyton_enclave_boots_total", 1.0),
        ("adyton_enclave_state{state=\"online\"}", 1.0),
        ("adyton_enclave_state{state=\"offline\"}", 0.0),
        ("adyton_enclave_grants_total", 3.0),
        ("adyton_enclave_denials_total{code=\"token_absent\"}", 1.0),
        ("adyton_enclave_denials_total{code=\"other\"}", 20.0),
        ("adyton_enclave_decision_seconds_bucket{le=\"0.00001\"}", 1.0),
        ("adyton_enclave_decision_seconds_bucket{le=\"+Inf\"}", 12.0),
        ("adyton_enclave_decision_seconds_sum", 1.5),
    ];
    for (series, expected) in table {
        assert_eq!(value(&page, series), Some(expected), "{series}");
    }
}

#[test]
fn what_is_old_is_not_shown_as_present() {
    let board = board();
    let connection = board.begin();
    board.note(connection, busy());
    let later = board.page(Instant::now() + FRESH);
    assert_eq!(value(&later, "adyton_enclave_up"), Some(0.0));
    assert_eq!(value(&later, "adyton_enclave_state{state=\"online\"}"), None);
    assert!(value(&later, "adyton_enclave_snapshot_age_seconds").unwrap() >= 5.0);
    board.end(connection);
    assert_eq!(value(&board.page(Instant::now()), "adyton_enclave_up"), Some(0.0));
}

fn enclave(board: &Arc<Board>) -> (DuplexStream, JoinHandle<io::Result<()>>) {
    let (ours, theirs) = tokio::io::duplex(SNAPSHOT_LEN);
    let board = Arc::clone(board);
    (ours, tokio::spawn(async move { board.take(Box::new(theirs)).await }))
}

#[tokio::test]
async fn of_two_connections_the_later_counts_and_another_boot_is_counted() {
    let board = board();
    let (mut first, taking) = enclave(&board);
    first.write_all(&busy().encode()).await.unwrap();
    // What is half sent counts for nothing.
    first.write_all(&busy().encode()[..9]).await.unwrap();
    let (mut second, takes) = enclave(&board);
    let rebooted = Snapshot { uptime_s: 1, grants: 9, ..busy() };
    second.write_all(&rebooted.encode()).await.unwrap();
    drop(second);
    takes.await.unwrap().unwrap();
    assert_eq!(board.lock().boots, 2);
    let superseded = Snapshot { grants: 4, ..busy() }.encode();
    let _ = first.write_all(&superseded[9..]).await;
    taking.await.unwrap().unwrap();
    assert_eq!(board.lock().last.unwrap().snapshot.grants, 9);
}

#[tokio::test]
async fn other_protocols_end_the_connection() {
    let board = board();
    let (mut stream, taking) = enclave(&board);
    stream.write_all(&[b'X'; SNAPSHOT_LEN]).await.unwrap();
    assert_eq!(taking.await.unwrap().unwrap_err().kind(), io::ErrorKind::InvalidData);
    assert_eq!(value(&board.page(Instant::now()), "adyton_enclave_up"), Some(0.0));
}

async fn fetch(server: &str, request: &str) -> String {
    let address = server.strip_prefix("http://").unwrap().strip_suffix("/metrics").unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn the_page_is_served_and_nothing_else() {
    let server = Server::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let url = server.url().unwrap();
    let pool = pool(2);
    tokio::spawn(server.run(Arc::clone(&pool)));
    let page = fetch(&url, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(page.starts_with("HTTP/1.1 200 OK\r\n"), "{page}");
    assert!(page.contains("content-type: text/plain; version=0.0.4; charset=utf-8\r\n"), "{page}");
    check(page.split_once("\r\n\r\n").unwrap().1);
    for (request, status) in [
        ("GET / HTTP/1.1\r\n\r\n", "404"),
        ("GET /metrics/1 HTTP/1.1\r\n\r\n", "200"),
        ("GET /metrics/2 HTTP/1.1\r\n\r\n", "404"),
        ("GET /metrics/+1 HTTP/1.1\r\n\r\n", "404"),
        ("GET /metrics1 HTTP/1.1\r\n\r\n", "404"),
        ("GET /alive HTTP/1.1\r\n\r\n", "200"),
        ("GET /ready HTTP/1.1\r\n\r\n", "503"),
        ("POST /metrics HTTP/1.1\r\nContent-Length: 0\r\n\r\n", "405"),
        ("HEAD /metrics HTTP/1.1\r\n\r\n", "200"),
        ("no such thing\r\n\r\n", "400"),
    ] {
        let answer = fetch(&url, request).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{request}: {answer}");
    }
    pool.members()[1].up();
    pool.members()[1].board.said(busy());
    let ready = fetch(&url, "GET /ready HTTP/1.1\r\n\r\n").await;
    assert!(ready.starts_with("HTTP/1.1 200 "), "{ready}");
    pool.drain();
    let ready = fetch(&url, "GET /ready HTTP/1.1\r\n\r\n").await;
    assert!(ready.starts_with("HTTP/1.1 503 "), "{ready}");
}

#[tokio::test]
async fn an_address_that_is_taken_is_told() {
    let server = Server::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = server.url().unwrap();
    let address = address.strip_prefix("http://").unwrap().strip_suffix("/metrics").unwrap();
    let error = Server::bind(address.parse().unwrap()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("{address} is taken by another program; name another with --metrics")
    );
}

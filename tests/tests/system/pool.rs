//! Several enclaves behind one host: connections are shared, one that dies is started again, all are replaced without a lost answer,
//! and SIGTERM waits for those who are still being answered.

use crate::support::{HANG, ask, plan, question, session};
use adyton_client::chat::{ChatError, chat};
use adyton_client::session::{AttestedSession, connect};
use adyton_tests::world::{Plan, World};
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

fn two(host_arguments: &[&str]) -> World {
    let host_arguments = host_arguments.iter().map(|argument| (*argument).to_owned()).collect();
    World::start(&Plan { enclaves: 2, metrics: true, host_arguments, ..plan() }).unwrap()
}

fn signal(pid: u32, signal: Signal) {
    kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), signal).unwrap();
}

/// What the host answers under a path, head and body.
async fn get(world: &World, path: &str) -> String {
    let address = world.metrics().unwrap().strip_prefix("http://").unwrap().strip_suffix("/metrics").unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).await.unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).await.unwrap();
    page
}

/// A number of each enclave.
async fn of_each(world: &World, metric: &str) -> [u64; 2] {
    let page = get(world, "/metrics").await;
    [0, 1].map(|number| {
        let series = format!("{metric}{{enclave=\"{number}\"}} ");
        page.lines().find_map(|line| line.strip_prefix(&series)).unwrap().parse().unwrap()
    })
}

/// Waits until the host says so of its enclaves.
async fn until(world: &World, metric: &str, wanted: impl Fn([u64; 2]) -> bool) {
    let waiting = async {
        while !wanted(of_each(world, metric).await) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(HANG, waiting).await.expect("it never becomes so");
}

/// The sentinel of the enclave on the first bus.
fn first_enclave(world: &World) -> u32 {
    let bus = world.path("bus").display().to_string();
    let on_the_bus = |pid: &u32| {
        let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        command.split(|&b| b == 0).any(|argument| argument == bus.as_bytes())
    };
    world.descendants("adyton-sim-enclave").unwrap().into_iter().find(on_the_bus).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_shared_and_an_enclave_that_dies_is_started_again() {
    let world = two(&["--restarts", "3"]);
    until(&world, "adyton_host_enclave_ready", |ready| ready == [1, 1]).await;
    let mut sessions: Vec<AttestedSession> = Vec::new();
    for _ in 0..4 {
        sessions.push(session(&world).await);
    }
    assert_eq!(of_each(&world, "adyton_host_enclave_connections_open").await, [2, 2]);
    signal(first_enclave(&world), Signal::KILL);
    let mut broken = 0;
    for session in &sessions {
        broken += usize::from(ask(&world, session, &question(4)).await.is_err());
    }
    assert_eq!(broken, 2, "the enclave that lives answers its own two");
    // While one is away, and when it is back, new connections are answered.
    ask(&world, &session(&world).await, &question(4)).await.unwrap();
    until(&world, "adyton_host_enclave_starts_total", |starts| starts == [2, 1]).await;
    until(&world, "adyton_host_enclave_ready", |ready| ready == [1, 1]).await;
    let back = session(&world).await;
    assert_eq!(of_each(&world, "adyton_host_enclave_connections_open").await[0], 1, "it had the fewest");
    ask(&world, &back, &question(4)).await.unwrap();
    assert!(get(&world, "/ready").await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_enclave_that_is_given_up_is_left_out_and_the_host_ends_with_the_last() {
    let mut world = two(&[]);
    until(&world, "adyton_host_enclave_ready", |ready| ready == [1, 1]).await;
    let first = first_enclave(&world);
    signal(first, Signal::KILL);
    while world.next_said().unwrap().get("given_up").is_none() {}
    for _ in 0..2 {
        ask(&world, &session(&world).await, &question(4)).await.unwrap();
    }
    let left: Vec<u32> = world.descendants("adyton-sim-enclave").unwrap();
    signal(*left.iter().find(|pid| **pid != first).unwrap(), Signal::KILL);
    assert!(!world.host().wait().unwrap().success());
    assert!(connect(&world.target(), &world.policy().unwrap()).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn all_are_replaced_one_after_the_other_and_nobody_loses_an_answer() {
    let mut world = two(&["--drain", "60"]);
    until(&world, "adyton_host_enclave_ready", |ready| ready == [1, 1]).await;
    let before = world.descendants("adyton-sim-enclave").unwrap();
    let host = world.host().id();
    signal(host, Signal::USR1);
    let mut answered = 0;
    while of_each(&world, "adyton_host_enclave_starts_total").await != [2, 2] {
        ask(&world, &session(&world).await, &question(4)).await.expect("an answer was lost");
        answered += 1;
    }
    for number in [0, 1] {
        let replaced = std::iter::repeat_with(|| world.next_said().unwrap())
            .find_map(|said| said.get("replaced").and_then(serde_json::Value::as_u64));
        assert_eq!(replaced, Some(number));
    }
    let after = world.descendants("adyton-sim-enclave").unwrap();
    assert!(after.len() == 2 && after.iter().all(|pid| !before.contains(pid)), "{before:?} {after:?}");
    assert!(answered > 0);
    ask(&world, &session(&world).await, &question(4)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_told_to_end_lets_answers_finish_and_takes_no_new_clients() {
    let host_arguments = vec!["--drain".to_owned(), "60".to_owned()];
    let mut world = World::start(&Plan { metrics: true, host_arguments, ..plan() }).unwrap();
    let session = session(&world).await;
    let (anchor, token, policy) =
        (world.anchor().unwrap(), world.chat_token().unwrap(), world.policy().unwrap());
    let host = world.host().id();
    let mut told = false;
    let question = question(100);
    let asking = chat(&session, &anchor, Some(&token), &question, |text| {
        if !text.is_empty() && !told {
            told = true;
            signal(host, Signal::TERM);
        }
    });
    let answered: Result<_, ChatError> = tokio::time::timeout(HANG, asking).await.expect("the client hangs");
    answered.unwrap();
    assert!(told);
    let refused = async { while connect(&world.target(), &policy).await.is_ok() {} };
    tokio::time::timeout(HANG, refused).await.expect("new clients are taken");
    assert!(get(&world, "/ready").await.starts_with("HTTP/1.1 503 "));
    drop(session);
    assert!(world.host().wait().unwrap().success());
}

//! Any process may die at any moment: the client gets an error, never a hang, never half an answer called whole.

use crate::support::{HANG, ask, question, session, world};
use adyton_client::chat::{ChatError, chat};
use adyton_client::session::connect;
use adyton_tests::world::World;
use rustix::process::{Pid, Signal, kill_process};
use std::time::Duration;

fn signal(pid: u32, signal: Signal) {
    kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), signal).unwrap();
}

/// Starts a long answer, does `act` after its first text, and returns how the answer ended.
async fn interrupted(world: &World, act: impl FnOnce()) -> Result<(), ChatError> {
    let session = session(world).await;
    let (anchor, token) = (world.anchor().unwrap(), world.chat_token().unwrap());
    let mut act = Some(act);
    let question = question(1000);
    let asking = chat(&session, &anchor, Some(&token), &question, |text| {
        if !text.is_empty()
            && let Some(act) = act.take()
        {
            act();
        }
    });
    tokio::time::timeout(HANG, asking).await.expect("the client hangs").map(|_| ())
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_worker_is_killed_the_client_sees_it_and_the_sentinel_starts_another() {
    let world = world();
    let worker = world.descendants("adyton-sim-worker").unwrap()[0];
    let ended = interrupted(&world, || signal(worker, Signal::KILL)).await;
    assert!(matches!(ended, Err(ChatError::Broken(_))), "{ended:?}");
    // The listener stays open meanwhile. A connection that was handed to the dead worker ends; the next one holds.
    let policy = world.policy().unwrap();
    let reconnected = async {
        loop {
            match connect(&world.target(), &policy).await {
                Ok(session) => break session,
                Err(_) => tokio::task::yield_now().await,
            }
        }
    };
    let session = tokio::time::timeout(HANG, reconnected).await.expect("no worker was started again");
    ask(&world, &session, &question(4)).await.unwrap();
    assert_ne!(world.descendants("adyton-sim-worker").unwrap()[0], worker);
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_sentinel_is_killed_the_worker_dies_with_it() {
    let mut world = world();
    let sentinel = world.descendants("adyton-sim-enclave").unwrap()[0];
    let worker = world.descendants("adyton-sim-worker").unwrap()[0];
    let ended = interrupted(&world, || signal(sentinel, Signal::KILL)).await;
    assert!(matches!(ended, Err(ChatError::Broken(_))), "{ended:?}");
    // The host ends when its enclave does; its end is the signal that the enclave is gone.
    assert!(!world.host().wait().unwrap().success());
    let stat = std::fs::read_to_string(format!("/proc/{worker}/stat")).unwrap_or_default();
    assert!(stat.is_empty() || stat.contains(") Z "), "the worker lives on without its sentinel: {stat}");
    assert!(connect(&world.target(), &world.policy().unwrap()).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_host_is_killed_the_client_sees_it_and_the_enclave_ends() {
    let world = world();
    let host = world.descendants("adyton-sim-enclave").unwrap()[0];
    let parent = std::fs::read_to_string(format!("/proc/{host}/stat")).unwrap();
    let parent: u32 = parent.rsplit(')').next().unwrap().split_whitespace().nth(1).unwrap().parse().unwrap();
    let ended = interrupted(&world, || signal(parent, Signal::KILL)).await;
    assert!(matches!(ended, Err(ChatError::Broken(_))), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hung_sentinel_means_closed_and_a_woken_one_open_again() {
    let world = world();
    let sentinel = world.descendants("adyton-sim-enclave").unwrap()[0];
    let ended = interrupted(&world, || signal(sentinel, Signal::STOP)).await;
    assert!(matches!(ended, Err(ChatError::Cut(_))), "{ended:?}");
    signal(sentinel, Signal::CONT);
    // Its renewal comes within half a second; the answer of the enclave tells, not the clock.
    let session = session(&world).await;
    let answered = async {
        while let Err(ChatError::Refused { status: 503, .. }) =
            ask(&world, &session, &question(4)).await.map(|_| ())
        {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), answered).await.expect("the enclave stays closed");
}

//! The same tests over both transports: processes with Unix sockets, and the real image in QEMU's Nitro machine with AF_VSOCK,
//! where the kernel's own driver talks to a security module.
//!
//! # Promises
//! - Where the emulator or the image is not to be had, the tests of it say so in capitals, and why. They build nothing.
//!
//! # Does not
//! - Assert a time: an emulator on a busy machine has none. The model is a small one of the project's own making.

// Tests say `unwrap` and `panic`: that is how they fail.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[allow(dead_code)] // shared with the system tests, which use all of it
#[path = "../system/support.rs"]
mod support;

use adyton_client::chat::{ChatError, chat};
use adyton_client::session::connect;
use adyton_sentinel::boot::console::last_line;
use adyton_tests::emulator::Emulator;
use adyton_tests::small_model;
use adyton_tests::world::{Plan, World, default_model, program};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use support::{HANG, Mischief, ask_through, audited, entries, question, relay, session};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A plan for a transport. The folder holds the model and must outlive the world.
fn plan(folder: &Path, emulator: Option<Emulator>) -> Plan {
    let model = folder.join("small.gguf");
    fs::write(&model, small_model::gguf()).unwrap();
    Plan { name: small_model::NAME.to_owned(), emulator, ..Plan::new(model) }
}

/// The emulator, or a loud word that there is none.
fn emulator() -> Option<Emulator> {
    match Emulator::find() {
        Ok(emulator) => Some(emulator),
        Err(why) => {
            eprintln!(
                "\nSKIPPED: THE REAL IMAGE WAS NOT BOOTED: {why}. `make qemu` builds what is missing and runs this.\n"
            );
            None
        }
    }
}

/// Everything that holds over any transport, in one world, since an emulated one takes its time to start.
fn whole_life(plan: Plan, enclave: &str) {
    let world = audited(plan);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    verifies_and_names_the_image(&world);
    other_registers_and_another_root_are_refused(&world);
    runtime.block_on(an_answer_has_its_receipt_and_its_entry(&world));
    runtime.block_on(a_relay_that_flips_or_cuts_is_noticed(&world));
    runtime.block_on(garbage_ends_its_connection_and_nothing_else(&world));
    runtime.block_on(a_flood_of_handshakes_leaves_room_for_others(&world));
    runtime.block_on(when_the_enclave_is_killed_the_client_sees_it(world, enclave));
}

#[test]
fn processes_live_a_whole_life() {
    let folder = tempfile::tempdir().unwrap();
    whole_life(plan(folder.path(), None), "adyton-sim-enclave");
}

#[test]
fn the_real_image_lives_a_whole_life_in_the_emulator() {
    let Some(emulator) = emulator() else { return };
    let folder = tempfile::tempdir().unwrap();
    whole_life(plan(folder.path(), Some(emulator)), "qemu-system-x86_64");
}

fn verify(world: &World, reference: &Path) -> Output {
    let mut client = world.client().unwrap();
    client
        .args(["--json", "verify", "--enclave", world.address(), "--reference"])
        .arg(reference)
        .output()
        .unwrap()
}

fn verifies_and_names_the_image(world: &World) {
    let output = verify(world, &world.reference_file());
    assert!(output.status.success(), "{}{}", String::from_utf8_lossy(&output.stderr), world.errors());
    let reference: Value = serde_json::from_slice(&fs::read(world.reference_file()).unwrap()).unwrap();
    // The report names the register of the whole image; that the other two are looked at is shown below.
    let pcr0 = reference["images"][0]["pcr0"].as_str().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains(pcr0), "{pcr0} is not in {said}");
}

fn reference_with(world: &World, alter: impl FnOnce(&mut Value)) -> PathBuf {
    let mut values: Value = serde_json::from_slice(&fs::read(world.reference_file()).unwrap()).unwrap();
    alter(&mut values);
    let path = world.path("altered.json");
    fs::write(&path, values.to_string()).unwrap();
    path
}

fn other_registers_and_another_root_are_refused(world: &World) {
    for register in ["pcr0", "pcr1", "pcr2"] {
        let altered = reference_with(world, |v| v["images"][0][register] = "11".repeat(48).into());
        assert_eq!(verify(world, &altered).status.code(), Some(13), "{register}");
    }
    let owner = serde_json::json!({ "instance": { "pcr4": "22".repeat(48) } });
    let altered = reference_with(world, |v| v["owner"] = owner);
    assert_eq!(verify(world, &altered).status.code(), Some(14), "another parent");
    let mut shipped = Command::new(program("adyton").unwrap());
    shipped.args(["--json", "verify", "--enclave", world.address(), "--reference"]);
    let output = shipped.arg(world.reference_file()).output().unwrap();
    assert_eq!(output.status.code(), Some(11), "the shipped client pins the root of AWS");
}

async fn an_answer_has_its_receipt_and_its_entry(world: &World) {
    let answered = ask_through(world, world.target(), &question(8)).await.unwrap();
    assert!(["length", "stop"].contains(&answered.finish_reason.as_str()), "{}", answered.finish_reason);
    let entries = entries(world);
    let sealed = entries.iter().filter(|entry| entry["kind"] == "receipt").count();
    assert!(entries.len() >= 3 && sealed >= 1, "{entries:?}");
}

async fn a_relay_that_flips_or_cuts_is_noticed(world: &World) {
    let honest = relay(world, Mischief::None).await;
    ask_through(world, honest.target.clone(), &question(2)).await.unwrap();
    let (said, heard) = (honest.said.lock().unwrap().len(), honest.heard.lock().unwrap().len());
    // In the hello, in the evidence, in the answer.
    let mischiefs = [
        Mischief::FlipUp(64),
        Mischief::FlipUp(said / 2),
        Mischief::FlipDown(64),
        Mischief::FlipDown(heard / 2),
        Mischief::Cut(heard / 2),
        Mischief::Cut(heard * 3 / 4),
    ];
    for mischief in mischiefs {
        let relay = relay(world, mischief).await;
        let heard = ask_through(world, relay.target.clone(), &question(2)).await;
        assert!(heard.is_err(), "{mischief:?} was not noticed");
    }
}

async fn garbage_ends_its_connection_and_nothing_else(world: &World) {
    for garbage in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0xff; 4096], &[22, 3, 1, 0xff, 0xff], b"CONNECT 1\n"] {
        let mut stream = TcpStream::connect(world.address()).await.unwrap();
        stream.write_all(garbage).await.unwrap();
        // It may have hung up already.
        let _ended = stream.shutdown().await;
        let mut answer = Vec::new();
        let read = tokio::time::timeout(HANG, stream.read_to_end(&mut answer)).await;
        // A reset is an end, too.
        let _ended = read.expect("garbage holds the connection open");
    }
    ask_through(world, world.target(), &question(2)).await.unwrap();
}

/// Connections at a time in the flood: more than the security module's queue holds.
const FLOOD: usize = 48;

async fn a_flood_of_handshakes_leaves_room_for_others(world: &World) {
    let (target, policy) = (world.target(), world.policy().unwrap());
    let flood = (0..FLOOD).map(|_| connect(&target, &policy));
    let all = tokio::time::timeout(HANG, futures_util::future::join_all(flood));
    let served = all.await.expect("the flood hangs").into_iter().filter(Result::is_ok).count();
    assert!(served > 0, "nobody was served");
    // Whoever was refused was told so, and the next one is served.
    ask_through(world, world.target(), &question(2)).await.unwrap();
}

async fn when_the_enclave_is_killed_the_client_sees_it(mut world: World, enclave: &str) {
    let process = world.descendants(enclave).unwrap()[0];
    let session = session(&world).await;
    let (anchor, token) = (world.anchor().unwrap(), world.chat_token().unwrap());
    let kill = || {
        kill_process(Pid::from_raw(i32::try_from(process).unwrap()).unwrap(), Signal::KILL).unwrap();
    };
    let asked = question(900);
    let mut kill = Some(kill);
    let asking = chat(&session, &anchor, Some(&token), &asked, |_| {
        if let Some(kill) = kill.take() {
            kill();
        }
    });
    let ended = tokio::time::timeout(HANG, asking).await.expect("the client hangs").map(|_| ());
    assert!(matches!(ended, Err(ChatError::Broken(_))), "{ended:?}");
    assert!(!world.host().wait().unwrap().success(), "the host goes on without its enclave");
}

/// Starting this fails, and this is what the enclave's last word was.
fn ends_with(plan: &Plan, code: u8) {
    let error = World::start(plan).map(|_| ()).expect_err("the enclave listens").to_string();
    assert!(error.contains(last_line(code).trim()), "{error}");
}

/// One byte of the weights, the only blob that is a link.
fn flip_a_weight(release: &Path) -> anyhow::Result<()> {
    let blobs = fs::read_dir(release.join("blobs"))?.flatten().map(|entry| entry.path());
    let blob = blobs.into_iter().find(|path| path.is_symlink()).unwrap();
    let copy = release.join("copy");
    fs::copy(&blob, &copy)?;
    fs::rename(&copy, &blob)?;
    let file = fs::OpenOptions::new().read(true).write(true).open(&blob)?;
    let middle = file.metadata()?.len() / 2;
    let mut byte = [0];
    file.read_exact_at(&mut byte, middle)?;
    Ok(file.write_all_at(&[byte[0] ^ 1], middle)?)
}

#[test]
fn the_real_image_refuses_a_model_that_is_not_the_measured_one() {
    let Some(emulator) = emulator() else { return };
    let folder = tempfile::tempdir().unwrap();
    ends_with(&Plan { tamper: Some(flip_a_weight), ..plan(folder.path(), Some(emulator)) }, 10);
}

#[test]
fn the_real_image_refuses_a_word_that_the_host_adds_to_its_command_line() {
    let Some(mut emulator) = emulator() else { return };
    emulator.more = vec!["-append".into(), "adyton.simulate=1".into()];
    let folder = tempfile::tempdir().unwrap();
    ends_with(&plan(folder.path(), Some(emulator)), 16);
}

/// The host says what time it is when it starts an enclave. The security module says it, too, and is believed.
#[test]
fn the_real_image_is_not_impressed_by_a_clock_that_was_set_back_a_year() {
    let Some(mut emulator) = emulator() else { return };
    emulator.more = vec!["-rtc".into(), "base=2025-01-01T00:00:00".into()];
    let folder = tempfile::tempdir().unwrap();
    let world = audited(plan(folder.path(), Some(emulator)));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        // A token of today is good, and one that ended an hour ago is not, though the machine's clock says last year.
        ask_through(&world, world.target(), &question(2)).await.unwrap();
        let session = session(&world).await;
        let old = world.token(&["chat"], 0, -7200, 3600).unwrap();
        let refused = chat(&session, &world.anchor().unwrap(), Some(&old), &question(2), |_| ()).await;
        let code = match refused.map(drop) {
            Err(ChatError::Refused { code, .. }) => code,
            other => panic!("{other:?}"),
        };
        assert_eq!(code, "token_expired");
    });
}

/// A model that does not fit is refused by its size, before the enclave listens; nothing is killed for want of memory.
#[test]
fn the_real_image_ends_in_words_if_its_memory_is_too_little() {
    let Some(mut emulator) = emulator() else { return };
    emulator.memory_mib = STARVED_MIB;
    let plan = Plan { emulator: Some(emulator), ..Plan::new(default_model().unwrap()) };
    let error = World::start(&plan).map(|_| ()).expect_err("the enclave listens").to_string();
    assert!(error.contains("ended with code"), "{error}");
}

/// Memory of a machine in which the default model does not fit.
const STARVED_MIB: u32 = 256;

//! Tries, in a process that has locked itself down, everything that must fail.
//!
//! Each attempt runs in a child of its own: this program again, told by a variable what to try.

// Tests say `unwrap` and `panic`: that is how they fail.
#![allow(clippy::unwrap_used, clippy::panic)]

use adyton_enclave::harden::lock_down;
use std::fs;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitStatus, exit};

/// Says which attempt a child makes.
const ATTEMPT: &str = "ADYTON_HARDEN_ATTEMPT";
/// Names a file that exists, so that a refusal is one of rights and not of absence.
const EXISTING: &str = "ADYTON_HARDEN_FILE";
/// What a seccomp filter that kills sends (signal(7)).
const SIGSYS: i32 = 31;
/// Exit codes of a child whose attempt was refused, and whose attempt went through.
const REFUSED: i32 = 40;
const WENT_THROUGH: i32 = 41;

/// The child's part. Does nothing where no attempt is named, as in an ordinary run of all tests.
#[test]
fn attempt() {
    let Ok(name) = std::env::var(ATTEMPT) else { return };
    let path = std::path::PathBuf::from(std::env::var_os(EXISTING).unwrap());
    let folder = path.parent().unwrap().to_owned();
    lock_down().unwrap();
    let refused = match name.as_str() {
        "read a file" => fs::read(&path).is_err(),
        "write a file" => fs::write(folder.join("adyton-harden"), "x").is_err(),
        "remove a file" => fs::remove_file(&path).is_err(),
        "list a folder" => fs::read_dir(&folder).is_err(),
        "signal the parent" => {
            let parent = rustix::process::getppid().unwrap();
            rustix::process::kill_process(parent, rustix::process::Signal::USR1).is_err()
        }
        "make memory executable" => memmap2::MmapMut::map_anon(4096).unwrap().make_exec().is_err(),
        "connect over TCP" => TcpStream::connect("127.0.0.1:9").is_err(),
        "listen over TCP" => TcpListener::bind("127.0.0.1:0").is_err(),
        "send over UDP" => UdpSocket::bind("127.0.0.1:0").is_err(),
        "connect over a Unix socket" => UnixStream::connect("/tmp/none").is_err(),
        "listen on a Unix socket" => UnixListener::bind("/tmp/adyton-harden-socket").is_err(),
        "make a vsock" => vsock().is_err(),
        // A copy of this process is tried before the program in it is; the error is that of the copy.
        "start a process" => {
            Command::new("/bin/true").spawn().is_err_and(|e| e.kind() == std::io::ErrorKind::PermissionDenied)
        }
        "run a program" => {
            let _only_returns_on_failure = Command::new("/bin/true").exec();
            true
        }
        "be an ordinary worker" => ordinary_work(),
        other => panic!("no such attempt: {other}"),
    };
    exit(if refused { REFUSED } else { WENT_THROUGH });
}

fn vsock() -> rustix::io::Result<std::os::fd::OwnedFd> {
    rustix::net::socket(rustix::net::AddressFamily::VSOCK, rustix::net::SocketType::STREAM, None)
}

/// Memory, threads, time, randomness and a pair of sockets: what the worker does all day. True if all of it works.
fn ordinary_work() -> bool {
    let thread = std::thread::spawn(|| vec![1u8; 64 << 20].len());
    let mut random = [0; 32];
    let filled = ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut random).is_ok();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::sleep(std::time::Duration::from_millis(1)).await });
    thread.join().is_ok_and(|length| length == 64 << 20) && filled
}

fn outcome(attempt: &str) -> ExitStatus {
    let me = std::env::current_exe().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("existing");
    fs::write(&file, "here").unwrap();
    let mut child = Command::new(me);
    child.args(["--exact", "attempt", "--nocapture"]).env(ATTEMPT, attempt).env(EXISTING, &file);
    let status = child.status().unwrap();
    assert_eq!(fs::read(&file).unwrap(), b"here", "{attempt}: the file was changed");
    status
}

#[test]
fn what_is_not_allowed_is_refused() {
    for attempt in [
        "read a file",
        "write a file",
        "remove a file",
        "list a folder",
        "signal the parent",
        "make memory executable",
        "start a process",
    ] {
        assert_eq!(outcome(attempt).code(), Some(REFUSED), "{attempt}");
    }
}

#[test]
fn what_only_an_attacker_does_ends_the_process() {
    for attempt in [
        "connect over TCP",
        "listen over TCP",
        "send over UDP",
        "connect over a Unix socket",
        "listen on a Unix socket",
        "make a vsock",
        "run a program",
    ] {
        assert_eq!(outcome(attempt).signal(), Some(SIGSYS), "{attempt}");
    }
}

#[test]
fn ordinary_work_goes_on() {
    assert_eq!(outcome("be an ordinary worker").code(), Some(REFUSED), "the filters stop ordinary work");
}

//! What is shipped for deployment, against the schemas and the programs that read it.
//!
//! # Does not
//! - Deploy. Nothing here has seen a Nitro instance or a cluster.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test that cannot go on ends

#[path = "../common/mod.rs"]
mod common;
mod documents;
mod helm;
mod systemd;
mod terraform;

use std::path::PathBuf;
use std::process::{Command, Output};

/// A folder of `deploy/`.
fn shipped(name: &str) -> PathBuf {
    common::root().join("deploy").join(name)
}

/// A program of ours beside this test.
fn program(name: &str) -> PathBuf {
    let here = std::env::current_exe().unwrap();
    let found = here.ancestors().skip(1).take(2).map(|folder| folder.join(name)).find(|path| path.is_file());
    found.unwrap_or_else(|| panic!("{name} is not built; run `make build`"))
}

/// Says loudly that a program that judges is not here.
fn skipped(what: &str) {
    eprintln!("SKIPPED: {what}");
}

/// What a program of this machine says, or `None` if there is none.
fn run(command: &mut Command) -> Option<Output> {
    match command.output() {
        Ok(output) => Some(output),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => None,
        Err(e) => panic!("{command:?}: {e}"),
    }
}

/// Both streams, for a message.
fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

//! `adyton-sim-client`: the `adyton` command under a development root. Whatever it shows says SIMULATED.

use adyton_tests::simulation::{ROOT_VARIABLE, anchor_from_file};
use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    let Some(root) = std::env::var_os(ROOT_VARIABLE).map(PathBuf::from) else {
        eprintln!("adyton-sim-client: set {ROOT_VARIABLE} to the root.der of a simulated enclave");
        return ExitCode::FAILURE;
    };
    match anchor_from_file(&root) {
        Ok(anchor) => adyton_client::cli::run(&anchor),
        Err(e) => {
            eprintln!("adyton-sim-client: {e:#}");
            ExitCode::FAILURE
        }
    }
}

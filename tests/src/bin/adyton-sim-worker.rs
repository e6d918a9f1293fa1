//! `adyton-sim-worker`: the worker's own library under a development root, for clients that are simulated enclaves.

use adyton_attestation::anchor::dangerous;
use adyton_tests::simulation::ROOT_VARIABLE;
use std::process::ExitCode;

fn main() -> ExitCode {
    let root = std::env::var(ROOT_VARIABLE).ok().and_then(|hexed| hex::decode(hexed).ok());
    let Some(root) = root else {
        eprintln!("SIMULATED worker: started by adyton-sim-enclave, nobody else");
        return ExitCode::FAILURE;
    };
    match adyton_enclave::run(dangerous::development_anchor(root)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("SIMULATED worker: {e}");
            ExitCode::from(e.code())
        }
    }
}

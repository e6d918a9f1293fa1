//! `adyton-worker`: started by the sentinel, trusts the AWS Nitro root for clients that are enclaves themselves.

use adyton_attestation::anchor::TrustAnchor;
use std::process::ExitCode;

fn main() -> ExitCode {
    match adyton_enclave::run(TrustAnchor::aws_nitro_g1()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("worker: {e}");
            ExitCode::from(e.code())
        }
    }
}

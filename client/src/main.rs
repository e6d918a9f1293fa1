//! `adyton`: the command of the relying party. Trusts the AWS Nitro root and no other.

use adyton_attestation::anchor::TrustAnchor;
use std::process::ExitCode;

fn main() -> ExitCode {
    adyton_client::cli::run(&TrustAnchor::aws_nitro_g1())
}

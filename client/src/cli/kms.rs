//! `adyton kms`: writes and examines key policies of AWS KMS.

use super::commands::{at_path, read_file};
use super::exit::Failure;
use super::show::{RED, RESET, YELLOW};
use crate::kms::lint::{Level, lint};
use crate::kms::policy::{Plan, Release};
use crate::policy::draft::Measurements;
use adyton_attestation::binding::manifest_pcr16;
use adyton_attestation::measurement::Measurement;
use adyton_attestation::reference::Owner;
use adyton_wire::manifest::Manifest;
use clap::{Args, Subcommand};
use serde_json::json;
use std::path::{Path, PathBuf};

#[derive(Debug, Subcommand)]
pub(super) enum Kms {
    /// Print the key policy that releases a key to these images, running these releases, and to nobody else.
    #[command(
        after_help = "Example:\n  adyton kms policy --measurements target/eif/pcrs.json --manifest release/manifest.json \\\n    \
                            --role arn:aws:iam::111122223333:role/adyton-host \\\n    \
                            --admin arn:aws:iam::111122223333:role/key-admin > key-policy.json\n\n\
                            Without --policy-admin nobody can change the policy, and each new image or release needs a new key;\n\
                            AWS then wants --bypass-policy-lockout-safety-check when the key is made."
    )]
    Policy(Box<PolicyArgs>),
    /// Find the known mistakes in a key policy: exit code 1 if there is a way round attestation.
    #[command(
        after_help = "Example:\n  aws kms get-key-policy --key-id .. --query Policy --output text | adyton kms lint -"
    )]
    Lint {
        /// The policy; `-` reads it from standard input.
        file: PathBuf,
    },
}

#[derive(Debug, Args)]
pub(super) struct PolicyArgs {
    /// What the build of an image printed: `make eif` or `nitro-cli build-enclave`. May be repeated.
    #[arg(long, value_name = "FILE", required = true)]
    measurements: Vec<PathBuf>,
    /// A release's manifest. May be repeated.
    #[arg(long, value_name = "FILE", required = true)]
    manifest: Vec<PathBuf>,
    /// The images' signer (PCR8), if the measurements do not say it.
    #[arg(long, value_name = "HEX", value_parser = register)]
    signer_pcr8: Option<Measurement>,
    /// The role of the parent instances.
    #[arg(long, value_name = "ARN")]
    role: String,
    /// An administrator of the key, without a right to its secrets or its policy. May be repeated.
    #[arg(long, value_name = "ARN", required = true)]
    admin: Vec<String>,
    /// Who may encrypt a key for one of these releases.
    #[arg(long, value_name = "ARN")]
    encryptor: Option<String>,
    /// Who may change this policy.
    #[arg(long, value_name = "ARN")]
    policy_admin: Option<String>,
}

fn register(text: &str) -> Result<Measurement, String> {
    let bytes = hex::decode(text).ok().and_then(|bytes| Measurement::from_slice(&bytes));
    bytes.ok_or_else(|| "expected 96 hexadecimal digits".to_owned())
}

/// Runs one of them.
pub(super) fn run(kms: Kms, json: bool) -> Result<(), Failure> {
    match kms {
        Kms::Policy(args) => policy(*args),
        Kms::Lint { file } => check(&file, json),
    }
}

fn policy(args: PolicyArgs) -> Result<(), Failure> {
    let mut plan = Plan {
        images: Vec::new(),
        pcr8: args.signer_pcr8,
        releases: Vec::new(),
        role: args.role,
        admins: args.admin,
        encryptor: args.encryptor,
        policy_admin: args.policy_admin,
    };
    for path in &args.measurements {
        let built = Measurements::parse(&read_file(path)?).map_err(|e| at_path(path, e))?;
        if let Some(Owner::Signer { pcr8 }) = built.owner() {
            if plan.pcr8.is_some_and(|other| other != pcr8) {
                return Err(at_path(path, "another signer (PCR8) than the others; write a policy for each"));
            }
            plan.pcr8 = Some(pcr8);
        }
        plan.images.push(built.image());
    }
    for path in &args.manifest {
        let bytes = read_file(path)?;
        let manifest = Manifest::parse(&bytes).map_err(|e| at_path(path, e))?;
        plan.releases.push(Release { pcr16: manifest_pcr16(&bytes), weights: manifest.weights.sha256 });
    }
    println!("{}", plan.policy().map_err(Failure::internal)?);
    Ok(())
}

fn check(file: &Path, as_json: bool) -> Result<(), Failure> {
    let bytes = if file == Path::new("-") { read_file(Path::new("/dev/stdin"))? } else { read_file(file)? };
    let found = lint(&bytes);
    if as_json {
        println!("{}", json!({ "findings": found }));
    } else {
        for finding in &found {
            let (colour, word) = match finding.level {
                Level::Error => (RED, "error"),
                Level::Warning => (YELLOW, "warning"),
            };
            let place = if finding.statement.is_empty() { "the policy" } else { &finding.statement };
            anstream::println!("{colour}{word}{RESET} {} ({place}): {}", finding.code, finding.message);
        }
        if found.is_empty() {
            println!("{}: no known mistake", file.display());
        }
    }
    match found.iter().filter(|finding| finding.level == Level::Error).count() {
        0 => Ok(()),
        errors => Err(Failure::internal(format!("{}: {errors} errors", file.display()))),
    }
}

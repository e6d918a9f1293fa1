//! `adyton receipt` and `adyton endorse`: what is done with receipts afterwards, and an operator's word about an enclave.

use super::commands::{attested, keep, read_file, receipt_json};
use super::exit::Failure;
use super::{Enclave, reference, show};
use crate::air;
use adyton_attestation::ChainCache;
use adyton_attestation::Timestamp;
use adyton_attestation::anchor::TrustAnchor;
use adyton_attestation::appraisal::Report;
use adyton_attestation::endorsement::Endorsement;
use adyton_attestation::receipt::{Bundle, BundleRefusal, CutReceipts, Sequence, VerifiedReceipt};
use adyton_attestation::reference::ReferenceValues;
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

#[derive(Debug, Subcommand)]
pub(super) enum Receipt {
    /// Verify kept receipts, offline, however old they are.
    #[command(after_help = "Examples:\n  adyton receipt verify receipt.json --reference reference.json\n  \
                      adyton receipt verify receipts/*.json --sequence-from 0")]
    Verify(Verify),
    /// Verify a kept receipt and print what it says in another format's claims.
    #[command(after_help = "Example:\n  adyton receipt export receipt.json --format air")]
    Export {
        /// The file that `chat --receipt` or `proxy --receipts` wrote.
        file: PathBuf,
        /// The format.
        #[arg(long, value_enum)]
        format: Format,
        /// Also demand that the enclave was one of these.
        #[arg(long, value_name = "FILE")]
        reference: Option<PathBuf>,
        #[command(flatten)]
        pinned: reference::Pinned,
    },
}

/// A format that others have defined.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Format {
    /// The claims of an Attested Inference Receipt, version 1, where they can be met.
    Air,
}

#[derive(Debug, Args)]
pub(super) struct Verify {
    /// The files that `chat --receipt` or `proxy --receipts` wrote.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Also demand that the enclave was one of these.
    #[arg(long, value_name = "FILE")]
    reference: Option<PathBuf>,
    #[command(flatten)]
    pinned: reference::Pinned,
    /// Accept the receipt of an answer that was cut short.
    #[arg(long)]
    accept_cut: bool,
    /// Demand that the receipts are all of one start of one enclave, numbered from here without gap or repeat.
    #[arg(long, value_name = "NUMBER")]
    sequence_from: Option<u64>,
}

pub(super) fn run(anchor: &TrustAnchor, receipt: &Receipt, json: bool) -> Result<(), Failure> {
    match receipt {
        Receipt::Verify(verify) => verify_all(anchor, verify, json),
        Receipt::Export { file, format: Format::Air, reference, pinned } => {
            let reference = values(reference.as_deref(), pinned)?;
            let known = &mut ChainCache::new();
            let (bundle, _, verified) = one(anchor, file, reference.as_ref(), CutReceipts::Accept, known)?;
            let verified = verified.map_err(Failure::receipt)?;
            println!("{:#}", air::claims(&bundle, &verified));
            Ok(())
        }
    }
}

type Verified = (Bundle, Report, Result<VerifiedReceipt, BundleRefusal>);

fn values(path: Option<&Path>, pinned: &reference::Pinned) -> Result<Option<ReferenceValues>, Failure> {
    path.map(|path| reference::read(path, pinned).map(|loaded| loaded.values)).transpose()
}

fn one(
    anchor: &TrustAnchor,
    file: &Path,
    reference: Option<&ReferenceValues>,
    cut: CutReceipts,
    known: &mut ChainCache,
) -> Result<Verified, Failure> {
    let bundle = Bundle::from_json(&read_file(file)?).map_err(Failure::receipt)?;
    let (report, verified) = bundle.verify_cached(anchor, reference, cut, known);
    Ok((bundle, report, verified))
}

fn verify_all(anchor: &TrustAnchor, verify: &Verify, json: bool) -> Result<(), Failure> {
    let reference = values(verify.reference.as_deref(), &verify.pinned)?;
    let cut = if verify.accept_cut { CutReceipts::Accept } else { CutReceipts::Refuse };
    let mut known = ChainCache::new();
    let mut receipts = Vec::new();
    for file in &verify.files {
        let (_, report, verified) = one(anchor, file, reference.as_ref(), cut, &mut known)?;
        let alone = verify.files.len() == 1;
        receipts.push(tell(file, &report, verified, alone, json)?);
    }
    if !json && reference.is_none() {
        println!("  no reference values were given: this does not say which enclave it was");
    }
    let Some(first) = verify.sequence_from else { return Ok(()) };
    let all: Vec<_> = receipts.iter().map(VerifiedReceipt::receipt).collect();
    let sequence = Sequence::of(&all, first).map_err(Failure::receipt)?;
    if !json {
        let (first, last) = sequence.bounds();
        println!("receipts {first} to {last} of one start, none missing in between");
    }
    Ok(())
}

/// Shows one receipt: with every step if it is the only one or is refused, else in one line.
fn tell(
    file: &Path,
    report: &Report,
    verified: Result<VerifiedReceipt, BundleRefusal>,
    alone: bool,
    json: bool,
) -> Result<VerifiedReceipt, Failure> {
    if json {
        let receipt = verified.as_ref().map_or(Value::Null, |receipt| receipt_json(receipt.body()));
        let code = verified.as_ref().err().map(BundleRefusal::code);
        println!("{}", json!({ "file": file, "report": report, "receipt": receipt, "code": code }));
    } else if alone || verified.is_err() {
        show::report(report);
    }
    let verified = verified.map_err(Failure::receipt)?;
    match (json, alone) {
        (true, _) => {}
        (false, true) => {
            println!("receipt verified:");
            show::receipt(verified.body());
        }
        (false, false) => println!("verified: {} (receipt {})", file.display(), verified.body().sequence),
    }
    Ok(verified)
}

/// How an operator endorses an enclave.
#[derive(Debug, Args)]
pub(super) struct Endorse {
    #[command(flatten)]
    enclave: Enclave,
    /// The operator's key, Ed25519 in PKCS#8.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Days until the endorsement ends.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=366))]
    days: u64,
    /// Where to write it. Clients name it with --endorsement.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

pub(super) async fn endorse(anchor: &TrustAnchor, endorse: &Endorse, json: bool) -> Result<(), Failure> {
    let session = attested(anchor, &endorse.enclave, json, !json).await?;
    let key = session.claims().receipt_key();
    // From the document's own time on, so that the operator's clock does not matter to when it begins.
    let from = session.claims().timestamp();
    let to = Timestamp::from_millis(from.as_millis().saturating_add(endorse.days.saturating_mul(86_400_000)));
    let endorsement =
        Endorsement::sign(&read_file(&endorse.key)?, key, from, to).map_err(Failure::internal)?;
    keep(&endorse.out, endorsement.to_json().as_bytes())?;
    let endorser = endorsement.endorser().to_string();
    if json {
        println!("{}", json!({ "endorser": endorser, "not_after_ms": to.as_millis() }));
    } else {
        println!("endorsed until {to}; clients pin {{\"endorser\": {{\"ed25519\": \"{endorser}\"}}}}");
    }
    Ok(())
}

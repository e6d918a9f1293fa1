//! `adyton audit`: what is done with the log that a host keeps for its enclave.

use super::commands::{at_path, keep, read_file};
use super::exit::Failure;
use super::reference;
use crate::audit::{Auditor, LogError, Verified, read};
use adyton_attestation::ChainCache;
use adyton_attestation::anchor::TrustAnchor;
use adyton_attestation::audit::{AuditRefusal, Entry, Record, RecordError, Seen, boot_of};
use adyton_attestation::cbor::Scalar;
use adyton_attestation::receipt::{Bundle, CutReceipts};
use adyton_attestation::reference::ReferenceValues;
use adyton_wire::audit::FILE_SUFFIX;
use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};

#[derive(Debug, Subcommand)]
pub(super) enum Audit {
    /// Verify that nothing in a log was changed, reordered or taken out, and hold it against what clients
    /// have seen.
    #[command(after_help = "Examples:\n  adyton audit verify /var/lib/adyton/audit\n  \
                      adyton audit verify audit --checkpoint receipt.json --reference reference.json")]
    Verify(Verify),
    /// Open the entries that are sealed to an auditor, and print them.
    #[command(after_help = "Example:\n  adyton audit show audit --auditor-key auditor.key")]
    Show {
        #[command(flatten)]
        logs: Logs,
        /// The auditor's key, made by `adyton audit key`.
        #[arg(long, value_name = "FILE")]
        auditor_key: PathBuf,
    },
    /// Print the proof that an entry is in a log, as JSON.
    #[command(after_help = "Example:\n  adyton audit prove audit/0123..ef.audit --index 7")]
    Prove {
        /// The log's file.
        file: PathBuf,
        /// Which entry, from 0. A receipt names its own.
        #[arg(long, value_name = "NUMBER")]
        index: u64,
        #[command(flatten)]
        demand: Demand,
    },
    /// Make an auditor's key; print its line for auditors.json.
    #[command(after_help = "Example:\n  adyton audit key --name \"ann, internal audit\" --out auditor.key")]
    Key {
        /// Whose it is, for whoever reads the file.
        #[arg(long)]
        name: String,
        /// Where to write the private key.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
}

#[derive(Debug, Args)]
pub(super) struct Verify {
    #[command(flatten)]
    logs: Logs,
    /// What a client has seen: a file that `chat --receipt` or `proxy --receipts` wrote, or a checkpoint; may
    /// be repeated.
    #[arg(long, value_name = "FILE")]
    checkpoint: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct Logs {
    /// The folder of `adyton-host run --audit`, or one log in it.
    #[arg(value_name = "DIR")]
    path: PathBuf,
    #[command(flatten)]
    demand: Demand,
}

#[derive(Debug, Args)]
pub(super) struct Demand {
    /// Also demand that the enclave was one of these.
    #[arg(long, value_name = "FILE")]
    reference: Option<PathBuf>,
    #[command(flatten)]
    pinned: reference::Pinned,
}

impl Demand {
    fn values(&self) -> Result<Option<ReferenceValues>, Failure> {
        let read = |path: &PathBuf| reference::read(path, &self.pinned).map(|loaded| loaded.values);
        self.reference.as_ref().map(read).transpose()
    }
}

impl From<LogError> for Failure {
    fn from(error: LogError) -> Failure {
        match error {
            LogError::Refused(refusal) => Failure::audit(&refusal),
            LogError::Document(refusal) => Failure::evidence(&refusal),
            // A frame that is none: the file was altered.
            LogError::Format(_) => Failure::audit_format(format!("the audit log was refused: {error}")),
            LogError::Io(_) => Failure::internal(error),
        }
    }
}

pub(super) fn run(anchor: &TrustAnchor, audit: &Audit, json: bool) -> Result<(), Failure> {
    match audit {
        Audit::Verify(verify) => verify_all(anchor, verify, json),
        Audit::Show { logs, auditor_key } => {
            let auditor = Auditor::from_file(&read_file(auditor_key)?);
            let auditor = auditor.ok_or_else(|| {
                at_path(auditor_key, "not an auditor's key; make one with `adyton audit key`")
            })?;
            show(anchor, logs, &auditor, json)
        }
        Audit::Prove { file, index, demand } => {
            let verified = read(file, anchor, demand.values()?.as_ref(), drop)?;
            prove(&verified, *index)
        }
        Audit::Key { name, out } => {
            let (auditor, file) = Auditor::generate().map_err(Failure::internal)?;
            keep(out, file.as_bytes())?;
            println!("{}", json!({ "name": name, "x25519": hex::encode(auditor.public()) }));
            Ok(())
        }
    }
}

/// The logs in a folder in the order of their names, or the one that was named.
fn files(path: &Path) -> Result<Vec<PathBuf>, Failure> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let listed = std::fs::read_dir(path).map_err(|e| at_path(path, e))?;
    let mut files = Vec::new();
    for file in listed {
        let file = file.map_err(|e| at_path(path, e))?.path();
        if file.to_string_lossy().ends_with(FILE_SUFFIX) {
            files.push(file);
        }
    }
    files.sort();
    if files.is_empty() { Err(at_path(path, "no audit log is here")) } else { Ok(files) }
}

fn verify_all(anchor: &TrustAnchor, verify: &Verify, json: bool) -> Result<(), Failure> {
    let reference = verify.logs.demand.values()?;
    let mut logs = Vec::new();
    for file in files(&verify.logs.path)? {
        let verified = read(&file, anchor, reference.as_ref(), drop)?;
        tell(&file, &verified, json);
        logs.push(verified);
    }
    let mut known = ChainCache::new();
    for file in &verify.checkpoint {
        let seen = seen(file, anchor, reference.as_ref(), &logs, &mut known)?;
        let log = logs.iter().find(|verified| verified.log.boot() == seen.boot());
        // A whole log that is gone is a tail that begins at 0.
        let gone = AuditRefusal::Tail { seen: seen.size(), found: 0 };
        log.ok_or(gone).and_then(|verified| verified.log.holds(&seen)).map_err(|e| Failure::audit(&e))?;
        if !json {
            println!("  {} has seen {} entries, and they are these", file.display(), seen.size());
        }
    }
    if !json && verify.checkpoint.is_empty() {
        println!("  no --checkpoint was given: this does not say whether the last entries are there");
    }
    Ok(())
}

/// What a client has kept: a bundle, which is JSON, or a checkpoint, which is not.
fn seen(
    file: &Path,
    anchor: &TrustAnchor,
    reference: Option<&ReferenceValues>,
    logs: &[Verified],
    known: &mut ChainCache,
) -> Result<Seen, Failure> {
    let bytes = read_file(file)?;
    if bytes.trim_ascii_start().starts_with(b"{") {
        let bundle = Bundle::from_json(&bytes).map_err(Failure::receipt)?;
        let (_, verified) = bundle.verify_cached(anchor, reference, CutReceipts::Accept, known);
        let verified = verified.map_err(Failure::receipt)?;
        let none = || Failure::receipt("the receipt is of version 1 and names no entry of an audit log");
        return Seen::by_receipt(verified.receipt()).ok_or_else(none);
    }
    let text = String::from_utf8_lossy(&bytes);
    let none = || at_path(file, "neither a receipt's file nor a checkpoint of an audit log");
    let boot = boot_of(&text).ok_or_else(none)?;
    let log = logs.iter().find(|verified| *verified.log.boot() == boot);
    // Without its log there is no key to verify it with.
    let log = log.ok_or_else(|| Failure::audit(&AuditRefusal::OtherLog))?;
    let entries = log.log.signed().size;
    Seen::by_checkpoint(&text, log.log.key())
        .map_err(|error| Failure::audit(&AuditRefusal::Checkpoint { entries, error }))
}

fn tell(file: &Path, verified: &Verified, json: bool) {
    let (log, torn) = (&verified.log, verified.torn);
    let (size, unsigned) = (log.signed().size, log.unsigned());
    if json {
        println!(
            "{}",
            json!({
                "file": file, "boot": hex::encode(log.boot()), "entries": size, "unsigned": unsigned, "torn": torn,
                "root": hex::encode(log.signed().root), "key": hex::encode(log.key().as_bytes()),
            })
        );
        return;
    }
    println!("verified: {}: {size} entries", file.display());
    if unsigned > 0 || torn > 0 {
        println!("  behind them {unsigned} entries and {torn} bytes that were never acknowledged");
    }
}

fn show(anchor: &TrustAnchor, logs: &Logs, auditor: &Auditor, json: bool) -> Result<(), Failure> {
    let reference = logs.demand.values()?;
    for file in files(&logs.path)? {
        let mut records: Vec<Record> = Vec::new();
        let verified = read(&file, anchor, reference.as_ref(), |record| records.push(record))?;
        if !json {
            println!("{}", file.display());
        }
        for record in &records {
            let entry = auditor.open(verified.log.boot(), record).map_err(|error| match error {
                RecordError::NotForYou => at_path(&file, error),
                error => Failure::audit(&AuditRefusal::Record { index: record.index, error }),
            })?;
            let signed = entry.index < verified.log.signed().size;
            print(&entry, signed, json);
        }
    }
    Ok(())
}

fn print(entry: &Entry, signed: bool, json: bool) {
    let principal = entry.principal.map(hex::encode);
    let details: Map<String, Value> = entry.details.iter().map(|(n, v)| (n.clone(), value(v))).collect();
    if json {
        println!(
            "{}",
            json!({
                "boot": hex::encode(entry.boot), "index": entry.index, "at_ms": entry.at.as_millis(),
                "principal": principal, "kind": entry.kind, "details": details, "signed": signed,
            })
        );
        return;
    }
    let who = principal.as_deref().and_then(|p| p.get(..8)).unwrap_or("-");
    let details: Vec<String> = details.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let mark = if signed { "" } else { "  (not signed)" };
    println!("{:>6}  {}  {who:<8}  {:<12}  {}{mark}", entry.index, entry.at, entry.kind, details.join(" "));
}

fn value(value: &Scalar) -> Value {
    match value {
        Scalar::Unsigned(number) => json!(number),
        Scalar::Bytes(bytes) => json!(hex::encode(bytes)),
        Scalar::Text(text) => json!(text),
        Scalar::Boolean(value) => json!(value),
    }
}

fn prove(verified: &Verified, index: u64) -> Result<(), Failure> {
    let (leaf, proof) = verified.log.prove(index).map_err(|e| Failure::audit(&e))?;
    let hashes: Vec<String> = proof.iter().map(hex::encode).collect();
    println!(
        "{:#}",
        json!({
            "index": index, "leaf": hex::encode(leaf), "size": verified.log.signed().size, "proof": hashes,
            "root": hex::encode(verified.log.signed().root), "checkpoint": verified.checkpoint,
        })
    );
    Ok(())
}

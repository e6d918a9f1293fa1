//! How reference values look on a terminal, and as JSON.

use super::show::{DIM, GREEN, RED, RESET, YELLOW};
use crate::policy::Document;
use crate::policy::lint::{Finding, Level};
use adyton_attestation::Timestamp;
use adyton_attestation::reference::{Compared, Payload, ReferenceFile, ReferenceValues};
use serde::Serialize;
use serde_json::{Value, json};

const DAY_MS: u64 = 86_400_000;

/// Prints a file of any form.
pub(super) fn document(document: &Document, now: Timestamp) {
    match document {
        Document::Plain(values) => plain(values),
        Document::Payload(payload) => {
            self::payload(payload, now);
            anstream::println!("  {YELLOW}not signed{RESET}");
        }
        Document::Signed(file) => {
            payload(file.payload(), now);
            signatures(file);
            log(file);
        }
    }
}

/// Everything that is known about a file, nothing of which was decided.
pub(super) fn json(document: &Document, now: Timestamp) -> Value {
    match document {
        Document::Plain(values) => json!({ "form": "unsigned", "values": values }),
        Document::Payload(payload) => json!({ "form": "draft", "payload": payload }),
        Document::Signed(file) => {
            let log = match (file.in_log(), file.log()) {
                (Ok(None), _) => Value::Null,
                (Ok(Some(now)), proof) => json!({
                    "included": true, "size": now.size, "root": hex::encode(now.root),
                    "index": proof.map(|proof| proof.index),
                }),
                (Err(refusal), _) => json!({ "included": false, "reason": refusal.to_string() }),
            };
            json!({
                "form": "signed",
                "payload": file.payload(),
                "payload_sha256": hex::encode(file.payload_sha256()),
                "signed_by": file.signed_by(),
                "signatures": file.signatures().len(),
                "log": log,
                "days_left": file.payload().expires.millis_since(now) / DAY_MS,
            })
        }
    }
}

fn plain(values: &ReferenceValues) {
    anstream::println!("unsigned reference values, without a version");
    for image in values.images() {
        println!(
            "  image     pcr0 {}\n            pcr1 {}\n            pcr2 {}",
            image.pcr0, image.pcr1, image.pcr2
        );
    }
    values.manifests().iter().for_each(|value| println!("  manifest  {value}"));
    println!("  owner     {}", compact(values.owner()));
}

/// Prints what a payload says.
pub(super) fn payload(payload: &Payload, now: Timestamp) {
    println!("{} version {}", payload.name, payload.version);
    println!("  issued    {}", payload.issued);
    let days = payload.expires.millis_since(now) / DAY_MS;
    if payload.expires > now {
        println!("  expires   {}, in {days} days", payload.expires);
    } else {
        anstream::println!("  expires   {}, {RED}expired{RESET}", payload.expires);
    }
    for released in &payload.images {
        let (image, below) = (&released.image, released.release < payload.minimum_release);
        let note = if below { ", below the minimum" } else { "" };
        println!("  image     of release {}{note}", released.release);
        anstream::println!("            {DIM}pcr0{RESET} {}", image.pcr0);
        anstream::println!("            {DIM}pcr1{RESET} {}", image.pcr1);
        anstream::println!("            {DIM}pcr2{RESET} {}", image.pcr2);
    }
    println!("  minimum   release {}", payload.minimum_release);
    payload.manifests.iter().for_each(|value| println!("  manifest  {value}"));
    payload.deny.iter().for_each(|value| println!("  denied    {value}"));
    println!("  owner     {}", compact(&payload.owner));
    println!("  the next version is signed by {} of", payload.signers.threshold());
    payload.signers.keys().iter().for_each(|key| println!("            {key}"));
    match &payload.log {
        Some(log) => println!("  log       {} {}", log.origin(), log.key()),
        None => println!("  log       none"),
    }
}

fn signatures(file: &ReferenceFile) {
    let good = file.signed_by();
    for signature in file.signatures() {
        let (style, word) =
            if good.contains(&signature.key) { (GREEN, "verifies") } else { (RED, "DOES NOT VERIFY") };
        anstream::println!("  signature {} {style}{word}{RESET}", signature.key);
    }
    if file.signatures().is_empty() {
        anstream::println!("  {RED}no signature{RESET}");
    }
}

fn log(file: &ReferenceFile) {
    match (file.in_log(), file.log()) {
        (Ok(Some(now)), Some(proof)) => anstream::println!(
            "  in the log {GREEN}as leaf {} of {}{RESET}, root {}",
            proof.index,
            now.size,
            hex::encode(now.root)
        ),
        (Ok(_), _) => {}
        (Err(refusal), _) => anstream::println!("  {RED}not shown to be in the log:{RESET} {refusal}"),
    }
}

/// Prints what two files show about each other.
pub(super) fn compared(compared: Compared) {
    let word = |known| if known { "do not contradict each other" } else { "cannot be compared" };
    println!("  against the other file: versions {}; logs {}", word(compared.versions), word(compared.logs));
}

/// Prints one finding.
pub(super) fn finding(finding: &Finding) {
    let (style, word) = match finding.level {
        Level::Error => (RED, "error"),
        Level::Warning => (YELLOW, "warning"),
    };
    anstream::println!("{style}{word}:{RESET} {}", finding.message);
}

fn compact(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

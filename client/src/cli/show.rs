//! How reports and receipts look on a terminal. Colours only there; `anstream` takes them out elsewhere.

use adyton_attestation::appraisal::{Factor, Outcome, Report};
use adyton_attestation::receipt::{ReceiptBody, Status};
use anstyle::{AnsiColor, Reset, Style};
use serde_json::Value;

/// For failures.
pub(super) const RED: Style = AnsiColor::Red.on_default().bold();
/// For passes.
pub(super) const GREEN: Style = AnsiColor::Green.on_default();
/// For what was not checked, and simulations.
pub(super) const YELLOW: Style = AnsiColor::Yellow.on_default().bold();
/// For what is beside the point.
pub(super) const DIM: Style = Style::new().dimmed();
/// Back to normal.
pub(super) const RESET: Reset = Reset;

/// Longest value that is shown in full; hashes are longer, and `--json` has them whole.
const SHOWN: usize = 72;

/// Says that nothing here is a real enclave.
pub(super) fn simulated_banner() {
    anstream::eprintln!(
        "{YELLOW}SIMULATED{RESET} development root: this shows the protocol, it protects nothing"
    );
}

/// Prints a report step by step.
pub(super) fn report(report: &Report) {
    for factor in report.factors() {
        line(factor);
    }
}

fn line(factor: &Factor) {
    let Factor { number, name, outcome, seen, expected, advice, .. } = factor;
    let (style, word) = match outcome {
        Outcome::Pass => (GREEN, "pass"),
        Outcome::Fail => (RED, "FAIL"),
        Outcome::NotChecked => (YELLOW, "not checked"),
    };
    let seen = if *outcome == Outcome::NotChecked { advice } else { seen };
    anstream::println!("  {number:>2}  {style}{word:<11}{RESET}  {name:<26}  {DIM}{}{RESET}", short(seen));
    if *outcome == Outcome::Fail {
        println!(
            "                   expected: {}\n                   seen:     {}",
            short(expected),
            short(seen)
        );
        println!("                   {advice}");
    }
}

/// Prints which passages an answer was made from.
pub(super) fn passages(passages: &[Value]) {
    if passages.is_empty() {
        return;
    }
    println!("\n\nfrom these passages:");
    for passage in passages {
        let part = |name: &str| passage[name].as_str().unwrap_or_default();
        let place = format!("{}/{} #{}", part("collection"), part("document"), passage["ordinal"]);
        println!("  [{}] {} ({place}, score {})", passage["number"], part("title"), passage["score"]);
    }
}

/// Prints what a receipt says.
pub(super) fn receipt(body: &ReceiptBody) {
    let status = match body.status {
        Status::Complete => "complete",
        Status::Cut => "cut short",
    };
    let verdicts: Vec<String> = body.verdicts.iter().map(|(stage, word)| format!("{stage} {word}")).collect();
    println!("  receipt {} of boot {}: {status}", body.sequence, hex::encode(body.boot));
    println!("  {} bytes in {} chunks; guardrail: {}", body.response_bytes, body.chunks, verdicts.join(", "));
    println!("  weights {}", hex::encode(body.weights));
    println!("  policy  {}", hex::encode(body.policy));
    if let Some(logged) = body.logged {
        println!("  entry {} of the audit log", logged.index);
    }
}

fn short(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

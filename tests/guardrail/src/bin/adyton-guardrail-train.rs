//! Trains the model of prompt injection and writes `enclave/guardrail/data/injection.bin`.
//!
//! `--without SOURCE` writes nothing: it leaves a source out, and prints how the model does on that.
//!
//! The same data and seed give the same file. Takes about a minute on one core.

use adyton_guardrail_eval::train::build;
use adyton_guardrail_eval::{injection, table};
use std::path::Path;

/// Counts up with each file that is shipped.
const VERSION: u32 = 1;
const SEED: u64 = 2026;

fn main() -> anyhow::Result<()> {
    let without = std::env::args().skip_while(|argument| argument != "--without").nth(1);
    let (model, report) = build::train(VERSION, SEED, without.as_deref())?;
    if let Some(source) = without {
        let lines =
            injection::of_two_kinds(&format!("{source}, learned from the others"), &report.strange, "");
        table::print("A source that was not learned from", Ok(lines));
        return Ok(());
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../enclave/guardrail/data/injection.bin");
    std::fs::write(&path, model.write())?;
    println!("| source | attacks | harmless |\n|---|---|---|");
    for (source, (attacks, harmless)) in &report.rows {
        println!("| {source} | {attacks} | {harmless} |");
    }
    println!(
        "\ntexts for evaluation: {}, rows left out: {}, overlap: {}",
        report.held, report.left_out, report.overlap
    );
    println!(
        "attacks found among kept rows: {:.1} %; thresholds: {:?}",
        100.0 * report.recall,
        report.thresholds
    );
    Ok(())
}

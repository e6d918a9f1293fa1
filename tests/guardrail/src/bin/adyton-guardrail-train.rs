//! Trains the model of prompt injection and writes `enclave/guardrail/data/injection.bin`.
//!
//! `--without SOURCE` writes nothing: it leaves a source out, and prints how the model does on that.
//!
//! `--heads` trains the heads over the encoder instead, `--only NAME` one of them (`orders`, `inappropriate`). What the
//! encoder says of texts is kept in `target/guardrail-features`, so that a run that was stopped goes on.
//!
//! The same data and seed give the same file. Takes about a minute on one core.

use adyton_guardrail_eval::train::dedup::Held;
use adyton_guardrail_eval::train::features::Memory;
use adyton_guardrail_eval::train::{build, corpus, heads};
use adyton_guardrail_eval::{injection, table};
use std::path::Path;

/// Counts up with each file that is shipped.
const VERSION: u32 = 1;
const SEED: u64 = 2026;
/// The same for the heads over the encoder.
const HEADS: u32 = 1;

fn main() -> anyhow::Result<()> {
    if std::env::args().any(|argument| argument == "--heads") {
        return train_heads();
    }
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

/// What trains one head: version, seed, texts that must not be learned from, and the encoder.
type Train = fn(u32, u64, &Held, &mut Memory) -> anyhow::Result<heads::Trained>;

/// Trains the heads over the encoder. What the encoder said of a text is kept below `target`.
fn train_heads() -> anyhow::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut memory = Memory::open(&folder.join("target/guardrail-features"))?;
    let held = corpus::held()?;
    let only = std::env::args().skip_while(|argument| argument != "--only").nth(1);
    let all: [(&str, Train); 2] = [("orders", heads::orders), ("inappropriate", heads::manners)];
    for (name, train) in all.into_iter().filter(|(name, _)| only.as_deref().is_none_or(|only| only == *name))
    {
        let (head, rows) = train(HEADS, SEED, &held, &mut memory)?;
        println!("\n{name}: thresholds {:?}\n", head.thresholds);
        println!("| source | looked for | others |\n|---|---|---|");
        rows.iter().for_each(|(source, (yes, no))| println!("| {source} | {yes} | {no} |"));
        std::fs::write(folder.join(format!("enclave/guardrail/data/{name}-head.bin")), head.write())?;
    }
    println!(
        "\ntexts for evaluation: {}, overlap: 0 (each row is compared before it is learned from)",
        held.len()
    );
    Ok(())
}

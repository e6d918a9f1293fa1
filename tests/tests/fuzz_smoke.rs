//! Fuzzes every parser for a few seconds, always with the same inputs.
//!
//! # Promises
//! - The same build runs the same executions; a failure names target, execution and input.
//! - Every target has its libFuzzer program under `tests/fuzz/`, and seeds to start from.
//!
//! # Does not
//! - Follow coverage. That is for `tests/fuzz/`, with the nightly toolchain.
//!
//! # Trusts
//! - Nobody.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test that cannot go on ends

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::Instant;

use adyton_tests::fuzz::{TARGETS, Target, seeds};

/// Longest input. Larger ones exercise length checks only, and those are among the interesting integers.
const MAX_INPUT: usize = 16 * 1024;
/// Executions of a target that is not listed below: all together take well under 30 s in release on two cores.
const EXECUTIONS: u32 = 200_000;
/// Targets whose executions take a signature, a chain of certificates, a model, several screens or a
/// compiled grammar each.
const SLOW: [(&str, u32); 11] = [
    ("attestation_document", 4_000),
    ("attestation_structure", 10_000),
    ("bearer_token", 10_000),
    ("gguf", 40_000),
    ("guardrail_canonical", 4_000),
    ("guardrail_input", 10_000),
    ("guardrail_output", 8_000),
    ("guardrail_personal", 2_000),
    ("receipt", 40_000),
    ("receipt_bundle", 20_000),
    ("shape", 10_000),
];
/// In a debug build arithmetic is checked and slow.
const SHARE: u32 = if cfg!(debug_assertions) { 20 } else { 1 };

/// SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `end`, or 0 if that is 0.
    fn below(&mut self, end: usize) -> usize {
        if end == 0 { 0 } else { (self.next() % end as u64) as usize }
    }

    fn range(&mut self, len: usize) -> std::ops::Range<usize> {
        let start = self.below(len);
        start..start + self.below(len - start + 1).min(64)
    }
}

/// Lengths and counts that are at an edge somewhere.
const INTERESTING: [u64; 14] = [
    0,
    1,
    23,
    24,
    0x7f,
    0x80,
    0xff,
    0x100,
    0x7fff,
    0xffff,
    0x7fff_ffff,
    0xffff_ffff,
    0x7fff_ffff_ffff_ffff,
    u64::MAX,
];

fn mutate(random: &mut Random, input: &mut Vec<u8>, others: &[Vec<u8>]) {
    let at = random.below(input.len());
    match random.below(9) {
        0 | 1 => input.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << random.below(8)),
        2 => input.iter_mut().skip(at).take(1).for_each(|byte| *byte = random.next() as u8),
        3 => integer(random, input, at),
        4 => input.truncate(at),
        5 => drop(input.drain(random.range(input.len()))),
        6 => {
            let slice = input[random.range(input.len())].to_vec();
            input.splice(at..at, slice);
        }
        7 => {
            let other = &others[random.below(others.len())];
            let slice = other[random.range(other.len())].to_vec();
            let end = (at + random.below(slice.len() + 1)).min(input.len());
            input.splice(at..end, slice);
        }
        _ => {
            let bytes: Vec<u8> = (0..=random.below(4)).map(|_| random.next() as u8).collect();
            input.splice(at..at, bytes);
        }
    }
    input.truncate(MAX_INPUT);
}

/// Writes an interesting number over the input, in one of four widths and two orders, or as digits.
fn integer(random: &mut Random, input: &mut Vec<u8>, at: usize) {
    let value = INTERESTING[random.below(INTERESTING.len())];
    let width = 1 << random.below(4);
    let bytes = match random.below(3) {
        0 => value.to_le_bytes()[..width].to_vec(),
        1 => value.to_be_bytes()[8 - width..].to_vec(),
        _ => value.to_string().into_bytes(),
    };
    let end = (at + bytes.len()).min(input.len());
    input.splice(at..end, bytes);
}

fn executions(target: &Target) -> u32 {
    SLOW.iter().find(|(name, _)| *name == target.name).map_or(EXECUTIONS, |(_, count)| *count) / SHARE
}

fn explore_named(name: &str) {
    explore(TARGETS.iter().find(|target| target.name == name).unwrap());
}

/// Runs one target; the input that fails is in the message.
fn explore(target: &Target) {
    let seeds = seeds(target.name);
    assert!(!seeds.is_empty(), "{} has no seeds", target.name);
    let mut random = Random(0x0adf_7031);
    let count = executions(target);
    let start = Instant::now();
    for execution in 0..count {
        let mut input = seeds[execution as usize % seeds.len()].clone();
        // The seeds themselves first, then one to eight changes.
        if execution as usize >= seeds.len() {
            (0..=random.below(8)).for_each(|_| mutate(&mut random, &mut input, &seeds));
        }
        if catch_unwind(AssertUnwindSafe(|| (target.run)(&input))).is_err() {
            panic!("{}, execution {execution}, input {}", target.name, hex::encode(&input));
        }
    }
    println!("{:<26} {count:>6} executions in {:.1} s", target.name, start.elapsed().as_secs_f32());
}

#[test]
fn attestation_document() {
    explore_named("attestation_document");
}

#[test]
fn attestation_structure() {
    explore_named("attestation_structure");
}

#[test]
fn cbor_item() {
    explore_named("cbor_item");
}

#[test]
fn receipt() {
    explore_named("receipt");
}

#[test]
fn row_rules() {
    explore_named("row_rules");
}

#[test]
fn lookup_grant() {
    explore_named("lookup_grant");
}

#[test]
fn receipt_bundle() {
    explore_named("receipt_bundle");
}

#[test]
fn reference_values() {
    explore_named("reference_values");
}

#[test]
fn signed_reference() {
    explore_named("signed_reference");
}

#[test]
fn log_checkpoint() {
    explore_named("log_checkpoint");
}

#[test]
fn manifest() {
    explore_named("manifest");
}

#[test]
fn blob_request_and_response() {
    explore_named("blob_request_and_response");
}

#[test]
fn hybrid_line() {
    explore_named("hybrid_line");
}

#[test]
fn control_to_sentinel() {
    explore_named("control_to_sentinel");
}

#[test]
fn bearer_token() {
    explore_named("bearer_token");
}

#[test]
fn issuers() {
    explore_named("issuers");
}

#[test]
fn chat_request() {
    explore_named("chat_request");
}

#[test]
fn guardrail_input() {
    explore_named("guardrail_input");
}

#[test]
fn guardrail_output() {
    explore_named("guardrail_output");
}

#[test]
fn guardrail_canonical() {
    explore_named("guardrail_canonical");
}

#[test]
fn guardrail_personal() {
    explore_named("guardrail_personal");
}

#[test]
fn guardrail_settings() {
    explore_named("guardrail_settings");
}

#[test]
fn protected_list() {
    explore_named("protected_list");
}

#[test]
fn gguf() {
    explore_named("gguf");
}

#[test]
fn shape() {
    explore_named("shape");
}

#[test]
fn audit_entry() {
    explore_named("audit_entry");
}

#[test]
fn audit_record() {
    explore_named("audit_record");
}

#[test]
fn audit_protocol() {
    explore_named("audit_protocol");
}

#[test]
fn metrics_page() {
    explore_named("metrics_page");
}

#[test]
fn metrics_snapshot() {
    explore_named("metrics_snapshot");
}

#[test]
fn every_target_is_explored() {
    let this = include_str!("fuzz_smoke.rs");
    for target in TARGETS {
        assert!(this.contains(&format!("explore_named(\"{}\")", target.name)), "{}", target.name);
    }
}

#[test]
fn every_target_has_its_libfuzzer_program() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let manifest = fs::read_to_string(folder.join("Cargo.toml")).unwrap();
    for target in TARGETS {
        let path = format!("fuzz_targets/{}.rs", target.name);
        assert!(manifest.contains(&format!("path = \"{path}\"")), "{path} is not in tests/fuzz/Cargo.toml");
        let program = fs::read_to_string(folder.join(&path)).unwrap();
        assert!(program.contains(&format!("fuzz::{}(data)", target.name)), "{path} runs something else");
    }
    assert_eq!(fs::read_dir(folder.join("fuzz_targets")).unwrap().count(), TARGETS.len());
}

#[test]
fn a_failure_is_seen() {
    let mut fails = *TARGETS.iter().find(|target| target.name == "hybrid_line").unwrap();
    fails.run = |data| assert!(!data.starts_with(b"CONNECT"));
    assert!(catch_unwind(|| explore(&fails)).is_err());
}

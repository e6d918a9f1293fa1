//! The corpora in `tests/vectors/`: that they are what the generator writes, and that our verifier answers them.
//!
//! # Promises
//! - A vector whose code is not the one that our verifier gives fails here.
//!
//! # Does not
//! - Run other verifiers; `tests/tests/system/strangers.rs` does.
//!
//! # Trusts
//! - Nobody.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test that cannot go on ends

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use adyton_client::corpus::{Asked, Expected, ask, read};
use adyton_tests::corpus::{Corpus, attestation, receipts};

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors").join(name)
}

fn answers(path: &Path, files: Option<&Path>) -> Vec<Asked> {
    read(path, files).unwrap().into_iter().map(|question| ask(question).unwrap()).collect()
}

fn check_answers(asked: &[Asked]) {
    let wrong: Vec<String> = asked
        .iter()
        .filter(|asked| !asked.same_reason())
        .map(|asked| {
            let question = &asked.question;
            format!("{}: {:?} {:?}, answered {:?}", question.id, question.expect, question.code, asked.answer)
        })
        .collect();
    assert!(wrong.is_empty(), "{} wrong of {}:\n{}", wrong.len(), asked.len(), wrong.join("\n"));
}

/// What is committed is what the generator writes, byte for byte, and nothing else lies there.
fn check_committed(corpus: &Corpus, name: &str) {
    let files = corpus.files();
    for (file, bytes) in &files {
        let committed = std::fs::read(folder(name).join(file)).unwrap_or_default();
        assert!(committed == *bytes, "{name}/{file} is not what the generator writes; run make corpus");
    }
    let mut found = BTreeSet::new();
    walk(&folder(name), &folder(name), &mut found);
    assert_eq!(found, files.into_keys().collect(), "run make corpus");
}

fn walk(root: &Path, at: &Path, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(at).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            walk(root, &path, found);
        } else {
            found.insert(path.strip_prefix(root).unwrap().to_string_lossy().into_owned());
        }
    }
}

#[test]
fn documents_are_answered_rightly() {
    let asked = answers(&folder("attestation"), None);
    check_answers(&asked);
    let rejects = asked.iter().filter(|asked| asked.question.expect == Expected::Reject).count();
    assert!(rejects >= 200, "{rejects} rejects");
    assert!(asked.iter().all(|asked| !asked.question.clause.is_empty() && !asked.question.about.is_empty()));
}

#[test]
fn receipts_are_answered_rightly() {
    let asked = answers(&folder("receipts"), None);
    check_answers(&asked);
    assert!(asked.iter().filter(|asked| asked.question.expect == Expected::Reject).count() >= 60);
}

/// The words that the sources give as codes: all lower case with a hyphen.
fn codes(source: &str) -> BTreeSet<&str> {
    let code = |word: &&str| {
        word.contains('-') && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
    };
    source.split('"').skip(1).step_by(2).filter(code).filter(|word| *word != "kebab-case").collect()
}

/// Codes that no vector can reach, each with the reason.
const UNREACHED: [&str; 6] = [
    "payload-too-large", // the whole document is bounded first
    "sequence-empty",    // a case without bundles asks nothing
    "policy-not-json",   // a case is JSON already
    "policy-twice",      // as above: reading the case has made one of two
    "policy-too-many",   // thousands of entries, which is a unit test
    "policy-too-large",  // 256 KiB, which is a unit test
];

#[test]
fn every_code_has_a_vector_and_a_line_in_the_documentation() {
    let asked = [answers(&folder("attestation"), None), answers(&folder("receipts"), None)].concat();
    let answered: BTreeSet<&str> = asked.iter().filter_map(|asked| asked.question.code.as_deref()).collect();
    let documented = include_str!("../../docs/corpus.md");
    let sources = [
        include_str!("../../attestation/src/appraisal/code.rs"),
        include_str!("../../attestation/src/receipt/code.rs"),
        include_str!("../../attestation/src/reference/code.rs"),
    ];
    for code in sources.iter().flat_map(|source| codes(source)) {
        let reached = answered.contains(code);
        assert_ne!(reached, UNREACHED.contains(&code), "{code} has no vector, or one that was not expected");
        assert!(documented.contains(&format!("`{code}`")), "{code} is not in docs/corpus.md");
    }
}

#[test]
fn the_corpora_are_what_the_generator_writes() {
    check_committed(&attestation(), "attestation");
    check_committed(&receipts(), "receipts");
}

#[test]
fn the_documentation_counts_rightly() {
    let (documents, receipts) = (attestation().counts(), receipts().counts());
    let table = include_str!("../../docs/corpus.md");
    for (name, (rejects, accepts)) in [("attestation", documents), ("receipts", receipts)] {
        let row = format!("| `tests/vectors/{name}/` | {rejects} | {accepts} |");
        assert!(table.contains(&row), "docs/corpus.md should say: {row}");
    }
    let said = format!(
        "{} documents to refuse, {} to accept, {} receipts to refuse and {} to accept",
        documents.0, documents.1, receipts.0, receipts.1
    );
    let one_line = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(one_line(include_str!("../../README.md")).contains(&said), "README.md should say: {said}");
    let said = format!("{} vectors of which", receipts.0);
    assert!(
        one_line(include_str!("../../docs/receipts.md")).contains(&said),
        "docs/receipts.md should say: {said}"
    );
}

/// Beside the repository, or where `ADYTON_VECTORS` says.
fn real_documents() -> Option<PathBuf> {
    let folder = std::env::var_os("ADYTON_VECTORS").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/vectors/attestation"),
        PathBuf::from,
    );
    folder.is_dir().then_some(folder)
}

#[test]
fn real_documents_are_answered_rightly() {
    let Some(documents) = real_documents() else {
        println!("SKIPPED: no folder of real documents; set ADYTON_VECTORS");
        return;
    };
    let asked = answers(&folder("real.json"), Some(&documents));
    check_answers(&asked);
    assert_eq!(asked.len(), 38);
}

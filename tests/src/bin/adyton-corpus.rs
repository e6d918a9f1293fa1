//! Writes the corpora into `tests/vectors/`, from a seed: the same bytes each time.

use std::path::Path;
use std::process::ExitCode;

use adyton_tests::corpus::{attestation, receipts};

fn main() -> ExitCode {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors");
    for (name, corpus) in [("attestation", attestation()), ("receipts", receipts())] {
        let (rejects, accepts) = corpus.counts();
        if let Err(error) = corpus.write(&folder.join(name)) {
            eprintln!("{name}: {error}");
            return ExitCode::FAILURE;
        }
        println!("{name}: {rejects} to refuse, {accepts} to accept");
    }
    ExitCode::SUCCESS
}

//! Writes the corpora into `tests/vectors/`, from a seed: the same bytes each time. With the folder of real documents as
//! its argument it writes their manifest, too.

use std::io;
use std::path::Path;
use std::process::ExitCode;

use adyton_tests::corpus::{attestation, manifest_of_real_documents, receipts};

fn main() -> ExitCode {
    match write(&Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors")) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn write(folder: &Path) -> io::Result<()> {
    for (name, corpus) in [("attestation", attestation()), ("receipts", receipts())] {
        let (rejects, accepts) = corpus.counts();
        corpus.write(&folder.join(name))?;
        println!("{name}: {rejects} to refuse, {accepts} to accept");
    }
    if let Some(real) = std::env::args_os().nth(1) {
        std::fs::write(folder.join("real.json"), manifest_of_real_documents(Path::new(&real))?)?;
    }
    Ok(())
}

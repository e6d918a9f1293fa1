//! Writes the seeds of every target to `corpus/<target>/`, for libFuzzer to start from.
//!
//! Promises that the files are those of `adyton_tests::fuzz::seeds`. Trusts its first argument, the corpus folder.

use std::path::PathBuf;

fn main() -> std::io::Result<()> {
    let corpus = PathBuf::from(std::env::args_os().nth(1).unwrap_or_else(|| "corpus".into()));
    for target in adyton_tests::fuzz::TARGETS {
        let folder = corpus.join(target.name);
        std::fs::create_dir_all(&folder)?;
        for (number, seed) in adyton_tests::fuzz::seeds(target.name).iter().enumerate() {
            std::fs::write(folder.join(format!("seed-{number}")), seed)?;
        }
    }
    Ok(())
}

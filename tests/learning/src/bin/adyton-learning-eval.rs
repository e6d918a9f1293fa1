//! Prints the tables of `docs/learning.md`. `bench` prints times; `attacks` and `worth` print one part.

use adyton_learning_eval::{attacks, bench, worth};

fn main() -> anyhow::Result<()> {
    let wanted = std::env::args().nth(1);
    let wants = |part: &str| wanted.as_deref().is_none_or(|wanted| wanted == part);
    if wanted.as_deref() == Some("bench") {
        return bench::print();
    }
    if wants("attacks") {
        attacks::print()?;
    }
    if wants("worth") {
        let folder =
            std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), std::path::PathBuf::from);
        worth::print(&folder.join("learning.svg"))?;
    }
    Ok(())
}

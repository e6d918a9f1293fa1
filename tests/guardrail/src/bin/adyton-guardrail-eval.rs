//! Measures the guardrail and prints the tables of `docs/guardrails.md`. `--show` also prints what went wrong.

use adyton_guardrail_eval::{secrets, table};

fn main() -> anyhow::Result<()> {
    let show = std::env::args().any(|argument| argument == "--show");
    table::print("Secrets", &secrets::measure(show)?);
    Ok(())
}

//! Measures the guardrail and prints the tables of `docs/guardrails.md`. `--show` also prints what went wrong.

use adyton_guardrail_eval::{langid, personal, secrets, table};

fn main() -> anyhow::Result<()> {
    let show = std::env::args().any(|argument| argument == "--show");
    table::print("Secrets", &secrets::measure(show)?);
    table::print("Personal data", &personal::measure(show)?);
    table::print("Language", &langid::measure()?);
    Ok(())
}

//! Measures the guardrail and prints the tables of `docs/guardrails.md`. `--show` also prints what went wrong.

use adyton_guardrail_eval::{injection, langid, latency, personal, secrets, table};

fn main() {
    let show = std::env::args().any(|argument| argument == "--show");
    table::print("Prompt injection", injection::measure());
    table::print("False alarms by length", injection::by_length());
    table::print("False alarms by language", injection::by_language());
    table::print("Secrets", secrets::measure(show));
    table::print("Personal data", personal::measure(show));
    table::print("Language", langid::measure());
    table::print("Latency, one thread", latency::measure());
}

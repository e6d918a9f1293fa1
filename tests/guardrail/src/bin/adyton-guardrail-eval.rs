//! Measures the guardrail and prints the tables of `docs/guardrails.md`. `--show` also prints what went wrong.

use adyton_guardrail_eval::injection::Judge;
use adyton_guardrail_eval::{injection, langid, latency, personal, secrets, table, topics};

fn main() {
    let show = std::env::args().any(|argument| argument == "--show");
    table::print("Prompt injection", injection::measure());
    table::print("False alarms by length", injection::by_length());
    table::print("False alarms by language", injection::by_language());
    table::print("Data, n-grams alone", injection::in_documents(&Judge::alone()));
    let with_encoder = Judge::with_encoder().and_then(|judge| injection::in_documents(&judge));
    table::print("Data, with the encoder", with_encoder);
    table::print("Secrets", secrets::measure(show));
    table::print("Personal data", personal::measure(show));
    table::print("Language", langid::measure());
    table::print("Topics", topics::measure());
    table::print("Inappropriate texts", topics::manners());
    table::print("Latency, one thread; of the encoder, all", latency::measure());
}

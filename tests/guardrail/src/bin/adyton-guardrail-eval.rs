//! Measures the guardrail and prints the tables of `docs/guardrails.md`. `--show` also prints what went wrong.

use adyton_guardrail_eval::injection::Judge;
use adyton_guardrail_eval::{injection, langid, latency, personal, secrets, table, topics};

fn main() {
    let show = std::env::args().any(|argument| argument == "--show");
    let alone = Judge::alone();
    table::print("Secrets", secrets::measure(show));
    table::print("Personal data", personal::measure(show));
    table::print("Language", langid::measure());
    table::print("Prompt injection, n-grams alone", injection::measure(&alone));
    let both = Judge::with_encoder();
    let with = |measure: fn(&Judge) -> anyhow::Result<Vec<table::Line>>| match &both {
        Ok(judge) => measure(judge),
        Err(absent) => Err(anyhow::anyhow!("{absent:#}")),
    };
    table::print("Prompt injection, with the encoder", with(injection::measure));
    table::print("False alarms by length, n-grams alone", injection::by_length(&alone));
    table::print("False alarms by length, with the encoder", with(injection::by_length));
    table::print("False alarms by language, n-grams alone", injection::by_language(&alone));
    table::print("False alarms by language, with the encoder", with(injection::by_language));
    table::print("Topics", topics::measure());
    table::print("Inappropriate texts", topics::manners());
    table::print("Latency, one thread; of the encoder, all", latency::measure());
}

//! How long screening takes, on this machine and one thread.

use crate::data;
use crate::table::Line;
use adyton_guardrail::{Guardrail, Message, OutputScreen, Prompt, Role, Settings};
use anyhow::Result;
use std::hint::black_box;
use std::time::{Duration, Instant};

const SHIPPED: &str = include_str!("../../../enclave/policy/guardrails.toml");

fn guardrail(settings: &str) -> Result<Guardrail> {
    Ok(Guardrail::new(Settings::parse(settings)?, ["<|im_start|>", "<|im_end|>"].map(str::to_owned)))
}

fn screening(guardrail: &Guardrail, text: &str) -> Duration {
    let message = Message { role: Role::User, content: text.into() };
    timed(|| guardrail.screen(Prompt { messages: vec![message] }))
}

fn texts(length: usize) -> Result<Vec<String>> {
    let rows: Vec<serde_json::Value> = data::rows("eval/presidio_research/synth_dataset_v2_half.jsonl")?;
    let whole: Vec<&str> = rows.iter().filter_map(|row| row["full_text"].as_str()).collect();
    let joined = whole.join(" ");
    let starts = (0..400).map(|at| joined.floor_char_boundary(at * 97 % (joined.len() - length)));
    Ok(starts.map(|start| joined[start..joined.floor_char_boundary(start + length)].to_owned()).collect())
}

fn percentiles(mut times: Vec<Duration>) -> String {
    times.sort();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100].as_secs_f64() * 1000.0;
    format!("p50 {:.2} ms, p99 {:.2} ms", at(50), at(99))
}

fn timed<T>(work: impl FnOnce() -> T) -> Duration {
    let begun = Instant::now();
    black_box(work());
    begun.elapsed()
}

/// The lines of the table.
///
/// # Errors
/// If the data is absent.
pub fn measure() -> Result<Vec<Line>> {
    let shipped = guardrail(SHIPPED)?;
    let everything = guardrail(&SHIPPED.replace("\"pass\"", "\"redact\""))?;
    // Expressions are compiled when they are first needed.
    for text in texts(6000)? {
        screening(&everything, &text);
    }
    let mut lines = Vec::new();
    for (what, guardrail) in
        [("prompt, as shipped", &shipped), ("prompt, everything looked for", &everything)]
    {
        for (length, to_beat) in [(384, "49 ms (Prompt Guard 2 22M)"), (1500, "p99 25 ms"), (6000, "")] {
            let times = texts(length)?.iter().map(|text| screening(guardrail, text)).collect();
            lines.push(Line::new(what, format!("{length} characters"), percentiles(times), to_beat));
        }
    }
    let scores = texts(384)?.iter().map(|text| timed(|| adyton_guardrail::injection::score(text))).collect();
    lines.push(Line::new(
        "prompt injection alone",
        "384 characters",
        percentiles(scores),
        "104 ms (LLM Guard)",
    ));
    let mut pieces = Vec::new();
    for text in texts(1500)?.iter().take(40) {
        let mut screen = OutputScreen::new(everything.clone());
        for piece in text.split_inclusive(' ') {
            pieces.push(timed(|| screen.push(piece)));
        }
    }
    lines.push(Line::new(
        "answer, everything looked for",
        "one word of 1,500 characters",
        percentiles(pieces),
        "",
    ));
    Ok(lines)
}

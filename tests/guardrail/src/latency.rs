//! How long screening takes, on this machine and one thread.

use crate::data;
use crate::table::Line;
use crate::train::Dice;
use crate::train::features::Eyes;
use adyton_fingerprint::Protected;
use adyton_guardrail::{Guardrail, Guardrails, Message, OutputScreen, Prompt, Role, Sections, Settings};
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

/// Harmless texts as people send them, of all lengths.
fn mixed() -> Result<Vec<String>> {
    let mut all = Vec::new();
    for name in [
        "notinject_piguard/wildguard_benign",
        "notinject_piguard/notinject",
        "deepset_prompt_injections/train",
        "neuralchemy_prompt_injection/core_test",
    ] {
        let rows: Vec<serde_json::Value> = data::rows(&format!("eval/{name}.jsonl"))?;
        let harmless = rows.iter().filter(|row| row["label"] == 0 || row["label"] == "0");
        all.extend(harmless.filter_map(|row| row["text"].as_str().map(str::to_owned)));
    }
    for row in data::csv("eval/topics_banking77/test.csv")?.iter().take(1000) {
        all.push(row[0].clone());
    }
    Dice::new(4).shuffle(&mut all);
    all.truncate(1000);
    Ok(all)
}

/// The same with the encoder, as shipped.
fn with_encoder() -> Result<Vec<Line>> {
    let eyes = Eyes::open(std::thread::available_parallelism()?.get())?;
    let none = Protected::parse(include_str!("../../../enclave/policy/protected.json"))?;
    let all = Guardrails::new(Sections::parse(SHIPPED)?, &none, [], Some(eyes))?;
    let Some(guardrail) = all.section(0) else { return Ok(Vec::new()) };
    let data = |text: &String| {
        let message = Message { role: Role::Data, content: text.as_str().into() };
        timed(|| guardrail.screen(Prompt { messages: vec![message] }))
    };
    let user = |text: &String| screening(guardrail, text);
    let line = |what: &str, texts: &[String], to_beat, screen: &dyn Fn(&String) -> Duration| {
        Line::new("with the encoder", what, percentiles(texts.iter().map(screen).collect()), to_beat)
    };
    let long = texts(1500)?;
    Ok(vec![
        line("prompts as people send them (1,000)", &mixed()?, "p50 2 ms", &user),
        line("prompts of 1500 characters", &long, "p99 25 ms", &user),
        line("results of tools of 1500 characters", &long[..100], "", &data),
    ])
}

/// The lines of the table.
///
/// # Errors
/// If the data is absent.
pub fn measure() -> Result<Vec<Line>> {
    let shipped = guardrail(SHIPPED)?;
    let everything = guardrail(
        &SHIPPED
            .replace("\"pass\"", "\"redact\"")
            .replace("inappropriate = \"redact\"", "inappropriate = \"pass\"")
            .replace("orders_in_data = \"redact\"", "orders_in_data = \"pass\""),
    )?;
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
    lines.extend(with_encoder()?);
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

//! Language: lingua's own test data.

use crate::data;
use crate::table::{Line, share};
use anyhow::Result;
use serde::Deserialize;

#[derive(Deserialize)]
struct Row {
    text: String,
    lang: String,
}

/// The sixteen languages of `whichlang`.
const SIXTEEN: [&str; 16] =
    ["ar", "zh", "de", "en", "fr", "hi", "it", "ja", "ko", "nl", "pt", "ru", "es", "sv", "tr", "vi"];

/// The lines of the table. What cannot be told counts as wrong.
///
/// # Errors
/// If the data is absent.
pub fn measure() -> Result<Vec<Line>> {
    let mut lines = Vec::new();
    let known: Vec<&str> = adyton_guardrail::languages().collect();
    let mut all = (0, 0);
    for part in ["sentences", "word-pairs", "single-words"] {
        let rows: Vec<Row> = data::rows(&format!("eval/langid_lingua/{part}.jsonl"))?;
        let count = |of: &dyn Fn(&str) -> bool| {
            let rows = rows.iter().filter(|row| of(&row.lang));
            let right = rows
                .clone()
                .filter(|row| adyton_guardrail::likely_language(&row.text) == Some(row.lang.as_str()));
            (right.count(), rows.count())
        };
        let (right, of) = count(&|_| true);
        all = (all.0 + right, all.1 + of);
        let name = |what: &str| format!("{part}, {what}");
        let (right_16, of_16) = count(&|lang| SIXTEEN.contains(&lang));
        let (right_known, of_known) = count(&|lang| known.contains(&lang));
        lines.push(Line::new("language", name("whichlang's 16 languages"), share(right_16, of_16), ""));
        lines.push(Line::new(
            "language",
            name("languages that can be told"),
            share(right_known, of_known),
            "",
        ));
    }
    lines.push(Line::new("language", "all three, all 75 languages", share(all.0, all.1), "86.4 %"));
    Ok(lines)
}

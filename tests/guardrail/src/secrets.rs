//! Secrets: the literals of gitleaks's own rule tests.
//!
//! They were lifted from its source by a regular expression, so some that are marked as secrets are pieces from which its
//! tests *make* secrets: expressions, prefixes, bare keywords. A piece is told by its form alone ([`is_piece`]).

use crate::data;
use crate::table::{Line, share};
use anyhow::Result;
use serde::Deserialize;

#[derive(Deserialize)]
struct Row {
    text: String,
    label: u8,
}

/// Whether a literal that is marked as a secret cannot be one: an expression, a format, a bare word, or cut at a quote,
/// a slash or a sign of assignment where the made part would follow.
fn is_piece(text: &str) -> bool {
    let cut = text.ends_with(['/', '=', '-']) && !text.contains("://c");
    let word = text.len() < 24 && !text.contains(char::is_whitespace);
    let open = text.matches('"').count() % 2 == 1 && text.len() < 40;
    text.contains("]{") || text.contains("%s") || word || open || (cut && text.len() < 64)
}

/// The lines of the table.
///
/// # Errors
/// If the data is absent.
pub fn measure(show: bool) -> Result<Vec<Line>> {
    let rows: Vec<Row> = data::rows("eval/secrets_gitleaks/rule_tests.jsonl")?;
    let right = |row: &&Row| {
        let found = adyton_guardrail::find_secrets(&row.text).map_or(true, |found| !found.is_empty());
        let right = found == (row.label == 1);
        if show && !right && !(row.label == 1 && is_piece(&row.text)) {
            println!("wrong ({}): {:?}", row.label, row.text.chars().take(120).collect::<String>());
        }
        right
    };
    let whole: Vec<&Row> = rows.iter().filter(|row| row.label == 0 || !is_piece(&row.text)).collect();
    let of = |label: u8| whole.iter().copied().filter(move |row| row.label == label);
    let passed = |label: u8| of(label).filter(right).count();
    let (found, clean) = (passed(1), passed(0));
    Ok(vec![
        Line::new(
            "secrets, cases right",
            "gitleaks, without pieces",
            share(found + clean, whole.len()),
            "95 %",
        ),
        Line::new("secrets found", "gitleaks, true", share(found, of(1).count()), ""),
        Line::new("no secret found, by any rule", "gitleaks, false", share(clean, of(0).count()), ""),
        Line::new(
            "secrets, cases right",
            "gitleaks, with pieces",
            share(rows.iter().filter(right).count(), rows.len()),
            "",
        ),
    ])
}

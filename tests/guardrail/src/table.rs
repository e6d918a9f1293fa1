//! A table in Markdown, row by row.

/// One line of the result: what was measured, on what, the figure, what others published, and a remark.
#[derive(Clone, Debug)]
pub struct Line {
    /// What was measured.
    pub what: String,
    /// On which rows.
    pub rows: String,
    /// The figure.
    pub figure: String,
    /// The figure to beat, if there is one.
    pub to_beat: &'static str,
}

impl Line {
    /// A line.
    pub fn new(
        what: impl Into<String>,
        rows: impl Into<String>,
        figure: impl Into<String>,
        to_beat: &'static str,
    ) -> Line {
        Line { what: what.into(), rows: rows.into(), figure: figure.into(), to_beat }
    }
}

/// Prints lines as a table, or why there are none.
pub fn print(title: &str, lines: anyhow::Result<Vec<Line>>) {
    let lines = match lines {
        Ok(lines) => lines,
        Err(why) => return println!("\n### {title}\n\nNot measured: {why}."),
    };
    println!("\n### {title}\n\n| what | rows | figure | to beat |\n|---|---|---|---|");
    for Line { what, rows, figure, to_beat } in &lines {
        println!("| {what} | {rows} | {figure} | {to_beat} |");
    }
}

/// A share in percent, with its counts.
pub fn share(part: usize, of: usize) -> String {
    format!("{:.1} % ({part} of {of})", 100.0 * part as f64 / of.max(1) as f64)
}

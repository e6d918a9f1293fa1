//! A bar chart in SVG, by hand: forty lines are less than a crate.

use std::fmt::Write;

/// One bar.
#[derive(Clone, Debug)]
pub struct Bar {
    /// What it is of.
    pub label: String,
    /// How long it is.
    pub value: f64,
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

/// Bars from `low` to `high`, with their labels and values.
pub fn bars(title: &str, bars: &[Bar], low: f64, high: f64) -> String {
    const ROW: f64 = 26.0;
    const LABEL: f64 = 420.0;
    const WIDE: f64 = 360.0;
    let height = 60.0 + ROW * bars.len() as f64;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{}\" height=\"{height}\" font-family=\"sans-serif\" \
         font-size=\"13\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n<text x=\"10\" y=\"24\" \
         font-size=\"15\">{}</text>\n",
        LABEL + WIDE + 70.0,
        escaped(title)
    );
    for (at, bar) in bars.iter().enumerate() {
        let y = 44.0 + ROW * at as f64;
        let long = WIDE * ((bar.value - low) / (high - low)).clamp(0.0, 1.0);
        // A String takes everything that is written to it.
        let _always = writeln!(
            out,
            "<text x=\"10\" y=\"{:.0}\">{}</text><rect x=\"{LABEL}\" y=\"{y:.0}\" width=\"{long:.1}\" height=\"18\" \
             fill=\"#3b6ea5\"/><text x=\"{:.1}\" y=\"{:.0}\">{:.1}</text>",
            y + 14.0,
            escaped(&bar.label),
            LABEL + long + 6.0,
            y + 14.0,
            bar.value
        );
    }
    out.push_str("</svg>\n");
    out
}

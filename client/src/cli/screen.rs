//! Draws lines on a terminal again and again in the same place.
//!
//! Promises
//! - Where standard output is no terminal, or one without colours (`NO_COLOR`), there are none; where it is no
//!   terminal the cursor is not moved either.
//! - No line is longer than the terminal is wide and no drawing higher than it is, so that the place stays the same.
//!   The cursor is never hidden and the screen never exchanged: whatever ends the program leaves a clean terminal.

use super::show::RESET;
use anstyle::Style;
use std::io::{self, IsTerminal, Write};
use terminal_size::{Height, Width, terminal_size};

/// Columns of the name in front of a line.
const NAME: usize = 13;

/// A line, in pieces.
#[derive(Clone, Debug, Default)]
pub(super) struct Line(Vec<(Style, String)>);

impl Line {
    /// A line with a name in front.
    pub(super) fn of(name: &str) -> Line {
        Line::default().plain(format!("{name:<NAME$}"))
    }

    /// And then this.
    pub(super) fn plain(self, text: impl Into<String>) -> Line {
        self.styled(Style::new(), text)
    }

    /// And then this, in a style.
    pub(super) fn styled(mut self, style: Style, text: impl Into<String>) -> Line {
        self.0.push((style, text.into()));
        self
    }

    /// And then this, in a style if so.
    pub(super) fn marked(self, so: bool, style: Style, text: impl Into<String>) -> Line {
        self.styled(if so { style } else { Style::new() }, text)
    }

    /// At most so many columns of it. What is shown is ASCII: a character is a column.
    fn write(&self, width: usize, colours: bool) -> String {
        let mut left = width;
        let mut out = String::new();
        for (style, text) in &self.0 {
            let text: String = text.chars().take(left).collect();
            left -= text.chars().count();
            if colours && *style != Style::new() {
                out.push_str(&format!("{style}{text}{RESET}"));
            } else {
                out.push_str(&text);
            }
        }
        out.trim_end().to_owned()
    }
}

/// Standard output.
#[derive(Debug)]
pub(super) struct Screen {
    /// Drawn over and over, in place.
    in_place: bool,
    colours: bool,
    /// Lines of the last drawing.
    drawn: usize,
}

impl Screen {
    /// `live` draws in place, if it is a terminal.
    pub(super) fn new(live: bool) -> Screen {
        let out = io::stdout();
        let colours = anstream::AutoStream::choice(&out) != anstream::ColorChoice::Never;
        Screen { in_place: live && out.is_terminal(), colours, drawn: 0 }
    }

    /// Prints one line as it is.
    pub(super) fn print(&self, line: &str) -> io::Result<()> {
        let mut out = io::stdout().lock();
        writeln!(out, "{line}")?;
        out.flush()
    }

    /// Draws, over the last drawing if there is one.
    pub(super) fn draw(&mut self, lines: &[Line]) -> io::Result<()> {
        let size = if self.in_place { terminal_size() } else { None };
        let (width, height) = size.map_or((usize::MAX, usize::MAX), |(Width(width), Height(height))| {
            (width.into(), usize::from(height).saturating_sub(1))
        });
        let shown: Vec<String> =
            lines.iter().take(height).map(|line| line.write(width, self.colours)).collect();
        let text = if self.in_place { over(self.drawn, &shown) } else { below(self.drawn, &shown) };
        self.drawn = shown.len();
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes())?;
        out.flush()
    }

    /// The last word: takes away what the terminal wrote for Ctrl-C.
    pub(super) fn leave(&self) {
        if self.in_place {
            // A terminal that is gone needs no cleaning.
            let _ = io::stdout().write_all(b"\r\x1b[K");
            let _ = io::stdout().flush();
        }
    }
}

/// Up to where the last drawing began; each line over the old one; nothing left below.
fn over(drawn: usize, lines: &[String]) -> String {
    let up = if drawn > 0 { format!("\r\x1b[{drawn}A") } else { String::new() };
    let lines: String = lines.iter().map(|line| format!("{line}\x1b[K\n")).collect();
    format!("{up}{lines}\x1b[J")
}

/// One below the other, with an empty line in between.
fn below(drawn: usize, lines: &[String]) -> String {
    let between = if drawn > 0 { "\n" } else { "" };
    format!("{between}{}\n", lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::super::show::RED;
    use super::*;

    #[test]
    fn a_line_is_cut_at_the_width_and_coloured_only_where_it_may_be() {
        let line = Line::of("enclave").styled(RED, "down").plain("   boots 1");
        assert_eq!(line.write(usize::MAX, false), "enclave      down   boots 1");
        assert_eq!(line.write(15, false), "enclave      do");
        assert_eq!(line.write(5, true), "encla\u{1b}[1m\u{1b}[31m\u{1b}[0m");
        let coloured = line.write(usize::MAX, true);
        assert_eq!(coloured, "enclave      \u{1b}[1m\u{1b}[31mdown\u{1b}[0m   boots 1");
    }

    #[test]
    fn a_drawing_goes_over_the_last_one_on_a_terminal_and_below_it_elsewhere() {
        let lines = ["a".to_owned(), "b".to_owned()];
        assert_eq!(over(0, &lines), "a\x1b[K\nb\x1b[K\n\x1b[J");
        assert_eq!(over(3, &lines), "\r\x1b[3Aa\x1b[K\nb\x1b[K\n\x1b[J");
        assert_eq!(below(0, &lines), "a\nb\n");
        assert_eq!(below(2, &lines), "\na\nb\n");
    }
}

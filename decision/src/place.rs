//! Where in a file of a pack something is wrong, for people.
//!
//! # Promises
//! - The line, counted from 1, where the parser knows it.
//! - No more than [`MAX_MESSAGE`] bytes of what a parser says: some quote what they were given.
//!
//! # Does not
//! - Name the file; the error that it goes into does.
//!
//! # Trusts
//! - Nobody.

use miette::Diagnostic;

/// Longest message of a parser that is repeated, in bytes.
const MAX_MESSAGE: usize = 240;

/// What is wrong with TOML.
pub(crate) fn toml(text: &str, error: &toml::de::Error) -> String {
    told(text, error.span().map(|span| span.start), error.message())
}

/// What is wrong with a schema or policies.
pub(crate) fn cedar(text: &str, error: &dyn Diagnostic) -> String {
    let first = error.labels().and_then(|mut labels| labels.next());
    told(text, first.map(|label| label.offset()), &error.to_string())
}

fn told(text: &str, offset: Option<usize>, message: &str) -> String {
    let message = shortened(message.lines().next().unwrap_or_default());
    match offset.and_then(|offset| text.get(..offset)) {
        Some(before) => format!("line {}: {message}", before.matches('\n').count() + 1),
        None => message.to_owned(),
    }
}

fn shortened(message: &str) -> &str {
    let end = (0..=MAX_MESSAGE.min(message.len())).rev().find(|&end| message.is_char_boundary(end));
    message.get(..end.unwrap_or(0)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_is_told_and_long_messages_are_cut() {
        assert_eq!(told("a\nb\nc", Some(4), "wrong\nmore"), "line 3: wrong");
        assert_eq!(told("a", None, "wrong"), "wrong");
        assert_eq!(told("a", Some(9), "beyond the end"), "beyond the end");
        assert_eq!(told("", Some(0), &"é".repeat(1000)).len(), "line 1: ".len() + MAX_MESSAGE);
    }
}

//! Regular expressions of JSON Schema, in the words of llguidance.
//!
//! Promises: a string that the result matches, the original matches as ECMA-262 reads it.
//!
//! Does not: check that it is a regular expression; the compiler does. Translates only what means something else there:
//! `.`, white space, and brackets and operators inside of a class. llguidance itself takes `\d` and `\w` as ASCII.
//!
//! Source: ECMA-262, sections 12.2, 12.3 and 22.2 (WhiteSpace, LineTerminator, CharacterClass).

use crate::grammar::shape::ShapeError;

/// `.` is any character but a line terminator.
const NOT_LINE_END: &str = r"[^\n\r\u{2028}\u{2029}]";
const SPACE: &str =
    r"\t\n\x0b\x0c\r \u{a0}\u{1680}\u{2000}-\u{200a}\u{2028}\u{2029}\u{202f}\u{205f}\u{3000}\u{feff}";

pub(super) fn ecmascript(pattern: &str) -> Result<String, ShapeError> {
    let mut out = String::with_capacity(pattern.len());
    let mut in_class = false;
    let mut rest = pattern;
    while let Some(char) = rest.chars().next() {
        let before = rest;
        rest = &rest[char.len_utf8()..];
        match char {
            '\\' => {
                let escaped = rest.chars().next();
                rest = &rest[escaped.map_or(0, char::len_utf8)..];
                escape(escaped, &mut out);
            }
            // Nothing, and anything, to ECMA-262; classes with a bracket in them to others.
            '[' if !in_class && (rest.starts_with(']') || rest.starts_with("^]")) => {
                return Err(ShapeError::Unsupported("pattern"));
            }
            // Operators between classes, here and there in different words.
            '-' if in_class && before.starts_with("--") => return Err(ShapeError::Unsupported("pattern")),
            '[' | '&' | '~' if in_class => out.extend(['\\', char]),
            '.' if !in_class => out.push_str(NOT_LINE_END),
            _ => {
                in_class = (in_class || char == '[') && char != ']';
                out.push(char);
            }
        }
    }
    Ok(out)
}

fn escape(char: Option<char>, out: &mut String) {
    match char {
        Some('s') => ["[", SPACE, "]"].iter().for_each(|part| out.push_str(part)),
        Some('S') => ["[^", SPACE, "]"].iter().for_each(|part| out.push_str(part)),
        other => {
            out.push('\\');
            out.extend(other);
        }
    }
}

//! What the tests of the tree itself share: the crate graph, the source files, and code without its comments.
//!
//! # Promises
//! - [`code_only`] keeps line numbers: whatever it takes out it replaces by spaces.
//!
//! # Does not
//! - Parse Rust. Macros that build tokens from strings are not followed.
//!
//! # Trusts
//! - cargo, and the tree that it reads.

#![allow(dead_code)] // each test program uses a part of it

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// The repository's root.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

/// `cargo metadata`, with what is already on this machine.
pub(crate) fn metadata(arguments: &[&str]) -> Value {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["metadata", "--offline", "--format-version", "1"]).args(arguments).current_dir(root());
    let output = cargo.output().unwrap();
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A field that must be a list.
pub(crate) fn list<'a>(value: &'a Value, field: &str) -> &'a [Value] {
    value[field].as_array().unwrap_or_else(|| panic!("{field} is no list"))
}

/// A field that must be text.
pub(crate) fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_else(|| panic!("{field} is no text"))
}

/// Every `.rs` file below the root, but for build output and hidden folders, with its path from the root.
pub(crate) fn rust_files() -> Vec<(String, String)> {
    let mut files = Vec::new();
    walk(&root(), &root(), &mut files);
    files.sort();
    assert!(files.len() > 50, "the source files were not found");
    files
}

fn walk(root: &Path, folder: &Path, files: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            if !name.starts_with('.') && name != "target" {
                walk(root, &path, files);
            }
        } else if name.ends_with(".rs") {
            let from_root = path.strip_prefix(root).unwrap().to_string_lossy().into_owned();
            files.push((from_root, fs::read_to_string(&path).unwrap()));
        }
    }
}

/// Source text without comments, strings and characters; line feeds stay where they were.
pub(crate) fn code_only(source: &str) -> String {
    let mut rest = source;
    let mut code = String::with_capacity(source.len());
    while let Some(first) = rest.chars().next() {
        let after_word = code.ends_with(|c: char| c.is_alphanumeric() || c == '_');
        let skip = skipped(rest, after_word);
        let (taken, left) = rest.split_at(if skip == 0 { first.len_utf8() } else { skip });
        match skip {
            0 => code.push_str(taken),
            _ => code.extend(taken.chars().map(|c| if c == '\n' { '\n' } else { ' ' })),
        }
        rest = left;
    }
    code
}

/// Bytes of the comment, string or character that `rest` begins with; 0 if it begins with code.
fn skipped(rest: &str, after_word: bool) -> usize {
    if rest.starts_with("//") {
        return rest.find('\n').unwrap_or(rest.len());
    }
    if rest.starts_with("/*") {
        return block_comment(rest);
    }
    if rest.starts_with('"') {
        return quoted(rest, 1);
    }
    if !after_word && let Some(length) = raw_string(rest) {
        return length;
    }
    character(rest)
}

fn block_comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0usize, 0usize);
    while at < rest.len() {
        match rest.as_bytes().get(at..at + 2) {
            Some(b"/*") => (depth, at) = (depth + 1, at + 2),
            Some(b"*/") => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    rest.len()
}

/// From a quote to its partner, backslashes respected.
fn quoted(rest: &str, start: usize) -> usize {
    let mut escaped = false;
    for (at, byte) in rest.bytes().enumerate().skip(start) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// `r"..."`, `r#"..."#`, `br"..."` and so on.
fn raw_string(rest: &str) -> Option<usize> {
    let body = ["br", "cr", "r"].iter().find_map(|prefix| rest.strip_prefix(prefix))?;
    let inner = body.trim_start_matches('#');
    let hashes = "#".repeat(body.len() - inner.len());
    let content = inner.strip_prefix('"')?;
    let end = content.find(&format!("\"{hashes}"))?;
    Some(rest.len() - content.len() + end + 1 + hashes.len())
}

/// `'x'` or `'\n'`, but not a lifetime.
fn character(rest: &str) -> usize {
    let Some(inner) = rest.strip_prefix('\'') else { return 0 };
    if inner.starts_with('\\') {
        let escaped = inner.char_indices().nth(2).map_or(inner.len(), |(at, _)| at);
        return inner[escaped..].find('\'').map_or(0, |at| 1 + escaped + at + 1);
    }
    let Some(one) = inner.chars().next() else { return 0 };
    if inner[one.len_utf8()..].starts_with('\'') { one.len_utf8() + 2 } else { 0 }
}

/// Whether `word` stands in `text` by itself; underscores belong to words.
pub(crate) fn has_word(text: &str, word: &str) -> bool {
    let part_of_word = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word).any(|(at, _)| {
        !text[..at].ends_with(part_of_word) && !text[at + word.len()..].starts_with(part_of_word)
    })
}

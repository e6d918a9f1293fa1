//! Where the data sets are, and reading them.

use anyhow::{Context, Result};
use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};

/// Names the folder with `train/` and `eval/`.
pub const VARIABLE: &str = "ADYTON_DATASETS";

/// The folder of data sets: what the variable names, or `../shared/datasets` beside the project.
pub fn folder() -> PathBuf {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/datasets");
    std::env::var_os(VARIABLE).map_or_else(beside, PathBuf::from)
}

/// The rows of a file of JSON lines below [`folder`].
///
/// # Errors
/// If the file is absent or a line is not of this kind; the message names it.
pub fn rows<T: DeserializeOwned>(name: &str) -> Result<Vec<T>> {
    let path = folder().join(name);
    let absent = || format!("{} is absent ({VARIABLE} names the folder of data sets)", path.display());
    let text = std::fs::read_to_string(&path).with_context(absent)?;
    let read = |(number, line): (usize, &str)| {
        serde_json::from_str(line).with_context(|| format!("{}:{}", path.display(), number + 1))
    };
    text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()).map(read).collect()
}

/// One JSON value of a file below [`folder`].
///
/// # Errors
/// If the file is absent, or is no JSON.
pub fn json(name: &str) -> Result<serde_json::Value> {
    let path = folder().join(name);
    let absent = || format!("{} is absent ({VARIABLE} names the folder of data sets)", path.display());
    let text = std::fs::read_to_string(&path).with_context(absent)?;
    serde_json::from_str(&text).with_context(|| path.display().to_string())
}

/// The fields of a CSV file below [`folder`] (RFC 4180), row by row, its first row left out.
///
/// # Errors
/// If the file is absent.
pub fn csv(name: &str) -> Result<Vec<Vec<String>>> {
    let path = folder().join(name);
    let absent = || format!("{} is absent ({VARIABLE} names the folder of data sets)", path.display());
    let text = std::fs::read_to_string(&path).with_context(absent)?;
    let (mut rows, mut row, mut field, mut quoted) = (Vec::new(), Vec::new(), String::new(), false);
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        match c {
            '"' if quoted && characters.peek() == Some(&'"') => field.extend(characters.next()),
            '"' => quoted = !quoted,
            ',' if !quoted => row.push(std::mem::take(&mut field)),
            '\n' if !quoted => {
                row.push(std::mem::take(&mut field));
                rows.push(std::mem::take(&mut row));
            }
            '\r' if !quoted => {}
            c => field.push(c),
        }
    }
    row.push(field);
    rows.push(row);
    Ok(rows.into_iter().skip(1).filter(|row| row.len() > 1).collect())
}

/// The names of all files below a folder of data sets that end so.
///
/// # Errors
/// If the folder is absent.
pub fn files(under: &str, ending: &str) -> Result<Vec<String>> {
    let mut found = Vec::new();
    let mut folders = vec![folder().join(under)];
    while let Some(at) = folders.pop() {
        let absent = || format!("{} is absent ({VARIABLE} names the folder of data sets)", at.display());
        for entry in std::fs::read_dir(&at).with_context(absent)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.to_string_lossy().ends_with(ending) {
                let name = path.strip_prefix(folder())?.to_string_lossy().into_owned();
                found.push(name);
            }
        }
    }
    found.sort();
    Ok(found)
}

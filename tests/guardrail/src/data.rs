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

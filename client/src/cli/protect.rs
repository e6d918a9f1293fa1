//! `adyton protect`: makes the list of protected documents of a policy pack from a folder of them.
//!
//! Promises
//! - Of the documents only names and salted fingerprints are written. The salt is new each time.
//! - A file that is not text, or too short to be known again, ends the command; nothing is left out without a word.

use super::commands::{at_path, read_file};
use super::exit::Failure;
use adyton_fingerprint::Protected;
use adyton_wire::manifest::MAX_POLICY_FILE;
use ring::rand::{SecureRandom, SystemRandom};
use serde_json::json;
use std::path::{Path, PathBuf};

/// Deepest folder within the folder.
const DEPTH: usize = 16;

/// Fingerprints every file under `folder` and writes the list.
pub(super) fn protect(folder: &Path, out: &Path, as_json: bool) -> Result<(), Failure> {
    let mut salt = [0; 32];
    SystemRandom::new().fill(&mut salt).map_err(|_| Failure::internal("no randomness for the salt"))?;
    let (mut list, mut files, mut all) = (Protected::new(salt), Vec::new(), 0);
    collect(folder, DEPTH, &mut files)?;
    files.sort();
    for path in &files {
        let text = String::from_utf8(read_file(path)?).map_err(|_| {
            at_path(path, "it is not text in UTF-8; convert it, or take it out of the folder")
        })?;
        let name = path.strip_prefix(folder).unwrap_or(path).display().to_string();
        all += list.add(&name, &text).map_err(|e| at_path(path, e))?;
    }
    let written = list.write();
    if written.len() as u64 > MAX_POLICY_FILE {
        let size =
            format!("{} bytes, and a file of a policy pack has at most {MAX_POLICY_FILE}", written.len());
        return Err(at_path(out, format!("the list would have {size}; protect fewer or shorter documents")));
    }
    std::fs::write(out, written).map_err(|e| at_path(out, e))?;
    if as_json {
        println!("{}", json!({ "documents": files.len(), "fingerprints": all }));
    } else {
        println!("{}: {all} fingerprints of {} documents", out.display(), files.len());
    }
    Ok(())
}

fn collect(folder: &Path, depth: usize, files: &mut Vec<PathBuf>) -> Result<(), Failure> {
    for entry in std::fs::read_dir(folder).map_err(|e| at_path(folder, e))? {
        let entry = entry.map_err(|e| at_path(folder, e))?;
        let kind = entry.file_type().map_err(|e| at_path(&entry.path(), e))?;
        if kind.is_dir() && depth > 0 {
            collect(&entry.path(), depth - 1, files)?;
        } else if kind.is_file() {
            files.push(entry.path());
        } else {
            return Err(at_path(&entry.path(), "it is neither a file nor a folder that is read"));
        }
    }
    Ok(())
}

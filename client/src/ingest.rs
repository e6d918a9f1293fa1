//! Documents of a folder, read and sent into a collection through a verified session.
//!
//! # Promises
//! - Nothing leaves before the enclave is verified: what sends is the session.
//! - What was written into this start of the enclave and has not changed is not sent again: a journal says so, one line for each
//!   document, written after the enclave has answered.
//!
//! # Does not
//! - Keep a text: the journal has digests.
//!
//! # Trusts
//! - The readers of PDF and HTML with nothing but text: one that panics costs that document.

use crate::chat::{ChatError, accepted, read};
use crate::session::{AttestedSession, Broken};
use hyper::Method;
use ring::digest::{SHA256, digest};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Largest file that is read, in bytes.
const MAX_FILE: u64 = 32 << 20;
/// Most bytes of text that go into one document: the enclave takes a request of 1 MiB, and JSON may double a text.
const MAX_TEXT: usize = 450 * 1024;
/// Columns of the text of an HTML file: wide, so that lines are broken where the document breaks them.
const COLUMNS: usize = 10_000;
/// Largest answer of the enclave's.
const MAX_ANSWER: usize = 64 * 1024;

/// Why a document was not written.
#[derive(Debug, Error)]
pub enum IngestError {
    /// The file could not be read.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// It is not what its ending says, or has no text.
    #[error("no text could be read from it; is it what its ending says?")]
    Unreadable,
    /// Too much.
    #[error("it has more than {0} KiB of text; cut it into several documents")]
    TooLarge(usize),
    /// The enclave refused it, or the connection broke.
    #[error(transparent)]
    Enclave(#[from] ChatError),
}

/// What becomes of every document of a run.
#[derive(Clone, Debug, Default)]
pub struct About {
    /// The collection.
    pub collection: String,
    /// The declared purpose.
    pub purpose: Option<String>,
    /// What else is known of each, by name.
    pub fields: BTreeMap<String, String>,
    /// 0 public to 3 restricted.
    pub classification: u8,
}

/// The files of a folder that can be read, and those below it, in the order of their names. Links are not followed.
///
/// # Errors
/// If the folder cannot be listed.
pub fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            let (kind, path) = (entry.file_type()?, entry.path());
            if kind.is_dir() {
                folders.push(path);
            } else if kind.is_file() && kind_of(&path).is_some() {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

#[derive(Clone, Copy)]
enum Kind {
    Text,
    Html,
    Pdf,
}

fn kind_of(path: &Path) -> Option<Kind> {
    match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
        "txt" | "md" | "markdown" => Some(Kind::Text),
        "html" | "htm" => Some(Kind::Html),
        "pdf" => Some(Kind::Pdf),
        _ => None,
    }
}

/// The text of a file.
///
/// # Errors
/// [`IngestError`]
pub fn text_of(path: &Path) -> Result<String, IngestError> {
    if fs::metadata(path)?.len() > MAX_FILE {
        return Err(IngestError::TooLarge(MAX_TEXT / 1024));
    }
    let bytes = fs::read(path)?;
    let text = match kind_of(path).ok_or(IngestError::Unreadable)? {
        Kind::Text => String::from_utf8(bytes).map_err(|_| IngestError::Unreadable)?,
        Kind::Html => html2text::from_read(bytes.as_slice(), COLUMNS).map_err(|_| IngestError::Unreadable)?,
        // The reader panics on some broken files.
        Kind::Pdf => std::panic::catch_unwind(|| pdf_extract::extract_text_from_mem(&bytes))
            .map_err(|_panicked| IngestError::Unreadable)?
            .map_err(|_| IngestError::Unreadable)?,
    };
    // PostgreSQL holds no zero byte, and no document means one.
    let text = text.replace('\0', "");
    match text.trim().len() {
        0 => Err(IngestError::Unreadable),
        length if length > MAX_TEXT => Err(IngestError::TooLarge(MAX_TEXT / 1024)),
        _ => Ok(text),
    }
}

/// The first heading of a Markdown text, or its first line.
pub fn title_of(text: &str) -> Option<String> {
    let line = text.lines().map(|line| line.trim_start_matches('#').trim()).find(|line| !line.is_empty())?;
    Some(line.chars().take(120).collect())
}

/// The body of the request that writes a document.
pub fn request(document: &str, text: &str, about: &About) -> Vec<u8> {
    let mut body = json!({
        "document": document, "title": title_of(text), "text": text,
        "fields": about.fields, "classification": about.classification,
    });
    if let Some(purpose) = &about.purpose {
        body["purpose"] = purpose.as_str().into();
    }
    body.to_string().into_bytes()
}

/// Writes a document. Returns how many passages it has.
///
/// # Errors
/// [`ChatError`]
pub async fn send(
    session: &AttestedSession,
    token: Option<&str>,
    collection: &str,
    body: Vec<u8>,
) -> Result<u64, ChatError> {
    let path = format!("/adyton/v1/collections/{collection}/documents");
    let response = accepted(session.send(Method::PUT, &path, token, body.into()).await?).await?;
    let answer: Value =
        serde_json::from_slice(&read(response, MAX_ANSWER).await?).map_err(|e| Broken(e.to_string()))?;
    Ok(answer["passages"].as_u64().unwrap_or(0))
}

/// What has been written into one start of one enclave.
#[derive(Debug)]
pub struct Journal {
    file: fs::File,
    /// The enclave's receipt key: another start has another.
    start: String,
    written: BTreeSet<String>,
}

impl Journal {
    /// Opens a journal, or begins it.
    ///
    /// # Errors
    /// If it cannot be read or written.
    pub fn open(path: &Path, session: &AttestedSession) -> io::Result<Journal> {
        let start = hex::encode(digest(&SHA256, session.claims().receipt_key().as_bytes()));
        let before = match fs::read_to_string(path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => String::new(),
            read => read?,
        };
        let written = before.lines().filter_map(|line| line.strip_prefix(start.as_str())?.strip_prefix(' '));
        let written = written.map(str::to_owned).collect();
        let file = fs::OpenOptions::new().create(true).append(true).open(path)?;
        Ok(Journal { file, start, written })
    }

    /// Whether exactly this was written already.
    pub fn has(&self, collection: &str, body: &[u8]) -> bool {
        self.written.contains(&line(collection, body))
    }

    /// Notes that it was written.
    ///
    /// # Errors
    /// If the line cannot be written.
    pub fn note(&mut self, collection: &str, body: &[u8]) -> io::Result<()> {
        let line = line(collection, body);
        writeln!(self.file, "{} {line}", self.start)?;
        self.written.insert(line);
        Ok(())
    }
}

fn line(collection: &str, body: &[u8]) -> String {
    format!("{collection} {}", hex::encode(digest(&SHA256, body)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_read_by_their_ending_and_broken_files_are_said() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: &[u8]| {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, bytes).unwrap();
            path
        };
        let text = write("b/leave.md", b"# Paid leave\n\n2.5 days a month.");
        let html = write("a.HTML", b"<html><script>x()</script><h1>Leave</h1><p>2.5 <b>days</b></p></html>");
        let broken = [
            write("broken.pdf", b"%PDF-1.4 but no more"),
            write("latin.txt", b"caf\xe9"),
            write("empty.txt", b" \n"),
        ];
        write("picture.png", b"no");
        assert_eq!(files(folder.path()).unwrap().len(), 5);
        assert_eq!(title_of(&text_of(&text).unwrap()).unwrap(), "Paid leave");
        let read = text_of(&html).unwrap();
        assert!(read.contains("Leave") && read.contains("days") && !read.contains("x()"), "{read}");
        for path in broken {
            assert!(matches!(text_of(&path), Err(IngestError::Unreadable)), "{}", path.display());
        }
        let long = write("long.txt", &vec![b'a'; MAX_TEXT + 1]);
        assert!(matches!(text_of(&long), Err(IngestError::TooLarge(_))));
    }

    #[test]
    fn a_pdf_has_its_text() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("leave.pdf");
        let content = "BT /F1 12 Tf 72 720 Td (Paid leave is 2.5 days.) Tj ET";
        let objects = [
            "<</Type/Catalog/Pages 2 0 R>>".to_owned(),
            "<</Type/Pages/Kids[3 0 R]/Count 1>>".to_owned(),
            "<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Contents 4 0 R/Resources<</Font<</F1 5 0 R>>>>>>".to_owned(),
            format!("<</Length {}>>stream\n{content}\nendstream", content.len()),
            "<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>".to_owned(),
        ];
        let mut pdf = "%PDF-1.4\n".to_owned();
        let mut places = Vec::new();
        for (number, object) in (1..).zip(&objects) {
            places.push(pdf.len());
            pdf.push_str(&format!("{number} 0 obj{object}endobj\n"));
        }
        let table = pdf.len();
        pdf.push_str("xref\n0 6\n0000000000 65535 f \n");
        places.iter().for_each(|at| pdf.push_str(&format!("{at:010} 00000 n \n")));
        pdf.push_str(&format!("trailer<</Size 6/Root 1 0 R>>\nstartxref\n{table}\n%%EOF"));
        fs::write(&path, pdf).unwrap();
        assert!(text_of(&path).unwrap().contains("Paid leave is 2.5 days."));
    }
}

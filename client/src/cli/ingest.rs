//! `adyton ingest`: the documents of a folder, into a collection.

use super::commands::{attested, read_token};
use super::exit::Failure;
use super::{Enclave, TokenArgs};
use crate::chat::ChatError;
use crate::ingest::{About, IngestError, Journal, files, request, send, text_of};
use adyton_attestation::anchor::TrustAnchor;
use anyhow::Context;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use std::path::PathBuf;

/// What to put where.
#[derive(Debug, Args)]
pub(super) struct Ingest {
    #[command(flatten)]
    enclave: Enclave,
    #[command(flatten)]
    token: TokenArgs,
    /// The folder; files below it count, too.
    folder: PathBuf,
    /// The collection.
    #[arg(long, value_name = "NAME")]
    collection: String,
    /// The declared purpose, on which the policy decides.
    #[arg(long)]
    purpose: Option<String>,
    /// What is known of all these documents, for row rules; may be repeated.
    #[arg(long = "field", value_name = "NAME=VALUE", value_parser = pair)]
    fields: Vec<(String, String)>,
    /// 0 public, 1 internal, 2 confidential, 3 restricted.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=3))]
    classification: u8,
    /// Where it is noted what was written, so that the next run need not send it again.
    #[arg(long, value_name = "FILE")]
    journal: Option<PathBuf>,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

pub(super) async fn ingest(anchor: &TrustAnchor, ingest: Ingest, json: bool) -> Result<(), Failure> {
    let token = read_token(&ingest.token)?;
    let of_folder =
        |reason: std::io::Error| Failure::internal(format!("{}: {reason}", ingest.folder.display()));
    let paths = files(&ingest.folder).map_err(of_folder)?;
    if paths.is_empty() {
        let text = format!("{}: no text, Markdown, HTML or PDF files", ingest.folder.display());
        return Err(Failure::internal(text));
    }
    let about = About {
        collection: ingest.collection.clone(),
        purpose: ingest.purpose,
        fields: ingest.fields.into_iter().collect(),
        classification: ingest.classification,
    };
    let session = attested(anchor, &ingest.enclave, json, false).await?;
    let journal = ingest.journal.unwrap_or_else(|| ingest.folder.join(".adyton-ingest"));
    let mut journal = Journal::open(&journal, &session)
        .with_context(|| journal.display().to_string())
        .map_err(Failure::internal)?;
    let bar = ProgressBar::new(paths.len() as u64);
    if let Ok(style) = ProgressStyle::with_template("writing  {bar:40} {pos}/{len} {msg}") {
        bar.set_style(style);
    }
    let (mut written, mut passages, mut unchanged, mut failed) = (0u64, 0u64, 0u64, Vec::new());
    for path in &paths {
        let name = path.strip_prefix(&ingest.folder).unwrap_or(path).display().to_string();
        bar.set_message(name.clone());
        let outcome = async {
            let body = request(&name, &text_of(path)?, &about);
            if journal.has(&about.collection, &body) {
                return Ok(None);
            }
            let count = send(&session, token.as_deref(), &about.collection, body.clone()).await?;
            journal.note(&about.collection, &body)?;
            Ok::<_, IngestError>(Some(count))
        };
        match outcome.await {
            Ok(Some(count)) => {
                written += 1;
                passages += count;
            }
            Ok(None) => unchanged += 1,
            // A document may be at fault; a connection or a right that is not there is so for all of them.
            Err(IngestError::Enclave(error)) if !is_of_document(&error) => {
                bar.finish_and_clear();
                return Err(error.into());
            }
            Err(error) => failed.push((name, error.to_string())),
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    if json {
        let failed: Vec<_> =
            failed.iter().map(|(name, why)| json!({ "document": name, "reason": why })).collect();
        println!(
            "{}",
            json!({ "documents": written, "passages": passages, "unchanged": unchanged, "failed": failed })
        );
    } else {
        println!(
            "{written} documents in {passages} passages into {}; {unchanged} were there already",
            about.collection
        );
        failed.iter().for_each(|(name, why)| eprintln!("  {name}: {why}"));
    }
    match failed.len() {
        0 => Ok(()),
        count => Err(Failure::internal(format!("{count} of {} documents were not written", paths.len()))),
    }
}

/// Whether the enclave refused this document, and may take the next.
fn is_of_document(error: &ChatError) -> bool {
    matches!(error, ChatError::Refused { status: 400 | 413, code, .. } if code != "no_such_collection")
}

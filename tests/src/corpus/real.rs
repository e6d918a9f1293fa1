//! Writes the manifest for a folder of real documents, which are not part of this repository.
//!
//! # Promises
//! - A document whose name ends with `-debug` is one of a debug enclave, and must be refused; every other is authentic.
//!
//! # Does not
//! - Copy a document. The manifest names each by its file and SHA-256.
//!
//! # Trusts
//! - Whoever collected and named the documents.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use ring::digest::{SHA256, digest};
use serde_json::{Value, json};

/// The manifest, as JSON.
///
/// # Errors
/// What the file system says.
pub fn manifest_of_real_documents(folder: &Path) -> io::Result<String> {
    let mut sums = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if let (Some(name), Some("cbor")) = (path.file_name(), path.extension().and_then(|e| e.to_str())) {
            sums.insert(name.to_string_lossy().into_owned(), hex::encode(digest(&SHA256, &fs::read(&path)?)));
        }
    }
    let vectors: Vec<Value> = sums.keys().map(|name| vector(name)).collect();
    let manifest = json!({
        "format": "adyton/corpus/v1", "root": null, "defaults": {}, "vectors": vectors, "sha256": sums,
    });
    Ok(serde_json::to_string_pretty(&manifest)? + "\n")
}

fn vector(name: &str) -> Value {
    let id = name.trim_end_matches(".cbor");
    let mut vector = json!({
        "id": id, "document": name, "level": "evidence", "expect": "accept",
        "clause": "AWS attestation process 3", "about": "a real document, judged at its own time",
    });
    if id.ends_with("-debug") {
        vector["level"] = json!("policy");
        vector["expect"] = json!("reject");
        vector["code"] = json!("debug-mode");
        vector["clause"] =
            json!("AWS user guide, \"Cryptographic attestation\": debug enclaves have zero PCRs");
        vector["about"] = json!("a real document of a debug enclave");
    }
    vector
}

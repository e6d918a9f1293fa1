//! Makes the corpus: documents and receipts that a verifier must accept or refuse, each with the reason.
//!
//! `tests/vectors/` holds what this module writes; a test makes it again and compares. The format, and the contract by
//! which a verifier in any language can run it, are in `docs/corpus.md`.
//!
//! # Promises
//! - The same bytes every time: keys come from a seed, signatures are those of RFC 6979 and RFC 8032.
//! - Each reject differs from something that is accepted in what its `about` says, and is rightly signed unless the
//!   signature is what is wrong: a verifier that leaves the check out accepts it.
//!
//! # Does not
//! - Contain a real document. Those are judged where a folder of them is at hand.
//!
//! # Trusts
//! - The mock module.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a corpus that cannot be made ends the run

mod certificates;
pub(crate) mod der;
mod envelopes;
mod expectations;
pub(crate) mod payloads;
mod real;
mod receipts;
mod world;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use ring::digest::{SHA256, digest};
use serde_json::{Map, Value, json};

pub use real::manifest_of_real_documents;
pub use receipts::receipts;

/// How much of a verifier a vector needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// The document, a root and a clock: what every verifier of Nitro documents has.
    Evidence,
    /// Also a policy about registers.
    Policy,
    /// Also a nonce, user data and a public key that are expected.
    Session,
    /// A limit or a rule of Adyton's own, on which others may differ.
    Adyton,
}

impl Level {
    fn word(self) -> &'static str {
        match self {
            Self::Evidence => "evidence",
            Self::Policy => "policy",
            Self::Session => "session",
            Self::Adyton => "adyton",
        }
    }
}

/// One question and its answer.
#[derive(Clone, Debug)]
pub struct Vector {
    id: String,
    level: Level,
    /// Name and bytes of its files; the first is its document.
    files: Vec<(String, Vec<u8>)>,
    with: Map<String, Value>,
    code: Option<&'static str>,
    clause: &'static str,
    about: String,
}

impl Vector {
    /// Another value for one of the defaults.
    pub(crate) fn with(&mut self, key: &str, value: Value) -> &mut Self {
        self.with.insert(key.to_owned(), value);
        self
    }

    /// Another level than its group's.
    pub(crate) fn level(&mut self, level: Level) -> &mut Self {
        self.level = level;
        self
    }

    fn entry(&self, document_key: &str) -> Value {
        let paths: Vec<&str> = self.files.iter().map(|(name, _)| name.as_str()).collect();
        let mut entry = json!({
            "id": self.id, "level": self.level.word(), "expect": self.code.map_or("accept", |_| "reject"),
            "clause": self.clause, "about": self.about,
        });
        entry[document_key] = if document_key == "document" { json!(paths[0]) } else { json!(paths) };
        if let Some(code) = self.code {
            entry["code"] = json!(code);
        }
        if !self.with.is_empty() {
            entry["with"] = Value::Object(self.with.clone());
        }
        entry
    }
}

/// All vectors of one kind, with what they have in common.
#[derive(Debug)]
pub struct Corpus {
    format: &'static str,
    document_key: &'static str,
    extension: &'static str,
    defaults: Value,
    root: Vec<u8>,
    level: Level,
    vectors: Vec<Vector>,
}

impl Corpus {
    /// How many must be refused, and how many accepted.
    pub fn counts(&self) -> (usize, usize) {
        let rejects = self.vectors.iter().filter(|vector| vector.code.is_some()).count();
        (rejects, self.vectors.len() - rejects)
    }

    /// The files, by their path from the corpus's folder.
    pub fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let mut files = BTreeMap::from([("root.der".to_owned(), self.root.clone())]);
        for (name, bytes) in self.vectors.iter().flat_map(|vector| &vector.files) {
            let before = files.insert(name.clone(), bytes.clone());
            assert!(before.is_none_or(|before| before == *bytes), "{name} is two files");
        }
        files.insert("manifest.json".to_owned(), self.manifest(&files).into_bytes());
        files
    }

    fn manifest(&self, files: &BTreeMap<String, Vec<u8>>) -> String {
        let sums: BTreeMap<&String, String> =
            files.iter().map(|(name, bytes)| (name, hex::encode(digest(&SHA256, bytes)))).collect();
        let vectors: Vec<Value> = self.vectors.iter().map(|v| v.entry(self.document_key)).collect();
        let manifest = json!({
            "format": self.format, "root": "root.der", "defaults": self.defaults, "vectors": vectors, "sha256": sums,
        });
        serde_json::to_string_pretty(&manifest).unwrap() + "\n"
    }

    /// Writes the folder anew; files that are no longer part of it go.
    ///
    /// # Errors
    /// What the file system says.
    pub fn write(&self, folder: &Path) -> io::Result<()> {
        match fs::remove_dir_all(folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        for (name, bytes) in self.files() {
            let path = folder.join(name);
            fs::create_dir_all(path.parent().unwrap_or(folder))?;
            fs::write(path, bytes)?;
        }
        Ok(())
    }

    fn group(&mut self, level: Level) {
        self.level = level;
    }

    fn push(
        &mut self,
        id: &str,
        files: Vec<(String, Vec<u8>)>,
        code: Option<&'static str>,
        clause: &'static str,
        about: &str,
    ) -> &mut Vector {
        assert!(self.vectors.iter().all(|vector| vector.id != id), "{id} is there twice");
        let (level, with) = (self.level, Map::new());
        self.vectors.push(Vector {
            id: id.to_owned(),
            level,
            files,
            with,
            code,
            clause,
            about: about.to_owned(),
        });
        self.vectors.last_mut().unwrap()
    }

    /// A document of its own that must be refused.
    fn reject(
        &mut self,
        id: &str,
        document: Vec<u8>,
        code: &'static str,
        clause: &'static str,
        about: &str,
    ) -> &mut Vector {
        let file = (format!("reject/{id}.{}", self.extension), document);
        self.push(id, vec![file], Some(code), clause, about)
    }

    /// A document of its own that must be accepted.
    fn accept(&mut self, id: &str, document: Vec<u8>, clause: &'static str, about: &str) -> &mut Vector {
        let file = (format!("accept/{id}.{}", self.extension), document);
        self.push(id, vec![file], None, clause, about)
    }
}

/// The corpus of attestation documents.
pub fn attestation() -> Corpus {
    let mut world = world::World::new();
    let mut corpus = Corpus {
        format: "adyton/corpus/v1",
        document_key: "document",
        extension: "cbor",
        defaults: world.defaults(),
        root: world.root(),
        level: Level::Evidence,
        vectors: Vec::new(),
    };
    envelopes::add(&mut corpus, &mut world);
    payloads::add(&mut corpus, &mut world);
    certificates::add(&mut corpus, &mut world);
    expectations::add(&mut corpus, &mut world);
    corpus
}

//! What the encoder says of texts, remembered in a file: a run that was stopped goes on where it was.

use adyton_encoder::{Encoder, Workspace};
use adyton_guardrail::meaning::{self, FEATURES, LAYERS, Reader, Unread};
use anyhow::{Context, Result};
use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use zeroize::Zeroizing;

/// Rows of a pass: windows have at most 480 characters.
const ROOM: usize = 512;
/// Bytes of one remembered text.
const RECORD: usize = 8 + 4 * FEATURES;

/// An encoder for the guardrail, one pass at a time.
pub struct Eyes {
    encoder: Encoder,
    work: Mutex<Workspace>,
}

/// The files of the encoder, as `make model` fetches them.
pub fn files() -> [PathBuf; 2] {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.cache/models");
    ["all-MiniLM-L6-v2.safetensors", "all-MiniLM-L6-v2.tokenizer.json"].map(|name| folder.join(name))
}

impl Eyes {
    /// Loads the encoder.
    ///
    /// # Errors
    /// If it is absent.
    pub fn open(threads: usize) -> Result<Arc<Eyes>> {
        let absent = || "the encoder is absent, fetch it with `make model`";
        let [weights, words] = files().map(std::fs::read);
        let encoder = Encoder::load(&weights.with_context(absent)?, &words.with_context(absent)?)?;
        let work = Mutex::new(Workspace::new(&encoder, ROOM, threads)?);
        Ok(Arc::new(Eyes { encoder, work }))
    }
}

impl meaning::Encoder for Eyes {
    fn rows(&self, text: &str) -> Result<Zeroizing<Vec<f32>>, Unread> {
        let mut work = self.work.lock().map_err(|_| Unread)?;
        let mut all = Zeroizing::new(Vec::new());
        for part in self.encoder.parts(text).map_err(|_| Unread)? {
            let rows = self.encoder.rows(&mut work, &part, LAYERS).map_err(|_| Unread)?;
            rows.iter().for_each(|row| all.extend_from_slice(row));
        }
        Ok(all)
    }

    fn vector(&self, text: &str) -> Result<Zeroizing<Vec<f32>>, Unread> {
        let tokens = self.encoder.tokens(text).map_err(|_| Unread)?;
        let mut work = self.work.lock().map_err(|_| Unread)?;
        let vectors = self.encoder.embed(&mut work, &[tokens]).map_err(|_| Unread)?;
        vectors.first().map(|vector| Zeroizing::new(vector.elements().to_vec())).ok_or(Unread)
    }
}

/// Features of texts, each computed once.
pub struct Memory {
    reader: Reader,
    known: HashMap<u64, Vec<f32>>,
    file: File,
    fresh: usize,
}

impl Memory {
    /// Opens the file, or begins it; what was written in part is left out.
    ///
    /// # Errors
    /// If the encoder is absent, or the file cannot be had.
    pub fn open(path: &Path) -> Result<Memory> {
        let reader = Reader::unprobed(Eyes::open(std::thread::available_parallelism()?.get())?);
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let whole = bytes.len() / RECORD * RECORD;
        file.set_len(whole as u64)?;
        let mut known = HashMap::new();
        for record in bytes[..whole].chunks_exact(RECORD) {
            let (hash, numbers) = record.split_at(8);
            let numbers = numbers.as_chunks::<4>().0.iter().map(|four| f32::from_le_bytes(*four)).collect();
            known.insert(u64::from_le_bytes(hash.try_into()?), numbers);
        }
        eprintln!("{} texts were read before", known.len());
        Ok(Memory { reader, known, file, fresh: 0 })
    }

    /// What the encoder says of the probe.
    ///
    /// # Errors
    /// If it says nothing.
    pub fn probe(&self) -> Result<Vec<f32>> {
        Ok(self.reader.probe()?.to_vec())
    }

    /// What it says of a text.
    ///
    /// # Errors
    /// If it says nothing, or the file cannot be written.
    pub fn of(&mut self, text: &str) -> Result<&[f32]> {
        let key = hash(text);
        if !self.known.contains_key(&key) {
            let features = self.reader.features(text).with_context(|| format!("{} bytes", text.len()))?;
            let mut record = key.to_le_bytes().to_vec();
            record.extend(features.iter().flat_map(|number| number.to_le_bytes()));
            self.file.write_all(&record)?;
            self.known.insert(key, features.to_vec());
            self.fresh += 1;
            if self.fresh.is_multiple_of(1000) {
                eprintln!("{} texts were read", self.fresh);
            }
        }
        Ok(&self.known[&key])
    }
}

fn hash(text: &str) -> u64 {
    let mixed = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let low = text.bytes().fold(0xcbf2_9ce4_8422_2325, mixed);
    // Two passes, so that no two of some 100,000 texts meet.
    text.bytes().rev().fold(low, mixed)
}

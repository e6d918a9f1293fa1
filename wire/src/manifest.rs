//! The release manifest: digests of everything that the enclave loads. PCR16 holds its digest.
//!
//! The manifest's *bytes* are measured, so they travel and are kept as they are; this module reads them.
//! The tokenizer and the chat template are part of the weights file (GGUF), and so of its digest.

use crate::stores::MAX_STORES_FILE;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use thiserror::Error;

/// The manifest's version that this code writes and reads.
pub const VERSION: u32 = 1;
/// Largest manifest, in bytes. A weights file of 8 GiB has 8192 chunk digests, about 550 KiB of JSON.
pub const MAX_MANIFEST: usize = 1 << 20;
/// Bytes of the weights that one digest covers.
pub const CHUNK_SIZE: u32 = 1 << 20;
/// Largest file of the policy pack, in bytes.
pub const MAX_POLICY_FILE: u64 = 1 << 20;
/// Largest file of the policy pack that the worker gets, in bytes: three of them travel in one control frame
/// ([`crate::channel::MAX_FRAME`]), and [`MAX_STORES_FILE`] beside them.
pub const MAX_WORKER_FILE: u64 = 38 * 1024;
/// The files of the policy pack that the worker gets.
pub const WORKER_FILES: [&str; 3] = ["guardrails.toml", "peers.json", "tools.toml"];
/// Largest weights file, in bytes.
pub const MAX_WEIGHTS: u64 = 8 << 30;
/// Largest weights file of an encoder, in bytes.
pub const MAX_ENCODER: u64 = 256 << 20;

/// The files of a policy pack, all required. Nothing else belongs to one.
pub const POLICY_FILES: [&str; 14] = [
    "adyton.cedarschema",
    "policies.cedar",
    "contexts.toml",
    "resources.toml",
    "behaviour.toml",
    "tools.toml",
    "stores.toml",
    "telemetry.toml",
    "approvers.json",
    "guardrails.toml",
    "protected.json",
    "issuers.json",
    "peers.json",
    "auditors.json",
];

/// What a release consists of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// [`VERSION`].
    pub version: u32,
    /// The name under which the API offers the model.
    pub model: String,
    /// The GGUF file.
    pub weights: Weights,
    /// The sentence encoder, if the release has one. Without it nothing is embedded and nothing retrieved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoder: Option<Encoder>,
    /// The policy pack: file name to file, the names of [`POLICY_FILES`].
    pub policy: BTreeMap<String, File>,
}

/// A sentence encoder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Encoder {
    /// The name under which the API offers it.
    pub name: String,
    /// The safetensors file.
    pub weights: Weights,
    /// The `tokenizer.json`.
    pub tokenizer: File,
}

/// A file that is checked as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// SHA-256.
    #[serde(with = "hex::serde")]
    pub sha256: [u8; 32],
    /// Bytes.
    pub size: u64,
}

/// The weights, checked chunk by chunk as they arrive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Weights {
    /// SHA-256 of the whole file.
    #[serde(with = "hex::serde")]
    pub sha256: [u8; 32],
    /// Bytes.
    pub size: u64,
    /// SHA-256 of each run of [`CHUNK_SIZE`] bytes; the last may be shorter.
    pub chunks: Vec<Digest>,
}

/// A SHA-256 in a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Digest(#[serde(with = "hex::serde")] pub [u8; 32]);

/// Why a manifest was refused.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum ManifestError {
    /// Over [`MAX_MANIFEST`].
    #[error("the manifest has {0} bytes, the limit is {MAX_MANIFEST}")]
    TooLarge(usize),
    /// Not the JSON of [`Manifest`].
    #[error("the manifest is malformed: {0}")]
    Syntax(String),
    /// Another version.
    #[error("the manifest has version {0}, this enclave reads {VERSION}")]
    Version(u32),
    /// A model's name would not be safe to print, or both have the same.
    #[error("the models' names must differ, each 1 to 64 letters, digits, dots, dashes or underscores")]
    Name,
    /// Size and chunk count do not belong together.
    #[error("weights of {size} bytes need {needed} chunk digests, the manifest has {listed}")]
    Chunks {
        /// The size it states.
        size: u64,
        /// Chunks of that size.
        needed: u64,
        /// Digests it lists.
        listed: usize,
    },
    /// The weights are empty, or over [`MAX_WEIGHTS`] or [`MAX_ENCODER`].
    #[error("weights of {0} bytes, between 1 and {MAX_WEIGHTS} are possible, of an encoder {MAX_ENCODER}")]
    WeightsSize(u64),
    /// The encoder's tokenizer is empty or over [`MAX_POLICY_FILE`].
    #[error("an encoder's tokenizer of {0} bytes, between 1 and {MAX_POLICY_FILE} are possible")]
    TokenizerSize(u64),
    /// A policy file is missing, unknown or too large.
    #[error(
        "the policy pack must have exactly the files {POLICY_FILES:?}, each at most {MAX_POLICY_FILE} bytes, \
         {WORKER_FILES:?} at most {MAX_WORKER_FILE}, stores.toml at most {MAX_STORES_FILE}"
    )]
    Policy,
}

impl Manifest {
    /// Reads and checks a manifest.
    ///
    /// # Errors
    /// [`ManifestError`], one variant per rule.
    pub fn parse(bytes: &[u8]) -> Result<Manifest, ManifestError> {
        if bytes.len() > MAX_MANIFEST {
            return Err(ManifestError::TooLarge(bytes.len()));
        }
        let manifest: Manifest =
            serde_json::from_slice(bytes).map_err(|e| ManifestError::Syntax(e.to_string()))?;
        manifest.check()?;
        Ok(manifest)
    }

    fn check(&self) -> Result<(), ManifestError> {
        if self.version != VERSION {
            return Err(ManifestError::Version(self.version));
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        let named = |name: &str| (1..=64).contains(&name.len()) && name.chars().all(plain);
        if !named(&self.model) {
            return Err(ManifestError::Name);
        }
        self.weights.check(MAX_WEIGHTS)?;
        if let Some(encoder) = &self.encoder {
            if !named(&encoder.name) || encoder.name == self.model {
                return Err(ManifestError::Name);
            }
            encoder.weights.check(MAX_ENCODER)?;
            if encoder.tokenizer.size == 0 || encoder.tokenizer.size > MAX_POLICY_FILE {
                return Err(ManifestError::TokenizerSize(encoder.tokenizer.size));
            }
        }
        let known = self.policy.len() == POLICY_FILES.len()
            && POLICY_FILES
                .iter()
                .all(|name| self.policy.get(*name).is_some_and(|file| file.size <= limit(name)));
        if known { Ok(()) } else { Err(ManifestError::Policy) }
    }
}

/// Most bytes of a file of the policy pack.
fn limit(name: &str) -> u64 {
    match name {
        "stores.toml" => MAX_STORES_FILE,
        _ if WORKER_FILES.contains(&name) => MAX_WORKER_FILE,
        _ => MAX_POLICY_FILE,
    }
}

impl Weights {
    fn check(&self, most: u64) -> Result<(), ManifestError> {
        let (size, chunks) = (self.size, &self.chunks);
        if size == 0 || size > most {
            return Err(ManifestError::WeightsSize(size));
        }
        let needed = size.div_ceil(u64::from(CHUNK_SIZE));
        if u64::try_from(chunks.len()) != Ok(needed) {
            return Err(ManifestError::Chunks { size, needed, listed: chunks.len() });
        }
        Ok(())
    }

    /// Offset, length and digest of each chunk, in order.
    pub fn ranges(&self) -> impl Iterator<Item = (u64, u32, [u8; 32])> + '_ {
        let mut offset = 0u64;
        self.chunks.iter().map(move |digest| {
            let at = offset;
            let length = self.size.saturating_sub(at).min(u64::from(CHUNK_SIZE)) as u32;
            offset = at.saturating_add(u64::from(length));
            (at, length, digest.0)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        let file = File { sha256: [1; 32], size: 10 };
        Manifest {
            version: VERSION,
            model: "smollm2-135m".into(),
            weights: Weights {
                sha256: [2; 32],
                size: u64::from(CHUNK_SIZE) + 5,
                chunks: vec![Digest([3; 32]), Digest([4; 32])],
            },
            encoder: Some(Encoder {
                name: "minilm".into(),
                weights: Weights { sha256: [5; 32], size: 7, chunks: vec![Digest([6; 32])] },
                tokenizer: file.clone(),
            }),
            policy: POLICY_FILES.iter().map(|n| ((*n).to_owned(), file.clone())).collect(),
        }
    }

    fn encoder(change: impl FnOnce(&mut Encoder)) -> Result<Manifest, ManifestError> {
        parse(|m| change(m.encoder.as_mut().unwrap()))
    }

    fn parse(change: impl FnOnce(&mut Manifest)) -> Result<Manifest, ManifestError> {
        let mut m = manifest();
        change(&mut m);
        Manifest::parse(&serde_json::to_vec(&m).unwrap())
    }

    #[test]
    fn each_rule_has_its_error() {
        assert_eq!(parse(|_| ()), Ok(manifest()));
        assert_eq!(parse(|m| m.version = 2), Err(ManifestError::Version(2)));
        assert_eq!(parse(|m| m.model = "a\nb".into()), Err(ManifestError::Name));
        assert!(matches!(parse(|m| m.weights.size = 1), Err(ManifestError::Chunks { needed: 1, .. })));
        assert_eq!(parse(|m| m.weights.size = 0), Err(ManifestError::WeightsSize(0)));
        assert!(parse(|m| m.encoder = None).is_ok());
        assert_eq!(encoder(|e| e.name = "smollm2-135m".into()), Err(ManifestError::Name));
        assert_eq!(encoder(|e| e.name = "a/b".into()), Err(ManifestError::Name));
        assert_eq!(
            encoder(|e| e.weights.size = MAX_ENCODER + 1),
            Err(ManifestError::WeightsSize(MAX_ENCODER + 1))
        );
        assert!(matches!(encoder(|e| e.weights.chunks.clear()), Err(ManifestError::Chunks { .. })));
        assert_eq!(encoder(|e| e.tokenizer.size = 0), Err(ManifestError::TokenizerSize(0)));
        assert_eq!(parse(|m| drop(m.policy.pop_first())), Err(ManifestError::Policy));
        let large = |name: &str, size: u64| parse(|m| m.policy.get_mut(name).unwrap().size = size);
        assert!(large("policies.cedar", MAX_POLICY_FILE).is_ok());
        assert_eq!(large("policies.cedar", MAX_POLICY_FILE + 1), Err(ManifestError::Policy));
        assert_eq!(large("peers.json", MAX_WORKER_FILE + 1), Err(ManifestError::Policy));
        assert_eq!(large("stores.toml", MAX_STORES_FILE + 1), Err(ManifestError::Policy));
        assert!(matches!(Manifest::parse(b"{}"), Err(ManifestError::Syntax(_))));
        assert!(matches!(Manifest::parse(&vec![b' '; MAX_MANIFEST + 1]), Err(ManifestError::TooLarge(_))));
    }

    #[test]
    fn ranges_cover_the_file() {
        let ranges: Vec<_> = manifest().weights.ranges().collect();
        assert_eq!(ranges, [(0, CHUNK_SIZE, [3; 32]), (u64::from(CHUNK_SIZE), 5, [4; 32])]);
    }
}

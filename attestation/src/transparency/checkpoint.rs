//! Signs and reads checkpoints: what a log says its size and root are.
//!
//! The text, whose first three lines with their line ends are what is signed:
//!
//! ```text
//! <origin>
//! <size in decimal>
//! <root in base64>
//!
//! — <origin> <base64 of 4 bytes of key id, then 64 bytes of Ed25519 signature>
//! ```
//!
//! The key id is the first four bytes of SHA-256(origin || 0x0a || 0x01 || public key).
//!
//! # Promises
//! - One checkpoint has one text: no extension lines, no leading zeros, no other base64, no missing line end.
//! - A [`VerifiedCheckpoint`] exists only where a signature of the named key over exactly these lines was verified.
//! - Signatures of others, as of witnesses, are passed over; one that names our key must verify.
//!
//! # Does not
//! - Say when it was signed: the format has no time.
//!
//! # Trusts
//! - The [`LogKey`] that the caller names.
//!
//! Source: C2SP tlog-checkpoint and signed-note; the key id as in Go's `golang.org/x/mod/sumdb/note`.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Serialize;

use super::tree::Hash;
use crate::ed25519::{PublicKey, SIGNATURE_LEN, Signer};
use crate::measurement::sha256;

/// Longest text: three lines and sixteen signatures of the longest origin are below 6 KiB.
pub const MAX_CHECKPOINT: usize = 8 * 1024;

/// Longest origin. Ours; a host name and a path fit.
pub const MAX_ORIGIN: usize = 128;

/// Most signature lines: the log's own and those of fifteen witnesses.
const MAX_SIGNATURES: usize = 16;

/// Bytes of a key id (C2SP signed-note, "Signatures").
const KEY_ID_LEN: usize = 4;

/// Ed25519 in the key id's input (C2SP signed-note, "Signature types").
const ED25519_TYPE: u8 = 1;

/// What a signature line begins with: an em dash (U+2014) and a space.
const SIGNATURE_START: &str = "\u{2014} ";

/// Why a text is no checkpoint of that log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointRefusal {
    /// Too long.
    #[error("the checkpoint has {size} bytes, more than the 8192 allowed; get it again")]
    TooLarge {
        /// Bytes offered.
        size: usize,
    },
    /// Not three lines, an empty one, and signature lines.
    #[error("the checkpoint is not origin, size, root, an empty line and signatures; get it again")]
    Lines,
    /// Another log.
    #[error("the checkpoint is of another log than the reference values name; get the one of that log")]
    Origin,
    /// Not a size.
    #[error("the checkpoint's size is not a plain decimal number; get it again")]
    Size,
    /// Not a root.
    #[error("the checkpoint's root is not 32 bytes in base64; get it again")]
    RootHash,
    /// A signature line in another form.
    #[error("signature line {line} of the checkpoint is malformed; get it again")]
    SignatureLine {
        /// Which, from 1.
        line: usize,
    },
    /// None of ours.
    #[error("the checkpoint carries no signature of the log's key; get the one that the log signed")]
    NotSigned,
    /// It names our key and does not verify.
    #[error("the log's signature on the checkpoint does not verify; it was altered or the key is another")]
    Signature,
    /// An origin that cannot be written.
    #[error(
        "a log's origin is 1 to 128 visible characters without \"+\"; choose one like log.example/releases"
    )]
    BadOrigin,
}

/// The name and key of a log. In JSON `{"origin": .., "ed25519": ..}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LogKey {
    origin: String,
    #[serde(rename = "ed25519")]
    key: PublicKey,
}

impl LogKey {
    /// A log is named like a key in C2SP signed-note: no spaces and no plus sign; ours is ASCII too.
    pub fn new(origin: &str, key: PublicKey) -> Result<Self, CheckpointRefusal> {
        let good = |c: u8| c.is_ascii_graphic() && c != b'+';
        if origin.is_empty() || origin.len() > MAX_ORIGIN || !origin.bytes().all(good) {
            return Err(CheckpointRefusal::BadOrigin);
        }
        Ok(Self { origin: origin.to_owned(), key })
    }

    /// The log's name.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Its public key.
    pub fn key(&self) -> PublicKey {
        self.key
    }

    /// The key id in signature lines.
    fn id(&self) -> [u8; KEY_ID_LEN] {
        let hash = sha256(&[self.origin.as_bytes(), b"\n", &[ED25519_TYPE], self.key.as_bytes()]);
        let [a, b, c, d, ..] = hash;
        [a, b, c, d]
    }
}

/// What a log says of itself. Making one proves nothing: see [`VerifiedCheckpoint`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// How many leaves.
    pub size: u64,
    /// The root over them.
    pub root: Hash,
}

impl Checkpoint {
    /// The signed text. The signer must hold the log's key, else nobody will accept it.
    pub fn sign(&self, log: &LogKey, signer: &Signer) -> String {
        self.sign_with(log, |body| signer.sign(body))
    }

    /// The same, where the key is held elsewhere: `sign` is given the bytes to sign.
    pub(crate) fn sign_with(&self, log: &LogKey, sign: impl FnOnce(&[u8]) -> [u8; SIGNATURE_LEN]) -> String {
        let body = self.body(log.origin());
        let mut signature = log.id().to_vec();
        signature.extend_from_slice(&sign(body.as_bytes()));
        format!("{body}\n{SIGNATURE_START}{} {}\n", log.origin(), STANDARD.encode(signature))
    }

    /// The lines that are signed.
    fn body(&self, origin: &str) -> String {
        format!("{origin}\n{}\n{}\n", self.size, STANDARD.encode(self.root))
    }
}

/// A checkpoint whose signature was verified under a key that the caller named. Made by [`verify`] alone.
///
/// ```compile_fail,E0451
/// use adyton_attestation::transparency::{Checkpoint, VerifiedCheckpoint};
/// let forged = VerifiedCheckpoint { checkpoint: Checkpoint { size: 1, root: [0; 32] } };
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VerifiedCheckpoint {
    checkpoint: Checkpoint,
}

impl VerifiedCheckpoint {
    /// What the log says.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }
}

/// Reads a checkpoint strictly and verifies the log's signature on it.
pub fn verify(text: &str, log: &LogKey) -> Result<VerifiedCheckpoint, CheckpointRefusal> {
    if text.len() > MAX_CHECKPOINT {
        return Err(CheckpointRefusal::TooLarge { size: text.len() });
    }
    let (body, signatures) = text.split_once("\n\n").ok_or(CheckpointRefusal::Lines)?;
    let checkpoint = read_body(body, log)?;
    let signatures = signatures.strip_suffix('\n').ok_or(CheckpointRefusal::Lines)?;
    let signed = checkpoint.body(log.origin());
    let mut found = false;
    for (line, text) in (1..).zip(signatures.split('\n')) {
        let malformed = CheckpointRefusal::SignatureLine { line };
        if line > MAX_SIGNATURES {
            return Err(malformed);
        }
        let (name, bytes) = read_signature(text).ok_or(malformed.clone())?;
        if name != log.origin() || !bytes.starts_with(&log.id()) {
            continue;
        }
        let signature =
            bytes.get(KEY_ID_LEN..).and_then(|bytes| <&[u8; SIGNATURE_LEN]>::try_from(bytes).ok());
        if !log.key.verifies(signed.as_bytes(), signature.ok_or(malformed)?) {
            return Err(CheckpointRefusal::Signature);
        }
        found = true;
    }
    if found { Ok(VerifiedCheckpoint { checkpoint }) } else { Err(CheckpointRefusal::NotSigned) }
}

fn read_body(body: &str, log: &LogKey) -> Result<Checkpoint, CheckpointRefusal> {
    let mut lines = body.split('\n');
    let (Some(origin), Some(size), Some(root), None) =
        (lines.next(), lines.next(), lines.next(), lines.next())
    else {
        return Err(CheckpointRefusal::Lines);
    };
    if origin != log.origin() {
        return Err(CheckpointRefusal::Origin);
    }
    // What is written back the same has no sign, no leading zero and no other spelling.
    let size = size.parse::<u64>().ok().filter(|n| n.to_string() == size).ok_or(CheckpointRefusal::Size)?;
    let root = STANDARD.decode(root).ok().and_then(|bytes| Hash::try_from(bytes).ok());
    Ok(Checkpoint { size, root: root.ok_or(CheckpointRefusal::RootHash)? })
}

/// The name and the bytes of a signature line.
fn read_signature(line: &str) -> Option<(&str, Vec<u8>)> {
    let (name, bytes) = line.strip_prefix(SIGNATURE_START)?.split_once(' ')?;
    let bytes = STANDARD.decode(bytes).ok().filter(|bytes| bytes.len() > KEY_ID_LEN)?;
    (!name.is_empty()).then_some((name, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ed25519::tests::signer;

    const ORIGIN: &str = "log.example/releases";

    fn log() -> LogKey {
        LogKey::new(ORIGIN, signer(1).public()).unwrap()
    }

    fn text() -> String {
        Checkpoint { size: 12, root: [7; 32] }.sign(&log(), &signer(1))
    }

    /// Go's own example key and note (`golang.org/x/mod/sumdb/note`, `example_test.go` and `note_test.go`).
    #[test]
    fn key_ids_are_those_of_go() {
        let key = STANDARD.decode("ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW").unwrap();
        let key: [u8; 32] = key[1..].try_into().unwrap();
        let log = LogKey::new("PeterNeumann", PublicKey::new(key)).unwrap();
        assert_eq!(hex::encode(log.id()), "c74f20a3");
        let signed = "If you think cryptography is the answer to your problem,\n\
                      then you don't know what your problem is.\n";
        let line = "\u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=";
        let (name, bytes) = read_signature(line).unwrap();
        assert_eq!(name, log.origin());
        assert!(bytes.starts_with(&log.id()));
        assert!(log.key().verifies(signed.as_bytes(), bytes[4..].try_into().unwrap()));
    }

    #[test]
    fn a_checkpoint_verifies_and_no_byte_of_it_can_change() {
        let text = text();
        let expected = Checkpoint { size: 12, root: [7; 32] };
        assert_eq!(verify(&text, &log()).unwrap().checkpoint(), &expected);
        for at in 0..text.len() {
            let mut changed = text.clone().into_bytes();
            changed[at] ^= 1;
            if let Ok(changed) = String::from_utf8(changed) {
                assert!(verify(&changed, &log()).is_err(), "byte {at}");
            }
        }
        for end in (0..text.len()).filter(|end| text.is_char_boundary(*end)) {
            assert!(verify(&text[..end], &log()).is_err(), "cut at {end}");
        }
    }

    #[test]
    fn the_table_of_refusals() {
        use CheckpointRefusal as Is;
        let good = text();
        let ours = good.lines().last().unwrap().to_owned();
        let witness = format!("{SIGNATURE_START}witness.example {}", STANDARD.encode([5; 76]));
        let both = format!("{good}{witness}\n");
        assert!(verify(&both, &log()).is_ok());
        let replaced = |from: &str, to: &str| good.replacen(from, to, 1);
        for (text, expected) in [
            (String::new(), Is::Lines),
            (replaced("\n\n", "\nextension\n\n"), Is::Lines),
            (replaced("12\n", ""), Is::Lines),
            (good.trim_end().to_owned(), Is::Lines),
            (replaced(ORIGIN, "log.example/other"), Is::Origin),
            (replaced("12\n", "012\n"), Is::Size),
            (replaced("12\n", "+12\n"), Is::Size),
            (replaced("12\n", "18446744073709551616\n"), Is::Size),
            (replaced("12\n", "13\n"), Is::Signature),
            (replaced("=\n", "\n"), Is::RootHash),
            (replaced("=\n", "==\n"), Is::RootHash),
            (format!("{good}\n"), Is::SignatureLine { line: 2 }),
            (replaced(SIGNATURE_START, "- "), Is::SignatureLine { line: 1 }),
            (format!("{good}{}", format!("{witness}\n").repeat(16)), Is::SignatureLine { line: 17 }),
            (good.replace(&ours, &witness), Is::NotSigned),
            ("x".repeat(MAX_CHECKPOINT + 1), Is::TooLarge { size: MAX_CHECKPOINT + 1 }),
        ] {
            assert_eq!(verify(&text, &log()).unwrap_err(), expected, "{text}");
        }
        let other = LogKey::new(ORIGIN, signer(2).public()).unwrap();
        assert_eq!(verify(&good, &other).unwrap_err(), Is::NotSigned);
        for bad in ["", "a b", "a+b", "a\n", "\u{e9}", &"x".repeat(MAX_ORIGIN + 1)] {
            assert_eq!(LogKey::new(bad, signer(1).public()).unwrap_err(), Is::BadOrigin);
        }
    }
}

//! The audit log of an enclave: what an entry is, how it is sealed, and how a log is verified.
//!
//! ```text
//! entry --+ salt -> leaf hash -> tree -> checkpoint, signed by the receipt key; root in each receipt
//!         + seal to each auditor -> record -> the host's disk
//! ```
//!
//! A boot of an enclave has one log, named by its origin, `adyton-audit/<boot in hex>`. The leaf is hashed
//! over the entry in the clear with a salt of its own in front, so whoever holds records alone can neither
//! read an entry nor guess one.
//!
//! # Promises
//! - One entry has one encoding ([`entry`]), and a leaf hash commits to it ([`record`]).
//! - Only the holder of an auditor's key opens a sealed entry ([`crate::seal`]), and only in its own boot and place.
//! - A [`VerifiedLog`] exists only where every checkpoint is signed and agrees with the entries in front of
//!   it.
//!
//! # Does not
//! - Read or write a file, or know how records are framed in one.
//! - Show what the enclave did not record.
//!
//! # Trusts
//! - The receipt key that the caller names; an attestation document says whose it is.
//!
//! Source: RFC 9162 (trees), C2SP tlog-checkpoint, RFC 9180 (sealing); bytes in `docs/audit.md`.

pub mod entry;
pub mod record;
pub mod verify;

use crate::ed25519::PublicKey;
use crate::receipt::{ReceiptKey, ReceiptSigner};
use crate::transparency::{Checkpoint, CheckpointRefusal, LogKey};

pub use entry::{Entry, EntryError};
pub use record::{Record, RecordError};
pub use verify::{AuditRefusal, Replay, Seen, VerifiedLog};

/// What the origin of an audit log begins with; the boot follows in hex.
const ORIGIN: &str = "adyton-audit/";

/// Domain separation: no other digest of ours begins with this.
const DOCUMENT_DOMAIN: &[u8] = b"adyton/audit-document/v1";

/// The name and key of the log of one boot.
pub fn log_key(boot: &[u8; 16], key: &ReceiptKey) -> Result<LogKey, CheckpointRefusal> {
    LogKey::new(&format!("{ORIGIN}{}", hex::encode(boot)), PublicKey::new(*key.as_bytes()))
}

/// `user_data` and `nonce` of the document that stands in front of a log and shows whose key signs it. They
/// fit no session, whose nonce a client chooses.
pub fn document_fields(boot: &[u8; 16]) -> ([u8; 48], [u8; 32]) {
    let nonce = crate::measurement::sha256(&[DOCUMENT_DOMAIN, b"/nonce", boot]);
    (crate::measurement::sha384(&[DOCUMENT_DOMAIN, boot]), nonce)
}

/// The boot that the first line of a checkpoint names, unverified; `None` if it is of no audit log.
pub fn boot_of(checkpoint: &str) -> Option<[u8; 16]> {
    let mut boot = [0; 16];
    let origin = checkpoint.lines().next()?.strip_prefix(ORIGIN)?;
    hex::decode_to_slice(origin, &mut boot).ok()?;
    Some(boot)
}

/// Signs a checkpoint of the log of `boot` with the receipt key.
pub fn sign_checkpoint(
    checkpoint: &Checkpoint,
    boot: &[u8; 16],
    signer: &ReceiptSigner,
) -> Result<String, CheckpointRefusal> {
    let log = log_key(boot, signer.public())?;
    Ok(checkpoint.sign_with(&log, |lines| signer.sign_lines(lines)))
}

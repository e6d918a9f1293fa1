//! Compares two files of reference values: can both be what one honest publisher, and one honest log, handed out?
//!
//! # Promises
//! - Versions contradict each other only under a common signer, logs only under the log's own signature on both roots.
//! - A proof of growth that is there and does not verify is a contradiction too; it says to get the file again, for a proof
//!   is not signed.
//! - Where two files cannot be compared, the answer is "not comparable", never "consistent".
//!
//! # Does not
//! - Judge either file; [`ReferenceFile::verify`] does.
//!
//! # Trusts
//! - Nobody: only signatures that verify count.

use super::file::ReferenceFile;
use super::log::LogRefusal;
use crate::transparency::Forked;

/// What two files show about each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compared {
    /// Whether their versions could be compared: the same name, and a common signer.
    pub versions: bool,
    /// Whether their logs could be compared: the same log, and the same size or a proof of growth between the sizes.
    pub logs: bool,
}

/// Two files that cannot both be honest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Contradiction {
    /// Two payloads of one version.
    #[error(
        "both files are version {version} of the same name, signed by the same key, and their content differs; keep both"
    )]
    Versions {
        /// The version.
        version: u64,
    },
    /// Two logs under one key.
    #[error("{0}")]
    Logs(Forked),
}

/// Compares two files, in any order.
pub fn compare(one: &ReferenceFile, other: &ReferenceFile) -> Result<Compared, Contradiction> {
    Ok(Compared { versions: versions(one, other)?, logs: logs(one, other)? })
}

fn versions(one: &ReferenceFile, other: &ReferenceFile) -> Result<bool, Contradiction> {
    let (a, b) = (one.payload(), other.payload());
    let signed = other.signed_by();
    if a.name != b.name || !one.signed_by().iter().any(|key| signed.contains(key)) {
        return Ok(false);
    }
    if a.version == b.version && one.payload_sha256() != other.payload_sha256() {
        return Err(Contradiction::Versions { version: a.version });
    }
    Ok(true)
}

fn logs(one: &ReferenceFile, other: &ReferenceFile) -> Result<bool, Contradiction> {
    let shown = |file: &ReferenceFile| {
        let checkpoint = file.in_log().ok()??;
        Some((file.payload().log.clone()?, file.log()?.clone(), checkpoint))
    };
    let (Some(a), Some(b)) = (shown(one), shown(other)) else { return Ok(false) };
    if a.0 != b.0 {
        return Ok(false);
    }
    let (earlier, later) = if a.2.size <= b.2.size { (a, b) } else { (b, a) };
    match later.1.follows(&earlier.2, &later.2) {
        Ok(_) => Ok(true),
        Err(LogRefusal::Forked(fork)) => Err(Contradiction::Logs(fork)),
        // Without a proof between these two sizes nothing is known.
        Err(_) => Ok(false),
    }
}

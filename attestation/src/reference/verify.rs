//! Judges a signed file of reference values: who signed it, whether it is current, and whether it goes back or forks.
//!
//! The steps, in this order: name, rollback, signatures, equivocation, validity, log, what is left. `docs/reference-values.md`
//! describes each.
//!
//! # Promises
//! - Only [`ReferenceFile::verify`] makes a [`VerifiedReference`], and only from a file that passed every step.
//! - A file is called an equivocation only if those who could sign that version signed this one too.
//! - What is to be remembered comes with the proof; the caller keeps it once everything else succeeded too.
//!
//! # Does not
//! - Read a clock or a file: `now` and what was seen are parameters.
//!
//! # Trusts
//! - The pinned signers, those whom an accepted version names for its successor, and the caller's clock and record.
//!
//! Source: The Update Framework, section 5.3 (each version is signed by those whom the one before names).

use std::fmt;

use super::ReferenceValues;
use super::file::ReferenceFile;
use super::log::LogRefusal;
use super::payload::{NothingLeft, Payload};
use super::seen::{Seen, SeenLog};
use super::signers::{Signers, Trust};
use crate::time::Timestamp;
use crate::transparency::Checkpoint;

/// How far the publisher's clock and ours may differ.
const LEEWAY_MS: u64 = 60_000;

/// By which rule certain signers had to sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authority {
    /// The relying party pinned them.
    Pinned,
    /// The version seen last names them for the next.
    Previous,
    /// They had to sign this version when it was seen first.
    Same,
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pinned => "the signers that you pinned",
            Self::Previous => "the signers that the version seen last names for the next",
            Self::Same => "the signers of this version when it was first seen",
        })
    }
}

/// Why a signed file is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FileRefusal {
    /// Another name.
    #[error("the file is of other reference values than the name that you pinned; get the one of that name")]
    Name,
    /// An older version.
    #[error(
        "the file is version {version}, and version {seen} was seen before; somebody offers you an old one"
    )]
    Rollback {
        /// Of the file.
        version: u64,
        /// Seen before.
        seen: u64,
    },
    /// Too few signatures.
    #[error(
        "{valid} of {authority} signed the file, and {needed} must; get the file from its publisher again"
    )]
    Signatures {
        /// Distinct signers whose signature verifies.
        valid: u32,
        /// How many must.
        needed: u32,
        /// Of whom.
        authority: Authority,
    },
    /// Another payload of the same version.
    #[error(
        "two files of version {version} are signed, with different content; their signers equivocate, so keep both and ask \
         the publisher"
    )]
    Equivocation {
        /// The version.
        version: u64,
    },
    /// The clock is before it was issued.
    #[error(
        "the file was issued at {issued}, and this clock says {now}; the clock is behind, or the publisher's was ahead, so \
         set it"
    )]
    NotYet {
        /// Begin.
        issued: Timestamp,
        /// The caller's clock.
        now: Timestamp,
    },
    /// The clock is after its end.
    #[error(
        "the file expired at {expires}, and this clock says {now}; get the next version, or set the clock"
    )]
    Expired {
        /// End.
        expires: Timestamp,
        /// The caller's clock.
        now: Timestamp,
    },
    /// The log.
    #[error(transparent)]
    Log(#[from] LogRefusal),
    /// No log any more.
    #[error(
        "the version seen last was in a log, and this one names none; ask the publisher before you forget that one"
    )]
    LogDropped,
    /// Another log.
    #[error("the version seen last was in another log; ask the publisher before you forget that one")]
    LogChanged,
    /// Nothing is accepted.
    #[error(transparent)]
    NothingLeft(#[from] NothingLeft),
}

/// Reference values from a file that passed every step. Made by [`ReferenceFile::verify`] alone.
///
/// ```compile_fail,E0451
/// use adyton_attestation::reference::VerifiedReference;
/// let forged = VerifiedReference { values: todo!(), payload: todo!(), seen: todo!() };
/// ```
#[derive(Clone, Debug)]
pub struct VerifiedReference {
    values: ReferenceValues,
    payload: Payload,
    seen: Seen,
}

impl VerifiedReference {
    /// What is accepted.
    pub fn values(&self) -> &ReferenceValues {
        &self.values
    }

    /// What is accepted, by value.
    pub fn into_values(self) -> ReferenceValues {
        self.values
    }

    /// All that the file says.
    pub fn payload(&self) -> &Payload {
        &self.payload
    }

    /// Until when it is accepted, leeway included.
    pub fn valid_until(&self) -> Timestamp {
        self.payload.expires.plus_millis(LEEWAY_MS)
    }

    /// What to remember.
    pub fn seen(&self) -> &Seen {
        &self.seen
    }
}

impl ReferenceFile {
    /// Judges the file. `seen` is what was remembered under its name, if anything.
    pub fn verify(
        &self,
        trust: &Trust,
        seen: Option<&Seen>,
        now: Timestamp,
    ) -> Result<VerifiedReference, FileRefusal> {
        let payload = self.payload();
        if !trust.accepts_name(&payload.name) {
            return Err(FileRefusal::Name);
        }
        let seen = seen.filter(|seen| seen.name == payload.name);
        if let Some(seen) = seen
            && payload.version < seen.version
        {
            return Err(FileRefusal::Rollback { version: payload.version, seen: seen.version });
        }
        let signers = self.signed(trust, seen)?;
        self.no_other_of_this_version(seen)?;
        valid_at(payload, now)?;
        let log = self.logged(seen)?;
        Ok(VerifiedReference {
            values: payload.accepted()?,
            payload: payload.clone(),
            seen: Seen {
                name: payload.name.clone(),
                version: payload.version,
                payload_sha256: self.payload_sha256(),
                pinned: trust.signers().clone(),
                authority: signers.clone(),
                next: payload.signers.clone(),
                log,
            },
        })
    }

    /// Whether enough of those who may sign this version did; gives them back.
    fn signed<'a>(&self, trust: &'a Trust, seen: Option<&'a Seen>) -> Result<&'a Signers, FileRefusal> {
        let (signers, authority) = match seen {
            // Other pins than before are the relying party's wish: they decide, and versions still count.
            Some(seen) if seen.pinned != *trust.signers() => (trust.signers(), Authority::Pinned),
            Some(seen) if seen.version == self.payload().version => (&seen.authority, Authority::Same),
            Some(seen) => (&seen.next, Authority::Previous),
            None => (trust.signers(), Authority::Pinned),
        };
        let (valid, needed) = (signers.count(&self.message(), self.signatures()), signers.threshold());
        if valid < needed {
            return Err(FileRefusal::Signatures { valid, needed, authority });
        }
        Ok(signers)
    }

    fn no_other_of_this_version(&self, seen: Option<&Seen>) -> Result<(), FileRefusal> {
        let version = self.payload().version;
        match seen {
            Some(seen) if seen.version == version && seen.payload_sha256 != self.payload_sha256() => {
                Err(FileRefusal::Equivocation { version })
            }
            _ => Ok(()),
        }
    }

    /// What the log says of itself, if the payload names one and is shown to be in it. Says nothing about who signed the
    /// file, nor whether the log kept what was seen.
    pub fn in_log(&self) -> Result<Option<Checkpoint>, LogRefusal> {
        match (&self.payload().log, self.log()) {
            (None, None) => Ok(None),
            (None, Some(_)) => Err(LogRefusal::Unnamed),
            (Some(_), None) => Err(LogRefusal::Absent),
            (Some(key), Some(proof)) => proof.verify(key, self.payload(), &self.payload_sha256()).map(Some),
        }
    }

    /// What the log shows, if the payload names one, and whether it follows from what was seen.
    fn logged(&self, seen: Option<&Seen>) -> Result<Option<SeenLog>, FileRefusal> {
        let before = seen.and_then(|seen| seen.log.as_ref());
        match (&self.payload().log, before) {
            (None, Some(_)) => return Err(FileRefusal::LogDropped),
            (Some(key), Some(before)) if before.key != *key => return Err(FileRefusal::LogChanged),
            _ => {}
        }
        let now = self.in_log()?;
        let (Some(key), Some(proof), Some(now)) = (&self.payload().log, self.log(), now) else {
            return Ok(None);
        };
        if let Some(before) = before {
            proof.follows(&before.checkpoint(), &now)?;
        }
        Ok(Some(SeenLog { key: key.clone(), size: now.size, root: now.root }))
    }
}

fn valid_at(payload: &Payload, now: Timestamp) -> Result<(), FileRefusal> {
    if payload.issued > now.plus_millis(LEEWAY_MS) {
        return Err(FileRefusal::NotYet { issued: payload.issued, now });
    }
    if now > payload.expires.plus_millis(LEEWAY_MS) {
        return Err(FileRefusal::Expired { expires: payload.expires, now });
    }
    Ok(())
}

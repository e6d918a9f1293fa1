//! Answers the questions of a corpus: here are a document and what a verifier expects; accept or reject, and why?
//!
//! A corpus brings a root of its own, because nobody but AWS can sign under AWS's. This module is the one place where
//! shipped code appraises under another root, and it gives away a verdict only: no claims, no session, no receipt.
//! The format is described in `docs/corpus.md`.
//!
//! # Promises
//! - A verdict is made by the same functions that appraise a live enclave.
//! - No [`crate::appraisal::VerifiedClaims`] leave this module, so no corpus can open a connection.
//!
//! # Does not
//! - Read files or run programs.
//!
//! # Trusts
//! - Nobody: a case is bounded by its caller, and strictly read.

mod receipts;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::anchor::{TrustAnchor, dangerous::development_anchor};
use crate::appraisal::{
    ArchivedExpectation, Class, Expectation, Refusal, Report, appraise, appraise_archived_against,
};
use crate::binding::{EXPORTER_LEN, NONCE_LEN, Role, SessionBinding};
use crate::chain_cache::ChainCache;
use crate::endorsement::Endorsement;
use crate::receipt::encoding::base64_bytes;
use crate::reference::ReferenceValues;
use crate::time::Timestamp;

pub use receipts::{ReceiptCase, judge_receipts};

/// What a verifier answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "verdict", rename_all = "kebab-case")]
pub enum Verdict {
    /// Everything that was asked for holds.
    Accept,
    /// Something does not.
    Reject {
        /// The reason, in one word.
        code: &'static str,
        /// The kind of reason, where a document was appraised.
        #[serde(skip_serializing_if = "Option::is_none")]
        class: Option<Class>,
        /// The reason, in words.
        reason: String,
    },
}

impl Verdict {
    fn reject(code: &'static str, class: Option<Class>, reason: impl ToString) -> Self {
        Self::Reject { code, class, reason: reason.to_string() }
    }

    /// The code of a rejection.
    pub fn code(&self) -> Option<&'static str> {
        match self {
            Self::Accept => None,
            Self::Reject { code, .. } => Some(code),
        }
    }
}

impl From<&Refusal> for Verdict {
    fn from(refusal: &Refusal) -> Self {
        Self::reject(refusal.code(), Some(refusal.class()), refusal)
    }
}

/// One document, and what is expected of it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// The document.
    #[serde(with = "base64_bytes")]
    document: Vec<u8>,
    /// The root to trust, DER. Absent: AWS's.
    #[serde(default)]
    root: Option<Root>,
    /// The verifier's clock. Absent: the document is from an archive, and judged at its own time.
    #[serde(default)]
    now_ms: Option<Timestamp>,
    /// The greatest age of the document.
    #[serde(default)]
    max_age_ms: u64,
    /// The nonce that the verifier sent.
    #[serde(default)]
    nonce: Option<Nonce>,
    /// What the verifier's own end of the connection says.
    #[serde(default)]
    session: Option<Session>,
    /// Reference values. Absent: the case is about the document alone.
    #[serde(default)]
    policy: Option<Value>,
    /// The operator's word about the enclave.
    #[serde(default)]
    endorsement: Option<Value>,
}

/// A root certificate, DER, in base64.
#[derive(Clone, Debug, Deserialize)]
#[serde(transparent)]
struct Root(#[serde(with = "base64_bytes")] Vec<u8>);

#[derive(Clone, Debug, Deserialize)]
#[serde(transparent)]
struct Nonce(#[serde(with = "hex::serde")] [u8; NONCE_LEN]);

/// The parts of a session binding.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Session {
    role: Role,
    #[serde(with = "hex::serde")]
    exporter: [u8; EXPORTER_LEN],
    #[serde(with = "hex::serde")]
    spki_sha384: [u8; 48],
    #[serde(with = "hex::serde")]
    manifest_sha384: [u8; 48],
    /// What follows from the four above; for verifiers that do not compute it.
    #[serde(default, rename = "user_data")]
    _user_data: Option<String>,
}

impl Session {
    fn binding(&self) -> SessionBinding {
        let Session { role, exporter, spki_sha384, manifest_sha384, .. } = *self;
        SessionBinding { role, exporter, spki_sha384, manifest_sha384 }
    }
}

/// Why a case cannot be judged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CaseError {
    /// Not the JSON of a case.
    #[error("the case is not readable: {reason}; see docs/corpus.md")]
    Json {
        /// What the parser says, with its line and column.
        reason: String,
    },
    /// A live case lacks what a live document is compared with.
    #[error("a case with \"now_ms\" needs \"nonce\", \"session\" and \"policy\"; see docs/corpus.md")]
    Incomplete,
}

impl Case {
    /// Reads a case, strictly.
    ///
    /// # Errors
    /// [`CaseError::Json`]
    pub fn from_json(json: &[u8]) -> Result<Self, CaseError> {
        serde_json::from_slice(json).map_err(|error| CaseError::Json { reason: error.to_string() })
    }
}

/// Judges one document. The report is absent where the policy or the endorsement was refused before it was looked at.
///
/// # Errors
/// [`CaseError::Incomplete`]
pub fn judge(case: &Case) -> Result<(Option<Report>, Verdict), CaseError> {
    let anchor = anchor(case.root.as_ref());
    let reference = match case.policy.as_ref().map(reference).transpose() {
        Ok(reference) => reference,
        Err(verdict) => return Ok((None, verdict)),
    };
    let endorsement = match case.endorsement.as_ref().map(endorsement).transpose() {
        Ok(endorsement) => endorsement,
        Err(verdict) => return Ok((None, verdict)),
    };
    let (report, verdict) = match case.now_ms {
        Some(now) => live(case, &anchor, reference.as_ref(), endorsement.as_ref(), now)?,
        None => archived(case, &anchor, reference.as_ref(), endorsement.as_ref()),
    };
    Ok((Some(report), verdict))
}

fn anchor(root: Option<&Root>) -> TrustAnchor {
    root.map_or_else(TrustAnchor::aws_nitro_g1, |root| development_anchor(root.0.clone()))
}

fn reference(policy: &Value) -> Result<ReferenceValues, Verdict> {
    let read = ReferenceValues::from_json(policy.to_string().as_bytes());
    read.map_err(|error| Verdict::reject(error.code(), None, error))
}

fn endorsement(file: &Value) -> Result<Endorsement, Verdict> {
    let read = Endorsement::from_json(file.to_string().as_bytes());
    read.map_err(|error| Verdict::from(&Refusal::Endorsement(error)))
}

fn live(
    case: &Case,
    anchor: &TrustAnchor,
    reference: Option<&ReferenceValues>,
    endorsement: Option<&Endorsement>,
    now: Timestamp,
) -> Result<(Report, Verdict), CaseError> {
    let (Some(nonce), Some(session), Some(reference)) = (&case.nonce, &case.session, reference) else {
        return Err(CaseError::Incomplete);
    };
    let expect = Expectation {
        anchor,
        reference,
        now,
        nonce: nonce.0,
        max_age: Duration::from_millis(case.max_age_ms),
        binding: session.binding(),
        endorsement,
    };
    let (report, claims) = appraise(&case.document, &expect);
    Ok((report, verdict(&claims.map(drop))))
}

fn archived(
    case: &Case,
    anchor: &TrustAnchor,
    reference: Option<&ReferenceValues>,
    endorsement: Option<&Endorsement>,
) -> (Report, Verdict) {
    let binding = case.session.as_ref().map(Session::binding);
    let session = case.nonce.as_ref().map(|nonce| &nonce.0).zip(binding.as_ref());
    let expect = ArchivedExpectation { reference, session, endorsement };
    let (report, claims) = appraise_archived_against(&case.document, anchor, &expect, &mut ChainCache::new());
    (report, verdict(&claims.map(drop)))
}

fn verdict(result: &Result<(), Refusal>) -> Verdict {
    match result {
        Ok(()) => Verdict::Accept,
        Err(refusal) => refusal.into(),
    }
}

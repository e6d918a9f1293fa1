//! Checks offline, years later, a receipt together with everything that it refers to.
//!
//! # Promises
//! - A [`VerifiedReceipt`] exists only where the document is authentic at its own time and binds the session, its key
//!   signed the receipt, the manifest is the measured one, and request and response are the committed ones.
//! - A receipt of an answer that was cut is refused unless the caller says [`CutReceipts::Accept`].
//!
//! # Does not
//! - Show who asked or who kept the bundle, nor that the model's answer is right.
//! - Say whose enclave it was, unless reference values with an owner are given.
//!
//! # Trusts
//! - The anchor, and a leaf key that was not stolen since; see [`crate::appraisal::ArchivedClaims`].

use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

use super::encoding;
use super::{Receipt, ReceiptBody, ReceiptRefusal, ResponseChain, Status, commit_request, verify};
use crate::anchor::TrustAnchor;
use crate::appraisal::{
    ArchivedClaims, ArchivedExpectation, Ledger, Listed, Refusal, Report, Seen, appraise_archived_against,
    seen,
};
use crate::binding::{Role, SessionBinding, manifest_sha384};
use crate::chain_cache::ChainCache;
use crate::endorsement::Endorsement;
use crate::reference::ReferenceValues;

/// Everything that a receipt refers to, as a client keeps it. In JSON each field is base64 (RFC 4648, section 4).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bundle {
    /// The receipt, COSE.
    #[serde(with = "encoding::base64_bytes")]
    pub receipt: Vec<u8>,
    /// The attestation document of the session.
    #[serde(with = "encoding::base64_bytes")]
    pub document: Vec<u8>,
    /// The release manifest, byte for byte.
    #[serde(with = "encoding::base64_bytes")]
    pub manifest: Vec<u8>,
    /// The salt of the commitments.
    #[serde(with = "encoding::base64_array")]
    pub salt: [u8; 32],
    /// The nonce of the session.
    #[serde(with = "encoding::base64_array")]
    pub nonce: [u8; 32],
    /// The TLS exporter of the session.
    #[serde(with = "encoding::base64_array")]
    pub exporter: [u8; 48],
    /// SHA-384 of the enclave certificate's SubjectPublicKeyInfo.
    #[serde(with = "encoding::base64_array")]
    pub spki_sha384: [u8; 48],
    /// The request's bytes.
    #[serde(with = "encoding::base64_bytes")]
    pub request: Vec<u8>,
    /// The response, chunk by chunk.
    #[serde(with = "encoding::base64_list")]
    pub response: Vec<Vec<u8>>,
    /// The operator's endorsement, if the session had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endorsement: Option<Endorsement>,
}

impl std::fmt::Debug for Bundle {
    /// Lengths only: a bundle holds a prompt and its answer.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (request, chunks) = (self.request.len(), self.response.len());
        write!(f, "Bundle(request of {request} bytes, response of {chunks} chunks)")
    }
}

/// Whether the receipt of an answer that was cut off is good enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CutReceipts {
    /// Only complete answers.
    Refuse,
    /// Also answers that were cut.
    Accept,
}

/// Why a bundle is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BundleRefusal {
    /// The document.
    #[error(transparent)]
    Document(#[from] Refusal),
    /// The receipt itself.
    #[error(transparent)]
    Receipt(#[from] ReceiptRefusal),
    /// The receipt names another manifest.
    #[error(
        "the receipt names another release manifest than the one in the bundle; they do not belong together"
    )]
    Manifest,
    /// The request is not the committed one.
    #[error("the receipt commits to another request, or the salt is another; they do not belong together")]
    Request,
    /// The number of chunks is another.
    #[error("the receipt counts {expected} chunks and the bundle has {seen}; chunks are missing or added")]
    ChunkCount {
        /// What the receipt says.
        expected: u64,
        /// What the bundle has.
        seen: u64,
    },
    /// The number of bytes is another.
    #[error(
        "the receipt counts {expected} bytes of response and the bundle has {seen}; the response was altered"
    )]
    ResponseBytes {
        /// What the receipt says.
        expected: u64,
        /// What the bundle has.
        seen: u64,
    },
    /// The response is not the committed one.
    #[error("the receipt commits to another response; the one in the bundle was altered")]
    Response,
    /// The answer was cut.
    #[error(
        "the answer was cut before its end, and the receipt says so; accept cut receipts if you know that it was"
    )]
    Cut,
    /// The receipt is older than the document whose key signed it.
    #[error(
        "the receipt was issued {behind_secs} s before the document that names its key; they do not belong together"
    )]
    IssuedBeforeEvidence {
        /// How many seconds.
        behind_secs: u64,
    },
    /// The receipt says "simulated" under AWS's root, or does not under a development root.
    #[error("the receipt and the trust anchor disagree on whether this is a simulation; do not rely on it")]
    Simulated,
    /// The bundle is not the JSON that we write.
    #[error("the bundle is not readable at line {line}, column {column}; it was altered or cut")]
    Json {
        /// Line, from 1.
        line: usize,
        /// Column.
        column: usize,
    },
}

/// A receipt of which everything was checked.
#[derive(Clone, Debug)]
pub struct VerifiedReceipt {
    receipt: Receipt,
    claims: ArchivedClaims,
}

impl VerifiedReceipt {
    /// What it says.
    pub fn body(&self) -> &ReceiptBody {
        self.receipt.body()
    }

    /// The receipt itself.
    pub fn receipt(&self) -> &Receipt {
        &self.receipt
    }

    /// What the document says about the enclave, judged at its own time.
    pub fn claims(&self) -> &ArchivedClaims {
        &self.claims
    }

    /// Whether this is a simulation.
    pub fn simulated(&self) -> bool {
        self.claims.simulated()
    }
}

/// The steps after those of the document.
#[derive(Clone, Copy)]
enum Step {
    Receipt,
    Manifest,
    Request,
    Response,
    Status,
    Time,
    Simulated,
}

impl Step {
    const ALL: [Step; 7] = [
        Step::Receipt,
        Step::Manifest,
        Step::Request,
        Step::Response,
        Step::Status,
        Step::Time,
        Step::Simulated,
    ];
}

impl Listed for Step {
    /// The document's steps end at 18.
    fn number(self) -> u8 {
        (self as u8).saturating_add(19)
    }

    fn name(self) -> &'static str {
        match self {
            Step::Receipt => "receipt signature",
            Step::Manifest => "receipt's manifest",
            Step::Request => "request commitment",
            Step::Response => "response commitment",
            Step::Status => "complete answer",
            Step::Time => "receipt time",
            Step::Simulated => "simulation",
        }
    }

    fn cites(self) -> &'static str {
        match self {
            Step::Receipt => "RFC 9052 4.4; RFC 9053 2.2; RFC 8032 5.1.7",
            Step::Manifest => "adyton: receipt field 9",
            Step::Request => "adyton: receipt field 4, SHA-256(\"adyton/request/v1\" || salt || body)",
            Step::Response => "adyton: receipt fields 5 to 7",
            Step::Status => "adyton: receipt field 13",
            Step::Time => "adyton: receipt field 3; the sentinel's clock is never behind an attested time",
            Step::Simulated => "adyton: receipt field 14",
        }
    }
}

impl Bundle {
    /// Reads the JSON of [`Self::to_json`], strictly. The caller bounds its size.
    pub fn from_json(json: &[u8]) -> Result<Self, BundleRefusal> {
        serde_json::from_slice(json)
            .map_err(|error| BundleRefusal::Json { line: error.line(), column: error.column() })
    }

    /// The bundle as JSON.
    pub fn to_json(&self) -> String {
        // Fields are strings and a list of strings; nothing in them can fail to serialize.
        serde_json::to_string_pretty(self).unwrap_or_default()
    }

    /// Checks everything and refuses a cut answer.
    pub fn verify(
        &self,
        anchor: &TrustAnchor,
        reference: Option<&ReferenceValues>,
    ) -> (Report, Result<VerifiedReceipt, BundleRefusal>) {
        self.verify_with(anchor, reference, CutReceipts::Refuse)
    }

    /// Checks everything; the caller says what to do about a cut answer.
    pub fn verify_with(
        &self,
        anchor: &TrustAnchor,
        reference: Option<&ReferenceValues>,
        cut: CutReceipts,
    ) -> (Report, Result<VerifiedReceipt, BundleRefusal>) {
        self.verify_cached(anchor, reference, cut, &mut ChainCache::new())
    }

    /// The same, for one who verifies many: certificate signatures that `cache` knows are not verified again.
    pub fn verify_cached(
        &self,
        anchor: &TrustAnchor,
        reference: Option<&ReferenceValues>,
        cut: CutReceipts,
        cache: &mut ChainCache,
    ) -> (Report, Result<VerifiedReceipt, BundleRefusal>) {
        let binding = SessionBinding {
            role: Role::Enclave,
            exporter: self.exporter,
            spki_sha384: self.spki_sha384,
            manifest_sha384: manifest_sha384(&self.manifest),
        };
        let session = Some((&self.nonce, &binding));
        let expect = ArchivedExpectation { reference, session, endorsement: self.endorsement.as_ref() };
        let (report, claims) = appraise_archived_against(&self.document, anchor, &expect, cache);
        let mut ledger = Ledger::extend(report, &Step::ALL);
        let result = claims
            .map_err(BundleRefusal::Document)
            .and_then(|claims| self.check_receipt(&mut ledger, claims, &binding, cut));
        (ledger.finish(), result)
    }

    fn check_receipt(
        &self,
        ledger: &mut Ledger,
        claims: ArchivedClaims,
        binding: &SessionBinding,
        cut: CutReceipts,
    ) -> Result<VerifiedReceipt, BundleRefusal> {
        let key = claims.receipt_key().ok_or(Refusal::ReceiptKeyMissing)?;
        let receipt = verify(&self.receipt, &key.spki()).map_err(BundleRefusal::Receipt);
        let receipt = receipt.map(|receipt| seen(receipt, "it verifies under the document's key"));
        let receipt = ledger.record(Step::Receipt, "signed by the key in the document", receipt)?;
        let body = receipt.body();
        let manifest = same(&body.manifest, &binding.manifest_sha384, BundleRefusal::Manifest);
        ledger.record(Step::Manifest, "the manifest in the bundle", manifest)?;
        let request = same(&body.request, &commit_request(&self.salt, &self.request), BundleRefusal::Request);
        ledger.record(Step::Request, "the request in the bundle", request)?;
        ledger.record(Step::Response, "the response in the bundle", self.response(body))?;
        ledger.record(Step::Status, "complete, or cut and accepted as such", status(body, cut))?;
        ledger.record(Step::Time, "not before the document", time(body, &claims))?;
        ledger.record(Step::Simulated, "as the trust anchor says", simulated(body, &claims))?;
        Ok(VerifiedReceipt { receipt, claims })
    }

    fn response(&self, body: &ReceiptBody) -> Result<Seen<()>, BundleRefusal> {
        let mut chain = ResponseChain::new(&self.salt);
        self.response.iter().for_each(|chunk| chain.push(chunk));
        let (chunks, bytes) = (chain.chunks(), chain.bytes());
        if chunks != body.chunks {
            return Err(BundleRefusal::ChunkCount { expected: body.chunks, seen: chunks });
        }
        if bytes != body.response_bytes {
            return Err(BundleRefusal::ResponseBytes { expected: body.response_bytes, seen: bytes });
        }
        same(&body.response, &chain.finish(), BundleRefusal::Response)?;
        Ok(seen((), format!("{chunks} chunks, {bytes} bytes")))
    }
}

fn same(one: &[u8], other: &[u8], refusal: BundleRefusal) -> Result<Seen<()>, BundleRefusal> {
    if bool::from(one.ct_eq(other)) { Ok(seen((), "the same")) } else { Err(refusal) }
}

fn status(body: &ReceiptBody, cut: CutReceipts) -> Result<Seen<()>, BundleRefusal> {
    match (body.status, cut) {
        (Status::Complete, _) => Ok(seen((), "complete")),
        (Status::Cut, CutReceipts::Accept) => Ok(seen((), "cut, and accepted as such")),
        (Status::Cut, CutReceipts::Refuse) => Err(BundleRefusal::Cut),
    }
}

/// No leeway: the sentinel's clock has the document's time as its floor.
fn time(body: &ReceiptBody, claims: &ArchivedClaims) -> Result<Seen<()>, BundleRefusal> {
    match claims.timestamp().millis_since(body.issued_at) {
        0 => Ok(seen((), format!("issued at {}", body.issued_at))),
        behind => Err(BundleRefusal::IssuedBeforeEvidence { behind_secs: behind / 1000 }),
    }
}

fn simulated(body: &ReceiptBody, claims: &ArchivedClaims) -> Result<Seen<()>, BundleRefusal> {
    match (body.simulated, claims.simulated()) {
        (true, true) => Ok(seen((), "SIMULATED")),
        (false, false) => Ok(seen((), "not simulated")),
        _ => Err(BundleRefusal::Simulated),
    }
}

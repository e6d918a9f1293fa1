//! Answers the questions of a corpus of receipts.
//!
//! # Promises
//! - A verdict is made by [`Bundle::verify_with`] and [`Sequence::of`], as for the user's own receipts.
//!
//! # Does not
//! - Give the verified receipts away: they may have been verified under the corpus's own root.
//!
//! # Trusts
//! - Nobody.

use serde::Deserialize;
use serde_json::Value;

use super::{CaseError, Root, Verdict, anchor, reference};
use crate::receipt::{Bundle, BundleRefusal, CutReceipts, Sequence, VerifiedReceipt};

/// Receipts with everything that they refer to, and what is expected of them.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReceiptCase {
    /// What a client kept, one for each receipt.
    bundles: Vec<Value>,
    /// The root to trust, DER. Absent: AWS's.
    #[serde(default)]
    root: Option<Root>,
    /// Reference values, if the enclave must be a certain one.
    #[serde(default)]
    policy: Option<Value>,
    /// Whether the receipt of an answer that was cut is good enough.
    #[serde(default)]
    accept_cut: bool,
    /// The receipts must be numbered from here without gap or repeat.
    #[serde(default)]
    sequence_from: Option<u64>,
}

impl ReceiptCase {
    /// Reads a case, strictly.
    ///
    /// # Errors
    /// [`CaseError::Json`]
    pub fn from_json(json: &[u8]) -> Result<Self, CaseError> {
        serde_json::from_slice(json).map_err(|error| CaseError::Json { reason: error.to_string() })
    }
}

/// Judges receipts; the first that is refused decides.
pub fn judge_receipts(case: &ReceiptCase) -> Verdict {
    verified(case).err().unwrap_or(Verdict::Accept)
}

fn verified(case: &ReceiptCase) -> Result<(), Verdict> {
    let anchor = anchor(case.root.as_ref());
    let reference = case.policy.as_ref().map(reference).transpose()?;
    let cut = if case.accept_cut { CutReceipts::Accept } else { CutReceipts::Refuse };
    let mut receipts: Vec<VerifiedReceipt> = Vec::new();
    for bundle in &case.bundles {
        let bundle = Bundle::from_json(bundle.to_string().as_bytes()).map_err(refused)?;
        receipts.push(bundle.verify_with(&anchor, reference.as_ref(), cut).1.map_err(refused)?);
    }
    let Some(first) = case.sequence_from else { return Ok(()) };
    let receipts: Vec<_> = receipts.iter().map(VerifiedReceipt::receipt).collect();
    Sequence::of(&receipts, first).map_err(|refusal| Verdict::reject(refusal.code(), None, refusal))?;
    Ok(())
}

fn refused(refusal: BundleRefusal) -> Verdict {
    match &refusal {
        BundleRefusal::Document(document) => document.into(),
        _ => Verdict::reject(refusal.code(), None, refusal),
    }
}

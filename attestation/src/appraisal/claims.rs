//! Holds what an appraisal has shown.
//!
//! # Promises
//! - The fields are private to [`super`], whose two appraisals are the only makers.
//!
//! # Does not
//! - Offer a way from [`ArchivedClaims`] to [`VerifiedClaims`].
//!
//! # Trusts
//! - Nobody.

use std::collections::BTreeMap;

use crate::ed25519::PublicKey;
use crate::measurement::{Measurement, PcrIndex};
use crate::receipt::ReceiptKey;
use crate::time::Timestamp;

/// Whose enclave it is, as far as the policy asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClaimedOwner {
    /// The image is signed with the certificate that this PCR8 names.
    Signer(Measurement),
    /// The parent has the role that this PCR3 names.
    Role(Measurement),
    /// The parent is the instance that this PCR4 names.
    Instance(Measurement),
    /// The operator with this key has endorsed the enclave.
    Endorsed(PublicKey),
    /// The policy accepted anyone at all.
    Unknown,
}

/// What an enclave was shown to be. Having one tells you that
///
/// - a chain to the anchor was valid at the verifier's clock and its leaf signed the document;
/// - the document is fresh, answers the verifier's nonce and is bound to the verifier's own connection;
/// - image, owner and release manifest are accepted by the verifier's reference values, and nothing is in debug mode.
#[derive(Clone, Debug)]
pub struct VerifiedClaims {
    pub(super) module_id: String,
    pub(super) timestamp: Timestamp,
    pub(super) pcrs: BTreeMap<PcrIndex, Measurement>,
    pub(super) receipt_key: ReceiptKey,
    pub(super) manifest_pcr16: Measurement,
    pub(super) owner: ClaimedOwner,
    pub(super) simulated: bool,
}

impl VerifiedClaims {
    /// The instance and the enclave.
    pub fn module_id(&self) -> &str {
        &self.module_id
    }

    /// When the document was made, by the module's clock.
    pub fn timestamp(&self) -> Timestamp {
        self.timestamp
    }

    /// A locked register.
    pub fn pcr(&self, index: PcrIndex) -> Option<&Measurement> {
        self.pcrs.get(&index)
    }

    /// The key under which this enclave's receipts verify.
    pub fn receipt_key(&self) -> &ReceiptKey {
        &self.receipt_key
    }

    /// The accepted value of PCR16.
    pub fn manifest_pcr16(&self) -> &Measurement {
        &self.manifest_pcr16
    }

    /// Whose enclave it is; [`ClaimedOwner::Unknown`] if the policy accepted anyone.
    pub fn owner(&self) -> ClaimedOwner {
        self.owner
    }

    /// Whether the anchor was a development root. Whatever shows these claims must say so.
    pub fn simulated(&self) -> bool {
        self.simulated
    }
}

/// What an archived document says, judged at *its own* time. Weaker than [`VerifiedClaims`] on purpose: whoever has
/// broken a leaf key since can date a document back, and nothing here shows that the enclave is still there. Good for
/// looking at old receipts; never a reason to send anything.
#[derive(Clone, Debug)]
pub struct ArchivedClaims {
    pub(super) module_id: String,
    pub(super) timestamp: Timestamp,
    pub(super) pcrs: BTreeMap<PcrIndex, Measurement>,
    pub(super) public_key: Option<Vec<u8>>,
    pub(super) owner: Option<ClaimedOwner>,
    pub(super) simulated: bool,
}

impl ArchivedClaims {
    /// The instance and the enclave.
    pub fn module_id(&self) -> &str {
        &self.module_id
    }

    /// When the document was made, by the module's clock.
    pub fn timestamp(&self) -> Timestamp {
        self.timestamp
    }

    /// A locked register.
    pub fn pcr(&self, index: PcrIndex) -> Option<&Measurement> {
        self.pcrs.get(&index)
    }

    /// The receipt key, if the document carries an Ed25519 one.
    pub fn receipt_key(&self) -> Option<ReceiptKey> {
        self.public_key.as_deref().and_then(ReceiptKey::from_spki)
    }

    /// Whose enclave it was; `None` if no reference values were given.
    pub fn owner(&self) -> Option<ClaimedOwner> {
        self.owner
    }

    /// Whether the anchor was a development root.
    pub fn simulated(&self) -> bool {
        self.simulated
    }
}

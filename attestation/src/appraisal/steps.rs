//! The steps of an appraisal, each a function from what is known so far to a value or a refusal.
//!
//! # Promises
//! - Nothing here has a default or an option that switches a check off.
//!
//! # Does not
//! - Decide the order; [`super`] does.
//!
//! # Trusts
//! - Its arguments, which the steps before have made.

use std::time::Duration;

use subtle::ConstantTimeEq;

use super::report::{Listed, Seen, seen};
use super::{ClaimedOwner, Refusal};
use crate::anchor::TrustAnchor;
use crate::binding::{NONCE_LEN, Role, SessionBinding, manifest_pcr16_of_digest};
use crate::chain::{Broken, LeafKey, Linked, Shaped, Window};
use crate::chain_cache::ChainCache;
use crate::cose::Envelope;
use crate::ed25519::PublicKey;
use crate::endorsement::Endorsement;
use crate::evidence::Evidence;
use crate::measurement::{MANIFEST_PCR, Measurement, PcrIndex};
use crate::receipt::ReceiptKey;
use crate::reference::{Image, Owner, ReferenceValues};
use crate::time::Timestamp;

/// How far two honest clocks may be apart. A leaf is not backdated, so a verifier whose clock is a second behind would
/// otherwise refuse a fresh enclave; a minute is far below the three hours of a leaf.
pub const LEEWAY: Duration = Duration::from_secs(60);

/// The list. Numbers begin at 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Size,
    Envelope,
    Payload,
    Fields,
    Root,
    Chain,
    Links,
    Validity,
    Signature,
    Timestamp,
    Freshness,
    Debug,
    Image,
    Owner,
    Manifest,
    Nonce,
    Binding,
    ReceiptKey,
}

impl Step {
    /// All steps in the order in which they run.
    pub(crate) const ALL: [Step; 18] = [
        Step::Size,
        Step::Envelope,
        Step::Payload,
        Step::Fields,
        Step::Root,
        Step::Chain,
        Step::Links,
        Step::Validity,
        Step::Signature,
        Step::Timestamp,
        Step::Freshness,
        Step::Debug,
        Step::Image,
        Step::Owner,
        Step::Manifest,
        Step::Nonce,
        Step::Binding,
        Step::ReceiptKey,
    ];

    fn words(self) -> (&'static str, &'static str) {
        match self {
            Step::Size => ("document size", "adyton: evidence::MAX_DOCUMENT"),
            Step::Envelope => ("COSE envelope", "AWS attestation process 3.1; RFC 9052 4.2"),
            Step::Payload => ("payload encoding", "AWS attestation process 3.2.2; RFC 8949 3, 5.6"),
            Step::Fields => ("payload fields", "AWS attestation process 2.2, 3.2.2.1, 3.2.2.2"),
            Step::Root => ("pinned root", "AWS attestation process 3.2.3; RFC 5280 6.1.1(d)"),
            Step::Chain => (
                "certificate profile",
                "AWS attestation process 3.2.3.2, 3.2.3.3; RFC 5280 4.2.1.3, 4.2.1.9, 6.1.4",
            ),
            Step::Links => ("certificate signatures", "AWS attestation process 3.2.3; RFC 5280 6.1.3(a)(1)"),
            Step::Validity => {
                ("certificate validity", "AWS attestation process 3.2.3.1; RFC 5280 6.1.3(a)(2)")
            }
            Step::Signature => {
                ("document signature", "AWS attestation process 3.2.1; RFC 9052 4.4; RFC 9053 2.1")
            }
            Step::Timestamp => ("document time", "AWS attestation process 2.2; RFC 5280 4.1.2.5"),
            Step::Freshness => ("document age", "RFC 9334 10; the caller's max_age"),
            Step::Debug => {
                ("debug mode", "AWS user guide, \"Cryptographic attestation\": debug enclaves have zero PCRs")
            }
            Step::Image => ("enclave image", "AWS user guide, PCR0, PCR1, PCR2; RFC 9334 8.4"),
            Step::Owner => ("whose enclave", "AWS user guide, PCR3, PCR4, PCR8"),
            Step::Manifest => ("release manifest", "adyton: PCR16 = extend(0, SHA-384(manifest))"),
            Step::Nonce => ("nonce", "AWS attestation process 2.2; RFC 9334 10.2"),
            Step::Binding => ("session binding", "adyton: binding; RFC 8446 7.5; draft-fossati-seat-expat"),
            Step::ReceiptKey => ("receipt key", "AWS attestation process 2.2; RFC 8410 4"),
        }
    }
}

impl Listed for Step {
    fn number(self) -> u8 {
        (self as u8).saturating_add(1)
    }

    fn name(self) -> &'static str {
        self.words().0
    }

    fn cites(self) -> &'static str {
        self.words().1
    }
}

pub(super) type Found<T> = Result<Seen<T>, Refusal>;

/// The bundle's first certificate must be the anchor, byte for byte.
pub(super) fn root(evidence: &Evidence, anchor: &TrustAnchor) -> Found<()> {
    match evidence.cabundle.first() {
        Some(first) if first.as_slice() == anchor.der() => Ok(seen((), "the pinned root")),
        _ => Err(Refusal::Root),
    }
}

pub(super) fn chain(evidence: &Evidence) -> Found<Shaped<'_>> {
    let shaped = Shaped::new(&evidence.cabundle, &evidence.certificate).map_err(certificate)?;
    Ok(seen(shaped, format!("{} authorities and a leaf", evidence.cabundle.len())))
}

pub(super) fn links<'a>(shaped: Shaped<'a>, cache: &mut ChainCache) -> Found<Linked<'a>> {
    Ok(seen(shaped.verify(cache).map_err(certificate)?, "every link verifies"))
}

fn certificate(broken: Broken) -> Refusal {
    Refusal::Certificate { position: broken.position, problem: broken.problem }
}

/// Every certificate must be valid at `at`, with the leeway on both sides. `nonce_matches` only chooses the words.
pub(super) fn validity(linked: &Linked<'_>, at: Timestamp, nonce_matches: bool) -> Found<()> {
    for window in linked.windows() {
        inside(&window, at, nonce_matches)?;
    }
    Ok(seen((), format!("all valid at {at}")))
}

fn inside(window: &Window, at: Timestamp, nonce_matches: bool) -> Result<(), Refusal> {
    let Window { position, not_before, not_after } = *window;
    if at.plus_millis(leeway()) < not_before {
        let ahead_secs = secs(not_before.millis_since(at));
        return Err(Refusal::NotYetValid { position, not_before, ahead_secs });
    }
    // notAfter names the last whole second of validity (RFC 5280, section 4.1.2.5): it is inclusive.
    if at.millis_since(not_after) >= leeway().saturating_add(1000) {
        let behind_secs = secs(at.millis_since(not_after));
        return Err(match nonce_matches {
            true => Refusal::ClockAhead { position, not_after, behind_secs },
            false => Refusal::Expired { position, not_after },
        });
    }
    Ok(())
}

pub(super) fn signature(key: &LeafKey<'_>, envelope: &Envelope<'_>) -> Found<()> {
    match key.verifies(&envelope.sig_structure(), envelope.signature) {
        true => Ok(seen((), "it verifies under the leaf")),
        false => Err(Refusal::Signature),
    }
}

/// No leeway: one clock, the module's, wrote both.
pub(super) fn timestamp(evidence: &Evidence, leaf: &Window) -> Found<Timestamp> {
    let timestamp = evidence.timestamp;
    if timestamp < leaf.not_before || timestamp.millis_since(leaf.not_after) >= 1000 {
        return Err(Refusal::TimestampOutsideLeaf { timestamp });
    }
    Ok(seen(timestamp, format!("{timestamp}, within the leaf's validity")))
}

pub(super) fn freshness(timestamp: Timestamp, now: Timestamp, max_age: Duration) -> Found<()> {
    let ahead = timestamp.millis_since(now);
    if ahead > leeway() {
        return Err(Refusal::FromTheFuture { ahead_secs: secs(ahead) });
    }
    let age = now.millis_since(timestamp);
    if u128::from(age) > max_age.as_millis() {
        return Err(Refusal::Stale { age_secs: secs(age), max_age_secs: max_age.as_secs() });
    }
    Ok(seen((), format!("{} s old", secs(age))))
}

/// A debug enclave's image registers are zero; one zero register is refused as much as three.
pub(super) fn debug(evidence: &Evidence) -> Found<Image> {
    let register = |index| match pcr(evidence, index) {
        None => Err(Refusal::ImageMissing { index }),
        Some(value) if value.is_zero() => Err(Refusal::Debug { index }),
        Some(value) => Ok(*value),
    };
    Ok(seen(Image { pcr0: register(0)?, pcr1: register(1)?, pcr2: register(2)? }, "no register is zero"))
}

/// One listed image must have all three registers.
pub(super) fn image(measured: &Image, reference: &ReferenceValues) -> Found<()> {
    match reference.images().iter().any(|listed| listed == measured) {
        true => Ok(seen((), format!("pcr0 {}", measured.pcr0))),
        false => Err(Refusal::Image),
    }
}

/// `at` is the time at which an endorsement must hold.
pub(super) fn owner(
    evidence: &Evidence,
    reference: &ReferenceValues,
    endorsement: Option<&Endorsement>,
    at: Timestamp,
) -> Found<ClaimedOwner> {
    match reference.owner() {
        Owner::Signer { pcr8 } => register(evidence, 8, pcr8, ClaimedOwner::Signer),
        Owner::Role { pcr3 } => register(evidence, 3, pcr3, ClaimedOwner::Role),
        Owner::Instance { pcr4 } => register(evidence, 4, pcr4, ClaimedOwner::Instance),
        Owner::Endorser { ed25519 } => endorsed(evidence, ed25519, endorsement, at),
        Owner::AnyoneAtAll => Ok(seen(ClaimedOwner::Unknown, "unknown: the policy accepts anyone at all")),
    }
}

fn register(
    evidence: &Evidence,
    index: u8,
    wanted: &Measurement,
    claimed: fn(Measurement) -> ClaimedOwner,
) -> Found<ClaimedOwner> {
    let value =
        pcr(evidence, index).filter(|value| !value.is_zero()).ok_or(Refusal::OwnerMissing { index })?;
    if value != wanted {
        return Err(Refusal::Owner { index });
    }
    Ok(seen(claimed(*value), format!("pcr{index} {value}")))
}

fn endorsed(
    evidence: &Evidence,
    endorser: &PublicKey,
    endorsement: Option<&Endorsement>,
    at: Timestamp,
) -> Found<ClaimedOwner> {
    let endorsement = endorsement.ok_or(Refusal::EndorsementMissing)?;
    let key = receipt_key(evidence)?.value;
    endorsement.check(endorser, &key, at, leeway()).map_err(Refusal::Endorsement)?;
    Ok(seen(
        ClaimedOwner::Endorsed(*endorser),
        format!("endorsed by {endorser} until {}", endorsement.not_after()),
    ))
}

/// PCR16 as the sentinel left it: extended and locked. A document lists locked registers only.
pub(super) fn manifest_pcr(evidence: &Evidence) -> Result<Measurement, Refusal> {
    let value = evidence.pcrs.get(&MANIFEST_PCR).filter(|value| !value.is_zero());
    value.copied().ok_or(Refusal::ManifestMissing)
}

pub(super) fn manifest(
    evidence: &Evidence,
    reference: Option<&ReferenceValues>,
    binding: Option<&SessionBinding>,
) -> Found<Measurement> {
    let value = manifest_pcr(evidence)?;
    if reference.is_some_and(|reference| !reference.manifests().contains(&value)) {
        return Err(Refusal::Manifest { seen: value });
    }
    if binding.is_some_and(|binding| manifest_pcr16_of_digest(&binding.manifest_sha384) != value) {
        return Err(Refusal::ManifestNotBound);
    }
    Ok(seen(value, format!("pcr16 {value}")))
}

pub(super) fn nonce(evidence: &Evidence, expected: &[u8; 32]) -> Found<()> {
    let nonce = evidence.nonce.as_deref().ok_or(Refusal::NonceMissing)?;
    if nonce.len() != NONCE_LEN {
        return Err(Refusal::NonceLength { len: nonce.len() });
    }
    match bool::from(nonce.ct_eq(expected)) {
        true => Ok(seen((), "the nonce that was sent")),
        false => Err(Refusal::Nonce),
    }
}

pub(super) fn binding(evidence: &Evidence, expected: &SessionBinding) -> Found<()> {
    let user_data = evidence.user_data.as_deref().ok_or(Refusal::BindingMissing)?;
    let is = |binding: &SessionBinding| bool::from(user_data.ct_eq(&binding.user_data()));
    if is(expected) {
        return Ok(seen((), "bound to this connection, certificate, role and manifest"));
    }
    let reflected = is(&SessionBinding { role: other_end(expected.role), ..*expected });
    Err(if reflected { Refusal::Reflected } else { Refusal::Binding })
}

fn other_end(role: Role) -> Role {
    match role {
        Role::Enclave => Role::PeerEnclave,
        Role::PeerEnclave => Role::Enclave,
    }
}

pub(super) fn receipt_key(evidence: &Evidence) -> Found<ReceiptKey> {
    let spki = evidence.public_key.as_deref().ok_or(Refusal::ReceiptKeyMissing)?;
    let key = ReceiptKey::from_spki(spki).ok_or(Refusal::ReceiptKey)?;
    Ok(seen(key, hex::encode(key.spki())))
}

fn pcr(evidence: &Evidence, index: u8) -> Option<&Measurement> {
    PcrIndex::new(index).and_then(|index| evidence.pcrs.get(&index))
}

fn leeway() -> u64 {
    secs_to_millis(LEEWAY.as_secs())
}

fn secs_to_millis(secs: u64) -> u64 {
    secs.saturating_mul(1000)
}

fn secs(millis: u64) -> u64 {
    millis / 1000
}

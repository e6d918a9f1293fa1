//! Appraises evidence: authenticates a document and compares it with what the relying party accepts.
//!
//! # Promises
//! - [`VerifiedClaims`] come from [`appraise`] alone, after every one of its eighteen steps has passed.
//! - [`ArchivedClaims`] are another type: weaker, and accepted nowhere that `VerifiedClaims` are wanted.
//! - The steps run in the order of the report, and after the first refusal no further one runs.
//!
//! # Does not
//! - Consult CRLs or the network.
//!
//! # Trusts
//! - The anchor, the reference values, `now`, and the caller's own end of the connection in the binding.
//!
//! Claims cannot be made up:
//!
//! ```compile_fail,E0451
//! use adyton_attestation::appraisal::VerifiedClaims;
//! fn forge(old: VerifiedClaims) -> VerifiedClaims {
//!     VerifiedClaims { simulated: false, ..old }
//! }
//! ```
//!
//! and archived claims do not stand in for verified ones:
//!
//! ```compile_fail,E0308
//! use adyton_attestation::appraisal::{ArchivedClaims, VerifiedClaims};
//! fn promote(old: ArchivedClaims) -> VerifiedClaims {
//!     old
//! }
//! ```

mod claims;
mod code;
mod refusal;
mod report;
mod steps;

use std::time::Duration;

use crate::anchor::TrustAnchor;
use crate::binding::{NONCE_LEN, SessionBinding};
use crate::chain_cache::ChainCache;
use crate::endorsement::Endorsement;
use crate::evidence::{self, Evidence};
use crate::reference::{Image, ReferenceValues};
use crate::time::Timestamp;

pub use claims::{ArchivedClaims, ClaimedOwner, VerifiedClaims};
pub use code::Class;
pub use refusal::{CertificateError, EnvelopeError, Refusal};
pub use report::{Factor, Outcome, Report};
pub(crate) use report::{Ledger, Listed, Seen, seen};
pub use steps::LEEWAY;
use steps::Step;

/// What a relying party expects of a live document.
#[derive(Clone, Copy, Debug)]
pub struct Expectation<'a> {
    /// The root that the chain must lead to.
    pub anchor: &'a TrustAnchor,
    /// The images, manifests and owner that are accepted.
    pub reference: &'a ReferenceValues,
    /// The verifier's own clock.
    pub now: Timestamp,
    /// The nonce that was sent.
    pub nonce: [u8; NONCE_LEN],
    /// The greatest age of a document.
    pub max_age: Duration,
    /// What the document must be bound to, from the verifier's own end of the connection.
    pub binding: SessionBinding,
    /// The operator's word about this enclave, where the reference values ask for it.
    pub endorsement: Option<&'a Endorsement>,
}

/// What an archived document may be compared with besides its anchor.
#[derive(Clone, Copy, Debug, Default)]
pub struct ArchivedExpectation<'a> {
    /// The images, manifests and owner that are accepted.
    pub reference: Option<&'a ReferenceValues>,
    /// The nonce and the binding of the session, as they were kept.
    pub session: Option<(&'a [u8; NONCE_LEN], &'a SessionBinding)>,
    /// The operator's word about this enclave, where the reference values ask for it.
    pub endorsement: Option<&'a Endorsement>,
}

/// Appraises a live document. The report lists every step whatever the result.
pub fn appraise(document: &[u8], expect: &Expectation<'_>) -> (Report, Result<VerifiedClaims, Refusal>) {
    appraise_cached(document, expect, &mut ChainCache::new())
}

/// The same, for one who appraises many documents: certificate signatures that `cache` knows are not verified again.
/// Every other check is made each time.
pub fn appraise_cached(
    document: &[u8],
    expect: &Expectation<'_>,
    cache: &mut ChainCache,
) -> (Report, Result<VerifiedClaims, Refusal>) {
    let mut ledger = Ledger::new(&Step::ALL, expect.anchor.simulated());
    let result = appraise_into(&mut ledger, document, expect, cache);
    (ledger.finish(), result)
}

/// Appraises an archived document at its own time, against its anchor alone.
pub fn appraise_archived(document: &[u8], anchor: &TrustAnchor) -> (Report, Result<ArchivedClaims, Refusal>) {
    appraise_archived_against(document, anchor, &ArchivedExpectation::default(), &mut ChainCache::new())
}

/// Appraises an archived document at its own time, and against whatever was kept beside it.
pub fn appraise_archived_against(
    document: &[u8],
    anchor: &TrustAnchor,
    expect: &ArchivedExpectation<'_>,
    cache: &mut ChainCache,
) -> (Report, Result<ArchivedClaims, Refusal>) {
    let mut ledger = Ledger::new(&Step::ALL, anchor.simulated());
    let result = archived_into(&mut ledger, document, anchor, expect, cache);
    (ledger.finish(), result)
}

fn appraise_into(
    ledger: &mut Ledger,
    document: &[u8],
    expect: &Expectation<'_>,
    cache: &mut ChainCache,
) -> Result<VerifiedClaims, Refusal> {
    let clock = Clock::Verifier(expect.now, &expect.nonce);
    let evidence = authenticate(ledger, document, expect.anchor, clock, cache)?.evidence;
    let freshness = steps::freshness(evidence.timestamp, expect.now, expect.max_age);
    ledger.record(Step::Freshness, format!("at most {} s old", expect.max_age.as_secs()), freshness)?;
    let image = check_debug(ledger, &evidence)?;
    let owner =
        check_reference(ledger, &evidence, &image, expect.reference, (expect.endorsement, expect.now))?;
    let manifest = steps::manifest(&evidence, Some(expect.reference), Some(&expect.binding));
    let manifest_pcr16 =
        ledger.record(Step::Manifest, "an accepted manifest, the one of this session", manifest)?;
    check_session(ledger, &evidence, &expect.nonce, &expect.binding)?;
    let key = steps::receipt_key(&evidence);
    let receipt_key = ledger.record(Step::ReceiptKey, "an Ed25519 key of 44 bytes", key)?;
    let Evidence { module_id, timestamp, pcrs, .. } = evidence;
    let simulated = expect.anchor.simulated();
    Ok(VerifiedClaims { module_id, timestamp, pcrs, receipt_key, manifest_pcr16, owner, simulated })
}

fn archived_into(
    ledger: &mut Ledger,
    document: &[u8],
    anchor: &TrustAnchor,
    expect: &ArchivedExpectation<'_>,
    cache: &mut ChainCache,
) -> Result<ArchivedClaims, Refusal> {
    let evidence = authenticate(ledger, document, anchor, Clock::Document, cache)?.evidence;
    let endorsement = (expect.endorsement, evidence.timestamp);
    ledger.skip(Step::Freshness, "an archived document is judged at its own time");
    let image = check_debug(ledger, &evidence)?;
    let owner = match expect.reference {
        Some(reference) => Some(check_reference(ledger, &evidence, &image, reference, endorsement)?),
        None => {
            ledger.skip(Step::Image, "no reference values were given");
            ledger.skip(Step::Owner, "no reference values were given");
            None
        }
    };
    match (expect.reference, expect.session) {
        (None, None) => ledger.skip(Step::Manifest, "neither reference values nor a session were given"),
        (reference, session) => {
            let manifest = steps::manifest(&evidence, reference, session.map(|(_, binding)| binding));
            ledger.record(Step::Manifest, "the manifest that was given", manifest)?;
        }
    }
    archived_session(ledger, &evidence, expect)?;
    let Evidence { module_id, timestamp, pcrs, public_key, .. } = evidence;
    Ok(ArchivedClaims { module_id, timestamp, pcrs, public_key, owner, simulated: anchor.simulated() })
}

fn archived_session(
    ledger: &mut Ledger,
    evidence: &Evidence,
    expect: &ArchivedExpectation<'_>,
) -> Result<(), Refusal> {
    let Some((nonce, binding)) = expect.session else {
        for step in [Step::Nonce, Step::Binding, Step::ReceiptKey] {
            ledger.skip(step, "no session was given");
        }
        return Ok(());
    };
    check_session(ledger, evidence, nonce, binding)?;
    ledger.record(Step::ReceiptKey, "an Ed25519 key of 44 bytes", steps::receipt_key(evidence)).map(|_| ())
}

/// At whose time certificates are judged.
enum Clock<'a> {
    /// The verifier's, with the nonce that it sent.
    Verifier(Timestamp, &'a [u8; NONCE_LEN]),
    /// The document's own.
    Document,
}

/// Evidence that the anchor's chain vouches for. Still says nothing about what was measured.
struct Authentic {
    evidence: Evidence,
}

/// Size, envelope, payload, fields, root, chain, links, validity, signature, time.
fn authenticate(
    ledger: &mut Ledger,
    document: &[u8],
    anchor: &TrustAnchor,
    clock: Clock<'_>,
    cache: &mut ChainCache,
) -> Result<Authentic, Refusal> {
    let (envelope, evidence) = read(ledger, document)?;
    ledger.record(Step::Root, "byte for byte the trust anchor", steps::root(&evidence, anchor))?;
    let shaped =
        ledger.record(Step::Chain, "P-384 and SHA-384, each in its place", steps::chain(&evidence))?;
    let linked = ledger.record(Step::Links, "each signed by the one before", steps::links(shaped, cache))?;
    let (at, nonce_matches) = match clock {
        Clock::Verifier(now, nonce) => (now, steps::nonce(&evidence, nonce).is_ok()),
        Clock::Document => (evidence.timestamp, false),
    };
    ledger.record(Step::Validity, format!("valid at {at}"), steps::validity(&linked, at, nonce_matches))?;
    // A chain always has a leaf; if ever not, the signature is what is missing.
    let leaf = linked.leaf_key().zip(linked.leaf_window()).ok_or(Refusal::Signature);
    let signed = leaf.and_then(|(key, window)| {
        steps::signature(&key, &envelope).map(|found| Seen { value: window, words: found.words })
    });
    let window = ledger.record(Step::Signature, "ES384 by the leaf's key", signed)?;
    ledger.record(Step::Timestamp, "within the leaf's validity", steps::timestamp(&evidence, &window))?;
    Ok(Authentic { evidence })
}

/// From bytes to an allegation.
fn read<'a>(
    ledger: &mut Ledger,
    document: &'a [u8],
) -> Result<(crate::cose::Envelope<'a>, Evidence), Refusal> {
    let size = evidence::check_size(document).map(|()| seen((), format!("{} bytes", document.len())));
    ledger.record(Step::Size, "at most 16384 bytes", size.map_err(Refusal::from))?;
    let envelope =
        evidence::envelope(document).map(|envelope| seen(envelope, "an untagged COSE_Sign1, ES384"));
    let expected = "84 44 a1013822 a0 <payload> <96 bytes>";
    let envelope = ledger.record(Step::Envelope, expected, envelope.map_err(Refusal::Envelope))?;
    let fields =
        evidence::payload_fields(envelope.payload).map(|fields| seen(fields, "one map, strictly encoded"));
    let fields = ledger.record(Step::Payload, "strict CBOR", fields.map_err(Refusal::Payload))?;
    let evidence = Evidence::from_fields(fields).map(|evidence| {
        let words = format!("module {}, {} registers", evidence.module_id, evidence.pcrs.len());
        seen(evidence, words)
    });
    let evidence =
        ledger.record(Step::Fields, "nine fields within their limits", evidence.map_err(Refusal::Fields))?;
    Ok((envelope, evidence))
}

fn check_debug(ledger: &mut Ledger, evidence: &Evidence) -> Result<Image, Refusal> {
    ledger.record(Step::Debug, "pcr0, pcr1 and pcr2 are there and not zero", steps::debug(evidence))
}

fn check_reference(
    ledger: &mut Ledger,
    evidence: &Evidence,
    image: &Image,
    reference: &ReferenceValues,
    (endorsement, at): (Option<&Endorsement>, Timestamp),
) -> Result<ClaimedOwner, Refusal> {
    let found = steps::image(image, reference);
    let failed = found.is_err();
    let listed = format!("one of {} accepted images", reference.images().len());
    let image_result = ledger.record(Step::Image, listed, found);
    if failed {
        ledger.saw(Step::Image, format!("pcr0 {} pcr1 {} pcr2 {}", image.pcr0, image.pcr1, image.pcr2));
    }
    image_result?;
    ledger.record(Step::Owner, owner_words(reference), steps::owner(evidence, reference, endorsement, at))
}

fn owner_words(reference: &ReferenceValues) -> String {
    use crate::reference::Owner;
    match reference.owner() {
        Owner::Signer { pcr8 } => format!("the signer of pcr8 {pcr8}"),
        Owner::Role { pcr3 } => format!("the role of pcr3 {pcr3}"),
        Owner::Instance { pcr4 } => format!("the instance of pcr4 {pcr4}"),
        Owner::Endorser { ed25519 } => format!("an enclave that {ed25519} has endorsed"),
        Owner::AnyoneAtAll => "anyone at all".to_owned(),
    }
}

fn check_session(
    ledger: &mut Ledger,
    evidence: &Evidence,
    nonce: &[u8; NONCE_LEN],
    binding: &SessionBinding,
) -> Result<(), Refusal> {
    ledger.record(Step::Nonce, "the nonce of this session", steps::nonce(evidence, nonce))?;
    let expected = format!("the binding of this session, as {}", binding.role.label());
    ledger.record(Step::Binding, expected, steps::binding(evidence, binding))
}

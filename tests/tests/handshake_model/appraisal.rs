//! The verifier's comparisons, in the order of `docs/protocol.md`, section 5.
//!
//! # Promises
//! - Gives the step that refuses, as the real appraisal does; `conformance.rs` compares the two.
//!
//! # Does not
//! - Parse or verify: every document here is authentic.
//!
//! Source: `attestation/src/appraisal/mod.rs`, `steps.rs`; `attestation/src/receipt/bundle.rs`.

use adyton_attestation::binding::{manifest_pcr16, manifest_pcr16_of_digest};

use crate::rules::{Ends, Rule, Scenario};
use crate::terms::{Binding, Document, Nonce, Of, manifest_bytes};

/// What a verifier has from its own end of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Expectation {
    pub(crate) nonce: Nonce,
    /// `manifest` in it is the one that was shown.
    pub(crate) binding: Binding,
    /// A has stopped by now.
    pub(crate) late: bool,
}

/// A step's number in `docs/protocol.md`.
pub(crate) type Step = u8;

/// Whether the document is of an enclave that the reference values name, and younger than the limit.
pub(crate) fn appraise(document: &Document, expect: &Expectation, scenario: &Scenario) -> Result<(), Step> {
    let hold = |rule| scenario.rules.hold(rule);
    let long_gone = scenario.assumptions.ends == Ends::Hours;
    if hold(Rule::Age) && long_gone && expect.late && !document.late {
        return Err(11);
    }
    registers(document, scenario)?;
    shown(document, &expect.binding, scenario)?;
    if hold(Rule::Nonce) && document.nonce != expect.nonce {
        return Err(16);
    }
    bound(document, &expect.binding, scenario)
}

/// The same for an archived document beside a receipt. Nonce and connection are the bundle's own words, so
/// whoever made the bundle made them fit; the role and the reference values are the verifier's.
pub(crate) fn appraise_archived(document: &Document, manifest: Of, scenario: &Scenario) -> Result<(), Step> {
    let expected = Binding { peer: false, manifest, ..document.binding };
    registers(document, scenario)?;
    shown(document, &expected, scenario)?;
    bound(document, &expected, scenario)
}

fn registers(document: &Document, scenario: &Scenario) -> Result<(), Step> {
    let found = document.registers;
    let steps = [
        (Rule::Image, found.image, 13),
        (Rule::Owner, found.owner, 14),
        (Rule::ManifestAccepted, found.manifest, 15),
    ];
    let refused = steps.into_iter().find(|(rule, of, _)| scenario.rules.hold(*rule) && *of == Of::Other);
    refused.map_or(Ok(()), |(_, _, step)| Err(step))
}

/// PCR16 against the manifest that was shown, as step 15 computes it.
fn shown(document: &Document, binding: &Binding, scenario: &Scenario) -> Result<(), Step> {
    let digest = adyton_attestation::binding::manifest_sha384(manifest_bytes(binding.manifest));
    let measured = manifest_pcr16(manifest_bytes(document.registers.manifest));
    let differs = manifest_pcr16_of_digest(&digest) != measured;
    if scenario.rules.hold(Rule::ManifestShown) && differs { Err(15) } else { Ok(()) }
}

fn bound(document: &Document, expected: &Binding, scenario: &Scenario) -> Result<(), Step> {
    let equal = document.binding.session(scenario).user_data() == expected.session(scenario).user_data();
    if equal { Ok(()) } else { Err(17) }
}

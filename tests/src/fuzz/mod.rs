//! One function for each parser of hostile bytes: it takes any bytes, must not panic, and asserts what must hold.
//!
//! The same functions run twice: for a bounded time on every change (`tests/tests/fuzz_smoke.rs`), and for as long as
//! one likes under libFuzzer (`tests/fuzz/`).
//!
//! # Promises
//! - A panic in one of these functions is a defect: of the parser, or of a property that it should have.
//! - Seeds are made by the project's own writers, each time anew and always the same; no binary file is kept.
//!
//! # Does not
//! - Reach a network, a clock or a file.
//!
//! # Trusts
//! - Nobody; the keys here are public.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a property that does not hold must end the run

mod audit;
mod crossing;
mod evidence;
mod lookup;
mod metrics;
mod policy;
mod reference;
mod screening;
mod shape;
mod structure;
mod text;
pub(crate) mod weights;

pub use audit::{audit_entry, audit_protocol, audit_record};
pub use crossing::{blob_request_and_response, control_to_sentinel, hybrid_line, manifest};
pub use evidence::{attestation_document, cbor_item, receipt, receipt_bundle, reference_values};
pub use lookup::{lookup_grant, row_rules};
pub use metrics::{metrics_page, metrics_snapshot};
pub use policy::{bearer_token, guardrail_settings, issuers, protected_list};
pub use reference::{log_checkpoint, signed_reference};
pub use screening::{guardrail_canonical, guardrail_personal};
pub use shape::shape;
pub use structure::attestation_structure;
pub use text::{chat_request, guardrail_input, guardrail_output};
pub use weights::gguf;

/// One parser, and where its exploration starts.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// The function's name, and that of its file under `tests/fuzz/fuzz_targets/`.
    pub name: &'static str,
    /// The function.
    pub run: fn(&[u8]),
    seeds: fn() -> Vec<Vec<u8>>,
}

/// All of them.
pub const TARGETS: [Target; 30] = [
    Target { name: "attestation_document", run: attestation_document, seeds: evidence::document_seeds },
    Target { name: "attestation_structure", run: attestation_structure, seeds: structure::seeds },
    Target { name: "cbor_item", run: cbor_item, seeds: evidence::cbor_seeds },
    Target { name: "receipt", run: receipt, seeds: evidence::receipt_seeds },
    Target { name: "receipt_bundle", run: receipt_bundle, seeds: evidence::bundle_seeds },
    Target { name: "reference_values", run: reference_values, seeds: evidence::reference_seeds },
    Target { name: "signed_reference", run: signed_reference, seeds: reference::signed_seeds },
    Target { name: "log_checkpoint", run: log_checkpoint, seeds: reference::checkpoint_seeds },
    Target { name: "manifest", run: manifest, seeds: crossing::manifest_seeds },
    Target { name: "blob_request_and_response", run: blob_request_and_response, seeds: crossing::blob_seeds },
    Target { name: "hybrid_line", run: hybrid_line, seeds: crossing::hybrid_seeds },
    Target { name: "control_to_sentinel", run: control_to_sentinel, seeds: crossing::control_seeds },
    Target { name: "bearer_token", run: bearer_token, seeds: policy::token_seeds },
    Target { name: "issuers", run: issuers, seeds: policy::issuers_seeds },
    Target { name: "chat_request", run: chat_request, seeds: text::chat_seeds },
    Target { name: "guardrail_input", run: guardrail_input, seeds: text::screen_seeds },
    Target { name: "guardrail_output", run: guardrail_output, seeds: text::screen_seeds },
    Target { name: "guardrail_canonical", run: guardrail_canonical, seeds: screening::seeds },
    Target { name: "guardrail_personal", run: guardrail_personal, seeds: screening::seeds },
    Target { name: "guardrail_settings", run: guardrail_settings, seeds: policy::settings_seeds },
    Target { name: "protected_list", run: protected_list, seeds: policy::protected_seeds },
    Target { name: "gguf", run: gguf, seeds: weights::seeds },
    Target { name: "audit_entry", run: audit_entry, seeds: audit::entry_seeds },
    Target { name: "audit_record", run: audit_record, seeds: audit::record_seeds },
    Target { name: "audit_protocol", run: audit_protocol, seeds: audit::protocol_seeds },
    Target { name: "metrics_page", run: metrics_page, seeds: metrics::page_seeds },
    Target { name: "metrics_snapshot", run: metrics_snapshot, seeds: metrics::seeds },
    Target { name: "row_rules", run: row_rules, seeds: lookup::rule_seeds },
    Target { name: "lookup_grant", run: lookup_grant, seeds: lookup::grant_seeds },
    Target { name: "shape", run: shape, seeds: shape::seeds },
];

/// Inputs to start from; none for a name that is not in [`TARGETS`].
pub fn seeds(target: &str) -> Vec<Vec<u8>> {
    TARGETS.iter().find(|known| known.name == target).map(|known| (known.seeds)()).unwrap_or_default()
}

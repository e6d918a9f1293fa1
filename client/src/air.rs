//! Writes what a verified receipt says in the claims of AIR v1, as far as they can be met.
//!
//! AIR (Attested Inference Receipt) is a profile of CWT and EAT by others. An AIR receipt is signed inside; ours was
//! signed in our own format, so what comes out here is a claim set without a signature, for tools that read such claims,
//! with a list of what it leaves open. The other direction, what our receipt binds and AIR does not, is in
//! `docs/receipts.md`.
//!
//! Promises
//! - Only a receipt that was verified is exported, and no claim is invented: what is not known is listed as not met.
//!
//! Does not
//! - Sign, or call the result an AIR receipt.
//!
//! Trusts: nobody beyond the verified receipt and its bundle.
//!
//! Source: draft-tsyrulnikov-rats-attested-inference-receipt-02; AIR v1 CDDL of 2026-02-25 (claims 1, 6, 7, 10, 265 and
//! -65537 to -65549).

use adyton_attestation::measurement::PcrIndex;
use adyton_attestation::receipt::{Bundle, VerifiedReceipt};
use adyton_wire::manifest::Manifest;
use ring::digest::{SHA256, digest};
use serde_json::{Map, Value, json};

/// The profile that the claims follow.
const PROFILE: &str = "https://spec.cyntrisec.com/air/v1";

/// Claims of AIR v1 that a receipt of ours does not know, each with the reason.
const NOT_MET: [(&str, &str); 4] = [
    ("cti", "a receipt is named by boot and sequence, not by a random UUID"),
    ("execution_time_ms", "the time that an answer took is not in a receipt: it is a side channel"),
    ("memory_peak_mb", "is not measured for one answer; many are computed at once"),
    ("signature", "this is a claim set; the enclave signed its own format"),
];

/// The claim set, and what it leaves open. Hashes and registers are hexadecimal.
///
/// `request_hash` and `response_hash` are of the bytes in the bundle, which the receipt's salted commitments have been
/// compared with; `eat_nonce` is the session's.
pub fn claims(bundle: &Bundle, verified: &VerifiedReceipt) -> Value {
    let body = verified.body();
    let sha256 = |bytes: &[u8]| hex::encode(digest(&SHA256, bytes));
    // The manifest's bytes were measured; one that is no manifest of ours leaves its two claims open.
    let model = Manifest::parse(&bundle.manifest).map(|manifest| manifest.model);
    let mut not_met: Map<String, Value> =
        NOT_MET.iter().map(|(claim, why)| ((*claim).to_owned(), (*why).into())).collect();
    if model.is_err() {
        not_met.insert("model_id".to_owned(), "the manifest of the bundle does not name a model".into());
    }
    json!({
        "claims": {
            "iss": "adyton",
            "iat": body.issued_at.as_millis() / 1000,
            "eat_profile": PROFILE,
            "eat_nonce": hex::encode(bundle.nonce),
            "model_id": model.ok(),
            "model_version": hex::encode(body.manifest),
            "model_hash": hex::encode(body.weights),
            "model_hash_scheme": "sha256-single",
            "request_hash": sha256(&bundle.request),
            "response_hash": sha256(&bundle.response.concat()),
            "attestation_doc_hash": sha256(&bundle.document),
            "enclave_measurements": measurements(verified),
            "policy_version": hex::encode(body.policy),
            "sequence_number": body.sequence,
            "security_mode": if body.simulated { "evaluation" } else { "production" },
        },
        "not_met": not_met,
    })
}

fn measurements(verified: &VerifiedReceipt) -> Value {
    let mut registers = Map::new();
    for index in [0, 1, 2, 3, 4, 8] {
        let value = PcrIndex::new(index).and_then(|index| verified.claims().pcr(index));
        // AIR's optional registers are left out where they say nothing.
        if let Some(value) = value.filter(|value| index <= 2 || !value.is_zero()) {
            registers.insert(format!("pcr{index}"), value.to_string().into());
        }
    }
    registers.insert("measurement_type".to_owned(), "nitro-pcr".into());
    Value::Object(registers)
}

//! Turns evidence from a Nitro Security Module into verified claims, and answers into receipts.
//!
//! The path is `bytes -> Evidence -> VerifiedClaims`: [`evidence::Evidence`] is an allegation, and
//! [`appraisal::appraise`] is the only maker of [`appraisal::VerifiedClaims`]. Whoever needs the proof takes the value.
//!
//! # Promises
//! - No input makes this crate panic, and nothing is allocated before its size was bounded.
//! - Every refusal is a variant of its own; a step that was not run is "not checked", never "pass".
//! - Nonces, bindings and PCRs are compared in constant time.
//! - What was verified under another root than AWS's says so: `simulated()` is true.
//!
//! # Does not
//! - Read a clock, a file, a socket or a device: `now` is a parameter and the NSM is a trait.
//! - Consult CRLs. A leaf lives three hours, and the client has no second channel to fetch a list from.
//!
//! # Trusts
//! - The root in [`anchor`], the caller's clock, and the [`reference::ReferenceValues`] that the caller chose.
//!
//! Sources: AWS "Nitro Enclaves attestation process" (`docs/attestation_process.md` of aws-nitro-enclaves-nsm-api),
//! RFC 9052 (COSE), RFC 8949 (CBOR), RFC 5280 (X.509), RFC 9334 (the words), RFC 8446 (TLS 1.3), RFC 9162 (logs).

#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]
#![cfg_attr(test, allow(clippy::indexing_slicing, clippy::arithmetic_side_effects))]

pub mod anchor;
pub mod appraisal;
pub mod audit;
pub mod ballot;
pub mod binding;
pub mod cbor;
mod chain;
mod chain_cache;
pub mod corpus;
mod cose;
mod der;
pub mod ed25519;
pub mod endorsement;
pub mod evidence;
pub mod measurement;
pub mod nsm;
pub mod receipt;
pub mod reference;
pub mod seal;
pub mod secret;
mod time;
pub mod tls;
pub mod transparency;
mod x509;

pub use chain_cache::ChainCache;
pub use time::Timestamp;

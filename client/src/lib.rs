//! The relying party: verifies an enclave, then talks to it.
//!
//! Reading order: [`session`] (the only maker of an [`session::AttestedSession`], the only thing that can carry a
//! prompt), [`answer`] (what is kept of an answer, and its receipt), [`proxy`], [`policy`] (reference
//! values, signed), [`audit`] (the enclave's log, read by others), [`status`] (what a host shows its operator), [`cli`].
//!
//! Promises
//! - No byte of a prompt leaves before the evidence of *this* connection was appraised. There is no switch to skip it.
//! - An answer counts as whole only if its stream ended by TLS, its receipt verified and says `complete`.
//!
//! Trusts: its own clock, the trust anchor it was built with, and the reference values that its user chose.

pub mod air;
pub mod answer;
pub mod audit;
pub mod chat;
pub mod cli;
pub mod corpus;
pub mod files;
pub mod ingest;
pub mod people;
pub mod policy;
pub mod proxy;
pub mod release;
pub mod secret;
pub mod session;
pub mod statistics;
pub mod status;
pub mod token;

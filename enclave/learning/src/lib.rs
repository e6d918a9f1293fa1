//! Learning from private data without seeing it: what may leave, what it costs, and the federated aggregator.
//!
//! Promises
//! - A figure leaves only as a [`telemetry::Release`], which takes a [`ledger::Spend`] that the one ledger made.
//! - The sum of a cohort can be read only after enough participants gave an update, and leaves only with noise in it.
//! - Randomness, time and limits come in as parameters; nothing here reads a file, a clock or a network.
//!
//! Does not: verify evidence or open sockets. Does not sign.
//!
//! Trusts: the generator that it is given, and that a caller keeps the ledger's states in the order in which they were made.

pub mod accountant;
pub mod ledger;
pub mod noise;
pub mod round;
pub mod telemetry;

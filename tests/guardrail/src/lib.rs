//! Trains the guardrail's model, and measures the guardrail on public data that it was not made from.
//!
//! # Promises
//! - Data is read, never written or copied into the project; where it is absent, the programs say so.
//! - Nothing here chooses a threshold or a rule by looking at data for evaluation.
//!
//! # Trusts
//! - The data sets' own labels, wrong ones included.

pub mod data;
pub mod injection;
pub mod langid;
pub mod latency;
pub mod personal;
pub mod secrets;
pub mod table;
pub mod topics;
pub mod train;

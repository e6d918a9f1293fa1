//! Attacks federated rounds, and measures what they are worth and how long they take.
//!
//! # Promises
//! - Every figure comes from the aggregator, participants and accountants that ship; only what "no defence" means is computed here.
//! - The same seed gives the same table.
//! - Where the data sets are absent, texts are made by a grammar, and the tables say so.
//!
//! # Trusts
//! - The data sets' own labels.

pub mod attacks;
pub mod bench;
pub mod dice;
pub mod plot;
pub mod texts;
pub mod training;
pub mod worth;

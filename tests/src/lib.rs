//! Never shipped: a mock security module with a PKI of its own, for the simulator and the system tests.
//!
//! # Promises
//! - What the mock signs leads to a root made from its seed, never to AWS's, so every verifier says SIMULATED.
//!
//! # Does not
//! - Link into anything that is shipped; a test reads the crate graph and says so.
//!
//! # Trusts
//! - Whoever starts it.

pub mod alone;
pub mod corpus;
pub mod emulator;
pub mod fuzz;
pub mod mock_nsm;
pub mod pki;
pub mod postgres;
pub mod simulation;
pub mod small_model;
pub mod workload;
pub mod world;

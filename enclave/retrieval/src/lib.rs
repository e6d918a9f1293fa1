//! Question in, masked passages out.
//!
//! # Promises
//! - A store is asked under a grant of the sentinel, and answers at most what the grant names.
//!
//! # Does not
//! - Open a socket or a file: streams are handed in.
//! - Decide: policies do, in the sentinel.
//!
//! # Trusts
//! - No store: what it answers is checked against the grant, within bounds.

#![deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![cfg_attr(test, allow(clippy::indexing_slicing))] // a test that reads outside fails

pub mod chunk;
pub mod document;
pub mod embedded;
pub mod passage;
pub mod postgres;

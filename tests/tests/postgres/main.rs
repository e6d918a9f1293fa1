//! The database enforces too: a real PostgreSQL with this project's migrations, asked by the connector, by a worker that was
//! taken over, and replaced by one that lies.
//!
//! # Promises
//! - Every test has a database of its own, in one server that ends with the tests.
//!
//! # Does not
//! - Reach a network.
//!
//! # Trusts
//! - PostgreSQL and pgvector, which are under test only as far as this project leans on them.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // a test that cannot go on ends

mod attacks;
mod forging;
mod lies;
mod recall;
mod store;
mod support;
mod walk;

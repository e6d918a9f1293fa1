//! The arithmetic of inference for one processor: packed weights, integer products, attention, a pool of threads.
//!
//! Promises
//! - Every kernel gives the same bits on every instruction set and for every number of threads: it is written once, over
//!   `simd::Simd`, and the tests compare each implementation with the one in plain Rust.
//! - A row's result does not depend on the rows that are computed beside it.
//! - What is public is safe to call with any values; sizes that do not fit are a panic with a reason, never a read or a
//!   write outside.
//!
//! Does not: know models, tokens or users. Does not allocate in a product.
//!
//! Trusts: the processor's own word about its instructions.
//!
//! This is the one crate of the workspace with `unsafe`: vector instructions (`avx2`, `avx512`), threads that share a
//! buffer (`pool`, `matrix`), and two system calls (large pages in `store`, turns in `courtesy`).

mod activations;
pub mod attention;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod courtesy;
mod form;
mod isa;
mod matrix;
mod plain;
mod pool;
mod simd;
mod store;
pub mod vector;

#[cfg(test)]
mod tests;

pub use activations::Activations;
pub use courtesy::give_way;
pub use form::Format;
pub use isa::Isa;
pub use matrix::{Matrix, PackError};
pub use pool::Pool;
pub use store::{Store, StoreError};

//! Decides: may this principal do this, with that, for this purpose, now? And under which obligations?
//!
//! The path is `files -> Pack -> Question -> Outcome`. A [`Pack`] exists only if its policies validate against its schema and
//! every annotation in them is understood. The sentinel decides with this crate inside the enclave, and `adyton policy test` and
//! `adyton policy explain` with the same code outside.
//!
//! # Promises
//! - Default deny, and an evaluation error denies, also where Cedar alone would skip the failing policy and permit.
//! - Five decisions: allow, modify (allow under obligations), step up (a person), defer, deny. Only allow and modify let anything happen.
//! - What the decision context of a purpose does not list is denied whatever the policies say.
//! - Obligations of all permits that hold are kept together: the strictest of each.
//!
//! # Does not
//! - Carry an obligation out, wait for a person, or remember a session; the caller does.
//!
//! # Trusts
//! - The pack, which is measured, and the facts of a question, which its caller has established.
//!
//! Sources: Cedar (policy language and validation), NIST SP 800-162 (attributes), AARM v1.0 R4 (the five decisions).

#![deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod contexts;
mod index;
mod obligations;
mod outcome;
mod pack;
mod place;
mod question;
mod rows;
pub mod table;

pub use contexts::{Contexts, ContextsError, DecisionContext};
pub use obligations::{Annotations, Obligations};
pub use outcome::{Decided, Outcome};
pub use pack::{Pack, PackError};
pub use question::{Facts, Question, Resource, Resources, Situation};
pub use rows::{Resolved, RowRules, RowsError, resolve};

//! A federated round: the model goes to the data, clipped updates come back, and only a noised sum of many leaves.
//!
//! ```text
//! Policy, measured -> participant: local step, clip, whole numbers -> Aggregator: checked, summed, forgotten one by one
//!   -> enough of them? -> Cohort -> Spend -> noise -> Released and its receipt
//! ```
//!
//! Values of an update are whole numbers: [`policy::TICKS`] of them are the clip. So a norm is checked exactly, a sum has no
//! order, and the noise is exact. What is no number cannot be written.
//!
//! Promises
//! - A sum can be read only of a [`Cohort`], which exists only if enough participants gave an update; and what is read of it has
//!   the policy's noise in it and took a [`Spend`](crate::ledger::Spend).
//! - Each participant of the policy counts once a round; what is refused changes nothing, and the round goes on.
//! - Memory is set by the policy and does not grow with the cohort; it is wiped when the round ends, however it ends.
//!
//! Does not: verify evidence or decrypt; the attested session does, and says which participant it is. Does not judge whether
//! an update within the bounds is honest: the bounds say what one that is not can do.
//!
//! ```compile_fail,E0451
//! use adyton_learning::round::Cohort;
//! fn early(groups: Vec<i64>) -> Cohort { Cohort { groups, ..todo!() } }
//! ```
//!
//! Sources: McMahan et al. 2018 (arXiv:1710.06963) for clipped updates and noise on their sum; Yin et al. 2018
//! (arXiv:1803.01498) for the trimmed mean; record 0034 for groups in place of single updates.

pub mod aggregate;
pub mod head;
pub mod participant;
pub mod policy;
pub mod receipt;
pub mod update;

pub use aggregate::{Aggregator, Cohort, Released, RoundError};
pub use participant::{Participant, ParticipantError};
pub use policy::{Policy, PolicyError, Unit};
pub use receipt::{Receipt, Signed, Signer};
pub use update::{Rejected, Update};

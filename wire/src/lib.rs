//! What crosses a wall, and nothing else: ports, frames, size limits, messages.
//!
//! | wall | module |
//! |---|---|
//! | host and enclave | [`ports`], [`hybrid`], [`blob`], [`manifest`], [`audit`], [`egress`], [`metrics`] |
//! | sentinel and worker | [`control`], [`channel`], [`tools`], [`stores`], [`lookup`] |
//!
//! Promises
//! - Every length is checked against its limit before memory is taken for it.
//! - No type here decides anything: who believes what it reads says so in a room of its own.

pub mod audit;
pub mod blob;
pub mod channel;
pub mod control;
pub mod egress;
pub mod hybrid;
pub mod lookup;
pub mod manifest;
pub mod metrics;
pub mod ports;
pub mod stores;
pub mod tools;

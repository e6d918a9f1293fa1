//! The untrusted parent instance: relays bytes, serves blobs, keeps the audit log, shows metrics, starts the enclave.
//!
//! Nothing here is trusted by anybody: the enclave checks each blob, the client checks the enclave, and what
//! is relayed is TLS between the two, and what it keeps of the audit log is sealed and signed. So this room
//! knows no key, no evidence and no text, only bytes and their number.
//!
//! Promises
//! - Memory is bounded: two buffers a connection, a limit of connections, and nothing is read that cannot be
//!   passed on.
//! - An idle or half-open connection ends; a client that stalls holds nobody else up.
//! - Ctrl-C ends the enclave too.

pub mod audit;
pub mod blobs;
pub mod egress;
pub mod enclave;
pub mod heartbeat;
pub mod launch;
pub mod metrics;
pub mod qemu;
pub mod relay;

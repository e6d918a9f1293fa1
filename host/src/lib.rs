//! The untrusted parent instance: relays bytes, serves blobs, keeps the audit log, shows metrics, keeps the enclaves running.
//!
//! Nothing here is trusted by anybody: the enclave checks each blob, the client checks the enclave, and what
//! is relayed is TLS between the two, and what it keeps of the audit log is sealed and signed. So this room
//! knows no key, no evidence and no text, only bytes and their number.
//!
//! Promises
//! - Memory is bounded: two buffers a connection, a limit of connections, and nothing is read that cannot be
//!   passed on.
//! - An idle or half-open connection ends; a client that stalls holds nobody else up.
//! - Of several enclaves the least busy one that is online takes a connection; one that ends is started again.
//! - Ctrl-C ends the enclaves too; SIGTERM waits for open connections before, within a limit.

pub mod audit;
pub mod blobs;
pub mod doctor;
pub mod egress;
pub mod enclave;
pub mod heartbeat;
pub mod keeper;
pub mod launch;
pub mod metrics;
pub mod nitro;
pub mod notify;
pub mod pool;
pub mod ports;
pub mod qemu;
pub mod relay;

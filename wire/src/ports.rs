//! Addresses on the vsock bus.

/// CID of the parent instance, as an enclave sees it (AWS Nitro Enclaves user guide, "vsock").
pub const HOST_CID: u32 = 3;

/// The enclave listens here for clients' TLS connections.
pub const SESSION_PORT: u32 = 5000;

/// The host listens here and serves the release's blobs.
pub const BLOB_PORT: u32 = 5001;

/// The host listens here and keeps the enclave's audit log.
pub const AUDIT_PORT: u32 = 5002;

/// The host may listen here for the enclave's metrics. Nothing in the enclave depends on it.
pub const METRICS_PORT: u32 = 5003;

/// The host listens here and connects the enclave to addresses that its operator lists.
pub const EGRESS_PORT: u32 = 5004;

/// The parent listens here for an enclave's heartbeat and sends it back (AWS `nitro-cli`, `ENCLAVE_READY_VSOCK_PORT`).
pub const HEARTBEAT_PORT: u32 = 9000;

/// The heartbeat, one byte (AWS `nitro-cli`; `init.c` of AWS's own enclaves).
pub const HEARTBEAT: u8 = 0xB7;

//! Tells the parent that the enclave lives: the byte 0xB7, which comes back.
//!
//! `nitro-cli run-enclave` waits for it and ends an enclave that does not send it, so it is sent before the model is fetched: that may
//! take longer than the parent waits, and `adyton-host` begins to serve the model when `nitro-cli` has returned.
//!
//! Does not: decide anything. A parent that does not listen, or answers something else, has said nothing of use.
//!
//! Source: AWS's `aws-nitro-enclaves-cli`, `ENCLAVE_READY_VSOCK_PORT`; `aws-nitro-enclaves-sdk-bootstrap`, `init/init.c`.

use crate::transport::Transport;
use adyton_wire::ports::{HEARTBEAT, HEARTBEAT_PORT};
use std::io;
use std::time::Duration;
use tokio::time::timeout;

/// How long the parent may take.
const WAIT: Duration = Duration::from_secs(5);

/// Sends it. Whatever the parent does, the boot goes on.
pub fn send() {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
    let heard = runtime.block_on(async {
        let parent = Transport::Vsock;
        timeout(WAIT, parent.open(HEARTBEAT_PORT, &[HEARTBEAT])).await?
    });
    if let Err(e) = heard.map(|_| ()) {
        // Read in a debug enclave, and nowhere else.
        let e: io::Error = e;
        eprintln!("sentinel: the parent takes no heartbeat: {e}");
    }
}

//! Takes an enclave's heartbeat where `nitro-cli` does not: the machine in QEMU. The byte is sent back.
//!
//! Source: AWS's `aws-nitro-enclaves-cli`, which waits for it on port 9000.

use crate::enclave::PortListener;
use adyton_wire::ports::HEARTBEAT;
use std::io;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Answers heartbeats until the listener fails.
///
/// # Errors
/// What the listener says.
pub async fn answer(listener: PortListener) -> io::Result<()> {
    loop {
        let mut stream = listener.accept().await?;
        tokio::spawn(async move {
            if stream.read_u8().await? == HEARTBEAT {
                stream.write_all(&[HEARTBEAT]).await?;
            }
            stream.flush().await
        });
    }
}

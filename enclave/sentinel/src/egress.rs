//! Opens what was granted: a connection through the host, to an address of the measured policy pack.
//!
//! Promises
//! - Nothing else in the enclave can open one, and it takes a [`Reach`], by value: one permit, one connection.
//! - A host that is silent costs [`TIMEOUT`], not more.
//!
//! Does not: read or write a byte of the connection. TLS ends in the worker, which alone learns who is at the other end.

use crate::decision::Reach;
use crate::transport::Transport;
use adyton_wire::egress::{self, Reply};
use adyton_wire::ports::EGRESS_PORT;
use std::os::fd::OwnedFd;
use std::time::Duration;

/// How long the host may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// A socket that leads to where the policy permits, if the host says so.
pub async fn open(transport: &Transport, reach: Reach) -> Option<OwnedFd> {
    let request = egress::request(reach.address())?;
    let opened = tokio::time::timeout(TIMEOUT, transport.open(EGRESS_PORT, &request)).await;
    let (reply, socket) = opened.ok()?.ok()?;
    (Reply::decode(reply) == Some(Reply::Connected)).then_some(socket)
}

//! `adyton-sim-puppet`: a worker that has been taken over. It starts as the real one does, and from then on whoever connects
//! speaks through it: each frame from the client goes to the sentinel as one datagram, unread, and what the sentinel sends goes
//! back to the client that connected last.
//!
//! A frame is a length (four bytes, big-endian) and so many bytes; see `tests/tests/system/puppet.rs` for the other end.
//!
//! # Does not
//! - Protect anything: it has no model and no TLS, and keeps all rights that it was born with.

use adyton_wire::channel::Channel;
use adyton_wire::control::{ToSentinel, ToWorker};
use anyhow::{Context, Result, bail};
use rustix::net::SendFlags;
use rustix::process::{Signal, set_parent_process_death_signal};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitCode;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

/// What it says its TLS key is. It has none.
const SPKI: &[u8] = b"a puppet";
/// Longest frame that it takes. Above the channel's own limit, so that a test can go beyond that.
const MAX_FRAME: u32 = 256 * 1024;

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime.context("runtime").and_then(|runtime| runtime.block_on(live())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("SIMULATED puppet: {e:#}");
            ExitCode::FAILURE
        }
    }
}

async fn live() -> Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let socket = io::stdin().as_fd().try_clone_to_owned()?;
    let raw = socket.try_clone()?;
    let channel = Channel::new(socket)?;
    let raw = Arc::new(stream(raw)?);
    let (start, files) = channel.receive::<ToWorker>().await?;
    if !matches!(start, ToWorker::Start { .. }) || files.len() < 3 {
        bail!("the sentinel did not begin with the release");
    }
    channel.send(&ToSentinel::Ready { spki: SPKI.to_vec() }, &[]).await?;
    let mut client = None;
    loop {
        let (message, mut sockets) = channel.receive::<ToWorker>().await?;
        if let Some(socket) = sockets.pop() {
            let (from_client, to_client) = stream(socket)?.into_split();
            tokio::spawn(forward(from_client, Arc::clone(&raw)));
            client = Some(to_client);
        } else if let Some(to_client) = &mut client
            && tell(to_client, &message).await.is_err()
        {
            client = None;
        }
    }
}

fn stream(socket: OwnedFd) -> io::Result<UnixStream> {
    let socket = std::os::unix::net::UnixStream::from(socket);
    socket.set_nonblocking(true)?;
    UnixStream::from_std(socket)
}

/// Sends on what the client says, until it is gone.
async fn forward(mut client: OwnedReadHalf, sentinel: Arc<UnixStream>) -> Result<()> {
    loop {
        let length = client.read_u32().await?;
        if length > MAX_FRAME {
            bail!("a frame of {length} bytes");
        }
        let mut frame = vec![0; length as usize];
        client.read_exact(&mut frame).await?;
        loop {
            sentinel.writable().await?;
            let send =
                || Ok(rustix::net::send(&sentinel, &frame, SendFlags::NOSIGNAL | SendFlags::DONTWAIT)?);
            match sentinel.try_io(Interest::WRITABLE, send) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                sent => {
                    sent?;
                    break;
                }
            }
        }
    }
}

async fn tell(client: &mut OwnedWriteHalf, message: &ToWorker) -> Result<()> {
    let bytes = postcard::to_stdvec(message)?;
    client.write_u32(u32::try_from(bytes.len())?).await?;
    Ok(client.write_all(&bytes).await?)
}

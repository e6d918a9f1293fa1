//! The channel between sentinel and worker: datagrams that keep their order, each with up to two descriptors.
//!
//! A `SOCK_SEQPACKET` pair of Unix sockets: the kernel keeps the frames apart, so there is no length to lie about,
//! and `SCM_RIGHTS` hands descriptors over one by one. End of file means that the other process is gone.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use serde::{Serialize, de::DeserializeOwned};
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use thiserror::Error;
use tokio::io::Interest;
use tokio::net::UnixStream;

/// Largest frame, in bytes: the worker's evidence documents (16 KiB) and the policy files in `Start` fit.
pub const MAX_FRAME: usize = 128 * 1024;
/// Most descriptors in one frame.
pub const MAX_DESCRIPTORS: usize = 5;

/// Why the channel ended.
#[derive(Debug, Error)]
pub enum ChannelError {
    /// The other process closed its end.
    #[error("the other process closed the control channel")]
    Closed,
    /// Not a message of the protocol: the other side is of another version, or hostile.
    #[error("a malformed control frame")]
    Malformed,
    /// A message over [`MAX_FRAME`] was to be sent.
    #[error("a control message over the frame limit")]
    TooLarge,
    /// The socket failed.
    #[error("control channel: {0}")]
    Io(#[from] io::Error),
}

/// One end of the channel.
#[derive(Debug)]
pub struct Channel {
    // tokio's type for readiness only: every datagram goes through `sendmsg` and `recvmsg` below.
    socket: UnixStream,
}

/// Makes both ends, not yet attached to a runtime.
///
/// # Errors
/// What the operating system says.
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = rustix::net::SocketFlags::CLOEXEC;
    Ok(rustix::net::socketpair(
        rustix::net::AddressFamily::UNIX,
        rustix::net::SocketType::SEQPACKET,
        flags,
        None,
    )?)
}

impl Channel {
    /// Attaches one end to the running tokio runtime.
    ///
    /// # Errors
    /// If the descriptor cannot be made non-blocking or registered.
    pub fn new(socket: OwnedFd) -> io::Result<Channel> {
        rustix::io::ioctl_fionbio(&socket, true)?;
        Ok(Channel { socket: UnixStream::from_std(socket.into())? })
    }

    /// Sends one message with descriptors.
    ///
    /// # Errors
    /// [`ChannelError::Closed`] if the other end is gone.
    pub async fn send<T: Serialize>(
        &self,
        message: &T,
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<(), ChannelError> {
        let bytes = postcard::to_stdvec(message).map_err(|_| ChannelError::TooLarge)?;
        if bytes.len() > MAX_FRAME || descriptors.len() > MAX_DESCRIPTORS {
            return Err(ChannelError::TooLarge);
        }
        let send = || send_now(self.socket.as_fd(), &bytes, descriptors);
        match self.socket.async_io(Interest::WRITABLE, send).await {
            Err(e) if matches!(e.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset) => {
                Err(ChannelError::Closed)
            }
            sent => Ok(sent?),
        }
    }

    /// Receives one message and its descriptors.
    ///
    /// # Errors
    /// [`ChannelError::Closed`] at the end, [`ChannelError::Malformed`] for a frame that is not a `T`.
    pub async fn receive<T: DeserializeOwned>(&self) -> Result<(T, Vec<OwnedFd>), ChannelError> {
        let mut buffer = vec![0; MAX_FRAME];
        let receive = || receive_now(self.socket.as_fd(), &mut buffer);
        let (length, descriptors) = match self.socket.async_io(Interest::READABLE, receive).await {
            Err(e) if e.kind() == io::ErrorKind::ConnectionReset => return Err(ChannelError::Closed),
            received => received?,
        };
        if length == 0 {
            return Err(if is_over(self.socket.as_fd()) {
                ChannelError::Closed
            } else {
                ChannelError::Malformed
            });
        }
        let frame = buffer.get(..length).ok_or(ChannelError::Malformed)?;
        let (message, rest) = postcard::take_from_bytes(frame).map_err(|_| ChannelError::Malformed)?;
        if rest.is_empty() { Ok((message, descriptors)) } else { Err(ChannelError::Malformed) }
    }
}

fn send_now(socket: BorrowedFd<'_>, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // A datagram is sent whole or not at all.
    sendmsg(socket, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL | SendFlags::DONTWAIT)?;
    Ok(())
}

/// Nothing was received: is the other end gone, or was the datagram empty? Where the kernel does not say, it is gone.
fn is_over(socket: BorrowedFd<'_>) -> bool {
    let mut asked = [PollFd::from_borrowed_fd(socket, PollFlags::RDHUP)];
    let told = poll(&mut asked, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }));
    told.is_err() || asked.iter().any(|one| one.revents().intersects(PollFlags::RDHUP | PollFlags::HUP))
}

fn receive_now(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
    let received = recvmsg(socket, &mut [IoSliceMut::new(buffer)], &mut control, flags)?;
    if received.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a control frame was cut"));
    }
    let descriptors = control
        .drain()
        .filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
            _ => None,
        })
        .flatten()
        .collect();
    Ok((received.bytes, descriptors))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::ToWorker;
    use std::io::{Read, Write};

    #[tokio::test]
    async fn messages_and_descriptors_cross() {
        let (a, b) = pair().unwrap();
        let (a, b) = (Channel::new(a).unwrap(), Channel::new(b).unwrap());
        let (mut near, far) = std::os::unix::net::UnixStream::pair().unwrap();
        a.send(&ToWorker::Connection, &[far.as_fd()]).await.unwrap();
        drop(far);
        let (message, mut descriptors) = b.receive::<ToWorker>().await.unwrap();
        assert!(matches!(message, ToWorker::Connection));
        let mut far = std::os::unix::net::UnixStream::from(descriptors.pop().unwrap());
        near.write_all(b"x").unwrap();
        let mut byte = [0];
        far.read_exact(&mut byte).unwrap();
        assert_eq!(&byte, b"x");
    }

    #[tokio::test]
    async fn the_end_and_garbage_are_told_apart() {
        let (a, b) = pair().unwrap();
        let (a, b) = (Channel::new(a).unwrap(), Channel::new(b).unwrap());
        a.send(&[0xffu8; 9], &[]).await.unwrap();
        assert!(matches!(b.receive::<ToWorker>().await, Err(ChannelError::Malformed)));
        send_now(a.socket.as_fd(), &[], &[]).unwrap();
        assert!(matches!(b.receive::<ToWorker>().await, Err(ChannelError::Malformed)));
        drop(a);
        assert!(matches!(b.receive::<ToWorker>().await, Err(ChannelError::Closed)));
    }

    #[tokio::test]
    async fn an_oversized_message_is_not_sent() {
        let (a, _b) = pair().unwrap();
        let a = Channel::new(a).unwrap();
        let huge = vec![0u8; MAX_FRAME + 1];
        assert!(matches!(a.send(&huge, &[]).await, Err(ChannelError::TooLarge)));
    }
}

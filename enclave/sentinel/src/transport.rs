//! How the enclave meets the host: AF_VSOCK, or Unix sockets with the hybrid convention.
//!
//! Does not: read or write a byte of a client's stream. In the Unix form the `CONNECT` line in front of it comes
//! from the host's side of the bus, as it would from a vsock device.

use adyton_wire::hybrid;
use adyton_wire::ports::{HOST_CID, SESSION_PORT};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio_vsock::{VMADDR_CID_ANY, VsockAddr, VsockListener, VsockStream};

/// A stream to the host.
pub trait Stream: AsyncRead + AsyncWrite + Unpin {}
impl<T: AsyncRead + AsyncWrite + Unpin> Stream for T {}

/// Which bus.
#[derive(Clone, Debug)]
pub enum Transport {
    /// Nitro, or a guest of QEMU.
    Vsock,
    /// Processes on one machine: `PATH`, and `PATH_<port>` for what the host listens to.
    Unix(PathBuf),
}

/// Accepts clients' connections.
#[derive(Debug)]
pub enum Listener {
    /// On the session port.
    Vsock(VsockListener),
    /// On the hybrid socket.
    Unix(UnixListener),
}

/// How long the host may take for the `CONNECT` line.
const LINE_TIMEOUT: Duration = Duration::from_secs(5);

impl Transport {
    /// Starts to listen for clients.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn listen(&self) -> io::Result<Listener> {
        match self {
            Transport::Vsock => {
                Ok(Listener::Vsock(VsockListener::bind(VsockAddr::new(VMADDR_CID_ANY, SESSION_PORT))?))
            }
            Transport::Unix(path) => Ok(Listener::Unix(UnixListener::bind(path)?)),
        }
    }

    /// Connects to a port of the host.
    ///
    /// # Errors
    /// What the operating system says.
    pub async fn connect(&self, port: u32) -> io::Result<Box<dyn Stream>> {
        Ok(match self {
            Transport::Vsock => Box::new(VsockStream::connect(VsockAddr::new(HOST_CID, port)).await?),
            Transport::Unix(path) => Box::new(UnixStream::connect(hybrid::host_listener(path, port)).await?),
        })
    }

    /// Connects to a port of the host, says something, takes one byte, and hands the socket over.
    ///
    /// # Errors
    /// What the operating system says.
    pub async fn open(&self, port: u32, said: &[u8]) -> io::Result<(u8, OwnedFd)> {
        match self {
            Transport::Vsock => {
                let mut stream = VsockStream::connect(VsockAddr::new(HOST_CID, port)).await?;
                stream.write_all(said).await?;
                Ok((stream.read_u8().await?, stream.as_fd().try_clone_to_owned()?))
            }
            Transport::Unix(path) => {
                let mut stream = UnixStream::connect(hybrid::host_listener(path, port)).await?;
                stream.write_all(said).await?;
                Ok((stream.read_u8().await?, stream.into_std()?.into()))
            }
        }
    }
}

/// A connection as accepted. In the Unix form its `CONNECT` line is still to be read.
#[derive(Debug)]
pub enum Accepted {
    /// Ready to be handed over.
    Vsock(VsockStream),
    /// See [`Accepted::into_socket`].
    Unix(UnixStream),
}

impl Listener {
    /// The next connection. Cancel-safe.
    ///
    /// # Errors
    /// What the operating system says.
    pub async fn accept(&self) -> io::Result<Accepted> {
        match self {
            Listener::Vsock(listener) => Ok(Accepted::Vsock(listener.accept().await?.0)),
            Listener::Unix(listener) => Ok(Accepted::Unix(listener.accept().await?.0)),
        }
    }
}

impl Accepted {
    /// The socket to hand to the worker.
    ///
    /// # Errors
    /// If the hybrid line is late, malformed, or asks for another port.
    pub async fn into_socket(self) -> io::Result<OwnedFd> {
        match self {
            Accepted::Vsock(stream) => stream.as_fd().try_clone_to_owned(),
            Accepted::Unix(mut stream) => {
                let port = tokio::time::timeout(LINE_TIMEOUT, read_connect(&mut stream)).await??;
                if port != Some(SESSION_PORT) {
                    return Err(io::Error::new(
                        io::ErrorKind::InvalidData,
                        "not a CONNECT to the session port",
                    ));
                }
                stream.write_all(format!("OK {SESSION_PORT}\n").as_bytes()).await?;
                Ok(stream.into_std()?.into())
            }
        }
    }
}

async fn read_connect(stream: &mut UnixStream) -> io::Result<Option<u32>> {
    let mut line = Vec::with_capacity(hybrid::MAX_LINE);
    while line.last() != Some(&b'\n') && line.len() < hybrid::MAX_LINE {
        line.push(stream.read_u8().await?);
    }
    Ok(hybrid::parse_connect(&line))
}

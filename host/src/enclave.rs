//! Where the enclave is, and how its ports are reached from the host's side.

use adyton_wire::hybrid;
use adyton_wire::ports::SESSION_PORT;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio_vsock::{VMADDR_CID_ANY, VsockAddr, VsockListener, VsockStream};

/// A stream to or from the enclave.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// The enclave's place on the bus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Enclave {
    /// `vsock:CID`
    Vsock(u32),
    /// `unix:PATH`, with the hybrid convention.
    Unix(PathBuf),
}

impl FromStr for Enclave {
    type Err = String;

    fn from_str(text: &str) -> Result<Enclave, String> {
        let wrong = || "expected vsock:CID or unix:PATH".to_owned();
        match text.split_once(':') {
            Some(("vsock", cid)) => Ok(Enclave::Vsock(cid.parse().map_err(|_| wrong())?)),
            Some(("unix", path)) if !path.is_empty() => Ok(Enclave::Unix(path.into())),
            _ => Err(wrong()),
        }
    }
}

impl std::fmt::Display for Enclave {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Enclave::Vsock(cid) => write!(f, "vsock:{cid}"),
            Enclave::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Accepts the enclave's connections to one of the host's ports.
#[derive(Debug)]
pub enum PortListener {
    /// On Nitro and in QEMU.
    Vsock(VsockListener),
    /// For processes.
    Unix(UnixListener),
}

impl Enclave {
    /// Connects to the session port.
    ///
    /// # Errors
    /// What the operating system says, or that the bus refused.
    pub async fn connect(&self) -> io::Result<Box<dyn Stream>> {
        match self {
            Enclave::Vsock(cid) => {
                Ok(Box::new(VsockStream::connect(VsockAddr::new(*cid, SESSION_PORT)).await?))
            }
            Enclave::Unix(path) => {
                let mut stream = UnixStream::connect(path).await?;
                stream.write_all(hybrid::connect_line(SESSION_PORT).as_bytes()).await?;
                let mut line = Vec::with_capacity(hybrid::MAX_LINE);
                while line.last() != Some(&b'\n') && line.len() < hybrid::MAX_LINE {
                    line.push(stream.read_u8().await?);
                }
                if hybrid::is_ok(&line) {
                    Ok(Box::new(stream))
                } else {
                    Err(io::Error::new(io::ErrorKind::ConnectionRefused, "the bus refused the session port"))
                }
            }
        }
    }

    /// Listens on a port for the enclave.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn listen(&self, port: u32) -> io::Result<PortListener> {
        match self {
            Enclave::Vsock(_) => {
                Ok(PortListener::Vsock(VsockListener::bind(VsockAddr::new(VMADDR_CID_ANY, port))?))
            }
            Enclave::Unix(path) => {
                let path = hybrid::host_listener(path, port);
                clear(&path)?;
                Ok(PortListener::Unix(UnixListener::bind(path)?))
            }
        }
    }
}

/// Removes a socket that its owner left behind when it was killed. One that is in use belongs to a running process and is not ours.
pub(crate) fn clear(path: &Path) -> io::Result<()> {
    if path.exists() && std::os::unix::net::UnixStream::connect(path).is_err() {
        std::fs::remove_file(path)?;
    }
    Ok(())
}

impl PortListener {
    /// The next connection from the enclave.
    ///
    /// # Errors
    /// What the operating system says.
    pub async fn accept(&self) -> io::Result<Box<dyn Stream>> {
        Ok(self.accept_from().await?.0)
    }

    /// The same, with the address that it comes from, where there is one.
    ///
    /// # Errors
    /// What the operating system says.
    pub async fn accept_from(&self) -> io::Result<(Box<dyn Stream>, Option<u32>)> {
        Ok(match self {
            PortListener::Vsock(listener) => {
                let (stream, from) = listener.accept().await?;
                (Box::new(stream), Some(from.cid()))
            }
            PortListener::Unix(listener) => (Box::new(listener.accept().await?.0), None),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_strictly() {
        assert_eq!("vsock:16".parse(), Ok(Enclave::Vsock(16)));
        assert_eq!("unix:/run/e".parse(), Ok(Enclave::Unix("/run/e".into())));
        for bad in ["", "vsock:", "vsock:-1", "vsock:4294967296", "unix:", "tcp:1", "/run/e"] {
            assert!(bad.parse::<Enclave>().is_err(), "{bad}");
        }
    }
}

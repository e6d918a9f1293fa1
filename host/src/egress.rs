//! Connects the enclave to addresses that the operator lists, and relays bytes.
//!
//! Promises
//! - Nothing is reached that is not on the list, whatever the enclave asks for: it is not a way into the operator's network.
//! - Requests, connections and their silence are bounded.
//!
//! Does not: see what is said. TLS ends in the enclave.

use crate::enclave::Stream;
use adyton_wire::blob::WRITE_PIECE;
use adyton_wire::egress::Reply;
use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional_with_sizes};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// Most connections at a time.
const MAX_CONNECTIONS: usize = 64;
/// How long the enclave may take to ask, and the other end to answer.
const PATIENCE: Duration = Duration::from_secs(4);
/// Longest life of a connection: a call of a tool takes half a minute at most.
const LIFETIME: Duration = Duration::from_secs(60);

/// What may be reached.
#[derive(Clone, Debug)]
pub struct Egress {
    listed: Arc<BTreeSet<String>>,
    places: Arc<Semaphore>,
}

impl Egress {
    /// These addresses, as `example.org:443`, and no other.
    pub fn new(listed: impl IntoIterator<Item = String>) -> Egress {
        let listed = Arc::new(listed.into_iter().collect());
        Egress { listed, places: Arc::new(Semaphore::new(MAX_CONNECTIONS)) }
    }

    /// Serves one connection of the enclave.
    ///
    /// # Errors
    /// What the operating system says; the enclave's end of it has been closed then.
    pub async fn serve(&self, mut enclave: Box<dyn Stream>) -> io::Result<()> {
        let address = timeout(PATIENCE, read_address(&mut enclave)).await??;
        let place = self.places.try_acquire();
        let reached = match (self.listed.contains(&address), place.is_ok()) {
            (false, _) => Err(Reply::NotListed),
            (true, false) => Err(Reply::Unreachable),
            (true, true) => match timeout(PATIENCE, TcpStream::connect(&address)).await {
                Ok(Ok(stream)) => Ok(stream),
                Ok(Err(_)) | Err(_) => Err(Reply::Unreachable),
            },
        };
        match reached {
            Err(reply) => enclave.write_all(&[reply.encode()]).await,
            Ok(mut stream) => {
                enclave.write_all(&[Reply::Connected.encode()]).await?;
                let relayed =
                    copy_bidirectional_with_sizes(&mut enclave, &mut stream, WRITE_PIECE, WRITE_PIECE);
                timeout(LIFETIME, relayed).await?.map(drop)
            }
        }
    }
}

async fn read_address(enclave: &mut Box<dyn Stream>) -> io::Result<String> {
    let length = usize::from(enclave.read_u8().await?);
    let mut address = vec![0; length];
    enclave.read_exact(&mut address).await?;
    String::from_utf8(address).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))
}

#[cfg(test)]
mod tests {
    use super::*;
    use adyton_wire::egress::request;
    use tokio::net::TcpListener;

    async fn asked(egress: &Egress, address: &str) -> (u8, tokio::io::DuplexStream) {
        let (mut sentinel, host) = tokio::io::duplex(1024);
        let serving = egress.clone();
        tokio::spawn(async move { serving.serve(Box::new(host)).await });
        sentinel.write_all(&request(address).unwrap()).await.unwrap();
        (sentinel.read_u8().await.unwrap(), sentinel)
    }

    #[tokio::test]
    async fn only_what_is_listed_is_reached() {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = server.local_addr().unwrap().to_string();
        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string();
        let egress = Egress::new([address.clone(), closed.clone()]);
        assert_eq!(asked(&egress, "127.0.0.1:22").await.0, Reply::NotListed.encode());
        assert_eq!(asked(&egress, &closed).await.0, Reply::Unreachable.encode());
        let (reply, mut enclave) = asked(&egress, &address).await;
        assert_eq!(reply, Reply::Connected.encode());
        let (mut there, _) = server.accept().await.unwrap();
        enclave.write_all(b"ping").await.unwrap();
        let mut heard = [0; 4];
        there.read_exact(&mut heard).await.unwrap();
        there.write_all(b"pong").await.unwrap();
        enclave.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"pong");
    }

    #[tokio::test]
    async fn connections_are_bounded() {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = server.local_addr().unwrap().to_string();
        let egress = Egress::new([address.clone()]);
        let mut open = Vec::new();
        for _ in 0..MAX_CONNECTIONS {
            let (reply, enclave) = asked(&egress, &address).await;
            assert_eq!(reply, Reply::Connected.encode());
            open.push(enclave);
        }
        assert_eq!(asked(&egress, &address).await.0, Reply::Unreachable.encode());
    }
}

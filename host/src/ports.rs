//! The host's ports, on which its enclaves connect to it.
//!
//! On vsock all enclaves meet one listener, and their address says who it is; processes and emulators have a bus each.
//!
//! Promises
//! - Only the enclaves of this host are served: whoever else connects is closed before a byte is read.

use crate::enclave::{Enclave, PortListener, Stream};
use std::io;

/// A listener, and whose connections it takes.
#[derive(Debug)]
pub struct Port {
    listener: PortListener,
    whose: Whose,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Whose {
    /// The one enclave on that bus.
    One(usize),
    /// Each by its address.
    ByCid(Vec<(u32, usize)>),
}

impl Port {
    /// Listens on `port` for all of them: one listener for all of vsock, one for each bus.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn listen(enclaves: &[Enclave], port: u32) -> io::Result<Vec<Port>> {
        let mut ports = Vec::new();
        let mut cids = Vec::new();
        for (number, enclave) in enclaves.iter().enumerate() {
            match enclave {
                Enclave::Vsock(cid) => cids.push((*cid, number)),
                Enclave::Unix(_) => {
                    ports.push(Port { listener: enclave.listen(port)?, whose: Whose::One(number) });
                }
            }
        }
        if let Some(&(cid, _)) = cids.first() {
            ports.push(Port { listener: Enclave::Vsock(cid).listen(port)?, whose: Whose::ByCid(cids) });
        }
        Ok(ports)
    }

    /// The next connection of an enclave, and its number.
    ///
    /// # Errors
    /// What the operating system says.
    pub async fn accept(&self) -> io::Result<(Box<dyn Stream>, usize)> {
        loop {
            let (stream, from) = self.listener.accept_from().await?;
            if let Some(number) = self.whose.number(from) {
                return Ok((stream, number));
            }
        }
    }
}

impl Whose {
    fn number(&self, from: Option<u32>) -> Option<usize> {
        match self {
            Whose::One(number) => Some(*number),
            Whose::ByCid(cids) => cids.iter().find(|(cid, _)| Some(*cid) == from).map(|(_, number)| *number),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::UnixStream;

    #[test]
    fn strangers_on_the_bus_are_nobody() {
        let whose = Whose::ByCid(vec![(16, 0), (17, 1)]);
        assert_eq!(
            [16, 17, 18, 1, 2, 3].map(|cid| whose.number(Some(cid))),
            [Some(0), Some(1), None, None, None, None]
        );
        assert_eq!(whose.number(None), None);
        assert_eq!(Whose::One(4).number(None), Some(4));
    }

    #[tokio::test]
    async fn each_bus_says_whose_it_is() {
        let folder = std::env::temp_dir();
        let at = |n: u32| folder.join(format!("adyton-ports-{}-{n}", std::process::id()));
        let enclaves = [Enclave::Unix(at(0)), Enclave::Unix(at(1))];
        let ports = Port::listen(&enclaves, 5001).unwrap();
        for (number, port) in ports.iter().enumerate() {
            let path = adyton_wire::hybrid::host_listener(&at(u32::try_from(number).unwrap()), 5001);
            let _enclave = UnixStream::connect(&path).await.unwrap();
            assert_eq!(port.accept().await.unwrap().1, number);
            std::fs::remove_file(path).unwrap();
        }
        assert_eq!(ports.len(), 2);
    }
}

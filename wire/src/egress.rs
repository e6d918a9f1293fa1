//! The egress protocol: the sentinel asks the host to connect it to an address, and gets one byte.
//!
//! ```text
//! sentinel -> host   length (1 byte) || address, as example.org:443
//! host -> sentinel   0 connected, from here on bytes are relayed; 1 not on the host's list; 2 cannot be reached
//! ```
//!
//! Does not: protect anything. What the host connects to is not known to be what was asked for; TLS that ends in the enclave
//! tells.

/// What the host answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Bytes are relayed from here on.
    Connected,
    /// The operator does not let the enclave reach it.
    NotListed,
    /// Nobody there.
    Unreachable,
}

impl Reply {
    /// As one byte.
    pub fn encode(self) -> u8 {
        match self {
            Reply::Connected => 0,
            Reply::NotListed => 1,
            Reply::Unreachable => 2,
        }
    }

    /// `None` for any other byte.
    pub fn decode(byte: u8) -> Option<Reply> {
        [Reply::Connected, Reply::NotListed, Reply::Unreachable]
            .into_iter()
            .find(|reply| reply.encode() == byte)
    }
}

/// What asks for a connection; `None` for an address that is empty or too long.
pub fn request(address: &str) -> Option<Vec<u8>> {
    let length = u8::try_from(address.len()).ok().filter(|length| *length > 0)?;
    Some([&[length], address.as_bytes()].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_bounded_and_replies_are_three() {
        assert_eq!(request("a:1").unwrap(), b"\x03a:1");
        assert_eq!((request(""), request(&"x".repeat(256))), (None, None));
        let known: Vec<u8> = (0..=255).filter(|byte| Reply::decode(*byte).is_some()).collect();
        assert_eq!(known, [0, 1, 2]);
        for byte in known {
            assert_eq!(Reply::decode(byte).unwrap().encode(), byte);
        }
    }
}

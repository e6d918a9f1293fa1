//! The blob protocol: the enclave asks the host for byte ranges of the release, by digest.
//!
//! One request at a time on a connection, many requests one after the other. All integers big-endian.
//!
//! ```text
//! request  = "ADYB" version:u8=1 kind:u8 digest:[u8;32] offset:u64 length:u32      (50 bytes)
//! response = status:u8 length:u32 bytes
//! ```
//!
//! Trusts nothing: the host may answer anything. Whoever asked checks the bytes against the manifest.

use thiserror::Error;

/// Bytes of a request.
pub const REQUEST_LEN: usize = 50;
/// Bytes of a response's header.
pub const RESPONSE_HEADER_LEN: usize = 5;
/// Most bytes in one response. A chunk of the weights is as large; see [`crate::manifest::CHUNK_SIZE`].
pub const MAX_RESPONSE: u32 = 1 << 20;
/// Writes to vsock go in pieces of this size: throughput collapses above about 256 KB a write.
pub const WRITE_PIECE: usize = 64 * 1024;

const MAGIC: &[u8; 4] = b"ADYB";
const VERSION: u8 = 1;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// The release manifest as a whole, at most [`MAX_RESPONSE`] bytes.
    Manifest,
    /// A range of the blob with this SHA-256.
    Range {
        /// SHA-256 of the whole blob.
        digest: [u8; 32],
        /// First byte.
        offset: u64,
        /// How many bytes, at most [`MAX_RESPONSE`].
        length: u32,
    },
}

/// How the host answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// The bytes follow.
    Found,
    /// No such blob or range.
    Missing,
}

/// Bytes that are not of this protocol.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum Malformed {
    /// Another protocol or version.
    #[error("not a blob request of version 1")]
    Header,
    /// A kind that is not defined.
    #[error("unknown blob request kind {0}")]
    Kind(u8),
    /// A status that is not defined.
    #[error("unknown blob status {0}")]
    Status(u8),
    /// More bytes than the protocol allows.
    #[error("{0} bytes asked for or announced, the limit is {MAX_RESPONSE}")]
    TooLong(u32),
}

impl Wanted {
    /// The request's bytes.
    pub fn encode(&self) -> [u8; REQUEST_LEN] {
        let (kind, digest, offset, length) = match *self {
            Wanted::Manifest => (0, [0; 32], 0, MAX_RESPONSE),
            Wanted::Range { digest, offset, length } => (1, digest, offset, length),
        };
        let mut out = [0; REQUEST_LEN];
        out[..4].copy_from_slice(MAGIC);
        out[4] = VERSION;
        out[5] = kind;
        out[6..38].copy_from_slice(&digest);
        out[38..46].copy_from_slice(&offset.to_be_bytes());
        out[46..].copy_from_slice(&length.to_be_bytes());
        out
    }

    /// Reads a request.
    ///
    /// # Errors
    /// [`Malformed`] if the header, the kind or the length is not of this protocol.
    pub fn decode(bytes: &[u8; REQUEST_LEN]) -> Result<Wanted, Malformed> {
        if &bytes[..4] != MAGIC || bytes[4] != VERSION {
            return Err(Malformed::Header);
        }
        let mut digest = [0; 32];
        digest.copy_from_slice(&bytes[6..38]);
        let mut offset = [0; 8];
        offset.copy_from_slice(&bytes[38..46]);
        let mut length = [0; 4];
        length.copy_from_slice(&bytes[46..]);
        let length = u32::from_be_bytes(length);
        if length > MAX_RESPONSE {
            return Err(Malformed::TooLong(length));
        }
        match bytes[5] {
            0 => Ok(Wanted::Manifest),
            1 => Ok(Wanted::Range { digest, offset: u64::from_be_bytes(offset), length }),
            other => Err(Malformed::Kind(other)),
        }
    }
}

/// A response's header.
pub fn encode_response(status: Status, length: u32) -> [u8; RESPONSE_HEADER_LEN] {
    let mut out = [0; RESPONSE_HEADER_LEN];
    out[0] = match status {
        Status::Found => 0,
        Status::Missing => 1,
    };
    out[1..].copy_from_slice(&length.to_be_bytes());
    out
}

/// Reads a response's header: the status and how many bytes follow.
///
/// # Errors
/// [`Malformed`] if the status is unknown or more than [`MAX_RESPONSE`] bytes are announced.
pub fn decode_response(header: &[u8; RESPONSE_HEADER_LEN]) -> Result<(Status, u32), Malformed> {
    let [status, a, b, c, d] = *header;
    let length = u32::from_be_bytes([a, b, c, d]);
    if length > MAX_RESPONSE {
        return Err(Malformed::TooLong(length));
    }
    match status {
        0 => Ok((Status::Found, length)),
        1 => Ok((Status::Missing, length)),
        other => Err(Malformed::Status(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_round_trip() {
        let range = Wanted::Range { digest: [7; 32], offset: 1 << 40, length: MAX_RESPONSE };
        for wanted in [Wanted::Manifest, range] {
            assert_eq!(Wanted::decode(&wanted.encode()), Ok(wanted));
        }
    }

    #[test]
    fn other_bytes_are_refused() {
        let good = Wanted::Range { digest: [7; 32], offset: 1, length: 2 }.encode();
        let with = |at: usize, byte: u8| {
            let mut bytes = good;
            bytes[at] = byte;
            Wanted::decode(&bytes)
        };
        assert_eq!(with(0, b'X'), Err(Malformed::Header));
        assert_eq!(with(4, 2), Err(Malformed::Header));
        assert_eq!(with(5, 9), Err(Malformed::Kind(9)));
        assert!(matches!(with(46, 0xff), Err(Malformed::TooLong(_))));
        assert_eq!(decode_response(&[2, 0, 0, 0, 0]), Err(Malformed::Status(2)));
        assert!(matches!(decode_response(&[0, 0xff, 0, 0, 0]), Err(Malformed::TooLong(_))));
    }
}

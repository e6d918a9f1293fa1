//! The audit protocol: the enclave hands sealed entries to the host, which says when they are on disk.
//!
//! The enclave connects, says which boot it is and how many entries it knows to be stored, and sends frames;
//! the host keeps them as they come, in one file for each boot, and acknowledges at each checkpoint. All
//! integers big-endian.
//!
//! ```text
//! hello   = "ADYA" version:u8=1 boot:[u8;16] stored:u64                      (29 bytes, enclave to host)
//! answer  = status:u8 entries:u64                                             (9 bytes, host to enclave)
//! frame   = kind:u8 length:u32 body                                           (enclave to host)
//! file    = "ADYA" version:u8=1 boot:[u8;16] frame ..                         (on the host's disk)
//! ```
//!
//! The first answer is to the hello: the host has cut its file behind the checkpoint that counts `stored`
//! entries, so nothing half-written is left, and waits for what follows; or it says why not. Then comes one
//! answer after each checkpoint, when everything in front of it is on disk. After an answer that is not
//! [`Status::Stored`] the connection ends.
//!
//! Trusts nothing: the host may answer anything, which costs it the log and the enclave its readiness; the
//! enclave may send anything, which is bounded and kept.

use std::io;
use thiserror::Error;

/// Bytes of a hello.
pub const HELLO_LEN: usize = 29;
/// Bytes of an answer.
pub const ANSWER_LEN: usize = 9;
/// Bytes of a file's header.
pub const FILE_HEADER_LEN: usize = 21;
/// Bytes of a frame's header.
pub const FRAME_HEADER_LEN: usize = 5;
/// Longest body of a frame. A record sealed to eight auditors has below 33 KiB, a document at most 16 KiB.
pub const MAX_BODY: u32 = 64 * 1024;
/// What the name of a log's file ends with; the boot in hex is in front.
pub const FILE_SUFFIX: &str = ".audit";

const MAGIC: &[u8; 4] = b"ADYA";
const VERSION: u8 = 1;

/// Begins a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hello {
    /// Which boot of the enclave.
    pub boot: [u8; 16],
    /// Entries that were acknowledged before.
    pub stored: u64,
}

/// What a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An attestation document with the key that signs the checkpoints. First, once.
    Document,
    /// A record: one entry.
    Entry,
    /// A checkpoint over every entry in front of it.
    Checkpoint,
}

/// How the host answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// So many entries are on disk.
    Stored,
    /// The disk is full, or fails.
    Disk,
    /// The host does not have the entries that it acknowledged.
    Lost,
    /// Another connection writes this log.
    Busy,
}

/// Bytes that are not of this protocol.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum Malformed {
    /// Another protocol or version.
    #[error("not an audit log of version 1")]
    Header,
    /// A kind that is not defined.
    #[error("unknown audit frame kind {0}")]
    Kind(u8),
    /// A status that is not defined.
    #[error("unknown audit status {0}")]
    Status(u8),
    /// More bytes than the protocol allows.
    #[error("a frame of {0} bytes is announced, the limit is {MAX_BODY}")]
    TooLong(u32),
}

impl Hello {
    /// Its bytes.
    pub fn encode(&self) -> [u8; HELLO_LEN] {
        let mut out = [0; HELLO_LEN];
        out[..FILE_HEADER_LEN].copy_from_slice(&file_header(&self.boot));
        out[FILE_HEADER_LEN..].copy_from_slice(&self.stored.to_be_bytes());
        out
    }

    /// Reads one.
    ///
    /// # Errors
    /// [`Malformed::Header`] for another protocol or version.
    pub fn decode(bytes: &[u8; HELLO_LEN]) -> Result<Hello, Malformed> {
        let mut header = [0; FILE_HEADER_LEN];
        header.copy_from_slice(&bytes[..FILE_HEADER_LEN]);
        let mut stored = [0; 8];
        stored.copy_from_slice(&bytes[FILE_HEADER_LEN..]);
        Ok(Hello { boot: read_file_header(&header)?, stored: u64::from_be_bytes(stored) })
    }
}

/// What a log's file begins with.
pub fn file_header(boot: &[u8; 16]) -> [u8; FILE_HEADER_LEN] {
    let mut out = [0; FILE_HEADER_LEN];
    out[..4].copy_from_slice(MAGIC);
    out[4] = VERSION;
    out[5..].copy_from_slice(boot);
    out
}

/// The boot that a file's header names.
///
/// # Errors
/// [`Malformed::Header`] for another format or version.
pub fn read_file_header(bytes: &[u8; FILE_HEADER_LEN]) -> Result<[u8; 16], Malformed> {
    if &bytes[..4] != MAGIC || bytes[4] != VERSION {
        return Err(Malformed::Header);
    }
    let mut boot = [0; 16];
    boot.copy_from_slice(&bytes[5..]);
    Ok(boot)
}

/// A frame's header. The body must have at most [`MAX_BODY`] bytes.
pub fn encode_frame_header(kind: Kind, length: u32) -> [u8; FRAME_HEADER_LEN] {
    let mut out = [0; FRAME_HEADER_LEN];
    out[0] = match kind {
        Kind::Document => 1,
        Kind::Entry => 2,
        Kind::Checkpoint => 3,
    };
    out[1..].copy_from_slice(&length.to_be_bytes());
    out
}

/// Reads a frame's header: its kind and how many bytes follow.
///
/// # Errors
/// [`Malformed`] if the kind is unknown or more than [`MAX_BODY`] bytes are announced.
pub fn decode_frame_header(header: &[u8; FRAME_HEADER_LEN]) -> Result<(Kind, u32), Malformed> {
    let [kind, a, b, c, d] = *header;
    let length = u32::from_be_bytes([a, b, c, d]);
    if length > MAX_BODY {
        return Err(Malformed::TooLong(length));
    }
    match kind {
        1 => Ok((Kind::Document, length)),
        2 => Ok((Kind::Entry, length)),
        3 => Ok((Kind::Checkpoint, length)),
        other => Err(Malformed::Kind(other)),
    }
}

/// An answer's bytes.
pub fn encode_answer(status: Status, entries: u64) -> [u8; ANSWER_LEN] {
    let mut out = [0; ANSWER_LEN];
    out[0] = match status {
        Status::Stored => 0,
        Status::Disk => 1,
        Status::Lost => 2,
        Status::Busy => 3,
    };
    out[1..].copy_from_slice(&entries.to_be_bytes());
    out
}

/// Reads an answer: the status and how many entries are on disk.
///
/// # Errors
/// [`Malformed::Status`]
pub fn decode_answer(bytes: &[u8; ANSWER_LEN]) -> Result<(Status, u64), Malformed> {
    let [status, entries @ ..] = *bytes;
    let entries = u64::from_be_bytes(entries);
    match status {
        0 => Ok((Status::Stored, entries)),
        1 => Ok((Status::Disk, entries)),
        2 => Ok((Status::Lost, entries)),
        3 => Ok((Status::Busy, entries)),
        other => Err(Malformed::Status(other)),
    }
}

/// What comes next in a log's file.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// A whole frame.
    Frame(Kind, Vec<u8>),
    /// So many bytes that are no whole frame: what a crash left behind.
    Torn(u64),
    /// Nothing.
    End,
}

/// Reads the next frame of a file, header behind.
///
/// # Errors
/// What the reader says; `InvalidData` with [`Malformed`] for bytes that are no frame's header.
pub fn read_frame(from: &mut impl io::Read) -> io::Result<Next> {
    let mut header = [0; FRAME_HEADER_LEN];
    let read = fill(from, &mut header)?;
    if read < FRAME_HEADER_LEN {
        return Ok(if read == 0 { Next::End } else { Next::Torn(read as u64) });
    }
    let (kind, length) =
        decode_frame_header(&header).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))?;
    let mut body = vec![0; length as usize];
    let read = fill(from, &mut body)?;
    if read < body.len() {
        return Ok(Next::Torn((FRAME_HEADER_LEN + read) as u64));
    }
    Ok(Next::Frame(kind, body))
}

/// Reads until the buffer is full or the end comes; returns how many bytes.
fn fill(from: &mut impl io::Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match from.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hellos_and_answers_round_trip() {
        let hello = Hello { boot: [7; 16], stored: 1 << 40 };
        assert_eq!(Hello::decode(&hello.encode()), Ok(hello));
        for status in [Status::Stored, Status::Disk, Status::Lost, Status::Busy] {
            assert_eq!(decode_answer(&encode_answer(status, 9)), Ok((status, 9)));
        }
        for kind in [Kind::Document, Kind::Entry, Kind::Checkpoint] {
            assert_eq!(decode_frame_header(&encode_frame_header(kind, MAX_BODY)), Ok((kind, MAX_BODY)));
        }
    }

    #[test]
    fn other_bytes_are_refused() {
        let good = Hello { boot: [7; 16], stored: 1 }.encode();
        for (at, byte) in [(0, b'X'), (4, 2)] {
            let mut bytes = good;
            bytes[at] = byte;
            assert_eq!(Hello::decode(&bytes), Err(Malformed::Header));
        }
        assert_eq!(decode_frame_header(&[0, 0, 0, 0, 0]), Err(Malformed::Kind(0)));
        assert_eq!(decode_frame_header(&[2, 0, 1, 0, 1]), Err(Malformed::TooLong(MAX_BODY + 1)));
        assert_eq!(decode_answer(&[4; ANSWER_LEN]), Err(Malformed::Status(4)));
    }

    #[test]
    fn a_file_is_read_frame_by_frame_and_a_torn_end_is_told() {
        let mut file = encode_frame_header(Kind::Entry, 3).to_vec();
        file.extend_from_slice(b"abc");
        file.extend_from_slice(&encode_frame_header(Kind::Checkpoint, 0));
        let mut whole = file.as_slice();
        assert_eq!(read_frame(&mut whole).unwrap(), Next::Frame(Kind::Entry, b"abc".to_vec()));
        assert_eq!(read_frame(&mut whole).unwrap(), Next::Frame(Kind::Checkpoint, Vec::new()));
        assert_eq!(read_frame(&mut whole).unwrap(), Next::End);
        for end in 1..8 {
            assert_eq!(read_frame(&mut &file[..end]).unwrap(), Next::Torn(end as u64));
        }
        let mut bad = [9u8, 0, 0, 0, 0].as_slice();
        assert_eq!(read_frame(&mut bad).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}

//! Commits to a request and to a streamed response without revealing them.
//!
//! ```text
//! request  = SHA-256("adyton/request/v1" || salt || body)
//! h0       = SHA-256("adyton/response/v1" || salt)
//! hi       = SHA-256(h(i-1) || length of chunk i as u32 big-endian || chunk i)
//! response = hn
//! ```
//!
//! # Promises
//! - Where one chunk ends and the next begins is part of the commitment.
//! - Without the 32-byte salt a guess at the text cannot be tested.
//!
//! # Does not
//! - Choose the salt; the enclave draws one for each answer, and the client keeps it.
//!
//! # Trusts
//! - Nobody.

use std::fmt;

use crate::measurement::sha256;

const REQUEST_DOMAIN: &[u8] = b"adyton/request/v1";
const RESPONSE_DOMAIN: &[u8] = b"adyton/response/v1";

/// The commitment to a request's bytes.
pub fn commit_request(salt: &[u8; 32], body: &[u8]) -> [u8; 32] {
    sha256(&[REQUEST_DOMAIN, salt, body])
}

/// The commitment to a response, chunk by chunk, with what a receipt counts.
#[derive(Clone)]
pub struct ResponseChain {
    state: [u8; 32],
    chunks: u64,
    bytes: u64,
}

impl ResponseChain {
    /// Before the first chunk.
    pub fn new(salt: &[u8; 32]) -> Self {
        Self { state: sha256(&[RESPONSE_DOMAIN, salt]), chunks: 0, bytes: 0 }
    }

    /// Takes the next chunk in. A chunk of 4 GiB or more is taken as several: its length must fit into the four bytes.
    pub fn push(&mut self, chunk: &[u8]) {
        const LARGEST: usize = u32::MAX as usize;
        if chunk.is_empty() {
            return self.take(chunk);
        }
        chunk.chunks(LARGEST).for_each(|piece| self.take(piece));
    }

    fn take(&mut self, piece: &[u8]) {
        let len = u32::try_from(piece.len()).unwrap_or(u32::MAX);
        self.state = sha256(&[&self.state, &len.to_be_bytes(), piece]);
        self.chunks = self.chunks.saturating_add(1);
        self.bytes = self.bytes.saturating_add(u64::from(len));
    }

    /// Chunks taken so far.
    pub fn chunks(&self) -> u64 {
        self.chunks
    }

    /// Bytes taken so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The commitment.
    pub fn finish(self) -> [u8; 32] {
        self.state
    }
}

impl fmt::Debug for ResponseChain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ResponseChain({} chunks, {} bytes)", self.chunks, self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(chunks: &[&[u8]]) -> [u8; 32] {
        let mut chain = ResponseChain::new(&[9; 32]);
        chunks.iter().for_each(|chunk| chain.push(chunk));
        assert_eq!(chain.chunks(), chunks.len() as u64);
        chain.finish()
    }

    #[test]
    fn boundaries_order_and_count_are_committed_to() {
        let base = chain(&[b"ab", b"c"]);
        for other in [&[&b"a"[..], b"bc"][..], &[b"abc"], &[b"c", b"ab"], &[b"ab"], &[b"ab", b"c", b""]] {
            assert_ne!(chain(other), base);
        }
        assert_ne!(commit_request(&[0; 32], b"x"), commit_request(&[1; 32], b"x"));
    }
}

//! What is kept of an answer as it arrives, and how its receipt is checked.
//!
//! The receipt commits to the response as a chain of chunks. A chunk is one server-sent event with its empty line, or
//! the whole body of an answer that is not streamed; so a client finds the chunks again however HTTP/2 cut them.

use crate::session::{AttestedSession, Chains};
use adyton_attestation::anchor::TrustAnchor;
use adyton_attestation::appraisal::Report;
use adyton_attestation::receipt::{Bundle, BundleRefusal, CutReceipts, VerifiedReceipt};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD as B64};
use hyper::header::{CONTENT_TYPE, HeaderMap};
use thiserror::Error;

/// Header with the salt.
const SALT_HEADER: &str = "adyton-salt";
/// Trailer with the receipt.
const RECEIPT_TRAILER: &str = "adyton-receipt";
/// Most bytes of an answer that are kept, so that an enclave gone mad cannot fill the client's memory.
const MAX_KEPT: usize = 64 << 20;

/// Why an answer is not to be relied on.
#[derive(Debug, Error)]
pub enum Unreliable {
    /// No salt, so no receipt can be checked.
    #[error("the answer came without the salt of its receipt")]
    NoSalt,
    /// The stream ended without a receipt.
    #[error("the answer came without a receipt")]
    NoReceipt,
    /// It is longer than a client keeps.
    #[error("the answer is longer than {MAX_KEPT} bytes")]
    TooLong,
    /// The receipt was refused.
    #[error("the receipt was refused: {0}")]
    Refused(#[from] BundleRefusal),
}

/// An answer as it arrives.
pub struct Kept {
    salt: [u8; 32],
    request: Vec<u8>,
    chunks: Vec<Vec<u8>>,
    open: Vec<u8>,
    events: bool,
    bytes: usize,
}

impl Kept {
    /// Begins to keep the answer to `request`, from the response's headers.
    ///
    /// # Errors
    /// [`Unreliable::NoSalt`]
    pub fn begin(request: &[u8], headers: &HeaderMap) -> Result<Kept, Unreliable> {
        let salt = headers.get(SALT_HEADER).and_then(|v| decode(v.as_bytes())).ok_or(Unreliable::NoSalt)?;
        let salt = salt.try_into().map_err(|_| Unreliable::NoSalt)?;
        let events =
            headers.get(CONTENT_TYPE).is_some_and(|t| t.as_bytes().starts_with(b"text/event-stream"));
        Ok(Kept { salt, request: request.to_vec(), chunks: Vec::new(), open: Vec::new(), events, bytes: 0 })
    }

    /// Takes bytes as they come; returns the events that they complete.
    ///
    /// # Errors
    /// [`Unreliable::TooLong`]
    pub fn push(&mut self, bytes: &[u8]) -> Result<Vec<Vec<u8>>, Unreliable> {
        self.bytes = self.bytes.saturating_add(bytes.len());
        if self.bytes > MAX_KEPT {
            return Err(Unreliable::TooLong);
        }
        self.open.extend_from_slice(bytes);
        let mut complete = Vec::new();
        while let Some(end) = self.events.then(|| find(&self.open, b"\n\n")).flatten() {
            let rest = self.open.split_off(end + 2);
            complete.push(std::mem::replace(&mut self.open, rest));
        }
        self.chunks.extend(complete.iter().cloned());
        Ok(complete)
    }

    /// True if the answer is a stream of events.
    pub fn is_stream(&self) -> bool {
        self.events
    }

    /// The end: puts everything together that the receipt refers to.
    ///
    /// # Errors
    /// [`Unreliable::NoReceipt`]
    pub fn finish(
        mut self,
        trailers: Option<&HeaderMap>,
        session: &AttestedSession,
    ) -> Result<Bundle, Unreliable> {
        let receipt = trailers.and_then(|t| t.get(RECEIPT_TRAILER)).and_then(|v| decode(v.as_bytes()));
        if !self.open.is_empty() {
            self.chunks.push(self.open);
        }
        let evidence = session.evidence();
        Ok(Bundle {
            receipt: receipt.ok_or(Unreliable::NoReceipt)?,
            document: evidence.document.clone(),
            manifest: evidence.manifest.clone(),
            salt: self.salt,
            nonce: evidence.nonce,
            exporter: evidence.exporter,
            spki_sha384: evidence.spki_sha384,
            request: self.request,
            response: self.chunks,
            endorsement: evidence.endorsement.clone(),
        })
    }
}

/// Checks a bundle of a live session. The document was appraised for the session, so `chains` knows its certificates.
///
/// # Errors
/// [`Unreliable::Refused`]
pub fn check(
    bundle: &Bundle,
    anchor: &TrustAnchor,
    chains: &Chains,
) -> Result<(Report, VerifiedReceipt), Unreliable> {
    let (report, verified) =
        chains.with(|known| bundle.verify_cached(anchor, None, CutReceipts::Refuse, known));
    Ok((report, verified?))
}

fn decode(value: &[u8]) -> Option<Vec<u8>> {
    B64.decode(value).ok()
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(content_type: &'static str) -> Kept {
        let mut headers = HeaderMap::new();
        headers.insert(SALT_HEADER, B64.encode([7; 32]).parse().unwrap());
        headers.insert(CONTENT_TYPE, content_type.parse().unwrap());
        Kept::begin(b"{}", &headers).unwrap()
    }

    #[test]
    fn events_are_found_again_however_the_bytes_are_cut() {
        let stream = b"data: a\n\ndata: b\n\ndata: [DONE]\n\n";
        for size in 1..stream.len() {
            let mut kept = kept("text/event-stream");
            for piece in stream.chunks(size) {
                kept.push(piece).unwrap();
            }
            assert_eq!(kept.chunks, [&b"data: a\n\n"[..], b"data: b\n\n", b"data: [DONE]\n\n"]);
        }
    }

    #[test]
    fn a_body_that_is_no_stream_is_one_chunk() {
        let mut kept = kept("application/json");
        assert!(kept.push(b"{\n\n").unwrap().is_empty());
        kept.push(b"}").unwrap();
        assert_eq!((kept.chunks.len(), kept.open.as_slice()), (0, &b"{\n\n}"[..]));
    }

    #[test]
    fn an_answer_without_salt_is_refused() {
        assert!(matches!(Kept::begin(b"", &HeaderMap::new()), Err(Unreliable::NoSalt)));
    }
}

//! Reads and writes the one form of COSE_Sign1 that the NSM and our receipts use.
//!
//! # Promises
//! - Exactly `84 <protected> a0 <payload> <signature>`: untagged, the protected header byte for byte as expected, the
//!   unprotected header empty, lengths in shortest form, nothing after the signature.
//!
//! # Does not
//! - Verify the signature: the caller does, over [`Envelope::sig_structure`].
//!
//! # Trusts
//! - Nobody.
//!
//! Source: RFC 9052, sections 4.2 and 4.4. The tag (18) is optional there and never present in NSM documents.

use crate::cbor::Writer;

/// Protected header `{1: -35}` (alg: ES384; RFC 9053, section 2.1), the only one in real documents.
pub(crate) const ES384: &[u8] = &[0xa1, 0x01, 0x38, 0x22];

/// Protected header `{1: -8}` (alg: EdDSA; RFC 9053, section 2.2), the only one in our receipts.
pub(crate) const EDDSA: &[u8] = &[0xa1, 0x01, 0x27];

/// r || s on P-384: 96 bytes. AWS's text says 32, 48 or 64; all real documents have 96.
pub(crate) const ES384_SIGNATURE: usize = 96;

/// Ed25519 (RFC 8032, section 5.1.6).
pub(crate) const EDDSA_SIGNATURE: usize = 64;

/// Why bytes are not the envelope that we accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EnvelopeError {
    /// Too short for its own lengths.
    #[error("the envelope ends early; it was cut on its way, ask for it again")]
    Truncated,
    /// A CBOR tag comes first.
    #[error("the envelope carries a CBOR tag; the security module writes none, discard it")]
    Tagged,
    /// Not an array of four.
    #[error("the envelope is not a COSE_Sign1 array of four; discard it")]
    NotSign1,
    /// The protected header is another one.
    #[error("the envelope's protected header does not name exactly the expected algorithm; discard it")]
    ProtectedHeader,
    /// The unprotected header is not the empty map.
    #[error("the envelope's unprotected header is not empty, and nobody has signed it; discard it")]
    UnprotectedHeader,
    /// The payload is not a byte string in shortest form.
    #[error("the envelope's payload is not a plain byte string; discard it")]
    Payload,
    /// The signature is not a byte string of the right length.
    #[error("the envelope's signature has not the length of its algorithm; discard it")]
    SignatureLength,
    /// Bytes follow the signature.
    #[error("bytes follow the envelope's signature; discard it")]
    TrailingBytes,
}

/// The parts of an envelope.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Envelope<'a> {
    protected: &'a [u8],
    pub(crate) payload: &'a [u8],
    pub(crate) signature: &'a [u8],
}

impl<'a> Envelope<'a> {
    /// `protected` and `signature_len` come from the one algorithm that the caller accepts.
    pub(crate) fn parse(
        bytes: &'a [u8],
        protected: &'a [u8],
        signature_len: usize,
    ) -> Result<Self, EnvelopeError> {
        let rest = match bytes.split_first() {
            None => return Err(EnvelopeError::Truncated),
            Some((0x84, rest)) => rest,
            Some((0xc0..=0xdf, _)) => return Err(EnvelopeError::Tagged),
            Some(_) => return Err(EnvelopeError::NotSign1),
        };
        let (found, rest) = byte_string(rest).map_err(|fault| fault.or(EnvelopeError::ProtectedHeader))?;
        if found != protected {
            return Err(EnvelopeError::ProtectedHeader);
        }
        let rest = match rest.split_first() {
            None => return Err(EnvelopeError::Truncated),
            Some((0xa0, rest)) => rest,
            Some(_) => return Err(EnvelopeError::UnprotectedHeader),
        };
        let (payload, rest) = byte_string(rest).map_err(|fault| fault.or(EnvelopeError::Payload))?;
        let (signature, rest) =
            byte_string(rest).map_err(|fault| fault.or(EnvelopeError::SignatureLength))?;
        if signature.len() != signature_len {
            return Err(EnvelopeError::SignatureLength);
        }
        if rest.is_empty() {
            Ok(Self { protected, payload, signature })
        } else {
            Err(EnvelopeError::TrailingBytes)
        }
    }

    /// What the signature covers.
    pub(crate) fn sig_structure(&self) -> Vec<u8> {
        sig_structure(self.protected, self.payload)
    }
}

/// `["Signature1", protected, external_aad = h'', payload]` (RFC 9052, section 4.4).
pub(crate) fn sig_structure(protected: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.array(4).text("Signature1").bytes(protected).bytes(&[]).bytes(payload);
    writer.into_bytes()
}

/// The finished envelope.
pub(crate) fn sign1(protected: &[u8], payload: &[u8], signature: &[u8]) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.array(4).bytes(protected).map(0).bytes(payload).bytes(signature);
    writer.into_bytes()
}

enum Fault {
    Truncated,
    Form,
}

impl Fault {
    fn or(self, form: EnvelopeError) -> EnvelopeError {
        match self {
            Self::Truncated => EnvelopeError::Truncated,
            Self::Form => form,
        }
    }
}

/// A definite byte string of at most 65535 bytes whose length is in shortest form, and what follows it.
fn byte_string(bytes: &[u8]) -> Result<(&[u8], &[u8]), Fault> {
    let (head, rest) = bytes.split_first().ok_or(Fault::Truncated)?;
    let (len, rest) = match head {
        0x40..=0x57 => (usize::from(head & 0x1f), rest),
        0x58 => {
            let (len, rest) = rest.split_first().ok_or(Fault::Truncated)?;
            (usize::from(*len), rest)
        }
        0x59 => {
            let (len, rest) = rest.split_first_chunk::<2>().ok_or(Fault::Truncated)?;
            (usize::from(u16::from_be_bytes(*len)), rest)
        }
        _ => return Err(Fault::Form),
    };
    let shortest = match head {
        0x58 => len >= 24,
        0x59 => len > 0xff,
        _ => true,
    };
    if !shortest {
        return Err(Fault::Form);
    }
    rest.split_at_checked(len).ok_or(Fault::Truncated)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_exact() {
        let good = sign1(EDDSA, &[7; 30], &[9; 64]);
        let parse = |bytes: &[u8]| {
            Envelope::parse(bytes, EDDSA, EDDSA_SIGNATURE).map(|envelope| envelope.payload.len())
        };
        assert_eq!(parse(&good), Ok(30));
        for end in 0..good.len() {
            assert_eq!(parse(&good[..end]), Err(EnvelopeError::Truncated), "cut at {end}");
        }
        let mut tagged = vec![0xd2];
        tagged.extend_from_slice(&good);
        assert_eq!(parse(&tagged), Err(EnvelopeError::Tagged));
        let mut longer = good.clone();
        longer.push(0);
        assert_eq!(parse(&longer), Err(EnvelopeError::TrailingBytes));
        assert_eq!(parse(&sign1(EDDSA, &[7; 30], &[9; 63])), Err(EnvelopeError::SignatureLength));
        assert_eq!(parse(&sign1(ES384, &[7; 30], &[9; 64])), Err(EnvelopeError::ProtectedHeader));
        let mut header = good.clone();
        header[5] = 0xa1;
        assert_eq!(parse(&header), Err(EnvelopeError::UnprotectedHeader));
        header[0] = 0x83;
        assert_eq!(parse(&header), Err(EnvelopeError::NotSign1));
        let long_form = [&[0x84, 0x43][..], EDDSA, &[0xa0, 0x58, 0x01, 0x00]].concat();
        assert_eq!(parse(&long_form), Err(EnvelopeError::Payload));
    }
}

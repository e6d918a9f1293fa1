//! Binds a document to one TLS connection, one certificate and one release manifest.
//!
//! The exact bytes of `user_data`, with `lp(x)` = length of x as four bytes big-endian, then x:
//!
//! ```text
//! SHA-384( lp("adyton/session/v1") || lp(role label) || lp(exporter) || lp(spki_sha384) || lp(manifest_sha384) )
//! ```
//!
//! `exporter` is the TLS 1.3 exporter (RFC 8446, section 7.5) of this connection, 48 bytes, with [`EXPORTER_LABEL`] and
//! the client's 32-byte nonce as context; `spki_sha384` is SHA-384 over the DER SubjectPublicKeyInfo of the
//! enclave's certificate, for both roles (a client has none); `manifest_sha384` is SHA-384 over the manifest's bytes.
//!
//! # Promises
//! - Each part is length-prefixed, so no two different bindings have the same bytes.
//! - The role is part of it: the exporter is the same on both ends, and without a role a document could be reflected.
//!
//! # Does not
//! - Compute the exporter; [`crate::tls::exporter`] does.
//!
//! # Trusts
//! - The caller's own end of the connection, from which the parts must come, never from the peer.
//!
//! Source: draft-fossati-seat-expat (exporter-bound post-handshake attestation).

use serde::{Deserialize, Serialize};

use crate::measurement::{Measurement, ZERO, extend, sha384};

/// The exporter's label. Ours; RFC 5705, section 4, leaves labels that begin with "EXPORTER" to registration, and one
/// with our name in it collides with nobody's. Both ends must use the same.
pub const EXPORTER_LABEL: &[u8] = b"EXPORTER-adyton-attestation-v1";

/// Bytes of exporter output: as long as the SHA-384 that takes it in.
pub const EXPORTER_LEN: usize = 48;

/// Bytes of the client's nonce: 256 bits, so that none ever repeats.
pub const NONCE_LEN: usize = 32;

/// Domain separation: no other SHA-384 of ours begins with this.
const DOMAIN: &[u8] = b"adyton/session/v1";

/// Whose evidence it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// The enclave that answers: the TLS server.
    Enclave,
    /// A client that is itself an enclave.
    PeerEnclave,
}

impl Role {
    /// The label that goes into the binding.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Enclave => "enclave",
            Self::PeerEnclave => "peer-enclave",
        }
    }
}

/// What a document's `user_data` must commit to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionBinding {
    /// Whose evidence it is.
    pub role: Role,
    /// The TLS exporter of this connection, context = the nonce.
    pub exporter: [u8; EXPORTER_LEN],
    /// SHA-384 of the SubjectPublicKeyInfo (DER) of the enclave's certificate, whichever role claims; see [`spki_sha384`].
    pub spki_sha384: [u8; 48],
    /// SHA-384 of the release manifest's bytes.
    pub manifest_sha384: [u8; 48],
}

impl SessionBinding {
    /// The 48 bytes that belong into the document's `user_data`.
    pub fn user_data(&self) -> [u8; 48] {
        let parts: [&[u8]; 5] =
            [DOMAIN, self.role.label().as_bytes(), &self.exporter, &self.spki_sha384, &self.manifest_sha384];
        sha384(&[&length_prefixed(&parts)])
    }
}

/// The parts one after another, each behind its length as four bytes, big-endian; so no two lists have the same bytes.
/// Callers bound each part far below four gigabytes.
pub(crate) fn length_prefixed(parts: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(256);
    for part in parts {
        bytes.extend_from_slice(&(part.len() as u32).to_be_bytes());
        bytes.extend_from_slice(part);
    }
    bytes
}

/// SHA-384 over a DER SubjectPublicKeyInfo.
pub fn spki_sha384(spki_der: &[u8]) -> [u8; 48] {
    sha384(&[spki_der])
}

/// SHA-384 over a release manifest's bytes.
pub fn manifest_sha384(manifest: &[u8]) -> [u8; 48] {
    sha384(&[manifest])
}

/// What PCR16 holds once this manifest was measured: zeros extended by the manifest's SHA-384.
pub fn manifest_pcr16(manifest: &[u8]) -> Measurement {
    manifest_pcr16_of_digest(&manifest_sha384(manifest))
}

/// The same, for one who holds only the manifest's SHA-384.
pub fn manifest_pcr16_of_digest(digest: &[u8; 48]) -> Measurement {
    extend(&ZERO, digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_are_the_documented_ones() {
        let binding = SessionBinding {
            role: Role::Enclave,
            exporter: [1; 48],
            spki_sha384: [2; 48],
            manifest_sha384: [3; 48],
        };
        let mut bytes = b"\0\0\0\x11adyton/session/v1\0\0\0\x07enclave\0\0\0\x30".to_vec();
        bytes.extend_from_slice(&[1; 48]);
        bytes.extend_from_slice(b"\0\0\0\x30");
        bytes.extend_from_slice(&[2; 48]);
        bytes.extend_from_slice(b"\0\0\0\x30");
        bytes.extend_from_slice(&[3; 48]);
        assert_eq!(binding.user_data(), sha384(&[&bytes]));
        assert_ne!(binding.user_data(), SessionBinding { role: Role::PeerEnclave, ..binding }.user_data());
    }

    #[test]
    fn prefixes_keep_parts_apart() {
        assert_eq!(length_prefixed(&[b"ab", b""]), b"\0\0\0\x02ab\0\0\0\0");
        assert_ne!(length_prefixed(&[b"a", b"b"]), length_prefixed(&[b"ab", b""]));
    }
}

//! Verifies of a peer's certificate what can be verified: that the peer holds its key.
//!
//! # Promises
//! - Exactly one certificate, readable, of bounded size.
//! - The TLS 1.3 handshake signature is verified under that certificate's key; there is no path on which it is not.
//! - TLS 1.2 signatures are refused.
//!
//! # Does not
//! - Look at names, dates or issuers: the certificate is self-signed, and who its holder is comes from attestation.
//!
//! # Trusts
//! - Nobody.
//!
//! Source: RFC 8446, sections 4.4.2 and 4.4.3.

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, Error, PeerIncompatible, SignatureScheme};

/// A self-signed certificate with one name and one key has under 600 bytes.
const MAX_CERTIFICATE: usize = 4096;

/// The verifier of a peer that attestation has yet to prove.
#[derive(Debug)]
pub(super) struct UnprovenPeer {
    algorithms: WebPkiSupportedAlgorithms,
}

impl UnprovenPeer {
    pub(super) fn new(algorithms: WebPkiSupportedAlgorithms) -> Self {
        Self { algorithms }
    }
}

impl ServerCertVerifier for UnprovenPeer {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let readable =
            end_entity.len() <= MAX_CERTIFICATE && webpki::EndEntityCert::try_from(end_entity).is_ok();
        if !intermediates.is_empty() || !readable {
            return Err(Error::InvalidCertificate(CertificateError::BadEncoding));
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::PeerIncompatible(PeerIncompatible::Tls12NotOfferedOrEnabled))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

//! Configures TLS on both ends: version 1.3 only, hybrid key exchange, and nothing that outlives a connection.
//!
//! # Promises
//! - TLS 1.3 only; no tickets, no resumption, no 0-RTT; ALPN `h2`.
//! - The client really verifies the handshake signature under the certificate's key, so the peer holds that key.
//! - Classical X25519 alone is negotiated only where the client offers [`KeyExchange::HybridOrClassical`].
//!
//! # Does not
//! - Prove who the peer is. The certificate is self-signed and *unproven* until a document that is bound to this
//!   connection's exporter and this certificate's key was appraised.
//!
//! # Trusts
//! - Nobody but the two crypto libraries.
//!
//! Source: RFC 8446; draft-ietf-tls-ecdhe-mlkem.

mod hybrid;
mod unproven;

use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::ring::{cipher_suite, default_provider, kx_group};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rustls::server::NoServerSessionStorage;
use rustls::{ClientConfig, ConnectionCommon, RootCertStore, ServerConfig, SignatureScheme};

use crate::binding::{EXPORTER_LABEL, EXPORTER_LEN, NONCE_LEN};
use unproven::UnprovenPeer;

/// The only application protocol: HTTP/2 (RFC 9113, section 3.1).
pub const ALPN: &[u8] = b"h2";

/// The handshake signatures that are accepted (RFC 8446, section 4.2.3): our own certificates need no others, and RSA
/// stays out.
static SIGNATURES: WebPkiSupportedAlgorithms = WebPkiSupportedAlgorithms {
    all: &[webpki::ring::ED25519, webpki::ring::ECDSA_P256_SHA256, webpki::ring::ECDSA_P384_SHA384],
    mapping: &[
        (SignatureScheme::ED25519, &[webpki::ring::ED25519]),
        (SignatureScheme::ECDSA_NISTP256_SHA256, &[webpki::ring::ECDSA_P256_SHA256]),
        (SignatureScheme::ECDSA_NISTP384_SHA384, &[webpki::ring::ECDSA_P384_SHA384]),
    ],
};

/// Which key exchanges are offered or accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyExchange {
    /// X25519MLKEM768 only: traffic recorded today stays closed to a quantum computer of tomorrow.
    HybridOnly,
    /// X25519MLKEM768 first, and X25519 where the other end knows no better.
    HybridOrClassical,
}

/// Why TLS could not be set up, or the peer not be read.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// rustls refused the certificate, the key or the provider.
    #[error("tls could not be set up: {0}; make a new key and certificate")]
    Setup(rustls::Error),
    /// The peer showed no certificate, or more than one.
    #[error("the peer did not show exactly one certificate; it is not an adyton enclave")]
    CertificateCount,
    /// The peer's certificate is not readable.
    #[error("the peer's certificate is not readable; it is not an adyton enclave")]
    Certificate,
    /// The handshake has not ended, or the exporter was refused.
    #[error("the connection gives no exporter; finish the handshake first")]
    Exporter,
}

/// The ring provider with TLS 1.3 suites and the chosen key exchanges only.
///
/// The suites are AES-256-GCM and ChaCha20-Poly1305 (RFC 8446, section B.4). AES-128 is left out: a hybrid key
/// exchange that feeds a 128-bit cipher would lose the margin that it was chosen for.
pub fn provider(kx: KeyExchange) -> CryptoProvider {
    let kx_groups = match kx {
        KeyExchange::HybridOnly => vec![hybrid::X25519MLKEM768],
        KeyExchange::HybridOrClassical => vec![hybrid::X25519MLKEM768, kx_group::X25519],
    };
    let cipher_suites =
        vec![cipher_suite::TLS13_AES_256_GCM_SHA384, cipher_suite::TLS13_CHACHA20_POLY1305_SHA256];
    CryptoProvider {
        cipher_suites,
        kx_groups,
        signature_verification_algorithms: SIGNATURES,
        ..default_provider()
    }
}

/// The enclave's end: one self-signed certificate and its PKCS#8 key, both made at boot. It prefers the hybrid and
/// leaves it to the client's policy whether classical will do.
pub fn server_config(cert_der: &[u8], pkcs8_key: &[u8]) -> Result<Arc<ServerConfig>, TlsError> {
    let chain = vec![CertificateDer::from(cert_der.to_vec())];
    let key = PrivatePkcs8KeyDer::from(pkcs8_key.to_vec()).into();
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider(KeyExchange::HybridOrClassical)))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(TlsError::Setup)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(TlsError::Setup)?;
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.max_early_data_size = 0;
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(Arc::new(config))
}

/// The end of a tool that the enclave calls: an ordinary server, whose certificate must lead to one root, given as PEM
/// (RFC 7468), for the name that is connected to. TLS 1.3 alone.
///
/// # Errors
/// [`TlsError::Certificate`] if the PEM is no certificate that can be a root.
pub fn tool_config(root_pem: &[u8]) -> Result<Arc<ClientConfig>, TlsError> {
    let root = CertificateDer::from_pem_slice(root_pem).map_err(|_| TlsError::Certificate)?;
    let mut roots = RootCertStore::empty();
    roots.add(root).map_err(|_| TlsError::Certificate)?;
    let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(TlsError::Setup)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    config.enable_early_data = false;
    Ok(Arc::new(config))
}

/// The relying party's end. The peer is unproven when the handshake ends.
pub fn client_config(kx: KeyExchange) -> Result<ClientConfig, TlsError> {
    let provider = Arc::new(provider(kx));
    let verifier = UnprovenPeer::new(provider.signature_verification_algorithms);
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(TlsError::Setup)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    config.enable_early_data = false;
    config.enable_sni = false;
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(config)
}

/// The SubjectPublicKeyInfo (DER) of a certificate.
pub fn certificate_spki(cert_der: &[u8]) -> Result<Vec<u8>, TlsError> {
    let der = CertificateDer::from(cert_der);
    let cert = webpki::EndEntityCert::try_from(&der).map_err(|_| TlsError::Certificate)?;
    Ok(cert.subject_public_key_info().to_vec())
}

/// The SubjectPublicKeyInfo (DER) of the one certificate that the peer has shown.
pub fn peer_spki<Data>(connection: &ConnectionCommon<Data>) -> Result<Vec<u8>, TlsError> {
    match connection.peer_certificates() {
        Some([cert]) => certificate_spki(cert),
        _ => Err(TlsError::CertificateCount),
    }
}

/// The exporter of this connection for this nonce: the same on both ends, and on no other connection.
pub fn exporter<Data>(
    connection: &ConnectionCommon<Data>,
    nonce: &[u8; NONCE_LEN],
) -> Result<[u8; EXPORTER_LEN], TlsError> {
    connection
        .export_keying_material([0; EXPORTER_LEN], EXPORTER_LABEL, Some(nonce))
        .map_err(|_| TlsError::Exporter)
}

#[cfg(test)]
mod tests;

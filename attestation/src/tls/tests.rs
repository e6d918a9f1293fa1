//! Handshakes in memory, both ends in one thread.

use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, NamedGroup, ServerConfig, ServerConnection};

use super::*;

struct Certificate {
    der: Vec<u8>,
    key: Vec<u8>,
}

fn certificate() -> Certificate {
    let made = rcgen::generate_simple_self_signed(vec!["adyton".to_owned()]).unwrap();
    Certificate { der: made.cert.der().to_vec(), key: made.signing_key.serialize_der() }
}

fn server() -> Arc<ServerConfig> {
    let certificate = certificate();
    server_config(&certificate.der, &certificate.key).unwrap()
}

fn handshake(
    client: ClientConfig,
    server: Arc<ServerConfig>,
) -> Result<(ClientConnection, ServerConnection), rustls::Error> {
    let name = ServerName::try_from("adyton").unwrap();
    let mut client = ClientConnection::new(Arc::new(client), name)?;
    let mut server = ServerConnection::new(server)?;
    while client.is_handshaking() || server.is_handshaking() {
        let mut bytes = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut bytes).unwrap();
        }
        server.read_tls(&mut bytes.as_slice()).unwrap();
        server.process_new_packets()?;
        bytes.clear();
        while server.wants_write() {
            server.write_tls(&mut bytes).unwrap();
        }
        client.read_tls(&mut bytes.as_slice()).unwrap();
        client.process_new_packets()?;
    }
    Ok((client, server))
}

fn group(connection: &ClientConnection) -> NamedGroup {
    connection.negotiated_key_exchange_group().unwrap().name()
}

/// A server that knows classical X25519 only.
fn classical_server() -> Arc<ServerConfig> {
    let certificate = certificate();
    let provider = CryptoProvider { kx_groups: vec![kx_group::X25519], ..default_provider() };
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from(certificate.der)],
            PrivatePkcs8KeyDer::from(certificate.key).into(),
        )
        .unwrap();
    config.alpn_protocols = vec![ALPN.to_vec()];
    Arc::new(config)
}

#[test]
fn hybrid_is_negotiated_and_the_exporters_agree() {
    for kx in [KeyExchange::HybridOnly, KeyExchange::HybridOrClassical] {
        let (client, server) = handshake(client_config(kx).unwrap(), server()).unwrap();
        assert_eq!(group(&client), NamedGroup::X25519MLKEM768);
        assert_eq!(client.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_3));
        assert_eq!(client.alpn_protocol(), Some(ALPN));
        let ours = exporter(&client, &[7; 32]).unwrap();
        assert_eq!(ours, exporter(&server, &[7; 32]).unwrap());
        assert_ne!(ours, exporter(&client, &[8; 32]).unwrap());
    }
}

#[test]
fn exporters_differ_between_connections_and_need_a_handshake() {
    let server = server();
    let config = client_config(KeyExchange::HybridOnly).unwrap();
    let (one, _) = handshake(config.clone(), server.clone()).unwrap();
    let (two, _) = handshake(config.clone(), server).unwrap();
    assert_ne!(exporter(&one, &[7; 32]).unwrap(), exporter(&two, &[7; 32]).unwrap());
    let unfinished =
        ClientConnection::new(Arc::new(config), ServerName::try_from("adyton").unwrap()).unwrap();
    assert_eq!(exporter(&unfinished, &[7; 32]), Err(TlsError::Exporter));
    assert_eq!(peer_spki(&unfinished), Err(TlsError::CertificateCount));
}

#[test]
fn classical_only_where_the_client_allows_it() {
    let (client, _) =
        handshake(client_config(KeyExchange::HybridOrClassical).unwrap(), classical_server()).unwrap();
    assert_eq!(group(&client), NamedGroup::X25519);
    assert!(handshake(client_config(KeyExchange::HybridOnly).unwrap(), classical_server()).is_err());
    // The other way round: our server with a client that knows classical X25519 only.
    let mut classical = client_config(KeyExchange::HybridOrClassical).unwrap();
    let provider = CryptoProvider { kx_groups: vec![kx_group::X25519], ..default_provider() };
    let verifier = UnprovenPeer::new(provider.signature_verification_algorithms);
    classical = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth()
        .clone_alpn(classical.alpn_protocols);
    assert_eq!(group(&handshake(classical, server()).unwrap().0), NamedGroup::X25519);
}

trait CloneAlpn {
    fn clone_alpn(self, alpn: Vec<Vec<u8>>) -> Self;
}

impl CloneAlpn for ClientConfig {
    fn clone_alpn(mut self, alpn: Vec<Vec<u8>>) -> Self {
        self.alpn_protocols = alpn;
        self
    }
}

#[test]
fn tls_1_2_is_impossible() {
    let provider = Arc::new(provider(KeyExchange::HybridOrClassical));
    assert!(provider.cipher_suites.iter().all(|suite| suite.tls13().is_some()));
    // A ClientHello that offers nothing newer than 0x0303 and no supported_versions extension.
    let mut hello = vec![0x16, 0x03, 0x01, 0x00, 0x2d, 0x01, 0x00, 0x00, 0x29, 0x03, 0x03];
    hello.extend_from_slice(&[0x42; 32]);
    hello.extend_from_slice(&[0x00, 0x00, 0x02, 0xc0, 0x2c, 0x01, 0x00]);
    let len = hello.len() - 5;
    hello[4] = len as u8;
    hello[8] = (len - 4) as u8;
    let mut server = ServerConnection::new(server()).unwrap();
    server.read_tls(&mut hello.as_slice()).unwrap();
    assert!(matches!(
        server.process_new_packets(),
        Err(rustls::Error::PeerIncompatible(_) | rustls::Error::PeerMisbehaved(_))
    ));
}

#[test]
fn no_ticket_is_sent_and_nothing_is_resumed() {
    let server = server();
    assert_eq!((server.send_tls13_tickets, server.max_early_data_size), (0, 0));
    assert!(!server.session_storage.can_cache());
    let config = client_config(KeyExchange::HybridOnly).unwrap();
    for _ in 0..2 {
        let (client, _) = handshake(config.clone(), server.clone()).unwrap();
        assert_eq!(client.tls13_tickets_received(), 0);
        assert_eq!(client.handshake_kind(), Some(rustls::HandshakeKind::Full));
    }
}

#[test]
fn a_peer_without_the_certificates_key_is_refused() {
    let (shown, held) = (certificate(), certificate());
    // rustls compares key and certificate when it can, so the mismatch is built by hand.
    let key =
        rustls::crypto::ring::sign::any_supported_type(&PrivatePkcs8KeyDer::from(held.key).into()).unwrap();
    let certified = rustls::sign::CertifiedKey::new(vec![CertificateDer::from(shown.der)], key);
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider(KeyExchange::HybridOnly)))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(certified)));
    config.alpn_protocols = vec![ALPN.to_vec()];
    let refused = handshake(client_config(KeyExchange::HybridOnly).unwrap(), Arc::new(config)).unwrap_err();
    assert_eq!(refused, rustls::Error::InvalidCertificate(rustls::CertificateError::BadSignature));
}

#[test]
fn the_peer_key_is_the_one_in_its_certificate() {
    let certificate = certificate();
    let server = server_config(&certificate.der, &certificate.key).unwrap();
    let (client, _) = handshake(client_config(KeyExchange::HybridOnly).unwrap(), server).unwrap();
    let spki = peer_spki(&client).unwrap();
    assert_eq!(spki, certificate_spki(&certificate.der).unwrap());
    assert_eq!(certificate_spki(b"no certificate"), Err(TlsError::Certificate));
}

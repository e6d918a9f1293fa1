//! TLS to the database: 1.3 only, one root.
//!
//! # Promises
//! - A certificate that does not lead to the one root, or names another server, ends the connection before a byte of the
//!   login leaves.
//!
//! # Does not
//! - Bind SCRAM to the channel: the certificate is pinned, and a pooler may end TLS.
//!
//! # Trusts
//! - The root.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_postgres::tls::{ChannelBinding, TlsConnect, TlsStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream as Encrypted;

use super::watched::{Alarm, Alarms, Watched};
use super::{Login, StoreError};

/// Makes the stream of one connection.
pub(super) struct Connector {
    tls: TlsConnector,
    server: ServerName<'static>,
    alarms: Arc<Alarms>,
}

impl Connector {
    pub(super) fn new(login: &Login, alarms: Arc<Alarms>) -> Result<Self, StoreError> {
        let server = ServerName::try_from(login.server.clone()).map_err(|_| StoreError::Tls)?;
        let mut roots = RootCertStore::empty();
        roots.add(login.root.clone()).map_err(|_| StoreError::Tls)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let versions = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|_| StoreError::Tls)?;
        let mut config = versions.with_root_certificates(roots).with_no_client_auth();
        config.resumption = rustls::client::Resumption::disabled();
        Ok(Self { tls: TlsConnector::from(Arc::new(config)), server, alarms })
    }
}

impl<S> TlsConnect<S> for Connector
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    type Stream = Watched<Encrypted<S>>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Stream>> + Send>>;

    fn connect(self, stream: S) -> Self::Future {
        Box::pin(async move {
            let Self { tls, server, alarms } = self;
            alarms.secure();
            let stream = tls.connect(server, stream).await.inspect_err(|_| alarms.raise(Alarm::Tls))?;
            Ok(Watched::new(stream, alarms))
        })
    }
}

impl<S> TlsStream for Watched<Encrypted<S>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

//! Connections to the database: opened by the sentinel with a look-up's grant, kept while they are good.
//!
//! Promises
//! - There is no connection but over a socket that came with a [`Ticket`]; TLS to the measured root ends here.
//! - A connection on which anything went wrong is dropped, and at most [`MAX_IDLE`] are kept.
//!
//! Does not: hold the key of grants. Whoever takes this process over has a connection that shows nothing without a grant.

use crate::gate::Ticket;
use adyton_retrieval::document::Document;
use adyton_retrieval::passage::Passage;
use adyton_retrieval::postgres::{Limits, Login, Store, StoreError};
use adyton_wire::stores::{Postgres, Without};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::io;
use std::sync::{Mutex, PoisonError};
use tokio::net::UnixStream;

/// Most connections that wait for their next use.
const MAX_IDLE: usize = 4;

/// The database of the measured policy pack.
#[derive(Debug)]
pub struct Database {
    place: Postgres,
    root: CertificateDer<'static>,
    idle: Mutex<Vec<Store>>,
}

impl Database {
    /// Without a connection yet. `None` if its root is no certificate, which the sentinel has judged.
    pub fn new(place: Postgres) -> Option<Database> {
        let root = CertificateDer::from_pem_slice(place.root.as_bytes()).ok()?;
        Some(Database { place, root, idle: Mutex::default() })
    }

    /// Whether a collection is in it.
    pub fn holds(&self, collection: &str) -> bool {
        self.place.collections.contains(collection)
    }

    /// What becomes of a question if it gives nothing.
    pub fn without(&self) -> Without {
        self.place.without
    }

    /// A connection that is open, for whoever is about to ask for a ticket.
    pub fn idle(&self) -> Option<Store> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(Store::is_open);
        idle.pop()
    }

    /// Keeps a connection that nobody used.
    pub fn keep(&self, store: Option<Store>) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(store) = store.filter(|store| store.is_open() && idle.len() < MAX_IDLE) {
            idle.push(store);
        }
    }

    /// Reads under a ticket, over `idle` or over the socket that came with the ticket.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn search(
        &self,
        idle: Option<Store>,
        ticket: &mut Ticket,
        vector: &[f32],
    ) -> Result<Vec<Passage>, StoreError> {
        let mut store = self.connected(idle, ticket).await?;
        let found = store.search(ticket.signed(), vector).await;
        self.keep(Some(store));
        found
    }

    /// Writes under a ticket. Returns the names of the document's passages.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn insert(
        &self,
        idle: Option<Store>,
        ticket: &mut Ticket,
        document: &Document,
    ) -> Result<Vec<[u8; 16]>, StoreError> {
        let mut store = self.connected(idle, ticket).await?;
        let written = store.insert(ticket.signed(), document).await;
        self.keep(Some(store));
        written.map(|_count| document.names(ticket.lookup()).map(|name| name.0).collect())
    }

    async fn connected(&self, idle: Option<Store>, ticket: &mut Ticket) -> Result<Store, StoreError> {
        if let Some(store) = idle {
            return Ok(store);
        }
        let (socket, password) = ticket.connection().ok_or(StoreError::Down)?;
        let login = Login {
            server: self.place.host().to_owned(),
            root: self.root.clone(),
            database: self.place.database.clone(),
            password: password.expose().to_owned().into(),
        };
        // AF_VSOCK or AF_UNIX: for reading and writing a stream socket it is the same, and std's type never asks.
        let stream = std::os::unix::net::UnixStream::from(socket);
        let stream: io::Result<UnixStream> =
            stream.set_nonblocking(true).and_then(|()| UnixStream::from_std(stream));
        Store::connect(stream.map_err(|_| StoreError::Down)?, &login, Limits::default()).await
    }
}

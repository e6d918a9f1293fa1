//! PostgreSQL with pgvector as a store, over a stream that is handed in.
//!
//! A look-up goes out in one turn: `register`, which the database commits to its audit chain before a row can be read, then a
//! transaction that opens the grant, becomes the data role, and reads what is shown.
//!
//! # Promises
//! - TLS 1.3 ends here; the server's certificate leads to the one root that was given, and names the server.
//! - The password leaves as SCRAM proves it, never in the clear, whatever the server asks for.
//! - What the database answers is checked against the grant: number, tenant, collection, row rules, masks, ids, sizes. The first
//!   thing that is wrong ends the answer, and the connection.
//! - Every call ends by its deadline, and takes no more memory than its limits say.
//! - No text of the database's own, errors among them, goes further than here.
//!
//! # Does not
//! - Verify a grant: the database does, and believes nothing that this side says.
//! - Find out a database that lies in the text of a passage that is in scope: its operator can write what he likes.
//! - Open a socket, or connect again: a store that erred is dropped.
//!
//! # Trusts
//! - The root, and the password's keeper.
//!
//! Source: PostgreSQL's frontend/backend protocol; RFC 5802, RFC 7677 (SCRAM-SHA-256).

mod answer;
mod tls;
mod watched;

pub use answer::Fault;

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use adyton_wire::lookup::{Kind, Lookup, LookupError, SignedLookup, vector_digest};
use rustls_pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinHandle;
use tokio_postgres::config::SslMode;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Config, Row, Statement};
use zeroize::Zeroizing;

use crate::document::{Document, is_sound};
use crate::passage::Passage;
use watched::{Alarm, Alarms};

/// How long a call may take, and how much it may answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// To connect, or to look up.
    pub deadline: Duration,
    /// To write one document.
    pub writing: Duration,
    /// Most bytes of one message of the server's: one row with its texts.
    pub message: u32,
    /// Most bytes that one call reads.
    pub bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(5),
            writing: Duration::from_secs(60),
            message: 256 * 1024,
            bytes: 8 * 1024 * 1024,
        }
    }
}

/// Why the database refused a grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Not made by the sentinel, or not for this connection.
    NotGranted,
    /// Too late.
    Expired,
    /// Its name was used before.
    Used,
    /// It names another question, or another kind of call.
    OtherQuestion,
    /// The tenant has no such collection under this data role.
    NoCollection,
    /// It was not committed before it was opened.
    NotCommitted,
    /// What is written is not what was granted.
    OtherPayload,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// No connection, or it was lost.
    #[error("the database cannot be reached, or the connection was lost; is it up?")]
    Down,
    /// The server's certificate does not lead to the pinned root, names another, or it speaks no TLS 1.3.
    #[error(
        "the database's TLS was refused; its certificate must lead to the pinned root and name the server"
    )]
    Tls,
    /// The password was refused, or the server asked for it in a form that gives it away.
    #[error("logging in failed; the server must take SCRAM-SHA-256 and know the password")]
    Password,
    /// The deadline passed.
    #[error("the database did not answer in time")]
    Slow,
    /// More bytes than a call may read, or one message too long.
    #[error("the database answered more than the limit; nothing of it was kept")]
    Flood,
    /// The database refused the grant.
    #[error("the database refused the grant: {0:?}")]
    Refused(Refused),
    /// The principal has had as much as it may; the database's audit says so.
    #[error("the principal has reached as many passages as the collection allows")]
    TooMuch,
    /// Another error of the database's, by its code. Its text stays where it is.
    #[error("the database reports error {0}")]
    Database(String),
    /// The answer is not one to this grant.
    #[error("the database's answer was refused: {0}")]
    Answer(#[from] Fault),
    /// The caller's vector or document is not one that can be stored.
    #[error("a vector needs 384 finite numbers, a document 1 to 256 passages without zero bytes")]
    Input,
    /// The grant is not one for this call.
    #[error("the grant is for another call, vector or document")]
    Grant,
    /// The grant's text cannot be read.
    #[error(transparent)]
    Lookup(#[from] LookupError),
}

impl StoreError {
    /// Whether the connection can be used again.
    pub fn is_harmless(&self) -> bool {
        matches!(
            self,
            Self::Refused(_)
                | Self::TooMuch
                | Self::Input
                | Self::Grant
                | Self::Lookup(_)
                | Self::Database(_)
        )
    }
}

/// A connection to the database.
pub struct Store {
    client: Client,
    // Planned once: planning the view takes longer than reading it.
    register: Statement,
    read: Statement,
    driver: JoinHandle<()>,
    alarms: Arc<Alarms>,
    limits: Limits,
    broken: bool,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Store")
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// Where to log in, beside the stream.
#[derive(Clone)]
pub struct Login {
    /// The name that the server's certificate must have.
    pub server: String,
    /// The one root that it must lead to.
    pub root: CertificateDer<'static>,
    /// The database.
    pub database: String,
    /// The password of `adyton_worker`.
    pub password: Zeroizing<String>,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Login({})", self.server)
    }
}

/// The one role that logs in (deploy/postgres/001_roles.sql).
const USER: &str = "adyton_worker";

impl Store {
    /// Logs in over a stream that somebody connected.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn connect<S>(stream: S, login: &Login, limits: Limits) -> Result<Self, StoreError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let alarms = Arc::new(Alarms::new(limits));
        let tls = tls::Connector::new(login, Arc::clone(&alarms))?;
        let mut config = Config::new();
        config
            .user(USER)
            .password(login.password.as_bytes())
            .dbname(&login.database)
            .ssl_mode(SslMode::Require);
        let connecting = tokio::time::timeout(limits.deadline, config.connect_raw(stream, tls)).await;
        let connected = connecting.map_err(|_| StoreError::Slow)?;
        let (client, connection) = connected.map_err(|error| {
            // Before TLS, whoever answered at all answered that it speaks none.
            let answered = !error.source().is_some_and(|source| source.is::<std::io::Error>());
            alarms
                .tell(&error, if answered && !alarms.secured() { StoreError::Tls } else { StoreError::Down })
        })?;
        alarms.logged_in();
        let driver = tokio::spawn(async move { drop(connection.await) });
        let planning = async {
            let register =
                client.prepare_typed(REGISTER, &[Type::TEXT, Type::BYTEA, Type::FLOAT4_ARRAY]).await?;
            Ok((register, client.prepare_typed(READ, &[Type::INT8]).await?))
        };
        let planned = tokio::time::timeout(limits.deadline, planning).await.map_err(|_| StoreError::Slow)?;
        let (register, read) = planned.map_err(|error| alarms.tell(&error, StoreError::Down))?;
        Ok(Self { client, register, read, driver, alarms, limits, broken: false })
    }

    /// Whether it can be asked: nothing went wrong, and the server has not hung up.
    pub fn is_open(&self) -> bool {
        !self.broken && !self.client.is_closed()
    }

    /// The passages nearest to `query`, under a grant for exactly this vector.
    ///
    /// # Errors
    /// [`StoreError`]; after one that is not harmless the store answers nothing more.
    pub async fn search(&mut self, signed: &SignedLookup, query: &[f32]) -> Result<Vec<Passage>, StoreError> {
        let lookup = signed.lookup()?;
        if !is_sound(query) {
            return Err(StoreError::Input);
        }
        if lookup.kind != Kind::Lookup || lookup.digest != vector_digest(query)? {
            return Err(StoreError::Grant);
        }
        let within = self.limits.deadline;
        let answered = self.within(within, self.ask(signed, &lookup, query)).await;
        self.keep(answered)
    }

    /// Writes a document, in place of what the collection had under its name. How many passages that are.
    ///
    /// # Errors
    /// [`StoreError`]; after one that is not harmless the store answers nothing more.
    pub async fn insert(&mut self, signed: &SignedLookup, document: &Document) -> Result<usize, StoreError> {
        let lookup = signed.lookup()?;
        if lookup.kind != Kind::Ingest || lookup.digest != document.digest() {
            return Err(StoreError::Grant);
        }
        let within = self.limits.writing;
        let answered = self.within(within, self.write(signed, &lookup, document)).await;
        self.keep(answered)
    }

    async fn within<T>(
        &self,
        time: Duration,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        if self.broken {
            return Err(StoreError::Down);
        }
        self.alarms.begin();
        tokio::time::timeout(time, call).await.unwrap_or(Err(StoreError::Slow))
    }

    /// A store that erred may be in the middle of somebody's transaction, or lie.
    fn keep<T>(&mut self, answered: Result<T, StoreError>) -> Result<T, StoreError> {
        if answered.as_ref().is_err_and(|error| !error.is_harmless()) {
            self.broken = true;
            self.driver.abort();
        }
        answered
    }

    async fn ask(
        &self,
        signed: &SignedLookup,
        lookup: &Lookup,
        query: &[f32],
    ) -> Result<Vec<Passage>, StoreError> {
        // Hexadecimal digits, and a role that Lookup::parse holds to a-z, 0-9 and _.
        let open = format!(
            "BEGIN; SELECT adyton_api.open('\\x{}'); SET LOCAL ROLE adyton_data_{}",
            hex(&lookup.grant),
            lookup.role
        );
        // One more than granted, so that a database that has more is found out.
        let most = i64::from(lookup.most) + 1;
        let query = query.to_vec();
        let mac: &[u8] = &signed.mac;
        let registering: [&(dyn ToSql + Sync); 3] = [&signed.text, &mac, &query];
        let reading: [&(dyn ToSql + Sync); 1] = [&most];
        // All of it is sent before the first answer is read.
        let (registered, opened, rows, ended) = tokio::join!(
            biased;
            self.client.query(&self.register, &registering),
            self.client.batch_execute(&open),
            self.client.query(&self.read, &reading),
            self.client.batch_execute("COMMIT"),
        );
        self.registered(registered)?;
        opened.map_err(|error| self.told(&error))?;
        let rows = rows.map_err(|error| self.told(&error))?;
        ended.map_err(|error| self.told(&error))?;
        Ok(answer::check(&rows, lookup)?)
    }

    async fn write(
        &self,
        signed: &SignedLookup,
        lookup: &Lookup,
        document: &Document,
    ) -> Result<usize, StoreError> {
        let (mac, name, text): (&[u8], &[u8], &str) = (&signed.mac, &lookup.grant, document.text());
        let registering = [(&signed.text as &(dyn ToSql + Sync), Type::TEXT), (&mac, Type::BYTEA)];
        let writing = [(&name as &(dyn ToSql + Sync), Type::BYTEA), (&text, Type::TEXT)];
        let (registered, written) = tokio::join!(
            biased;
            self.client.query_typed("SELECT adyton_api.register_ingest($1, $2)", &registering),
            self.client.query_typed("SELECT adyton_api.ingest($1, $2)", &writing),
        );
        self.registered(registered)?;
        let rows = written.map_err(|error| self.told(&error))?;
        let count = rows.first().and_then(|row| row.try_get::<_, i32>(0).ok());
        let count = count.and_then(|count| usize::try_from(count).ok()).ok_or(Fault::Form)?;
        if count == document.count() { Ok(count) } else { Err(Fault::Form.into()) }
    }

    fn registered(&self, answer: Result<Vec<Row>, tokio_postgres::Error>) -> Result<(), StoreError> {
        let rows = answer.map_err(|error| self.told(&error))?;
        match rows.first().and_then(|row| row.try_get::<_, &str>(0).ok()) {
            Some("registered") => Ok(()),
            Some("too much") => Err(StoreError::TooMuch),
            _ => Err(Fault::Form.into()),
        }
    }

    fn told(&self, error: &tokio_postgres::Error) -> StoreError {
        self.alarms.tell(error, StoreError::Down)
    }
}

const REGISTER: &str = "SELECT adyton_api.register($1, $2, $3)";
const READ: &str = "SELECT rank, score, tenant, collection, id, document, ordinal, classification, title, body, fields::text \
     FROM adyton_api.passages ORDER BY rank LIMIT $1";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// An error of the database's, by its code alone.
fn by_code(code: &str) -> StoreError {
    let refused = match code {
        "AD001" => Refused::NotGranted,
        "AD002" => Refused::Expired,
        "AD003" => Refused::Used,
        "AD004" => Refused::OtherQuestion,
        "AD005" => Refused::NoCollection,
        "AD007" => Refused::NotCommitted,
        "AD008" => Refused::OtherPayload,
        "28000" | "28P01" => return StoreError::Password,
        "57014" => return StoreError::Slow,
        _ if code.len() == 5 && code.bytes().all(|b| b.is_ascii_alphanumeric()) => {
            return StoreError::Database(code.to_owned());
        }
        _ => return Fault::Form.into(),
    };
    StoreError::Refused(refused)
}

impl Alarms {
    /// What an error of the client library's comes to: what was seen on the stream says more than the library does.
    fn tell(&self, error: &tokio_postgres::Error, otherwise: StoreError) -> StoreError {
        match (self.raised(), error.code()) {
            (Some(Alarm::Flood), _) => StoreError::Flood,
            (Some(Alarm::Password), _) => StoreError::Password,
            (Some(Alarm::Tls), _) => StoreError::Tls,
            (Some(Alarm::Form), _) => Fault::Form.into(),
            (None, Some(code)) => by_code(code.code()),
            (None, None) => otherwise,
        }
    }
}

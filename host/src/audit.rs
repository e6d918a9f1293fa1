//! Keeps the audit logs of enclaves on disk over the audit protocol (`adyton_wire::audit`).
//!
//! One file for each boot, written at its end only. An answer leaves when the file is synced; entries that
//! came meanwhile are synced together.
//!
//! Promises
//! - What was acknowledged is on disk, also after this process or the machine is killed.
//! - What a crash left half-written is cut before more is written; nothing that was acknowledged is.
//! - A full or failing disk is answered at once, and never by an acknowledgement.
//!
//! Does not: understand an entry. They are sealed, and signed by somebody else.
//!
//! Trusts: nobody; a boot names a file in one folder and cannot name another, and frames are bounded.

use crate::enclave::Stream;
use adyton_wire::audit::{
    FILE_HEADER_LEN, FILE_SUFFIX, FRAME_HEADER_LEN, HELLO_LEN, Hello, Kind, Next, Status,
    decode_frame_header, encode_answer, file_header, read_file_header, read_frame,
};
use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Readable for its owner only: entries may be sealed to nobody, and then what is there is their number and
/// times of writing.
const PRIVATE: u32 = 0o600;
/// How long an enclave may take for its hello.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);

/// The folder of logs.
#[derive(Clone, Debug)]
pub struct Logs {
    folder: PathBuf,
    disk: Arc<Disk>,
}

/// How the disk is, for the operator.
#[derive(Debug, Default)]
pub struct Disk {
    bytes: AtomicU64,
    failing: AtomicBool,
}

impl Disk {
    /// Bytes in the log of the current boot, and whether the disk took the last of them.
    pub fn read(&self) -> (u64, bool) {
        (self.bytes.load(Ordering::Relaxed), !self.failing.load(Ordering::Relaxed))
    }

    /// The log has so many bytes, and they were taken.
    pub(crate) fn wrote(&self, bytes: u64) {
        self.bytes.store(bytes, Ordering::Relaxed);
        self.failing.store(false, Ordering::Relaxed);
    }

    /// Something was not taken.
    pub(crate) fn fails(&self) {
        self.failing.store(true, Ordering::Relaxed);
    }
}

impl Logs {
    /// Opens the folder; makes it if it is not there.
    ///
    /// # Errors
    /// If it cannot be made or nothing can be written in it.
    pub fn open(folder: PathBuf) -> io::Result<Logs> {
        std::fs::create_dir_all(&folder)?;
        let probe = folder.join(format!(".probe-{}", std::process::id()));
        File::create(&probe)?.sync_all()?;
        std::fs::remove_file(&probe)?;
        Ok(Logs { folder, disk: Arc::default() })
    }

    /// How the disk is.
    pub fn disk(&self) -> Arc<Disk> {
        Arc::clone(&self.disk)
    }

    /// Keeps what comes on one connection, until it ends.
    ///
    /// # Errors
    /// If the connection breaks or speaks another protocol, or the disk fails; the enclave was told of the
    /// latter.
    pub async fn serve(&self, mut stream: Box<dyn Stream>) -> io::Result<()> {
        let mut hello = [0; HELLO_LEN];
        tokio::time::timeout(HELLO_TIMEOUT, stream.read_exact(&mut hello)).await??;
        let hello = Hello::decode(&hello).map_err(invalid)?;
        let mut log = match self.log(hello) {
            Ok(log) => log,
            Err((status, e)) => {
                if status == Status::Disk {
                    self.disk.fails();
                }
                answer(&mut stream, status, 0).await?;
                return Err(e);
            }
        };
        self.disk.wrote(log.bytes);
        answer(&mut stream, Status::Stored, log.entries).await?;
        while let Some((kind, frame)) = next_frame(&mut stream).await? {
            // On a thread of its own: a slow disk must not stop the relaying of bytes.
            let synced;
            (log, synced) = tokio::task::spawn_blocking(move || {
                let synced = log.append(kind, &frame);
                (log, synced)
            })
            .await?;
            match &synced {
                Ok(_) => self.disk.wrote(log.bytes),
                Err(_) => self.disk.fails(),
            }
            let told = match &synced {
                Ok(true) => answer(&mut stream, Status::Stored, log.entries).await,
                Ok(false) => Ok(()),
                Err(_) => answer(&mut stream, Status::Disk, log.stored).await,
            };
            synced?;
            told?;
        }
        Ok(())
    }

    /// Opens the log of a boot where its enclave left it, or says why not.
    fn log(&self, hello: Hello) -> Result<Log, (Status, io::Error)> {
        let disk = |e| (Status::Disk, e);
        let path = self.folder.join(format!("{}{FILE_SUFFIX}", hex::encode(hello.boot)));
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(PRIVATE);
        let mut file = options.open(&path).map_err(disk)?;
        // Held until the file is closed: of two connections of one boot, the first must end.
        file.try_lock().map_err(|e| (Status::Busy, e.into()))?;
        let lost = || (Status::Lost, io::Error::other("the log has fewer entries than were acknowledged"));
        let end = match hello.stored {
            0 => begin(&mut file, &hello.boot, &self.folder).map_err(disk)?,
            stored => find(&mut file, &hello.boot, stored).map_err(disk)?.ok_or_else(lost)?,
        };
        file.set_len(end).and_then(|()| file.seek(SeekFrom::End(0))).map_err(disk)?;
        Ok(Log { file, bytes: end, entries: hello.stored, stored: hello.stored })
    }
}

/// An open log.
#[derive(Debug)]
struct Log {
    file: File,
    /// Its size.
    bytes: u64,
    /// Entries written.
    entries: u64,
    /// Entries on disk.
    stored: u64,
}

impl Log {
    /// Writes a frame; after a checkpoint everything is on disk. True if it was one.
    fn append(&mut self, kind: Kind, frame: &[u8]) -> io::Result<bool> {
        self.file.write_all(frame)?;
        self.bytes += frame.len() as u64;
        if kind == Kind::Entry {
            self.entries += 1;
        }
        if kind != Kind::Checkpoint {
            return Ok(false);
        }
        self.file.sync_data()?;
        self.stored = self.entries;
        Ok(true)
    }
}

/// A new file, or one of which nothing was acknowledged: its header alone, on disk, and its name too.
fn begin(file: &mut File, boot: &[u8; 16], folder: &Path) -> io::Result<u64> {
    file.set_len(0)?;
    file.seek(SeekFrom::Start(0))?;
    file.write_all(&file_header(boot))?;
    file.sync_all()?;
    File::open(folder)?.sync_all()?;
    Ok(FILE_HEADER_LEN as u64)
}

/// Where the checkpoint that counts so many entries ends; `None` if there is none.
fn find(file: &mut File, boot: &[u8; 16], stored: u64) -> io::Result<Option<u64>> {
    file.seek(SeekFrom::Start(0))?;
    let mut from = BufReader::new(file);
    let mut header = [0; FILE_HEADER_LEN];
    if from.read_exact(&mut header).is_err() || read_file_header(&header).ok() != Some(*boot) {
        return Ok(None);
    }
    let (mut at, mut entries) = (FILE_HEADER_LEN as u64, 0u64);
    loop {
        let (kind, length) = match read_frame(&mut from) {
            Ok(Next::Frame(kind, body)) => (kind, body.len()),
            Ok(Next::Torn(_) | Next::End) => return Ok(None),
            Err(e) if e.kind() == io::ErrorKind::InvalidData => return Ok(None),
            Err(e) => return Err(e),
        };
        at += (FRAME_HEADER_LEN + length) as u64;
        entries += u64::from(kind == Kind::Entry);
        if kind == Kind::Checkpoint && entries == stored {
            return Ok(Some(at));
        }
    }
}

/// A whole frame with its header, as it is written; `None` at the end.
async fn next_frame(stream: &mut Box<dyn Stream>) -> io::Result<Option<(Kind, Vec<u8>)>> {
    let mut header = [0; FRAME_HEADER_LEN];
    match stream.read_exact(&mut header).await {
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        read => read?,
    };
    let (kind, length) = decode_frame_header(&header).map_err(invalid)?;
    let mut frame = header.to_vec();
    frame.resize(FRAME_HEADER_LEN + length as usize, 0);
    if let Some(body) = frame.get_mut(FRAME_HEADER_LEN..) {
        stream.read_exact(body).await?;
    }
    Ok(Some((kind, frame)))
}

async fn answer(stream: &mut Box<dyn Stream>, status: Status, entries: u64) -> io::Result<()> {
    stream.write_all(&encode_answer(status, entries)).await?;
    stream.flush().await
}

fn invalid(error: adyton_wire::audit::Malformed) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use adyton_wire::audit::{ANSWER_LEN, decode_answer, encode_frame_header};
    use tokio::net::UnixStream;
    use tokio::task::JoinHandle;

    const BOOT: [u8; 16] = [0xab; 16];

    struct Enclave {
        stream: UnixStream,
        serving: JoinHandle<io::Result<()>>,
    }

    impl Enclave {
        async fn connect(logs: &Logs, stored: u64) -> (Enclave, Status, u64) {
            let (ours, theirs) = UnixStream::pair().unwrap();
            let logs = logs.clone();
            let serving = tokio::spawn(async move { logs.serve(Box::new(theirs)).await });
            let mut enclave = Enclave { stream: ours, serving };
            enclave.stream.write_all(&Hello { boot: BOOT, stored }.encode()).await.unwrap();
            let (status, entries) = enclave.answer().await;
            (enclave, status, entries)
        }

        async fn send(&mut self, kind: Kind, body: &[u8]) {
            self.stream.write_all(&encode_frame_header(kind, body.len() as u32)).await.unwrap();
            self.stream.write_all(body).await.unwrap();
        }

        async fn answer(&mut self) -> (Status, u64) {
            let mut bytes = [0; ANSWER_LEN];
            self.stream.read_exact(&mut bytes).await.unwrap();
            decode_answer(&bytes).unwrap()
        }

        async fn end(self) -> io::Result<()> {
            drop(self.stream);
            self.serving.await.unwrap()
        }
    }

    fn logs() -> (Logs, PathBuf) {
        let name = format!("adyton-logs-{}-{:?}", std::process::id(), std::thread::current().id());
        let folder = std::env::temp_dir().join(name);
        let _ = std::fs::remove_dir_all(&folder);
        (Logs::open(folder.clone()).unwrap(), folder.join(format!("{}.audit", hex::encode(BOOT))))
    }

    #[tokio::test]
    async fn what_is_acknowledged_is_in_the_file_and_what_is_half_written_is_cut() {
        let (logs, path) = logs();
        let (mut enclave, status, entries) = Enclave::connect(&logs, 0).await;
        assert_eq!((status, entries), (Status::Stored, 0));
        enclave.send(Kind::Document, b"doc").await;
        enclave.send(Kind::Entry, b"one").await;
        enclave.send(Kind::Entry, b"two").await;
        enclave.send(Kind::Checkpoint, b"cp").await;
        assert_eq!(enclave.answer().await, (Status::Stored, 2));
        let acknowledged = std::fs::read(&path).unwrap();
        assert_eq!(logs.disk().read(), (acknowledged.len() as u64, true));
        enclave.send(Kind::Entry, b"three").await;
        enclave.stream.write_all(&encode_frame_header(Kind::Entry, 10)).await.unwrap();
        enclave.end().await.unwrap_err();
        // Half of a frame, as a loss of power would leave it.
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(&[2, 0, 0, 0, 50, 1]).unwrap();
        assert_ne!(std::fs::read(&path).unwrap(), acknowledged);
        let (mut enclave, status, entries) = Enclave::connect(&logs, 2).await;
        assert_eq!((status, entries), (Status::Stored, 2));
        assert_eq!(std::fs::read(&path).unwrap(), acknowledged);
        enclave.send(Kind::Entry, b"three").await;
        enclave.send(Kind::Checkpoint, b"cp").await;
        assert_eq!(enclave.answer().await, (Status::Stored, 3));
        assert!(std::fs::read(&path).unwrap().starts_with(&acknowledged));
        enclave.end().await.unwrap();
    }

    #[tokio::test]
    async fn entries_that_are_gone_are_told_and_the_file_is_left_alone() {
        let (logs, path) = logs();
        let (mut enclave, ..) = Enclave::connect(&logs, 0).await;
        enclave.send(Kind::Entry, b"one").await;
        enclave.send(Kind::Checkpoint, b"cp").await;
        enclave.answer().await;
        enclave.end().await.unwrap();
        let before = std::fs::read(&path).unwrap();
        let (enclave, status, _) = Enclave::connect(&logs, 2).await;
        assert_eq!(status, Status::Lost);
        enclave.end().await.unwrap_err();
        assert_eq!(std::fs::read(&path).unwrap(), before);
    }

    #[tokio::test]
    async fn of_two_connections_one_writes() {
        let (logs, _) = logs();
        let (first, ..) = Enclave::connect(&logs, 0).await;
        let (second, status, _) = Enclave::connect(&logs, 0).await;
        assert_eq!(status, Status::Busy);
        second.end().await.unwrap_err();
        first.end().await.unwrap();
    }

    #[tokio::test]
    async fn a_disk_that_fails_is_told_and_not_acknowledged() {
        let (logs, path) = logs();
        // A device that is always full stands where the file would be.
        std::os::unix::fs::symlink("/dev/full", &path).unwrap();
        let (enclave, status, _) = Enclave::connect(&logs, 0).await;
        assert_eq!(status, Status::Disk);
        enclave.end().await.unwrap_err();
        assert_eq!(logs.disk().read(), (0, false));
    }

    #[tokio::test]
    async fn other_protocols_end_the_connection() {
        let (logs, _) = logs();
        let (mut enclave, ..) = Enclave::connect(&logs, 0).await;
        enclave.stream.write_all(&[9, 0, 0, 0, 0]).await.unwrap();
        assert_eq!(enclave.end().await.unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}

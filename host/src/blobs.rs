//! Serves the release folder over the blob protocol (`adyton_wire::blob`).
//!
//! Trusts nobody: a digest names a file in one folder and cannot name another, lengths are bounded by the protocol.

use crate::enclave::Stream;
use adyton_wire::blob::{MAX_RESPONSE, REQUEST_LEN, Status, WRITE_PIECE, Wanted, encode_response};
use std::io::{self, SeekFrom};
use std::path::PathBuf;
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};

/// The manifest's name in a release folder.
const MANIFEST_FILE: &str = "manifest.json";
/// The folder of blobs in a release folder.
const BLOBS: &str = "blobs";

/// A release folder.
#[derive(Clone, Debug)]
pub struct Release {
    folder: PathBuf,
}

/// Bytes served so far, for whoever shows progress.
pub type OnServed<'a> = &'a (dyn Fn(u64) + Send + Sync);

impl Release {
    /// A folder made by `adyton release`.
    ///
    /// # Errors
    /// If there is no manifest in it.
    pub fn open(folder: PathBuf) -> io::Result<Release> {
        std::fs::metadata(folder.join(MANIFEST_FILE))?;
        Ok(Release { folder })
    }

    /// The size of the weights, as the manifest says, for progress alone.
    pub fn weights_size(&self) -> Option<u64> {
        let manifest = std::fs::read(self.folder.join(MANIFEST_FILE)).ok()?;
        adyton_wire::manifest::Manifest::parse(&manifest).ok().map(|m| m.weights.size)
    }

    /// Answers requests on one connection until it ends.
    ///
    /// # Errors
    /// If the connection breaks or speaks another protocol.
    pub async fn serve(&self, mut stream: Box<dyn Stream>, on_served: OnServed<'_>) -> io::Result<()> {
        let mut request = [0; REQUEST_LEN];
        loop {
            match stream.read_exact(&mut request).await {
                Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
                read => read?,
            };
            let wanted =
                Wanted::decode(&request).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))?;
            let Some(bytes) = self.read(wanted).await else {
                stream.write_all(&encode_response(Status::Missing, 0)).await?;
                continue;
            };
            let length = u32::try_from(bytes.len()).unwrap_or(0);
            stream.write_all(&encode_response(Status::Found, length)).await?;
            for piece in bytes.chunks(WRITE_PIECE) {
                stream.write_all(piece).await?;
            }
            stream.flush().await?;
            on_served(bytes.len() as u64);
        }
    }

    /// The bytes asked for, or `None` if there is no such blob or range.
    async fn read(&self, wanted: Wanted) -> Option<Vec<u8>> {
        let (path, offset, length, whole) = match wanted {
            Wanted::Manifest => (self.folder.join(MANIFEST_FILE), 0, MAX_RESPONSE, true),
            Wanted::Range { digest, offset, length } => {
                (self.folder.join(BLOBS).join(hex::encode(digest)), offset, length, false)
            }
        };
        let mut file = File::open(path).await.ok()?;
        file.seek(SeekFrom::Start(offset)).await.ok()?;
        let mut bytes = Vec::new();
        file.take(u64::from(length)).read_to_end(&mut bytes).await.ok()?;
        (whole || bytes.len() == length as usize).then_some(bytes)
    }
}

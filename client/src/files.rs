//! Files for their owner's eyes only: keys, and receipts, whose bundles hold the prompt and the answer; and files that are
//! replaced whole.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// Readable and writable by its owner, by nobody else.
const PRIVATE: u32 = 0o600;

/// Writes a file that only its owner may read, also where an older one had other rights.
///
/// # Errors
/// What the operating system says.
pub fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(PRIVATE).open(path)?;
    file.set_permissions(Permissions::from_mode(PRIVATE))?;
    file.write_all(bytes)
}

/// Writes beside and renames, so that whoever reads meanwhile, or after a loss of power, sees the old file or the new one.
/// Two writers of one file at once need a lock of their own.
///
/// # Errors
/// What the operating system says; the old file is as it was then.
pub fn replace(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&beside)?;
    file.set_permissions(Permissions::from_mode(mode))?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    // The name itself is kept by the folder.
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_else_may_read_it() {
        let path = std::env::temp_dir().join(format!("adyton-private-{}", std::process::id()));
        std::fs::write(&path, "old").unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        write_private(&path, b"new").unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(mode & 0o777, PRIVATE);
    }

    #[test]
    fn a_file_is_replaced_whole() {
        let path = std::env::temp_dir().join(format!("adyton-replaced-{}", std::process::id()));
        replace(&path, b"old and long", PRIVATE).unwrap();
        replace(&path, b"new", PRIVATE).unwrap();
        let (bytes, mode) = (fs::read(&path).unwrap(), fs::metadata(&path).unwrap().permissions().mode());
        std::fs::remove_file(&path).unwrap();
        assert_eq!((bytes.as_slice(), mode & 0o777), (b"new".as_slice(), PRIVATE));
    }
}

//! Ramdisks: a cpio archive (`newc`), gzip around it.
//!
//! Promises
//! - An archive is a function of its entries: owner, times and device numbers of the machine that builds do not go in.
//!
//! Source: the kernel's `Documentation/driver-api/early-userspace/buffer-format.rst`.

use flate2::{Compression, GzBuilder};
use std::io::{self, Write};

/// One entry of an archive. All belong to root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A folder, with its permissions.
    Folder(&'static str, u32),
    /// A file, with its permissions and contents.
    File(&'static str, u32, Vec<u8>),
    /// A character device: permissions, major and minor number.
    Device(&'static str, u32, u32, u32),
}

const FOLDER: u32 = 0o040_000;
const FILE: u32 = 0o100_000;
const CHARACTER: u32 = 0o020_000;
const TRAILER: &str = "TRAILER!!!";
/// gzip's own number for "unknown": the default, zero, is MS-DOS; neither says anything of this machine.
const UNKNOWN_SYSTEM: u8 = 255;

/// What belongs to the boot: the first process, which is the sentinel, the console that the kernel opens for it, and the folders
/// on which it mounts.
pub fn boot(sentinel: Vec<u8>) -> Vec<Entry> {
    vec![
        Entry::Folder("dev", 0o755),
        Entry::Device("dev/console", 0o600, 5, 1),
        Entry::Folder("proc", 0o555),
        Entry::Folder("sys", 0o555),
        Entry::File("init", 0o555, sentinel),
    ]
}

/// What is the application: the worker.
pub fn application(worker: Vec<u8>) -> Vec<Entry> {
    vec![Entry::File("adyton-worker", 0o555, worker)]
}

/// The archive of some entries, compressed.
///
/// # Errors
/// None that can happen: memory is written to.
pub fn pack(entries: &[Entry]) -> io::Result<Vec<u8>> {
    let mut gzip =
        GzBuilder::new().mtime(0).operating_system(UNKNOWN_SYSTEM).write(Vec::new(), Compression::best());
    gzip.write_all(&archive(entries))?;
    gzip.finish()
}

fn archive(entries: &[Entry]) -> Vec<u8> {
    let mut out = Vec::new();
    for (number, entry) in (1_u32..).zip(entries) {
        match entry {
            Entry::Folder(name, mode) => put(&mut out, [number, FOLDER | mode, 2, 0, 0], name, &[]),
            Entry::File(name, mode, data) => put(&mut out, [number, FILE | mode, 1, 0, 0], name, data),
            Entry::Device(name, mode, major, minor) => {
                put(&mut out, [number, CHARACTER | mode, 1, *major, *minor], name, &[]);
            }
        }
    }
    put(&mut out, [0, 0, 1, 0, 0], TRAILER, &[]);
    out
}

/// One entry: thirteen numbers of eight hexadecimal digits, the name, the data; both padded to four bytes.
fn put(out: &mut Vec<u8>, [inode, mode, links, major, minor]: [u32; 5], name: &str, data: &[u8]) {
    let size = u32::try_from(data.len()).unwrap_or(u32::MAX);
    let name_size = u32::try_from(name.len() + 1).unwrap_or(u32::MAX);
    // Owner, group, time and the archive's own device are zero, and so is the checksum, which `newc` does not use.
    let numbers = [inode, mode, 0, 0, links, 0, size, 0, 0, major, minor, name_size, 0];
    out.extend(b"070701");
    out.extend(numbers.iter().flat_map(|number| format!("{number:08X}").into_bytes()));
    out.extend(name.as_bytes());
    out.push(0);
    out.resize(out.len().next_multiple_of(4), 0);
    out.extend(data);
    out.resize(out.len().next_multiple_of(4), 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_is_the_one_that_the_format_describes() {
        let entries = [Entry::Folder("d", 0o755), Entry::File("d/f", 0o444, b"hello".to_vec())];
        let zero = "00000000";
        let expected = [
            &format!("070701{:08X}{:08X}{zero}{zero}{:08X}{zero}{zero}", 1, 0o040_755, 2),
            &format!("{zero}{zero}{zero}{zero}{:08X}{zero}d\0", 2),
            &format!("070701{:08X}{:08X}{zero}{zero}{:08X}{zero}{:08X}", 2, 0o100_444, 1, 5),
            &format!("{zero}{zero}{zero}{zero}{:08X}{zero}d/f\0\0\0hello\0\0\0", 4),
            &format!("070701{zero}{zero}{zero}{zero}{:08X}{zero}{zero}{zero}{zero}{zero}{zero}", 1),
            &format!("{:08X}{zero}TRAILER!!!\0\0\0\0", 11),
        ];
        let expected: String = expected.into_iter().map(String::as_str).collect();
        assert_eq!(String::from_utf8(archive(&entries)).unwrap(), expected);
    }

    #[test]
    fn the_same_entries_give_the_same_bytes_and_no_time() {
        let packed = pack(&boot(vec![7; 100_000])).unwrap();
        assert_eq!(packed, pack(&boot(vec![7; 100_000])).unwrap());
        assert_eq!(&packed[4..10], &[0, 0, 0, 0, 2, 255], "time, level, system");
    }

    #[test]
    fn the_image_has_two_programs_and_nothing_that_starts_another() {
        let all = [boot(vec![1]), application(vec![2])].concat();
        let files: Vec<&str> = all
            .iter()
            .filter_map(|entry| match entry {
                Entry::File(name, mode, _) => {
                    assert_eq!(mode & 0o222, 0, "{name} can be written");
                    Some(*name)
                }
                Entry::Folder(..) | Entry::Device(..) => None,
            })
            .collect();
        assert_eq!(files, ["init", "adyton-worker"]);
    }
}

//! Vsock over Unix sockets, the convention of Firecracker and of QEMU's vhost-device-vsock.
//!
//! Into the guest: connect to `PATH`, write `CONNECT <port>\n`, read `OK <number>\n`.
//! Out of the guest: the guest's connection to the host's port P arrives at the listener on `PATH_P`.
//! Source: Firecracker, `docs/vsock.md`.

use std::path::{Path, PathBuf};

/// Longest line of the convention: `CONNECT `, ten digits, line feed.
pub const MAX_LINE: usize = 19;

/// The line that asks for a guest's port.
pub fn connect_line(port: u32) -> String {
    format!("CONNECT {port}\n")
}

/// The port that a line asks for, or `None` if it is not such a line.
pub fn parse_connect(line: &[u8]) -> Option<u32> {
    let digits = line.strip_prefix(b"CONNECT ")?.strip_suffix(b"\n")?;
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// True for the line that says the connection stands.
pub fn is_ok(line: &[u8]) -> bool {
    line.strip_prefix(b"OK ")
        .and_then(|rest| rest.strip_suffix(b"\n"))
        .is_some_and(|digits| !digits.is_empty() && digits.iter().all(u8::is_ascii_digit))
}

/// Where the host listens for the guest's connections to `port`.
pub fn host_listener(path: &Path, port: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!("_{port}"));
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_round_trip_and_others_are_refused() {
        assert_eq!(parse_connect(connect_line(5000).as_bytes()), Some(5000));
        assert_eq!(connect_line(u32::MAX).len(), MAX_LINE);
        for bad in
            ["CONNECT \n", "CONNECT 5000", "connect 5000\n", "CONNECT +1\n", "CONNECT 4294967296\n", ""]
        {
            assert_eq!(parse_connect(bad.as_bytes()), None, "{bad:?}");
        }
        assert!(is_ok(b"OK 1073741824\n"));
        assert!(!is_ok(b"OK\n") && !is_ok(b"OK x\n") && !is_ok(b"NO 1\n"));
    }
}

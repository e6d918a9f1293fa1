//! Tells systemd that the host is ready, or ends: `sd_notify`, one datagram.
//!
//! By hand, since that is the whole protocol. Without systemd nothing is told to nobody.
//!
//! Source: sd_notify(3).

use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::{Path, PathBuf};

/// The variable in which systemd names its socket.
const VARIABLE: &str = "NOTIFY_SOCKET";
/// Connections are taken and would be answered.
pub const READY: &str = "READY=1";
/// No more connections are taken.
pub const STOPPING: &str = "STOPPING=1";

/// Whom to tell, if anybody.
#[derive(Clone, Debug)]
pub struct Notify(Option<PathBuf>);

impl Notify {
    /// As the environment says.
    pub fn from_environment() -> Notify {
        Notify(std::env::var_os(VARIABLE).map(PathBuf::from))
    }

    /// Tells it. Who does not hear it will notice by its own limits.
    pub fn tell(&self, state: &str) {
        if let Some(path) = &self.0 {
            let _ = send(path, state);
        }
    }
}

/// A path, or with `@` in front a name in the abstract namespace.
fn send(path: &Path, state: &str) -> std::io::Result<()> {
    let address = match path.as_os_str().as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(path)?,
    };
    UnixDatagram::unbound()?.send_to_addr(state.as_bytes(), &address).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn systemd_is_told_by_path_and_by_name_and_its_absence_changes_nothing() {
        let path = std::env::temp_dir().join(format!("adyton-notify-{}", std::process::id()));
        let name = format!("adyton-notify-{}", std::process::id());
        let by_path = UnixDatagram::bind(&path).unwrap();
        let by_name =
            UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(name.as_bytes()).unwrap()).unwrap();
        for (socket, notify) in [(by_path, path.clone()), (by_name, format!("@{name}").into())] {
            Notify(Some(notify)).tell(READY);
            let mut heard = [0; 64];
            let length = socket.recv(&mut heard).unwrap();
            assert_eq!(&heard[..length], READY.as_bytes());
        }
        std::fs::remove_file(path).unwrap();
        Notify(Some("/nowhere/notify".into())).tell(READY);
        Notify(None).tell(READY);
    }
}

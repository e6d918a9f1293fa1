//! An enclave image in QEMU's `nitro-enclave` machine: for tests, without Nitro hardware. It protects nothing.
//!
//! The machine meets the host through `vhost-device-vsock`, whose Unix sockets follow the same convention as everything else here.
//! `deploy/qemu/build` makes the folder with both programs and the firmware.
//!
//! Source: QEMU, `docs/system/i386/nitro-enclave.rst`.

use crate::launch::LaunchError;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

/// The emulator passes neither AVX nor FMA on: it has no fast way for them, and programs fall back to code that it runs well.
const PROCESSOR: &str = "max,-avx,-avx2,-fma,-f16c";
/// The guest's address. Nobody but its own bus sees it.
const GUEST_CID: u32 = 16;
/// How long the bus may take to be there.
const BUS_WAIT: Duration = Duration::from_secs(20);
const BUS_PAUSE: Duration = Duration::from_millis(10);

/// What to start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Qemu {
    /// The folder with `qemu-system-x86_64`, `vhost-device-vsock` and `firmware`.
    pub folder: PathBuf,
    /// The image.
    pub eif: PathBuf,
    /// Processors.
    pub cpus: u32,
    /// Memory, in MiB.
    pub memory_mib: u32,
    /// Further arguments of QEMU.
    pub arguments: Vec<String>,
}

/// A running machine, and its bus.
#[derive(Debug)]
pub struct Machine {
    qemu: Child,
    bus: Child,
}

impl Qemu {
    /// Starts bus and machine. What the machine says on its console goes to this process's standard error.
    ///
    /// # Errors
    /// [`LaunchError`]
    pub async fn start(&self, bus: &Path) -> Result<Machine, LaunchError> {
        let socket = beside(bus, "_device");
        // Left behind by a bus that was killed; the device binds it anew.
        for old in [bus, socket.as_path()] {
            let _ = std::fs::remove_file(old);
        }
        let mut device = Command::new(self.folder.join("vhost-device-vsock"));
        device.arg("--vm").arg(format!(
            "guest-cid={GUEST_CID},socket={},uds-path={}",
            socket.display(),
            bus.display()
        ));
        let mut device = run(device, "vhost-device-vsock")?;
        tokio::select! {
            () = there(&socket) => {}
            ended = device.wait() => return Err(LaunchError::Ended("vhost-device-vsock", ended.ok())),
        }
        let mut qemu = Command::new(self.folder.join("qemu-system-x86_64"));
        qemu.args(["-accel", "tcg", "-cpu", PROCESSOR, "-no-reboot", "-display", "none", "-monitor", "none"])
            .args(["-machine", "nitro-enclave,vsock=bus", "-serial", "stdio"])
            .args(["-smp", &self.cpus.to_string(), "-m", &format!("{}M", self.memory_mib)])
            .arg("-L")
            .arg(self.folder.join("firmware"))
            .arg("-chardev")
            .arg(format!("socket,id=bus,path={}", socket.display()))
            .arg("-kernel")
            .arg(&self.eif)
            .args(&self.arguments);
        Ok(Machine { qemu: run(qemu, "qemu-system-x86_64")?, bus: device })
    }
}

impl Machine {
    /// Waits until the machine ends.
    ///
    /// # Errors
    /// What the operating system says.
    pub async fn ended(&mut self) -> io::Result<std::process::ExitStatus> {
        self.qemu.wait().await
    }

    /// Ends it.
    ///
    /// # Errors
    /// What the operating system says.
    pub async fn stop(&mut self) -> io::Result<()> {
        let ended = self.qemu.kill().await;
        self.bus.kill().await.and(ended)
    }
}

fn run(mut command: Command, program: &'static str) -> Result<Child, LaunchError> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::from(io::stderr()))
        .kill_on_drop(true)
        .spawn()
        .map_err(|reason| LaunchError::Run { program: program.into(), reason })
}

/// Returns when the socket is there, or has had its time: then QEMU says that it is not. To connect would take the one place that
/// there is.
async fn there(socket: &Path) {
    let appears = async {
        while !socket.exists() {
            sleep(BUS_PAUSE).await;
        }
    };
    let _ = timeout(BUS_WAIT, appears).await;
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_folder_without_the_programs_is_an_error_that_names_them() {
        let folder = std::env::temp_dir();
        let eif = folder.join("none.eif");
        let qemu = Qemu { folder: folder.clone(), eif, cpus: 1, memory_mib: 256, arguments: Vec::new() };
        let started = qemu.start(&folder.join(format!("adyton-qemu-{}", std::process::id()))).await;
        assert!(matches!(started, Err(LaunchError::Run { program, .. }) if program == "vhost-device-vsock"));
    }
}

//! Starts the enclave: an image through AWS's `nitro-cli` or in QEMU, or a simulator process. Ends it when the host ends.
//!
//! Source: AWS Nitro Enclaves user guide, "nitro-cli run-enclave" and "terminate-enclave".

use crate::enclave::Enclave;
use crate::qemu::{Machine, Qemu};
use std::io;
use std::path::PathBuf;
use std::process::Stdio;
use thiserror::Error;
use tokio::process::{Child, Command};

/// What to start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Launch {
    /// A program that plays the enclave. It is told the Unix path of the bus.
    Simulator {
        /// The program.
        program: PathBuf,
        /// What else it is told.
        arguments: Vec<String>,
    },
    /// An enclave image.
    Nitro {
        /// The image.
        eif: PathBuf,
        /// Processors.
        cpus: u32,
        /// Memory, in MiB.
        memory_mib: u32,
    },
    /// An enclave image in an emulator.
    Qemu(Qemu),
}

/// Why the enclave could not be started.
#[derive(Debug, Error)]
pub enum LaunchError {
    /// The program could not be run.
    #[error("{program}: {reason}")]
    Run {
        /// Which.
        program: String,
        /// Why.
        reason: io::Error,
    },
    /// The kind of enclave and its address do not belong together.
    #[error("a simulator and QEMU have a unix: address, a Nitro enclave a vsock: one")]
    Address,
    /// A program that the enclave needs is gone.
    #[error("{0} ended before the enclave could use it ({1:?}); what it said stands above")]
    Ended(&'static str, Option<std::process::ExitStatus>),
    /// `nitro-cli` said no.
    #[error(
        "nitro-cli run-enclave failed ({0}); `nitro-cli describe-enclaves` and the allocator's memory tell why"
    )]
    Nitro(std::process::ExitStatus),
    /// `nitro-cli` said something else than its documentation.
    #[error("nitro-cli did not name the enclave it started")]
    Output,
}

/// A running enclave.
#[derive(Debug)]
pub enum Running {
    /// A simulator; killed when dropped.
    Simulator(Child),
    /// An enclave by its ID.
    Nitro(String),
    /// An emulated machine; killed when dropped.
    Qemu(Machine),
}

impl Launch {
    /// Starts it.
    ///
    /// # Errors
    /// [`LaunchError`]
    pub async fn start(&self, enclave: &Enclave) -> Result<Running, LaunchError> {
        match (self, enclave) {
            (Launch::Simulator { program, arguments }, Enclave::Unix(bus)) => {
                let child = Command::new(program)
                    .arg("--bus")
                    .arg(bus)
                    .args(arguments)
                    .stdin(Stdio::null())
                    .kill_on_drop(true)
                    .spawn()
                    .map_err(|reason| LaunchError::Run { program: program.display().to_string(), reason })?;
                Ok(Running::Simulator(child))
            }
            (Launch::Nitro { eif, cpus, memory_mib }, Enclave::Vsock(cid)) => {
                nitro(eif, *cpus, *memory_mib, *cid).await
            }
            (Launch::Qemu(qemu), Enclave::Unix(bus)) => qemu.start(bus).await.map(Running::Qemu),
            _ => Err(LaunchError::Address),
        }
    }
}

async fn nitro(eif: &std::path::Path, cpus: u32, memory_mib: u32, cid: u32) -> Result<Running, LaunchError> {
    let ran = Command::new("nitro-cli")
        .args(["run-enclave", "--eif-path"])
        .arg(eif)
        .args(["--cpu-count", &cpus.to_string()])
        .args(["--memory", &memory_mib.to_string()])
        .args(["--enclave-cid", &cid.to_string()])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .await
        .map_err(|reason| LaunchError::Run { program: "nitro-cli".into(), reason })?;
    if !ran.status.success() {
        return Err(LaunchError::Nitro(ran.status));
    }
    enclave_id(&ran.stdout).map(Running::Nitro).ok_or(LaunchError::Output)
}

/// The `EnclaveID` in what `run-enclave` prints: a line of words, then a JSON object.
fn enclave_id(stdout: &[u8]) -> Option<String> {
    let start = stdout.iter().position(|&b| b == b'{')?;
    let described: serde_json::Value = serde_json::from_slice(stdout.get(start..)?).ok()?;
    described.get("EnclaveID")?.as_str().map(str::to_owned)
}

impl Running {
    /// Waits until a simulator or an emulator ends. A Nitro enclave is not our child: its end shows in connections.
    ///
    /// # Errors
    /// What the operating system says.
    pub async fn ended(&mut self) -> io::Result<std::process::ExitStatus> {
        match self {
            Running::Simulator(child) => child.wait().await,
            Running::Qemu(machine) => machine.ended().await,
            Running::Nitro(_) => std::future::pending().await,
        }
    }

    /// Ends it.
    ///
    /// # Errors
    /// What the operating system says.
    pub async fn stop(&mut self) -> io::Result<()> {
        match self {
            Running::Simulator(child) => child.kill().await,
            Running::Qemu(machine) => machine.stop().await,
            Running::Nitro(id) => {
                let ended =
                    Command::new("nitro-cli").args(["terminate-enclave", "--enclave-id", id]).status();
                ended.await.map(drop)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_enclave_id_is_found_behind_the_words() {
        // As printed by nitro-cli 1.4 (AWS user guide, "run-enclave").
        let printed = b"Start allocating memory...\nStarted enclave with enclave-cid: 16\n{\n  \"EnclaveID\": \"i-05f6ed443aEXAMPLE-enc173dfe3eEXAMPLE\",\n  \"EnclaveCID\": 16\n}\n";
        assert_eq!(enclave_id(printed).as_deref(), Some("i-05f6ed443aEXAMPLE-enc173dfe3eEXAMPLE"));
        assert_eq!(enclave_id(b"Started"), None);
        assert_eq!(enclave_id(b"{\"EnclaveID\": 5}"), None);
    }

    #[tokio::test]
    async fn kind_and_address_belong_together() {
        let launch = Launch::Nitro { eif: "x.eif".into(), cpus: 2, memory_mib: 512 };
        let started = launch.start(&Enclave::Unix("/nowhere".into())).await;
        assert!(matches!(started, Err(LaunchError::Address)));
    }
}

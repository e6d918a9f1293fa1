//! Starts an enclave: an image through AWS's `nitro-cli` or in QEMU, or a simulator process. Tells when it ended, and ends it.

use crate::enclave::{Enclave, clear};
use crate::nitro::{Image, NitroCli, NitroError};
use crate::qemu::{Machine, Qemu};
use std::io;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;
use thiserror::Error;
use tokio::process::{Child, Command};

/// How often `nitro-cli` is asked whether an enclave still runs. It is no child of ours; that it ended is not told otherwise.
const ASK_EVERY: Duration = Duration::from_secs(5);

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
    Nitro(NitroCli, Image),
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
    /// See [`NitroError`].
    #[error(transparent)]
    Nitro(#[from] NitroError),
}

/// A running enclave.
#[derive(Debug)]
pub enum Running {
    /// A simulator; killed when dropped.
    Simulator(Child),
    /// An enclave by its ID. It outlives this value unless it is stopped.
    Nitro(NitroCli, String),
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
                let run = |reason| LaunchError::Run { program: program.display().to_string(), reason };
                clear(bus).map_err(run)?;
                let child = Command::new(program)
                    .arg("--bus")
                    .arg(bus)
                    .args(arguments)
                    .stdin(Stdio::null())
                    .kill_on_drop(true)
                    .spawn()
                    .map_err(run)?;
                Ok(Running::Simulator(child))
            }
            (Launch::Nitro(cli, image), Enclave::Vsock(cid)) => {
                Ok(Running::Nitro(cli.clone(), cli.run(image, *cid).await?))
            }
            (Launch::Qemu(qemu), Enclave::Unix(bus)) => qemu.start(bus).await.map(Running::Qemu),
            _ => Err(LaunchError::Address),
        }
    }
}

impl Running {
    /// Waits until it has ended; says how.
    ///
    /// # Errors
    /// What the operating system says.
    pub async fn ended(&mut self) -> io::Result<String> {
        match self {
            Running::Simulator(child) => child.wait().await.map(|status| status.to_string()),
            Running::Qemu(machine) => machine.ended().await.map(|status| status.to_string()),
            Running::Nitro(cli, id) => loop {
                tokio::time::sleep(ASK_EVERY).await;
                // Who cannot be asked has said nothing; the enclave's own state is seen elsewhere.
                let Ok(all) = cli.describe().await else { continue };
                match all.iter().find(|one| one.id == *id) {
                    Some(one) if one.running => {}
                    Some(_) => break Ok("nitro-cli says that it is terminating".to_owned()),
                    None => break Ok("nitro-cli no longer lists it".to_owned()),
                }
            },
        }
    }

    /// Ends it.
    ///
    /// # Errors
    /// Why it may still run.
    pub async fn stop(&mut self) -> Result<(), LaunchError> {
        let of = |program: &str| {
            let program = program.to_owned();
            move |reason| LaunchError::Run { program, reason }
        };
        match self {
            Running::Simulator(child) => child.kill().await.map_err(of("simulator")),
            Running::Qemu(machine) => machine.stop().await.map_err(of("QEMU")),
            Running::Nitro(cli, id) => Ok(cli.terminate(id).await?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn kind_and_address_belong_together() {
        let image = Image { eif: "x.eif".into(), cpus: 2, memory_mib: 512 };
        let launch = Launch::Nitro(NitroCli::new("nitro-cli".into()), image);
        let started = launch.start(&Enclave::Unix("/nowhere".into())).await;
        assert!(matches!(started, Err(LaunchError::Address)));
    }
}

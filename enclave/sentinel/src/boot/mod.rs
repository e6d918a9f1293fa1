//! Boot, part one: what the first process of the image does before anything is fetched.
//!
//! In this order, and each failure is an end with a code before anything listens: what was not measured is refused, the file
//! systems are mounted, the security module is opened, the console is closed, randomness is checked, the parent is told that the
//! enclave lives, and rights are given up. Then [`crate::run`] takes over.
//!
//! Promises
//! - No argument, no environment and no word of the kernel's command line that the host could have added changes anything: what is
//!   not measured ends the boot. Devices are the one exception; they are the hypervisor's to place.
//! - Nothing is drawn at random before the security module has seeded the kernel.
//! - In a release nothing but the code of the end is written to the console. A debug enclave, whose registers are zero and which no
//!   client accepts, goes on speaking.
//! - When the boot ends, the root can only be read, and `/proc` and `/sys` are gone.
//!
//! Does not
//! - Ask the time. The clock is set by the security module, in [`crate::clock`].
//! - Take the ends of orphans. There are none: the worker's filter lets it start threads and no process, and the sentinel waits for
//!   the worker.
//!
//! Trusts: the kernel, which is measured; the hypervisor.

pub mod console;
pub mod entropy;
pub mod heartbeat;
pub mod measured;
pub mod mounts;
pub mod rights;

use crate::device::Device;
use adyton_attestation::measurement::PcrIndex;
use adyton_attestation::nsm::{self, NsmError};
use console::Console;
use rustix::system::RebootCommand;
use std::io;
use thiserror::Error;

/// Why the boot ended.
#[derive(Debug, Error)]
pub enum BootError {
    /// Not an enclave's first process.
    #[error("this is not the first process of an enclave image; it starts as nothing else")]
    NotFirst,
    /// Something that nobody measured.
    #[error(transparent)]
    Unmeasured(#[from] measured::Unmeasured),
    /// A file system.
    #[error("mounting {0}: {1}")]
    Mount(&'static str, io::Error),
    /// No security module.
    #[error(transparent)]
    Device(io::Error),
    /// The security module does not tell its registers.
    #[error("reading PCR0: {0}")]
    Registers(#[from] NsmError),
    /// The console.
    #[error("the console: {0}")]
    Console(io::Error),
    /// No randomness.
    #[error(transparent)]
    Entropy(#[from] entropy::EntropyError),
    /// Rights could not be given up.
    #[error("giving up rights: {0}")]
    Rights(io::Error),
}

impl BootError {
    /// The process's exit code: 14 no security module, 16 something unmeasured, or not the first process, 17 mounts or the console,
    /// 18 randomness, 19 rights. Those of what comes after the boot: [`crate::EnclaveEnd::code`].
    pub fn code(&self) -> u8 {
        match self {
            BootError::Device(_) | BootError::Registers(_) => 14,
            BootError::NotFirst | BootError::Unmeasured(_) => 16,
            BootError::Mount(..) | BootError::Console(_) => 17,
            BootError::Entropy(_) => 18,
            BootError::Rights(_) => 19,
        }
    }
}

/// What a boot leaves.
#[derive(Debug)]
pub struct Booted {
    /// The security module.
    pub device: Device,
    /// Where the code of the end is written.
    pub console: Console,
}

/// The user under whom the worker runs: nobody in particular, and not the sentinel's.
pub const WORKER_USER: u32 = 1000;

/// The register of the whole image. Zero in a debug enclave, and in no other.
const IMAGE_PCR: u8 = 0;

/// Boots. Call it first, before any thread is started.
///
/// # Errors
/// [`BootError`]; the enclave must end.
pub fn boot() -> Result<Booted, BootError> {
    if std::process::id() != 1 {
        return Err(BootError::NotFirst);
    }
    measured::check_process(std::env::args_os(), std::env::vars_os())?;
    mounts::mount()?;
    measured::check_command_line(&std::fs::read("/proc/cmdline").unwrap_or_default())?;
    let mut device = Device::open().map_err(BootError::Device)?;
    // No register, no word: what cannot be read is not a debug enclave.
    let debug = match PcrIndex::new(IMAGE_PCR) {
        Some(index) => nsm::read(&mut device, index)?.0.is_zero(),
        None => false,
    };
    let console = Console::take(debug).map_err(BootError::Console)?;
    entropy::check(&mut device)?;
    mounts::close()?;
    heartbeat::send();
    rights::give_up().map_err(BootError::Rights)?;
    Ok(Booted { device, console })
}

/// Ends the enclave: the first process must not exit, it restarts the machine, which ends it.
pub fn end(code: u8) -> std::process::ExitCode {
    if std::process::id() == 1 {
        // Where even that is refused, the exit below is a panic of the kernel, which ends the enclave too.
        let _ = rustix::system::reboot(RebootCommand::Restart);
    }
    std::process::ExitCode::from(code)
}

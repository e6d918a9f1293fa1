//! Randomness: the security module seeds the kernel, and that is waited for.
//!
//! An enclave has no disk, no user and no interrupts worth the name; what its kernel would gather by itself is little, and
//! a host could try to make it less. The processor's own instruction is not trusted either (`random.trust_cpu=off`, measured).
//!
//! Promises
//! - Keys are made only after the kernel's generator has been seeded, its source is the security module's, and bytes that the module
//!   gave to this process are mixed in besides.
//! - The wait is bounded by [`WAIT`].
//!
//! Source: AWS Nitro Enclaves user guide, "Cryptographic attestation"; the kernel's `drivers/misc/nsm.c` (`nsm-hwrng`).

use adyton_attestation::nsm::{self, Nsm};
use rustix::rand::{GetRandomFlags, getrandom};
use std::fs;
use std::io;
use std::time::{Duration, Instant};
use thiserror::Error;

/// How long the kernel may take to be seeded.
pub const WAIT: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(20);
/// The name under which the kernel's driver of the security module registers.
const SOURCE: &str = "nsm-hwrng";
const CURRENT: &str = "/sys/class/misc/hw_random/rng_current";
/// Bytes of our own from the module: twice what a key needs.
const MIXED: usize = 64;

/// Why there is no randomness.
#[derive(Debug, Error)]
pub enum EntropyError {
    /// Another generator, or none, feeds the kernel.
    #[error(
        "the kernel's randomness does not come from the security module; the image's kernel must have CONFIG_NSM"
    )]
    Source,
    /// The kernel was not seeded in time.
    #[error("the kernel's generator was not seeded in time")]
    Late,
    /// The module gave none.
    #[error("the security module gave no randomness: {0}")]
    Module(#[from] nsm::NsmError),
    /// It could not be mixed in.
    #[error("mixing randomness in: {0}")]
    Mix(io::Error),
}

/// Waits until the kernel is seeded by the module, and mixes in what the module gives.
///
/// # Errors
/// [`EntropyError`]
pub fn check(nsm: &mut dyn Nsm) -> Result<(), EntropyError> {
    let own = nsm::random(nsm, MIXED)?;
    fs::write("/dev/random", own).map_err(EntropyError::Mix)?;
    wait(WAIT, &mut source, &mut seeded)
}

/// Whether the module's generator feeds the kernel.
fn source() -> bool {
    fs::read(CURRENT).is_ok_and(|name| name.trim_ascii() == SOURCE.as_bytes())
}

/// Whether the kernel's generator answers without waiting.
fn seeded() -> bool {
    let mut byte = [0; 1];
    getrandom(&mut byte, GetRandomFlags::NONBLOCK).is_ok()
}

fn wait(
    longest: Duration,
    source: &mut dyn FnMut() -> bool,
    seeded: &mut dyn FnMut() -> bool,
) -> Result<(), EntropyError> {
    let start = Instant::now();
    loop {
        let (from_module, ready) = (source(), seeded());
        match (from_module, ready) {
            (true, true) => return Ok(()),
            _ if start.elapsed() < longest => std::thread::sleep(PAUSE),
            (false, _) => return Err(EntropyError::Source),
            (true, false) => return Err(EntropyError::Late),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_source_or_an_unseeded_kernel_ends_the_boot() {
        let short = Duration::from_millis(1);
        assert!(wait(short, &mut || true, &mut || true).is_ok());
        assert!(matches!(wait(short, &mut || false, &mut || true), Err(EntropyError::Source)));
        assert!(matches!(wait(short, &mut || true, &mut || false), Err(EntropyError::Late)));
    }

    #[test]
    fn a_kernel_that_is_seeded_a_little_later_is_waited_for() {
        let mut asked = 0;
        let mut later = || {
            asked += 1;
            asked > 3
        };
        assert!(wait(WAIT, &mut || true, &mut later).is_ok());
    }
}

//! What was measured, against what came.
//!
//! The kernel's command line is in PCR0 and PCR1, and the same text is compiled in here. A machine monitor can append words to it
//! that are in no register (QEMU's `-append` does). Each bus device needs such a word, since there is no other way to learn of
//! one; nothing else is let through.
//!
//! Promises
//! - The command line is the measured one, word by word, and behind it stand devices of the form that the kernel reads, at most
//!   [`MAX_DEVICES`].
//! - There is no argument, and no environment but what the kernel gives its first process.

use std::ffi::{OsStr, OsString};
use thiserror::Error;

/// The command line that the image is built with.
pub const COMMAND_LINE: &str = include_str!("../../../../deploy/image/cmdline");
/// Most devices on the bus. A Nitro machine has two, QEMU's shows eight places.
pub const MAX_DEVICES: usize = 32;

/// What the kernel gives its first process (`init/main.c`, `envp_init`).
const ENVIRONMENT: [(&str, &str); 2] = [("HOME", "/"), ("TERM", "linux")];
const DEVICE: &str = "virtio_mmio.device=";

/// Something that is in no register. What it was is not told: it is the host's text.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum Unmeasured {
    /// An argument.
    #[error("the first process was given an argument; everything that configures it is measured")]
    Argument,
    /// A variable.
    #[error("the first process was given an environment; everything that configures it is measured")]
    Environment,
    /// The command line.
    #[error("the kernel's command line is not the measured one; only devices may stand behind it")]
    CommandLine,
}

/// Checks what the process was started with.
///
/// # Errors
/// [`Unmeasured`]
pub fn check_process(
    mut arguments: impl Iterator<Item = OsString>,
    environment: impl Iterator<Item = (OsString, OsString)>,
) -> Result<(), Unmeasured> {
    if arguments.nth(1).is_some() {
        return Err(Unmeasured::Argument);
    }
    let known = |(name, value): (OsString, OsString)| {
        ENVIRONMENT.iter().any(|(n, v)| name == OsStr::new(n) && value == OsStr::new(v))
    };
    if environment.into_iter().all(known) { Ok(()) } else { Err(Unmeasured::Environment) }
}

/// Checks `/proc/cmdline`.
///
/// # Errors
/// [`Unmeasured::CommandLine`]
pub fn check_command_line(line: &[u8]) -> Result<(), Unmeasured> {
    let text = std::str::from_utf8(line).map_err(|_| Unmeasured::CommandLine)?;
    let mut words = text.split_ascii_whitespace();
    let measured = COMMAND_LINE.split_ascii_whitespace().all(|word| words.next() == Some(word));
    let devices: Vec<&str> = words.collect();
    if measured && devices.len() <= MAX_DEVICES && devices.iter().all(|word| is_device(word)) {
        Ok(())
    } else {
        Err(Unmeasured::CommandLine)
    }
}

/// `virtio_mmio.device=SIZE@ADDRESS:INTERRUPT`, and perhaps `:ID` (`drivers/virtio/virtio_mmio.c`).
fn is_device(word: &str) -> bool {
    let Some((size, place)) = word.strip_prefix(DEVICE).and_then(|rest| rest.split_once('@')) else {
        return false;
    };
    let number = |text: &str| {
        let digits = text.strip_prefix("0x").unwrap_or(text);
        !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_hexdigit())
    };
    let numbers: Vec<&str> = place.split(':').collect();
    let size = size.strip_suffix(['K', 'M', 'k', 'm']).unwrap_or(size);
    number(size) && (2..=3).contains(&numbers.len()) && numbers.into_iter().all(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(behind: &str) -> Vec<u8> {
        format!("{} {behind}\n", COMMAND_LINE.trim()).into_bytes()
    }

    #[test]
    fn the_measured_command_line_and_devices_pass() {
        for behind in [
            "",
            "virtio_mmio.device=512@0xfeb00e00:12",
            "virtio_mmio.device=4K@0xd0000000:5 virtio_mmio.device=4K@0xd0001000:6:1",
        ] {
            assert_eq!(check_command_line(&line(behind)), Ok(()), "{behind}");
        }
    }

    #[test]
    fn every_other_word_is_refused() {
        for behind in [
            "init=/adyton-worker",
            "random.trust_cpu=on",
            "lsm=",
            "virtio_mmio.device=",
            "virtio_mmio.device=4K@0xd0000000",
            "virtio_mmio.device=4K@0xd0000000:5:1:2",
            "virtio_mmio.device=4K@0xd0000000:5 panic=0",
            "virtio_mmio.device=x@y:z",
            "-- --simulate",
            "no_timer_check",
            "\u{e9}",
        ] {
            assert_eq!(check_command_line(&line(behind)), Err(Unmeasured::CommandLine), "{behind}");
        }
        let first = COMMAND_LINE.split_once(' ').unwrap().1;
        for bad in ["", first, "console=ttyS0", &COMMAND_LINE.replace("off", "on")] {
            assert_eq!(check_command_line(bad.as_bytes()), Err(Unmeasured::CommandLine), "{bad}");
        }
        let many = "virtio_mmio.device=512@0xfeb00e00:12 ".repeat(MAX_DEVICES + 1);
        assert_eq!(check_command_line(&line(&many)), Err(Unmeasured::CommandLine));
        assert_eq!(check_command_line(&[0xff]), Err(Unmeasured::CommandLine));
    }

    #[test]
    fn arguments_and_variables_are_refused() {
        let check = |arguments: &[&str], environment: &[(&str, &str)]| {
            check_process(
                arguments.iter().map(OsString::from),
                environment.iter().map(|(name, value)| (name.into(), value.into())),
            )
        };
        assert_eq!(check(&["/init"], &ENVIRONMENT), Ok(()));
        assert_eq!(check(&["/init", "--simulate"], &ENVIRONMENT), Err(Unmeasured::Argument));
        for bad in [("HOME", "/tmp"), ("RUST_BACKTRACE", "1"), ("LD_PRELOAD", "/x"), ("", "")] {
            assert_eq!(check(&["/init"], &[ENVIRONMENT[1], bad]), Err(Unmeasured::Environment), "{bad:?}");
        }
    }
}

//! The console: what a release says on it, which is how it ended.
//!
//! Promises
//! - In a release, standard input, output and error lead nowhere; no text of an error, and nothing of the worker, reaches the host.
//! - What is written at the end is one line with a number.

use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};

/// The console, for the last line alone. Programs that are started do not inherit it.
#[derive(Debug)]
pub struct Console(File);

impl Console {
    /// Takes the console away from this process and its children, unless this is a debug enclave.
    ///
    /// # Errors
    /// If there is no console, or nothing to put in its place.
    pub fn take(debug: bool) -> io::Result<Console> {
        let console = OpenOptions::new().write(true).open("/dev/console")?;
        if !debug {
            let nowhere = OpenOptions::new().read(true).write(true).open("/dev/null")?;
            dup2_stdin(&nowhere)?;
            dup2_stdout(&nowhere)?;
            dup2_stderr(&nowhere)?;
        }
        Ok(Console(console))
    }

    /// Says how the enclave ended.
    pub fn last_word(&mut self, code: u8) {
        // There is nobody to tell if it cannot be written.
        let _ = self.0.write_all(last_line(code).as_bytes());
    }
}

/// Says how the boot ended, where there may be no console yet.
pub fn say_last(code: u8) {
    if let Ok(console) = OpenOptions::new().write(true).open("/dev/console") {
        Console(console).last_word(code);
    }
}

/// The line, for whoever reads it.
pub fn last_line(code: u8) -> String {
    format!("adyton: the enclave ended with code {code}\n")
}

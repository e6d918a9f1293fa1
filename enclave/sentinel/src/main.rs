//! `adyton-sentinel`: the first process of the enclave image. It takes no argument and reads no environment: everything that
//! configures it is measured.

use adyton_sentinel::boot::{self, WORKER_USER};
use adyton_sentinel::supervisor::WorkerProgram;
use adyton_sentinel::transport::Transport;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut booted = match boot::boot() {
        Ok(booted) => booted,
        Err(e) => {
            // Nothing is confidential yet. Where the console is closed already, the code alone is read.
            eprintln!("sentinel: {e}");
            if std::process::id() == 1 {
                boot::console::say_last(e.code());
            }
            return boot::end(e.code());
        }
    };
    let program = WorkerProgram {
        path: "/adyton-worker".into(),
        environment: Vec::new(),
        may_speak: false,
        user: Some(WORKER_USER),
    };
    let end = adyton_sentinel::run(Box::new(booted.device), &Transport::Vsock, program, || ());
    eprintln!("sentinel: {end}");
    booted.console.last_word(end.code());
    boot::end(end.code())
}

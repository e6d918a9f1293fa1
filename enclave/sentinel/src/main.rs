//! `adyton-sentinel`: the enclave's first process on Nitro. It takes no argument and reads no environment:
//! everything that configures it is measured.

use adyton_sentinel::device::Device;
use adyton_sentinel::supervisor::WorkerProgram;
use adyton_sentinel::transport::Transport;
use std::process::ExitCode;

/// No `/dev/nsm`: not an enclave.
const NO_DEVICE: u8 = 14;

fn main() -> ExitCode {
    let device = match Device::open() {
        Ok(device) => device,
        Err(e) => {
            eprintln!("sentinel: {e}");
            return ExitCode::from(NO_DEVICE);
        }
    };
    let program = WorkerProgram { path: "/adyton-worker".into(), environment: Vec::new(), may_speak: false };
    let end = adyton_sentinel::run(Box::new(device), &Transport::Vsock, program, false, || ());
    eprintln!("sentinel: {end}");
    ExitCode::from(end.code())
}

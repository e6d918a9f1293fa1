//! A simulated enclave: the sentinel's own library with a mock NSM and Unix sockets in place of vsock.
//!
//! # Promises
//! - The simulated image is measured: PCR0 to 2 are digests of the programs that run, so another program has others.
//! - Everything it signs leads to a root made for this run and no other.
//!
//! # Does not
//! - Isolate anything from the host. It shows the protocol, it protects nothing.

use crate::mock_nsm::{InitialPcrs, MockConfig, MockNsm};
use adyton_attestation::anchor::{TrustAnchor, dangerous};
use adyton_attestation::measurement::Measurement;
use adyton_attestation::reference::Image;
use adyton_sentinel::supervisor::WorkerProgram;
use adyton_sentinel::transport::Transport;
use anyhow::{Context, Result};
use ring::digest::{SHA384, digest};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// The development root's file in a state folder, DER.
pub const ROOT_FILE: &str = "root.der";
/// The image's measurements in a state folder: what the build of a real image prints.
pub const IMAGE_FILE: &str = "image.json";
/// The environment variable by which the simulated programs are told the development root: a path for the client,
/// hex for the worker, which may not open files. No shipped program reads it.
pub const ROOT_VARIABLE: &str = "ADYTON_SIMULATED_ROOT";

/// What [`IMAGE_FILE`] holds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ImageFile {
    /// PCR0, 1 and 2.
    pub image: Image,
    /// PCR8.
    pub pcr8: Measurement,
}

/// Where a simulated enclave lives.
#[derive(Clone, Debug)]
pub struct Simulation {
    /// The Unix socket that plays the bus.
    pub bus: PathBuf,
    /// Where root and measurements are written.
    pub state: PathBuf,
    /// The worker's program.
    pub worker: PathBuf,
    /// The seed of the mock's keys; random if `None`. Tests that play a second enclave under the same root set it.
    pub seed: Option<[u8; 32]>,
    /// True to show what a debug enclave looks like: PCR0 to 2 are zero.
    pub debug: bool,
}

impl Simulation {
    /// Runs the enclave until it ends. Says on standard output when it listens.
    ///
    /// # Errors
    /// If the state cannot be written or the programs cannot be measured.
    pub fn run(&self) -> Result<adyton_sentinel::EnclaveEnd> {
        let pcrs = self.measure()?;
        let pcrs = if self.debug { pcrs.in_debug_mode() } else { pcrs };
        let mut config = MockConfig::fresh(Arc::new(now_ms), pcrs)?;
        config.seed = self.seed.unwrap_or(config.seed);
        let nsm = MockNsm::new(config)?;
        std::fs::write(self.state.join(ROOT_FILE), nsm.root_der())?;
        let image = Image { pcr0: pcrs.pcr0, pcr1: pcrs.pcr1, pcr2: pcrs.pcr2 };
        let file = ImageFile { image, pcr8: pcrs.pcr8 };
        std::fs::write(self.state.join(IMAGE_FILE), serde_json::to_vec_pretty(&file)?)?;
        let program = WorkerProgram {
            path: self.worker.clone(),
            environment: vec![(ROOT_VARIABLE.to_owned(), hex::encode(nsm.root_der()))],
            may_speak: true,
            user: None,
        };
        let transport = Transport::Unix(self.bus.clone());
        let on_listening =
            || println!("{}", serde_json::json!({ "enclave": "listening", "simulated": true }));
        Ok(adyton_sentinel::run(Box::new(nsm), &transport, program, on_listening))
    }

    fn measure(&self) -> Result<InitialPcrs> {
        let sentinel = std::env::current_exe().context("the simulator's own path")?;
        let (sentinel, worker) = (file_digest(&sentinel)?, file_digest(&self.worker)?);
        let both: Vec<u8> = [*sentinel.as_bytes(), *worker.as_bytes()].concat();
        let named = InitialPcrs::named("simulated");
        Ok(InitialPcrs { pcr0: sha384(&both), pcr1: sentinel, pcr2: worker, ..named })
    }
}

/// The development root in a file.
///
/// # Errors
/// If the file cannot be read.
pub fn anchor_from_file(path: &Path) -> Result<TrustAnchor> {
    let der = std::fs::read(path).with_context(|| path.display().to_string())?;
    Ok(dangerous::development_anchor(der))
}

fn file_digest(path: &Path) -> Result<Measurement> {
    Ok(sha384(&std::fs::read(path).with_context(|| path.display().to_string())?))
}

fn sha384(bytes: &[u8]) -> Measurement {
    let mut out = [0; 48];
    out.copy_from_slice(digest(&SHA384, bytes).as_ref());
    Measurement::new(out)
}

/// The system clock in milliseconds since the epoch, as the mock wants it.
pub fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    u64::try_from(now).unwrap_or(u64::MAX)
}

//! The sentinel: the parent process inside the enclave image. It decides, records and stops.
//!
//! It alone holds the NSM, the listener and the receipt key. The worker, its child, parses everything hostile and
//! gets descriptors and decisions, one by one.
//!
//! Reading order: [`boot`] (what the first process of the image does), [`run`], [`release`] (what is loaded and measured), [`supervisor`] (the life of a worker),
//! [`desk`] (its questions), [`decision`] and [`token`] (who may do what), [`audit`] (what is recorded of it), [`metrics`]
//! (what the operator may see).
//!
//! Promises
//! - Nothing listens before the manifest is measured, PCR16 locked, and every blob checked.
//! - Nothing starts whose start is not in the audit log on the host's disk.
//! - No byte of a client is parsed here but a token whose signature has been verified.
//! - If the sentinel ends, the worker ends.

pub mod audit;
pub mod boot;
pub mod clock;
pub mod decision;
pub mod desk;
pub mod device;
pub mod egress;
pub mod grants;
pub mod labels;
pub mod ledger;
pub mod lookups;
pub mod metrics;
pub mod notary;
pub mod people;
pub mod release;
pub mod sections;
pub mod stores;
pub mod supervisor;
pub mod telemetry;
pub mod token;
pub mod tools;
pub mod transport;
pub mod watch;

use adyton_attestation::anchor::TrustAnchor;
use adyton_attestation::appraisal::appraise_archived;
use adyton_attestation::audit::document_fields;
use adyton_attestation::nsm::{self, Nsm};
use audit::AuditError;
use audit::event::Event;
use clock::Clock;
use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use supervisor::{Supervisor, WorkerEnd, WorkerProgram};
use thiserror::Error;
use transport::{Listener, Transport};

/// Why the enclave ended. Each kind has an exit code; see [`EnclaveEnd::code`].
#[derive(Debug, Error)]
pub enum EnclaveEnd {
    /// The release was refused.
    #[error(transparent)]
    Release(#[from] release::ReleaseError),
    /// The policy pack was refused.
    #[error(transparent)]
    Desk(#[from] desk::DeskError),
    /// A thread or runtime could not be had.
    #[error("resources: {0}")]
    Resources(#[from] io::Error),
    /// The worker ended for good.
    #[error(transparent)]
    Worker(#[from] WorkerEnd),
    /// The audit log cannot be kept.
    #[error(transparent)]
    Audit(#[from] AuditError),
}

impl EnclaveEnd {
    /// The process's exit code: 10 release, 11 policy, 12 resources, 13 worker, 15 audit log. Those of the boot are
    /// [`boot::BootError::code`].
    pub fn code(&self) -> u8 {
        match self {
            EnclaveEnd::Release(_) => 10,
            EnclaveEnd::Desk(_) => 11,
            EnclaveEnd::Resources(_) => 12,
            EnclaveEnd::Worker(_) => 13,
            EnclaveEnd::Audit(_) => 15,
        }
    }
}

/// Runs an enclave until it ends, on the calling thread. (One thread: the worker's death signal is tied to the
/// thread that started it.) `on_listening` is called once clients can connect.
pub fn run(
    mut nsm: Box<dyn Nsm>,
    transport: &Transport,
    program: WorkerProgram,
    on_listening: impl FnOnce(),
) -> EnclaveEnd {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => return e.into(),
    };
    let life = async {
        // An `Ok` would be an enclave that ended without a reason: there is none, and the type says so.
        let release = release::load(transport, &mut *nsm).await?;
        // Before anything counts days: a system clock that the host has set back would let them pass at once.
        let document = nsm::attest(&mut *nsm, None, None, None).ok();
        let clock = Arc::new(Clock::set_by(document.as_deref()));
        let desk = desk::Desk::new(&release, Arc::clone(&clock), is_simulated(document.as_deref()))?;
        let notary = notary::Notary::start(nsm, clock)?;
        open_log(&desk, &notary, transport).await?;
        let log = desk.log().clone();
        let listen = || -> io::Result<Listener> {
            let listener = transport.listen()?;
            on_listening();
            Ok(listener)
        };
        let metrics = desk.metrics().clone();
        let desk = Rc::new(RefCell::new(desk));
        let counted = Rc::clone(&desk);
        let snapshot = move || counted.borrow().snapshot();
        tokio::task::spawn_local(metrics::push::run(metrics, snapshot, transport.clone()));
        let end = EnclaveEnd::Worker(
            Supervisor { desk, notary, release, program, transport: transport.clone() }.run(listen).await,
        );
        if let Some(last) = log.append(&Event::Closed { code: end.code() }) {
            // The end comes all the same.
            let _ = log.kept_now(last.index).await;
        }
        Err::<std::convert::Infallible, _>(end)
    };
    match tokio::task::LocalSet::new().block_on(&runtime, life) {
        Ok(never) => match never {},
        Err(end) => end,
    }
}

/// Whether this is no enclave that a client should believe in: another root than AWS's vouches for it, as in an emulator, or it runs
/// in debug mode, in which the host reads its memory. Written into every receipt.
fn is_simulated(document: Option<&[u8]>) -> bool {
    let real = |document| appraise_archived(document, &TrustAnchor::aws_nitro_g1()).1.is_ok();
    !document.is_some_and(real)
}

/// Begins the audit log: with a document that shows whose key signs it, and the start as its first entry.
async fn open_log(
    desk: &desk::Desk,
    notary: &notary::Notary,
    transport: &Transport,
) -> Result<(), AuditError> {
    let (user_data, nonce) = document_fields(desk.boot());
    let document = notary.attest(user_data, nonce, desk.receipt_key().to_vec()).await;
    desk.log().open(transport, &document.ok_or(AuditError::Document)?, &desk.boot_event()).await
}

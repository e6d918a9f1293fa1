//! The one thread that talks to the NSM, behind a bounded queue.
//!
//! The NSM driver serves one request at a time under a lock, and evidence is asked for by clients that nobody has
//! authenticated yet. So the queue is short: what does not fit is answered "busy" at once, and nothing else starves.

use crate::clock::Clock;
use adyton_attestation::nsm::{self, Nsm};
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

/// Most requests that wait. At some 5 ms each in a Nitro enclave, the last waits 160 ms.
const QUEUE: usize = 32;

struct Job {
    user_data: [u8; 48],
    nonce: [u8; 32],
    public_key: Vec<u8>,
    answer: oneshot::Sender<Option<Vec<u8>>>,
}

/// Asks the NSM for evidence.
#[derive(Clone, Debug)]
pub struct Notary {
    queue: mpsc::Sender<Job>,
}

impl Notary {
    /// Takes the NSM and starts its thread, which ends when the last `Notary` is dropped.
    pub fn start(mut nsm: Box<dyn Nsm>, clock: Arc<Clock>) -> std::io::Result<Notary> {
        let (queue, mut jobs) = mpsc::channel::<Job>(QUEUE);
        std::thread::Builder::new().name("nsm".into()).spawn(move || {
            while let Some(job) = jobs.blocking_recv() {
                let fields = (Some(&job.user_data[..]), Some(&job.nonce[..]), Some(&job.public_key[..]));
                let document = nsm::attest(&mut *nsm, fields.0, fields.1, fields.2).ok();
                clock.read(document.as_deref());
                // Whoever asked may be gone; that is no concern of the NSM's.
                let _ = job.answer.send(document);
            }
        })?;
        Ok(Notary { queue })
    }

    /// An attestation document with these fields, or `None` if the NSM is busy or refuses.
    pub async fn attest(&self, user_data: [u8; 48], nonce: [u8; 32], public_key: Vec<u8>) -> Option<Vec<u8>> {
        let (answer, document) = oneshot::channel();
        self.queue.try_send(Job { user_data, nonce, public_key, answer }).ok()?;
        document.await.ok().flatten()
    }
}

//! The worker's start: lock down, take the release from the sentinel, load the model, serve.

use crate::api::MAX_READING;
use crate::embedder::Embedder;
use crate::gate::Gate;
use crate::generator::Generator;
use crate::harden::{self, HardenError};
use crate::held::HeldTexts;
use crate::lease::Lease;
use crate::library::Library;
use crate::reading::Reading;
use crate::request::House;
use crate::server;
use crate::session::Identity;
use crate::tools::Tools;
use adyton_attestation::anchor::TrustAnchor;
use adyton_attestation::binding::spki_sha384;
use adyton_attestation::reference::{Owner, ReferenceValues};
use adyton_attestation::tls;
use adyton_encoder::Encoder;
use adyton_engine::{Limits, LoadError, Model};
use adyton_fingerprint::{ListError, Protected};
use adyton_guardrail::{Guardrails, Sections, SettingsError, meaning};
use adyton_wire::channel::{Channel, ChannelError};
use adyton_wire::control::ToWorker;
use adyton_wire::manifest::{MAX_ENCODER, MAX_MANIFEST, MAX_POLICY_FILE, Manifest, ManifestError};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex};
use thiserror::Error;
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

/// The name in the certificate. Nobody checks it: evidence says who this is.
const CERTIFICATE_NAME: &str = "adyton";

/// Why the worker ended.
#[derive(Debug, Error)]
pub enum WorkerError {
    /// Rights could not be given up.
    #[error(transparent)]
    Harden(#[from] HardenError),
    /// The channel to the sentinel failed. Also what is said when the worker is started by hand.
    #[error("no sentinel on standard input (the sentinel starts the worker, nobody else): {0}")]
    Channel(#[from] ChannelError),
    /// The sentinel went away.
    #[error(transparent)]
    Silent(#[from] crate::gate::Silent),
    /// The sentinel's first message was another.
    #[error("the sentinel did not begin with the release")]
    Protocol,
    /// Input or output failed.
    #[error("worker: {0}")]
    Io(#[from] io::Error),
    /// The manifest is malformed.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The weights are not a model this engine runs.
    #[error("the model was refused: {0}")]
    Model(#[from] LoadError),
    /// The encoder's files are no encoder.
    #[error("the encoder was refused: {0}")]
    Encoder(#[from] adyton_encoder::LoadError),
    /// The guardrail settings are malformed.
    #[error(transparent)]
    Guardrail(#[from] SettingsError),
    /// The list of protected documents is malformed.
    #[error(transparent)]
    Protected(#[from] ListError),
    /// The reference values for peers are malformed.
    #[error("peers.json: {0}")]
    Peers(String),
    /// The TLS key or certificate could not be made.
    #[error("the session key could not be made: {0}")]
    Key(String),
}

impl WorkerError {
    /// The process's exit code: 20 `guardrails.toml`, 21 `peers.json`, 22 the model or the encoder, 1 everything else. In an enclave nobody
    /// hears what the worker says; the sentinel tells this number.
    pub fn code(&self) -> u8 {
        match self {
            WorkerError::Guardrail(_) => 20,
            WorkerError::Peers(_) => 21,
            WorkerError::Model(_) | WorkerError::Encoder(_) => 22,
            _ => 1,
        }
    }
}

/// Runs the worker until the sentinel is gone. `anchor` is the root for clients that present evidence.
///
/// # Errors
/// [`WorkerError`] says at which step it ended.
pub fn run(anchor: TrustAnchor) -> Result<(), WorkerError> {
    let socket = io::stdin().as_fd().try_clone_to_owned()?;
    let memory = memory_for_the_engine();
    harden::lock_down()?;
    // A panic's message may quote text (an index into a string, say); its place cannot.
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        eprintln!("worker: a bug at {place}");
    }));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(live(socket, anchor, memory))
}

async fn live(socket: OwnedFd, anchor: TrustAnchor, memory: usize) -> Result<(), WorkerError> {
    let channel = Channel::new(socket)?;
    let (start, descriptors) = channel.receive::<ToWorker>().await?;
    let ToWorker::Start { guardrails, peers, tools, stores } = start else {
        return Err(WorkerError::Protocol);
    };
    let mut descriptors = descriptors.into_iter();
    let mut next = || descriptors.next();
    let (Some(weights), Some(manifest), Some(protected)) = (next(), next(), next()) else {
        return Err(WorkerError::Protocol);
    };
    let manifest = read_file(manifest, MAX_MANIFEST as u64)?;
    let Manifest { model: name, encoder, .. } = Manifest::parse(&manifest)?;
    let embedder = match (encoder, next(), next()) {
        (None, None, None) => None,
        (Some(encoder), Some(weights), Some(tokenizer)) => {
            Some(Embedder::start(encoder.name, load_encoder(weights, tokenizer)?)?)
        }
        _ => return Err(WorkerError::Protocol),
    };
    let peers = read_peers(&peers)?;
    let sections = Sections::parse(&guardrails)?;
    let model = load_model(weights, memory)?;
    let protected =
        String::from_utf8(read_file(protected, MAX_POLICY_FILE)?).map_err(|_| WorkerError::Protocol)?;
    let reading = match &embedder {
        Some(embedder) => {
            Some(Arc::new(Reading::start(Arc::clone(embedder.encoder()))?) as Arc<dyn meaning::Encoder>)
        }
        None => None,
    };
    let protected = Protected::parse(&protected)?;
    let guardrails = Guardrails::new(sections, &protected, model.control_tokens(), reading)?;
    let key = SessionKey::generate()?;

    let lease = Arc::new(Lease::default());
    let (gate, sockets) = Gate::open(channel, Arc::clone(&lease));
    let settings = adyton_engine::Settings::for_this_machine().within(&model, memory);
    let generator = Generator::start(model, settings, Arc::clone(&lease))?;
    gate.ready(key.spki.clone())?;
    let identity = Arc::new(Identity {
        spki_sha384: spki_sha384(&key.spki),
        manifest,
        peers,
        anchor,
        chains: Mutex::default(),
    });
    let library = Library::new(stores).ok_or(WorkerError::Protocol)?;
    let house = Arc::new(House {
        name,
        gate,
        guardrails,
        generator,
        lease,
        reading: Semaphore::new(MAX_READING),
        held: HeldTexts::default(),
        tools: Tools::new(tools),
        embedder,
        library,
    });
    server::serve(house, identity, key.config, sockets).await;
    Ok(())
}

/// A memory file's bytes, at most `most` and one.
fn read_file(file: OwnedFd, most: u64) -> Result<Vec<u8>, WorkerError> {
    let mut file = File::from(file);
    // The description, and so the position in it, is shared with the sentinel.
    file.seek(SeekFrom::Start(0))?;
    let mut bytes = Vec::new();
    file.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn load_encoder(weights: OwnedFd, tokenizer: OwnedFd) -> Result<Encoder, WorkerError> {
    let (weights, tokenizer) = (read_file(weights, MAX_ENCODER)?, read_file(tokenizer, MAX_POLICY_FILE)?);
    Ok(Encoder::load(&weights, &tokenizer)?)
}

fn read_peers(json: &str) -> Result<Vec<ReferenceValues>, WorkerError> {
    let list: Vec<serde_json::Value> =
        serde_json::from_str(json).map_err(|e| WorkerError::Peers(e.to_string()))?;
    let read = |(at, one): (usize, &serde_json::Value)| {
        ReferenceValues::from_json(one.to_string().as_bytes())
            .map_err(|e| WorkerError::Peers(format!("entry {at}, counted from 0: {e}")))
    };
    let peers: Vec<ReferenceValues> = list.iter().enumerate().map(read).collect::<Result<_, _>>()?;
    // Anyone can start an accepted image; one who is not asked whose it is must not become "attested". Endorsements
    // do not travel with a peer's evidence.
    let owned = |one: &ReferenceValues| !matches!(one.owner(), Owner::AnyoneAtAll | Owner::Endorser { .. });
    match peers.iter().all(owned) {
        true => Ok(peers),
        false => {
            Err(WorkerError::Peers("an entry names no signer, role or instance; pin one of them".into()))
        }
    }
}

/// Share of the free memory that the engine may take, in percent. The rest is for text, sessions and the system.
const ENGINE_PERCENT: u64 = 80;

/// Memory that the engine may take: asked for while files can still be read. Where there is no `/proc`, as in an enclave,
/// the kernel's own count of free pages.
fn memory_for_the_engine() -> usize {
    let available = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
        line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
    });
    let free = || {
        let info = rustix::system::sysinfo();
        (info.freeram as u64).saturating_mul(u64::from(info.mem_unit))
    };
    usize::try_from(available.unwrap_or_else(free) / 100 * ENGINE_PERCENT).unwrap_or(usize::MAX)
}

fn load_model(file: OwnedFd, memory: usize) -> Result<Model, WorkerError> {
    let mut file = File::from(file);
    let size = file.seek(SeekFrom::End(0))?;
    file.seek(SeekFrom::Start(0))?;
    let limits = Limits { max_memory: memory, ..Limits::default() };
    Ok(Model::load(io::BufReader::new(file), size, limits)?)
}

/// The TLS key, made at boot. It never leaves this process and dies with it.
struct SessionKey {
    spki: Vec<u8>,
    config: Arc<rustls::ServerConfig>,
}

impl SessionKey {
    fn generate() -> Result<SessionKey, WorkerError> {
        let fail = |e: &dyn std::fmt::Display| WorkerError::Key(e.to_string());
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).map_err(|e| fail(&e))?;
        let parameters =
            rcgen::CertificateParams::new(vec![CERTIFICATE_NAME.to_owned()]).map_err(|e| fail(&e))?;
        let certificate = parameters.self_signed(&key).map_err(|e| fail(&e))?;
        let private = Zeroizing::new(key.serialize_der());
        let spki = tls::certificate_spki(certificate.der()).map_err(|e| fail(&e))?;
        let config = tls::server_config(certificate.der(), &private).map_err(|e| fail(&e))?;
        Ok(SessionKey { spki, config })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_that_could_be_anyone_is_refused() {
        let hex = "11".repeat(48);
        let entry = |owner: String| {
            let image = format!("{{\"pcr0\":\"{hex}\",\"pcr1\":\"{hex}\",\"pcr2\":\"{hex}\"}}");
            format!("[{{\"images\":[{image}],\"manifests\":[\"{hex}\"],\"owner\":{owner}}}]")
        };
        let key = "22".repeat(32);
        for refused in ["\"anyone-at-all\"".to_owned(), format!("{{\"endorser\":{{\"ed25519\":\"{key}\"}}}}")]
        {
            assert!(matches!(read_peers(&entry(refused)), Err(WorkerError::Peers(_))));
        }
        for (word, register) in [("signer", "pcr8"), ("role", "pcr3"), ("instance", "pcr4")] {
            let owner = format!("{{\"{word}\":{{\"{register}\":\"{hex}\"}}}}");
            assert_eq!(read_peers(&entry(owner)).unwrap().len(), 1);
        }
        assert!(read_peers("[]").unwrap().is_empty());
    }
}

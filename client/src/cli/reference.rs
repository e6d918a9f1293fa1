//! The arguments that say which signed reference values count, and loading them.

use super::exit::Failure;
use crate::policy::load::{LoadError, Loaded, Pins, load};
use adyton_attestation::Timestamp;
use adyton_attestation::ed25519::PublicKey;
use clap::Args;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What these options stand under in the help.
const SIGNED: &str = "Signed reference values";

/// How often a program that goes on running looks whether its reference values still hold. By the clock on the wall: a machine
/// that slept must notice too.
const LOOK: Duration = Duration::from_secs(30);

/// Whose signature on reference values counts.
#[derive(Debug, Args)]
pub(super) struct Pinned {
    /// A signer's public key, 64 hexadecimal digits; may be repeated. With it, only a signed file is accepted.
    #[arg(help_heading = SIGNED, long = "signer", value_name = "HEX", env = "ADYTON_SIGNER")]
    #[arg(value_delimiter = ',', value_parser = public_key)]
    signers: Vec<PublicKey>,
    /// How many of the signers must have signed.
    #[arg(help_heading = SIGNED, long, value_name = "N", default_value_t = 1)]
    signer_threshold: u32,
    /// Accept only the file of this name; the same signers may sign others.
    #[arg(help_heading = SIGNED, long, value_name = "NAME")]
    reference_name: Option<String>,
    /// Where to remember the versions seen, so that an older one is refused
    /// [default: adyton/reference-seen.json under XDG_STATE_HOME or ~/.local/state].
    #[arg(help_heading = SIGNED, long, value_name = "FILE")]
    seen: Option<PathBuf>,
}

/// Reads a public key.
pub(super) fn public_key(text: &str) -> Result<PublicKey, String> {
    PublicKey::from_hex(text).ok_or_else(|| "an Ed25519 public key is 64 hexadecimal digits".to_owned())
}

/// The reference values in a file, as the pins demand.
pub(super) fn read(path: &Path, pinned: &Pinned) -> Result<Loaded, Failure> {
    let pins = Pins {
        signers: pinned.signers.clone(),
        threshold: pinned.signer_threshold,
        name: pinned.reference_name.clone(),
        record: pinned.seen.clone(),
    };
    Ok(load(path, &pins, now())?)
}

/// Comes back once the reference values of a running program hold no longer; never if they are unsigned.
pub(super) async fn expired(until: Option<Timestamp>) -> Failure {
    let Some(until) = until else { return std::future::pending().await };
    while now() <= until {
        tokio::time::sleep(LOOK).await;
    }
    Failure::reference(format!("the reference values expired at {until}; start again with the next version"))
}

/// This machine's clock.
pub(super) fn now() -> Timestamp {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    Timestamp::from_millis(u64::try_from(now).unwrap_or(u64::MAX))
}

impl From<LoadError> for Failure {
    fn from(error: LoadError) -> Failure {
        if error.is_refusal() { Failure::reference(error) } else { Failure::internal(error) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_stops_when_its_reference_values_expire() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let soon = |until| tokio::time::timeout(Duration::from_millis(20), expired(until));
        let comes = |until| runtime.block_on(async { soon(until).await.is_ok() });
        assert!(comes(Some(Timestamp::from_secs(1))));
        assert!(!comes(Some(now().plus_millis(60_000))));
        assert!(!comes(None));
    }
}

//! `adyton doctor`: looks for what usually goes wrong on the relying side, and says what to do.
//!
//! Promises
//! - Nothing is sent to an enclave but the request for its evidence, and that only if one is named.
//! - What could not be looked at is said to be so, and is never called good. What is wrong has an advice.

use super::commands::{policy, read_file};
use super::exit::Failure;
use super::reference::now;
use super::show::{DIM, GREEN, RED, RESET, YELLOW};
use super::{Demands, Enclave};
use crate::kms;
use crate::policy::draft::Measurements;
use crate::policy::lint::{Level, lint};
use crate::policy::{Document, read};
use crate::session::{Target, connect};
use adyton_attestation::Timestamp;
use adyton_attestation::anchor::TrustAnchor;
use adyton_attestation::binding::manifest_pcr16;
use adyton_attestation::measurement::Measurement;
use adyton_attestation::reference::Image;
use clap::Args;
use serde::Serialize;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

#[derive(Debug, Args)]
pub(super) struct Doctor {
    /// The host's address: HOST:PORT or unix:PATH. Needs --reference.
    #[arg(long, value_name = "ADDRESS", requires = "reference")]
    enclave: Option<Target>,
    /// Reference values of any form.
    #[arg(long, value_name = "FILE")]
    reference: Option<PathBuf>,
    /// What the build of the image printed: is it among the reference values?
    #[arg(long, value_name = "FILE")]
    measurements: Option<PathBuf>,
    /// A release's manifest: is it among the reference values?
    #[arg(long, value_name = "FILE")]
    manifest: Option<PathBuf>,
    /// The key policy of the release's key.
    #[arg(long, value_name = "FILE")]
    kms_policy: Option<PathBuf>,
    #[command(flatten)]
    demands: Demands,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Good,
    Doubtful,
    Wrong,
    Skipped,
}

#[derive(Debug, Serialize)]
struct Check {
    name: &'static str,
    state: State,
    found: String,
    advice: String,
}

fn check(name: &'static str, state: State, found: impl ToString, advice: &str) -> Check {
    Check { name, state, found: found.to_string(), advice: advice.to_owned() }
}

fn skipped(name: &'static str, option: &str) -> Check {
    check(name, State::Skipped, format!("none was named ({option})"), "")
}

/// Looks at everything that was named.
pub(super) async fn run(anchor: &TrustAnchor, doctor: Doctor, as_json: bool) -> Result<(), Failure> {
    let accepted = doctor.reference.as_deref().and_then(accepted);
    let checks = vec![
        clock(doctor.reference.as_deref(), now()),
        reference(doctor.reference.as_deref()),
        image(doctor.measurements.as_deref(), accepted.as_ref()),
        manifest(doctor.manifest.as_deref(), accepted.as_ref()),
        kms_policy(doctor.kms_policy.as_deref(), doctor.measurements.as_deref()),
        enclave(anchor, doctor).await,
    ];
    if as_json {
        println!("{}", json!({ "checks": checks }));
    } else {
        checks.iter().for_each(show);
    }
    match checks.iter().filter(|check| check.state == State::Wrong).count() {
        0 => Ok(()),
        wrong => Err(Failure::internal(format!("{wrong} things are wrong"))),
    }
}

fn show(check: &Check) {
    let (colour, word) = match check.state {
        State::Good => (GREEN, "good"),
        State::Doubtful => (YELLOW, "doubtful"),
        State::Wrong => (RED, "wrong"),
        State::Skipped => (DIM, "skipped"),
    };
    anstream::println!("{colour}{word:<9}{RESET} {:<11} {}", check.name, check.found);
    if !check.advice.is_empty() {
        println!("{:<21} {}", "", check.advice);
    }
}

/// Images and manifests of a file that can be read.
fn accepted(path: &Path) -> Option<(Vec<Image>, Vec<Measurement>)> {
    Some(match Document::parse(&read(path).ok()?).ok()? {
        Document::Plain(values) => (values.images().to_vec(), values.manifests().to_vec()),
        Document::Payload(payload) => of_payload(&payload),
        Document::Signed(file) => of_payload(file.payload()),
    })
}

fn of_payload(payload: &adyton_attestation::reference::Payload) -> (Vec<Image>, Vec<Measurement>) {
    (payload.images.iter().map(|released| released.image).collect(), payload.manifests.clone())
}

/// A clock that is behind refuses what is valid. One that is ahead shows in the enclave's evidence.
fn clock(reference: Option<&Path>, now: Timestamp) -> Check {
    let Some(path) = reference else { return skipped("clock", "--reference") };
    let written = std::fs::metadata(path).and_then(|file| file.modified()).ok();
    let written = written.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let written = written.and_then(|time| u64::try_from(time.as_millis()).ok()).map(Timestamp::from_millis);
    let issued = read(path).ok().and_then(|bytes| Some(Document::parse(&bytes).ok()?.payload()?.issued));
    match [written, issued].into_iter().flatten().max() {
        Some(then) if now < then => {
            let found = format!("it is {now} here, before the reference values of {then}");
            check("clock", State::Wrong, found, "set this machine's clock, and keep it by NTP")
        }
        Some(_) => check("clock", State::Good, "it is not behind the reference values", ""),
        None => check("clock", State::Skipped, "the reference values have no time", ""),
    }
}

fn reference(path: Option<&Path>) -> Check {
    let Some(path) = path else { return skipped("reference", "--reference") };
    let found = match read(path) {
        Err(e) => {
            let found = format!("{}: {e}", path.display());
            return check("reference", State::Wrong, found, "get the file from whoever publishes it");
        }
        Ok(bytes) => lint(&bytes, now()),
    };
    let words: Vec<&str> = found.iter().map(|finding| finding.message.as_str()).collect();
    if found.iter().any(|finding| finding.level == Level::Error) {
        let advice = "get the next version of the file; `adyton policy lint` shows each finding";
        check("reference", State::Wrong, words.join("; "), advice)
    } else if !found.is_empty() {
        check("reference", State::Doubtful, words.join("; "), "tell whoever publishes the file")
    } else {
        check("reference", State::Good, "clients accept them", "")
    }
}

fn image(path: Option<&Path>, accepted: Option<&(Vec<Image>, Vec<Measurement>)>) -> Check {
    let Some(path) = path else { return skipped("image", "--measurements") };
    let Some((images, _)) = accepted else { return skipped("image", "--reference, one that can be read") };
    match read_file(path).ok().and_then(|bytes| Measurements::parse(&bytes).ok()) {
        None => {
            let found = format!("{} has no measurements", path.display());
            check("image", State::Wrong, found, "name what `make eif` printed")
        }
        Some(built) if images.contains(&built.image()) => {
            check("image", State::Good, "it is among the reference values", "")
        }
        Some(built) if built.image().pcr0 == Measurement::new([0; 48]) => {
            let advice = "start it without debug mode; a debug enclave is never accepted";
            check("image", State::Wrong, "PCR0 is zero", advice)
        }
        Some(_) => {
            let advice =
                "publish reference values for it (`adyton policy new`), or build the release that they name";
            check("image", State::Wrong, "it is not among the reference values", advice)
        }
    }
}

fn manifest(path: Option<&Path>, accepted: Option<&(Vec<Image>, Vec<Measurement>)>) -> Check {
    let Some(path) = path else { return skipped("manifest", "--manifest") };
    let Some((_, manifests)) = accepted else {
        return skipped("manifest", "--reference, one that can be read");
    };
    match read_file(path).map(|bytes| manifest_pcr16(&bytes)) {
        Ok(pcr16) if manifests.contains(&pcr16) => {
            check("manifest", State::Good, "it is among the reference values", "")
        }
        Ok(_) => {
            let advice = "publish reference values for it (`adyton policy new --manifest`), or serve the release that they name";
            check("manifest", State::Wrong, "it is not among the reference values", advice)
        }
        Err(e) => check("manifest", State::Wrong, e.message(), "name the manifest.json of the release"),
    }
}

fn kms_policy(path: Option<&Path>, measurements: Option<&Path>) -> Check {
    let Some(path) = path else { return skipped("kms_policy", "--kms-policy") };
    let Ok(bytes) = read_file(path) else {
        let found = format!("{} cannot be read", path.display());
        return check("kms_policy", State::Wrong, found, "get it: aws kms get-key-policy");
    };
    let found = kms::lint::lint(&bytes);
    let codes: Vec<&str> = found.iter().map(|finding| finding.code).collect();
    if found.iter().any(|finding| finding.level == kms::lint::Level::Error) {
        let advice = "write it anew with `adyton kms policy`; `adyton kms lint` explains each finding";
        return check("kms_policy", State::Wrong, codes.join(", "), advice);
    }
    let built = measurements.and_then(|path| Measurements::parse(&read_file(path).ok()?).ok());
    if let Some(built) = built
        && !String::from_utf8_lossy(&bytes).to_ascii_lowercase().contains(&built.image().pcr0.to_string())
    {
        let advice = "make a key for this image: `adyton kms policy`";
        return check("kms_policy", State::Wrong, "it does not name this image's PCR0", advice);
    }
    match codes.as_slice() {
        [] => check("kms_policy", State::Good, "no known mistake", ""),
        _ => {
            check("kms_policy", State::Doubtful, codes.join(", "), "`adyton kms lint` explains each finding")
        }
    }
}

async fn enclave(anchor: &TrustAnchor, doctor: Doctor) -> Check {
    let (Some(target), Some(reference)) = (doctor.enclave, doctor.reference) else {
        return skipped("enclave", "--enclave");
    };
    let enclave = Enclave { enclave: target, reference, demands: doctor.demands };
    let attested = match policy(anchor, &enclave) {
        Ok((policy, _)) => connect(&enclave.enclave, &policy).await.map_err(Failure::from),
        Err(failure) => Err(failure),
    };
    match attested {
        Ok(_) => check("enclave", State::Good, "its evidence is accepted", ""),
        Err(failure) => check("enclave", State::Wrong, failure.message(), failure.advice()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_behind_is_found() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let at = |millis| clock(Some(file.path()), Timestamp::from_millis(millis)).state;
        assert_eq!((at(1), at(u64::MAX / 2)), (State::Wrong, State::Good));
        assert_eq!(clock(None, now()).state, State::Skipped);
    }
}

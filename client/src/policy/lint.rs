//! Finds what is wrong, or unwise, in reference values of any form.
//!
//! # Promises
//! - An error is what clients would refuse at this time; a warning is what they would accept and should perhaps not.
//!
//! # Does not
//! - Know which signers a client pins.
//!
//! # Trusts
//! - The clock.

use super::Document;
use adyton_attestation::Timestamp;
use adyton_attestation::measurement::Measurement;
use adyton_attestation::reference::{Image, Owner, Payload, ReferenceFile, ReferenceValues};
use serde::Serialize;

const DAY_MS: u64 = 86_400_000;

/// A longer validity is long to wait for a withdrawal to reach one who only has the old file.
const LONG_DAYS: u64 = 180;

/// An end this near should have a successor on its way.
const SOON_DAYS: u64 = 14;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Clients refuse it.
    Error,
    /// Clients accept it.
    Warning,
}

/// One thing found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad.
    pub level: Level,
    /// What, and what to do.
    pub message: String,
}

/// Everything found in a file.
pub fn lint(bytes: &[u8], now: Timestamp) -> Vec<Finding> {
    let mut found = Findings::default();
    match Document::parse(bytes) {
        Err(refusal) => found.error(refusal.to_string()),
        Ok(Document::Plain(values)) => {
            found.warn("not signed: whoever hands it out decides what is accepted, and it never expires");
            plain(&values, &mut found);
        }
        Ok(Document::Payload(payload)) => of_payload(&payload, now, &mut found),
        Ok(Document::Signed(file)) => {
            signatures(&file, &mut found);
            if let Err(refusal) = file.in_log() {
                found.error(refusal.to_string());
            }
            of_payload(file.payload(), now, &mut found);
        }
    }
    found.0
}

#[derive(Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn error(&mut self, message: impl Into<String>) {
        self.0.push(Finding { level: Level::Error, message: message.into() });
    }

    fn warn(&mut self, message: impl Into<String>) {
        self.0.push(Finding { level: Level::Warning, message: message.into() });
    }
}

fn plain(values: &ReferenceValues, found: &mut Findings) {
    lists(values.images(), values.manifests(), found);
    owner(values.owner(), found);
}

fn signatures(file: &ReferenceFile, found: &mut Findings) {
    let signed_by = file.signed_by();
    if signed_by.is_empty() {
        found.error("no signature verifies; sign it with `adyton policy sign`");
    } else if signed_by.len() < file.signatures().len() {
        found.error("a signature does not verify; sign the file anew");
    }
    let signers = &file.payload().signers;
    let own = signed_by.iter().filter(|key| signers.keys().contains(key)).count();
    if own < signers.threshold() as usize {
        found.warn(
            "those who may sign the next version did not sign this one, so nobody knows that they hold their keys",
        );
    }
}

fn of_payload(payload: &Payload, now: Timestamp, found: &mut Findings) {
    if let Err(nothing) = payload.accepted() {
        found.error(nothing.to_string());
    }
    validity(payload, now, found);
    let images: Vec<Image> = payload.images.iter().map(|released| released.image).collect();
    lists(&images, &payload.manifests, found);
    owner(&payload.owner, found);
    for (number, released) in payload.images.iter().enumerate() {
        if released.release < payload.minimum_release {
            let (release, minimum) = (released.release, payload.minimum_release);
            found.warn(format!(
                "images[{number}] is of release {release}, below the minimum {minimum}; remove it"
            ));
        }
        let Image { pcr0, pcr1, pcr2 } = &released.image;
        if [pcr0, pcr1, pcr2].into_iter().any(|value| payload.deny.contains(value)) {
            found.warn(format!("images[{number}] is listed and denied; denial wins, so remove the image"));
        }
    }
    for (number, manifest) in payload.manifests.iter().enumerate() {
        if payload.deny.contains(manifest) {
            found.warn(format!("manifests[{number}] is listed and denied; denial wins, so remove it"));
        }
    }
    if payload.signers.threshold() == 1 {
        found.warn("one key alone may sign the next version; name two or more and a threshold of two");
    }
    if payload.log.is_none() {
        found.warn(
            "no log is named, so a file for one client alone would not show; name one with --log-origin",
        );
    }
}

fn validity(payload: &Payload, now: Timestamp, found: &mut Findings) {
    let (issued, expires) = (payload.issued, payload.expires);
    let days = expires.millis_since(issued) / DAY_MS;
    if days > LONG_DAYS {
        found.warn(format!("valid for {days} days; half a year or less lets a withdrawal take effect"));
    }
    if expires <= now {
        found.error(format!("expired at {expires}, and this clock says {now}; publish the next version"));
    } else if expires.millis_since(now) < SOON_DAYS * DAY_MS {
        found.warn(format!("expires soon, at {expires}; publish the next version"));
    }
    if issued > now {
        found.warn(format!("issued at {issued}, which is later than this clock's {now}; is it right?"));
    }
}

fn lists(images: &[Image], manifests: &[Measurement], found: &mut Findings) {
    for (number, image) in images.iter().enumerate() {
        if images.iter().take(number).any(|other| other == image) {
            found.warn(format!("images[{number}] is listed twice; remove one"));
        }
    }
    for (number, manifest) in manifests.iter().enumerate() {
        if manifests.iter().take(number).any(|other| other == manifest) {
            found.warn(format!("manifests[{number}] is listed twice; remove one"));
        }
    }
}

fn owner(owner: &Owner, found: &mut Findings) {
    if *owner == Owner::AnyoneAtAll {
        found.warn("anyone at all may run the enclave, so its host may be an adversary's; name a signer, role, instance or endorser");
    }
}

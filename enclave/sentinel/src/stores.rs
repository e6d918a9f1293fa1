//! Stores outside of the enclave, from the measured policy pack, and the secrets that open them.
//!
//! ```text
//! approver asks for a key -> a key of one use, offered under the receipt key -> box and ballot -> opened, kept in memory
//! ```
//!
//! Promises
//! - A store with a fault stops the start; the error names the fault.
//! - A key opens one box, and is forgotten after [`LIFETIME`]; at most [`MAX_OFFERED`] are open.
//! - Secrets are in memory alone: a new boot knows none, and says so.
//!
//! Does not: say who may hand secrets over. [`crate::people`] does.
//!
//! Trusts: `stores.toml` of the measured policy pack.

use crate::decision::DecisionPoint;
use crate::tools::placed;
use adyton_attestation::ed25519::SIGNATURE_LEN;
use adyton_attestation::receipt::ReceiptSigner;
use adyton_attestation::seal::Sealed;
use adyton_attestation::secret::OneTimeKey;
use adyton_attestation::tls::tool_config;
use adyton_wire::lookup::LookupKey;
use adyton_wire::stores::{Password, Postgres, Secrets, Stores};
use ring::rand::SystemRandom;
use std::time::{Duration, Instant};
use thiserror::Error;

/// How long a key waits for its box.
pub const LIFETIME: Duration = Duration::from_secs(300);
/// Most keys that wait.
pub const MAX_OFFERED: usize = 8;

/// Why `stores.toml` was refused.
#[derive(Debug, Error)]
pub enum StoresError {
    /// Not the TOML expected.
    #[error("stores.toml: {0}")]
    Syntax(String),
    /// A rule is broken.
    #[error("stores.toml: postgres: {0}")]
    Fault(&'static str),
    /// A collection of which policies know nothing.
    #[error(
        "stores.toml: postgres: the collection {0} is not in resources.toml, with a classification and a domain"
    )]
    Unknown(String),
}

/// Reads `stores.toml`, with the collections that policies know.
///
/// # Errors
/// [`StoresError`]
pub fn read(text: &str, point: &DecisionPoint) -> Result<Stores, StoresError> {
    let stores = parse(text)?;
    let mut collections = stores.postgres.iter().flat_map(|postgres| &postgres.collections);
    match collections.find(|name| point.collection(name).is_none()) {
        Some(unknown) => Err(StoresError::Unknown(unknown.clone())),
        None => Ok(stores),
    }
}

fn parse(text: &str) -> Result<Stores, StoresError> {
    let stores: Stores = toml::from_str(text).map_err(|error| StoresError::Syntax(placed(text, &error)))?;
    let root = |postgres: &Postgres| {
        tool_config(postgres.root.as_bytes()).err().map(|_| "root must be a certificate in PEM")
    };
    match stores.postgres.as_ref().and_then(|postgres| postgres.fault().or_else(|| root(postgres))) {
        Some(fault) => Err(StoresError::Fault(fault)),
        None => Ok(stores),
    }
}

/// What opens the database.
#[derive(Debug)]
pub struct Opened {
    /// For whoever has a connection.
    pub password: Password,
    /// For grants; it does not leave the sentinel.
    pub key: LookupKey,
}

/// The secrets of this boot, and the keys that wait for some.
#[derive(Debug, Default)]
pub struct Vault {
    offered: Vec<(OneTimeKey, Instant)>,
    opened: Option<Opened>,
}

impl Vault {
    /// What opens the database, if it was handed over.
    pub fn opened(&self) -> Option<&Opened> {
        self.opened.as_ref()
    }

    /// Makes a key, and signs the offer. `None` without randomness.
    pub fn offer(
        &mut self,
        boot: &[u8; 16],
        signer: &ReceiptSigner,
        now: Instant,
    ) -> Option<([u8; 32], [u8; SIGNATURE_LEN])> {
        self.offered.retain(|(_, until)| *until > now);
        if self.offered.len() >= MAX_OFFERED {
            self.offered.remove(0);
        }
        let key = OneTimeKey::generate(&SystemRandom::new()).ok()?;
        let offer = (*key.public(), key.offer(boot, signer));
        self.offered.push((key, now + LIFETIME));
        Some(offer)
    }

    /// Opens a box with the key that it names, which is gone whatever comes of it. `false` if there is none such, or the box
    /// holds no secrets.
    pub fn open(&mut self, boot: &[u8; 16], key: &[u8; 32], sealed: &Sealed, now: Instant) -> bool {
        let place = self.offered.iter().position(|(one, until)| one.public() == key && *until > now);
        let Some((key, _)) = place.map(|at| self.offered.remove(at)) else { return false };
        let secrets = key.open(boot, sealed).ok().and_then(|opened| Secrets::decode(&opened));
        let opened = secrets.and_then(|secrets| {
            let key = LookupKey::new(&*secrets.grant_key()?);
            Some(Opened { password: secrets.password().clone(), key })
        });
        let came = opened.is_some();
        self.opened = opened.or(self.opened.take());
        came
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use adyton_attestation::receipt::ReceiptKey;
    use adyton_attestation::secret::OfferedKey;

    const BOOT: [u8; 16] = [5; 16];

    fn signer() -> ReceiptSigner {
        ReceiptSigner::generate(&SystemRandom::new()).unwrap()
    }

    fn offered(vault: &mut Vault, signer: &ReceiptSigner, now: Instant) -> OfferedKey {
        let (key, signature) = vault.offer(&BOOT, signer, now).unwrap();
        let receipt = ReceiptKey::from_spki(&signer.public_key_spki()).unwrap();
        OfferedKey::verify(&BOOT, &key, &signature, &receipt).unwrap()
    }

    fn boxed(key: &OfferedKey, password: &str) -> Sealed {
        let secrets = Secrets::new(Password::new(password.into()).unwrap(), &[7; 32]);
        key.seal(&secrets.encode().unwrap(), &SystemRandom::new()).unwrap()
    }

    #[test]
    fn a_key_opens_one_box_in_its_time() {
        let (mut vault, signer, now) = (Vault::default(), signer(), Instant::now());
        assert!(vault.opened().is_none());
        let key = offered(&mut vault, &signer, now);
        let sealed = boxed(&key, "first");
        assert!(vault.open(&BOOT, key.key(), &sealed, now));
        assert_eq!(vault.opened().unwrap().password.expose(), "first");
        assert!(!vault.open(&BOOT, key.key(), &sealed, now), "a key is good once");
        let late = offered(&mut vault, &signer, now);
        assert!(!vault.open(&BOOT, late.key(), &boxed(&late, "late"), now + LIFETIME));
        let key = offered(&mut vault, &signer, now);
        let garbage = key.seal(b"garbage", &SystemRandom::new()).unwrap();
        assert!(!vault.open(&BOOT, key.key(), &garbage, now));
        assert_eq!(vault.opened().unwrap().password.expose(), "first", "what is no secret changes nothing");
        let key = offered(&mut vault, &signer, now);
        assert!(vault.open(&BOOT, key.key(), &boxed(&key, "second"), now));
        assert_eq!(vault.opened().unwrap().password.expose(), "second");
    }

    #[test]
    fn keys_that_wait_are_bounded() {
        let (mut vault, signer, now) = (Vault::default(), signer(), Instant::now());
        let first = offered(&mut vault, &signer, now);
        let keys: Vec<OfferedKey> = (0..MAX_OFFERED).map(|_| offered(&mut vault, &signer, now)).collect();
        assert_eq!(vault.offered.len(), MAX_OFFERED);
        assert!(!vault.open(&BOOT, first.key(), &boxed(&first, "a"), now), "the oldest made room");
        assert!(keys.iter().all(|key| vault.open(&BOOT, key.key(), &boxed(key, "a"), now)));
    }

    #[test]
    fn stores_are_read_strictly() {
        assert_eq!(parse(include_str!("../../policy/stores.toml")).unwrap(), Stores::default());
        let text = "[postgres]\ndestination = \"db.test:5432\"\nroot = \"\"\ndatabase = \"adyton\"\n\
                    collections = [\"a\"]\nwithout = \"refuse\"\n";
        let said = |text: &str| parse(text).unwrap_err().to_string();
        assert_eq!(said(text), "stores.toml: postgres: root must be a certificate in PEM");
        assert!(said(&text.replace("\"a\"", "")).contains("collections must be"));
        assert!(said(&text.replace("refuse", "guess")).starts_with("stores.toml: line 6: "));
        assert!(said(&format!("{text}password = \"x\"\n")).starts_with("stores.toml: line 7: "));
    }
}

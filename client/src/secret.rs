//! Hands the sentinel of a verified enclave a secret that the worker in front of it cannot read.
//!
//! ```text
//! verified session -> a key of one use, signed by the attested receipt key -> sealed -> ballot over the box -> taken
//! ```
//!
//! Promises
//! - Nothing is sealed to a key that the receipt key of this session's evidence has not signed.
//!
//! Does not: learn whether the secret opens anything. The first look-up shows it.
//!
//! Trusts: the enclave that the session has verified.

use crate::people::{PeopleError, ask};
use crate::session::AttestedSession;
use adyton_attestation::ballot::{Ballot, Statement};
use adyton_attestation::ed25519::Signer;
use adyton_attestation::secret::{OfferedKey, box_digest};
use adyton_wire::stores::Secrets;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as B64;
use bytes::Bytes;
use hyper::Method;
use ring::rand::SystemRandom;
use serde::Deserialize;
use serde_json::{Value, json};
use thiserror::Error;

/// Why no secret was handed over.
#[derive(Debug, Error)]
pub enum SecretError {
    /// The enclave refused, or answered something else.
    #[error(transparent)]
    People(#[from] PeopleError),
    /// The key is not the attested enclave's.
    #[error("the key to seal to is not signed by the enclave that was verified; nothing was sent")]
    Key,
    /// It could not be sealed.
    #[error("the secret could not be sealed: {0}")]
    Seal(#[from] adyton_attestation::seal::SealError),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Offer {
    #[serde(with = "hex::serde")]
    boot: [u8; 16],
    #[serde(with = "hex::serde")]
    key: [u8; 32],
    signature: String,
}

/// Hands over what opens the database.
///
/// # Errors
/// [`SecretError`]
pub async fn provide(
    session: &AttestedSession,
    token: Option<&str>,
    signer: &Signer,
    secrets: &Secrets,
) -> Result<(), SecretError> {
    let offer: Offer = ask(session, Method::POST, "/adyton/v1/secrets/key", token, Bytes::new()).await?;
    let signature = B64.decode(&offer.signature).ok().and_then(|bytes| bytes.try_into().ok());
    let receipt = session.claims().receipt_key();
    let key =
        signature.and_then(|signature| OfferedKey::verify(&offer.boot, &offer.key, &signature, receipt));
    let key = key.ok_or(SecretError::Key)?;
    let plain = secrets.encode().ok_or(SecretError::Key)?;
    let sealed = key.seal(&plain, &SystemRandom::new())?;
    let statement = Statement::Secret { boot: *key.boot(), key: *key.key(), sealed: box_digest(&sealed) };
    let body = json!({
        "ballot": crate::people::written(&Ballot::sign(signer, &statement)),
        "encapsulated": hex::encode(sealed.encapsulated),
        "ciphertext": B64.encode(&sealed.ciphertext),
    });
    let body = Bytes::from(body.to_string());
    let _taken: Value = ask(session, Method::POST, "/adyton/v1/secrets", token, body).await?;
    Ok(())
}

//! Development tokens: mints what an identity provider would. A deployment uses its own issuer.
//!
//! Source: RFC 7519 (JWT), RFC 8037 (EdDSA). `enclave/sentinel/src/token.rs` says what an enclave accepts.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD as B64};
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use thiserror::Error;

/// Why a key or token could not be made.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum TokenError {
    /// The system's generator failed.
    #[error("no randomness for a new key")]
    Randomness,
    /// The key file holds something else.
    #[error("the key file is not a PKCS#8 Ed25519 key; make one with `adyton token issuer`")]
    Key,
}

/// What a token says.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Claims {
    /// Issuer.
    pub iss: String,
    /// Subject.
    pub sub: String,
    /// Audience.
    pub aud: String,
    /// Issued, seconds since the epoch.
    pub iat: u64,
    /// Expires, seconds since the epoch.
    pub exp: u64,
    /// Tenant.
    pub tenant: String,
    /// Roles.
    pub roles: Vec<String>,
    /// Clearance, 0 to 3 in the shipped policy.
    pub clearance: u8,
    /// Named lists, which row rules of decision contexts speak of.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sets: BTreeMap<String, BTreeSet<String>>,
}

/// A new issuer key, PKCS#8.
///
/// # Errors
/// [`TokenError::Randomness`]
pub fn new_key() -> Result<Vec<u8>, TokenError> {
    let key = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(|_| TokenError::Randomness)?;
    Ok(key.as_ref().to_vec())
}

/// The line of `issuers.json` for a key.
///
/// # Errors
/// [`TokenError::Key`]
pub fn issuer_entry(pkcs8: &[u8], issuer: &str, audience: &str) -> Result<serde_json::Value, TokenError> {
    let public = hex::encode(load(pkcs8)?.public_key().as_ref());
    Ok(json!({ "issuer": issuer, "audience": audience, "ed25519": public }))
}

/// Signs a token.
///
/// # Errors
/// [`TokenError::Key`]
pub fn mint(pkcs8: &[u8], claims: &Claims) -> Result<String, TokenError> {
    let key = load(pkcs8)?;
    let claims = serde_json::to_string(claims).map_err(|_| TokenError::Key)?;
    let signed = format!("{}.{}", B64.encode(r#"{"alg":"EdDSA","typ":"JWT"}"#), B64.encode(claims));
    Ok(format!("{signed}.{}", B64.encode(key.sign(signed.as_bytes()))))
}

fn load(pkcs8: &[u8]) -> Result<Ed25519KeyPair, TokenError> {
    Ed25519KeyPair::from_pkcs8(pkcs8).map_err(|_| TokenError::Key)
}

//! What the policy pack and an issuer bring: bearer tokens, the list of issuers, guardrail settings, protected documents.
//!
//! # Promises
//! - Of tokens, only those that the issuer signed are accepted; claims are also signed, to reach what reads them.
//!
//! # Does not
//! - Ask the decision point.
//!
//! # Trusts
//! - Nobody; the issuer's key is public here.

use std::sync::LazyLock;

use adyton_fingerprint::{MAX_DOCUMENTS, Protected};
use adyton_guardrail::{Action, Settings};
use adyton_sentinel::token::Issuers;
use adyton_wire::control::{Denial, MAX_TOKEN};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD as B64};
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde_json::json;

/// Seconds since the epoch.
const NOW: u64 = 1_800_000_000;
const HEADER: &str = r#"{"alg":"EdDSA","typ":"JWT"}"#;

struct Office {
    pair: Ed25519KeyPair,
    issuers: Issuers,
    token: Vec<u8>,
}

static OFFICE: LazyLock<Office> = LazyLock::new(|| {
    let pair = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
    let issuers = Issuers::parse(&list(&pair)).unwrap();
    let token = mint(&pair, HEADER.as_bytes(), &claims());
    Office { pair, issuers, token }
});

fn list(pair: &Ed25519KeyPair) -> Vec<u8> {
    let public = hex::encode(pair.public_key().as_ref());
    json!([{ "issuer": "https://i", "audience": "adyton", "ed25519": public }]).to_string().into_bytes()
}

fn claims() -> Vec<u8> {
    let claims = json!({ "iss": "https://i", "sub": "ann", "aud": "adyton", "iat": NOW, "exp": NOW + 600,
                         "nbf": NOW, "tenant": "acme", "roles": ["chat"], "clearance": 1 });
    claims.to_string().into_bytes()
}

fn mint(pair: &Ed25519KeyPair, header: &[u8], claims: &[u8]) -> Vec<u8> {
    signed(pair, format!("{}.{}", B64.encode(header), B64.encode(claims)).as_bytes())
}

fn signed(pair: &Ed25519KeyPair, content: &[u8]) -> Vec<u8> {
    let signature = B64.encode(pair.sign(content));
    [content, b".", signature.as_bytes()].concat()
}

/// A bearer token as it is, as the signed part of one, and as the claims or the header of one.
pub fn bearer_token(data: &[u8]) {
    let office = &*OFFICE;
    if office.issuers.verify(data, false, NOW).is_ok() {
        assert!(data == office.token, "a token that nobody signed is accepted");
    }
    for token in [
        signed(&office.pair, data),
        mint(&office.pair, HEADER.as_bytes(), data),
        mint(&office.pair, data, &claims()),
    ] {
        let verdict = office.issuers.verify(&token, true, NOW);
        assert!(verdict.is_err() || token.len() <= MAX_TOKEN);
        assert_ne!(verdict, Err(Denial::Forbidden), "policy is not for this room");
    }
}

/// `issuers.json`: without a token, and with a stranger's, nobody is let in.
pub fn issuers(data: &[u8]) {
    let Ok(issuers) = Issuers::parse(data) else { return };
    assert_eq!(issuers.verify(b"", false, NOW), Err(Denial::TokenAbsent));
    let stranger = Ed25519KeyPair::from_seed_unchecked(&[8; 32]).unwrap();
    let token = mint(&stranger, HEADER.as_bytes(), &claims());
    assert_eq!(issuers.verify(&token, false, NOW), Err(Denial::TokenInvalid));
}

/// Guardrail settings: what is read has no limit of zero, and reads the same when it is written again.
pub fn guardrail_settings(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(settings) = Settings::parse(text) else { return };
    assert!(settings.max_prompt_bytes > 0 && settings.max_messages > 0);
    assert_eq!(Settings::parse(&settings.to_string()), Ok(settings));
}

/// `protected.json`: what is read is written and read alike, and bounded.
pub fn protected_list(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(list) = Protected::parse(text) else { return };
    assert!(list.documents().len() <= MAX_DOCUMENTS);
    assert!(list.documents().iter().all(|document| !document.fingerprints.is_empty()));
    assert_eq!(Protected::parse(&list.write()), Ok(list));
}

pub(super) fn protected_seeds() -> Vec<Vec<u8>> {
    let mut list = Protected::new([1; 32]);
    list.add(
        "a",
        "A passage that is long enough to be known again, in letters and digits, by whoever meets it.",
    )
    .unwrap();
    vec![list.write().into_bytes(), include_bytes!("../../../enclave/policy/protected.json").to_vec()]
}

pub(super) fn token_seeds() -> Vec<Vec<u8>> {
    let content = format!("{}.{}", B64.encode(HEADER), B64.encode(claims()));
    vec![OFFICE.token.clone(), claims(), HEADER.as_bytes().to_vec(), content.into_bytes()]
}

pub(super) fn issuers_seeds() -> Vec<Vec<u8>> {
    vec![list(&OFFICE.pair), b"[]".to_vec()]
}

pub(super) fn settings_seeds() -> Vec<Vec<u8>> {
    let shipped = include_str!("../../../enclave/policy/guardrails.toml");
    let least = Settings::of_what_hides(262_144, 256, Action::Block).to_string();
    vec![shipped.into(), least.into_bytes()]
}

//! Bearer tokens: JWTs signed with Ed25519 by an issuer that the measured policy pack names.
//!
//! Promises
//! - The signature is checked over the raw bytes *before* anything in the token is parsed, so what is parsed was
//!   written by an issuer in `issuers.json`, not by the client.
//! - One algorithm: a header that says anything but `EdDSA` is refused, whatever it is signed with.
//! - Issuer and audience must be those of the key that verified.
//!
//! Does not: keep a list of revoked tokens. Tokens are short-lived ([`MAX_LIFETIME_S`]).
//!
//! Trusts: `issuers.json` of the measured policy pack, and `now` as given.
//!
//! Source: RFC 7519, RFC 8037 (EdDSA in JOSE), RFC 8725 (JWT best current practice).

use adyton_wire::control::{Denial, MAX_TOKEN};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD as B64};
use ring::signature::{ED25519, UnparsedPublicKey};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use thiserror::Error;

/// Longest time between `iat` and `exp`, in seconds: there is no revocation list, so tokens must end by themselves.
pub const MAX_LIFETIME_S: u64 = 24 * 3600;
/// How far an issuer's clock may be ahead of ours, in seconds.
const LEEWAY_S: u64 = 60;
/// Most issuers. Each costs one signature check for a forged token.
const MAX_ISSUERS: usize = 16;
/// Most roles in a token, and longest name in it, in bytes.
const MAX_ROLES: usize = 32;
const MAX_NAME: usize = 256;
/// Most lists in a token, and most values in all of them: row rules resolve to them, and a grant carries 1,024 at most.
const MAX_SETS: usize = 16;
const MAX_SET_VALUES: usize = 1024;

/// One line of `issuers.json`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Issuer {
    issuer: String,
    audience: String,
    #[serde(with = "hex::serde")]
    ed25519: [u8; 32],
}

/// Everyone who may sign tokens.
#[derive(Clone, Debug)]
pub struct Issuers(Vec<Issuer>);

/// Why `issuers.json` was refused.
#[derive(Debug, Error)]
pub enum IssuersError {
    /// Not the JSON expected.
    #[error("issuers.json: {0}")]
    Syntax(#[from] serde_json::Error),
    /// More than would be checked.
    #[error("issuers.json names {0} issuers, the limit is {MAX_ISSUERS}")]
    TooMany(usize),
}

/// Having a `Principal` tells you that an issuer of the measured policy pack signed these attributes
/// and that they are valid now. Made by [`Issuers::verify`] alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    issuer: String,
    subject: String,
    pub(crate) tenant: String,
    pub(crate) roles: Vec<String>,
    pub(crate) clearance: u8,
    pub(crate) attested: bool,
    pub(crate) sets: BTreeMap<String, BTreeSet<String>>,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    typ: Option<String>,
    // RFC 7515, 4.1.11: extensions that must be understood. None is.
    crit: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: String,
    iat: u64,
    exp: u64,
    nbf: Option<u64>,
    tenant: String,
    roles: Vec<String>,
    clearance: u8,
    #[serde(default)]
    sets: BTreeMap<String, BTreeSet<String>>,
}

impl Issuers {
    /// Reads `issuers.json`. An empty list is allowed: then nobody is let in.
    ///
    /// # Errors
    /// [`IssuersError`] if it is malformed or too long.
    pub fn parse(json: &[u8]) -> Result<Issuers, IssuersError> {
        let issuers: Vec<Issuer> = serde_json::from_slice(json)?;
        if issuers.len() > MAX_ISSUERS {
            return Err(IssuersError::TooMany(issuers.len()));
        }
        Ok(Issuers(issuers))
    }

    /// Verifies a token at `now_s` (seconds since the epoch). `attested` becomes an attribute as it is.
    ///
    /// # Errors
    /// A [`Denial`] that says no more than the client may know.
    pub fn verify(&self, token: &[u8], attested: bool, now_s: u64) -> Result<Principal, Denial> {
        if token.is_empty() {
            return Err(Denial::TokenAbsent);
        }
        let (issuer, header, claims) = self.authenticate(token).ok_or(Denial::TokenInvalid)?;
        let header: Header = serde_json::from_slice(&header).map_err(|_| Denial::TokenInvalid)?;
        let claims: Claims = serde_json::from_slice(&claims).map_err(|_| Denial::TokenInvalid)?;
        if !header.is_understood() || !claims.is_for(issuer) {
            return Err(Denial::TokenInvalid);
        }
        claims.check_time(now_s)?;
        Ok(Principal {
            issuer: claims.iss,
            subject: claims.sub,
            tenant: claims.tenant,
            roles: claims.roles,
            clearance: claims.clearance,
            attested,
            sets: claims.sets,
        })
    }

    /// The issuer whose key signed the token, and the decoded header and claims.
    fn authenticate(&self, token: &[u8]) -> Option<(&Issuer, Vec<u8>, Vec<u8>)> {
        if token.len() > MAX_TOKEN {
            return None;
        }
        let dot = token.iter().rposition(|&b| b == b'.')?;
        let (signed, signature) = (token.get(..dot)?, token.get(dot + 1..)?);
        let signature = B64.decode(signature).ok()?;
        let issuer = self.0.iter().find(|issuer| {
            UnparsedPublicKey::new(&ED25519, issuer.ed25519).verify(signed, &signature).is_ok()
        })?;
        let mut parts = signed.split(|&b| b == b'.');
        let header = B64.decode(parts.next()?).ok()?;
        let claims = B64.decode(parts.next()?).ok()?;
        parts.next().is_none().then_some((issuer, header, claims))
    }
}

impl Header {
    fn is_understood(&self) -> bool {
        let typ = self.typ.as_deref().is_none_or(|t| t.eq_ignore_ascii_case("JWT"));
        self.alg == "EdDSA" && typ && self.crit.is_none()
    }
}

impl Claims {
    fn is_for(&self, issuer: &Issuer) -> bool {
        let short = |s: &String| !s.is_empty() && s.len() <= MAX_NAME;
        self.iss == issuer.issuer
            && self.aud == issuer.audience
            && [&self.iss, &self.sub, &self.tenant].into_iter().all(short)
            && self.roles.len() <= MAX_ROLES
            && self.roles.iter().all(short)
            && self.sets.len() <= MAX_SETS
            && self.sets.values().map(BTreeSet::len).sum::<usize>() <= MAX_SET_VALUES
            && self.sets.keys().chain(self.sets.values().flatten()).all(|s| short(s) && !s.contains('\0'))
    }

    fn check_time(&self, now: u64) -> Result<(), Denial> {
        if self.exp <= self.iat || self.exp - self.iat > MAX_LIFETIME_S {
            return Err(Denial::TokenInvalid);
        }
        let starts = self.nbf.unwrap_or(self.iat).max(self.iat);
        let over = now >= self.exp;
        let early = now.saturating_add(LEEWAY_S) < starts;
        if over || early { Err(Denial::TokenExpired) } else { Ok(()) }
    }
}

impl Principal {
    /// The name under which policies know the principal. A length in front keeps `a|b` + `c` and `a` + `b|c` apart.
    pub fn id(&self) -> String {
        format!("{}:{}|{}", self.issuer.len(), self.issuer, self.subject)
    }

    /// Who signed its token.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// How that one names it.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// A principal as a token of issuer `https://issuer.test` would make it.
    #[cfg(test)]
    pub(crate) fn for_tests(tenant: &str, subject: &str, roles: &[&str], clearance: u8) -> Principal {
        Principal {
            issuer: "https://issuer.test".into(),
            subject: subject.into(),
            tenant: tenant.into(),
            roles: roles.iter().map(|r| (*r).to_owned()).collect(),
            clearance,
            attested: false,
            sets: BTreeMap::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ring::signature::{Ed25519KeyPair, KeyPair};
    use serde_json::{Value, json};

    const NOW: u64 = 1_800_000_000;

    fn key() -> Ed25519KeyPair {
        Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap()
    }

    fn issuers() -> Issuers {
        let public = hex::encode(key().public_key().as_ref());
        let json = json!([{ "issuer": "https://i", "audience": "adyton", "ed25519": public }]);
        Issuers::parse(json.to_string().as_bytes()).unwrap()
    }

    fn mint(header: Value, claims: &Value, key: &Ed25519KeyPair) -> String {
        let signed = format!("{}.{}", B64.encode(header.to_string()), B64.encode(claims.to_string()));
        format!("{signed}.{}", B64.encode(key.sign(signed.as_bytes())))
    }

    fn claims() -> Value {
        json!({ "iss": "https://i", "sub": "ann", "aud": "adyton", "iat": NOW, "exp": NOW + 600,
                "tenant": "acme", "roles": ["chat"], "clearance": 1 })
    }

    fn with(field: &str, value: Value) -> Result<Principal, Denial> {
        let mut claims = claims();
        claims[field] = value;
        issuers().verify(mint(json!({ "alg": "EdDSA" }), &claims, &key()).as_bytes(), false, NOW)
    }

    #[test]
    fn claims_are_checked_one_by_one() {
        assert_eq!(with("sub", json!("ann")).unwrap().subject, "ann");
        for (field, value) in [
            ("iss", json!("https://other")),
            ("aud", json!("other")),
            ("sub", json!("")),
            ("sub", json!("x".repeat(257))),
            ("exp", json!(NOW + MAX_LIFETIME_S + 1)),
            ("exp", json!(NOW - 1)),
            ("clearance", json!(300)),
            ("roles", json!(vec!["r"; 33])),
            ("tenant", Value::Null),
        ] {
            assert_eq!(with(field, value.clone()), Err(Denial::TokenInvalid), "{field} = {value}");
        }
        let long = json!({ "s": ["x".repeat(257)] });
        let many: BTreeMap<String, [u8; 0]> = (0..17).map(|n| (n.to_string(), [])).collect();
        let values: Vec<String> = (0..1025).map(|n| n.to_string()).collect();
        for sets in [long, json!(many), json!({ "s": values }), json!({ "s": "x" }), json!({ "s": [""] })] {
            assert_eq!(with("sets", sets.clone()), Err(Denial::TokenInvalid), "{sets}");
        }
        let sets = with("sets", json!({ "cancelled_flights": ["LH401", "LH400"] })).unwrap().sets;
        assert_eq!(sets["cancelled_flights"], BTreeSet::from(["LH400".to_owned(), "LH401".to_owned()]));
        assert_eq!(with("nbf", json!(NOW + 61)), Err(Denial::TokenExpired));
        assert!(with("nbf", json!(NOW + 60)).is_ok());
    }

    #[test]
    fn time_bounds_are_exact() {
        let token = mint(json!({ "alg": "EdDSA", "typ": "JWT" }), &claims(), &key());
        let at = |now| issuers().verify(token.as_bytes(), false, now).err();
        assert_eq!(at(NOW + 599), None);
        assert_eq!(at(NOW + 600), Some(Denial::TokenExpired));
        assert_eq!(at(NOW - 60), None);
        assert_eq!(at(NOW - 61), Some(Denial::TokenExpired));
    }

    #[test]
    fn forgeries_are_refused() {
        let verify = |token: &str| issuers().verify(token.as_bytes(), false, NOW).err();
        let good = mint(json!({ "alg": "EdDSA" }), &claims(), &key());
        let stranger = Ed25519KeyPair::from_seed_unchecked(&[8; 32]).unwrap();
        assert_eq!(verify(""), Some(Denial::TokenAbsent));
        let mut bad = vec![
            "a.b.c".to_owned(),
            "...".to_owned(),
            format!("{good}."),
            format!("x{good}"),
            mint(json!({ "alg": "EdDSA" }), &claims(), &stranger),
            mint(json!({ "alg": "none" }), &claims(), &key()),
            mint(json!({ "alg": "HS256" }), &claims(), &key()),
            mint(json!({ "alg": "EdDSA", "crit": ["x"] }), &claims(), &key()),
            "x".repeat(MAX_TOKEN + 1),
        ];
        for at in 0..good.len() {
            let mut bytes = good.clone().into_bytes();
            bytes[at] ^= 1;
            bad.push(String::from_utf8(bytes).unwrap());
        }
        for token in bad {
            assert_eq!(verify(&token), Some(Denial::TokenInvalid), "{token}");
        }
    }

    #[test]
    fn nobody_is_let_in_without_issuers() {
        let token = mint(json!({ "alg": "EdDSA" }), &claims(), &key());
        let nobody = Issuers::parse(b"[]").unwrap();
        assert_eq!(nobody.verify(token.as_bytes(), false, NOW), Err(Denial::TokenInvalid));
    }
}

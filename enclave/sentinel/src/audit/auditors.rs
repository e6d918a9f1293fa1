//! The auditors: whom the entries of the log are sealed to.
//!
//! Promises
//! - A key to which nothing can be sealed stops the start, and so does a list longer than a record holds.
//!
//! Trusts: `auditors.json` of the measured policy pack.

use adyton_attestation::audit::record::MAX_AUDITORS;
use adyton_attestation::seal::{self, Info};
use ring::rand::SecureRandom;
use serde::Deserialize;
use thiserror::Error;

/// One line of `auditors.json`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Auditor {
    /// For whoever reads the file.
    #[serde(rename = "name")]
    _name: String,
    #[serde(with = "hex::serde")]
    x25519: [u8; 32],
}

/// Why `auditors.json` was refused.
#[derive(Debug, Error)]
pub enum AuditorsError {
    /// Not the JSON expected.
    #[error("auditors.json: {0}")]
    Syntax(#[from] serde_json::Error),
    /// More than a record holds.
    #[error("auditors.json names {0} auditors, the limit is {MAX_AUDITORS}")]
    TooMany(usize),
    /// A key that is a point of low order.
    #[error("auditors.json: key {0} is no usable x25519 key; make one with `adyton audit key`")]
    Key(usize),
}

/// Reads `auditors.json`. An empty list is allowed: then only leaf hashes leave.
///
/// # Errors
/// [`AuditorsError`] if it is malformed, too long, or has a key that is none.
pub fn parse(json: &[u8], random: &dyn SecureRandom) -> Result<Vec<[u8; 32]>, AuditorsError> {
    let auditors: Vec<Auditor> = serde_json::from_slice(json)?;
    if auditors.len() > MAX_AUDITORS {
        return Err(AuditorsError::TooMany(auditors.len()));
    }
    let keys: Vec<[u8; 32]> = auditors.into_iter().map(|auditor| auditor.x25519).collect();
    let unusable = keys.iter().position(|key| seal::seal(Info::Audit, key, &[], &[], random).is_err());
    unusable.map_or(Ok(keys), |at| Err(AuditorsError::Key(at)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ring::rand::SystemRandom;

    fn list(keys: &[[u8; 32]]) -> String {
        let entries = keys.iter().map(|key| serde_json::json!({ "name": "a", "x25519": hex::encode(key) }));
        serde_json::Value::from_iter(entries).to_string()
    }

    #[test]
    fn lists_are_read_strictly() {
        let parse = |json: &str| parse(json.as_bytes(), &SystemRandom::new());
        assert_eq!(parse("[]").unwrap(), Vec::<[u8; 32]>::new());
        assert_eq!(parse(&list(&[[9; 32]])).unwrap(), [[9; 32]]);
        assert!(matches!(parse(&list(&[[9; 32]; 9])), Err(AuditorsError::TooMany(9))));
        assert!(matches!(parse(&list(&[[9; 32], [0; 32]])), Err(AuditorsError::Key(1))));
        for bad in ["", "{}", r#"[{"name":"a"}]"#, r#"[{"name":"a","x25519":"00"}]"#] {
            assert!(matches!(parse(bad), Err(AuditorsError::Syntax(_))), "{bad}");
        }
        let unknown = list(&[[9; 32]]).replace("name", "names");
        assert!(matches!(parse(&unknown), Err(AuditorsError::Syntax(_))));
    }
}

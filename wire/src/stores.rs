//! Stores outside of the enclave: where they are, what is kept in them, and the secrets that open them.
//!
//! The sentinel reads where they are from `stores.toml` of the measured policy pack, judges it, and tells the worker. The secrets
//! are in no file: a person hands them to a sentinel that runs (`attestation::secret`).
//!
//! Promises
//! - What is handed over is well formed: names, sizes and numbers are within bounds.
//! - A secret is wiped when it is dropped, and no `Debug` shows it.
//!
//! Does not: say who may read what; policies and grants do.

use crate::lookup::{MAX_NAME, is_name};
use crate::tools::is_destination;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;
use zeroize::Zeroizing;

/// Largest `stores.toml`, in bytes.
pub const MAX_STORES_FILE: u64 = 8 * 1024;
/// Most collections of one store.
const MAX_COLLECTIONS: usize = 64;
/// Longest password, in bytes.
const MAX_PASSWORD: usize = 256;

/// `stores.toml`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stores {
    /// A PostgreSQL server with pgvector. What is not in it is in the enclave's memory.
    pub postgres: Option<Postgres>,
}

/// A PostgreSQL server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Postgres {
    /// `name:port`: where the host connects to, and what the server's certificate must name.
    pub destination: String,
    /// The one root that the server's certificate must lead to, as PEM.
    pub root: String,
    /// The database in it.
    pub database: String,
    /// The collections that are kept there.
    pub collections: BTreeSet<String>,
    /// What becomes of a question if it gives nothing.
    pub without: Without,
}

/// What becomes of a question whose passages cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Without {
    /// An error.
    Refuse,
    /// An answer without them, that says so.
    Answer,
}

impl Stores {
    /// Where a collection is, if it is not in the enclave's memory.
    pub fn of(&self, collection: &str) -> Option<&Postgres> {
        self.postgres.as_ref().filter(|postgres| postgres.collections.contains(collection))
    }
}

impl Postgres {
    /// What is wrong with it, if anything is.
    pub fn fault(&self) -> Option<&'static str> {
        let counted = (1..=MAX_COLLECTIONS).contains(&self.collections.len());
        let rules = [
            (is_destination(&self.destination), "destination must be a name and a port, as db.example:5432"),
            (is_database(&self.database), "database must be 1 to 63 of a-z, 0-9 and _"),
            (
                counted && self.collections.iter().all(|name| is_name(name)),
                "collections must be 1 to 64 names",
            ),
        ];
        rules.into_iter().find(|(holds, _)| !holds).map(|(_, fault)| fault)
    }

    /// The name in the destination.
    pub fn host(&self) -> &str {
        self.destination.rsplit_once(':').map_or("", |(name, _)| name)
    }
}

fn is_database(name: &str) -> bool {
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    (1..=63).contains(&name.len()) && name.bytes().all(fits)
}

/// A password. Whoever has a connection needs it, and nobody else.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Password(Zeroizing<String>);

impl Password {
    /// Takes one; `None` for an empty one, one over 256 bytes, or one with a control character.
    pub fn new(text: String) -> Option<Password> {
        let text = Zeroizing::new(text);
        let fits = (1..=MAX_PASSWORD).contains(&text.len()) && !text.chars().any(char::is_control);
        fits.then_some(Password(text))
    }

    /// The password.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password")
    }
}

/// What opens the database, as a person seals it: JSON in a box.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Secrets {
    /// Of the role `adyton_worker`: the worker logs in with it.
    password: Password,
    /// Of grants, 64 hexadecimal digits: the sentinel signs with it and the database verifies. Nobody else has it.
    grant_key: Zeroizing<String>,
}

impl Secrets {
    /// Puts them together.
    pub fn new(password: Password, grant_key: &[u8; 32]) -> Secrets {
        Secrets { password, grant_key: Zeroizing::new(hex::encode(grant_key)) }
    }

    /// As it is sealed.
    pub fn encode(&self) -> Option<Zeroizing<Vec<u8>>> {
        serde_json::to_vec(self).ok().map(Zeroizing::new)
    }

    /// What was sealed; `None` for anything else.
    pub fn decode(bytes: &[u8]) -> Option<Secrets> {
        let read: Secrets = serde_json::from_slice(bytes).ok()?;
        let Secrets { password, grant_key } = read;
        let password = Password::new(password.0.to_string())?;
        let read = Secrets { password, grant_key };
        read.grant_key()?;
        Some(read)
    }

    /// The password.
    pub fn password(&self) -> &Password {
        &self.password
    }

    /// The key of grants.
    pub fn grant_key(&self) -> Option<Zeroizing<[u8; 32]>> {
        let mut key = Zeroizing::new([0; 32]);
        hex::decode_to_slice(self.grant_key.as_bytes(), key.as_mut_slice()).ok()?;
        Some(key)
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secrets")
    }
}

// A name of a collection is one of a look-up, and the longest fits.
const _: () = assert!(MAX_NAME * MAX_COLLECTIONS < MAX_STORES_FILE as usize);

#[cfg(test)]
mod tests {
    use super::*;

    fn postgres() -> Postgres {
        Postgres {
            destination: "db.example:5432".into(),
            root: String::new(),
            database: "adyton".into(),
            collections: BTreeSet::from(["reservations".to_owned()]),
            without: Without::Refuse,
        }
    }

    #[test]
    fn each_rule_is_needed() {
        assert_eq!((postgres().fault(), postgres().host()), (None, "db.example"));
        let faulty = |change: &dyn Fn(&mut Postgres)| {
            let mut postgres = postgres();
            change(&mut postgres);
            postgres.fault().unwrap_or_else(|| panic!("no fault in {postgres:?}"))
        };
        assert!(faulty(&|p| p.destination = "db.example".into()).starts_with("destination"));
        for database in ["", "A", "a;b", "a b", &"a".repeat(64)] {
            assert!(faulty(&|p| p.database = database.into()).starts_with("database"), "{database}");
        }
        assert!(faulty(&|p| p.collections.clear()).starts_with("collections"));
        assert!(faulty(&|p| p.collections = BTreeSet::from(["a b".to_owned()])).starts_with("collections"));
        assert!(faulty(&|p| p.collections.extend((0..64).map(|n| format!("c{n}")))).starts_with("coll"));
    }

    #[test]
    fn a_collection_is_in_one_place() {
        let stores = Stores { postgres: Some(postgres()) };
        assert!(stores.of("reservations").is_some() && stores.of("handbook").is_none());
        assert!(Stores::default().of("reservations").is_none());
    }

    #[test]
    fn secrets_come_back_and_show_nothing() {
        let password = Password::new("correct horse".into()).unwrap();
        let secrets = Secrets::new(password, &[7; 32]);
        let read = Secrets::decode(&secrets.encode().unwrap()).unwrap();
        assert_eq!((read.password().expose(), read.grant_key().unwrap()[0]), ("correct horse", 7));
        assert_eq!(format!("{secrets:?} {:?}", secrets.password()), "Secrets Password");
        for bad in [
            r#"{"password":"","grant_key":"KEY"}"#,
            r#"{"password":"a\u000ab","grant_key":"KEY"}"#,
            r#"{"password":"a","grant_key":"00"}"#,
            r#"{"password":"a"}"#,
            r#"{"password":"a","grant_key":"KEY","more":1}"#,
            "",
        ] {
            let bad = bad.replace("KEY", &"07".repeat(32));
            assert!(Secrets::decode(bad.as_bytes()).is_none(), "{bad}");
        }
        assert!(Password::new("x".repeat(257)).is_none());
    }
}

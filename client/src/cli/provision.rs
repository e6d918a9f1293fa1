//! `adyton provision`: what opens the database, from an approver to an enclave that runs.

use super::approve::{Connection, open, signer};
use super::commands::{at_path, keep, read_file};
use super::exit::Failure;
use crate::secret::{self, SecretError};
use adyton_attestation::anchor::TrustAnchor;
use adyton_wire::stores::{Password, Secrets};
use clap::{Args, Subcommand};
use ring::rand::{SecureRandom, SystemRandom};
use serde_json::json;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

#[derive(Debug, Subcommand)]
pub(super) enum Provision {
    /// Make a key of grants: one for the sentinel and the database, and for nobody else.
    #[command(after_help = "Example:\n  adyton provision grant-key --out grant.key\n  \
                            psql -d adyton -c '\\set key `cat grant.key`' \
                            -c \"SELECT adyton.set_key(decode(:'key', 'hex'))\"")]
    GrantKey {
        /// Where to write it, 64 hexadecimal digits.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Hand the database's password and the key of grants to a verified enclave. Each boot needs them anew.
    #[command(
        after_help = "Example:\n  adyton provision database --password-file worker.password --grant-key grant.key \
                      --key ann.key --enclave 127.0.0.1:8443 --reference reference.json --token-file ann.token"
    )]
    Database(Box<Database>),
}

#[derive(Debug, Args)]
pub(super) struct Database {
    /// The password of adyton_worker; a line end behind it does not count.
    #[arg(long, value_name = "FILE")]
    password_file: PathBuf,
    /// The key of grants, as `grant-key` has written it.
    #[arg(long, value_name = "FILE")]
    grant_key: PathBuf,
    /// The approver's key, made by `adyton approve key`.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    #[command(flatten)]
    connection: Connection,
}

impl From<SecretError> for Failure {
    fn from(error: SecretError) -> Failure {
        match error {
            SecretError::People(error) => error.into(),
            SecretError::Key => Failure::receipt(error),
            SecretError::Seal(_) => Failure::internal(error),
        }
    }
}

pub(super) async fn provision(anchor: &TrustAnchor, what: Provision, json: bool) -> Result<(), Failure> {
    match what {
        Provision::GrantKey { out } => {
            let mut key = Zeroizing::new([0; 32]);
            SystemRandom::new()
                .fill(key.as_mut_slice())
                .map_err(|_| Failure::internal("the system's generator gave no key; try again"))?;
            keep(&out, Zeroizing::new(hex::encode(*key)).as_bytes())?;
            tell("made", json);
        }
        Provision::Database(database) => {
            let secrets = read(&database)?;
            let signer = signer(&database.key)?;
            let open = open(anchor, &database.connection, json).await?;
            secret::provide(&open.session, open.token.as_deref(), &signer, &secrets).await?;
            tell("taken", json);
        }
    }
    Ok(())
}

fn read(database: &Database) -> Result<Secrets, Failure> {
    let path = &database.password_file;
    let text = line(path)?;
    let wrong = "a password is one line of 1 to 256 bytes";
    let password = Password::new(text.to_string()).ok_or_else(|| at_path(path, wrong))?;
    let path = &database.grant_key;
    let (text, mut key) = (line(path)?, Zeroizing::new([0; 32]));
    hex::decode_to_slice(text.as_bytes(), key.as_mut_slice()).map_err(|_| {
        at_path(path, "a key of grants is 64 hexadecimal digits; see `adyton provision grant-key`")
    })?;
    Ok(Secrets::new(password, &key))
}

/// A file of one line, without its end.
fn line(path: &Path) -> Result<Zeroizing<String>, Failure> {
    let text = String::from_utf8(read_file(path)?).map_err(|_| at_path(path, "it is not text"))?;
    let text = Zeroizing::new(text);
    Ok(Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned()))
}

fn tell(word: &str, json: bool) {
    if json { println!("{}", json!({ "secret": word })) } else { println!("{word}") }
}

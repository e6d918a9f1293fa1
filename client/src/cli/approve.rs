//! `adyton approve` and `adyton operate`: what persons decide about requests, and about the AI.

use super::commands::{at_path, attested, keep, read_file, read_token};
use super::exit::Failure;
use super::{Enclave, TokenArgs};
use crate::people::{self, Hold, PeopleError, State};
use crate::session::AttestedSession;
use adyton_attestation::Timestamp;
use adyton_attestation::anchor::TrustAnchor;
use adyton_attestation::ballot::{Ballot, Order};
use adyton_attestation::ed25519::Signer;
use clap::{Args, Subcommand};
use ring::rand::SystemRandom;
use serde_json::json;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

/// How long an order is good unless somebody says otherwise: time for others to sign the same.
const ORDER_MINUTES: u64 = 60;

#[derive(Debug, Subcommand)]
pub(super) enum Approve {
    /// List what waits for persons.
    #[command(
        after_help = "Example:\n  adyton approve list --enclave 127.0.0.1:8443 --reference reference.json \
                            --token-file ann.token"
    )]
    List(Connection),
    /// Show one hold, and the text of its request.
    #[command(after_help = "Example:\n  adyton approve show 3f2a... --enclave 127.0.0.1:8443 \
                            --reference reference.json --token-file ann.token")]
    Show {
        /// The hold's name, 32 hexadecimal digits.
        #[arg(value_name = "HOLD", value_parser = name)]
        hold: Name,
        #[command(flatten)]
        connection: Connection,
    },
    /// Allow the request of a hold. It happens once enough persons have.
    #[command(
        after_help = "Example:\n  adyton approve allow 3f2a... --key ann.key --enclave 127.0.0.1:8443 \
                            --reference reference.json --token-file ann.token"
    )]
    Allow(Vote),
    /// Deny it. One no is enough.
    Deny(Vote),
    /// Make an approver's key; print its line for approvers.json.
    #[command(after_help = "Example:\n  adyton approve key --name ann --issuer https://issuer.example \
                            --subject ann --out ann.key")]
    Key {
        /// The name that others see.
        #[arg(long)]
        name: String,
        /// Who signs the approver's tokens.
        #[arg(long)]
        issuer: String,
        /// How tokens name the approver.
        #[arg(long)]
        subject: String,
        /// Where to write the private key.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum Operate {
    /// Show whether the AI is online, who is shut out, and whether behaviour has drifted.
    State(Connection),
    /// Take the AI offline. It stays so until a quorum restores it.
    #[command(after_help = "Example:\n  adyton operate quarantine --key ann.key --enclave 127.0.0.1:8443 \
                            --reference reference.json --token-file ann.token")]
    Quarantine(Give),
    /// Take it offline and end the worker's process at once.
    Kill(Give),
    /// Bring it back.
    Restore(Give),
    /// Let a principal in again that was shut out for its behaviour.
    Pardon {
        /// Its pseudonym, as `state` shows it: 64 hexadecimal digits.
        #[arg(value_parser = pseudonym)]
        principal: Pseudonym,
        #[command(flatten)]
        give: Give,
    },
    /// Take what behaviour has drifted to for normal.
    AcceptDrift(Give),
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Name([u8; 16]);

#[derive(Clone, Copy, Debug)]
pub(super) struct Pseudonym([u8; 32]);

#[derive(Debug, Args)]
pub(super) struct Connection {
    #[command(flatten)]
    enclave: Enclave,
    #[command(flatten)]
    token: TokenArgs,
}

#[derive(Debug, Args)]
pub(super) struct Vote {
    /// The hold's name, 32 hexadecimal digits.
    #[arg(value_name = "HOLD", value_parser = name)]
    hold: Name,
    /// The approver's key, made by `adyton approve key`.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
pub(super) struct Give {
    /// The approver's key, made by `adyton approve key`.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// For how long the order waits for others to give it, too.
    #[arg(long, value_name = "MINUTES", default_value_t = ORDER_MINUTES, value_parser = clap::value_parser!(u64).range(1..=1439))]
    minutes: u64,
    #[command(flatten)]
    connection: Connection,
}

fn name(text: &str) -> Result<Name, String> {
    let mut bytes = [0; 16];
    hex::decode_to_slice(text, &mut bytes).map_err(|_| "a hold has 32 hexadecimal digits".to_owned())?;
    Ok(Name(bytes))
}

fn pseudonym(text: &str) -> Result<Pseudonym, String> {
    let mut bytes = [0; 32];
    hex::decode_to_slice(text, &mut bytes).map_err(|_| "a pseudonym has 64 hexadecimal digits".to_owned())?;
    Ok(Pseudonym(bytes))
}

impl From<PeopleError> for Failure {
    fn from(error: PeopleError) -> Failure {
        match error {
            PeopleError::Refused(error) => error.into(),
            PeopleError::Answer(_) => Failure::internal(error),
            PeopleError::Text => Failure::receipt(error),
        }
    }
}

/// An attested session, and the token that goes with it.
pub(super) struct Open {
    pub(super) session: AttestedSession,
    pub(super) token: Option<String>,
}

pub(super) async fn open(anchor: &TrustAnchor, connection: &Connection, json: bool) -> Result<Open, Failure> {
    let token = read_token(&connection.token)?;
    let session = attested(anchor, &connection.enclave, json, false).await?;
    Ok(Open { session, token })
}

impl Open {
    async fn hold(&self, name: Name) -> Result<Hold, Failure> {
        Ok(people::hold(&self.session, self.token.as_deref(), &name.0).await?)
    }

    async fn state(&self) -> Result<State, Failure> {
        Ok(people::state(&self.session, self.token.as_deref()).await?)
    }

    async fn cast(&self, ballot: &Ballot) -> Result<u8, Failure> {
        Ok(people::cast(&self.session, self.token.as_deref(), ballot).await?)
    }
}

pub(super) async fn approve(anchor: &TrustAnchor, approve: Approve, json: bool) -> Result<(), Failure> {
    match approve {
        Approve::List(connection) => {
            let open = open(anchor, &connection, json).await?;
            list(&people::holds(&open.session, open.token.as_deref()).await?, json);
            Ok(())
        }
        Approve::Show { hold, connection } => {
            let open = open(anchor, &connection, json).await?;
            show(&open.hold(hold).await?, json)
        }
        Approve::Allow(vote) => cast_vote(anchor, &vote, true, json).await,
        Approve::Deny(vote) => cast_vote(anchor, &vote, false, json).await,
        Approve::Key { name, issuer, subject, out } => {
            let key = Signer::new_pkcs8(&SystemRandom::new()).map_err(Failure::internal)?;
            let public = Signer::from_pkcs8(&key).map_err(Failure::internal)?.public();
            keep(&out, &key)?;
            let line = json!({ "name": name, "issuer": issuer, "subject": subject, "ed25519": public });
            println!("{line}");
            Ok(())
        }
    }
}

async fn cast_vote(anchor: &TrustAnchor, vote: &Vote, allow: bool, json: bool) -> Result<(), Failure> {
    let signer = signer(&vote.key)?;
    let open = open(anchor, &vote.connection, json).await?;
    let hold = open.hold(vote.hold).await?;
    // What is signed is the digest that the hold names; a text that is another one is not voted on.
    hold.text()?;
    let missing = open.cast(&hold.vote(&signer, allow)).await?;
    let word = if allow { "allowed" } else { "denied" };
    tell(word, missing, json);
    Ok(())
}

pub(super) async fn operate(anchor: &TrustAnchor, operate: Operate, json: bool) -> Result<(), Failure> {
    let (give, order) = match operate {
        Operate::State(connection) => {
            let state = open(anchor, &connection, json).await?.state().await?;
            tell_state(&state, json);
            return Ok(());
        }
        Operate::Quarantine(give) => (give, Order::Quarantine),
        Operate::Kill(give) => (give, Order::Kill),
        Operate::Restore(give) => (give, Order::Restore),
        Operate::AcceptDrift(give) => (give, Order::AcceptDrift),
        Operate::Pardon { principal, give } => (give, Order::Pardon { principal: principal.0 }),
    };
    let signer = signer(&give.key)?;
    let open = open(anchor, &give.connection, json).await?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let now = Timestamp::from_millis(u64::try_from(now).unwrap_or(u64::MAX));
    let until = now.plus_millis(give.minutes.saturating_mul(60_000));
    let missing = open.cast(&open.state().await?.order(&signer, order, until)).await?;
    tell(order.word(), missing, json);
    Ok(())
}

pub(super) fn signer(path: &std::path::Path) -> Result<Signer, Failure> {
    let wrong = "not an approver's key; make one with `adyton approve key`";
    Signer::from_pkcs8(&read_file(path)?).map_err(|_| at_path(path, wrong))
}

fn tell(word: &str, missing: u8, json: bool) {
    match missing {
        _ if json => println!("{}", json!({ "counted": word, "missing": missing })),
        0 => println!("{word}: done"),
        missing => println!("{word}: counted; {missing} more must say the same"),
    }
}

fn list(holds: &[Hold], json: bool) {
    if json {
        println!("{}", json!({ "holds": holds }));
        return;
    }
    if holds.is_empty() {
        println!("nothing waits");
    }
    for hold in holds {
        let (name, got) = (hex::encode(hold.hold), hold.allowed.len());
        println!(
            "{name}  {got} of {}  {} for {}  risk {}",
            hold.persons, hold.principal, hold.purpose, hold.risk
        );
    }
}

fn show(hold: &Hold, json: bool) -> Result<(), Failure> {
    let text = hold.text()?;
    let text = text.map(|text| String::from_utf8_lossy(&text).into_owned());
    if json {
        let mut json = json!(hold);
        json["text"] = json!(text);
        println!("{json}");
        return Ok(());
    }
    let allowed = if hold.allowed.is_empty() { "nobody".to_owned() } else { hold.allowed.join(", ") };
    println!("hold       {}", hex::encode(hold.hold));
    println!("asked by   {} of {}", hold.principal, hold.tenant);
    println!("purpose    {}", hold.purpose);
    println!("tokens     at most {}", hold.max_tokens);
    println!("risk       {} of 100", hold.risk);
    println!("because    {}", hold.policies);
    println!("allowed    {} of {}: {allowed}", hold.allowed.len(), hold.persons);
    println!("until      {}", Timestamp::from_millis(hold.ends_ms));
    println!("request    {}", hex::encode(hold.request));
    match text {
        // A text of somebody else's must not command the terminal.
        Some(text) => println!("\n{}", text.replace(|c: char| c.is_control() && c != '\n', "\u{fffd}")),
        None => println!("\nits text is not kept any more"),
    }
    Ok(())
}

fn tell_state(state: &State, json: bool) {
    if json {
        println!("{}", json!(state));
        return;
    }
    let since = Timestamp::from_millis(state.since_ms);
    match &state.reason {
        None => println!("online since {since}"),
        Some(reason) => println!("offline since {since}: {reason}"),
    }
    println!("boot {}, state {}", hex::encode(state.boot), state.epoch);
    println!(
        "behaviour: {}",
        if state.cold { "nothing is known yet; limits hold" } else { "there is a baseline" }
    );
    if let Some(drift) = &state.drift {
        println!("normal has moved: {drift}; `adyton operate accept-drift` takes it for normal");
    }
    for principal in &state.quarantined {
        println!("shut out: {principal}");
    }
}

//! The approvers: who may vote on holds and give orders, and how many an order takes.
//!
//! Promises
//! - An order that nobody could ever give, a key that stands twice, and a list that is too long stop the start.
//! - An approver is a principal *and* a key: a stolen token signs nothing, a stolen key has no token.
//!
//! Trusts: `approvers.json` of the measured policy pack.

use adyton_attestation::ballot::Order;
use adyton_attestation::ed25519::PublicKey;
use serde::Deserialize;
use thiserror::Error;

use crate::token::Principal;

/// Most approvers: bounds what one ballot costs, and what a list of holds can say.
pub const MAX_APPROVERS: usize = 32;
/// Longest name, in bytes.
const MAX_NAME: usize = 64;

/// Who may say what, and how many it takes.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Approvers {
    approvers: Vec<Approver>,
    quorum: Quorum,
    /// The state in which each boot begins.
    pub starts: Starts,
    /// When the AI is taken offline without anybody's order.
    pub offline_after: OfflineAfter,
}

/// One line of the list.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Approver {
    /// For people.
    name: String,
    /// The principal, as tokens name it.
    issuer: String,
    subject: String,
    /// What it signs with.
    ed25519: PublicKey,
}

/// How many must sign the same order.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Quorum {
    quarantine: u8,
    kill: u8,
    restore: u8,
    accept_drift: u8,
    pardon: u8,
}

/// The state in which a boot begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Starts {
    /// At work.
    Online,
    /// Waiting for a quorum. Then a host that starts the enclave anew brings nothing back.
    Offline,
}

/// Thresholds that take the AI offline.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OfflineAfter {
    /// So many principals quarantined.
    pub principals: u32,
}

/// Why `approvers.json` was refused.
#[derive(Debug, Error)]
pub enum ApproversError {
    /// Not the JSON expected.
    #[error("approvers.json: {0}")]
    Syntax(#[from] serde_json::Error),
    /// More than can be heard.
    #[error("approvers.json names {0} approvers, the limit is {MAX_APPROVERS}")]
    TooMany(usize),
    /// A name that is empty or long.
    #[error("approvers.json: names have 1 to {MAX_NAME} bytes")]
    Name,
    /// One person would count twice.
    #[error("approvers.json: {0} has a key or a principal that stands there already")]
    Twice(String),
    /// No quorum can be reached.
    #[error("approvers.json: the quorum for {word} is {quorum}, and there are {there}")]
    Unreachable {
        /// Which order.
        word: &'static str,
        /// How many it takes.
        quorum: u8,
        /// How many there are.
        there: usize,
    },
    /// Offline for ever.
    #[error(
        "approvers.json: it starts offline and there is nobody who could bring it online; name approvers"
    )]
    Nobody,
}

impl Approvers {
    /// Reads `approvers.json`. An empty list is allowed: then nobody is asked, and what would be asked is denied.
    ///
    /// # Errors
    /// [`ApproversError`]
    pub fn parse(json: &[u8]) -> Result<Approvers, ApproversError> {
        let read: Approvers = serde_json::from_slice(json)?;
        let there = read.approvers.len();
        if there > MAX_APPROVERS {
            return Err(ApproversError::TooMany(there));
        }
        for (at, one) in read.approvers.iter().enumerate() {
            if one.name.is_empty() || one.name.len() > MAX_NAME {
                return Err(ApproversError::Name);
            }
            let same = |other: &Approver| other.ed25519 == one.ed25519 || other.is(&one.issuer, &one.subject);
            if read.approvers.iter().take(at).any(same) {
                return Err(ApproversError::Twice(one.name.clone()));
            }
        }
        if there == 0 && read.starts == Starts::Offline {
            return Err(ApproversError::Nobody);
        }
        let orders = [Order::Quarantine, Order::Kill, Order::Restore, Order::AcceptDrift, NOBODY];
        let out_of_reach = |order: &&Order| {
            let quorum = read.quorum(**order);
            quorum == 0 || (there > 0 && usize::from(quorum) > there)
        };
        if let Some(&order) = orders.iter().find(out_of_reach) {
            return Err(ApproversError::Unreachable {
                word: order.word(),
                quorum: read.quorum(order),
                there,
            });
        }
        Ok(read)
    }

    /// How many must give this order.
    pub fn quorum(&self, order: Order) -> u8 {
        match order {
            Order::Quarantine => self.quorum.quarantine,
            Order::Kill => self.quorum.kill,
            Order::Restore => self.quorum.restore,
            Order::AcceptDrift => self.quorum.accept_drift,
            Order::Pardon { .. } => self.quorum.pardon,
        }
    }

    /// The approver that a principal is, by number.
    pub fn find(&self, principal: &Principal) -> Option<usize> {
        self.approvers.iter().position(|one| one.is(principal.issuer(), principal.subject()))
    }

    /// Its key.
    pub fn key(&self, number: usize) -> Option<PublicKey> {
        self.approvers.get(number).map(|one| one.ed25519)
    }

    /// Its name.
    pub fn name(&self, number: usize) -> &str {
        self.approvers.get(number).map_or("", |one| &one.name)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.approvers.len()
    }

    /// Whether nobody is asked.
    pub fn is_empty(&self) -> bool {
        self.approvers.is_empty()
    }
}

impl Approver {
    fn is(&self, issuer: &str, subject: &str) -> bool {
        self.issuer == issuer && self.subject == subject
    }
}

/// Stands for all pardons where only their quorum is asked for.
const NOBODY: Order = Order::Pardon { principal: [0; 32] };

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use serde_json::{Value, json};

    /// A list of approvers with the keys of seeds 1, 2, and so on.
    pub(crate) fn list(names: &[&str]) -> Value {
        let key = |at: usize| crate::people::tests::signer(at as u8 + 1).public().to_string();
        let line = |(at, name): (usize, &&str)| json!({ "name": name, "issuer": "https://issuer.test", "subject": name, "ed25519": key(at) });
        let lines: Vec<Value> = names.iter().enumerate().map(line).collect();
        json!({
            "approvers": lines,
            "quorum": { "quarantine": 1, "kill": 1, "restore": 2, "accept-drift": 1, "pardon": 1 },
            "starts": "online", "offline_after": { "principals": 3 },
        })
    }

    #[test]
    fn lists_are_read_strictly() {
        let with = |change: &dyn Fn(&mut Value)| {
            let mut json = list(&["ann", "bob"]);
            change(&mut json);
            Approvers::parse(json.to_string().as_bytes())
        };
        assert_eq!(with(&|_| ()).unwrap().len(), 2);
        let same_key =
            with(&|json| json["approvers"][1]["ed25519"] = json["approvers"][0]["ed25519"].clone());
        assert!(matches!(same_key, Err(ApproversError::Twice(name)) if name == "bob"));
        let same_person = with(&|json| json["approvers"][1]["subject"] = json!("ann"));
        assert!(matches!(same_person, Err(ApproversError::Twice(_))));
        for quorum in [0, 3] {
            let refused = with(&|json| json["quorum"]["restore"] = json!(quorum));
            assert!(matches!(refused, Err(ApproversError::Unreachable { word: "restore", .. })));
        }
        let nobody = with(&|json| (json["approvers"], json["starts"]) = (json!([]), json!("offline")));
        assert!(matches!(nobody, Err(ApproversError::Nobody)));
        assert!(matches!(with(&|json| json["approvers"][0]["name"] = json!("")), Err(ApproversError::Name)));
        for field in ["approvers", "quorum", "starts", "offline_after"] {
            let forgotten = with(&|json| drop(json.as_object_mut().unwrap().remove(field)));
            assert!(matches!(forgotten, Err(ApproversError::Syntax(_))), "{field}");
        }
        let shipped = include_bytes!("../../../policy/approvers.json");
        assert!(Approvers::parse(shipped).unwrap().is_empty());
    }
}

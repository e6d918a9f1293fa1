//! What people sign: votes on holds, orders to the sentinel, and the boxes in which they hand it secrets.
//!
//! A statement is bytes of one fixed form, with `lp(x)` = length of x as four bytes big-endian, then x; numbers are
//! big-endian:
//!
//! ```text
//! vote   lp("adyton/vote/v1")  || boot (16) || hold (16) || request (32) || 01 allow, 00 deny
//! order  lp("adyton/order/v1") || boot (16) || epoch (8) || until (8, ms) || kind (1) || principal (32)
//! secret lp("adyton/secret/v1") || boot (16) || key (32) || SHA-256 of the sealed box (32)
//! ```
//!
//! `kind` is 1 quarantine, 2 kill, 3 restore, 4 accept the drift, 5 pardon; `principal` is zero but for a pardon.
//!
//! # Promises
//! - A [`Statement`] comes out of a [`Ballot`] only if one of the given keys signed exactly its bytes; nothing is parsed before.
//! - A vote is good for one hold of one boot and one request; an order for one state of one boot, and for a time; a secret for
//!   one key, which is good once.
//!
//! # Does not
//! - Count. Who may say what, and how many it takes, is the sentinel's to know.
//!
//! # Trusts
//! - The keys that its caller brings.
//!
//! Source: RFC 8032 (Ed25519).

use crate::binding::length_prefixed;
use crate::ed25519::{PublicKey, SIGNATURE_LEN, Signer};
use crate::time::Timestamp;

const VOTE: &[u8] = b"adyton/vote/v1";
const ORDER: &[u8] = b"adyton/order/v1";
const SECRET: &[u8] = b"adyton/secret/v1";

/// Longest statement, in bytes. A vote has 83, an order 84, a secret 100.
pub const MAX_STATEMENT: usize = 128;

/// What an order asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Order {
    /// No generation until it is restored.
    Quarantine,
    /// The same, and the worker's process ends at once.
    Kill,
    /// Back to work.
    Restore,
    /// What behaviour has drifted to is normal now.
    AcceptDrift,
    /// One principal is let in again.
    Pardon {
        /// Its pseudonym.
        principal: [u8; 32],
    },
}

/// What a person says. Having one that [`Ballot::verify`] returned tells you who said it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Statement {
    /// On a hold.
    Vote {
        /// Which boot of which enclave.
        boot: [u8; 16],
        /// Which hold.
        hold: [u8; 16],
        /// SHA-256 of the request's body: what the voter has read.
        request: [u8; 32],
        /// Whether it may happen.
        allow: bool,
    },
    /// About the state of the AI.
    Order {
        /// Which boot of which enclave.
        boot: [u8; 16],
        /// Which state: the epoch grows with each change, so an order is good once.
        epoch: u64,
        /// From then on it says nothing any more.
        until: Timestamp,
        /// What is wanted.
        order: Order,
    },
    /// About a secret that comes with it.
    Secret {
        /// Which boot of which enclave.
        boot: [u8; 16],
        /// The key that it is sealed to, good once.
        key: [u8; 32],
        /// SHA-256 of the box ([`crate::secret::box_digest`]).
        sealed: [u8; 32],
    },
}

impl Order {
    /// In a word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Quarantine => "quarantine",
            Self::Kill => "kill",
            Self::Restore => "restore",
            Self::AcceptDrift => "accept-drift",
            Self::Pardon { .. } => "pardon",
        }
    }

    fn encode(self) -> [u8; 33] {
        let (kind, principal) = match self {
            Self::Quarantine => (1, [0; 32]),
            Self::Kill => (2, [0; 32]),
            Self::Restore => (3, [0; 32]),
            Self::AcceptDrift => (4, [0; 32]),
            Self::Pardon { principal } => (5, principal),
        };
        let mut bytes = [0; 33];
        let (first, rest) = bytes.split_at_mut(1);
        first.copy_from_slice(&[kind]);
        rest.copy_from_slice(&principal);
        bytes
    }

    fn decode(kind: u8, principal: [u8; 32]) -> Option<Self> {
        let order = match kind {
            1 => Self::Quarantine,
            2 => Self::Kill,
            3 => Self::Restore,
            4 => Self::AcceptDrift,
            5 => Self::Pardon { principal },
            _ => return None,
        };
        let fits = matches!(order, Self::Pardon { .. }) || principal == [0; 32];
        fits.then_some(order)
    }
}

impl Statement {
    /// As it is signed.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Vote { boot, hold, request, allow } => {
                let head = length_prefixed(&[VOTE]);
                [&head[..], boot, hold, request, &[u8::from(*allow)]].concat()
            }
            Self::Order { boot, epoch, until, order } => {
                let head = length_prefixed(&[ORDER]);
                let (epoch, until) = (epoch.to_be_bytes(), until.as_millis().to_be_bytes());
                [&head[..], boot, &epoch, &until, &order.encode()].concat()
            }
            Self::Secret { boot, key, sealed } => {
                [&length_prefixed(&[SECRET])[..], boot, key, sealed].concat()
            }
        }
    }

    /// `None` for anything but the bytes of [`Self::encode`].
    fn decode(bytes: &[u8]) -> Option<Self> {
        if let Some(rest) = bytes.strip_prefix(&length_prefixed(&[VOTE])[..]) {
            let mut rest = Rest(rest);
            let (boot, hold, request, [allow]) = (rest.take()?, rest.take()?, rest.take()?, rest.take()?);
            let allow = if allow <= 1 { allow == 1 } else { return None };
            return rest.0.is_empty().then_some(Self::Vote { boot, hold, request, allow });
        }
        if let Some(rest) = bytes.strip_prefix(&length_prefixed(&[SECRET])[..]) {
            let mut rest = Rest(rest);
            let (boot, key, sealed) = (rest.take()?, rest.take()?, rest.take()?);
            return rest.0.is_empty().then_some(Self::Secret { boot, key, sealed });
        }
        let mut rest = Rest(bytes.strip_prefix(&length_prefixed(&[ORDER])[..])?);
        let (boot, epoch, until) =
            (rest.take()?, u64::from_be_bytes(rest.take()?), u64::from_be_bytes(rest.take()?));
        let [kind] = rest.take()?;
        let order = Order::decode(kind, rest.take()?)?;
        let until = Timestamp::from_millis(until);
        rest.0.is_empty().then_some(Self::Order { boot, epoch, until, order })
    }
}

struct Rest<'a>(&'a [u8]);

impl Rest<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }
}

/// A statement and a signature, both an allegation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ballot {
    /// The statement's bytes.
    pub statement: Vec<u8>,
    /// Who says that he signed it.
    pub signer: PublicKey,
    /// The signature.
    pub signature: [u8; SIGNATURE_LEN],
}

impl Ballot {
    /// Signs a statement.
    pub fn sign(signer: &Signer, statement: &Statement) -> Self {
        let statement = statement.encode();
        Self { signature: signer.sign(&statement), signer: signer.public(), statement }
    }

    /// What was said, if the signer is one of `keys` and signed it.
    pub fn verify(&self, keys: impl IntoIterator<Item = PublicKey>) -> Option<Statement> {
        let known = self.statement.len() <= MAX_STATEMENT && keys.into_iter().any(|key| key == self.signer);
        let signed = known && self.signer.verifies(&self.statement, &self.signature);
        if signed { Statement::decode(&self.statement) } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ed25519::tests::signer;

    fn statements() -> Vec<Statement> {
        let vote = |allow| Statement::Vote { boot: [1; 16], hold: [2; 16], request: [3; 32], allow };
        let until = Timestamp::from_millis(u64::MAX);
        let order = |order| Statement::Order { boot: [1; 16], epoch: 7, until, order };
        let pardon = Order::Pardon { principal: [9; 32] };
        let orders = [Order::Quarantine, Order::Kill, Order::Restore, Order::AcceptDrift, pardon];
        let secret = Statement::Secret { boot: [1; 16], key: [4; 32], sealed: [5; 32] };
        [vote(true), vote(false)].into_iter().chain(orders.map(order)).chain([secret]).collect()
    }

    #[test]
    fn a_statement_has_one_encoding_and_fits() {
        for statement in statements() {
            let bytes = statement.encode();
            assert!(bytes.len() <= MAX_STATEMENT);
            assert_eq!(Statement::decode(&bytes), Some(statement));
            for cut in 0..bytes.len() {
                assert_eq!(Statement::decode(&bytes[..cut]), None);
            }
            assert_eq!(Statement::decode(&[&bytes[..], &[0]].concat()), None);
        }
        let mut two = statements()[0].encode();
        *two.last_mut().unwrap() = 2;
        assert_eq!(Statement::decode(&two), None);
        let mut restore_of_somebody = statements()[4].encode();
        *restore_of_somebody.last_mut().unwrap() = 1;
        assert_eq!(Statement::decode(&restore_of_somebody), None);
        assert_eq!(Order::decode(6, [0; 32]), None);
    }

    #[test]
    fn only_what_a_known_key_signed_is_a_statement() {
        let (ann, bob) = (signer(1), signer(2));
        for statement in statements() {
            let ballot = Ballot::sign(&ann, &statement);
            assert_eq!(ballot.verify([bob.public(), ann.public()]), Some(statement));
            assert_eq!(ballot.verify([bob.public()]), None);
            assert_eq!(ballot.verify([]), None);
            assert_eq!(Ballot { signer: bob.public(), ..ballot.clone() }.verify([bob.public()]), None);
            for at in 0..ballot.statement.len() {
                let mut other = ballot.clone();
                other.statement[at] ^= 1;
                assert_eq!(other.verify([ann.public()]), None, "byte {at}");
            }
        }
    }

    #[test]
    fn what_a_known_key_signed_for_something_else_is_none() {
        let ann = signer(1);
        let statement = b"adyton/endorsement/v1".to_vec();
        let ballot = Ballot { signature: ann.sign(&statement), signer: ann.public(), statement };
        assert_eq!(ballot.verify([ann.public()]), None);
    }
}

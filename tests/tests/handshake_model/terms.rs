//! What is said in the model: nonces, keys, exporters, bindings and documents, as terms.
//!
//! # Promises
//! - `user_data` is computed by the code that ships, [`SessionBinding::user_data`], over bytes that stand
//!   for terms: no two terms have the same ones.
//!
//! # Does not
//! - Look inside cryptography. Whoever has not made a signature, a MAC or a key share cannot.
//!
//! # Trusts
//! - [`Document::made_on`] is for properties only; no party sees it.

use std::collections::BTreeSet;
use std::fmt;

use adyton_attestation::binding::{Role, SessionBinding};

use crate::rules::{Exporters, Rule, Scenario};

/// An enclave of genuine hardware.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Enclave {
    /// The client wants this one.
    A,
    /// The attacker may start this one. What is wrong with it is the scenario's.
    B,
    /// A client of A that is itself an enclave: same image, owner and manifest, so that no register tells
    /// it from A.
    P,
}

/// Which of two. What the client's reference values name is ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Of {
    Ours,
    Other,
}

/// What the hardware signs about an enclave: PCR0 to 2, PCR8 (or 3, or 4), PCR16.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Registers {
    pub(crate) image: Of,
    pub(crate) owner: Of,
    pub(crate) manifest: Of,
}

/// Registers that the reference values accept.
pub(crate) const ACCEPTED: Registers = Registers { image: Of::Ours, owner: Of::Ours, manifest: Of::Ours };

/// A connection, named by whoever opens it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Slot {
    Client,
    Peer,
    First,
    Second,
}

/// A TLS key of a server's certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Key {
    A,
    B,
    Attacker,
}

/// 32 bytes that only their maker could know before he showed them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Nonce {
    Client,
    Peer,
    Attacker,
    /// The server's, for its client's evidence: the n-th on a connection.
    Challenge(Slot, u8),
    /// In place of all challenges, where [`Rule::Challenge`] is off.
    Constant,
}

impl Nonce {
    /// Two bytes, different for each.
    fn code(self) -> [u8; 2] {
        match self {
            Self::Client => [1, 0],
            Self::Peer => [2, 0],
            Self::Attacker => [3, 0],
            Self::Constant => [4, 0],
            Self::Challenge(slot, n) => [5 + slot as u8, n],
        }
    }

    /// As 32 bytes.
    pub(crate) fn bytes(self) -> [u8; 32] {
        let mut bytes = [0; 32];
        bytes[..2].copy_from_slice(&self.code());
        bytes
    }
}

/// The TLS exporter of a connection for a nonce, or what is left of it where it does not separate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Exporter {
    secret: Option<Slot>,
    context: Option<Nonce>,
}

impl Exporter {
    /// What both ends of a connection compute.
    pub(crate) fn of(slot: Slot, nonce: Nonce, scenario: &Scenario) -> Self {
        let secret = (scenario.assumptions.exporters == Exporters::Separate).then_some(slot);
        let context =
            scenario.rules.hold(Rule::Context) && scenario.assumptions.exporters != Exporters::Constant;
        Self { secret, context: context.then_some(nonce) }
    }

    fn bytes(self) -> [u8; 48] {
        let mut bytes = [0; 48];
        bytes[0] = self.secret.map_or(0, |slot| slot as u8 + 1);
        bytes[1..3].copy_from_slice(&self.context.map_or([0; 2], Nonce::code));
        bytes
    }
}

/// What `user_data` commits to.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Binding {
    /// True for the role `peer-enclave`.
    pub(crate) peer: bool,
    pub(crate) exporter: Exporter,
    pub(crate) key: Key,
    pub(crate) manifest: Of,
}

/// A release manifest's bytes, as short as they may be.
pub(crate) fn manifest_bytes(manifest: Of) -> &'static [u8] {
    match manifest {
        Of::Ours => b"ours",
        Of::Other => b"other",
    }
}

impl Binding {
    /// The real structure over symbolic bytes. Where a rule is off its field is constant.
    pub(crate) fn session(&self, scenario: &Scenario) -> SessionBinding {
        let hold = |rule| scenario.rules.hold(rule);
        let role = if self.peer && hold(Rule::Role) { Role::PeerEnclave } else { Role::Enclave };
        let digest = adyton_attestation::binding::manifest_sha384(manifest_bytes(self.manifest));
        SessionBinding {
            role,
            exporter: if hold(Rule::Exporter) { self.exporter.bytes() } else { [0; 48] },
            spki_sha384: if hold(Rule::Spki) { [self.key as u8 + 1; 48] } else { [0; 48] },
            manifest_sha384: if hold(Rule::ManifestBound) { digest } else { [0; 48] },
        }
    }
}

impl fmt::Debug for Binding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let role = if self.peer { "peer-enclave" } else { "enclave" };
        let secret = self.exporter.secret.map_or("?".to_owned(), |slot| format!("{slot:?}"));
        let context = self.exporter.context.map_or("?".to_owned(), |nonce| format!("{nonce:?}"));
        write!(f, "{role}, exporter({secret}, {context}), key {:?}, manifest {:?}", self.key, self.manifest)
    }
}

/// An attestation document. Its signature is genuine, or it would not be a term.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Document {
    /// Whose it is. The verifier sees it as the receipt key in `public_key`.
    pub(crate) signer: Enclave,
    pub(crate) registers: Registers,
    pub(crate) nonce: Nonce,
    pub(crate) binding: Binding,
    /// Made after A stopped, if ever it did.
    pub(crate) late: bool,
    /// The connection that its maker had in mind; none if it was made to order.
    pub(crate) made_on: Option<Slot>,
}

impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{:?}: nonce {:?}, {:?}]", self.signer, self.nonce, self.binding)
    }
}

/// What somebody knows, or what there is.
pub(crate) type Set<T> = BTreeSet<T>;

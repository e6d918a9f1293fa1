//! Where everybody stands: honest clients, the attacker's connections, what the attacker knows.
//!
//! # Promises
//! - Documents are no secrets: the attacker has each as soon as it is made, also those inside others' TLS,
//!   and the nonces in them. That is more than he could have.
//!
//! # Does not
//! - Remember in which order things happened, so that orders that make no difference are one state.

use crate::appraisal::Expectation;
use crate::rules::{Assumptions, Other, Rule, Scenario};
use crate::terms::{ACCEPTED, Binding, Document, Enclave, Exporter, Key, Nonce, Of, Registers, Set, Slot};

/// Who is at the server's end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum End {
    /// The network let it through.
    Server(Enclave),
    /// The attacker ends it, with a key that he holds.
    Attacker(Key),
}

impl End {
    /// The key in the certificate that the client is shown.
    pub(crate) fn key(self) -> Key {
        match self {
            End::Server(enclave) => key_of(enclave),
            End::Attacker(key) => key,
        }
    }
}

/// What was negotiated. The attacker opens recordings of classical connections one day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Group {
    Hybrid,
    Classical,
}

/// A connection of an honest client: the one that wants to send a prompt, or the enclave that wants to be
/// attested.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Call {
    Idle,
    /// TLS stands, the nonce is sent.
    Open {
        end: End,
        group: Group,
    },
    Refused,
    /// The evidence passed.
    Accepted {
        end: End,
        group: Group,
        document: Document,
        challenge: Nonce,
        /// The prompt, or the client's own evidence, was sent.
        spent: bool,
    },
}

/// The server's half of a session, as `enclave/src/session.rs` keeps it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Session {
    pub(crate) asked: u8,
    /// The open challenge, and the nonce whose exporter belongs to it.
    pub(crate) challenge: Option<(Nonce, Nonce)>,
    pub(crate) attested: Option<Document>,
}

/// A connection that the attacker made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Dial {
    pub(crate) server: Enclave,
    pub(crate) session: Session,
}

/// One state of the world.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct State {
    /// Of the client and of the peer.
    pub(crate) calls: [Call; 2],
    /// What A holds about the peer's connection, if it ends there.
    pub(crate) peer_session: Session,
    pub(crate) dials: [Option<Dial>; 2],
    /// All there are, and the attacker has them.
    pub(crate) documents: Set<Document>,
    /// What the attacker knows.
    pub(crate) nonces: Set<Nonce>,
    /// He has one document made to order.
    pub(crate) ordered: bool,
    /// A has ended.
    pub(crate) ended: bool,
    /// Somebody accepted a receipt: the document's enclave, and the receipt's; none if the attacker signed
    /// it.
    pub(crate) audited: Option<(Document, Option<Enclave>)>,
    /// Who got the prompt.
    pub(crate) prompt_at: Option<End>,
    /// A second prompt, as early data on a resumed connection: how often it arrived.
    pub(crate) flight: Option<u8>,
}

impl State {
    pub(crate) fn first(assumptions: &Assumptions) -> State {
        let mut nonces = Set::from([Nonce::Attacker]);
        if assumptions.nonce_known {
            nonces.insert(Nonce::Client);
        }
        State {
            calls: [Call::Idle; 2],
            peer_session: Session::default(),
            dials: [None; 2],
            documents: Set::new(),
            nonces,
            ordered: false,
            ended: false,
            audited: None,
            prompt_at: None,
            flight: None,
        }
    }

    /// A document exists, so the attacker has it.
    pub(crate) fn publish(&mut self, document: Document) {
        self.nonces.insert(document.nonce);
        self.documents.insert(document);
    }

    /// What an honest client expects, or expected, of evidence on its connection, beside a manifest.
    pub(crate) fn client_expects(&self, who: Slot, manifest: Of, scenario: &Scenario) -> Option<Expectation> {
        let (Call::Open { end, .. } | Call::Accepted { end, .. }) = self.calls[who as usize] else {
            return None;
        };
        let nonce = nonce_of(who);
        let exporter = Exporter::of(who, nonce, scenario);
        let binding = Binding { peer: false, exporter, key: end.key(), manifest };
        Some(Expectation { nonce, binding, late: self.ended })
    }
}

/// What a server expects of its client's evidence.
pub(crate) fn server_expects(
    slot: Slot,
    server: Enclave,
    session: &Session,
    manifest: Of,
    late: bool,
    scenario: &Scenario,
) -> Option<Expectation> {
    let (nonce, asked) = session.challenge?;
    let exporter = Exporter::of(slot, asked, scenario);
    let binding = Binding { peer: true, exporter, key: key_of(server), manifest };
    Some(Expectation { nonce, binding, late })
}

/// The nonce that an honest client sends.
pub(crate) fn nonce_of(who: Slot) -> Nonce {
    if who == Slot::Client { Nonce::Client } else { Nonce::Peer }
}

/// The key of an enclave's certificate. P is never a server.
pub(crate) fn key_of(enclave: Enclave) -> Key {
    if enclave == Enclave::A { Key::A } else { Key::B }
}

/// What the hardware measured.
pub(crate) fn registers_of(enclave: Enclave, scenario: &Scenario) -> Registers {
    match (enclave, scenario.other) {
        (Enclave::A | Enclave::P, _) | (Enclave::B, Other::Unmeasured) => ACCEPTED,
        (Enclave::B, Other::Account) => Registers { owner: Of::Other, ..ACCEPTED },
        (Enclave::B, Other::Release) => Registers { manifest: Of::Other, ..ACCEPTED },
        (Enclave::B, Other::Program) => Registers { image: Of::Other, ..ACCEPTED },
    }
}

/// The manifest that an enclave holds, shows and works by.
pub(crate) fn held_manifest(enclave: Enclave, scenario: &Scenario) -> Of {
    let other = enclave == Enclave::B && matches!(scenario.other, Other::Release | Other::Unmeasured);
    if other { Of::Other } else { Of::Ours }
}

/// Whether a prompt may be there: owner, image, and the manifest that it works by.
pub(crate) fn acceptable(enclave: Enclave, scenario: &Scenario) -> bool {
    registers_of(enclave, scenario) == ACCEPTED && held_manifest(enclave, scenario) == Of::Ours
}

/// The enclave that shows evidence of its own as a client.
pub(crate) fn caller(scenario: &Scenario) -> Enclave {
    if scenario.other_calls { Enclave::B } else { Enclave::P }
}

/// The challenge of a session's next answer.
pub(crate) fn challenge(slot: Slot, n: u8, scenario: &Scenario) -> Nonce {
    if scenario.rules.hold(Rule::Challenge) { Nonce::Challenge(slot, n) } else { Nonce::Constant }
}

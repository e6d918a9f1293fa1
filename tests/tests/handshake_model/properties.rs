//! What must never happen, what must be able to, and which attack a path is.
//!
//! # Promises
//! - Properties look at what happened, not at which rules hold.
//! - The name of an attack is read from the state in which it succeeds.

use stateright::Property;

use crate::explore::HandshakeModel;
use crate::rules::{Ends, Scenario};
use crate::state::{Call, End, Group, Session, State, acceptable, caller, nonce_of};
use crate::terms::{Document, Enclave, Nonce, Of, Slot};

pub(crate) const SECRECY: &str = "the attacker never has the prompt";
pub(crate) const DESTINATION: &str = "only an accepted enclave has the prompt";
pub(crate) const AGREEMENT: &str = "a client accepts only evidence made for its connection, nonce and role";
pub(crate) const PEERS: &str =
    "only an accepted enclave is an attested peer, by evidence for that connection";
pub(crate) const HYBRID: &str = "no prompt is sent over classical key exchange";
pub(crate) const ONCE: &str = "a prompt arrives once";
pub(crate) const RECEIPTS: &str = "an accepted receipt was signed by an accepted enclave";

pub(crate) const ARRIVES: &str = "the prompt can arrive at A";
pub(crate) const ATTESTS: &str = "the peer can be attested";
pub(crate) const AUDITS: &str = "a receipt of A can be accepted";

/// What must never happen.
pub(crate) const SAFETY: [&str; 7] = [SECRECY, DESTINATION, AGREEMENT, PEERS, HYBRID, ONCE, RECEIPTS];

/// What must be possible, or the model would be safe because nothing happens.
pub(crate) fn possible(scenario: &Scenario) -> Vec<&'static str> {
    let alive = scenario.assumptions.ends == Ends::Never;
    let expected = [(ARRIVES, alive), (ATTESTS, alive && !scenario.other_calls), (AUDITS, true)];
    expected.into_iter().filter(|(_, possible)| *possible).map(|(name, _)| name).collect()
}

pub(crate) fn properties() -> Vec<Property<HandshakeModel>> {
    vec![
        Property::always(SECRECY, |_, state: &State| !matches!(state.prompt_at, Some(End::Attacker(_)))),
        Property::always(DESTINATION, |model: &HandshakeModel, state: &State| match state.prompt_at {
            Some(End::Server(server)) => acceptable(server, &model.scenario),
            _ => true,
        }),
        Property::always(AGREEMENT, |_, state: &State| {
            [Slot::Client, Slot::Peer].into_iter().all(|who| agrees(state, who))
        }),
        Property::always(PEERS, |model: &HandshakeModel, state: &State| peers_hold(state, &model.scenario)),
        Property::always(HYBRID, |_, state: &State| !over_classical(state)),
        Property::always(ONCE, |_, state: &State| state.flight.is_none_or(|copies| copies < 2)),
        Property::always(RECEIPTS, |model: &HandshakeModel, state: &State| match state.audited {
            Some((_, signer)) => signer.is_some_and(|signer| acceptable(signer, &model.scenario)),
            None => true,
        }),
        Property::sometimes(ARRIVES, |_, state: &State| state.prompt_at == Some(End::Server(Enclave::A))),
        Property::sometimes(ATTESTS, |_, state: &State| {
            peer_session(state).is_some_and(|session| session.attested.is_some())
        }),
        Property::sometimes(AUDITS, |_, state: &State| audited_at_a(state)),
    ]
}

fn audited_at_a(state: &State) -> bool {
    let at_a = |(document, signer): (Document, Option<Enclave>)| {
        document.signer == Enclave::A && signer == Some(Enclave::A)
    };
    state.audited.is_some_and(at_a)
}

fn accepted(state: &State, who: Slot) -> Option<(End, Group, Document)> {
    match state.calls[who as usize] {
        Call::Accepted { end, group, document, .. } => Some((end, group, document)),
        _ => None,
    }
}

/// Not merely that the comparison passed: that the maker made it for this.
fn agrees(state: &State, who: Slot) -> bool {
    accepted(state, who).is_none_or(|(end, _, document)| {
        let meant = document.made_on == Some(who) && document.nonce == nonce_of(who);
        meant && !document.binding.peer && end == End::Server(document.signer)
    })
}

fn over_classical(state: &State) -> bool {
    let classical = accepted(state, Slot::Client).is_some_and(|(_, group, _)| group == Group::Classical);
    classical && state.prompt_at.is_some()
}

/// A's half of the peer's connection, if it ends in A.
fn peer_session(state: &State) -> Option<&Session> {
    let at_a = accepted(state, Slot::Peer).is_some_and(|(end, ..)| end == End::Server(Enclave::A));
    at_a.then_some(&state.peer_session)
}

fn peers_hold(state: &State, scenario: &Scenario) -> bool {
    let dialled = attested_dial(state).is_none();
    let called = peer_session(state).and_then(|session| session.attested).is_none_or(|document| {
        acceptable(caller(scenario), scenario)
            && document.binding.peer
            && document.made_on == Some(Slot::Peer)
    });
    dialled && called
}

/// A document by which A takes the attacker for a peer.
fn attested_dial(state: &State) -> Option<Document> {
    let at_a = state.dials.iter().flatten().filter(|dial| dial.server == Enclave::A);
    at_a.filter_map(|dial| dial.session.attested).next()
}

/// What the attack is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Attack {
    /// Live evidence of the right enclave, passed on to somebody else's connection.
    Relay,
    /// The right program under another owner.
    Diversion,
    /// Evidence, or a prompt, a second time.
    Replay,
    /// An enclave's own evidence, taken for its client's.
    Reflection,
    /// A weaker key exchange than the client wants.
    Downgrade,
    /// Another manifest: other weights, another policy.
    Substitution,
    /// Another program.
    Impersonation,
    /// A receipt that no accepted enclave signed for that document.
    Forgery,
}

/// Which attack has succeeded in a state that breaks the property.
pub(crate) fn attack(property: &str, state: &State, scenario: &Scenario) -> Attack {
    match property {
        HYBRID => Attack::Downgrade,
        ONCE => Attack::Replay,
        RECEIPTS => of_receipt(state, scenario),
        PEERS => match attested_dial(state) {
            Some(document) if !document.binding.peer && document.signer == Enclave::A => Attack::Reflection,
            found => by_document(found.or(state.peer_session.attested), challenge_given(state), scenario),
        },
        _ => {
            let disagreeing = [Slot::Client, Slot::Peer].into_iter().find(|who| !agrees(state, *who));
            let who = disagreeing.unwrap_or(Slot::Client);
            by_document(accepted(state, who).map(|(.., document)| document), Some(nonce_of(who)), scenario)
        }
    }
}

/// The challenge that the peer was given: what it signs live is signed for that one.
fn challenge_given(state: &State) -> Option<Nonce> {
    match state.calls[Slot::Peer as usize] {
        Call::Accepted { challenge: nonce @ Nonce::Challenge(Slot::First | Slot::Second, _), .. } => {
            Some(nonce)
        }
        _ => None,
    }
}

fn of_receipt(state: &State, scenario: &Scenario) -> Attack {
    match state.audited {
        Some((document, signer)) if signer == Some(document.signer) => {
            by_document(Some(document), Some(document.nonce), scenario)
        }
        _ => Attack::Forgery,
    }
}

/// By what is wrong with the document that was accepted: its enclave, or else its time.
fn by_document(document: Option<Document>, live: Option<Nonce>, scenario: &Scenario) -> Attack {
    let Some(document) = document else { return Attack::Impersonation };
    let wrong = document.registers;
    if wrong.image != Of::Ours {
        Attack::Impersonation
    } else if wrong.owner != Of::Ours {
        Attack::Diversion
    } else if !acceptable(document.signer, scenario) {
        Attack::Substitution
    } else if Some(document.nonce) == live && scenario.assumptions.ends == Ends::Never {
        Attack::Relay
    } else {
        Attack::Replay
    }
}

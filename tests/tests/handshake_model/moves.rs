//! What may happen next: the attacker's choices as owner of the network, and the honest steps that he lets
//! happen.
//!
//! # Promises
//! - No move is an attack by itself: each is something that a network, a client, an enclave's owner or an
//!   honest party can do.
//! - Honest parties act by the rules that hold; the attacker shows, presents and asks for whatever he knows.
//!
//! # Does not
//! - Let the attacker into a connection of which he is no end.
//! - Go on from an attempt of his that was refused. It could only take choices away: the client hangs up,
//!   the challenge is used up. So a challenge is never used up here, and that it is good once is not what
//!   the model's safety rests on.
//!
//! Bounds: one connection of each honest client, two of the attacker with two questions each, one document
//! to order.

use std::fmt;

use crate::appraisal::Expectation;
use crate::rules::{Ends, Other, Rule, Scenario};
use crate::state::{Call, End, Group, State, server_expects};
use crate::terms::{Binding, Document, Enclave, Key, Nonce, Of, Set, Slot};

/// Questions for evidence on one of the attacker's connections (the enclave allows four).
const MAX_ASKED: [u8; 2] = [2, 1];
/// Copies of a flight that the network delivers.
const MAX_COPIES: u8 = 2;

/// One step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Move {
    /// An honest client connects, and sends its nonce.
    Open { who: Slot, end: End, group: Group },
    /// The server at the end of an honest client's connection gives evidence; the client appraises it.
    Answer { who: Slot },
    /// The attacker, at the end of it, shows a document; the client appraises it.
    Show { who: Slot, document: Document, manifest: Of, challenge: Nonce },
    /// The client sends its prompt.
    Send,
    /// The peer makes its own evidence for the challenge, and presents it.
    Present,
    /// The attacker connects.
    Dial { slot: Slot, server: Enclave },
    /// He asks for evidence on a connection of his.
    Ask { slot: Slot, nonce: Nonce },
    /// He presents evidence on it as if he were an enclave.
    Offer { slot: Slot, document: Document, manifest: Of },
    /// The other program asks its hardware for a document that says what the attacker wants.
    Order { nonce: Nonce, binding: Binding },
    /// A third person is given a document and a receipt: whose it is, or one that the attacker signed.
    Audit { document: Document, manifest: Of, receipt: Option<Enclave> },
    /// A ends.
    End,
    /// The client resumes its connection and sends a prompt in the first flight.
    Resume,
    /// The network delivers that flight.
    Deliver,
}

/// Everything that may happen in this state.
pub(crate) fn moves(state: &State, scenario: &Scenario) -> Vec<Move> {
    let mut found = Vec::new();
    if is_over(state) {
        delivering(state, &mut found);
        return found;
    }
    for who in [Slot::Client, Slot::Peer] {
        opening(state, who, scenario, &mut found);
        answering(state, who, scenario, &mut found);
    }
    sending(state, scenario, &mut found);
    for slot in [Slot::First, Slot::Second] {
        dialling(state, slot, scenario, &mut found);
    }
    ordering(state, scenario, &mut found);
    auditing(state, &mut found);
    if scenario.assumptions.ends != Ends::Never && !state.ended {
        found.push(Move::End);
    }
    found
}

/// Prompts and receipts are where a run ends. Nothing that comes after depends on them, so whatever could
/// happen after one is explored without it.
fn is_over(state: &State) -> bool {
    state.prompt_at.is_some() || state.audited.is_some() || state.flight.is_some()
}

fn delivering(state: &State, found: &mut Vec<Move>) {
    if state.flight.is_some_and(|copies| copies < MAX_COPIES) {
        found.push(Move::Deliver);
    }
}

/// Enclaves that answer connections by the program. The other program's end is the attacker's.
fn servers(state: &State, scenario: &Scenario) -> Vec<Enclave> {
    let a = (!state.ended).then_some(Enclave::A);
    let b = (scenario.other != Other::Program).then_some(Enclave::B);
    a.into_iter().chain(b).collect()
}

fn opening(state: &State, who: Slot, scenario: &Scenario, found: &mut Vec<Move>) {
    let early = scenario.assumptions.ends != Ends::Never && !state.ended;
    if state.calls[who as usize] != Call::Idle || early {
        return;
    }
    let servers = servers(state, scenario).into_iter().map(End::Server);
    let leaked = scenario.assumptions.tls_key_leaked.then_some(End::Attacker(Key::A));
    for end in servers.chain([End::Attacker(Key::Attacker)]).chain(leaked) {
        for group in groups(who, end, scenario) {
            found.push(Move::Open { who, end, group });
        }
    }
}

/// What TLS can end in. A client without the rule offers both groups; servers of ours prefer the hybrid.
fn groups(who: Slot, end: End, scenario: &Scenario) -> Vec<Group> {
    let offered = who == Slot::Client && !scenario.rules.hold(Rule::HybridOnly);
    let chosen = matches!(end, End::Attacker(_)) || scenario.assumptions.offer_tampered;
    let classical = (offered && chosen).then_some(Group::Classical);
    [Group::Hybrid].into_iter().chain(classical).collect()
}

fn answering(state: &State, who: Slot, scenario: &Scenario, found: &mut Vec<Move>) {
    match state.calls[who as usize] {
        Call::Open { end: End::Server(server), .. } if servers(state, scenario).contains(&server) => {
            found.push(Move::Answer { who });
        }
        Call::Open { end: End::Attacker(_), .. } => {
            for &document in &state.documents {
                for manifest in [Of::Ours, Of::Other] {
                    showing(state, who, document, manifest, found);
                }
            }
        }
        _ => {}
    }
}

fn showing(state: &State, who: Slot, document: Document, manifest: Of, found: &mut Vec<Move>) {
    // The client that is no enclave does not look at the challenge.
    let challenges: Vec<Nonce> = match who {
        Slot::Peer => state.nonces.iter().copied().collect(),
        _ => vec![Nonce::Attacker],
    };
    found.extend(challenges.into_iter().map(|challenge| Move::Show { who, document, manifest, challenge }));
}

fn sending(state: &State, scenario: &Scenario, found: &mut Vec<Move>) {
    if let Call::Accepted { end, .. } = state.calls[0] {
        found.push(Move::Send);
        let resumes = !scenario.rules.hold(Rule::NoResumption) && matches!(end, End::Server(_));
        if resumes {
            found.push(Move::Resume);
        }
    }
    if matches!(state.calls[1], Call::Accepted { spent: false, .. }) {
        found.push(Move::Present);
    }
}

fn dialling(state: &State, slot: Slot, scenario: &Scenario, found: &mut Vec<Move>) {
    let Some(dial) = &state.dials[dial_index(slot)] else {
        // His second connection comes after his first: they are alike.
        if slot == Slot::First || state.dials[0].is_some() {
            let servers = servers(state, scenario);
            found.extend(servers.into_iter().map(|server| Move::Dial { slot, server }));
        }
        return;
    };
    if !servers(state, scenario).contains(&dial.server) {
        return;
    }
    if dial.session.asked < MAX_ASKED[dial_index(slot)] {
        found.extend(state.nonces.iter().map(|&nonce| Move::Ask { slot, nonce }));
    }
    if dial.session.challenge.is_some() && dial.session.attested.is_none() {
        for manifest in [Of::Ours, Of::Other] {
            let offers = state.documents.iter().map(|&document| Move::Offer { slot, document, manifest });
            found.extend(offers);
        }
    }
}

/// The other program can have anything signed that the attacker can put together. What no verifier waits
/// for can as well be ordered once one does.
fn ordering(state: &State, scenario: &Scenario, found: &mut Vec<Move>) {
    if scenario.other != Other::Program || state.ordered {
        return;
    }
    let wanted = expectations(state, scenario).into_iter();
    found.extend(wanted.map(|Expectation { nonce, binding, .. }| Move::Order { nonce, binding }));
}

/// What the verifiers at the other ends of the attacker's connections expect, beside either manifest.
pub(crate) fn expectations(state: &State, scenario: &Scenario) -> Vec<Expectation> {
    let mut found = Vec::new();
    for manifest in [Of::Ours, Of::Other] {
        for who in [Slot::Client, Slot::Peer] {
            let at_attacker = matches!(state.calls[who as usize], Call::Open { end: End::Attacker(_), .. });
            found.extend(state.client_expects(who, manifest, scenario).filter(|_| at_attacker));
        }
        for (slot, dial) in [Slot::First, Slot::Second].into_iter().zip(&state.dials) {
            let dial = dial.as_ref();
            found.extend(dial.and_then(|dial| {
                server_expects(slot, dial.server, &dial.session, manifest, state.ended, scenario)
            }));
        }
    }
    found
}

fn auditing(state: &State, found: &mut Vec<Move>) {
    // Whoever was given evidence can send a request and has its receipt; and the attacker signs his own.
    let asked = state.dials.iter().flatten().filter(|dial| dial.session.asked > 0);
    let receipts: Set<Option<Enclave>> = asked.map(|dial| Some(dial.server)).chain([None]).collect();
    for &document in &state.documents {
        for manifest in [Of::Ours, Of::Other] {
            found.extend(receipts.iter().map(|&receipt| Move::Audit { document, manifest, receipt }));
        }
    }
}

pub(crate) fn dial_index(slot: Slot) -> usize {
    if slot == Slot::Second { 1 } else { 0 }
}

impl fmt::Display for Move {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Move::Open { who, end: End::Server(server), group } => {
                write!(f, "{who:?} connects, is let through to {server:?}, {group:?}")
            }
            Move::Open { who, end: End::Attacker(key), group } => {
                write!(f, "{who:?} connects, the attacker ends it with key {key:?}, {group:?}")
            }
            Move::Answer { who } => write!(f, "the server answers {who:?} with evidence"),
            Move::Show { who, document, manifest, challenge } => write!(
                f,
                "the attacker shows {who:?} {document:?}, manifest {manifest:?}, challenge {challenge:?}"
            ),
            Move::Send => write!(f, "Client sends its prompt"),
            Move::Present => write!(f, "Peer makes and presents its own evidence"),
            Move::Dial { slot, server } => write!(f, "the attacker connects to {server:?} ({slot:?})"),
            Move::Ask { slot, nonce } => write!(f, "the attacker asks {slot:?} for evidence with {nonce:?}"),
            Move::Offer { slot, document, manifest } => {
                write!(f, "the attacker presents {document:?}, manifest {manifest:?}, to {slot:?}")
            }
            Move::Order { nonce, binding } => write!(f, "B's program orders [nonce {nonce:?}, {binding:?}]"),
            Move::Audit { document, manifest, receipt } => {
                write!(f, "somebody is given {document:?}, manifest {manifest:?}, receipt of {receipt:?}")
            }
            Move::End => write!(f, "A ends"),
            Move::Resume => write!(f, "Client resumes, and sends a prompt in the first flight"),
            Move::Deliver => write!(f, "the network delivers that flight"),
        }
    }
}

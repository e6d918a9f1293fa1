//! What comes of each move: honest parties do as `client/src/session.rs` and `enclave/src/session.rs` do.
//!
//! # Promises
//! - Whoever is honest acts by the rules that hold, and by nothing that he cannot see.
//!
//! # Does not
//! - Judge. What must not have happened is in `properties.rs`.

use crate::appraisal::{appraise, appraise_archived};
use crate::moves::{Move, dial_index};
use crate::rules::{Rule, Scenario};
use crate::state::{
    Call, Dial, End, Group, Session, State, caller, challenge, held_manifest, key_of, nonce_of, registers_of,
    server_expects,
};
use crate::terms::{Binding, Document, Enclave, Exporter, Nonce, Of, Slot};

/// What comes of a move; none if nothing does.
pub(crate) fn after(state: &State, step: Move, scenario: &Scenario) -> Option<State> {
    let mut next = state.clone();
    match step {
        Move::Open { who, end, group } => open(&mut next, who, end, group),
        Move::Answer { who } => answer(&mut next, who, scenario)?,
        Move::Show { who, document, manifest, challenge } => {
            judge(&mut next, who, (document, manifest), challenge, scenario)?;
        }
        Move::Send => send(&mut next)?,
        Move::Present => present(&mut next, scenario)?,
        Move::Dial { slot, server } => {
            next.dials[dial_index(slot)] = Some(Dial { server, session: Session::default() });
        }
        Move::Ask { slot, nonce } => ask(&mut next, slot, nonce, scenario)?,
        Move::Offer { slot, document, manifest } => offer(&mut next, slot, document, manifest, scenario)?,
        Move::Order { nonce, binding } => order(&mut next, nonce, binding, scenario),
        Move::Audit { document, manifest, receipt } => {
            audit(&mut next, document, manifest, receipt, scenario)?;
        }
        Move::End => next.ended = true,
        Move::Resume => next.flight = Some(0),
        Move::Deliver => next.flight = Some(state.flight? + 1),
    }
    Some(next)
}

fn open(next: &mut State, who: Slot, end: End, group: Group) {
    next.calls[who as usize] = Call::Open { end, group };
    if matches!(end, End::Attacker(_)) {
        next.nonces.insert(nonce_of(who));
    }
}

/// A document as an enclave's program makes it for a connection that ends in it.
fn honest(server: Enclave, slot: Slot, nonce: Nonce, state: &State, scenario: &Scenario) -> Document {
    let exporter = Exporter::of(slot, nonce, scenario);
    let manifest = held_manifest(server, scenario);
    let binding = Binding { peer: false, exporter, key: key_of(server), manifest };
    let registers = registers_of(server, scenario);
    Document { signer: server, registers, nonce, binding, late: state.ended, made_on: Some(slot) }
}

fn answer(next: &mut State, who: Slot, scenario: &Scenario) -> Option<()> {
    let Call::Open { end: End::Server(server), .. } = next.calls[who as usize] else { return None };
    let document = honest(server, who, nonce_of(who), next, scenario);
    next.publish(document);
    let challenge = challenge(who, 0, scenario);
    if who == Slot::Peer {
        next.peer_session = Session { asked: 1, challenge: Some((challenge, Nonce::Peer)), attested: None };
    }
    let shown = (document, held_manifest(server, scenario));
    if judge(next, who, shown, challenge, scenario).is_none() {
        next.calls[who as usize] = Call::Refused;
    }
    Some(())
}

/// The client appraises; none if it refuses.
fn judge(
    next: &mut State,
    who: Slot,
    shown: (Document, Of),
    challenge: Nonce,
    scenario: &Scenario,
) -> Option<()> {
    let (document, manifest) = shown;
    let expectation = next.client_expects(who, manifest, scenario)?;
    let Call::Open { end, group } = next.calls[who as usize] else { return None };
    appraise(&document, &expectation, scenario).ok()?;
    next.calls[who as usize] = Call::Accepted { end, group, document, challenge, spent: false };
    Some(())
}

fn send(next: &mut State) -> Option<()> {
    let Call::Accepted { end, spent, .. } = &mut next.calls[0] else { return None };
    *spent = true;
    next.prompt_at = Some(*end);
    Some(())
}

fn present(next: &mut State, scenario: &Scenario) -> Option<()> {
    let Call::Accepted { end, challenge, spent, .. } = &mut next.calls[1] else { return None };
    let (end, challenge) = (*end, *challenge);
    *spent = true;
    let exporter = Exporter::of(Slot::Peer, Nonce::Peer, scenario);
    let manifest = held_manifest(caller(scenario), scenario);
    let binding = Binding { peer: true, exporter, key: end.key(), manifest };
    let (signer, registers) = (caller(scenario), registers_of(caller(scenario), scenario));
    let (late, made_on) = (next.ended, Some(Slot::Peer));
    let document = Document { signer, registers, nonce: challenge, binding, late, made_on };
    next.publish(document);
    if let End::Server(server) = end {
        // A refusal leaves an ordinary client; the document is out in the world either way.
        let _ = take(Slot::Peer, server, &mut next.peer_session, (document, manifest), late, scenario);
    }
    Some(())
}

/// The server's `take_evidence`; none if it refuses.
fn take(
    slot: Slot,
    server: Enclave,
    session: &mut Session,
    shown: (Document, Of),
    late: bool,
    scenario: &Scenario,
) -> Option<()> {
    let (document, manifest) = shown;
    let expected = server_expects(slot, server, session, manifest, late, scenario)?;
    appraise(&document, &expected, scenario).ok()?;
    session.attested = Some(document);
    Some(())
}

fn ask(next: &mut State, slot: Slot, nonce: Nonce, scenario: &Scenario) -> Option<()> {
    let dial = next.dials[dial_index(slot)]?;
    let document = honest(dial.server, slot, nonce, next, scenario);
    let challenge = challenge(slot, dial.session.asked, scenario);
    next.publish(document);
    next.nonces.insert(challenge);
    let session = Session {
        asked: dial.session.asked + 1,
        challenge: Some((challenge, nonce)),
        attested: dial.session.attested,
    };
    next.dials[dial_index(slot)] = Some(Dial { session, ..dial });
    Some(())
}

fn offer(next: &mut State, slot: Slot, document: Document, manifest: Of, scenario: &Scenario) -> Option<()> {
    let late = next.ended;
    let dial = next.dials[dial_index(slot)].as_mut()?;
    take(slot, dial.server, &mut dial.session, (document, manifest), late, scenario)
}

fn order(next: &mut State, nonce: Nonce, binding: Binding, scenario: &Scenario) {
    next.ordered = true;
    let registers = registers_of(Enclave::B, scenario);
    let (signer, late) = (Enclave::B, next.ended);
    next.publish(Document { signer, registers, nonce, binding, late, made_on: None });
}

fn audit(
    next: &mut State,
    document: Document,
    manifest: Of,
    receipt: Option<Enclave>,
    scenario: &Scenario,
) -> Option<()> {
    let hold = |rule| scenario.rules.hold(rule);
    let signed = receipt == Some(document.signer) || !hold(Rule::ReceiptKey);
    // An enclave's receipt names the manifest that it holds; the attacker's own names any.
    let named = receipt.is_none_or(|signer| held_manifest(signer, scenario) == manifest);
    let passes = signed && (named || !hold(Rule::ReceiptManifest));
    (passes && appraise_archived(&document, manifest, scenario).is_ok()).then_some(())?;
    next.audited = Some((document, receipt));
    Some(())
}

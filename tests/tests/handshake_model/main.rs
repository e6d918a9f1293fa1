//! The handshake as a model: an attacker who owns the network, one genuine enclave of his, and every order
//! of events.
//!
//! `terms.rs` is what is said, `rules.rs` which rules there are, `appraisal.rs` what a verifier compares,
//! `state.rs`, `moves.rs` and `effects.rs` what can happen, `properties.rs` what must not, `explore.rs` the
//! checker, `table.rs` what comes of leaving a rule out. `conformance.rs` holds the model's appraisal
//! against the real one.
//!
//! # Promises
//! - With all rules, relay, diversion, replay, reflection and downgrade are unreachable in every scenario;
//!   every state was visited, and honest runs succeed.
//! - Without a rule the checker finds the attack by itself, from moves that are not attacks.
//!
//! # Does not
//! - Say anything of the code but where `user_data`, PCR16 and the appraisal are the real ones.
//! - Look inside cryptography, or beyond its bounds: see `moves.rs`.
//!
//! # Trusts
//! - stateright, and that the rules are those of `docs/protocol.md`.
//!
//! Source: D. Dolev and A. Yao, "On the security of public key protocols" (1983); docs/protocol.md, section
//! 13.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test that cannot go on ends

mod appraisal;
mod conformance;
mod effects;
mod explore;
mod moves;
mod properties;
mod rules;
mod state;
mod table;
mod terms;

use std::collections::BTreeSet;

use explore::{Found, exhaust, find};
use moves::Move;
use properties::{Attack, DESTINATION, PEERS, SECRECY, possible};
use rules::{Exporters, Rule, Scenario};
use state::{End, Group};
use table::{IN_DEPTH, ONE, Row, SECOND, TWO};
use terms::{Document, Enclave, Key, Nonce, Of, Slot};

/// Fewer states than the smallest world has would mean that moves were lost.
const FLOOR: usize = 10_000;

fn safe(scenario: Scenario, off: &[Rule]) {
    let explored = exhaust(scenario.without(off));
    assert!(explored.broken.is_empty(), "{} without {off:?}: {:?}", scenario.name, explored.broken);
}

#[test]
fn with_all_rules_no_attack_is_reachable() {
    let mut total = 0;
    for scenario in Scenario::all() {
        let explored = exhaust(scenario);
        println!("{:34} {:6} states, depth {}", scenario.name, explored.states, explored.depth);
        assert_eq!(explored.broken, BTreeSet::new(), "{}", scenario.name);
        assert_eq!(explored.possible, possible(&scenario).into_iter().collect(), "{}", scenario.name);
        assert!(explored.states > FLOOR, "{}: {} states", scenario.name, explored.states);
        total += explored.states;
    }
    println!("{total} states");
}

fn attack_of(row: &Row) -> Found {
    let scenario = Scenario::named(row.scenario).without(row.off);
    let found = find(scenario, row.broken);
    let found = found.unwrap_or_else(|| panic!("without {:?} nothing breaks: {}", row.off, row.broken));
    println!("without {:?}, {}: {:?}\n{}", row.off, row.scenario, found.attack, found.told());
    assert_eq!(found.attack, row.attack, "without {:?}, {}\n{}", row.off, row.scenario, found.told());
    found
}

#[test]
fn without_one_rule_there_is_an_attack() {
    for row in &ONE {
        attack_of(row);
    }
    let shown: BTreeSet<Rule> = ONE.iter().flat_map(|row| row.off).copied().chain(SECOND).collect();
    assert_eq!(shown, BTreeSet::from(Rule::ALL), "each rule is needed, or a second strand");
}

#[test]
fn second_strands_show_beside_another_rule_only() {
    for row in &TWO {
        attack_of(row);
        for rule in row.off {
            safe(Scenario::named(row.scenario), &[*rule]);
        }
    }
    // Fewer rules allow more, so this says it of each of the three alone.
    for scenario in Scenario::all() {
        safe(scenario, &[Rule::Context, Rule::ManifestBound]);
        safe(scenario, &[Rule::Context, Rule::ReceiptManifest]);
    }
}

#[test]
fn some_rules_are_needed_only_where_something_else_has_failed() {
    let sound = Scenario::all().into_iter().filter(Scenario::nothing_failed);
    for scenario in sound {
        for off in IN_DEPTH {
            safe(scenario, off);
        }
    }
    let in_depth = IN_DEPTH.iter().copied().flatten().copied();
    let needed_at_once = ONE.iter().filter(|row| Scenario::named(row.scenario).nothing_failed());
    let others: BTreeSet<Rule> = needed_at_once.flat_map(|row| row.off).copied().collect();
    let all: BTreeSet<Rule> = others.into_iter().chain(in_depth).chain(SECOND).collect();
    assert_eq!(all, BTreeSet::from(Rule::ALL));
}

/// Whoever holds the key, where exporters do not separate, is the enclave as far as TLS can tell.
#[test]
fn two_failures_at_once_are_beyond_the_rules() {
    for exporters in [Exporters::Synchronised, Exporters::Constant] {
        let found = find(Scenario::lost(exporters), SECRECY).unwrap();
        assert_eq!(found.attack, Attack::Relay, "{}", found.told());
    }
}

/// The classical one: the attacker ends TLS with a stolen key and passes on live evidence of the enclave
/// that owns it.
#[test]
fn a_relay_goes_as_in_the_books() {
    let found = find(Scenario::named("leaked key").without(&[Rule::Exporter]), SECRECY).unwrap();
    let document = relayed(&found);
    let (who, slot, nonce) = (Slot::Client, Slot::First, Nonce::Client);
    let steps = BTreeSet::from([
        Move::Open { who, end: End::Attacker(Key::A), group: Group::Hybrid },
        Move::Dial { slot, server: Enclave::A },
        Move::Ask { slot, nonce },
        Move::Show { who, document, manifest: Of::Ours, challenge: Nonce::Attacker },
        Move::Send,
    ]);
    assert_eq!(found.moves.iter().copied().collect::<BTreeSet<_>>(), steps, "{}", found.told());
    assert_eq!((document.signer, document.nonce, document.made_on), (Enclave::A, nonce, Some(slot)));
    assert_eq!(found.last.prompt_at, Some(End::Attacker(Key::A)));
}

fn relayed(found: &Found) -> Document {
    let shown = found.moves.iter().find_map(|step| match step {
        Move::Show { document, .. } => Some(*document),
        _ => None,
    });
    shown.unwrap_or_else(|| panic!("nothing was shown\n{}", found.told()))
}

#[test]
fn a_diversion_needs_nothing_but_a_wrong_turn() {
    let found = find(Scenario::named("another account").without(&[Rule::Owner]), DESTINATION).unwrap();
    let diverted = Move::Open { who: Slot::Client, end: End::Server(Enclave::B), group: Group::Hybrid };
    assert_eq!(found.moves, [diverted, Move::Answer { who: Slot::Client }, Move::Send], "{}", found.told());
}

#[test]
fn a_reflection_uses_two_connections_to_one_enclave() {
    let found = find(Scenario::named("constant exporter").without(&[Rule::Role]), PEERS).unwrap();
    let Some(Move::Offer { slot, document, .. }) = found.moves.last() else { panic!("{}", found.told()) };
    assert_eq!(document.signer, Enclave::A);
    assert!(!document.binding.peer && document.made_on != Some(*slot), "{}", found.told());
    assert!(matches!(document.nonce, Nonce::Challenge(challenged, _) if challenged == *slot));
}

//! Runs the checker: to the end of a world, or to the first state that breaks a promise.
//!
//! # Promises
//! - [`exhaust`] visits every state: no depth, number or time ends it early, and it says so.
//! - No step of a path that [`find`] gives can be left out.
//!
//! # Does not
//! - Tell two states apart whose 64-bit fingerprints collide, which for 100,000 states has a chance below
//!   one in a billion.

use std::collections::BTreeSet;

use stateright::{Checker, HasDiscoveries, Model, Property};

use crate::effects::after;
use crate::moves::{Move, moves};
use crate::properties::{Attack, SAFETY, attack, properties};
use crate::rules::Scenario;
use crate::state::State;

/// One scenario, as the checker takes it.
#[derive(Clone)]
pub(crate) struct HandshakeModel {
    pub(crate) scenario: Scenario,
}

impl Model for HandshakeModel {
    type State = State;
    type Action = Move;

    fn init_states(&self) -> Vec<State> {
        vec![State::first(&self.scenario.assumptions)]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Move>) {
        actions.extend(moves(state, &self.scenario));
    }

    fn next_state(&self, state: &State, step: Move) -> Option<State> {
        after(state, step, &self.scenario)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties()
    }
}

/// All of a world.
#[derive(Debug)]
pub(crate) struct Explored {
    pub(crate) states: usize,
    /// Longest of the shortest paths to a state.
    pub(crate) depth: usize,
    /// Promises that a state breaks.
    pub(crate) broken: BTreeSet<&'static str>,
    /// What was seen to be possible.
    pub(crate) possible: BTreeSet<&'static str>,
}

/// Visits every state.
pub(crate) fn exhaust(scenario: Scenario) -> Explored {
    let checker = HandshakeModel { scenario }.checker().spawn_bfs().join();
    assert!(checker.is_done(), "{}: states are left", scenario.name);
    let found: BTreeSet<&'static str> = checker.discoveries().into_keys().collect();
    let (broken, possible) = found.into_iter().partition(|name| SAFETY.contains(name));
    Explored { states: checker.unique_state_count(), depth: checker.max_depth(), broken, possible }
}

/// An attack, and how it goes.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) attack: Attack,
    pub(crate) moves: Vec<Move>,
    pub(crate) last: State,
}

impl Found {
    /// The path in words, a line a step.
    pub(crate) fn told(&self) -> String {
        self.moves.iter().enumerate().map(|(n, step)| format!("  {}. {step}\n", n + 1)).collect()
    }
}

/// A way to break this promise, if there is one.
pub(crate) fn find(scenario: Scenario, property: &'static str) -> Option<Found> {
    let model = HandshakeModel { scenario };
    let wanted = HasDiscoveries::AllOf(BTreeSet::from([property]));
    let checker = model.clone().checker().finish_when(wanted).spawn_bfs().join();
    let mut moves = checker.discovery(property)?.into_actions();
    while let Some(shorter) = shorten(&model, &moves, property) {
        moves = shorter;
    }
    let last = breaks(&model, &moves, property)?;
    Some(Found { attack: attack(property, &last, &scenario), moves, last })
}

/// The same with one step less, if one can be left out.
fn shorten(model: &HandshakeModel, moves: &[Move], property: &'static str) -> Option<Vec<Move>> {
    (0..moves.len()).find_map(|left_out| {
        let (before, behind) = (&moves[..left_out], &moves[left_out + 1..]);
        let fewer = [before, behind].concat();
        breaks(model, &fewer, property).map(|_| fewer)
    })
}

/// The state that these moves lead to, if each may follow the one before and the last breaks the promise.
fn breaks(model: &HandshakeModel, path: &[Move], property: &'static str) -> Option<State> {
    let mut state = State::first(&model.scenario.assumptions);
    for step in path {
        moves(&state, &model.scenario).contains(step).then_some(())?;
        state = after(&state, *step, &model.scenario)?;
    }
    let holds = model.property(property).condition;
    (!holds(model, &state)).then_some(state)
}

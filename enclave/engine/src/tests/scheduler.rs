//! The scheduler alone: turns, memory, fairness.

use crate::cache::blocks_for;
use crate::scheduler::{Bounds, Plan, Scheduler, SequenceId};

const BOUNDS: Bounds = Bounds { running: 4, rows: 64, beside: 32, blocks: 100 };

/// Sequences that do what they are told.
struct World {
    scheduler: Scheduler,
    /// Tokens and computed tokens of each.
    state: Vec<(usize, usize)>,
    owners: Vec<u8>,
    /// Rows computed for each owner.
    rows: [usize; 256],
}

impl World {
    fn new(bounds: Bounds) -> World {
        World { scheduler: Scheduler::new(bounds), state: Vec::new(), owners: Vec::new(), rows: [0; 256] }
    }

    fn submit(&mut self, owner: u8, tokens: usize) -> usize {
        let number = self.state.len();
        self.scheduler.submit(SequenceId(number as u64), [owner; 32], tokens, 0);
        self.state.push((tokens, 0));
        self.owners.push(owner);
        number
    }

    fn step(&mut self) -> Plan {
        let plan = self.scheduler.plan(0);
        for id in &plan.preempted {
            self.state[id.0 as usize].1 = 0;
        }
        for (id, count) in &plan.spans {
            let n = id.0 as usize;
            let (tokens, computed) = &mut self.state[n];
            *computed += count;
            assert!(*computed <= *tokens);
            *tokens += usize::from(computed == tokens);
            self.rows[self.owners[n] as usize] += count;
            self.scheduler.note(*id, *tokens, *computed);
        }
        plan
    }

    fn held(&self) -> usize {
        let running = self.state.iter().filter(|(_, computed)| *computed > 0);
        running.map(|(_, computed)| blocks_for(*computed)).sum()
    }
}

fn numbers(ids: &[SequenceId]) -> Vec<u64> {
    ids.iter().map(|id| id.0).collect()
}

#[test]
fn a_prompt_is_read_in_chunks_and_then_a_token_at_a_time() {
    let mut world = World::new(BOUNDS);
    world.submit(1, 150);
    let rows: Vec<usize> = (0..5).map(|_| world.step().spans[0].1).collect();
    assert_eq!(rows, [64, 64, 22, 1, 1]);
}

#[test]
fn whoever_answers_gets_a_row_in_each_step_beside_bounded_prompts() {
    let mut world = World::new(BOUNDS);
    world.submit(1, 5);
    world.step();
    world.submit(2, 1000);
    world.submit(1, 1000);
    for _ in 0..20 {
        let plan = world.step();
        assert_eq!(plan.spans[0], (SequenceId(0), 1));
        assert_eq!(plan.spans[1..].iter().map(|(_, rows)| rows).sum::<usize>(), BOUNDS.beside);
    }
}

#[test]
fn owners_are_served_alike_however_many_sequences_they_bring() {
    let mut world = World::new(BOUNDS);
    for _ in 0..40 {
        world.submit(1, 200);
    }
    world.submit(2, 200);
    let plan = world.step();
    assert_eq!(plan.admitted[..2], [SequenceId(0), SequenceId(40)]);
    for _ in 0..5 {
        world.step();
    }
    let difference = world.rows[1].abs_diff(world.rows[2]);
    assert!(difference <= BOUNDS.rows, "{} and {}", world.rows[1], world.rows[2]);
}

#[test]
fn an_owner_who_was_away_has_saved_up_nothing() {
    let mut world = World::new(Bounds { running: 2, ..BOUNDS });
    world.submit(1, 5000);
    for _ in 0..50 {
        world.step();
    }
    world.submit(2, 5000);
    let before = world.rows;
    for _ in 0..20 {
        world.step();
    }
    let (one, two) = (world.rows[1] - before[1], world.rows[2] - before[2]);
    assert!(one.abs_diff(two) <= BOUNDS.rows, "{one} and {two}");
}

#[test]
fn whoever_leaves_and_comes_back_is_not_new() {
    let mut world = World::new(Bounds { running: 1, ..BOUNDS });
    let first = world.submit(1, 500);
    for _ in 0..20 {
        world.step();
    }
    world.scheduler.remove(SequenceId(first as u64));
    let other = world.submit(2, 100);
    world.submit(1, 10);
    assert_eq!(numbers(&world.step().admitted), [other as u64]);
    let further = world.submit(2, 10);
    world.scheduler.remove(SequenceId(other as u64));
    // The second of owner 2 comes before the first of owner 1, who was served more.
    assert_eq!(numbers(&world.step().admitted), [further as u64]);
}

#[test]
fn no_more_runs_than_the_memory_holds() {
    let mut world = World::new(Bounds { blocks: 20, ..BOUNDS });
    for i in 0..4 {
        world.submit(i, 100);
    }
    for _ in 0..300 {
        world.step();
        assert!(world.held() <= 20);
    }
    assert_eq!(world.scheduler.running() + world.scheduler.waiting(), 4);
}

#[test]
fn the_youngest_of_whoever_was_served_most_waits_again_and_comes_back() {
    let mut world = World::new(Bounds { blocks: 10, ..BOUNDS });
    let (old, young) = (world.submit(1, 60), world.submit(1, 60));
    let mut preempted = Vec::new();
    while preempted.is_empty() {
        preempted = world.step().preempted;
    }
    assert_eq!(numbers(&preempted), [young as u64]);
    assert!(world.scheduler.running() == 1 && world.scheduler.waiting() == 1);
    world.scheduler.remove(SequenceId(old as u64));
    assert_eq!(numbers(&world.step().admitted), [young as u64]);
}

#[test]
fn the_next_in_turn_is_not_overtaken_by_a_smaller_one() {
    let mut world = World::new(Bounds { blocks: 20, ..BOUNDS });
    world.submit(1, 200);
    world.step();
    let large = world.submit(2, 200);
    let small = world.submit(3, 5);
    world.step();
    assert_eq!(world.scheduler.running(), 1);
    world.scheduler.remove(SequenceId(0));
    assert_eq!(numbers(&world.step().admitted), [large as u64, small as u64]);
}

#[test]
fn blocks_that_others_keep_are_not_planned_for() {
    let mut scheduler = Scheduler::new(Bounds { blocks: 10, ..BOUNDS });
    scheduler.submit(SequenceId(0), [0; 32], 100, 0);
    assert_eq!(scheduler.wanted(), blocks_for(100));
    assert!(scheduler.plan(5).admitted.is_empty());
    assert_eq!(numbers(&scheduler.plan(3).admitted), [0]);
}

#[test]
fn everyone_finishes_under_random_load() {
    let mut world = World::new(Bounds { blocks: 30, ..BOUNDS });
    let mut state = 1u64;
    let mut random = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) % below
    };
    let goals: Vec<usize> = (0..60)
        .map(|_| {
            let tokens = 1 + random(200) as usize;
            world.submit(random(5) as u8, tokens);
            tokens + 1 + random(200) as usize
        })
        .collect();
    let mut left: Vec<usize> = (0..60).collect();
    for _ in 0..20_000 {
        world.step();
        assert!(world.held() <= 30);
        left.retain(|n| {
            let going = world.state[*n].0 < goals[*n];
            if !going {
                world.scheduler.remove(SequenceId(*n as u64));
                world.state[*n].1 = 0;
            }
            going
        });
        if left.is_empty() {
            return;
        }
    }
    panic!("{} sequences never finished", left.len());
}

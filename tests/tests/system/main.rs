//! System tests: real programs, real sockets, the real model. Each test has a world of its own.

// Tests say `unwrap` and `panic`: that is how they fail.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod aarm;
mod attacks;
mod audit;
mod bad_packs;
mod database;
mod guard;
mod hostile;
mod hostile_people;
mod lies;
mod metrics;
mod open_ai;
mod ordinary;
mod people;
mod puppet;
mod refusals;
mod retrieval;
mod strangers;
mod sudden_death;
mod support;
mod telemetry;
mod tools;
mod verification;
mod worker;

//! System tests: real programs, real sockets, the real model. Each test has a world of its own.

mod attacks;
mod lies;
mod open_ai;
mod ordinary;
mod refusals;
mod sudden_death;
mod support;

//! Tests that break things for real: processes are killed, connections cut, bugs planted. Each prints
//! its seed; `tests/chaos/run --seed N --rounds N` repeats it.
//!
//! A scenario is a test that says [`Run::begin`], counts what it sees, notes what broke a law, and
//! says [`Run::end`], which writes its row of the table and fails where a law was broken.

mod callbacks;
pub mod cluster;
pub mod crowd;
mod failover;
pub mod fleet;
mod kills;
pub mod ledgers;
pub mod lives;
mod matrix;
pub mod patient;
mod paused;
mod place;
mod planted;
mod points;
pub mod proxy;
mod race;
mod ready;
pub mod seed;
mod storm;
pub mod table;

pub use seed::rng;
pub use table::{Run, row};

//! `netctl trace`, held against pings: what it says would arrive, arrives, and what it says would stop, does not come through.

mod back;
mod faults;
mod healthy;
mod questions;
#[path = "../support/refusals.rs"]
mod refusals;
mod stage;

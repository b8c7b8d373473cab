//! Docker's engine, a real one on each host that needs it. Each test has a lab of its own.

// Tests begin in the order of their names: those that wait longest do so while others run.
mod absence;
mod compose;
mod firewall;
mod names;
mod ports;
mod restarts;
mod shared;
mod stage;
mod swarm;
mod waiting;

#[path = "../support/who.rs"]
mod who;

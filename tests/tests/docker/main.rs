//! Docker's engine, a real one on each host that needs it. Each test has a lab of its own.

mod compose;
mod firewall;
mod names;
mod ports;
mod restarts;
mod shared;
mod stage;
mod swarm;
mod unsaid;

#[path = "../support/who.rs"]
mod who;

//! Load between two places, and what came of it: the generator of `netctl bench` and of the project's own benchmark.
//!
//! A [`Server`] listens on one TCP port. A client asks it there for a [`Job`], is told a port for the load itself, and
//! gets a [`Side`] in the end: what arrived, in which time, and how busy the CPUs were. Everything here is blocking
//! sockets and threads, in the network namespace of the caller: an asynchronous runtime would be measured too.
//!
//! What arrives is counted at the receiver; how long an answer takes is counted by who asked. Each load runs for
//! [`WARM_UP`] before anything is counted.

mod batch;
mod client;
mod cpu;
mod error;
mod flood;
mod histogram;
mod job;
mod load;
mod packets;
mod server;
mod socket;
mod stream;
mod turns;

use std::time::Duration;

pub use self::{
    client::{Outcome, run},
    cpu::Busy,
    error::Error,
    flood::{Flood, Flooded},
    job::{Device, Job, Kind, Side},
    server::{Server, Terms},
};

/// For how long a load runs before it counts: TCP's windows open in it, and neighbours are found.
pub const WARM_UP: Duration = Duration::from_millis(150);

/// How long one end waits for the other beyond what the load takes.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often a thread that waits for load looks whether there is to be any more.
const LOOK: Duration = Duration::from_millis(100);

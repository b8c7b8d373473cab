//! netctl as the network of what speaks CNI, over real daemons: recorded calls of runtimes, podman, and containerd.

#[path = "../acceptance/stage.rs"]
#[macro_use]
mod stage;

mod away;
mod containerd;
mod deaths;
mod failures;
mod install;
mod leaving;
mod plugin;
mod podman;
mod recorded;
mod refusals;
#[path = "../acceptance/rest.rs"]
mod rest;
mod results;
#[path = "../faults/state.rs"]
mod state;
#[path = "../support/stored.rs"]
mod stored;

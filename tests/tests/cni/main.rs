//! netctl as the network of what speaks CNI, over real daemons: recorded calls of runtimes, podman, and containerd.

#[path = "../acceptance/stage.rs"]
#[macro_use]
mod stage;

mod plugin;
mod podman;
mod recorded;
#[path = "../acceptance/rest.rs"]
mod rest;

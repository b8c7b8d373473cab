//! Docker's plugin protocol: a real daemon is called as an engine calls it, over the socket where an engine looks, and what
//! an engine then does to interfaces is done by `ip`. Each test has a lab of its own.

mod addresses;
mod container;
mod deaths;
mod docker;
mod joining;
mod kept;
mod left;
mod moves;
mod nearly;
mod ports;
mod protocol;
mod recorded;
mod replay;
#[path = "../support/requests.rs"]
mod requests;
mod restarts;
mod rules;
mod shared;
#[path = "../support/stored.rs"]
mod stored;
mod swarm;

use anyhow::Result;
use testbed::{Lab, Options, Store};

fn lab(hosts: u8, store: Store) -> Result<Lab> {
    let arguments = [
        "--docker".to_owned(),
        "--docker-plugin-socket={home}/docker/plugins/netctl.sock".to_owned(),
        "--docker-swarm-socket={home}/docker/swarm.sock".to_owned(),
        "--docker-engine={home}/docker/engine.sock".to_owned(),
    ];
    Lab::start(Options { hosts, store, arguments: arguments.to_vec(), ..Options::default() })
}

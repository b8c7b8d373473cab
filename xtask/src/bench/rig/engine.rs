//! Docker's own overlay: two engines as one swarm, each on a host of a pair, with an attachable
//! network and a container on each.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use testbed::{Engine, EngineOptions, IMAGE, Netns, address, eventually};

use super::{Ends, Pair, Parts};

pub(super) fn containers(dir: &Path) -> Result<Ends> {
    let pair = Pair::new(dir, "engine")?;
    let [h1, h2] = &pair.hosts;
    let start = |host| Engine::start(host, EngineOptions::default());
    let engines = [start(h1).context("no engine is installed")?, start(h2)?];
    let [first, second] = &engines;
    let (a1, a2) = (address(1), address(2));
    let pool = ["--default-addr-pool", "10.66.0.0/16"];
    let (l1, l2) = (format!("{a1}:2377"), format!("{a2}:2377"));
    let init = ["swarm", "init", "--advertise-addr", &a1, "--listen-addr", &l1];
    first.ok(init.iter().chain(&pool))?;
    let token = first.ok(["swarm", "join-token", "-q", "worker"])?;
    let join = ["swarm", "join", "--advertise-addr", &a2, "--listen-addr", &l2];
    second.ok(join.iter().chain(&["--token", token.trim(), &l1]))?;
    let subnet = ["--attachable", "--subnet", "10.7.0.0/24", "bench"];
    first.ok(["network", "create", "-d", "overlay"].iter().chain(&subnet))?;
    let near = container(first, "near", "10.7.0.11")?;
    let far = container(second, "far", "10.7.0.12")?;
    reaches(&near, "10.7.0.12")?;
    let parts = Parts::Engines(pair, Box::new(engines));
    Ok(Ends { near, far, address: "10.7.0.12".to_owned(), parts })
}

/// Waits until a container is reached from another.
pub(super) fn reaches(near: &Netns, address: &str) -> Result<()> {
    eventually("containers of the engines reach each other", Duration::from_secs(30), || {
        near.run(["ping", "-c", "1", "-W", "1", address])?.ok()
    })?;
    Ok(())
}

/// Runs a container that does nothing on the network `bench`, and gives its namespace.
pub(super) fn container(engine: &Engine, name: &str, address: &str) -> Result<Netns> {
    let words = ["run", "-d", "--name", name, "--network", "bench", "--ip", address, IMAGE];
    engine.ok(words)?;
    engine.netns_of(name)
}

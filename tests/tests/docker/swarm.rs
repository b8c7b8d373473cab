//! A Swarm of two engines, with netctl as its managed plugin.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use testbed::{Engine, EngineOptions, Host, IMAGE, eventually};

use crate::stage::{Stage, play, reaches};

/// How long an engine may take to copy and start a plugin.
const PLUGIN: Duration = Duration::from_secs(60);
/// How long a Swarm may take to place a task.
const PLACED: Duration = Duration::from_secs(30);

/// Makes the managed plugin on a host and enables it.
fn plug(host: &Host, engine: &Engine) -> Result<()> {
    let dir = host.dir("plugin").display().to_string();
    let socket = engine.swarm_socket().display().to_string();
    host.ok(["docker", "plugin", "--swarm-socket", &socket, &dir])?;
    engine.docker_within(PLUGIN, ["plugin", "create", "netctl", &dir])?.ok()?;
    engine.docker_within(PLUGIN, ["plugin", "enable", "netctl"])?.ok().map(drop)
}

/// ```text
///   h1: manager ─ one ─┐
///   h2: worker ── two ─┴─ network dev, and a service with a task on each
/// ```
#[test]
fn a_swarm_has_netctl_for_its_networks() -> Result<()> {
    play(2, &EngineOptions::default(), |stage| {
        let (manager, worker) = (stage.engine(1), stage.engine(2));
        swarm(stage, manager, worker)?;
        for engine in [worker, manager] {
            // What it has of the Swarm goes with it; then nothing holds the plugin.
            engine.docker(["swarm", "leave", "--force"])?.ok()?;
            engine.docker_within(PLUGIN, ["plugin", "disable", "--force", "netctl"])?.ok()?;
            engine.ok(["plugin", "rm", "netctl"])?;
        }
        Ok(())
    })
}

fn swarm(stage: &Stage, manager: &Engine, worker: &Engine) -> Result<()> {
    for number in [1, 2] {
        plug(stage.host(number), stage.engine(number))?;
    }
    let (first, second) = (stage.host(1).address(), stage.host(2).address());
    manager.ok(["swarm", "init", "--advertise-addr", &first])?;
    let token = manager.ok(["swarm", "join-token", "-q", "worker"])?;
    let at = format!("{first}:2377");
    worker.ok(["swarm", "join", "--advertise-addr", &second, "--token", &token, &at])?;

    let driver = ["-d", "netctl:latest", "--ipam-driver", "netctl:latest", "--attachable"];
    let network = ["network", "create", "--subnet", "10.79.0.0/24"];
    manager.ok(network.into_iter().chain(driver).chain(["dev"]))?;
    manager.ok(["run", "-d", "--name", "one", "--network", "dev", IMAGE])?;
    worker.ok(["run", "-d", "--name", "two", "--network", "dev", IMAGE])?;
    reaches(manager, "one", "two")?;
    reaches(worker, "two", "one")?;

    let service = ["service", "create", "-d", "--name", "web", "--replicas", "2"];
    let how = ["--network", "dev", "--endpoint-mode", "dnsrr", "--replicas-max-per-node", "1"];
    manager.ok(service.into_iter().chain(how).chain([IMAGE]))?;
    eventually("a task on each node", PLACED, || {
        for engine in [manager, worker] {
            let tasks = engine.ok(["ps", "-q", "--filter", "name=web"])?;
            ensure!(tasks.lines().count() == 1, "{tasks:?}");
        }
        Ok(())
    })?;
    for (engine, name) in [(manager, "one"), (worker, "two")] {
        eventually("both tasks by one name", PLACED, || {
            let said = engine.ok(["exec", name, "nslookup", "-type=a", "tasks.web"])?;
            let addresses = said.lines().filter(|line| line.contains("10.79.0.")).count();
            ensure!(addresses >= 2, "{said}");
            Ok(())
        })?;
        reaches(engine, name, "web")?;
    }
    manager.ok(["service", "rm", "web"])?;
    eventually("no task is left", PLACED, || {
        for engine in [manager, worker] {
            let tasks = engine.ok(["ps", "-aq", "--filter", "name=web"])?;
            ensure!(tasks.is_empty(), "{tasks:?}");
        }
        Ok(())
    })?;
    manager.ok(["rm", "-f", "one"])?;
    worker.ok(["rm", "-f", "two"])?;
    manager.ok(["network", "rm", "dev"]).map(drop).context("the network stays")
}

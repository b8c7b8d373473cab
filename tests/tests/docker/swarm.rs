//! A Swarm of two engines, with netctl as its managed plugin.

use std::{fs, path::PathBuf, process::Command, time::Duration};

use anyhow::{Context as _, Result, ensure};
use nix::{sys::signal::kill, unistd::Pid};
use serde_json::Value;
use testbed::{Client, Engine, EngineOptions, Host, IMAGE, Signal, eventually};

use crate::stage::{Stage, play, reaches};

/// How long an engine may take to copy and start a plugin.
const PLUGIN: Duration = Duration::from_mins(1);
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

/// The program that is tested, where no host is needed.
fn netctl() -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    let path = own.ancestors().nth(2).context("no target directory")?.join("netctl");
    ensure!(path.exists(), "no {}: cargo build --package netctl", path.display());
    Ok(path)
}

#[test]
fn a_plugin_is_written_where_nothing_is() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("plugin").display().to_string();
    let write = |words: &[&str]| {
        let all = ["docker", "plugin"].iter().chain(words).copied().chain([path.as_str()]);
        testbed::output_of(&netctl()?.display().to_string(), all)
    };
    let relative = write(&["--swarm-socket", "swarm.sock"])?;
    ensure!(
        relative.stderr
            == "error: --swarm-socket must be an absolute path, in a directory that the plugin is to see\n",
        "{relative:?}"
    );
    ensure!(write(&[])?.ok()? == format!("{path}\n"), "another directory was said");
    let again = write(&[])?;
    let sentence = format!("error: {path} is not netctl's: remove it, or choose another place\n");
    ensure!(again.stderr == sentence, "{again:?}");
    let config: Value =
        serde_json::from_str(&fs::read_to_string(dir.path().join("plugin/config.json"))?)?;
    ensure!(config["mounts"][0]["source"] == "/run/netctl", "{config}");
    Ok(())
}

#[test]
fn an_engine_is_told_at_once_that_the_daemon_is_not_there() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let (socket, daemon) = (dir.path().join("netctl.sock"), dir.path().join("swarm.sock"));
    let mut relay = Command::new(netctl()?)
        .args(["docker", "relay", "--listen"])
        .args([&socket, &daemon])
        .spawn()
        .context("no relay")?;
    let said = eventually("the relay answers", PLACED, || {
        Client::connect(&socket)?.ask("POST", "/NetworkDriver.GetCapabilities", &Value::Null)
    });
    kill(Pid::from_raw(relay.id().try_into()?), Signal::SIGTERM)?;
    let ended = relay.wait()?;
    let (status, body) = said?;
    let sentence = format!(
        "netctl's daemon is not to be reached at {}: No such file or directory (os error 2); is it running with \
         --docker-swarm-socket?",
        daemon.display()
    );
    ensure!(
        status == 500 && body["Err"] == sentence && body["Error"] == sentence,
        "{status} {body}"
    );
    ensure!(ended.success(), "the relay ended by {ended}");
    Ok(())
}

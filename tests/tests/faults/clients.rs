//! Clients that end before their command does.

use std::time::Duration;

use anyhow::{Result, ensure};
use nix::{
    sys::signal::{Signal as Kill, kill},
    unistd::Pid,
};
use testbed::{Lab, Options, Signal, eventually};

use crate::state;

#[test]
fn a_killed_client_leaves_its_sandbox_to_be_removed() -> Result<()> {
    let lab = Lab::start(Options::default())?;
    let host = lab.host(1);
    host.ok(["network", "create", "dev"])?;
    host.ok(["run", "--rm", "true"])?;
    let before = (state::dump(&lab)?, state::machine(host)?);
    let script = "echo begun; exec sleep 1000";
    let mut words: Vec<&str> =
        "netctl run --rm --name box --publish-service a.dev -- sh -c".split(' ').collect();
    words.push(script);
    let mut client = host.spawn("killed", &words)?;
    eventually("the command runs", Duration::from_secs(10), || {
        ensure!(client.log().contains("begun"), "{}", client.log());
        Ok(())
    })?;
    client.stop(Signal::SIGKILL, Duration::from_secs(5))?;
    ensure!(host.ok(["sandbox", "ls"])?.contains("box"), "the sandbox is gone");
    state::check(&lab)?;
    host.ok(["exec", "box", "true"])?;
    host.ok(["sandbox", "rm", "box"])?;
    eventually("nothing is left", Duration::from_secs(5), || {
        let after = (state::dump(&lab)?, state::machine(host)?);
        ensure!(before == after, "{before:#?}\n{after:#?}");
        Ok(())
    })?;
    lab.end()
}

#[test]
fn a_client_killed_at_any_moment_leaves_a_daemon_that_works() -> Result<()> {
    let lab = Lab::start(Options { hosts: 1, ..Options::default() })?;
    let host = lab.host(1);
    for round in 0..12 {
        let words =
            ["netctl", "run", "--name", "box", "--publish-service", "a.dev", "sleep", "1000"];
        let mut client = host.spawn(&format!("client{round}"), words)?;
        std::thread::sleep(Duration::from_millis(10) * round);
        if let Err(error) = client.stop(Signal::SIGKILL, Duration::from_secs(5)) {
            // What the one before asked for may have been heard after all was looked at.
            ensure!(client.log().contains("box is there already"), "{error:#}: {}", client.log());
        }
        // What was begun is done to the end, though nobody waits for it.
        eventually("all agrees", Duration::from_secs(5), || {
            let run = host.netctl(["sandbox", "rm", "box"])?;
            ensure!(run.success() || run.stderr.contains("there is no sandbox box"), "{run:?}");
            std::thread::sleep(Duration::from_millis(100));
            ensure!(host.ok(["sandbox", "ls", "-q"])?.is_empty(), "a sandbox came after");
            state::check(&lab)
        })?;
    }
    ensure!(host.ok(["service", "ls", "-q"])?.is_empty(), "services are left");
    lab.end()
}

#[test]
fn a_signal_ends_the_command_and_the_sandbox() -> Result<()> {
    let lab = Lab::start(Options { hosts: 1, ..Options::default() })?;
    let host = lab.host(1);
    host.ok(["network", "create", "dev"])?;
    host.ok(["run", "--rm", "true"])?;
    let before = (state::dump(&lab)?, state::machine(host)?);
    for (signal, log) in [(Kill::SIGINT, "int"), (Kill::SIGTERM, "term"), (Kill::SIGHUP, "hup")] {
        let words =
            "netctl run --rm --name box --publish-service a.dev -- ping -i 0.2 -c 5000 127.0.0.1";
        let script = format!("echo begun; exec {words}");
        let mut client = host.spawn(log, ["sh", "-c", &script])?;
        eventually("the command runs", Duration::from_secs(10), || {
            ensure!(client.log().contains("icmp_seq"), "{}", client.log());
            Ok(())
        })?;
        kill(Pid::from_raw(client.pid()), signal)?;
        client.wait(Duration::from_secs(10))?;
        let after = (state::dump(&lab)?, state::machine(host)?);
        ensure!(before == after, "{signal}: {before:#?}\n{after:#?}");
    }
    // Before the command was begun: at any moment of the making.
    for round in 0..10 {
        let words = [
            "netctl",
            "run",
            "--rm",
            "--name",
            "box",
            "--publish-service",
            "a.dev",
            "sleep",
            "1000",
        ];
        let mut client = host.spawn(&format!("early{round}"), words)?;
        std::thread::sleep(Duration::from_millis(8) * round);
        client.stop(Signal::SIGTERM, Duration::from_secs(10))?;
        eventually("nothing is left", Duration::from_secs(5), || {
            let after = (state::dump(&lab)?, state::machine(host)?);
            ensure!(before == after, "round {round}: {before:#?}\n{after:#?}");
            Ok(())
        })?;
    }
    lab.end()
}

#[test]
fn a_signal_is_not_lost_while_the_command_is_being_started() -> Result<()> {
    let lab = Lab::start(Options { hosts: 1, ..Options::default() })?;
    let host = lab.host(1);
    host.ok(["network", "create", "dev"])?;
    for round in 0..25 {
        let words = ["netctl", "run", "--rm", "--publish-service", "a.dev", "sleep", "1000"];
        let mut client = host.spawn(&format!("client{round}"), words)?;
        eventually("the service is attached", Duration::from_secs(10), || {
            ensure!(host.ok(["service", "ls"])?.contains(host.name()), "it is being attached");
            Ok(())
        })?;
        std::thread::sleep(Duration::from_millis(round));
        client.stop(Signal::SIGTERM, Duration::from_secs(10))?;
        ensure!(host.ok(["sandbox", "ls", "-q"])?.is_empty(), "its sandbox is left");
    }
    lab.end()
}

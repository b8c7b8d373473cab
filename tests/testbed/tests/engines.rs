//! Docker engines on the lab's hosts: what of them goes on when they end, and that nothing of them stays.

use anyhow::{Result, ensure};
use testbed::{Engine, EngineOptions, IMAGE, Lab, Options, Signal, gone};

fn bare(hosts: u8) -> Options {
    Options { hosts, daemons: false, ..Options::default() }
}

/// What tells a container that ran on from one that was started again.
fn witness(engine: &Engine, container: &str) -> Result<String> {
    engine.ok(["inspect", "-f", "{{.State.Pid}} {{.State.StartedAt}}", container])
}

#[test]
fn engines_know_nothing_of_each_other() -> Result<()> {
    let lab = Lab::start(bare(2))?;
    let dir = lab.dir().to_owned();
    let engines = lab
        .hosts()
        .iter()
        .map(|host| Engine::start(host.netns(), EngineOptions::default()))
        .collect::<Result<Vec<_>>>()?;
    for engine in &engines {
        engine.ok(["run", "-d", "--name", "same", IMAGE])?;
        engine.ok(["network", "create", "dev"])?;
        engine.ok(["run", "-d", "--name", "other", "--network", "dev", IMAGE])?;
        engine.ok(["run", "--rm", "--network", "dev", IMAGE, "ping", "-c1", "-W2", "other"])?;
        ensure!(engine.ok(["ps", "-q"])?.lines().count() == 2);
        let inside =
            engine.netns_of("same")?.run(["ip", "-brief", "addr", "show", "eth0"])?.ok()?;
        ensure!(inside.contains("172.17.0.2"), "{inside}");
    }
    let name = |engine: &Engine| engine.ok(["info", "-f", "{{.Name}}"]);
    ensure!((name(&engines[0])?, name(&engines[1])?) == ("h1".to_owned(), "h2".to_owned()));
    drop(engines);
    lab.end()?;
    gone(&dir)
}

#[test]
fn containers_go_on_as_the_engine_says() -> Result<()> {
    let lab = Lab::start(bare(1))?;
    let run = ["run", "-d", "--restart", "unless-stopped", "--name", "one", IMAGE];
    for live_restore in [true, false] {
        let options = EngineOptions { live_restore, ..EngineOptions::default() };
        let engine = Engine::start(lab.host(1).netns(), options)?;
        engine.ok(run)?;
        for signal in [Signal::SIGTERM, Signal::SIGKILL] {
            let before = witness(&engine, "one")?;
            engine.stop(signal)?;
            ensure!(engine.docker(["ps"])?.code() != 0, "it answers after {signal}");
            engine.run()?;
            let same = before == witness(&engine, "one")?;
            ensure!(same == live_restore, "live_restore {live_restore}, {signal}: {same}");
        }
        engine.ok(["rm", "-f", "one"])?;
    }
    lab.end()
}

//! Whoever is started again first.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use testbed::{EngineOptions, IMAGE, Signal, eventually};

use crate::stage::{SOON, Stage, address, exec, play, reaches, refused, run};

/// Each container reaches the other, whatever their addresses are now.
fn all_is_well(stage: &Stage) -> Result<()> {
    let (e1, e2) = (stage.engine(1), stage.engine(2));
    eventually("containers reach each other", SOON, || {
        let (a1, a2) = (address(e1, "one", "dev")?, address(e2, "two", "dev")?);
        exec(e1, "one", &format!("ping -c 1 -W 1 {a2}"))?.ok()?;
        exec(e2, "two", &format!("ping -c 1 -W 1 {a1}"))?.ok().map(drop)
    })
}

fn dress(stage: &Stage) -> Result<()> {
    stage.network("--subnet 10.77.0.0/24 dev")?;
    for (number, name) in [(1, "one"), (2, "two")] {
        run(stage.engine(number), name, "--network dev --restart always")?;
    }
    all_is_well(stage)
}

/// ```text
///   h1: one ─┐
///   h2: two ─┴─ network dev
/// ```
#[test]
fn containers_and_engines_are_started_again() -> Result<()> {
    play(2, &EngineOptions::default(), |stage| {
        dress(stage)?;
        let (host, engine) = (stage.host(1), stage.engine(1));
        engine.ok(["restart", "-t", "1", "one"])?;
        all_is_well(stage)?;
        engine.ok(["kill", "one"])?;
        engine.ok(["start", "one"])?;
        all_is_well(stage)?;
        for signal in [Signal::SIGTERM, Signal::SIGKILL] {
            engine.restart(signal).with_context(|| format!("the engine, {signal}"))?;
            all_is_well(stage).with_context(|| format!("after the engine's {signal}"))?;
            stage.lab.restart_daemon(host, signal)?;
            all_is_well(stage).with_context(|| format!("after the daemon's {signal}"))?;
            // Both, the engine last.
            host.stop_daemon(signal)?;
            stage.lab.start_daemon(host)?;
            engine.restart(signal)?;
            all_is_well(stage).with_context(|| format!("after both, {signal}"))?;
            // The engine finds no daemon for a while.
            engine.stop(signal)?;
            host.stop_daemon(signal)?;
            stage.lab.start_daemon(host)?;
            engine.run()?;
            all_is_well(stage).with_context(|| format!("after both at once, {signal}"))?;
        }
        Ok(())
    })
}

/// ```text
///   h1: one ─┐
///   h2: two ─┴─ network dev, containers that outlive their engines
/// ```
#[test]
fn containers_outlive_engines() -> Result<()> {
    let options = EngineOptions { live_restore: true, ..EngineOptions::default() };
    play(2, &options, |stage| {
        dress(stage)?;
        let (host, engine) = (stage.host(1), stage.engine(1));
        let before = address(engine, "one", "dev")?;
        for signal in [Signal::SIGTERM, Signal::SIGKILL] {
            engine.stop(signal)?;
            reaches(stage.engine(2), "two", &before)?;
            stage.lab.restart_daemon(host, signal)?;
            reaches(stage.engine(2), "two", &before)?;
            engine.run()?;
            all_is_well(stage)?;
            ensure!(address(engine, "one", "dev")? == before, "it has another address");
        }
        // What is attached later gets another address.
        run(engine, "late", "--network dev")?;
        ensure!(address(engine, "late", "dev")? != before);
        reaches(engine, "late", &before)
    })
}

/// ```text
///   h1: one ─┐
///   h2: two ─┴─ network dev, and no daemon on h1 for a while
/// ```
#[test]
fn an_engine_says_that_there_is_no_daemon() -> Result<()> {
    play(2, &EngineOptions::default(), |stage| {
        dress(stage)?;
        let (host, engine) = (stage.host(1), stage.engine(1));
        for signal in [Signal::SIGTERM, Signal::SIGKILL] {
            host.stop_daemon(signal)?;
            // What is there goes on.
            let two = address(stage.engine(2), "two", "dev")?;
            exec(engine, "one", &format!("ping -c 1 -W 1 {two}"))?.ok()?;
            refused(engine, &format!("run --name late --network dev {IMAGE}"), &["netctl.sock"])?;
            // What goes meanwhile, Docker does not tell again.
            if signal == Signal::SIGKILL {
                engine.docker_within(Duration::from_mins(3), ["rm", "-f", "one"])?.ok()?;
            }
            stage.lab.start_daemon(host)?;
            engine.ok(["rm", "-f", "late"])?;
            if signal == Signal::SIGKILL {
                run(engine, "one", "--network dev --restart always")?;
            }
            run(engine, "late", "--network dev")?;
            reaches(engine, "late", &two)?;
            engine.ok(["rm", "-f", "late"])?;
            all_is_well(stage)?;
        }
        Ok(())
    })
}

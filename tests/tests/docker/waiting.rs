//! What is asked for while no daemon is there, but somebody listens for it, as systemd does.

use std::{
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow, ensure};
use testbed::{EngineOptions, Signal, eventually, output_of};

use crate::stage::{Stage, address, exec, play, reaches, run};

/// Waits until a call to a socket has not been taken up.
fn somebody_waits(socket: &Path) -> Result<()> {
    eventually("somebody waits", Duration::from_secs(10), || {
        let socket = socket.display().to_string();
        let listed = output_of("ss", ["-xlnH", "src", &socket])?.ok()?;
        // "u_str LISTEN 1 128 PATH …": how many were not taken up comes third.
        let waiting = listed.split_whitespace().nth(2).context("nobody listens")?;
        ensure!(waiting != "0", "{listed}");
        Ok(())
    })
}

fn inodes(sockets: &[PathBuf]) -> Result<Vec<u64>> {
    sockets.iter().map(|socket| Ok(socket.symlink_metadata()?.ino())).collect()
}

fn containers_wait(stage: &Stage, signal: Signal) -> Result<()> {
    let (host, engine) = (stage.host(1), stage.engine(1));
    let sockets = [host.socket(), engine.plugins().join("netctl.sock")];
    let before = inodes(&sockets)?;
    host.stop_daemon(signal)?;
    ensure!(inodes(&sockets)? == before, "they are not as they were left to it");
    // What is there goes on.
    let one = address(engine, "one", "dev")?;
    thread::scope(|scope| {
        let late = scope.spawn(|| run(engine, "late", "--network dev"));
        let listed = scope.spawn(|| host.ok(["network", "ls"]));
        sockets.iter().try_for_each(|socket| somebody_waits(socket))?;
        stage.lab.start_daemon(host)?;
        let panicked = |_panic| anyhow!("a call panicked");
        late.join().map_err(panicked)??;
        let listed = listed.join().map_err(panicked)??;
        ensure!(listed.contains("dev"), "{listed}");
        anyhow::Ok(())
    })?;
    ensure!(inodes(&sockets)? == before, "others are in their place");
    reaches(engine, "late", &one)?;
    // One that ends while nobody is there waits too, and is not forgotten.
    host.stop_daemon(signal)?;
    thread::scope(|scope| {
        let gone = scope.spawn(|| engine.ok(["rm", "-f", "late"]));
        somebody_waits(&sockets[1])?;
        stage.lab.start_daemon(host)?;
        gone.join().map_err(|_panic| anyhow!("the call panicked"))?
    })?;
    let services = host.ok(["service", "ls"])?;
    ensure!(!services.contains("late") && services.contains("one"), "{services}");
    exec(engine, "one", "ping -c 1 -W 1 10.5.0.1")?.ok().map(drop)
}

/// ```text
///   h1: one ─── network dev, and no daemon for a while
/// ```
#[test]
fn containers_wait_for_a_daemon_that_is_listened_for() -> Result<()> {
    play(1, &EngineOptions::default(), |stage| {
        let (host, engine) = (stage.host(1), stage.engine(1));
        host.stop_daemon(Signal::SIGTERM)?;
        host.listen_for_daemon(&engine.plugins().join("netctl.sock"))?;
        stage.lab.start_daemon(host)?;
        stage.network("--subnet 10.5.0.0/24 dev")?;
        run(engine, "one", "--network dev")?;
        for signal in [Signal::SIGTERM, Signal::SIGKILL] {
            containers_wait(stage, signal).with_context(|| format!("after {signal}"))?;
        }
        Ok(())
    })
}

//! Networks of an engine that have no container: as a bridge of the engine's own, each is there as long as the engine has it.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use testbed::{Host, Signal, Store, eventually};

use crate::{
    container::{Start, run},
    docker::Docker,
    lab, left,
};

/// The index of the network's gateway on a host.
fn gateway(host: &Host) -> Result<String> {
    let links = host.run(["ip", "-o", "link"])?.ok()?;
    let line = links.lines().find(|line| line.contains(": nh-")).context("no gateway")?;
    Ok(line.split(':').next().context("no index")?.to_owned())
}

fn soon<T>(what: &str, look: impl FnMut() -> Result<T>) -> Result<T> {
    eventually(what, Duration::from_secs(10), look)
}

/// ```text
///   h1: (c1) ── net        c1 comes and goes, and so does the daemon
/// ```
#[test]
fn a_network_is_there_before_its_first_container_and_after_the_last() -> Result<()> {
    let lab = lab(1, Store::File)?;
    let before = left::of(&lab)?;
    let host = lab.host(1);
    let docker = Docker::of(host);
    let (network, pool) = docker.network("10.77.0.0/24")?;
    let was = soon("the network is there", || gateway(host))?;
    let guarded = || -> Result<()> {
        // Its table too, with what is caught for names.
        let table = host.run(["nft", "list", "set", "inet", "netctl", "asking"])?.ok()?;
        ensure!(table.contains("nh-"), "{table}");
        Ok(())
    };
    soon("its questions are caught", guarded)?;
    for round in 0..3 {
        let container = run(host, &docker, &Start::new(&format!("c{round}"), &network, &[&pool]))?;
        container.ping("10.77.0.1")?;
        container.stop(&docker)?;
        ensure!(gateway(host)? == was, "it was made again");
        guarded()?;
    }
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        lab.restart_daemon(host, signal)?;
        let container = run(host, &docker, &Start::new(signal.as_str(), &network, &[&pool]))?;
        container.ping("10.77.0.1")?;
        container.stop(&docker)?;
        ensure!(gateway(host)? == was, "it was made again after {signal}");
    }
    docker.remove(&network, &[&pool])?;
    ensure!(left::of(&lab)? == before, "{:#?}", left::of(&lab)?);
    lab.end()
}

/// ```text
///   h1: net, which goes while h1 is away      h2: netctl network rm net
/// ```
#[test]
fn a_network_that_went_while_its_host_was_away_is_in_nobodys_way() -> Result<()> {
    let lab = lab(2, Store::File)?;
    let (h1, h2) = (lab.host(1), lab.host(2));
    let docker = Docker::of(h1);
    let (network, pool) = docker.network("10.77.0.0/24")?;
    soon("the network is there", || gateway(h1))?;
    let networks = h2.ok(["network", "ls", "--format", "json"])?;
    let networks: Value = serde_json::from_str(&networks)?;
    let name = networks[0]["name"].as_str().context("no network")?.to_owned();
    h1.stop_daemon(Signal::SIGKILL)?;
    eventually("it may be removed", Duration::from_mins(1), || {
        h2.ok(["network", "rm", &name]).map(drop)
    })?;
    lab.start_daemon(h1)?;
    soon("it is gone", || {
        ensure!(gateway(h1).is_err(), "it is there");
        Ok(())
    })?;
    // Others are made and removed as ever, one of the same subnet and number among them.
    docker.remove(&network, &[&pool])?;
    let before = left::of(&lab)?;
    for round in 0..3 {
        let (network, pool) = docker.network("10.77.0.0/24")?;
        let container = run(h1, &docker, &Start::new(&format!("c{round}"), &network, &[&pool]))?;
        container.ping("10.77.0.1")?;
        container.stop(&docker)?;
        docker.remove(&network, &[&pool])?;
    }
    let after = left::of(&lab)?;
    ensure!(after == before, "{before:#?} {after:#?}");
    lab.end()
}

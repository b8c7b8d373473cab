//! Endpoints that an engine says are in another container now: they are, or all is as it was.

use std::{fs, net::TcpListener};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use testbed::{DEADLINE, Lab, Netns, Store, eventually};

use crate::{
    container::{Container, Start, key, run},
    docker::Docker,
    lab, left,
    ports::{OPEN, ports},
    stored,
};

const JOIN: &str = "NetworkDriver.Join";

/// Fails unless a container has what it had, in its namespace, in the store and on the host.
fn stays(lab: &Lab, container: &Container, before: &left::Left) -> Result<()> {
    eventually("all is as it was", DEADLINE, || {
        let now = left::of(lab)?;
        ensure!(now == *before, "was {before:#?}\nis {now:#?}");
        Ok(())
    })?;
    container.ping("10.77.0.1")
}

/// What an engine asks for that has the endpoint of `container` in the one of this name.
fn in_container(container: &Container, name: &str) -> Value {
    let mut of = container.of();
    of["SandboxKey"] = key(name).into();
    of["Options"] = json!({});
    of
}

/// ```text
///   h1:8080 ── c1, whose endpoint is to be c2's
/// ```
#[test]
fn an_endpoint_goes_to_another_container_or_stays_where_it_was() -> Result<()> {
    let lab = lab(1, Store::File)?;
    let host = lab.host(1);
    let docker = Docker::of(host);
    let (id, pool) = docker.network("10.77.0.0/24")?;
    let c1 = run(host, &docker, &Start::new("c1", &id, &[&pool]))?;
    docker.ask(OPEN, &ports(&c1, 8080))?;
    let elsewhere = in_container(&c1, "c2");
    let before = left::of(&lab)?;

    // Refused before anything is done.
    let listener = host.netns().within(|| Ok(TcpListener::bind(("0.0.0.0", 8080))?))?;
    let said = docker.refused(JOIN, &elsewhere)?;
    let used =
        "port 8080/tcp of host h1 is in use by a process there: publish another, or end it first";
    ensure!(said == used, "{said}");
    stays(&lab, &c1, &before)?;
    drop(listener);

    // Refused by the kernel, when the store says already that it is the other's.
    let device = c1.joined["InterfaceName"]["SrcName"].as_str().context("no SrcName")?;
    host.netns().ip([format!("link add {device} type bridge")])?;
    let said = docker.refused(JOIN, &elsewhere)?;
    ensure!(said.contains(&format!("the interface {device} is there already")), "{said}");
    host.netns().ip([format!("link delete {device}")])?;
    stays(&lab, &c1, &before)?;

    let joined = docker.ask(JOIN, &elsewhere)?;
    let left = c1.netns.run(["ip", "link", "show", "eth0"])?;
    ensure!(!left.success(), "c1 has its interface: {left:?}");
    let Container { network, endpoint, addresses, .. } = c1;
    let netns = Netns::new(lab.dir(), "c2")?;
    let c2 = Container { netns, network, endpoint, addresses, joined };
    c2.take(host)?;
    c2.ping("10.77.0.1")?;
    c2.stop(&docker)?;
    docker.remove(&id, &[&pool])?;
    let keys = stored::dump(&lab)?;
    ensure!(keys.is_empty(), "{keys:#?}");
    lab.end()
}

/// A daemon that dies in the middle has it in the one or in the other: an engine that calls again has it there.
#[test]
fn a_daemon_may_die_at_any_step_of_a_move() -> Result<()> {
    let lab = lab(1, Store::File)?;
    let host = lab.host(1);
    let docker = Docker::of(host);
    let (id, pool) = docker.network("10.77.0.0/24")?;
    let c1 = run(host, &docker, &Start::new("c1", &id, &[&pool]))?;
    // What an operation left unfinished is in a record too, until that is undone.
    let is_somewhere = || -> Result<()> {
        let records = fs::read_dir(host.dir("state").join("sandboxes"))?.count();
        let keys = stored::dump(&lab)?;
        let owned = keys.keys().any(|key| key.starts_with("attachments/h1/"));
        ensure!(records == 1 && owned, "{records} records, {keys:#?}");
        Ok(())
    };
    for step in 0..200 {
        docker.ask("NetworkDriver.Leave", &c1.of())?;
        docker.ask(JOIN, &in_container(&c1, "c1"))?;
        let moves = || docker.ask(JOIN, &in_container(&c1, "c2"));
        let (answered, died) = lab.dying_at(host, step, moves)?;
        let Some(died) = died else {
            answered?;
            ensure!(step > 8, "it has {step} steps: not all are counted");
            return lab.end();
        };
        eventually("it is in one container", DEADLINE, is_somewhere)
            .with_context(|| format!("step {step}, {died}"))
            .map_err(|error| lab.explain(error))?;
        moves().with_context(|| format!("step {step}, {died}"))?;
    }
    anyhow::bail!("it has no end")
}

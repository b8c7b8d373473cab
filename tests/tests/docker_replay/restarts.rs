//! Containers of an engine under daemons that come and go: what an engine has taken into a container is neither made again
//! nor removed, nor looked into.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use testbed::{Host, Lab, Signal, Store, eventually};

use crate::{
    container::{Start, key, run},
    docker::{Docker, create},
    lab, left, stored,
};

const SOON: Duration = Duration::from_secs(10);

fn rows(host: &Host, noun: &str) -> Result<Vec<Value>> {
    Ok(serde_json::from_str(&host.ok([noun, "ls", "--format", "json"])?)?)
}

fn port(endpoint: &str) -> String {
    format!("nc{}", &endpoint[..12])
}

fn index(host: &Host, device: &str) -> Result<String> {
    let text = host.run(["ip", "-o", "link", "show", device])?.ok()?;
    Ok(text.split(':').next().context("an index")?.to_owned())
}

/// Has the loop look at all that stands, as it does by itself every half a minute.
fn full_pass(lab: &Lab, host: &Host, mtu: u32) -> Result<()> {
    host.netns().ip([format!("link set eth0 mtu {mtu}")])?;
    let gateway = || -> Result<String> {
        let text = host.run(["ip", "-o", "link"])?.ok()?;
        Ok(text.lines().find(|line| line.contains(" nh-")).context("a gateway")?.to_owned())
    };
    eventually("the gateway has the new MTU", SOON, || {
        let line = gateway()?;
        ensure!(line.contains(&format!(" mtu {} ", mtu - 50)), "{line}");
        Ok(())
    })?;
    ensure!(!lab.hosts().is_empty());
    Ok(())
}

/// ```text
///   h1: c1 ── net ── c2 :h2      while the daemon of h1 is ended, killed, and started again
/// ```
fn containers_outlive_daemons(store: Store) -> Result<()> {
    let lab = lab(2, store)?;
    let before = left::of(&lab)?;
    let (h1, h2) = (lab.host(1), lab.host(2));
    let (d1, d2) = (Docker::of(h1), Docker::of(h2));
    let ((n1, p1), (n2, p2)) = (d1.network("10.77.0.0/24")?, d2.network("10.77.0.0/24")?);
    let c1 = run(h1, &d1, &Start::new("c1", &n1, &[&p1]))?;
    let c2 = run(h2, &d2, &Start::new("c2", &n2, &[&p2]))?;
    c1.ping(c2.address())?;
    let device = port(&c1.endpoint);
    let was = index(h1, &device)?;
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        h1.stop_daemon(signal)?;
        c1.ping(c2.address()).with_context(|| format!("after {signal}"))?;
        lab.start_daemon(h1)?;
        c1.ping(c2.address()).with_context(|| format!("anew after {signal}"))?;
        ensure!(index(h1, &device)? == was, "it was made again");
    }
    full_pass(&lab, h1, 1400)?;
    full_pass(&lab, h1, 1500)?;
    c2.ping(c1.address())?;
    ensure!(index(h1, &device)? == was, "it was made again");
    let services = rows(h1, "service")?;
    let own = services.iter().find(|service| service["id"] == c1.endpoint.as_str());
    let own = own.context("its service is listed")?;
    ensure!(
        own["owner"]["host"] == "h1" && own["name"] == format!("docker-{}", &c1.endpoint[..12])
    );
    let sandboxes = rows(h1, "sandbox")?;
    ensure!(sandboxes.len() == 1 && sandboxes[0]["name"] == "docker-c1", "{sandboxes:?}");
    ensure!(sandboxes[0]["netns"] == key("c1") && sandboxes[0]["foreign"] == true, "{sandboxes:?}");
    let status: Value = serde_json::from_str(&h1.ok(["status", "--format", "json"])?)?;
    ensure!(status["endpoints"] == 1 && status["sandboxes"] == 1, "{status}");
    for (words, verb) in [
        ("sandbox rm docker-c1", "remove"),
        ("network disconnect NET docker-c1", "disconnect"),
        ("network connect NET docker-c1", "connect"),
        ("service detach docker-c1 SVC.NET", "detach services from"),
    ] {
        let name = own["network_name"].as_str().context("a name")?;
        let words =
            words.replace("NET", name).replace("SVC", own["name"].as_str().unwrap_or_default());
        let output = h1.netctl(words.split(' '))?;
        let sentence = format!(
            "error: sandbox docker-c1 is a container's, which netctl cannot {verb}: use `docker`\n"
        );
        ensure!(output.code() == 1 && output.stderr == sentence, "{output:?}");
    }
    for (container, docker, id, pool) in [(&c1, &d1, &n1, &p1), (&c2, &d2, &n2, &p2)] {
        container.stop(docker)?;
        docker.remove(id, &[pool])?;
    }
    eventually("nothing is left", SOON, || {
        let after = left::of(&lab)?;
        ensure!(after == before, "{after:#?}");
        Ok(())
    })?;
    lab.end()
}

#[test]
fn containers_outlive_daemons_with_a_file() -> Result<()> {
    containers_outlive_daemons(Store::File)
}

#[test]
fn containers_outlive_daemons_with_etcd() -> Result<()> {
    containers_outlive_daemons(Store::Etcd)
}

/// A container dies with its engine: the interface goes with the namespace, and nobody says so.
#[test]
fn what_went_with_a_container_is_not_made_again() -> Result<()> {
    let lab = lab(1, Store::File)?;
    let host = lab.host(1);
    let docker = Docker::of(host);
    let before = left::of(&lab)?;
    let (id, pool) = docker.network("10.77.0.0/24")?;
    let gone = run(host, &docker, &Start::new("gone", &id, &[&pool]))?;
    let lives = run(host, &docker, &Start::new("lives", &id, &[&pool]))?;
    let (device, of) = (port(&gone.endpoint), gone.of());
    let (address, pools) = (gone.address().to_owned(), gone.addresses.clone());
    drop(gone.netns);
    let is_gone = || -> Result<()> {
        let shown = host.run(["ip", "link", "show", &device])?;
        ensure!(!shown.success(), "{shown:?}");
        Ok(())
    };
    eventually("the interface has gone", SOON, is_gone)?;
    full_pass(&lab, host, 1400)?;
    is_gone()?;
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        lab.restart_daemon(host, signal)?;
        full_pass(&lab, host, if signal == Signal::SIGTERM { 1500 } else { 1400 })?;
        is_gone()?;
        lives.ping("10.77.0.1")?;
    }
    ensure!(rows(host, "service")?.len() == 2, "the engine has not said that it ended");
    let said = "it waits for the engine to say so";
    ensure!(host.log().contains(said), "nothing is logged");
    docker.ask("NetworkDriver.Leave", &of)?;
    docker.ask("NetworkDriver.DeleteEndpoint", &of)?;
    ensure!(rows(host, "service")?.len() == 1);
    ensure!(docker.address(&pools[0].0, &address)? == pools[0].1, "its address is free");
    lives.ping("10.77.0.1")?;
    lives.stop(&docker)?;
    docker.remove(&id, &[&pool])?;
    host.netns().ip(["link set eth0 mtu 1500"])?;
    eventually("nothing is left", SOON, || {
        let after = left::of(&lab)?;
        ensure!(after == before, "{after:#?}");
        Ok(())
    })?;
    lab.end()
}

/// What people do by `netctl` to an engine's endpoint is theirs to do; the engine ends it as far as it is there.
#[test]
fn what_others_took_or_removed_is_ended_all_the_same() -> Result<()> {
    let lab = lab(2, Store::File)?;
    let (h1, h2) = (lab.host(1), lab.host(2));
    let docker = Docker::of(h1);
    let (id, pool) = docker.network("10.77.0.0/24")?;
    let taken = run(h1, &docker, &Start::new("c1", &id, &[&pool]))?;
    let removed = run(h1, &docker, &Start::new("c2", &id, &[&pool]))?;
    h2.ok(["sandbox", "create", "box"])?;
    let name = |endpoint: &str| format!("docker-{}.docker-{}", &endpoint[..12], &id[..12]);
    h2.ok(["service", "attach", "--force", "box", &name(&taken.endpoint)])?;
    h2.ok(["service", "unpublish", "-f", &name(&removed.endpoint)])?;
    for container in [&taken, &removed] {
        eventually("its interface has gone", SOON, || {
            let shown = container.netns.run(["ip", "link", "show", "eth0"])?;
            ensure!(!shown.success(), "{shown:?}");
            Ok(())
        })?;
        container.stop(&docker)?;
    }
    ensure!(rows(h2, "service")?.len() == 1, "{:?}", rows(h2, "service")?);
    h2.ok(["sandbox", "rm", "box"])?;
    h2.ok(["service", "unpublish", &name(&taken.endpoint)])?;
    docker.remove(&id, &[&pool])?;
    eventually("nothing is left", SOON, || {
        let keys = stored::dump(&lab)?;
        ensure!(keys.is_empty() && rows(h1, "sandbox")?.is_empty(), "{keys:#?}");
        Ok(())
    })?;
    lab.end()
}

/// The store goes away under an engine: it is told so, and all is well when the store is back.
#[test]
fn calls_fail_in_a_sentence_while_the_store_is_away() -> Result<()> {
    let lab = lab(1, Store::Etcd)?;
    let host = lab.host(1);
    let etcd = lab.etcd().context("an etcd")?;
    let docker = Docker::of(host);
    let (id, pool) = docker.network("10.77.0.0/24")?;
    let c1 = run(host, &docker, &Start::new("c1", &id, &[&pool]))?;
    let address = docker.address(&pool, "")?;
    etcd.stop(Signal::SIGKILL)?;
    let other = serde_json::json!({
        "NetworkID": id, "EndpointID": docker.id(), "SandboxKey": key("c2"),
        "Interface": {"Address": address, "AddressIPv6": "", "MacAddress": ""}, "Options": {},
    });
    let any = serde_json::json!({"PoolID": pool.id, "Address": "", "Options": null});
    let asked =
        serde_json::json!({"AddressSpace": "netctl-local", "Pool": "10.78.0.0/24", "Options": {}});
    for (call, request) in [
        ("IpamDriver.RequestPool", &asked),
        ("IpamDriver.RequestAddress", &any),
        ("NetworkDriver.CreateNetwork", &create(&docker.id(), &[&pool], &Value::Null)),
        ("NetworkDriver.CreateEndpoint", &other),
        ("NetworkDriver.Join", &other),
        ("NetworkDriver.Leave", &c1.of()),
        ("NetworkDriver.DeleteEndpoint", &c1.of()),
        ("NetworkDriver.DeleteNetwork", &c1.of()),
    ] {
        let said = docker.refused(call, request)?;
        ensure!(said.starts_with("the store at etcd http://"), "{call}: {said}");
    }
    c1.ping("10.77.0.1")?;
    etcd.start()?;
    eventually("the store is back", Duration::from_secs(20), || {
        docker.ask("NetworkDriver.CreateEndpoint", &other).map(drop)
    })?;
    docker.ask("NetworkDriver.DeleteEndpoint", &other)?;
    c1.stop(&docker)?;
    docker.remove(&id, &[&pool])?;
    let keys = stored::dump(&lab)?;
    ensure!(keys.is_empty(), "{keys:#?}");
    lab.end()
}

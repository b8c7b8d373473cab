//! Networks of one host.

use anyhow::{Context as _, Result, ensure};
use testbed::{Host, Lab, Signal};

use crate::{
    container::{Container, all_pairs},
    stage::{json, names, refused},
};

on_both_stores! {
    hosts_have_networks_of_their_own on 2;
}

/// ```text
///   h1: box-a (10.9.0.2), box-b ─── network own, bridge, 10.9.0.0/24
///       box-c, box-d ─── network shut, bridge, internal
///   h2: box-a (10.9.0.2), box-far (10.9.0.9) ─── network own, bridge, 10.9.0.0/24
/// ```
fn hosts_have_networks_of_their_own(lab: &Lab) -> Result<()> {
    let (h1, h2) = (lab.host(1), lab.host(2));
    let create = ["network", "create", "-d", "bridge", "--subnet", "10.9.0.0/24", "own"];
    let id = h1.ok(create)?.trim().to_owned();
    let other = h2.ok(create)?.trim().to_owned();
    names_are_a_hosts_or_the_clusters(lab, &id, &other)?;

    let near = ["a", "b"].map(|name| Container::new(h1, name, "own", &[]));
    let [Ok(a), Ok(b)] = near else { anyhow::bail!("{:?}", near.map(Result::err)) };
    let twin = Container::new(h2, "a", "own", &[])?;
    let far = Container::new(h2, "far", "own", &["--ip", "10.9.0.9"])?;
    ensure!(a.address()? == "10.9.0.2" && twin.address()? == "10.9.0.2", "not the same addresses");
    h1.ok(["network", "create", "-d", "bridge", "--internal", "shut"])?;
    let c = Container::new(h1, "c", "shut", &[])?;
    let d = Container::new(h1, "d", "shut", &[])?;

    let all_is_well = || -> Result<()> {
        all_pairs(&[&a, &b])?;
        all_pairs(&[&twin, &far])?;
        all_pairs(&[&c, &d])?;
        a.ping("10.9.0.1")?;
        Ok(())
    };
    all_is_well()?;
    // What is on another host, in another network, or outside, is not there.
    a.does_not_reach("10.9.0.9")?;
    ensure!(a.resolve("far")?.is_none(), "the other host's network is seen");
    a.does_not_reach(&c.address()?)?;
    let outside = lab.external().address();
    ensure!(d.ok(&["ip", "route"])?.lines().all(|route| !route.starts_with("default")));
    d.does_not_reach(&outside)?;
    by_no_device_of_the_kernels(h1)?;

    // The packets of a network of one host are never in a tunnel.
    let rows = json(h1, &["fdb"])?;
    let rows = rows.as_array().context("no list")?;
    ensure!(!rows.is_empty() && rows.iter().all(|row| row["vtep"].is_null()), "{rows:?}");

    let before =
        [json(h1, &["fdb"])?, json(h1, &["neigh"])?, json(h1, &["network", "inspect", "own"])?];
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        lab.restart_daemon(h1, signal)?;
        all_is_well()?;
        let after =
            [json(h1, &["fdb"])?, json(h1, &["neigh"])?, json(h1, &["network", "inspect", "own"])?];
        ensure!(before == after, "{before:#?}\n{after:#?}");
    }
    Ok(())
}

/// Each host has its own by the name, and nobody has one of the cluster by it, nor takes the addresses.
fn names_are_a_hosts_or_the_clusters(lab: &Lab, id: &str, other: &str) -> Result<()> {
    let (h1, h2) = (lab.host(1), lab.host(2));
    ensure!(names(h1, "network")? == ["own"] && names(h2, "network")? == ["own"]);
    let all = h1.ok(["network", "ls", "--all", "-q", "--no-trunc"])?;
    ensure!(all.contains(id) && all.contains(other), "{all}");
    let taken = "network own is there already on host h1: choose another name, or remove it first";
    refused(h2, &["network", "create", "own"], &["network own is there already: choose"])?;
    let h1_alone = ["network", "create", "-d", "bridge", "one"];
    h1.ok(h1_alone)?;
    refused(h2, &["network", "create", "one"], &[&taken.replace("own", "one")])?;
    refused(h2, &["network", "inspect", "one"], &["there is no network one: see"])?;
    h1.ok(["network", "rm", "one"])?;
    h1.ok(["network", "create", "wide"])?;
    refused(
        h2,
        &["network", "create", "-d", "bridge", "wide"],
        &["network wide is there already"],
    )?;
    h1.ok(["network", "rm", "wide"])?;
    refused(
        h2,
        &["network", "create", "--subnet", "10.9.0.0/25", "wide"],
        &["subnet 10.9.0.0/25 overlaps with 10.9.0.0/24 of network own on host h"],
    )?;
    refused(
        h2,
        &["network", "create", "-d", "bridge", "--subnet", "10.9.0.0/25", "half"],
        &["subnet 10.9.0.0/25 overlaps with 10.9.0.0/24 of network own: choose another"],
    )?;
    // By its identifier it is found from anywhere, and is its own host's all the same.
    ensure!(json(h2, &["network", "inspect", &id[..12]])?[0]["host"] == "h1");
    refused(h2, &["network", "rm", id], &["network own is on host h1 alone: remove it there"])?;
    let service = format!("x.{}", &id[..12]);
    refused(
        h2,
        &["service", "publish", &service],
        &["network own is on host h1 alone: publish there"],
    )
}

/// There is a bridge for headroom, which is down, and no other.
fn by_no_device_of_the_kernels(host: &Host) -> Result<()> {
    for kind in ["bridge", "vxlan"] {
        let links = host.run(["ip", "-brief", "link", "show", "type", kind])?.ok()?;
        let ours = |line: &str| {
            line.starts_with("netctl-vx") || (line.starts_with("netctl-h") && !line.contains("UP"))
        };
        ensure!(links.lines().all(ours), "{links}");
    }
    Ok(())
}

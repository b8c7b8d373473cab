//! Containers of one network reach each other, on whatever hosts they are.

use anyhow::{Result, ensure};
use testbed::{Host, Lab};

use crate::container::{Container, all_pairs};

on_both_stores! {
    three_hosts on 3;
    one_host on 1;
}

/// ```text
///   h1: box-svc1 ─┐
///   h2: box-svc2 ─┼─ network dev, overlay
///   h3: box-svc3 ─┘
/// ```
fn three_hosts(lab: &Lab) -> Result<()> {
    containers_reach_each_other(lab, [1, 2, 3])
}

/// ```text
///   h1: box-svc1, box-svc2, box-svc3 ─── network dev, overlay
/// ```
fn one_host(lab: &Lab) -> Result<()> {
    containers_reach_each_other(lab, [1, 1, 1])
}

/// Also after one has left the network and joined it again.
fn containers_reach_each_other(lab: &Lab, hosts: [usize; 3]) -> Result<()> {
    lab.host(1).ok(["network", "create", "-d", "overlay", "dev"])?;
    let names = ["svc1", "svc2", "svc3"];
    let containers: Vec<_> = hosts
        .into_iter()
        .zip(names)
        .map(|(host, name)| Container::new(lab.host(host), name, "dev", &[]))
        .collect::<Result<_>>()?;
    let [one, two, three] = containers.as_slice() else { unreachable!("three were made") };
    all_pairs(&[one, two, three])?;
    hosts.into_iter().try_for_each(|host| ports_have_headroom(lab.host(host)))?;

    let address = two.address()?;
    two.detach()?;
    let links = two.ok(&["ip", "-brief", "link"])?;
    ensure!(!links.contains("eth0"), "the interface stays: {links}");
    two.does_not_reach(&one.address()?)?;
    for other in [one, three] {
        testbed::eventually("the name is gone", crate::container::SOON, || {
            let resolved = other.resolve("svc2")?;
            ensure!(resolved.is_none(), "svc2 is {resolved:?}");
            Ok(())
        })?;
        other.does_not_reach(&address)?;
    }
    all_pairs(&[one, three])?;

    two.attach()?;
    ensure!(two.address()? == address, "it has another address now");
    all_pairs(&[one, two, three])
}

/// Each port of the data plane is one of a bridge that is down.
fn ports_have_headroom(host: &Host) -> Result<()> {
    let links = host.run(["ip", "-brief", "link", "show", "master", "netctl-hr0"])?.ok()?;
    let of = |prefix: &str| links.lines().filter(|line| line.starts_with(prefix)).count();
    let sandboxes = host.ok(["sandbox", "ls", "--quiet"])?.lines().count();
    ensure!(of("np-") == 1 && of("nc") == sandboxes && of("netctl-hv0") == 1, "{links}");
    let bridge = host.run(["ip", "link", "show", "netctl-hr0"])?.ok()?;
    ensure!(bridge.contains("state DOWN") && !bridge.contains("UP"), "{bridge}");
    Ok(())
}

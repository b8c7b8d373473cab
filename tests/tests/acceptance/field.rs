//! What the field's own suites try on an overlay network: names, addresses, the outside, further networks that come
//! and go, leaving and joining again, and all of it once more after each daemon was started again.

use anyhow::{Result, ensure};
use testbed::{Host, Lab, Signal};

use crate::{
    container::{Container, SOON, all_pairs, end_whole},
    stage::refused,
};

on_both_stores! {
    three_hosts_with_further_networks on 3;
    one_host_with_further_networks on 1;
    an_internal_network_has_no_way_out on 2;
}

/// ```text
///   h1: box-svc1 ─┬─ network multihost, overlay ── underlay ── external
///   h2: box-svc2 ─┤
///   h3: box-svc3 ─┘   and on each host, for a while: networks br1 and br2, bridge
/// ```
fn three_hosts_with_further_networks(lab: &Lab) -> Result<()> {
    further_networks(lab, [1, 2, 3])
}

/// The same with all three on one host.
fn one_host_with_further_networks(lab: &Lab) -> Result<()> {
    further_networks(lab, [1, 1, 1])
}

fn further_networks(lab: &Lab, hosts: [usize; 3]) -> Result<()> {
    lab.host(1).ok(["network", "create", "-d", "overlay", "multihost"])?;
    let containers = hosts
        .into_iter()
        .zip(["svc1", "svc2", "svc3"])
        .map(|(host, name)| Container::new(lab.host(host), name, "multihost", &[]))
        .collect::<Result<Vec<_>>>()?;
    let [one, two, three] = containers.as_slice() else { unreachable!("three were made") };
    for host in lab.hosts() {
        for bridge in ["br1", "br2"] {
            host.ok(["network", "create", "-d", "bridge", bridge])?;
        }
    }
    scenario(lab, [one, two, three])?;

    // The ping goes on over every restart, whatever else is done beside it.
    let mut echoes = one.echoes(three)?;
    for host in lab.hosts() {
        for signal in [Signal::SIGTERM, Signal::SIGKILL] {
            echoes.goes_on()?;
            lab.restart_daemon(host, signal)?;
            echoes.goes_on()?;
        }
        whole(lab, &[one, two, three])?;
    }
    end_whole(echoes)?;
    scenario(lab, [one, two, three])
}

/// All that is done with three containers of one network.
fn scenario(lab: &Lab, [one, two, three]: [&Container<'_>; 3]) -> Result<()> {
    let all = [one, two, three];
    whole(lab, &all)?;
    for bridge in ["br1", "br2"] {
        let mut further = Vec::new();
        for container in all {
            further.push(Further::connect(container, bridge)?);
        }
        whole(lab, &all)?;
        for further in &further {
            further.reaches_its_host_alone(&further_names(&all))?;
        }
        for further in further {
            further.disconnect()?;
        }
        whole(lab, &all)?;
    }

    let address = two.address()?;
    two.detach()?;
    two.does_not_reach(&one.address()?)?;
    two.does_not_reach(&lab.external().address())?;
    for other in [one, three] {
        testbed::eventually("the name is gone", SOON, || {
            let resolved = other.resolve("svc2")?;
            ensure!(resolved.is_none(), "svc2 is {resolved:?}");
            Ok(())
        })?;
        other.does_not_reach(&address)?;
    }
    whole(lab, &[one, three])?;
    two.attach()?;
    ensure!(two.address()? == address, "it has another address now");
    whole(lab, &all)
}

fn further_names(containers: &[&Container<'_>]) -> Vec<(String, String)> {
    let of = |c: &&Container<'_>| (c.host.name().to_owned(), format!("also-{}", c.service));
    containers.iter().map(of).collect()
}

/// Every pair by name and address, and each the outside.
fn whole(lab: &Lab, containers: &[&Container<'_>]) -> Result<()> {
    all_pairs(containers)?;
    let external = lab.external().address();
    containers.iter().try_for_each(|container| container.reaches(&external))
}

/// A container's further service, on a network of its host alone.
struct Further<'a> {
    container: &'a Container<'a>,
    reference: String,
    network: &'a str,
}

impl<'a> Further<'a> {
    fn connect(container: &'a Container<'a>, network: &'a str) -> Result<Self> {
        let reference = format!("also-{}.{network}", container.service);
        container.host.ok(["service", "publish", &reference])?;
        container.host.ok(["service", "attach", &container.name, &reference])?;
        Ok(Self { container, reference, network })
    }

    /// `others` are all such services, each with its host.
    fn reaches_its_host_alone(&self, others: &[(String, String)]) -> Result<()> {
        for (host, name) in others {
            let reference = format!("{name}.{}", self.network);
            if host == self.container.host.name() {
                self.container.reaches(&reference)?;
            } else {
                let resolved = self.container.resolve(&reference)?;
                ensure!(resolved.is_none(), "{reference} of {host} is {resolved:?}");
            }
        }
        Ok(())
    }

    fn disconnect(self) -> Result<()> {
        let Self { container, reference, .. } = self;
        container.host.ok(["service", "detach", &container.name, &reference])?;
        container.host.ok(["service", "unpublish", &reference]).map(drop)
    }
}

/// ```text
///   h1: box-svc1 ─┬─ network closed, overlay, internal ┄┄ underlay ── external
///   h2: box-svc2 ─┘
/// ```
fn an_internal_network_has_no_way_out(lab: &Lab) -> Result<()> {
    lab.host(1).ok(["network", "create", "-d", "overlay", "--internal", "closed"])?;
    let one = Container::new(lab.host(1), "svc1", "closed", &[])?;
    let two = Container::new(lab.host(2), "svc2", "closed", &[])?;
    all_pairs(&[&one, &two])?;
    let external = lab.external().address();
    for container in [&one, &two] {
        for family in ["-4", "-6"] {
            let routes = container.ok(&["ip", family, "route", "show", "default"])?;
            ensure!(routes.trim().is_empty(), "{}: {routes}", container.name);
        }
        container.does_not_reach(&external)?;
    }
    // Nor where somebody inside makes a route by hand.
    let subnet = gateway(lab.host(1))?;
    one.ok(&["ip", "route", "add", "default", "via", &subnet])?;
    one.does_not_reach(&external)?;
    two.detach()?;
    refused(lab.host(1), &["network", "rm", "closed"], &["closed", "svc1"])?;
    two.attach()?;
    all_pairs(&[&one, &two])
}

fn gateway(host: &Host) -> Result<String> {
    let text =
        crate::stage::field(host, &["network", "inspect", "closed"], "/0/subnets/0/gateway")?;
    Ok(text.split('/').next().unwrap_or_default().to_owned())
}

//! Hosts that share no store, and agree on a network by what each is told of it.

use anyhow::{Context as _, Result, ensure};
use testbed::{Host, Lab, Options, Signal, Store, eventually};

use crate::{
    container::{Container, SOON},
    rest,
    stage::{field, refused},
};

/// The part of the subnet that a host has.
fn range(number: usize) -> String {
    format!("10.1.{number}.0/24")
}

/// The words that make the network on a host, which is told what the others have.
fn network(host: &Host, hosts: &[Host]) -> Vec<String> {
    let peers: Vec<String> = (1..)
        .zip(hosts)
        .filter(|(_, other)| other.name() != host.name())
        .map(|(number, other)| format!("{}@{}", range(number), other.address()))
        .collect();
    let number = hosts.iter().position(|other| other.name() == host.name()).map_or(0, |at| at + 1);
    let words = format!(
        "network create -d overlay --subnet 10.1.0.0/16 --ip-range {} -o vni=1024 -o peers={} dev",
        range(number),
        peers.join(",")
    );
    words.split(' ').map(ToOwned::to_owned).collect()
}

/// ```text
///   h1: box-one, of 10.1.1.0/24 ─┐
///   h2: box-two, of 10.1.2.0/24 ─┼─ network dev, VNI 1024, made on each host by itself
///   h3: box-tre, of 10.1.3.0/24 ─┘
/// ```
#[test]
fn hosts_without_a_store_in_common_agree_by_what_they_are_told() -> Result<()> {
    let lab = Lab::start(Options { hosts: 3, store: Store::Apart, ..Options::default() })?;
    let played = (|| {
        let mut containers = Vec::new();
        for (number, host) in (1..).zip(lab.hosts()) {
            ensure!(host.ok(["network", "ls", "-q"])?.is_empty(), "they share a store");
            host.ok(network(host, lab.hosts()))?;
            let container = Container::new(host, ["one", "two", "tre"][number - 1], "dev", &[])?;
            let address = container.address()?;
            ensure!(address.starts_with(&format!("10.1.{number}.")), "{address}");
            containers.push((container, address));
        }
        everybody_reaches_everybody(&containers)?;
        // By name each finds what its own host knows, and nothing else.
        let (one, _) = &containers[0];
        ensure!(one.resolve("one")?.is_some() && one.resolve("two")?.is_none());

        for host in lab.hosts() {
            lab.restart_daemon(host, Signal::SIGKILL)?;
        }
        everybody_reaches_everybody(&containers)?;

        // An address that goes to another container of its host is that one's at once, everywhere.
        let (two, address) = &containers[1];
        let old = two.mac()?;
        two.detach()?;
        two.host.ok(["service", "unpublish", &two.reference()])?;
        let heir = Container::new(two.host, "heir", "dev", &["--ip", address])?;
        ensure!(heir.mac()? == old, "the others know its MAC by its address");
        one.reaches(address)?;
        refused(
            two.host,
            &["service", "publish", "--mac", "02:00:00:00:00:09", "x.dev"],
            &["MAC address 02:00:00:00:00:09 is not that of 10.1.2."],
        )?;
        // What is another host's is not given here.
        refused(
            two.host,
            &["service", "publish", "--ip", "10.1.3.9", "x.dev"],
            &["address 10.1.3.9 is not in 10.1.2.0/24, this host's part of network dev"],
        )?;
        let vni = field(two.host, &["network", "inspect", "dev"], "/0/vni")?;
        ensure!(vni == "1024", "{vni}");
        rest::clear(&lab)?;
        eventually("nothing is left", SOON, || {
            for host in lab.hosts() {
                let links = host.run(["ip", "-brief", "link"])?.ok()?;
                ensure!(!links.contains("nh-") && !links.contains("nc"), "{links}");
            }
            Ok(())
        })
    })();
    played.map_err(|error| lab.explain(error)).context("hosts apart")?;
    lab.end()
}

fn everybody_reaches_everybody(containers: &[(Container<'_>, String)]) -> Result<()> {
    for (from, own) in containers {
        for (_, address) in containers.iter().filter(|(_, address)| address != own) {
            from.reaches(address)?;
        }
    }
    Ok(())
}

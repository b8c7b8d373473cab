//! What is sound is not found fault with.

use anyhow::{Result, ensure};
use testbed::{Families, Lab, Options, Store};

use crate::stage::{findings, lab};

fn nothing_is_wrong(store: Store) -> Result<()> {
    let lab = lab(store)?;
    for host in lab.hosts() {
        let output = host.netctl(["doctor"])?;
        let expected =
            "ok: daemon, machine, devices, programs, store, hosts, paths, ways, sandboxes\n";
        ensure!((output.code(), output.stdout.as_str()) == (0, expected), "{output:?}");
        // What was tried out has left nothing that is counted as lost.
        let counters = host.ok(["counters"])?;
        ensure!(!counters.contains("unknown-"), "{counters}");
        ensure!(counters.contains(" probe "), "{counters}");
    }
    lab.end()
}

#[test]
fn nothing_is_wrong_with_a_healthy_lab_on_a_file() -> Result<()> {
    nothing_is_wrong(Store::File)
}

#[test]
fn nothing_is_wrong_with_a_healthy_lab_on_etcd() -> Result<()> {
    nothing_is_wrong(Store::Etcd)
}

/// Hosts without anything; networks without a way out, of one host, without addresses; tunnels over IPv6.
#[test]
fn nothing_is_wrong_with_hosts_of_all_kinds() -> Result<()> {
    let lab = Lab::start(Options { families: Families::V6, ..Options::default() })?;
    let (h1, h2) = (lab.host(1), lab.host(2));
    for host in lab.hosts() {
        let found = findings(host)?;
        ensure!(found.is_empty(), "without networks: {found:#?}");
    }
    h1.ok(["network", "create", "--internal", "--ipv6", "inner"])?;
    h1.ok(["network", "create", "-d", "bridge", "one"])?;
    h1.ok(["run", "--name", "box1", "--publish-service", "a.inner", "true"])?;
    h1.ok(["run", "--name", "box2", "--publish-service", "b.one", "true"])?;
    h1.ok(["run", "--name", "box3", "--publish-service", "c.none.null", "true"])?;
    h1.ok(["sandbox", "create", "--host", "self"])?;
    h2.ok(["run", "--name", "box4", "--publish-service", "d.inner", "true"])?;
    for host in lab.hosts() {
        let found = findings(host)?;
        ensure!(found.is_empty(), "{found:#?}");
        ensure!(host.ok(["counters"])?.contains(" probe "), "no probe went over IPv6");
    }
    lab.end()
}

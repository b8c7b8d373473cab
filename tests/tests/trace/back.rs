//! The way of the answer.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use aya::maps::HashMap;
use netctl_common::maps::{FDB, FdbEntry, FdbKey, PORTS, Port};
use testbed::Store;

use crate::{
    faults::{index, map, port, station, vni},
    stage::{Hop, arrives, join, lab, meets, pings, played, trace},
};

#[test]
fn the_answer_is_followed_as_far_as_this_host_can_tell() -> Result<()> {
    played(lab(Store::File)?, |lab| {
        let host = lab.host(1);
        for question in
            ["a b", "a b -6", "a b --port 80", "a b --proto udp --port 53", "a b --size 1450"]
        {
            let report = trace(host, question)?;
            ensure!(report.arrives && report.returns, "{question}: {report:#?}");
            let hops = [
                ("host h2", "`netctl trace b.dev a.dev` there says how it sends it"),
                ("from-underlay", "to-container"),
                ("sandbox box-a", "a takes it by eth0"),
            ];
            meets(&report.back, &hops).with_context(|| format!("{question}: {report:#?}"))?;
            ensure!(report.back.len() == hops.len(), "{question}: {report:#?}");
        }
        for question in ["a c", "a c -6", "a c --port 80"] {
            let report = trace(host, question)?;
            ensure!(report.arrives && report.returns, "{question}: {report:#?}");
            let hops = [
                ("sandbox box-c", "it goes out by eth0 to "),
                ("neighbour", ""),
                ("port nc", "it is up and runs the program"),
                ("from-container", "to-container"),
                ("sandbox box-a", "a takes it by eth0"),
            ];
            meets(&report.back, &hops).with_context(|| format!("{question}: {report:#?}"))?;
            ensure!(report.back.len() == hops.len(), "{question}: {report:#?}");
        }
        let report = trace(host, "a 192.0.2.254")?;
        ensure!(report.back.len() == 1 && report.back[0].verdict == "unknown", "{report:#?}");
        // What is for all, and what stops, is not answered.
        ensure!(trace(host, "a 10.77.0.255")?.back.is_empty());
        ensure!(trace(host, "a 10.77.0.200")?.back.is_empty());
        Ok(())
    })
}

/// Stations of two networks may have one MAC.
#[test]
fn who_has_the_same_mac_in_another_network_is_not_taken_for_who_answers() -> Result<()> {
    played(lab(Store::File)?, |lab| {
        let host = lab.host(1);
        host.ok(["network", "create", "--subnet", "10.79.0.0/24", "other"])?;
        // Whichever sandbox comes first, one of the networks has the second.
        for name in ["d", "e"] {
            let mac = format!("02:00:00:00:01:{}", if name == "d" { "01" } else { "02" });
            for network in ["dev", "other"] {
                let service = format!("{name}-{network}.{network}");
                join(host, &service, &["--mac", &mac])?;
            }
        }
        for network in ["dev", "other"] {
            let report = trace(host, &format!("d-{network} e-{network}"))?;
            let sandboxes = |hops: &[Hop]| -> BTreeSet<String> {
                hops.iter().map(|hop| hop.at.clone()).filter(|at| at.contains("sandbox")).collect()
            };
            let ends = ["d", "e"].map(|name| format!("sandbox box-{name}-{network}")).into();
            ensure!(sandboxes(&report.hops) == ends, "{report:#?}");
            ensure!(
                report.arrives && report.returns && sandboxes(&report.back) == ends,
                "{report:#?}"
            );
        }
        Ok(())
    })
}

/// A network that has IPv6 alone is followed without a word of it, and one that has two subnets by its gateway.
#[test]
fn ipv6_is_followed_where_there_is_nothing_else_and_other_subnets_by_the_gateway() -> Result<()> {
    played(lab(Store::File)?, |lab| {
        let (host, other) = (lab.host(1), lab.host(2));
        host.ok(["network", "create", "--subnet", "fd78::/64", "six"])?;
        join(host, "d.six", &[])?;
        join(other, "e.six", &[])?;
        let hops = [("sandbox box-d", "to fd78::"), ("from-container", "to-underlay")];
        arrives(host, "d.six e", "-6 e", &hops)?;
        let back = trace(host, "d.six e")?.back;
        meets(&back, &[("from-underlay", "to-container"), ("sandbox box-d", "d takes it")])?;

        host.ok([
            "network",
            "create",
            "--subnet",
            "10.79.0.0/24",
            "--subnet",
            "10.80.0.0/24",
            "two",
        ])?;
        for (on, service, address) in [(host, "f.two", "10.79.0.5"), (other, "g.two", "10.80.0.5")]
        {
            let (name, _) = service.split_once('.').context("a network")?;
            let sandbox = format!("box-{name}");
            on.ok(["sandbox", "create", &sandbox])?;
            on.ok(["service", "publish", "--ip", address, service])?;
            on.ok(["service", "attach", &sandbox, service])?;
        }
        arrives(host, "f.two g", "10.80.0.5", &[("sandbox box-f", "by 10.79.0.1")])?;
        let back = trace(host, "f.two g")?.back;
        meets(&back, &[("from-underlay", "to-container"), ("sandbox box-f", "f takes it")])
    })
}

#[test]
fn an_answer_that_does_not_come_back_is_told_from_a_packet_that_does_not_arrive() -> Result<()> {
    played(lab(Store::File)?, |lab| {
        let host = lab.host(1);
        arrives(host, "a b", "b", &[])?;
        arrives(host, "a c", "c", &[])?;
        // Another host's answer finds nobody here.
        let (_, mac) = station(host, "a.dev")?;
        let mut fdb: HashMap<_, FdbKey, FdbEntry> = map(host, FDB)?;
        let key = FdbKey::new(vni(), mac);
        let entry = fdb.get(&key, 0)?;
        fdb.remove(&key)?;
        let report = trace(host, "a b")?;
        ensure!(report.arrives && !report.returns, "{report:#?}");
        let last = report.back.last().context("no hop")?;
        ensure!(
            last.at == "from-underlay" && last.reason.as_deref() == Some("not-local"),
            "{last:?}"
        );
        ensure!(last.mend.as_deref() == Some("systemctl restart netctl"), "{last:?}");
        ensure!(!pings(host, "a", "b")?, "it is answered: {report:#?}");
        let output = host.netctl(["trace", "a", "b"])?;
        ensure!(output.code() == 1, "{output:?}");
        ensure!(output.stdout.contains("\nIt would arrive.\nThe answer from b.dev"), "{output:?}");
        ensure!(output.stdout.ends_with("\nIt would stop at from-underlay.\n"), "{output:?}");
        fdb.insert(key, entry, 0)?;
        arrives(host, "a b", "b", &[])?;

        // That of a service beside it is not let out.
        let mut ports: HashMap<_, u32, Port> = map(host, PORTS)?;
        let device = index(host, &port(host, "c.dev")?)?;
        ports.remove(&device)?;
        let report = trace(host, "a c")?;
        ensure!(report.arrives && !report.returns, "{report:#?}");
        let last = report.back.last().context("no hop")?;
        let reason = last.reason.as_deref();
        ensure!(last.at == "from-container" && reason == Some("unknown-port"), "{last:?}");
        ensure!(!pings(host, "a", "c")?, "it is answered: {report:#?}");
        Ok(())
    })
}

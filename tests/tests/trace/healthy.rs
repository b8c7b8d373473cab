//! Ways on which nothing is wrong.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use testbed::{Host, Store};

use crate::stage::{arrives, join, lab, pings, played, stops, trace};

/// What the programs of containers counted.
fn counted(host: &Host) -> Result<Vec<Value>> {
    let all: Vec<Value> = serde_json::from_str(&host.ok(["--format", "json", "counters"])?)?;
    Ok(all.into_iter().filter(|own| own["program"] == "from-container").collect())
}

#[test]
fn what_arrives_is_followed_to_its_end() -> Result<()> {
    played(lab(Store::File)?, |lab| {
        let host = lab.host(1);
        let port = ("port nc", "it is up and runs the program");
        arrives(
            host,
            "a b",
            "b",
            &[
                ("sandbox box-a", "it goes out by eth0 to 10.77.0."),
                ("neighbour", "who asks for 10.77.0."),
                port,
                ("from-container", "to-underlay"),
                ("tunnel", "to h2 (192.0.2.2) in VNI 4096"),
                ("underlay eth0", "134 bytes in the tunnel; probes came back, of up to 1500 bytes"),
                ("host h2", "it has the service"),
            ],
        )?;
        // Once it has pinged, the sandbox knows it.
        arrives(
            host,
            "a.dev b.dev",
            "b",
            &[("neighbour", "the sandbox has learned that 10.77.0.")],
        )?;
        arrives(
            host,
            "a c",
            "c",
            &[("from-container", "to-container"), ("sandbox box-c", "c takes it by eth0")],
        )?;
        let gateway = [("from-container", "to-host"), ("host h1", "10.77.0.1 is its own address")];
        arrives(host, "a 10.77.0.1", "10.77.0.1", &gateway)?;
        let outside = [
            ("sandbox box-a", "to 192.0.2.254 by 10.77.0.1"),
            ("from-container", "to-host"),
            ("host h1", "it leaves by eth0, with an address of the host as its source"),
            ("outside", "is not netctl's"),
        ];
        arrives(host, "a 192.0.2.254", "192.0.2.254", &outside)?;
        arrives(host, "a 10.77.0.2", "10.77.0.2", &[("sandbox box-a", "its own address")])?;
        arrives(
            host,
            "a b --size 1450",
            "-M do -s 1422 b",
            &[("underlay eth0", "1500 bytes in the tunnel")],
        )?;
        // IPv6.
        let six = address6(host, "b")?;
        let hops = [("neighbour", "who asks for fd77::"), ("from-container", "to-underlay")];
        arrives(host, &format!("a {six}"), &format!("-6 {six}"), &hops)?;
        arrives(host, "a fd77::1", "-6 fd77::1", &[("from-container", "to-host")])?;
        // What is for all is not tried, but told.
        let report = trace(host, "a 10.77.0.255")?;
        let flooded = report.hops.last().context("no hop")?;
        ensure!(flooded.reason.as_deref() == Some("flooded"), "{report:#?}");
        ensure!(flooded.what.ends_with("These are: gateway, c, host 192.0.2.2."), "{flooded:?}");
        Ok(())
    })
}

fn address6(host: &Host, service: &str) -> Result<String> {
    let view: Value = serde_json::from_str(&host.ok(["service", "inspect", service])?)?;
    let address = view.pointer("/0/addresses/1").and_then(Value::as_str).context("no address")?;
    Ok(address.split('/').next().unwrap_or_default().to_owned())
}

/// Asking is not carrying, and sends nothing.
#[test]
fn what_is_asked_is_not_counted() -> Result<()> {
    played(lab(Store::File)?, |lab| {
        let (host, other) = (lab.host(1), lab.host(2));
        ensure!(pings(host, "a", "b")?, "it is reached");
        let before = testbed::eventually("the sandboxes are quiet", crate::stage::SOON, || {
            let before = (counted(host)?, counted(other)?);
            std::thread::sleep(std::time::Duration::from_secs(2));
            ensure!((counted(host)?, counted(other)?) == before, "something is sent");
            Ok(before)
        })?;
        for question in
            ["a b", "a c", "a b --port 80", "a b --proto udp --port 53", "a 10.77.0.255"]
        {
            trace(host, question)?;
        }
        let after = (counted(host)?, counted(other)?);
        ensure!(after == before, "{after:#?}");
        Ok(())
    })
}

#[test]
fn what_networks_are_made_to_keep_apart_stops() -> Result<()> {
    played(lab(Store::File)?, |lab| {
        let host = lab.host(1);
        host.ok(["network", "create", "--internal", "--subnet", "10.78.0.0/24", "data"])?;
        host.ok(["network", "create", "--subnet", "10.79.0.0/24", "other"])?;
        host.ok(["network", "create", "-o", "icc=off", "--subnet", "10.76.0.0/24", "apart"])?;
        join(host, "d.data", &[])?;
        join(host, "e.other", &["-p", "8080:80"])?;
        join(host, "f.apart", &[])?;
        join(host, "g.apart", &[])?;

        let said = stops(host, "d 192.0.2.254", "192.0.2.254", "sandbox box-d", "no-route")?;
        ensure!(said.what.contains("it is in internal networks alone (data)"), "{said:?}");
        let said = stops(host, "a e.other", "10.79.0.2", "host h1", "other-network")?;
        ensure!(said.mend.as_deref() == Some("netctl network connect other box-a"), "{said:?}");
        let said = stops(host, "f g", "10.76.0.3", "from-container", "isolated")?;
        ensure!(said.what.contains("Network apart has icc=off"), "{said:?}");
        arrives(host, "f 10.76.0.1", "10.76.0.1", &[("from-container", "to-host")])?;
        let said =
            stops(host, "a b --size 2000", "-M do -s 1972 b", "sandbox box-a", "message-too-long")?;
        ensure!(said.what.starts_with("eth0 takes packets of 1450 bytes"), "{said:?}");

        // A published port leads on.
        let report = trace(host, "a 192.0.2.1 --port 8080")?;
        let hop = report.hops.iter().find(|hop| hop.at == "host h1").context("no hop")?;
        ensure!(hop.what.contains("the port is published: it goes to e.other"), "{report:#?}");
        ensure!(report.hops.last().is_some_and(|hop| hop.at == "sandbox box-e"), "{report:#?}");
        Ok(())
    })
}

/// Between the subnets of one network the program routes by itself.
#[test]
fn subnets_of_one_network_are_routed() -> Result<()> {
    played(lab(Store::File)?, |lab| {
        let create = "network create --subnet 10.80.0.0/24 --subnet 10.81.0.0/24 wide";
        lab.host(1).ok(create.split(' '))?;
        for (host, service, ip) in [(1, "m.wide", "10.80.0.9"), (2, "n.wide", "10.81.0.9")] {
            let name = service.split('.').next().unwrap_or_default();
            lab.host(host).ok(["sandbox", "create", &format!("box-{name}")])?;
            lab.host(host).ok(["service", "publish", "--ip", ip, service])?;
            lab.host(host).ok(["service", "attach", &format!("box-{name}"), service])?;
        }
        let hops = [
            ("sandbox box-m", "to 10.81.0.9 by 10.80.0.1"),
            ("from-container", "to-underlay"),
            ("host h2", "it has the service"),
        ];
        arrives(lab.host(1), "m n", "10.81.0.9", &hops)
    })
}

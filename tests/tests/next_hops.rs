//! The way to another host follows the kernel's routes and neighbours, and goes by the kernel where it cannot.
//!
//! ```text
//!   h1 192.0.2.1: box1 10.84.0.2 ──┐            ┌── h2 192.0.2.2: box2 10.84.0.3
//!                                  ├── bridge ──┤
//!                                  └── external 192.0.2.254, which forwards
//! ```

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use testbed::{Host, Lab, Netns, Options, Signal, eventually};

/// What the kernel's own timers may take, and a busy machine.
const SOON: Duration = Duration::from_secs(20);
const BOX2: &str = "10.84.0.3";

fn lab() -> Result<Lab> {
    let lab = Lab::start(Options::default())?;
    lab.host(1).ok(["network", "create", "--subnet", "10.84.0.0/24", "dev"])?;
    for (host, name, service) in [(1, "box1", "a.dev"), (2, "box2", "b.dev")] {
        lab.host(host).ok(["run", "--name", name, "--publish-service", service, "true"])?;
    }
    let external = lab.external().netns();
    for (name, value) in [
        ("net/ipv4/ip_forward", "1"),
        ("net/ipv4/conf/all/send_redirects", "0"),
        ("net/ipv4/conf/eth0/send_redirects", "0"),
    ] {
        external.set_sysctl(name, value)?;
    }
    reaches(&lab)?;
    known(lab.host(1), 1)?;
    Ok(lab)
}

/// The containers reach each other, soon.
fn reaches(lab: &Lab) -> Result<()> {
    eventually("box1 reaches box2", SOON, || {
        let words = ["netctl", "exec", "box1", "ping", "-n", "-c", "1", "-W", "1", BOX2];
        lab.host(1).run(words)?.ok().map(drop)
    })
}

/// The host knows the next hop to so many others, soon.
fn known(host: &Host, expected: u64) -> Result<()> {
    eventually("the next hop is known or not", SOON, || {
        let status: serde_json::Value =
            serde_json::from_str(&host.ok(["status", "--format", "json"])?)?;
        let (hops, hosts) = (&status["next_hops"], &status["tunnels"]);
        ensure!(*hops == expected && *hosts == 1, "{hops} of {hosts}");
        Ok(())
    })
}

/// How many packets a host has forwarded.
fn forwarded(netns: &Netns) -> Result<u64> {
    let text = netns.run(["cat", "/proc/self/net/snmp"])?.ok()?;
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("Ip: "));
    let (names, values) = lines.next().zip(lines.next()).context("no counters of IP")?;
    let mut both = names.split(' ').zip(values.split(' '));
    let (_, value) = both.find(|(name, _)| *name == "ForwDatagrams").context("no counter")?;
    Ok(value.parse()?)
}

/// Packets from box1 go by the external host, soon.
fn goes_by_external(lab: &Lab) -> Result<()> {
    let external = lab.external().netns();
    eventually("packets go by the gateway", SOON, || {
        let before = forwarded(external)?;
        reaches(lab)?;
        let after = forwarded(external)?;
        ensure!(after > before, "{before} packets were forwarded before, and {after} since");
        Ok(())
    })
}

#[test]
fn the_kernels_changes_are_followed() -> Result<()> {
    let lab = lab()?;
    let (h1, h2) = (lab.host(1), lab.host(2));

    // The other host has another address, and says so.
    h2.netns().set_sysctl("net/ipv4/conf/eth0/arp_notify", "1")?;
    h2.netns().ip(["link set eth0 address 02:00:00:00:02:02"])?;
    reaches(&lab)?;

    // Our own device has another.
    h1.netns().ip(["link set eth0 address 02:00:00:00:01:01"])?;
    reaches(&lab)?;
    known(h1, 1)?;

    // The kernel forgets.
    h1.netns().ip(["neigh del 192.0.2.2 dev eth0"])?;
    reaches(&lab)?;
    known(h1, 1)?;

    // By a gateway, and back.
    h1.netns().ip(["route add 192.0.2.2/32 via 192.0.2.254"])?;
    goes_by_external(&lab)?;
    known(h1, 1)?;
    h1.netns().ip(["route del 192.0.2.2/32"])?;
    reaches(&lab)?;

    // One of two gateways is the kernel's choice for each flow.
    h1.netns().ip(["route add 192.0.2.2/32 nexthop via 192.0.2.254 nexthop via 192.0.2.2"])?;
    known(h1, 0)?;
    reaches(&lab)?;
    h1.netns().ip(["route del 192.0.2.2/32"])?;
    known(h1, 1)?;

    // So it is by a rule that looks at packets.
    h1.netns().ip(["rule add fwmark 7 table 7"])?;
    known(h1, 0)?;
    reaches(&lab)?;
    h1.netns().ip(["rule del fwmark 7 table 7"])?;
    known(h1, 1)?;

    h1.netns().ip(["link set eth0 down"])?;
    known(h1, 0)?;
    h1.netns().ip(["link set eth0 up"])?;
    reaches(&lab)?;
    known(h1, 1)?;
    lab.end()
}

/// A station that is gone without a word is found out as the kernel finds it out for packets of its own.
#[test]
fn a_next_hop_that_is_wrong_is_found_out() -> Result<()> {
    let lab = lab()?;
    let h1 = lab.host(1).netns();
    h1.set_sysctl("net/ipv4/neigh/eth0/delay_first_probe_time", "1")?;
    h1.set_sysctl("net/ipv4/neigh/eth0/retrans_time_ms", "200")?;
    h1.ip(["neigh replace 192.0.2.2 dev eth0 lladdr 02:00:00:00:66:66 nud stale"])?;
    reaches(&lab)?;
    let neighbour = h1.run(["ip", "neigh", "show", "192.0.2.2"])?.ok()?;
    ensure!(!neighbour.contains("66:66"), "{neighbour}");
    known(lab.host(1), 1)?;
    lab.end()
}

#[test]
fn what_a_route_lets_through_is_what_the_tunnel_takes() -> Result<()> {
    let lab = lab()?;
    let h1 = lab.host(1);
    let ping = |size: &str| {
        let words =
            ["netctl", "exec", "box1", "ping", "-n", "-M", "do", "-c", "1", "-W", "1", "-s"];
        h1.run(words.iter().copied().chain([size, BOX2]))
    };
    // 1450 bytes with the headers of IPv4 and ICMP, and then 1350.
    ping("1422")?.ok()?;
    h1.netns().ip(["route add 192.0.2.2/32 dev eth0 mtu 1400"])?;
    eventually("the tunnel takes no more than the route", SOON, || {
        ensure!(ping("1323")?.code() != 0, "a packet that is too large goes through");
        Ok(())
    })?;
    ping("1322")?.ok()?;
    h1.netns().ip(["route del 192.0.2.2/32"])?;
    eventually("it takes all again", SOON, || {
        h1.run(["netctl", "exec", "box1", "ip", "route", "flush", "cache"])?.ok()?;
        ping("1422")?.ok().map(drop)
    })?;
    lab.end()
}

/// A daemon that is gone, or stuck, knows of no change.
#[test]
fn without_the_daemon_the_kernel_finds_the_way() -> Result<()> {
    for stuck in [true, false] {
        let lab = lab()?;
        let h1 = lab.host(1);
        let daemon = nix::unistd::Pid::from_raw(h1.daemon_pid().context("no daemon")?);
        let container = container(&lab)?;
        if stuck {
            nix::sys::signal::kill(daemon, Signal::SIGSTOP)?;
        } else {
            h1.stop_daemon(Signal::SIGKILL)?;
        }
        h1.netns().ip(["route add 192.0.2.2/32 via 192.0.2.254"])?;
        let external = lab.external().netns();
        eventually("packets go by the gateway", SOON, || {
            let before = forwarded(external)?;
            container.run(["ping", "-n", "-c", "1", "-W", "1", BOX2])?.ok()?;
            ensure!(forwarded(external)? > before, "they do not");
            Ok(())
        })?;
        if stuck {
            nix::sys::signal::kill(daemon, Signal::SIGCONT)?;
            goes_by_external(&lab)?;
            known(h1, 1)?;
        }
        lab.end()?;
    }
    Ok(())
}

/// The namespace of box1.
fn container(lab: &Lab) -> Result<Netns> {
    let inspected = lab.host(1).ok(["sandbox", "inspect", "box1"])?;
    let inspected: serde_json::Value = serde_json::from_str(&inspected)?;
    let path = inspected[0]["netns"].as_str().context("no namespace")?;
    Ok(Netns::open(lab.dir(), path.as_ref()))
}

//! Hosts that reach each other by IPv6, or by both families.

use std::{net::Ipv6Addr, time::Duration};

use anyhow::{Context as _, Result, ensure};
use testbed::{Capture, Families, Lab, Options, Store, eventually};

use crate::{
    container::{Container, all_pairs},
    ipv6::all_pairs6,
    stage::{self, field, json, refused},
};

on_both_stores! {
    tunnels_run_over_ipv6 on 2 over V6;
    ipv4_is_preferred_where_both_have_it on 2 over Both;
}

/// ```text
///   h1: box-svc1 ─┐  2001:db8::1 ══ UDP 4789 ══ 2001:db8::2
///   h2: box-svc2 ─┴─ network dev, IPv4 and IPv6
/// ```
fn tunnels_run_over_ipv6(lab: &Lab) -> Result<()> {
    lab.host(1).ok(["network", "create", "--ipv6", "-o", "vni=70002", "dev"])?;
    let one = Container::new(lab.host(1), "svc1", "dev", &[])?;
    let two = Container::new(lab.host(2), "svc2", "dev", &[])?;
    all_pairs(&[&one, &two])?;
    all_pairs6(&[&one, &two], 1)?;

    // 70 bytes fewer than the underlay's.
    let link = one.ok(&["ip", "link", "show", "dev", "eth0"])?;
    ensure!(link.contains("mtu 1430 "), "{link}");
    let capture = Capture::start(&lab.underlay(), "h1", "ip6 and udp dst port 4789", "vxlan6")?;
    for address in [two.address_at(0)?, two.address_at(1)?] {
        let largest = if address.contains(':') { 1430 - 48 } else { 1430 - 28 };
        let size = largest.to_string();
        one.ok(&["ping", "-M", "do", "-s", &size, "-c", "1", "-W", "1", &address])?;
    }
    let text = capture.stop(&["-v"])?;
    let outer = |from: &str, to: &str| {
        text.lines().any(|line| {
            line.contains(from)
                && line.contains(&format!("> {to}.4789: "))
                && line.contains("VXLAN, flags [I] (0x08), vni 70002")
        })
    };
    ensure!(outer("2001:db8::1", "2001:db8::2") && outer("2001:db8::2", "2001:db8::1"), "{text}");
    // The UDP checksum is left out (RFC 6935), which this is tcpdump's word for.
    let text = text.replace("[bad udp cksum 0x0000 -> ", "[none: ");
    for complaint in ["cksum 0x", "bad cksum", "truncated", "[|"] {
        ensure!(!text.contains(complaint), "{complaint}:\n{text}");
    }
    ensure!(field(lab.host(1), &["status"], "/vteps/0")? == "2001:db8::1");
    let hosts = lab.host(2).ok(["host", "ls"])?;
    ensure!(hosts.contains("2001:db8::1") && hosts.contains("2001:db8::2"), "{hosts}");
    Ok(())
}

/// ```text
///   h1: box-svc1 ─┐  192.0.2.1, 2001:db8::1 ══ 192.0.2.2, 2001:db8::2
///   h2: box-svc2 ─┴─ network dev, IPv4 and IPv6
/// ```
fn ipv4_is_preferred_where_both_have_it(lab: &Lab) -> Result<()> {
    lab.host(1).ok(["network", "create", "--ipv6", "dev"])?;
    let one = Container::new(lab.host(1), "svc1", "dev", &[])?;
    let two = Container::new(lab.host(2), "svc2", "dev", &[])?;
    let over6 = Capture::start(&lab.underlay(), "h1", "ip6 and udp port 4789", "over6")?;
    all_pairs(&[&one, &two])?;
    all_pairs6(&[&one, &two], 1)?;
    let text = over6.stop(&[])?;
    ensure!(text.trim().is_empty(), "{text}");
    let link = one.ok(&["ip", "link", "show", "dev", "eth0"])?;
    ensure!(link.contains("mtu 1450 "), "{link}");
    let host = json(lab.host(1), &["host", "ls"])?;
    ensure!(host[1]["vteps"] == serde_json::json!(["192.0.2.2", "2001:db8::2"]), "{host}");
    let owner = json(lab.host(1), &["service", "inspect", "svc2.dev"])?;
    ensure!(owner[0]["owner"]["vteps"] == host[1]["vteps"], "{owner}");
    let fdb = lab.host(1).ok(["fdb"])?;
    let to_all = |line: &str| line.starts_with("00:00:00:00:00:00 ");
    ensure!(fdb.lines().any(|line| to_all(line) && line.contains(" dst 192.0.2.2 ")), "{fdb}");
    ensure!(fdb.lines().filter(|line| to_all(line)).count() == 3, "{fdb}");
    Ok(())
}

/// ```text
///   h1: box-svc1   192.0.2.1                   both families inside
///   h2: box-svc2   192.0.2.2, 2001:db8::2
///   h3: box-svc3              2001:db8::3
/// ```
///
/// The host in the middle reaches both others, each by what it has, in packets of what fits.
#[test]
fn hosts_of_one_family_reach_those_of_both() -> Result<()> {
    let options = Options {
        hosts: 3,
        store: Store::File,
        families: Families::Both,
        daemons: false,
        ..Options::default()
    };
    stage::play(options, |lab| {
        let (h1, h2, h3) = (lab.host(1), lab.host(2), lab.host(3));
        h1.netns().ip(["addr del 2001:db8::1/64 dev eth0"])?;
        h3.netns().ip(["addr del 192.0.2.3/24 dev eth0"])?;
        lab.hosts().iter().try_for_each(|host| lab.start_daemon(host))?;
        h1.ok(["network", "create", "--ipv6", "dev"])?;
        let one = Container::new(h1, "svc1", "dev", &[])?;
        let two = Container::new(h2, "svc2", "dev", &[])?;
        let three = Container::new(h3, "svc3", "dev", &[])?;
        for pair in [[&one, &two], [&two, &three]] {
            all_pairs(&pair)?;
            all_pairs6(&pair, 1)?;
        }
        one.does_not_reach(&three.address()?)?;
        three.does_not_reach(&one.address_at(1)?)?;

        // What fits between two of IPv4 is too much towards one of IPv6, and the sender hears of it.
        let far: Ipv6Addr = three.address_at(1)?.parse().context("an address of IPv6")?;
        for (address, size, told) in
            [(three.address_at(0)?, "1422", "mtu = 1430"), (far.to_string(), "1402", "mtu=1430")]
        {
            let output =
                two.exec(&["ping", "-M", "do", "-s", size, "-c", "2", "-W", "1", &address])?;
            ensure!(!output.success(), "{size} bytes fit: {output:?}");
            let said = format!("{}{}", output.stdout, output.stderr);
            ensure!(said.replace(": ", "=").contains(told) || said.contains(told), "{said}");
        }
        Ok(())
    })
}

/// ```text
///   h1: networks of both families on an underlay that has no room for IPv6 inside a tunnel
/// ```
#[test]
fn ipv6_needs_its_least_mtu() -> Result<()> {
    let options = Options { hosts: 1, store: Store::File, mtu: 1329, ..Options::default() };
    stage::play(options, |lab| {
        let host = lab.host(1);
        host.ok(["network", "create", "four"])?;
        Container::new(host, "svc4", "four", &[])?;
        host.ok(["network", "create", "--ipv6", "both"])?;
        host.ok(["sandbox", "create", "box"])?;
        host.ok(["service", "publish", "svc6.both"])?;
        let why = "network both: IPv6 needs an MTU of 1280 bytes, and the underlay's 1329 leave 1279 for endpoints";
        refused(host, &["service", "attach", "box", "svc6.both"], &[why])?;
        // With room for one byte more it fits to the byte.
        host.netns().ip(["link set eth0 mtu 1330"])?;
        eventually("the service is attached", Duration::from_secs(10), || {
            host.ok(["service", "attach", "box", "svc6.both"]).map(drop)
        })?;
        let link = host.ok(["exec", "box", "--", "ip", "link", "show", "dev", "eth0"])?;
        ensure!(link.contains("mtu 1280 "), "{link}");
        Ok(())
    })
}

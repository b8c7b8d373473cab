//! Containers with addresses of IPv6, alone or beside IPv4.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use testbed::{Host, Lab, eventually};

use crate::{
    container::{Container, SOON, all_pairs},
    stage::{field, json, refused},
};

on_both_stores! {
    both_families_in_one_network on 2;
    nothing_but_ipv6 on 2;
    addresses_are_given_and_taken_back on 1;
    subnets_are_chosen on 1;
    the_host_is_no_way_from_one_network_to_another on 1;
}

/// ```text
///   h1: box-svc1, box-svc2 ─┐
///   h2: box-svc3 ───────────┴─ network dev, IPv4 and IPv6
/// ```
fn both_families_in_one_network(lab: &Lab) -> Result<()> {
    lab.host(1).ok(["network", "create", "--ipv6", "dev"])?;
    let gateway = field(lab.host(1), &["network", "inspect", "dev"], "/0/subnets/1/gateway")?;
    let [one, two, three] = three(lab)?;
    let all = [&one, &two, &three];
    all_pairs(&all)?;
    all_pairs6(&all, 1)?;
    for container in all {
        container.reaches(&gateway)?;
    }

    // The names of both, and names of addresses of both.
    let (v4, v6) = (three.address_at(0)?, three.address_at(1)?);
    for (address, name) in [(&v4, "svc3.dev"), (&v6, "svc3.dev")] {
        let pointer = one.ok(&["getent", "hosts", address])?;
        ensure!(pointer.split_whitespace().eq([address.as_str(), name]), "{pointer}");
    }
    let hosts = three.ok(&["cat", "/etc/hosts"])?;
    ensure!(hosts.contains(&v4) && hosts.contains(&v6), "{hosts}");

    // What it had is gone when it leaves, and is there again when it comes back.
    three.detach()?;
    one.does_not_reach(&v6)?;
    eventually("the name is gone", SOON, || {
        let resolved = one.resolve6("svc3")?;
        ensure!(resolved.is_none(), "svc3 is {resolved:?}");
        Ok(())
    })?;
    three.attach()?;
    ensure!((three.address_at(0)?, three.address_at(1)?) == (v4, v6), "it has other addresses");
    all_pairs6(&all, 1)
}

/// ```text
///   h1: box-svc1, box-svc2 ─┐
///   h2: box-svc3 ───────────┴─ network dev, fd00:10::/64 and nothing else
/// ```
fn nothing_but_ipv6(lab: &Lab) -> Result<()> {
    lab.host(1).ok(["network", "create", "--subnet", "fd00:10::/64", "dev"])?;
    let [one, two, three] = three(lab)?;
    let all = [&one, &two, &three];
    ensure!(one.address()? == "fd00:10::2", "{}", one.address()?);
    all_pairs6(&all, 0)?;
    for container in all {
        let addresses = container.ok(&["ip", "-4", "-brief", "addr", "show", "dev", "eth0"])?;
        ensure!(addresses.trim().is_empty() || !addresses.contains('.'), "{addresses}");
        let resolver = container.ok(&["cat", "/etc/resolv.conf"])?;
        ensure!(resolver.contains("nameserver fd00:10::1\n"), "{resolver}");
        container.reaches("fd00:10::1")?;
        ensure!(container.resolve("svc1")?.is_none(), "svc1 has an address of IPv4");
    }
    Ok(())
}

fn three(lab: &Lab) -> Result<[Container<'_>; 3]> {
    let make = |host, name| Container::new(lab.host(host), name, "dev", &[]);
    let all = [make(1, "svc1")?, make(1, "svc2")?, make(2, "svc3")?];
    for container in &all {
        usable_at_once(container)?;
    }
    Ok(all)
}

/// Its address of IPv6 is not looked for with others first, and no router tells it another.
fn usable_at_once(container: &Container<'_>) -> Result<()> {
    let shown = container.ok(&["ip", "-json", "-6", "addr", "show", "dev", "eth0"])?;
    let shown: Value = serde_json::from_str(&shown)?;
    let all = shown[0]["addr_info"].as_array().context("no addresses")?;
    ensure!(all.iter().all(|address| address["tentative"].is_null()), "{shown}");
    let global = all.iter().filter(|address| address["scope"] == "global");
    ensure!(global.count() == 1, "{shown}");
    let octets = container.mac()?;
    let expected =
        std::net::Ipv6Addr::from(netctl_common::addr6::link_local(netctl_common::MacAddr(octets)));
    let local = all.iter().find(|address| address["scope"] == "link").context("no link-local")?;
    ensure!(local["local"] == expected.to_string(), "{shown}");
    for (name, value) in [("accept_ra", "0"), ("autoconf", "0"), ("disable_ipv6", "0")] {
        let said = container.ok(&["cat", &format!("/proc/sys/net/ipv6/conf/eth0/{name}")])?;
        ensure!(said.trim() == value, "{name} is {said}");
    }
    Ok(())
}

/// Every container reaches every other over IPv6: by name, and by the address at `place` of its list.
pub(crate) fn all_pairs6(containers: &[&Container<'_>], place: usize) -> Result<()> {
    for to in containers {
        let address = to.address_at(place)?;
        for from in containers.iter().filter(|from| from.name != to.name) {
            from.reaches(&address)?;
            for target in [&to.service, &to.reference()] {
                from.ok(&["ping", "-6", "-c", "1", "-W", "1", target])?;
            }
            let resolved = from.resolve6(&to.service)?;
            ensure!(resolved.as_ref() == Some(&address), "{}: {resolved:?}", to.service);
        }
    }
    Ok(())
}

/// ```text
///   h1: network dev, 10.9.0.0/24 and fd00:9::/64; services without a sandbox
/// ```
fn addresses_are_given_and_taken_back(lab: &Lab) -> Result<()> {
    let host = lab.host(1);
    let subnets = ["--subnet", "fd00:9::/64", "--subnet", "10.9.0.0/24"];
    let further = ["--ip-range", "fd00:9::100/120", "--gateway", "fd00:9::ff"];
    host.ok(["network", "create"].into_iter().chain(subnets).chain(further).chain(["dev"]))?;
    host.ok(["service", "publish", "a.dev"])?;
    ensure!(
        addresses(host, "a")? == ["10.9.0.2/24", "fd00:9::100/64"],
        "{:?}",
        addresses(host, "a")?
    );
    host.ok(["service", "publish", "--ip", "10.9.0.7", "--ip6", "fd00:9::7", "b.dev"])?;
    ensure!(addresses(host, "b")? == ["10.9.0.7/24", "fd00:9::7/64"]);
    host.ok(["service", "publish", "--ip6", "fd00:9::102", "c.dev"])?;
    ensure!(addresses(host, "c")? == ["10.9.0.3/24", "fd00:9::102/64"]);

    for (address, why) in [
        ("fd00:9::7", "address fd00:9::7 is taken on network dev"),
        ("fd00:9::ff", "address fd00:9::ff is taken on network dev"),
        ("fd00:9::", "address fd00:9:: is not a usable address of subnet fd00:9::/64"),
        ("fd00:8::1", "address fd00:8::1 is in no subnet of network dev"),
    ] {
        refused(host, &["service", "publish", "--ip6", address, "x.dev"], &[why])?;
    }
    // What failed took nothing of the other family either, and what goes gives back both.
    host.ok(["service", "unpublish", "b.dev"])?;
    host.ok(["service", "publish", "--ip", "10.9.0.4", "--ip6", "fd00:9::7", "d.dev"])?;
    host.ok(["service", "unpublish", "a.dev"])?;
    // What was given back is given to others as late as possible, and to its own name again.
    host.ok(["service", "publish", "e.dev"])?;
    ensure!(
        addresses(host, "e")? == ["10.9.0.5/24", "fd00:9::101/64"],
        "{:?}",
        addresses(host, "e")?
    );
    host.ok(["service", "publish", "a.dev"])?;
    ensure!(addresses(host, "a")? == ["10.9.0.2/24", "fd00:9::100/64"]);

    let address = ["run", "--rm", "--publish-service", "r.dev", "--ip6", "fd00:9::55", "--"];
    let shown =
        host.ok(address.into_iter().chain(["ip", "-brief", "addr", "show", "dev", "eth0"]))?;
    ensure!(shown.contains("fd00:9::55/64"), "{shown}");
    Ok(())
}

/// The addresses of a service of the network `dev`.
fn addresses(host: &Host, service: &str) -> Result<Vec<String>> {
    let reference = format!("{service}.dev");
    let shown = json(host, &["service", "inspect", &reference])?;
    let all = shown.pointer("/0/addresses").and_then(Value::as_array).context("no addresses")?;
    Ok(all.iter().filter_map(Value::as_str).map(ToOwned::to_owned).collect())
}

/// ```text
///   h1: networks of either family, of both, and of subnets that others have
/// ```
fn subnets_are_chosen(lab: &Lab) -> Result<()> {
    let host = lab.host(1);
    let subnets = |network: &str| -> Result<Vec<String>> {
        let shown = json(host, &["network", "inspect", network])?;
        let all = shown.pointer("/0/subnets").and_then(Value::as_array).context("no subnets")?;
        Ok(all.iter().filter_map(|subnet| Some(subnet["cidr"].as_str()?.to_owned())).collect())
    };
    host.ok(["network", "create", "four"])?;
    host.ok(["network", "create", "--ipv6", "both"])?;
    host.ok(["network", "create", "--ipv6", "--subnet", "fd00:1::/64", "given"])?;
    host.ok(["network", "create", "--subnet", "fd00:2::/64", "six"])?;
    ensure!(subnets("four")? == ["10.0.0.0/24"], "{:?}", subnets("four")?);
    let both = subnets("both")?;
    ensure!(both.len() == 2 && both[0] == "10.0.1.0/24", "{both:?}");
    ensure!(both[1].starts_with("fd") && both[1].ends_with("::/64"), "{both:?}");
    ensure!(subnets("given")? == ["10.0.2.0/24", "fd00:1::/64"], "{:?}", subnets("given")?);
    ensure!(subnets("six")? == ["fd00:2::/64"], "{:?}", subnets("six")?);
    let table = host.ok(["network", "ls"])?;
    ensure!(table.contains("10.0.2.0/24,fd00:1::/64"), "{table}");

    let create = |cidr| ["network", "create", "--subnet", cidr, "x"];
    let why = "subnet fd00:2::/56 overlaps with fd00:2::/64 of network six";
    refused(host, &create("fd00:2::/56"), &[why])?;
    // One that this host has itself.
    host.netns().ip(["addr add fd00:3::1/64 dev eth0 nodad"])?;
    refused(host, &create("fd00:3::/64"), &["fd00:3::/64, which this host uses on eth0"])?;
    host.ok(["network", "rm", "six"])?;
    host.ok(create("fd00:2::/56")).map(drop)
}

/// ```text
///   h1, which forwards IPv6: box-red ── network red, fd00:a::/64     box-blue ── network blue, fd00:b::/64
/// ```
fn the_host_is_no_way_from_one_network_to_another(lab: &Lab) -> Result<()> {
    let host = lab.host(1);
    host.netns().set_sysctl("net/ipv6/conf/all/forwarding", "1")?;
    for (name, subnet) in [("red", "fd00:a::/64"), ("blue", "fd00:b::/64")] {
        host.ok(["network", "create", "--subnet", subnet, name])?;
    }
    let red = Container::new(host, "svc-red", "red", &[])?;
    let blue = Container::new(host, "svc-blue", "blue", &[])?;
    red.reaches("fd00:a::1")?;
    blue.reaches("fd00:b::1")?;
    red.ok(&["ip", "route", "add", "fd00:b::/64", "via", "fd00:a::1"])?;
    blue.ok(&["ip", "route", "add", "fd00:a::/64", "via", "fd00:b::1"])?;
    red.does_not_reach(&blue.address()?)?;
    // The packets came as far as the host, which says that it does not forward them.
    let said = red.exec(&["ping", "-c", "1", "-W", "1", &blue.address()?])?;
    ensure!(said.stdout.contains("Destination unreachable"), "{said:?}");
    Ok(())
}

//! Addresses that a plugin gives, on networks of netctl's own drivers and of a plugin's.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use testbed::{Host, eventually};

use crate::{Plugin, Resting, container, exec, lab, ok, refused};

fn inspect(host: &Host, words: &str) -> Result<Value> {
    Ok(serde_json::from_str(&ok(host, &format!("{words} --format json"))?)?)
}

fn subnets(host: &Host) -> Result<Vec<(String, String)>> {
    let network = inspect(host, "network inspect far")?;
    let all = network[0]["subnets"].as_array().context("no subnets")?.clone();
    let text = |subnet: &Value, key: &str| subnet[key].as_str().unwrap_or_default().to_owned();
    Ok(all.iter().map(|subnet| (text(subnet, "cidr"), text(subnet, "gateway"))).collect())
}

fn addresses(host: &Host, service: &str) -> Result<Value> {
    Ok(inspect(host, &format!("service inspect {service}.far"))?[0]["addresses"].clone())
}

/// ```text
///   desk: pools 10.200.1.0/24 and fd99:1::/64 ─── network far, overlay ─── box-a, box-b
/// ```
#[test]
fn a_plugins_addresses_are_those_of_an_overlay() -> Result<()> {
    let lab = lab()?;
    let host = lab.host(1);
    let resting = Resting::of(&lab)?;
    let plugin = Plugin::start(host, "desk")?;
    plugin.require_macs()?;
    // What the hosts themselves have is not taken.
    ok(host, "network create --ipv6 --ipam-driver desk --ipam-opt first=192.0.2.0/25 far")?;
    let expected = [("10.200.1.0/24", "10.200.1.99"), ("fd99:1::/64", "fd99:1::63")];
    let found = subnets(host)?;
    ensure!(
        found.iter().map(|(subnet, gateway)| (&**subnet, &**gateway)).eq(expected),
        "{found:?}"
    );
    let shown = ok(host, "network inspect far --format table")?;
    ensure!(shown.contains("IPAM driver"), "{shown}");
    container(host, "a")?;
    container(host, "b")?;
    ensure!(addresses(host, "a")? == json!(["10.200.1.10/24", "fd99:1::a/64"]));
    ensure!(addresses(host, "b")? == json!(["10.200.1.11/24", "fd99:1::b/64"]));
    for target in ["b", "10.200.1.99", "fd99:1::b"] {
        exec(host, "box-a", &format!("ping -c 1 -W 1 {target}"))?;
    }
    ok(host, "service publish --ip 10.200.1.50 --ip6 fd99:1::50 c.far")?;
    ensure!(addresses(host, "c")? == json!(["10.200.1.50/24", "fd99:1::50/64"]));
    refused(
        host,
        "service publish --ip 10.200.1.50 d.far",
        "plugin desk refuses IpamDriver.RequestAddress: address 10.200.1.50 is taken",
    )?;
    refused(
        host,
        "service publish --ip 10.9.9.9 d.far",
        "address 10.9.9.9 is in no subnet of network far, which has 10.200.1.0/24, fd99:1::/64",
    )?;
    let mac = inspect(host, "service inspect b.far")?[0]["mac"].clone();
    let calls = plugin.calls_of("IpamDriver.")?;
    let with_mac = |call: &&(String, Value)| {
        call.0 == "RequestAddress"
            && call.1["Options"]["com.docker.network.endpoint.macaddress"] == mac
    };
    ensure!(calls.iter().filter(with_mac).count() == 2, "{calls:#?}");

    ok(host, "sandbox rm box-a box-b")?;
    ok(host, "service unpublish a.far b.far c.far")?;
    ok(host, "network rm far")?;
    resting.check(&lab, &plugin)?;
    lab.end()
}

/// A network of a plugin's driver, with addresses of the same plugin.
#[test]
fn what_is_asked_for_is_asked_of_the_plugin() -> Result<()> {
    let lab = lab()?;
    let host = lab.host(1);
    let resting = Resting::of(&lab)?;
    let plugin = Plugin::start(host, "desk")?;
    ok(
        host,
        "network create -d desk --ipam-driver desk --subnet 10.60.0.0/24 --ip-range 10.60.0.128/25 \
         --gateway 10.60.0.1 --aux-address nas=10.60.0.7 --ipam-opt colour=blue far",
    )?;
    let calls = plugin.calls_of("IpamDriver.")?;
    let pool = "desk-10.60.0.0-24";
    let gateway = json!({"RequestAddressType": "com.docker.network.gateway"});
    let expected = json!([
        ["GetCapabilities", null],
        ["GetDefaultAddressSpaces", null],
        ["RequestPool", {
            "AddressSpace": "desk", "Pool": "10.60.0.0/24", "SubPool": "10.60.0.128/25",
            "Options": {"colour": "blue"}, "V6": false,
        }],
        ["RequestAddress", {"PoolID": pool, "Address": "10.60.0.1", "Options": gateway}],
        ["RequestAddress", {"PoolID": pool, "Address": "10.60.0.7", "Options": null}],
    ]);
    ensure!(json!(calls) == expected, "{calls:#?}");
    container(host, "a")?;
    container(host, "b")?;
    exec(host, "box-a", "ping -c 1 -W 1 b")?;
    ok(host, "sandbox rm box-a box-b")?;
    ok(host, "service unpublish a.far b.far")?;
    ok(host, "network rm far")?;
    resting.check(&lab, &plugin)?;
    lab.end()
}

#[test]
fn what_fails_is_given_back() -> Result<()> {
    let lab = lab()?;
    let host = lab.host(1);
    let resting = Resting::of(&lab)?;
    let plugin = Plugin::start(host, "desk")?;
    let create = "network create --ipam-driver desk far";
    for (method, kind, sentence) in [
        ("RequestPool", "err", "plugin desk refuses IpamDriver.RequestPool: out of paper"),
        ("RequestPool", "err500", "plugin desk refuses IpamDriver.RequestPool: out of cables"),
        (
            "RequestPool",
            "garbage",
            "plugin desk answered IpamDriver.RequestPool with what cannot be used: expected value at line 1 column 1",
        ),
        (
            "RequestPool",
            "nameless",
            "plugin desk answered IpamDriver.RequestPool with what cannot be used: it has no PoolID",
        ),
        ("RequestAddress", "err", "plugin desk refuses IpamDriver.RequestAddress: out of paper"),
        (
            "RequestAddress",
            "outside",
            "plugin desk answered IpamDriver.RequestAddress with what cannot be used: Address 203.0.113.1 is not of \
             pool 10.200.1.0/24",
        ),
    ] {
        let context = || format!("{method} {kind}");
        plugin.behave(&format!("IpamDriver.{method}"), kind)?;
        refused(host, create, sentence).with_context(context)?;
        plugin.forget_what_it_never_said(kind)?;
        resting.check(&lab, &plugin).with_context(context)?;
    }
    plugin.be_good()?;
    for (words, sentence) in [
        (
            "network create --ipam-driver desk --subnet 192.0.2.0/25 far",
            "subnet 192.0.2.0/25 overlaps with 192.0.2.0/24, which this host uses on eth0: choose another",
        ),
        (
            "network create -d null --ipam-driver desk far",
            "driver null gives no addresses: leave out --ipam-driver",
        ),
    ] {
        refused(host, words, sentence)?;
        resting.check(&lab, &plugin).with_context(|| words.to_owned())?;
    }
    let missing = host.netctl(["network", "create", "--ipam-driver", "nobody", "far"])?;
    ensure!(missing.stderr.contains("there is no plugin nobody: "), "{missing:?}");
    ok(host, "network create --ipam-driver default --ipam-opt choice=random far")?;
    ok(host, "network rm far")?;

    ok(host, create)?;
    ok(host, "service publish a.far")?;
    let made = plugin.state()?;
    for (words, sentence) in [
        ("service publish a.far", "service a is published on network far already"),
        (create, "network far is there already"),
        (
            "service publish --mac 02:00:00:00:00:01 --vtep 192.0.2.1 b.far",
            "tunnel address 192.0.2.1 is that of host h1",
        ),
    ] {
        let output = host.netctl(words.split(' '))?;
        ensure!(output.code() == 1 && output.stderr.contains(sentence), "{output:?}");
        ensure!(plugin.state()? == made, "{words}: {:?}", plugin.state()?);
    }
    ok(host, "service unpublish a.far")?;
    ok(host, "network rm far")?;
    resting.check(&lab, &plugin)?;
    lab.end()
}

#[test]
fn a_plugin_that_is_away_has_it_back_when_it_returns() -> Result<()> {
    let lab = lab()?;
    let host = lab.host(1);
    let resting = Resting::of(&lab)?;
    let mut plugin = Plugin::start(host, "desk")?;
    ok(host, "network create --ipam-driver desk far")?;
    ok(host, "service publish a.far")?;
    plugin.kill()?;
    // What goes, goes.
    ok(host, "service unpublish a.far")?;
    ok(host, "network rm far")?;
    ensure!(!plugin.state()?.is_empty(), "who is away takes nothing back");
    lab.restart_daemon(host, testbed::Signal::SIGKILL)?;
    let socket = host.dir("plugin").join("desk.sock");
    plugin.run(host, "desk", &socket.display().to_string())?;
    eventually("it has all back", Duration::from_secs(40), || resting.check(&lab, &plugin))?;
    lab.end()
}

#[test]
fn who_loses_a_race_gives_nothing_of_anothers_back() -> Result<()> {
    let lab = lab()?;
    let host = lab.host(1);
    let plugin = Plugin::start(host, "desk")?;
    ok(host, "network create --ipam-driver desk far")?;
    for round in 0..4 {
        for service in ["a", "b", "c"] {
            ok(host, &format!("service publish {service}.far"))?;
        }
        std::thread::scope(|scope| {
            for client in 0..4 {
                scope.spawn(move || {
                    // All but one come too late; each publishes in the place of what went.
                    drop(host.netctl(["service", "unpublish", "a.far", "b.far", "c.far"]));
                    drop(host.netctl(["service", "publish", &format!("heir{client}.far")]));
                });
            }
        });
        let services = inspect(host, "service ls")?;
        let held = services.as_array().context("no list")?.len();
        ensure!(held == 4, "{services}");
        // Longer than it takes until what was left behind would be given back.
        std::thread::sleep(Duration::from_secs(3));
        let given = plugin.addresses()?;
        ensure!(given == held + 1, "in round {round} the plugin has given {given} addresses");
        ok(host, "service unpublish heir0.far heir1.far heir2.far heir3.far")?;
    }
    ok(host, "network rm far")?;
    lab.end()
}

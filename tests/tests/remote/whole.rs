//! A network by a plugin from its beginning to its end.

use std::{fs, time::Duration};

use anyhow::{Context as _, Result, ensure};
use testbed::{Lab, Options, Signal, eventually};

use crate::{Plugin, Resting, container, exec, lab, ok};

/// ```text
///   h1: box-a, box-b ─── network far, by plugin cable: a Linux bridge of the plugin's with the gateway's address
/// ```
#[test]
fn sandboxes_reach_each_other_by_a_plugin() -> Result<()> {
    let lab = lab()?;
    let host = lab.host(1);
    let resting = Resting::of(&lab)?;
    let mut plugin = Plugin::start(host, "cable")?;
    let network = "network create -d cable --subnet 10.77.0.0/24 --aux-address r1=10.77.0.9 \
                   -o tenant=blue -o prefix=wire -o route=10.99.0.0/16,10.77.0.1 far";
    ok(host, network)?;
    for name in ["a", "b"] {
        container(host, name)?;
    }
    let all_is_well = || -> Result<()> {
        exec(host, "box-a", "ping -c 1 -W 1 10.77.0.3")?;
        exec(host, "box-b", "ping -c 1 -W 1 a")?;
        exec(host, "box-a", "ping -c 1 -W 1 b.far")?;
        exec(host, "box-a", "ping -c 1 -W 1 10.77.0.1")?;
        let routes = exec(host, "box-a", "ip route")?;
        for route in ["default via 10.77.0.1 dev wire0", "10.99.0.0/16 via 10.77.0.1 dev wire0"] {
            ensure!(routes.contains(route), "no {route} in {routes}");
        }
        let sandbox = ok(host, "sandbox inspect box-a")?;
        ensure!(sandbox.contains("\"wire0\""), "{sandbox}");
        Ok(())
    };
    all_is_well()?;
    ok(host, "network create -d bridge near")?;
    ok(host, "service publish c.near")?;
    ok(host, "service attach --ifname up7 box-a c.near")?;
    all_is_well()?;

    let text = ok(host, "sandbox inspect box-a")?;
    let sandbox: serde_json::Value = serde_json::from_str(&text)?;
    let inside = format!("--net={}", sandbox[0]["netns"].as_str().context("a namespace")?);

    // Whoever is started again first.
    let socket = host.dir("plugin").join("cable.sock").display().to_string();
    plugin.kill()?;
    all_is_well()?;
    host.stop_daemon(Signal::SIGKILL)?;
    // Packets are the plugin's matter, and need neither it nor the daemon.
    host.run(["nsenter", &inside, "ping", "-c", "1", "-W", "1", "10.77.0.3"])?.ok()?;
    lab.start_daemon(host)?;
    plugin.run(host, "cable", &socket)?;
    eventually("all is well", Duration::from_secs(20), all_is_well)?;
    host.stop_daemon(Signal::SIGTERM)?;
    plugin.kill()?;
    plugin.run(host, "cable", &socket)?;
    lab.start_daemon(host)?;
    eventually("all is well", Duration::from_secs(20), all_is_well)?;

    // An endpoint goes from one sandbox to another.
    ok(host, "service detach box-a a.far")?;
    ensure!(!exec(host, "box-a", "ip -o link")?.contains("wire0"), "the device is there still");
    ok(host, "service attach box-b a.far")?;
    exec(host, "box-b", "ip addr show dev wire1")?;
    for words in [
        "sandbox rm box-a",
        "sandbox rm box-b",
        "service unpublish a.far",
        "service unpublish b.far",
        "service unpublish c.near",
        "network rm far",
        "network rm near",
    ] {
        ok(host, words)?;
    }
    resting.check(&lab, &plugin)?;
    lab.end()
}

/// By `.spec` and `.json`, at a socket and by TCP.
#[test]
fn plugins_are_found_by_files() -> Result<()> {
    let lab = lab()?;
    let host = lab.host(1);
    let dir = host.dir("plugin");
    let socket = host.dir("elsewhere.sock").display().to_string();
    for (number, (name, address, file, text)) in [
        ("one", socket.clone(), "one.spec", format!("unix://{socket}\n")),
        ("two", "127.0.0.1:7001".to_owned(), "two.spec", "tcp://127.0.0.1:7001".to_owned()),
        (
            "three",
            "127.0.0.1:7002".to_owned(),
            "three.json",
            r#"{"Name": "three", "Addr": "http://127.0.0.1:7002"}"#.to_owned(),
        ),
    ]
    .into_iter()
    .enumerate()
    {
        fs::write(dir.join(file), text)?;
        let plugin = Plugin::at(host, name, &address)?;
        if number == 2 {
            plugin.be_global()?;
        }
        ok(host, &format!("network create -d {name} far"))?;
        ensure!(plugin.state()?.len() == 1, "the plugin has no network");
        let network = ok(host, "network inspect far")?;
        let is_local = network.contains("\"host\": \"h1\"");
        ensure!(is_local == (number != 2), "{network}");
        container(host, "a")?;
        exec(host, "box-a", "ip addr show dev eth0")?;
        ok(host, "sandbox rm box-a")?;
        ok(host, "service unpublish a.far")?;
        ok(host, "network rm far")?;
        ensure!(plugin.state()?.is_empty(), "{:?}", plugin.state()?);
    }
    lab.end()
}

/// A network of the cluster is made on another host when it is first used there, and goes there too.
#[test]
fn a_network_of_the_cluster_is_on_the_hosts_that_use_it() -> Result<()> {
    let lab = Lab::start(Options::default())?;
    let (h1, h2) = (lab.host(1), lab.host(2));
    let [near, far] = [h1, h2].map(|host| Plugin::start(host, "cable"));
    let (near, far) = (near?, far?);
    near.be_global()?;
    far.be_global()?;
    ok(h1, "network create -d cable --subnet 10.77.0.0/24 far")?;
    ensure!(near.state()?.len() == 1 && far.state()?.is_empty(), "{:?}", far.state()?);
    container(h2, "a")?;
    ensure!(far.state()?.len() == 2, "{:?}", far.state()?);
    exec(h2, "box-a", "ping -c 1 -W 1 10.77.0.1")?;
    ok(h2, "sandbox rm box-a")?;
    ok(h2, "service unpublish a.far")?;
    ok(h1, "network rm far")?;
    ensure!(near.state()?.is_empty(), "{:?}", near.state()?);
    eventually("it is nowhere", Duration::from_mins(1), || {
        ensure!(far.state()?.is_empty(), "{:?}", far.state()?);
        Ok(())
    })?;
    lab.end()
}

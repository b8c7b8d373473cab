//! What becomes of a host's way to the others while containers talk: they go on, and nothing is started again.
//!
//! ```text
//!   h1: box1 ── eth0, and what comes in its place ── underlay ── eth0 ── h2: box2
//! ```

use std::{thread::sleep, time::Duration};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use testbed::{DEADLINE, Host, Lab, Options, Store, eventually};

use crate::{
    state,
    traffic::{Traffic, tell},
};

fn stage(options: Options) -> Result<(Lab, Traffic, Option<i32>)> {
    let lab = Lab::start(options)?;
    Traffic::furnish(&lab)?;
    let traffic = Traffic::start(&lab, "0.01")?;
    let daemon = lab.host(1).daemon_pid();
    Ok((lab, traffic, daemon))
}

/// Does these commands of `ip` on host 1.
fn ip(lab: &Lab, commands: &[&str]) -> Result<()> {
    lab.host(1).netns().ip(commands)
}

fn status(host: &Host) -> Result<Value> {
    serde_json::from_str(&host.ok(["status", "--format", "json"])?).context("no JSON")
}

/// Waits until host 1 has this device and address for its underlay, and host 2 sends there.
fn moved(lab: &Lab, device: &str, address: &str) -> Result<()> {
    let (h1, h2) = (lab.host(1), lab.host(2));
    eventually("the host has moved", DEADLINE, || {
        let status = status(h1)?;
        ensure!(status["underlay"] == device && status["vteps"][0] == address, "{status}");
        let hosts: Value = serde_json::from_str(&h2.ok(["host", "ls", "--format", "json"])?)?;
        ensure!(hosts[0]["vteps"][0] == address, "{hosts}");
        let fdb = h2.ok(["fdb"])?;
        ensure!(fdb.contains(&format!(" dst {address} ")), "{fdb}");
        let others = state::links(h1)?.iter().any(|name| ["br0", "eth1"].contains(&name.as_str()));
        // It takes a device that it does not know for one that was left.
        if others { Ok(()) } else { state::check(lab) }
    })
}

/// All goes on, with the daemon that was there, and what is new works too.
fn goes_on(lab: &Lab, traffic: &mut Traffic, daemon: Option<i32>) -> Result<()> {
    traffic.goes_on()?;
    let (h1, h2) = (lab.host(1), lab.host(2));
    ensure!(h1.daemon_pid() == daemon, "the daemon is another");
    h1.ok(["run", "--name", "new", "--publish-service", "new.dev", "true"])?;
    h2.run(["netctl", "exec", "box2", "ping", "-c", "1", "new"])?.ok()?;
    h1.ok(["sandbox", "rm", "new"]).map(drop)
}

fn ends(traffic: Traffic, what: &str) -> Result<()> {
    let (sent, lost) = traffic.end()?;
    tell(format_args!("{what}: {lost} of {sent} echoes were lost, 100 a second"));
    Ok(())
}

#[test]
fn an_address_that_changes_is_followed() -> Result<()> {
    let (lab, mut traffic, daemon) = stage(Options::default())?;
    for (old, new) in [("192.0.2.1", "192.0.2.101"), ("192.0.2.101", "192.0.2.1")] {
        ip(
            &lab,
            &[&format!("addr del {old}/24 dev eth0"), &format!("addr add {new}/24 dev eth0")],
        )?;
        moved(&lab, "eth0", new)?;
        goes_on(&lab, &mut traffic, daemon)?;
    }
    // One more is none of its business.
    ip(&lab, &["addr add 198.51.100.1/24 dev eth0"])?;
    goes_on(&lab, &mut traffic, daemon)?;
    moved(&lab, "eth0", "192.0.2.1")?;
    ends(traffic, "two changes of address")?;
    lab.end()
}

/// It is told as soon as there is somebody to tell.
#[test]
fn an_address_that_changes_while_etcd_is_away_is_told_later() -> Result<()> {
    let (lab, mut traffic, daemon) = stage(Options { store: Store::Etcd, ..Options::default() })?;
    let etcd = lab.etcd().context("the lab has an etcd")?;
    etcd.stop(testbed::Signal::SIGKILL)?;
    ip(&lab, &["addr del 192.0.2.1/24 dev eth0", "addr add 192.0.2.101/24 dev eth0"])?;
    eventually("it has moved", DEADLINE, || {
        let status = status(lab.host(1))?;
        ensure!(status["vteps"][0] == "192.0.2.101", "{status}");
        Ok(())
    })?;
    etcd.start()?;
    moved(&lab, "eth0", "192.0.2.101")?;
    goes_on(&lab, &mut traffic, daemon)?;
    ends(traffic, "a change of address without etcd")?;
    lab.end()
}

#[test]
fn a_device_may_go_down_and_come_up() -> Result<()> {
    let (lab, mut traffic, daemon) = stage(Options::default())?;
    for _ in 0..2 {
        ip(&lab, &["link set eth0 down"])?;
        sleep(Duration::from_secs(1));
        lab.host(1).ok(["status"])?;
        ip(&lab, &["link set eth0 up"])?;
        goes_on(&lab, &mut traffic, daemon)?;
        moved(&lab, "eth0", "192.0.2.1")?;
    }
    ends(traffic, "a device down for a second, twice")?;
    lab.end()
}

/// Another device by the same name is another device.
#[test]
fn a_device_may_be_removed_and_made_again() -> Result<()> {
    let (lab, mut traffic, daemon) = stage(Options::default())?;
    let netns = lab.host(1).netns().path().display().to_string();
    ip(&lab, &["link del eth0"])?;
    sleep(Duration::from_millis(500));
    lab.underlay().ip([
        format!("link add name h1 mtu 1500 type veth peer name eth0 mtu 1500 netns {netns}"),
        "link set dev h1 master underlay up".to_owned(),
    ])?;
    ip(&lab, &["link set eth0 up", "addr add 192.0.2.1/24 dev eth0"])?;
    goes_on(&lab, &mut traffic, daemon)?;
    moved(&lab, "eth0", "192.0.2.1")?;
    ends(traffic, "a device made again")?;
    lab.end()
}

/// The MTU of a container's interface follows, as its tunnel's would.
#[test]
fn an_mtu_that_changes_is_followed() -> Result<()> {
    let (lab, mut traffic, daemon) = stage(Options::default())?;
    for (underlay, inside) in [(1400, 1350), (1500, 1450)] {
        ip(&lab, &[&format!("link set eth0 mtu {underlay}")])?;
        eventually("the interfaces have it", DEADLINE, || {
            let shown =
                lab.host(1).run(["netctl", "exec", "box1", "ip", "link", "show", "eth0"])?.ok()?;
            ensure!(shown.contains(&format!(" mtu {inside} ")), "{shown}");
            let hosts = lab.host(2).ok(["host", "ls", "--format", "json"])?;
            ensure!(hosts.contains(&format!("\"mtu\": {underlay}")), "{hosts}");
            Ok(())
        })?;
        goes_on(&lab, &mut traffic, daemon)?;
    }
    traffic.end_whole()?;
    lab.end()
}

/// As when a bridge is put in front of a card, by hand or by what sets up virtual machines.
#[test]
fn an_address_that_moves_to_another_device_takes_the_tunnels_along() -> Result<()> {
    let arguments = vec!["{underlay}".to_owned()];
    let (lab, mut traffic, daemon) = stage(Options { arguments, ..Options::default() })?;
    ip(
        &lab,
        &[
            "link add br0 type bridge",
            "link set br0 up",
            "addr del 192.0.2.1/24 dev eth0",
            "link set eth0 master br0",
            "addr add 192.0.2.1/24 dev br0",
        ],
    )?;
    moved(&lab, "br0", "192.0.2.1")?;
    goes_on(&lab, &mut traffic, daemon)?;
    ip(
        &lab,
        &[
            "addr del 192.0.2.1/24 dev br0",
            "link set eth0 nomaster",
            "link del br0",
            "addr add 192.0.2.1/24 dev eth0",
        ],
    )?;
    moved(&lab, "eth0", "192.0.2.1")?;
    goes_on(&lab, &mut traffic, daemon)?;
    ends(traffic, "an address that moved to a bridge and back")?;
    lab.end()
}

#[test]
fn a_default_route_that_moves_takes_the_tunnels_along() -> Result<()> {
    let arguments = vec!["{underlay}".to_owned()];
    let lab = Lab::start(Options { arguments, daemons: false, ..Options::default() })?;
    ip(&lab, &["route add default via 192.0.2.254 dev eth0"])?;
    lab.hosts().iter().try_for_each(|host| lab.start_daemon(host))?;
    Traffic::furnish(&lab)?;
    let mut traffic = Traffic::start(&lab, "0.01")?;
    let daemon = lab.host(1).daemon_pid();
    let netns = lab.host(1).netns().path().display().to_string();
    lab.underlay().ip([
        format!("link add name h1b mtu 1500 type veth peer name eth1 mtu 1500 netns {netns}"),
        "link set dev h1b master underlay up".to_owned(),
    ])?;
    // A second way out alone changes nothing.
    ip(&lab, &["link set eth1 up", "addr add 192.0.2.51/24 dev eth1"])?;
    goes_on(&lab, &mut traffic, daemon)?;
    moved(&lab, "eth0", "192.0.2.1")?;
    ip(&lab, &["route replace default via 192.0.2.254 dev eth1", "link set eth0 down"])?;
    moved(&lab, "eth1", "192.0.2.51")?;
    goes_on(&lab, &mut traffic, daemon)?;
    ip(
        &lab,
        &[
            "link set eth0 up",
            "route replace default via 192.0.2.254 dev eth0",
            "link set eth1 down",
        ],
    )?;
    moved(&lab, "eth0", "192.0.2.1")?;
    goes_on(&lab, &mut traffic, daemon)?;
    ends(traffic, "a default route that moved to another device and back")?;
    lab.end()
}

//! Faults of sandboxes, names and the way out.

use std::fs;

use anyhow::{Result, ensure};
use nix::mount::{MntFlags, umount2};
use serde_json::Value;
use testbed::{Host, Signal, Store};

use crate::stage::{content, found, lab, mends, shell};

fn netns(host: &Host, sandbox: &str) -> Result<String> {
    let view: Value = serde_json::from_str(&host.ok(["sandbox", "inspect", sandbox])?)?;
    Ok(view[0]["netns"].as_str().unwrap_or_default().to_owned())
}

#[test]
fn faults_of_sandboxes_are_named_and_mended() -> Result<()> {
    let lab = lab(Store::File)?;
    let h1 = lab.host(1);
    let within = |line: &str| {
        let line = format!("netctl exec box1 -- ip {line}");
        shell(h1, &line).map(drop)
    };
    // What the daemon looks at again only every half minute.
    mends(
        h1,
        || within("addr del 10.77.0.2/24 dev eth0"),
        "address-missing",
        "box1 eth0",
        "netctl exec box1 -- ip address add 10.77.0.2/24 dev eth0",
    )?;
    let up = "netctl exec box1 -- ip link set eth0 up";
    mends(h1, || within("link set eth0 down"), "interface-down", "box1 eth0", up)?;

    h1.ok(["run", "--name", "box3", "--publish-service", "c.dev", "true"])?;
    let gone = || {
        let netns = netns(h1, "box3")?;
        umount2(netns.as_str(), MntFlags::MNT_DETACH)?;
        Ok(fs::remove_file(netns)?)
    };
    mends(h1, gone, "namespace-gone", "box3", "netctl sandbox rm box3")?;

    mends(
        h1,
        || shell(h1, "iptables -A INPUT -i nh-+ -p udp --dport 53 -j DROP").map(drop),
        "names-unanswered",
        "10.77.0.1",
        "iptables -I INPUT -i nh-+ -p udp --dport 53 -j ACCEPT",
    )?;
    lab.end()
}

#[test]
fn faults_of_the_way_out_are_named_and_mended() -> Result<()> {
    let lab = lab(Store::File)?;
    let h1 = lab.host(1);
    let forwarding = "net.ipv4.conf.nh-001000.forwarding";
    mends(
        h1,
        || shell(h1, &format!("sysctl -w {forwarding}=0")).map(drop),
        "forwarding-off",
        "nh-001000",
        &format!("sysctl -w {forwarding}=1"),
    )?;
    // What the daemon mends at once is a fault where there is none.
    h1.stop_daemon(Signal::SIGTERM)?;
    let said = found(h1, "daemon-down", &h1.socket().display().to_string())?;
    ensure!(said.mend == "systemctl start netctl", "{said:?}");
    shell(h1, "iptables -P FORWARD DROP")?;
    let said = found(h1, "forward-dropped", "FORWARD")?;
    ensure!(said.mend.starts_with("nft 'add rule ip filter FORWARD iifname"), "{said:?}");
    shell(h1, &said.mend)?;
    shell(h1, "nft delete chain inet netctl forward || nft add rule inet netctl forward accept")?;
    found(h1, "table-altered", "inet netctl")?;
    shell(h1, "nft delete table inet netctl")?;
    found(h1, "table-missing", "inet netctl")?;
    // A service that was made here and is nobody's.
    shell(h1, "ip link add nc0123456789ab type veth peer name left0")?;
    let said = found(h1, "leftover-interface", "nc0123456789ab")?;
    shell(h1, &said.mend)?;
    lab.start_daemon(h1)?;
    content(h1)?;
    let rules = shell(h1, "nft list chain ip filter FORWARD")?;
    ensure!(rules.matches("netctl: as table").count() == 2, "what was mended stays: {rules}");
    lab.end()
}

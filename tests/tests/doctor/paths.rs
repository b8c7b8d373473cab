//! Faults between hosts: what is on the way loses packets.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use testbed::{Lab, Signal, Store, eventually};

use crate::stage::{content, found, lab, mends, names, read, shell};

/// Has the switch between the hosts drop what a rule says.
fn drop_between(lab: &Lab, rule: &str) -> Result<()> {
    let script = format!(
        "add table bridge fault; \
         add chain bridge fault pass {{ type filter hook forward priority 0; }}; \
         add rule bridge fault pass {rule} drop"
    );
    lab.underlay().run(["nft", &script])?.ok().map(drop)
}

fn pass_between(lab: &Lab) -> Result<()> {
    lab.underlay().run(["nft", "delete table bridge fault"])?.ok().map(drop)
}

#[test]
fn what_loses_packets_between_hosts_is_named() -> Result<()> {
    let lab = lab(Store::File)?;
    let (h1, h2) = (lab.host(1), lab.host(2));
    // A firewall that lets nothing in tunnels pass to the other, or to this host.
    let to = "ip daddr 192.0.2.2 udp dport 4789";
    let undo = || pass_between(&lab);
    names(
        h1,
        || drop_between(&lab, to),
        "tunnel-blocked",
        "h2",
        "netctl doctor",
        |said| {
            ensure!(said.mend.contains("let UDP port 4789 to 192.0.2.2 pass"), "{said:?}");
            // The other end says which way it is.
            let said = found(h2, "tunnel-blocked-here", "h1")?;
            ensure!(said.mend.contains("let UDP port 4789 from 192.0.2.1 pass"), "{said:?}");
            undo()
        },
    )?;
    // One of this host's own.
    mends(
        h1,
        || shell(h1, "iptables -A OUTPUT -p udp --dport 4789 -j DROP").map(drop),
        "tunnel-refused",
        "h2",
        "iptables -I OUTPUT -p udp --dport 4789 -j ACCEPT",
    )?;
    // A link between that carries less than both ends do, and says nothing.
    let port = |mtu| lab.underlay().ip([format!("link set h2 mtu {mtu}")]);
    names(
        h1,
        || port(1450),
        "path-mtu",
        "h2",
        "ip link set eth0 mtu 1450",
        |said| {
            ensure!(said.what.contains("packets of 1500 bytes to h2 are lost"), "{said:?}");
            port(1500)
        },
    )?;
    // A host that is gone from the network and not yet from the store.
    let link = |state| lab.underlay().ip([format!("link set h2 {state}")]);
    names(
        h1,
        || link("down"),
        "peer-unreachable",
        "h2",
        "ip neigh show 192.0.2.2",
        |_| link("up"),
    )?;
    content(h2)?;
    lab.end()
}

/// Pings and probes pass, and packets that devices were to cut do not: what network cards do that cannot cut tunnels.
#[test]
fn what_breaks_large_tcp_in_tunnels_is_named() -> Result<()> {
    let lab = lab(Store::File)?;
    let (h1, h2) = (lab.host(1), lab.host(2));
    let mut serving = h2.spawn("serve", ["netctl", "bench", "serve", "--network", "dev"])?;
    eventually("it serves", Duration::from_secs(20), || {
        ensure!(serving.log().contains("serving for "), "it says: {}", serving.log());
        Ok(())
    })?;
    let transfer = || h1.netctl(["--format", "json", "doctor", "--transfer", "h2"]);
    let found = read(h1, &transfer()?)?;
    ensure!(found.is_empty(), "{found:#?}");
    // What is not a probe, and longer than a packet on the wire may be.
    drop_between(&lab, "ip daddr 192.0.2.2 udp dport 4789 meta length > 1600")?;
    let found = read(h1, &transfer()?)?;
    let said = found.first().with_context(|| "nothing is found")?;
    ensure!(found.len() == 1 && said.id == "tcp-stalls" && said.object == "h2", "{found:#?}");
    ensure!(said.mend.starts_with("ethtool -K eth0 tx-udp_tnl-segmentation off"), "{said:#?}");
    // Pings notice nothing.
    h1.ok(["exec", "box1", "--", "ping", "-c", "1", "-W", "1", "b"])?;
    pass_between(&lab)?;
    let found = read(h1, &transfer()?)?;
    ensure!(found.is_empty(), "{found:#?}");
    serving.stop(Signal::SIGINT, Duration::from_secs(20))?;
    let output = h1.netctl(["doctor", "--transfer", "h2"])?;
    let expected = "error: host h2 does not serve: run `netctl bench serve` there first";
    ensure!(output.code() == 1 && output.stderr.starts_with(expected), "{output:?}");
    ensure!(output.stdout.starts_with("ok: daemon, "), "what was looked at is said: {output:?}");
    lab.end()
}

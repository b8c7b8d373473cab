//! Faults between hosts: what is on the way loses packets.

use anyhow::{Result, ensure};
use testbed::{Lab, Store};

use crate::stage::{content, found, lab, mends, names, shell};

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

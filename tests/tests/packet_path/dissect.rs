//! What tshark's own dissector makes of the packets on the underlay.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, ensure};
use testbed::Capture;

use crate::{
    rig::{Rig, Setup, VNI, switch},
    sockets::{segments_to, socket, transfer_to},
};

/// What the payload's random ports and bytes look like is no matter. All checksums are verified. That of the outer UDP header is left out over IPv6 too, which RFC 6935 allows.
const CHECKS: &[&str] = &[
    "-d",
    "udp.port==32768-49151,data",
    "-d",
    "tcp.port==32768-49151,data",
    "-o",
    "ip.check_checksum:TRUE",
    "-o",
    "udp.check_checksum:TRUE",
    "-o",
    "tcp.check_checksum:TRUE",
    "-o",
    "udp.ignore_ipv6_zero_checksum:TRUE",
];

/// What is wrong with a packet, to itself or to the reader. Zero is the dissector's word for a bad checksum.
const WRONG: &str = "_ws.malformed or _ws.short or ip.checksum.status == 0 or udp.checksum.status == 0 \
                     or tcp.checksum.status == 0 or icmp.checksum.status == 0 \
                     or icmpv6.checksum.status == 0 or not vxlan";

#[test]
fn all_that_crosses_is_vxlan_and_sound() -> Result<()> {
    for setup in Setup::DUAL {
        let rig = Rig::of(setup)?;
        // Out of the way of the tunnel's own source ports, to tell the reader which is which.
        for container in [&rig.near, &rig.far] {
            container.netns.set_sysctl("net/ipv4/ip_local_port_range", "32768 49151")?;
        }
        // Checksums are made and packets cut before they are seen, not by a device that comes later.
        for host in [&rig.a, &rig.b] {
            switch(&host.netns, "eth0", &["tx", "tso", "tx-udp_tnl-segmentation"], "off")?;
        }
        let mut capture = Capture::start(&rig.b.netns, "eth0", "udp port 4789", "dissect")?;
        for (from, to) in [(&rig.near, &rig.far), (&rig.far, &rig.near)] {
            for address in to.station.both() {
                from.ping(&address.to_string())?;
                from.ping_with(&["-s", "4000"], &address.to_string())?;
                transfer_to(from, to, address, 1)?;
                segments_to(from, to, address, false)?;
            }
        }
        capture.end()?;
        let wrong = capture.dissect(&[CHECKS, &["-Y", WRONG, "-V"]].concat())?;
        let shown = wrong.lines().take(100).collect::<Vec<_>>().join("\n");
        ensure!(wrong.is_empty(), "{setup:?}:\n{shown}");
        let fields = ["-T", "fields", "-e", "vxlan.vni", "-e", "frame.len"];
        let seen = capture.dissect(&fields)?;
        let longest =
            seen.lines().filter_map(|line| line.split_once('\t')?.1.parse::<u32>().ok()).max();
        ensure!(longest == Some(setup.mtu + 14), "{setup:?}: the longest has {longest:?}");
        let other = seen
            .lines()
            .find(|line| line.split_once('\t').map(|(vni, _)| vni) != Some(&VNI.to_string()));
        ensure!(other.is_none(), "{setup:?}: {other:?}");
        // Some three thousand cross; a reader without a processor of its own misses some.
        let count = seen.lines().count();
        ensure!(count > 100, "{setup:?}: only {count} packets");
    }
    Ok(())
}

/// Packets of one flow go one way, and those of many spread over the ways that an underlay may have.
#[test]
fn flows_have_outer_ports_of_their_own() -> Result<()> {
    const FLOWS: usize = 32;
    for setup in Setup::DUAL {
        let rig = Rig::of(setup)?;
        // What comes back are reports that quote what they are about.
        let source = if setup.over6 { "2001:db8::1" } else { "192.0.2.1" };
        let filter = format!("udp dst port 4789 and src host {source}");
        let mut capture = Capture::start(&rig.a.netns, "eth0", &filter, "flows")?;
        // Each family has a port to send to: the kernel may choose one and the same to send from.
        let ends = rig.near.station.both().into_iter().zip(rig.far.station.both());
        for (port, (source, address)) in [7777, 7778].into_iter().zip(ends) {
            for _ in 0..FLOWS / 2 {
                let sender = socket(&rig.near.netns, source)?;
                for _ in 0..3 {
                    sender.send_to(b"flow", (address, port))?;
                }
            }
        }
        rig.near.ping(&rig.far.station.ip())?;
        capture.end()?;
        let flows = "udp.dstport == 7777 || udp.dstport == 7778";
        let columns = ["-e", "udp.srcport", "-e", "udp.dstport", "-e", "ip.id"];
        let seen = capture.dissect(&[&["-Y", flows, "-T", "fields"][..], &columns].concat())?;
        let mut outer: BTreeMap<(&str, &str), BTreeSet<&str>> = BTreeMap::new();
        let mut identifications = BTreeSet::new();
        for line in seen.lines() {
            let (sources, rest) = line.split_once('\t').context("three columns")?;
            let (destinations, ids) = rest.split_once('\t').context("three columns")?;
            let (port, inner) = sources.split_once(',').context("two UDP headers")?;
            outer.entry((inner, destinations)).or_default().insert(port);
            identifications.extend(ids.split(',').next());
        }
        ensure!(outer.len() == FLOWS, "{setup:?}: {} flows:\n{seen}", outer.len());
        ensure!(outer.values().all(|ports| ports.len() == 1), "{setup:?}: {outer:?}");
        let distinct: BTreeSet<u16> =
            outer.values().flatten().map(|port| port.parse()).collect::<Result<_, _>>()?;
        ensure!(distinct.len() > FLOWS / 2, "{setup:?}: {distinct:?}");
        ensure!(distinct.iter().all(|port| *port >= 49_152), "{setup:?}: {distinct:?}");
        ensure!(setup.over6 || identifications.len() > FLOWS / 2, "{identifications:?}");
    }
    Ok(())
}

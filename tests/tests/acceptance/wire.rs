//! What crosses the underlay is VXLAN (RFC 7348), as tcpdump reads it.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::UdpSocket,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use testbed::{Capture, Lab, eventually};

use crate::{container::Container, stage::field};

on_both_stores! {
    packets_are_vxlan on 2;
}

const FLOWS: u16 = 16;
const FIRST: u16 = 9000;

/// ```text
///   h1: box-svc1 ── 16 UDP flows and an echo ──► h2: box-svc2
///          192.0.2.1 ═══════ tcpdump ═══════► 192.0.2.2
/// ```
fn packets_are_vxlan(lab: &Lab) -> Result<()> {
    lab.host(1).ok(["network", "create", "-o", "vni=70001", "dev"])?;
    let one = Container::new(lab.host(1), "svc1", "dev", &[])?;
    let two = Container::new(lab.host(2), "svc2", "dev", &[])?;
    ensure!(field(one.host, &["network", "inspect", "dev"], "/0/vni")? == "70001");
    let (from, to) = (one.address()?, two.address()?);
    one.reaches(&to)?;
    two.reaches(&from)?;

    let filter = "udp dst port 4789 and src host 192.0.2.1";
    let capture = Capture::start(&lab.underlay(), "h1", filter, "vxlan")?;
    one.ping(&to)?;
    let netns = one.netns(lab)?;
    let bind = |port| Ok(UdpSocket::bind(("0.0.0.0", port))?);
    let sockets: Vec<UdpSocket> =
        netns.within(|| (FIRST..FIRST + FLOWS).map(bind).collect::<Result<_>>())?;
    for socket in sockets.iter().chain(&sockets) {
        socket.send_to(b"flow", (to.as_str(), 4000))?;
    }
    let packets = usize::from(1 + 2 * FLOWS);
    eventually("all packets are captured", Duration::from_secs(5), || {
        let seen = capture.read(&[])?;
        let count = seen.matches("VXLAN").count();
        ensure!(count >= packets, "{count} of {packets}:\n{seen}");
        Ok(())
    })?;
    let text = capture.stop(&["-v"])?;
    well_formed(&text)?;
    let echo = format!("{from} > {to}: ICMP echo request");
    ensure!(text.contains(&echo), "no {echo}:\n{text}");
    flows_spread(&text, &from)
}

/// tcpdump decodes each packet to its end, and each is of the network's segment.
fn well_formed(text: &str) -> Result<()> {
    for complaint in [", bad cksum", "[|", "truncated", "bad length", "invalid"] {
        ensure!(!text.contains(complaint), "{complaint}:\n{text}");
    }
    let outer: Vec<&str> = text.lines().filter(|line| line.contains("192.0.2.1.")).collect();
    for line in outer {
        ensure!(line.contains("> 192.0.2.2.4789: VXLAN, flags [I] (0x08), vni 70001"), "{line}");
    }
    Ok(())
}

/// Packets of one flow have one outer source port, and the flows have many.
fn flows_spread(text: &str, from: &str) -> Result<()> {
    let mut ports: BTreeMap<u16, BTreeSet<u16>> = BTreeMap::new();
    let mut outer = None;
    let port_after = |line: &str, address: &str| -> Option<u16> {
        let rest = line.trim().strip_prefix(address)?.strip_prefix('.')?;
        rest.split(' ').next()?.parse().ok()
    };
    for line in text.lines() {
        outer = port_after(line, "192.0.2.1").or(outer);
        if let Some(inner) = port_after(line, from) {
            ports.entry(inner).or_default().insert(outer.context("no outer packet")?);
        }
    }
    ensure!(ports.len() == usize::from(FLOWS), "{} flows: {ports:?}\n{text}", ports.len());
    ensure!(ports.values().all(|of| of.len() == 1), "a flow has several ports: {ports:?}");
    let distinct: BTreeSet<u16> = ports.into_values().flatten().collect();
    ensure!(distinct.len() > usize::from(FLOWS) / 2, "16 flows on few ports: {distinct:?}");
    // RFC 7348 section 5: the source port should be in the dynamic range.
    ensure!(distinct.iter().all(|port| *port >= 49_152), "{distinct:?}");
    Ok(())
}

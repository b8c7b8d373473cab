//! What endpoints carry, and what the programs drop.

use anyhow::{Context as _, Result, ensure};
use netctl::kernel::Netlink;
use serde_json::Value;
use testbed::{Host, Lab, Store, Wire, eventually, frames::ethernet};

use crate::{SOON, address, join, lab, leave, mac, netns, scrape::Scrape, within};

const ECHOES: u64 = 100;
/// An echo of 56 bytes, with its headers.
const ECHO: u64 = 98;

/// Packets and bytes, received and sent.
fn carried(host: &Host, service: &str) -> Result<[u64; 4]> {
    let scrape = Scrape::of(host)?;
    let of = |what: &str, direction| {
        let labels = [("network", "dev"), ("service", service), ("direction", direction)];
        scrape.count(&format!("netctl_endpoint_{what}_total"), &labels)
    };
    Ok([
        of("packets", "receive")?,
        of("bytes", "receive")?,
        of("packets", "transmit")?,
        of("bytes", "transmit")?,
    ])
}

/// The same as the kernel says it inside.
fn truly(host: &Host, service: &str) -> Result<[u64; 4]> {
    let text = within(host, service, "ip -s -j link show dev eth0")?;
    let links: Value = serde_json::from_str(&text)?;
    let of = |pointer: &str| links.pointer(pointer).and_then(Value::as_u64).context("no number");
    Ok([
        of("/0/stats64/rx/packets")?,
        of("/0/stats64/rx/bytes")?,
        of("/0/stats64/tx/packets")?,
        of("/0/stats64/tx/bytes")?,
    ])
}

/// No ARP between these: what is counted is echoes alone.
fn acquaint(one: (&Host, &str), other: (&Host, &str)) -> Result<()> {
    for ((host, name), (their_host, their_name)) in [(one, other), (other, one)] {
        let (mac, address) = (mac(their_host, their_name)?, address(their_host, their_name)?);
        let line = format!("ip neigh replace {address} lladdr {mac} dev eth0 nud permanent");
        within(host, name, &line)?;
    }
    Ok(())
}

fn echoes_are_counted(one: (&Host, &str), other: (&Host, &str)) -> Result<()> {
    acquaint(one, other)?;
    let target = address(other.0, other.1)?;
    eventually("they reach each other", SOON, || {
        within(one.0, one.1, &format!("ping -n -c 1 -W 1 {target}"))
    })?;
    let before = [carried(one.0, one.1)?, carried(other.0, other.1)?];
    within(one.0, one.1, &format!("ping -n -q -c {ECHOES} -i 0.005 -W 2 {target}"))?;
    for ((host, name), before) in [one, other].into_iter().zip(before) {
        let after = carried(host, name)?;
        let moved: Vec<u64> =
            after.iter().zip(before).map(|(after, before)| after - before).collect();
        ensure!(moved == [ECHOES, ECHOES * ECHO, ECHOES, ECHOES * ECHO], "{name}: {moved:?}");
        ensure!(after == truly(host, name)?, "{name}: {after:?} is not what the kernel says");
    }
    Ok(())
}

/// ```text
///   h1: box-near ── 100 echoes ──► h1: box-beside
///       box-near ── 100 echoes ──► h2: box-far
/// ```
#[test]
fn what_endpoints_carry_is_what_was_sent() -> Result<()> {
    let lab = lab(2, Store::File, &[])?;
    let played = (|| {
        let (h1, h2) = (lab.host(1), lab.host(2));
        for (host, name) in [(h1, "near"), (h1, "beside"), (h2, "far")] {
            join(host, name)?;
        }
        echoes_are_counted((h1, "near"), (h1, "beside"))?;
        echoes_are_counted((h1, "near"), (h2, "far"))?;
        // Only what is here is told here.
        let scrape = Scrape::of(h2)?;
        ensure!(scrape.all("netctl_endpoint_packets_total", &[("service", "near")]).is_empty());

        // Answers of the gateway are sent by it.
        let sent = |scrape: &Scrape| scrape.count("netctl_gateway_transmit_packets_total", &[]);
        let before = sent(&Scrape::of(h1)?)?;
        within(h1, "near", "ping -n -q -c 10 -i 0.01 -W 2 10.91.0.1")?;
        let moved = sent(&Scrape::of(h1)?)? - before;
        // The host may ask for the container's MAC address besides.
        ensure!((10..=12).contains(&moved), "the gateway has sent {moved}");

        leave(h1, "near")?;
        let scrape = Scrape::of(h1)?;
        for what in ["packets", "bytes", "dropped_packets"] {
            let name = format!("netctl_endpoint_{what}_total");
            ensure!(scrape.all(&name, &[("service", "near")]).is_empty(), "{name} is there still");
            ensure!(scrape.all(&name, &[("service", "beside")]).len() == 2, "{name} is gone");
        }
        Ok(())
    })();
    played.map_err(|error: anyhow::Error| lab.explain(error))?;
    lab.end()
}

/// What the programs drop is told by reason, and is what its sender has sent all the same.
#[test]
fn a_forged_packet_raises_the_counter_of_its_reason() -> Result<()> {
    let lab = lab(1, Store::File, &[])?;
    let played = (|| {
        let host = lab.host(1);
        join(host, "forger")?;
        let before = (Scrape::of(host)?, carried(host, "forger")?);
        let wire = Wire::new(&netns(&lab, host, "forger")?, "eth0")?;
        for _ in 0..7 {
            wire.send(&ethernet([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 9], 0x0800, &[0x45; 50]))?;
        }
        let (scrape, after) = (Scrape::of(host)?, carried(host, "forger")?);
        ensure!(after[2] - before.1[2] == 7, "{after:?} after {before:?}");
        let name = "netctl_dropped_packets_total";
        let moved: Vec<_> = scrape
            .all(name, &[])
            .into_iter()
            .filter_map(|series| {
                let labels: Vec<(&str, &str)> = series
                    .labels
                    .iter()
                    .map(|(label, value)| (label.as_str(), value.as_str()))
                    .collect();
                let before = before.0.value(name, &labels).ok()?;
                (series.value > before).then_some((labels, series.value - before))
            })
            .collect();
        let expected = vec![("program", "from-container"), ("reason", "source-mac")];
        ensure!(moved == [(expected, 7.0)], "{moved:?}");
        Ok(())
    })();
    played.map_err(|error: anyhow::Error| lab.explain(error))?;
    lab.end()
}

/// The kernel counts what a program delivers past the host's side of a pair at the other end alone.
#[test]
fn each_end_of_a_pair_is_read_where_it_is() -> Result<()> {
    let lab = lab(1, Store::File, &[])?;
    let played = reads_the_other_end(&lab).map_err(|error| lab.explain(error));
    played?;
    lab.end()
}

fn reads_the_other_end(lab: &Lab) -> Result<()> {
    let host = lab.host(1);
    join(host, "left")?;
    join(host, "right")?;
    acquaint((host, "left"), (host, "right"))?;
    let target = address(host, "right")?;
    within(host, "left", &format!("ping -n -q -c 20 -i 0.005 -W 2 {target}"))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let path = host.netns().path().to_owned();
    let (ours, theirs) = runtime.block_on(async {
        let netlink = Netlink::open(&netctl::kernel::Netns::open(&path)?).await?;
        let links = netlink.links().await?;
        let port = links.iter().find(|link| link.name.starts_with("nc")).context("no port")?;
        let ours = netlink.traffic().await?.into_iter().find(|own| own.index == port.index);
        let ours = ours.context("no traffic")?;
        let theirs = netlink.traffic_of(ours.peer.context("no peer")?).await?;
        let gone = netctl::kernel::Peer { index: 4_000_000, netnsid: None };
        ensure!(netlink.traffic_of(gone).await?.is_none(), "a link that is not there");
        let gone = netctl::kernel::Peer { index: 1, netnsid: Some(4_000_000) };
        ensure!(netlink.traffic_of(gone).await?.is_none(), "a namespace that is not there");
        anyhow::Ok((ours.traffic, theirs.context("it is gone")?))
    })?;
    ensure!(ours.received.packets == theirs.sent.packets, "{ours:?} {theirs:?}");
    ensure!(theirs.received.packets >= 20 && ours.sent.packets < 20, "{ours:?} {theirs:?}");
    Ok(())
}

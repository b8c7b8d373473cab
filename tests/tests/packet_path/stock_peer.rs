//! A host that knows nothing of netctl: the kernel's vxlan device with static entries.

use std::{
    net::{IpAddr, Ipv4Addr, UdpSocket},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use netctl_common::{Direction, DropReason, Outcome, Verdict, maps::FdbTarget};
use testbed::{Netns, eventually};

use crate::{
    host::Container,
    object,
    rig::{NETWORK, Rig, Setup, Station, VNI, address6, mac_of},
    sockets,
};

const HOST: [u8; 4] = [192, 0, 2, 3];

/// Makes the host, with `further` options of its device; what its device does not know it sends to host a.
fn stock(rig: &Rig, vni: u32, further: &str) -> Result<Container> {
    let station = Station::number(31);
    let netns = Netns::new(rig.run.dir(), "stock")?;
    rig.underlay.join(&netns, 3)?;
    if !rig.setup.dual {
        netns.set_sysctl("net/ipv6/conf/default/disable_ipv6", "1")?;
    }
    let of = |address: [u8; 4]| -> IpAddr {
        if rig.setup.over6 { address6(address).into() } else { address.into() }
    };
    let (local, remote) = (of(HOST), of(rig.a.address));
    netns.ip([
        format!(
            "link add vx address {} type vxlan id {vni} local {local} dstport {} nolearning {further}",
            station.mac_text(),
            object::PORT
        ),
        format!("link set vx mtu {} up", rig.setup.inner_mtu()),
        format!("addr add {}/24 broadcast + dev vx", station.ip()),
    ])?;
    let entry = |mac: &str| {
        let words = ["bridge", "fdb", "append", mac, "dev", "vx", "dst", &remote.to_string()];
        netns.run(words)?.ok().map(drop)
    };
    entry("00:00:00:00:00:00")?;
    entry(&rig.near.station.mac_text())?;
    if rig.setup.dual {
        netns.ip([format!("addr add {}/64 dev vx nodad", station.ip6())])?;
    }
    Ok(Container { netns, station })
}

/// Whether the outer packets have a checksum of UDP is the stock host's choice: the kernel of ours verifies it.
#[test]
fn a_stock_vxlan_device_is_a_peer() -> Result<()> {
    let [over4, over6] = Setup::DUAL;
    for (setup, further) in [
        (over4, "udpcsum"),
        (over4, "noudpcsum"),
        (over6, "udp6zerocsumtx udp6zerocsumrx"),
        (over6, "noudp6zerocsumtx udp6zerocsumrx"),
    ] {
        peer(setup, further).with_context(|| format!("{setup:?}, {further}"))?;
    }
    Ok(())
}

fn peer(setup: Setup, further: &str) -> Result<()> {
    let mut rig = Rig::of(setup)?;
    let stock = stock(&rig, VNI, further)?;
    rig.a.knows_member(NETWORK, HOST)?;
    rig.a.knows(stock.station, FdbTarget::Remote(u32::from(HOST[3])))?;
    // Neither knows the other's MAC: the program answers the one, and floods for the other.
    for (from, to) in [(&stock, &rig.near), (&rig.near, &stock)] {
        for address in to.station.both() {
            from.ping(&address.to_string())?;
            sockets::transfer_to(from, to, address, 8)?;
            for merge in [false, true] {
                sockets::segments_to(from, to, address, merge)?;
            }
        }
    }
    let learned = stock.netns.run(["ip", "neigh", "show", &rig.near.station.ip()])?.ok()?;
    ensure!(learned.contains(&rig.near.station.mac_text()), "{learned}");

    broadcast(&rig.near, &[&rig.beside, &stock])?;
    broadcast(&stock, &[&rig.near, &rig.beside])?;
    handed_over(&rig)
}

/// Sends a datagram to all, and fails unless each of `to` gets it once.
fn broadcast(from: &Container, to: &[&Container]) -> Result<()> {
    let everybody = Ipv4Addr::new(10, 0, 0, 255);
    // One that was closed may be held still, by a process that another test is just starting.
    let bind = |container: &Container, address: Ipv4Addr, port| {
        let free = || container.netns.within(|| Ok(UdpSocket::bind((address, port))?));
        eventually("the port is free", Duration::from_secs(2), free)
    };
    let listeners: Vec<UdpSocket> = to
        .iter()
        .map(|container| bind(container, Ipv4Addr::UNSPECIFIED, 7500))
        .collect::<Result<_>>()?;
    let sender = bind(from, from.station.address.into(), 0)?;
    sender.set_broadcast(true)?;
    sender.send_to(b"everybody", (everybody, 7500))?;
    for (listener, container) in listeners.iter().zip(to) {
        let mut buffer = [0; 32];
        let name = container.netns.name();
        listener.set_read_timeout(Some(Duration::from_secs(2)))?;
        let length = listener.recv(&mut buffer).with_context(|| format!("{name} hears nothing"))?;
        ensure!(&buffer[..length] == b"everybody", "{name} hears {:?}", &buffer[..length]);
        listener.set_read_timeout(Some(Duration::from_millis(100)))?;
        ensure!(listener.recv(&mut buffer).is_err(), "{name} hears it twice");
    }
    Ok(())
}

/// What the kernel was left to decapsulate came back to the programs.
fn handed_over(rig: &Rig) -> Result<()> {
    let counters = rig.a.counters()?;
    let at = |direction, verdict| {
        counters.get(&(direction, Outcome::Forwarded(verdict))).copied().unwrap_or_default().0
    };
    let outer = at(Direction::FromUnderlay, Verdict::HandedOver);
    let inner = at(Direction::FromTunnel, Verdict::ToContainer)
        + at(Direction::FromTunnel, Verdict::Flooded);
    ensure!(outer > 0 && inner >= outer, "{outer} were handed over, {inner} came back");
    Ok(())
}

/// Only the first fragment shows ports: all are the kernel's from the start, and it joins them.
#[test]
fn outer_fragments_are_joined() -> Result<()> {
    let mut rig = Rig::new()?;
    let stock = fragments(&rig, VNI)?;
    rig.a.knows_member(NETWORK, HOST)?;
    rig.a.knows(stock.station, FdbTarget::Remote(u32::from(HOST[3])))?;
    // The answers fit the way back, which is the underlay's and not the stock host's.
    let words = ["ping", "-n", "-c", "3", "-i", "0.02", "-W", "1", "-s", "1300", "-M", "dont"];
    let ip = rig.near.station.ip();
    stock.netns.run(words.into_iter().chain([ip.as_str()]))?;
    let place = (Direction::FromTunnel, Outcome::Forwarded(Verdict::ToContainer));
    let counters = rig.a.counters()?;
    ensure!(counters.get(&place).is_some_and(|count| count.0 > 0), "{counters:?}");
    Ok(())
}

/// A stock host whose packets of more than 1000 bytes leave it as fragments.
fn fragments(rig: &Rig, vni: u32) -> Result<Container> {
    let stock = stock(rig, vni, "udpcsum")?;
    let near = rig.near.station;
    stock.netns.ip([
        "link set eth0 mtu 1000".to_owned(),
        format!("neigh replace {} lladdr {} dev vx nud permanent", near.ip(), near.mac_text()),
        // So that it asks nobody for its next hop either.
        format!(
            "neigh replace 192.0.2.1 lladdr {} dev eth0 nud permanent",
            mac_of(&rig.a.netns, "eth0")?
        ),
    ])?;
    Ok(stock)
}

/// Its checksums are the kernel's to verify, but not before it is known who sent them; and what the kernel decapsulates
/// has passed no check of its own.
#[test]
fn a_stock_vxlan_device_is_validated() -> Result<()> {
    for (vni, host, member, reason) in [
        (VNI, false, false, DropReason::UnknownTunnelSource),
        (VNI + 1, true, false, DropReason::UnknownVni),
        (VNI, true, false, DropReason::NotMember),
        (VNI, true, true, DropReason::InnerSource),
    ] {
        for (size, direction) in [("56", Direction::FromUnderlay), ("1300", Direction::FromTunnel)]
        {
            let mut rig = Rig::new()?;
            let stock = fragments(&rig, vni)?;
            if host {
                rig.a.knows_host(HOST)?;
            }
            if member {
                rig.a.knows_member(NETWORK, HOST)?;
            }
            // A second large one would be smaller: its sender has learned by then.
            let ip = rig.near.station.ip();
            let words = ["ping", "-n", "-c", "1", "-W", "0.1", "-s", size, "-M", "dont", &ip];
            let output = stock.netns.run(words)?;
            ensure!(!output.success(), "{reason:?}: {output:?}");
            let place = (direction, Outcome::Dropped(reason));
            let counters = rig.a.counters()?;
            let once = counters.get(&place).is_some_and(|count| count.0 == 1);
            ensure!(once, "{place:?}: {counters:?}");
        }
    }
    Ok(())
}

//! Containers that are not the end of the way.

use std::net::IpAddr;

use anyhow::{Context as _, Result};
use netctl_common::{
    Direction, Outcome, Verdict,
    maps::{FdbTarget, Port},
};
use testbed::Netns;

use crate::{
    host::Container,
    rig::{Rig, Setup, index, switch},
    sockets::{segments_to, transfer_to},
};

/// Has a container forward what it is sent, and says so to nobody.
fn router(container: &Container) -> Result<()> {
    for (key, value) in [
        ("ipv4/ip_forward", "1"),
        ("ipv4/conf/all/send_redirects", "0"),
        ("ipv4/conf/eth0/send_redirects", "0"),
        ("ipv6/conf/all/forwarding", "1"),
    ] {
        container.netns.set_sysctl(&format!("net/{key}"), value)?;
    }
    Ok(())
}

/// No redirect, which IPv6 routers always send, shortens the way.
fn stubborn(container: &Container) -> Result<()> {
    for key in ["ipv4/conf/all", "ipv4/conf/eth0", "ipv6/conf/all", "ipv6/conf/eth0"] {
        container.netns.set_sysctl(&format!("net/{key}/accept_redirects"), "0")?;
    }
    Ok(())
}

/// ```text
///   near ══ a ══ b ══ far, a router ══ b ══ a ══ beside
/// ```
///
/// What far sends has come out of a tunnel, and goes back into one.
#[test]
fn what_a_router_sends_back_into_the_overlay_arrives() -> Result<()> {
    for setup in Setup::DUAL {
        let mut rig = Rig::of(setup)?;
        rig.b.set_port("ncfar", rig.far.station, Port::ANY_SOURCE)?;
        router(&rig.far)?;
        for (from, to) in [(&rig.near, &rig.beside), (&rig.beside, &rig.near)] {
            stubborn(from)?;
            for (to, via) in to.station.both().into_iter().zip(rig.far.station.both()) {
                from.route(to, via)?;
            }
        }
        for cut in [false, true] {
            if cut {
                switch(&rig.far.netns, "eth0", &["tso", "tx-udp_tnl-segmentation"], "off")?;
            }
            both_ways(&rig.near, &rig.beside).with_context(|| format!("{setup:?}, cut: {cut}"))?;
        }
        let counters = rig.b.counters()?;
        let place = (Direction::FromContainer, Outcome::Forwarded(Verdict::ToUnderlay));
        assert!(counters.get(&place).is_some_and(|count| count.0 > 100), "{counters:?}");
    }
    Ok(())
}

/// Pings, bytes and datagrams of both families.
fn both_ways(one: &Container, other: &Container) -> Result<()> {
    for (from, to) in [(one, other), (other, one)] {
        for address in to.station.both() {
            let way = || format!("from {} to {address}", from.netns.name());
            from.ping(&address.to_string()).with_context(way)?;
            transfer_to(from, to, address, 4).with_context(way)?;
            for merge in [false, true] {
                segments_to(from, to, address, merge).with_context(way)?;
            }
        }
    }
    Ok(())
}

/// ```text
///   far: eth0 ── bridge br0 ── deep, which has far's MAC and addresses on its eth0
/// ```
fn nest(rig: &Rig) -> Result<Container> {
    let far = &rig.far;
    let deep = Netns::new(rig.run.dir(), "deep")?;
    let (inside, mac, mtu) = (deep.path().display(), far.station.mac_text(), rig.setup.inner_mtu());
    far.netns.set_sysctl("net/ipv6/conf/default/disable_ipv6", "1")?;
    far.netns.set_sysctl("net/ipv6/conf/eth0/disable_ipv6", "1")?;
    far.netns.ip([
        "addr flush dev eth0".to_owned(),
        // A bridge drops what claims to be one of its own ports.
        "link set eth0 address 02:00:00:00:ff:ff".to_owned(),
        "link add br0 type bridge mcast_snooping 0".to_owned(),
        format!("link add deeper mtu {mtu} type veth peer name eth0 mtu {mtu} address {mac} netns {inside}"),
        "link set deeper master br0 up".to_owned(),
        "link set eth0 master br0".to_owned(),
        "link set br0 up".to_owned(),
    ])?;
    deep.ip([format!("addr add {}/24 dev eth0", far.station.ip()), "link set eth0 up".to_owned()])?;
    deep.ip([format!("addr add {}/64 dev eth0 nodad", far.station.ip6())])?;
    Ok(Container { netns: deep, station: far.station })
}

#[test]
fn what_a_container_bridges_onward_arrives() -> Result<()> {
    for setup in Setup::DUAL {
        for bridging in [true, false] {
            let mut rig = Rig::of(setup)?;
            let deep = nest(&rig)?;
            if bridging {
                let device = index(&rig.b.netns, "ncfar")?;
                rig.b.knows(deep.station, FdbTarget::Bridging(device))?;
            }
            for cut in [false, true] {
                if cut {
                    // What cuts here must not be misled by what the tunnel left on the packet.
                    let features = ["tso", "tx-udp_tnl-segmentation", "tx-udp-segmentation"];
                    switch(&rig.far.netns, "deeper", &features, "off")?;
                    switch(&deep.netns, "eth0", &features, "off")?;
                }
                both_ways(&rig.near, &deep)
                    .with_context(|| format!("{setup:?}, bridging: {bridging}, cut: {cut}"))?;
            }
        }
    }
    Ok(())
}

/// ```text
///   far: eth0 ── routes ── deep, 10.9.0.2 and fd09::2
/// ```
#[test]
fn what_a_container_routes_onward_arrives() -> Result<()> {
    for setup in Setup::DUAL {
        let mut rig = Rig::of(setup)?;
        rig.b.set_port("ncfar", rig.far.station, Port::ANY_SOURCE)?;
        router(&rig.far)?;
        let deep = Netns::new(rig.run.dir(), "deep")?;
        let (inside, mtu) = (deep.path().display(), setup.inner_mtu());
        rig.far.netns.ip([
            format!("link add deeper mtu {mtu} type veth peer name eth0 mtu {mtu} netns {inside}"),
            "addr add 10.9.0.1/24 dev deeper".to_owned(),
            "addr add fd09::1/64 dev deeper nodad".to_owned(),
            "link set deeper up".to_owned(),
        ])?;
        deep.ip([
            "addr add 10.9.0.2/24 dev eth0",
            "addr add fd09::2/64 dev eth0 nodad",
            "link set eth0 up",
            "route add default via 10.9.0.1",
            "route add ::/0 via fd09::1",
        ])?;
        let addresses: [IpAddr; 2] = ["10.9.0.2".parse()?, "fd09::2".parse()?];
        for (to, via) in addresses.into_iter().zip(rig.far.station.both()) {
            rig.near.route(to, via)?;
        }
        let deep = Container { netns: deep, station: rig.far.station };
        for cut in [false, true] {
            if cut {
                let features = ["tso", "tx-udp_tnl-segmentation", "tx-udp-segmentation"];
                switch(&rig.far.netns, "deeper", &features, "off")?;
            }
            for address in addresses {
                let way = || format!("{setup:?}, to {address}, cut: {cut}");
                rig.near.ping(&address.to_string()).with_context(way)?;
                transfer_to(&rig.near, &deep, address, 4).with_context(way)?;
                for merge in [false, true] {
                    segments_to(&rig.near, &deep, address, merge).with_context(way)?;
                }
            }
            for address in rig.near.station.both() {
                transfer_to(&deep, &rig.near, address, 4)
                    .with_context(|| format!("{setup:?}, back to {address}, cut: {cut}"))?;
            }
        }
    }
    Ok(())
}

//! What is for a group: every other member of the network gets it, once.

use std::{
    net::{Ipv4Addr, Ipv6Addr, UdpSocket},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use netctl_common::{MacAddr, addr6};
use nix::sys::socket::{setsockopt, sockopt};
use testbed::{
    Wire,
    frames::{UDP, arp, ethernet, ipv4, ipv6, udp},
};

use crate::{
    host::Container,
    members::{Members, same},
    rig::NETWORK,
};

const BROADCAST: [u8; 6] = [0xff; 6];
const MDNS4: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);
const MDNS6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0xfb);
const DEADLINE: Duration = Duration::from_secs(5);

/// Each sender, and everybody else in its network. A host's own endpoint is one station on all hosts.
pub(crate) const SENDERS: [(&str, &[&str]); 5] = [
    ("near", &["beside", "far", "away", "gateway a", "gateway b", "gateway c"]),
    ("far", &["near", "beside", "away", "gateway a", "gateway b", "gateway c"]),
    ("away", &["near", "beside", "far", "gateway a", "gateway b", "gateway c"]),
    ("gateway a", &["near", "beside", "far", "away"]),
    ("gateway c", &["near", "beside", "far", "away"]),
];

/// The addresses of a place, the second as a link-local one.
fn addresses(mac: [u8; 6]) -> ([u8; 4], [u8; 16]) {
    ([10, 0, 0, mac[5]], addr6::link_local(MacAddr(mac)))
}

#[test]
fn every_other_member_gets_a_frame_once() -> Result<()> {
    let members = Members::new()?;
    let taps = members.taps()?;
    for (from, receivers) in SENDERS {
        let mac = members.mac(from);
        let (own, own6) = addresses(mac);
        let most = vec![0x5a; members.rig.setup.inner_mtu() as usize - 28];
        let large = ipv4(own, [255; 4], 0, UDP, &udp(9, 9, &most));
        let four = |to| ipv4(own, to, 0, UDP, &udp(9, 9, b"to all of you"));
        let six = ipv6(own6, MDNS6.octets(), 0, UDP, &udp(9, 9, b"to all of you"));
        let frames = [
            same("broadcast", ethernet(BROADCAST, mac, 0x0800, &four([255; 4]))),
            same("the largest broadcast", ethernet(BROADCAST, mac, 0x0800, &large)),
            same(
                "multicast",
                ethernet([1, 0, 0x5e, 0, 0, 0xfb], mac, 0x0800, &four(MDNS4.octets())),
            ),
            same("multicast over IPv6", ethernet([0x33, 0x33, 0, 0, 0, 0xfb], mac, 0x86dd, &six)),
            same("ARP announcement", arp(1, (mac, own), ([0; 6], own))),
        ];
        taps.arrive(from, &frames, receivers)?;
    }
    Ok(())
}

#[test]
fn groups_that_bridges_keep_to_themselves_reach_nobody() -> Result<()> {
    let members = Members::new()?;
    let taps = members.taps()?;
    let frame = |last| {
        let group = [1, 0x80, 0xc2, 0, 0, last];
        same(format!("group {last}"), ethernet(group, members.mac("near"), 0x88cc, &[0x5a; 50]))
    };
    taps.arrive("near", &[0, 2, 3, 0x0e, 0x0f].map(frame), &[])
}

/// The place of one that has left stays empty; the others get what they got before.
#[test]
fn a_hole_in_the_list_hurts_nobody() -> Result<()> {
    let mut members = Members::new()?;
    members.rig.a.leaves(NETWORK, 1)?;
    let taps = members.taps()?;
    let mac = members.mac("far");
    let frame = ethernet(BROADCAST, mac, 0x0800, &ipv4([10, 0, 0, 21], [255; 4], 0, UDP, &[0; 8]));
    let receivers = ["beside", "away", "gateway a", "gateway b", "gateway c"];
    taps.arrive("far", &[same("broadcast", frame)], &receivers)
}

/// A socket of a container, bound to its device, for what is sent to all.
fn server(container: &Container, port: u16) -> Result<UdpSocket> {
    container.netns.within(|| {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port))?;
        socket.set_broadcast(true)?;
        socket.set_read_timeout(Some(DEADLINE))?;
        setsockopt(&socket, sockopt::BindToDevice, &"eth0".into())?;
        Ok(socket)
    })
}

/// A client without an address asks, and a server behind another host answers (RFC 2131 section 3.1).
#[test]
fn a_client_without_an_address_finds_a_server_elsewhere() -> Result<()> {
    let members = Members::new()?;
    let server = server(&members.away, 67)?;
    let wire = Wire::tap(&members.rig.near.netns, "eth0")?;
    let discover = ipv4([0; 4], [255; 4], 0, UDP, &udp(68, 67, b"DISCOVER"));
    wire.send(&ethernet(BROADCAST, members.mac("near"), 0x0800, &discover))?;
    let mut buffer = [0; 100];
    let length = server.recv(&mut buffer).context("the server hears nothing")?;
    ensure!(&buffer[..length] == b"DISCOVER", "{:?}", &buffer[..length]);

    server.send_to(b"OFFER", (Ipv4Addr::BROADCAST, 68))?;
    let head = [&BROADCAST[..], &members.mac("away"), &[8, 0]].concat();
    let frames = wire.receive(Duration::from_millis(500))?;
    let offers =
        frames.iter().filter(|frame| frame.starts_with(&head) && frame.ends_with(b"OFFER"));
    ensure!(offers.count() == 1, "{frames:02x?}");
    Ok(())
}

/// Sockets that join a group hear what is sent to it, here and elsewhere (RFC 6762 section 3).
#[test]
fn who_joins_a_group_hears_it() -> Result<()> {
    let members = Members::new()?;
    let near = &members.rig.near;
    let speaker = near.netns.within(|| Ok(UdpSocket::bind((near.station.ip(), 0))?))?;
    let speaker6 = near.netns.within(|| Ok(UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0))?))?;
    let listeners = [&members.rig.beside, &members.rig.far, &members.away];
    let mut ears = Vec::new();
    for listener in listeners {
        ears.push(listener.netns.within(|| {
            let own = Ipv4Addr::from(listener.station.address);
            let four = UdpSocket::bind((MDNS4, 5353))?;
            four.join_multicast_v4(&MDNS4, &own)?;
            let device = nix::net::if_::if_nametoindex("eth0")?;
            let six = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 5354))?;
            six.join_multicast_v6(&MDNS6, device)?;
            Ok([four, six])
        })?);
    }
    near.netns.ip(["route add 224.0.0.0/4 dev eth0"])?;
    let scope = near.netns.within(|| Ok(nix::net::if_::if_nametoindex("eth0")?))?;
    speaker.send_to(b"over IPv4", (MDNS4, 5353))?;
    let group = std::net::SocketAddrV6::new(MDNS6, 5354, 0, scope);
    // The link-local address may not be sure yet.
    testbed::eventually("it has an address", DEADLINE, || {
        Ok(speaker6.send_to(b"over IPv6", group).map(drop)?)
    })?;
    for pair in ears {
        for (socket, expected) in pair.iter().zip([&b"over IPv4"[..], b"over IPv6"]) {
            socket.set_read_timeout(Some(DEADLINE))?;
            let mut buffer = [0; 100];
            let length = socket.recv(&mut buffer).context("a listener hears nothing")?;
            ensure!(&buffer[..length] == expected, "{:?}", &buffer[..length]);
        }
    }
    Ok(())
}

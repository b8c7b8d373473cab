//! What stations send.

use std::net::Ipv4Addr;

use testbed::{
    frames::{arp, ethernet},
    random::Random,
};

use super::{
    discovery,
    ip::{ipv4, ipv6},
};
use crate::world::{
    GATEWAY, Ip4, Ip6, LOCAL4, LOCAL6, Mac, NEAR, Station, World, underlay4, underlay6,
};

/// One who sends, and its network.
pub(crate) struct Sender {
    pub(crate) vni: u32,
    pub(crate) station: Station,
}

/// Whom a frame is for. Most often the three belong together.
pub(super) struct Target {
    pub(super) mac: Mac,
    pub(super) ip4: Ip4,
    pub(super) ip6: Ip6,
}

pub(super) fn from_container(random: &Random, world: &World, device: u32) -> Vec<u8> {
    let sender = match world.ports.get(&device) {
        Some(endpoint) => Sender { vni: endpoint.vni, station: endpoint.station },
        None => Sender { vni: 4097, station: NEAR },
    };
    frame(random, world, &sender)
}

/// A frame of the sender, or nearly.
pub(super) fn frame(random: &Random, world: &World, sender: &Sender) -> Vec<u8> {
    let own = sender.station;
    let from = if random.percent(97) { own.mac } else { any_mac(random, world) };
    let target = target(random, world, sender.vni);
    match random.below(40) {
        0..14 => {
            let source = match random.below(30) {
                0 => [0; 4],
                1 => any_ip4(random, world),
                2 => host4(random),
                _ => own.ip4,
            };
            ethernet(target.mac, from, 0x0800, &ipv4(random, source, target.ip4))
        }
        14..26 => {
            let source = match random.below(30) {
                0 => [0; 16],
                1 => any_ip6(random, world),
                2 => host6(random),
                3..9 => own.link_local(),
                _ => own.ip6,
            };
            ethernet(target.mac, from, 0x86dd, &ipv6(random, source, target.ip6))
        }
        26..32 => discovery::frame(random, world, own, from, &target),
        32..37 => resolution(random, world, own, from, &target),
        37 => {
            // A tagged frame, whatever is in it.
            let inside = ethernet(target.mac, from, 0x0800, &ipv4(random, own.ip4, target.ip4));
            // VLAN 0 is none.
            let vlan = random.pick(&[[0, 0], [0x60, 0], [0, 1], random.bytes()]);
            let tag = [&[0x81, 0][..], &vlan].concat();
            let tags = if random.percent(30) { [&tag[..], &[0x81, 0, 0, 0]].concat() } else { tag };
            [&inside[..12], &tags, &inside[12..]].concat()
        }
        _ => {
            let ether_type = random.pick(&[0x88a8, 0x8847, 0x0026, 0x88cc, 0x0801, 0x8100, 0]);
            ethernet(target.mac, from, ether_type, &random.bytes::<50>())
        }
    }
}

/// ARP.
fn resolution(random: &Random, world: &World, own: Station, from: Mac, target: &Target) -> Vec<u8> {
    let operation = random.pick(&[1, 1, 1, 1, 2, 2, 3, 0, 0x0101]);
    let mac = if random.percent(95) { from } else { any_mac(random, world) };
    let source = match random.below(10) {
        0 => [0; 4],
        1 => any_ip4(random, world),
        _ => own.ip4,
    };
    let asked = match random.below(10) {
        0 => source,
        1 => any_ip4(random, world),
        2 => own.ip4,
        _ => target.ip4,
    };
    let mut frame = arp(operation, (mac, source), (target.mac, asked));
    frame[6..12].copy_from_slice(&from);
    if random.percent(50) {
        frame.resize(60, 0);
    }
    frame
}

fn target(random: &Random, world: &World, vni: u32) -> Target {
    let known = any_station(random, world, vni);
    let whole = Target { mac: known.mac, ip4: known.ip4, ip6: known.ip6 };
    match random.below(24) {
        // For the router, from another subnet.
        20.. => Target { mac: GATEWAY.mac, ..whole },
        0 => Target { mac: any_mac(random, world), ..whole },
        1 => Target { ip4: any_ip4(random, world), ip6: any_ip6(random, world), ..whole },
        // Its station has another MAC than it had.
        2 => Target { mac: [2, 9, 9, 9, 9, 9], ..whole },
        3 => Target { mac: [2, 9, 9, 9, 9, 9], ip6: known.link_local(), ..whole },
        4 => Target { ip6: known.link_local(), ..whole },
        5 => Target { mac: [0xff; 6], ip4: [255; 4], ip6: known.ip6 },
        6 => Target { mac: [1, 0, 0x5e, 0, 0, 0xfb], ip4: [224, 0, 0, 251], ip6: group(0xfb) },
        7 => Target { mac: [0x33, 0x33, 0, 0, 0, 1], ip6: group(1), ..whole },
        8 => Target { mac: [1, 0x80, 0xc2, 0, 0, random.byte() % 32], ..whole },
        _ => whole,
    }
}

/// The tunnel address of this host or another.
fn host4(random: &Random) -> Ip4 {
    random.pick(&[LOCAL4, underlay4(2)])
}

/// The same of IPv6, or another's of IPv4 in the form of IPv6.
fn host6(random: &Random) -> Ip6 {
    random.pick(&[LOCAL6, underlay6(4), mapped(underlay4(2))])
}

/// An IPv4 address in the form of an IPv6 address.
pub(super) fn mapped(address: Ip4) -> Ip6 {
    Ipv4Addr::from_octets(address).to_ipv6_mapped().octets()
}

/// `ff02::<last>`.
fn group(last: u8) -> Ip6 {
    [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last]
}

/// One that is known in the network.
pub(super) fn any_station(random: &Random, world: &World, vni: u32) -> Station {
    let known: Vec<_> = world.neighbours4.iter().filter(|((net, _), _)| *net == vni).collect();
    let ((_, ip4), mac) = random.pick(&known);
    let ip6 = world.neighbours6.iter().find(|((net, _), own)| *net == vni && *own == mac);
    let ((_, ip6), _) = ip6.expect("who has an IPv4 address has an IPv6 address");
    Station { mac: *mac, ip4: *ip4, ip6: *ip6 }
}

/// A known or an unknown one.
pub(super) fn any_mac(random: &Random, world: &World) -> Mac {
    match random.below(4) {
        0 => random.bytes(),
        1 => random.pick(&[[0; 6], [0xff; 6], [0x33, 0x33, 0, 0, 0, 1]]),
        _ => any_station(random, world, 4097).mac,
    }
}

fn any_ip4(random: &Random, world: &World) -> Ip4 {
    match random.below(4) {
        0 => random.bytes(),
        1 => random.pick(&[[0; 4], [255; 4], [10, 0, 0, 255], [224, 0, 0, 1], [127, 0, 0, 1]]),
        _ => any_station(random, world, 4097).ip4,
    }
}

pub(super) fn any_ip6(random: &Random, world: &World) -> Ip6 {
    match random.below(5) {
        0 => random.bytes(),
        1 => random.pick(&[[0; 16], [0xff; 16], group(1), group(2)]),
        2 => {
            let mac = any_mac(random, world);
            Station { mac, ip4: [0; 4], ip6: [0; 16] }.link_local()
        }
        _ => any_station(random, world, 4097).ip6,
    }
}

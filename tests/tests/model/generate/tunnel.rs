//! What hosts send to each other.

use std::net::IpAddr;

use testbed::{
    frames::{TCP, UDP, checksum, ethernet, ipv4, udp, vxlan},
    random::Random,
};

use super::frames::{Sender, any_station, frame, mapped};
use crate::world::{HOST_B, HOST_C, HOST_D, LOCAL4, LOCAL6, Place, UNDERLAY_MAC, World, underlay4};

const ROUTER: [u8; 6] = [2, 0, 0, 0, 1, 1];

/// A frame in a tunnel from one of the hosts, or nearly.
pub(super) fn from_underlay(random: &Random, world: &World) -> Vec<u8> {
    let (sender, host) = sender(random, world);
    let vni = match random.below(20) {
        0 => random.pick(&[4097, 4098, 4099, 0, 0xff_ffff]),
        _ => sender.vni,
    };
    let frame = tunnelled_frame(random, world, &sender);
    let datagram = datagram(random, world, vni, &frame);
    let host = if random.percent(94) { host } else { random.pick(&[HOST_B, HOST_C, HOST_D]) };
    let (ether_type, packet) = match host {
        IpAddr::V4(host) => (0x0800, over_ipv4(random, world, host.octets(), &datagram)),
        IpAddr::V6(host) => (0x86dd, over_ipv6(random, world, host.octets(), &datagram)),
    };
    let station = match random.below(50) {
        0 => ROUTER,
        1 => [0xff; 6],
        _ => UNDERLAY_MAC,
    };
    let other = random.pick(&[0x86dd, 0x0800, 0x8100, 0x0806]);
    ethernet(station, ROUTER, if random.percent(98) { ether_type } else { other }, &packet)
}

/// A frame of the sender, most often for a station of this host, and whole.
pub(crate) fn tunnelled_frame(random: &Random, world: &World, sender: &Sender) -> Vec<u8> {
    let mut frame = frame(random, world, sender);
    if frame[0].is_multiple_of(2) && random.percent(60) {
        frame[..6].copy_from_slice(&[2, 0, 0, 0, 0, random.pick(&[0x11, 0x12, 0x13, 1])]);
    }
    if random.percent(5) {
        frame.truncate(random.below(frame.len()));
    }
    frame
}

fn datagram(random: &Random, world: &World, vni: u32, frame: &[u8]) -> Vec<u8> {
    let mut tunnelled = vxlan(vni, frame);
    if random.percent(10) {
        // Reserved bits.
        tunnelled[1..4].copy_from_slice(&random.bytes::<3>());
        tunnelled[7] = random.byte();
        tunnelled[0] = random.pick(&[8, 0xff, 0x88, 0x0c, 0xf7, 0]);
    }
    if vni == 0 {
        // A probe, or nearly.
        tunnelled[7] = random.pick(&[0, 1, 2, 3, 4]);
    }
    if random.percent(3) {
        tunnelled.truncate(random.below(9));
    }
    let port = if random.percent(97) { world.vxlan_port } else { random.word() };
    let mut datagram = udp(random.word(), port, &tunnelled);
    if random.percent(6) {
        // Another length than the packet's.
        let length = u16::try_from(datagram.len()).expect("a short datagram");
        let more = u16::try_from(random.below(20)).expect("small");
        let length = match random.below(3) {
            0 => length.saturating_sub(1 + more),
            1 => length + 1 + more,
            _ => random.word(),
        };
        datagram[4..6].copy_from_slice(&length.to_be_bytes());
    }
    if random.percent(3) {
        datagram[6..8].copy_from_slice(&random.bytes::<2>());
    }
    datagram
}

fn over_ipv4(random: &Random, world: &World, host: [u8; 4], datagram: &[u8]) -> Vec<u8> {
    let from = if random.percent(97) { host } else { random.pick(&[LOCAL4, random.bytes()]) };
    let own = world.local.ip4.unwrap_or_default();
    let to = if random.percent(97) { own } else { random.pick(&[host, random.bytes()]) };
    let protocol = if random.percent(98) { UDP } else { random.pick(&[TCP, 1, 47]) };
    let mut packet = ipv4(from, to, tos(random), protocol, datagram);
    match random.below(50) {
        // "More fragments", or an offset.
        0 => packet[6] |= 0x20,
        1 => packet[7] = 1 + random.byte() / 2,
        2 => packet[6] |= random.byte(),
        3 => packet[0] = random.pick(&[0x46, 0x44, 0x40, 0x65, 0x55]),
        // Another length than what is there.
        4 => packet[2..4].copy_from_slice(&random.bytes::<2>()),
        5 => packet[2..4].copy_from_slice(&[0; 2]),
        6 => packet.extend(random.bytes::<9>()),
        _ => {}
    }
    packet[10..12].fill(0);
    let sum = if random.percent(98) { checksum(&packet[..20]) } else { random.bytes() };
    packet.splice(10..12, sum);
    packet
}

fn over_ipv6(random: &Random, world: &World, host: [u8; 16], datagram: &[u8]) -> Vec<u8> {
    let from = if random.percent(97) {
        host
    } else {
        random.pick(&[LOCAL6, random.bytes(), mapped(underlay4(2))])
    };
    let own = world.local.ip6.unwrap_or_default();
    let to = if random.percent(97) { own } else { random.pick(&[host, random.bytes()]) };
    let next = if random.percent(98) { UDP } else { random.pick(&[TCP, 0, 44, 60]) };
    let length = u16::try_from(datagram.len()).expect("a short datagram").to_be_bytes();
    let tos = tos(random);
    let class = [0x60 + tos / 16, tos % 16 * 16 + random.byte() % 16, random.byte(), random.byte()];
    let start = [&class[..], &length, &[next, 64], &from, &to].concat();
    let mut packet = [&start[..], datagram].concat();
    match random.below(50) {
        0 => packet[0] = random.pick(&[0x45, 0x50, 0x70, 0]),
        // Another length than what is there.
        1 => packet[4..6].copy_from_slice(&random.bytes::<2>()),
        2 => packet[4..6].copy_from_slice(&[0; 2]),
        3 => packet.extend(random.bytes::<9>()),
        _ => {}
    }
    packet
}

fn tos(random: &Random) -> u8 {
    random.pick(&[0, 0, 1, 2, 2, 3, 3, 0xb8, 0xbb, random.byte()])
}

/// One behind another host, most often, and that host.
pub(crate) fn sender(random: &Random, world: &World) -> (Sender, IpAddr) {
    loop {
        let vni = random.pick(&[4097, 4098]);
        let station = any_station(random, world, vni);
        let host = match world.stations.get(&(vni, station.mac)) {
            Some(Place::Remote(index)) => world.hosts.get(index).map(|host| host.address),
            Some(Place::Host(_)) => Some(random.pick(&[HOST_B, HOST_C, HOST_D])),
            Some(Place::Container(_) | Place::Bridging(_)) | None => None,
        };
        // What is forged comes from here.
        let host = host.or_else(|| random.percent(15).then_some(HOST_B));
        if let Some(host) = host {
            return (Sender { vni, station }, host);
        }
    }
}

//! What hosts send to each other.

use testbed::frames::{TCP, UDP, ethernet, ipv4, udp, vxlan};

use super::frames::{Sender, frame};
use crate::{
    random::Random,
    world::{DEVICE_MAC, HOST_A, HOST_B, HOST_C, Ip4, NEAR, Place, World},
};

const ROUTER: [u8; 6] = [2, 0, 0, 0, 1, 1];

/// A frame in a tunnel from one of the hosts, or nearly.
pub(super) fn from_underlay(random: &Random, world: &World) -> Vec<u8> {
    let (sender, host) = sender(random, world);
    let vni = match random.below(20) {
        0 => random.pick(&[4097, 4098, 4099, 0, 0xff_ffff]),
        _ => sender.vni,
    };
    let mut frame = frame(random, world, &sender);
    if random.percent(5) {
        frame.truncate(random.below(frame.len()));
    }
    let mut tunnelled = vxlan(vni, &frame);
    // Reserved bits.
    if random.percent(10) {
        tunnelled[1..4].copy_from_slice(&random.bytes::<3>());
        tunnelled[7] = random.byte();
    }
    if random.percent(10) {
        tunnelled[0] = random.pick(&[0xff, 0x88, 0x0c, 0xf7, 0]);
    }
    if random.percent(3) {
        tunnelled.truncate(random.below(9));
    }

    let port = if random.percent(97) { world.vxlan_port } else { random.word() };
    let mut datagram = udp(random.word(), port, &tunnelled);
    if random.percent(6) {
        // Another length than the packet's.
        let length = u16::try_from(datagram.len()).expect("a short datagram");
        let length = match random.below(3) {
            0 => length - 1 - u16::try_from(random.below(20)).expect("small").min(length - 1),
            1 => length + 1 + u16::try_from(random.below(20)).expect("small"),
            _ => random.word(),
        };
        datagram[4..6].copy_from_slice(&length.to_be_bytes());
    }
    if random.percent(3) {
        datagram[6..8].copy_from_slice(&random.bytes::<2>());
    }

    let from = if random.percent(94) {
        host
    } else {
        random.pick(&[HOST_B, HOST_C, HOST_A, random.bytes()])
    };
    let to = if random.percent(97) { world.local4 } else { random.pick(&[HOST_B, random.bytes()]) };
    let tos = random.pick(&[0, 0, 1, 2, 2, 3, 3, 0xb8, 0xbb, random.byte()]);
    let protocol = if random.percent(98) { UDP } else { random.pick(&[TCP, 1, 47]) };
    let mut packet = ipv4(from, to, tos, protocol, &datagram);
    match random.below(40) {
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
    let station = if random.percent(97) { DEVICE_MAC } else { random.pick(&[ROUTER, [0xff; 6]]) };
    let ether_type =
        if random.percent(97) { 0x0800 } else { random.pick(&[0x86dd, 0x8100, 0x0806]) };
    ethernet(station, ROUTER, ether_type, &packet)
}

/// One behind another host, most often, and that host.
fn sender(random: &Random, world: &World) -> (Sender, Ip4) {
    let neighbours: Vec<_> = world.neighbours4.iter().collect();
    let ((vni, address), mac) = random.pick(&neighbours);
    let (vni, address, mac) = (*vni, *address, *mac);
    let host = match world.stations.get(&(vni, mac)) {
        Some(Place::Remote(index)) => world.hosts.get(index).map(|host| host.address),
        Some(Place::Host(_)) => Some(random.pick(&[HOST_B, HOST_C])),
        Some(Place::Container(_)) | None => None,
    };
    match host {
        Some(host) => (Sender { vni, mac, address }, host),
        // Forged; not so often.
        None if random.percent(20) => (Sender { vni, mac, address }, HOST_B),
        None => {
            let home = if world.stations.get(&(4097, NEAR.0)) == Some(&Place::Remote(5)) {
                4097
            } else {
                4098
            };
            (Sender { vni: home, mac: NEAR.0, address: NEAR.1 }, HOST_C)
        }
    }
}

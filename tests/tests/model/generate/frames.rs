//! What stations send.

use testbed::frames::{TCP, UDP, arp, checksum, ethernet, udp};

use crate::{
    random::Random,
    world::{DEVICE, Ip4, Mac, NEAR, World},
};

/// One who sends: its network, and what it calls itself.
pub(super) struct Sender {
    pub(super) vni: u32,
    pub(super) mac: Mac,
    pub(super) address: Ip4,
}

pub(super) fn from_container(random: &Random, world: &World) -> Vec<u8> {
    let sender = match world.ports.get(&DEVICE) {
        Some(endpoint) => Sender {
            vni: endpoint.vni,
            mac: endpoint.mac,
            address: random.pick(&endpoint.addresses4),
        },
        None => Sender { vni: 4097, mac: NEAR.0, address: NEAR.1 },
    };
    frame(random, world, &sender)
}

/// A frame of the sender, or nearly.
pub(super) fn frame(random: &Random, world: &World, sender: &Sender) -> Vec<u8> {
    let from = if random.percent(96) { sender.mac } else { any_mac(random, world) };
    let (to, address) = destination(random, world, sender.vni);
    match random.below(20) {
        0..13 => {
            let source =
                if random.percent(95) { sender.address } else { any_address(random, world) };
            ethernet(to, from, 0x0800, &ipv4(random, source, address))
        }
        13..16 => {
            let operation = random.pick(&[1, 1, 1, 1, 2, 3, 0, 0x0101]);
            let mac = if random.percent(95) { from } else { any_mac(random, world) };
            let source = match random.below(10) {
                0 => [0; 4],
                1 => any_address(random, world),
                _ => sender.address,
            };
            let target = if random.percent(15) { source } else { address };
            let mut frame = arp(operation, (mac, source), (to, target));
            frame[6..12].copy_from_slice(&from);
            if random.percent(50) {
                frame.resize(60, 0);
            }
            frame
        }
        16..18 => {
            let mut packet = [&[0x60, 0, 0, 0, 0, 8, UDP, 64][..], &random.bytes::<32>()].concat();
            packet.extend(udp(1, 2, b""));
            ethernet(to, from, 0x86dd, &packet)
        }
        _ => {
            let ether_type = random.pick(&[0x8100, 0x88a8, 0x8847, 0x0026, 0x88cc, 0x0801, 0]);
            ethernet(to, from, ether_type, &random.bytes::<50>())
        }
    }
}

/// A station and an address, most often one that has the other.
fn destination(random: &Random, world: &World, vni: u32) -> (Mac, Ip4) {
    let stations: Vec<_> = world.neighbours4.iter().filter(|((net, _), _)| *net == vni).collect();
    let ((_, address), mac) = if stations.is_empty() {
        ((0, NEAR.1), NEAR.0)
    } else {
        let (key, mac) = random.pick(&stations);
        (*key, *mac)
    };
    match random.below(20) {
        0 => (any_mac(random, world), address),
        1 => (mac, any_address(random, world)),
        2 => ([0xff; 6], [255; 4]),
        3 => ([1, 0, 0x5e, 0, 0, 0xfb], [224, 0, 0, 251]),
        // Its station has another MAC than it had.
        4 => ([2, 9, 9, 9, 9, 9], address),
        _ => (mac, address),
    }
}

/// A known or an unknown one.
fn any_mac(random: &Random, world: &World) -> Mac {
    let known: Vec<_> = world.stations.keys().map(|(_, mac)| *mac).collect();
    let unknown = random.bytes();
    match random.below(4) {
        0 => unknown,
        1 => random.pick(&[[0; 6], [0xff; 6], [0x33, 0x33, 0, 0, 0, 1]]),
        _ => random.pick(&known),
    }
}

fn any_address(random: &Random, world: &World) -> Ip4 {
    let known: Vec<_> = world.neighbours4.keys().map(|(_, address)| *address).collect();
    let unknown = random.bytes();
    match random.below(4) {
        0 => unknown,
        1 => random.pick(&[[0; 4], [255; 4], [10, 0, 0, 255], [224, 0, 0, 1], [127, 0, 0, 1]]),
        _ => random.pick(&known),
    }
}

/// A packet of any protocol and of a length that is short, long, or near the limits; sometimes with options, a part of
/// another, or with fields that say what is not so.
fn ipv4(random: &Random, from: Ip4, to: Ip4) -> Vec<u8> {
    let protocol = random.pick(&[TCP, TCP, TCP, UDP, UDP, UDP, 1, 132, 2, 47, random.byte()]);
    let payload = match random.below(8) {
        0 => 1420 + random.below(20),
        1 => 1400 + random.below(20),
        2 => 570 + random.below(20),
        3 => 1250 + random.below(20),
        4 => random.below(3000),
        _ => random.below(64),
    };
    let payload: Vec<u8> = (0..payload).map(|_| random.byte()).collect();
    let options = if random.percent(8) { 4 * (1 + random.below(10)) } else { 0 };
    let total = 20 + options + payload.len();
    let total = match random.below(40) {
        0 => 0,
        1 => total + 1 + random.below(40),
        2 => random.below(total),
        _ => total,
    };
    let total = u16::try_from(total).expect("a short packet").to_be_bytes();
    let flags = match random.below(20) {
        0 => random.pick(&[0x20, 0x60, 0x80, 0x3f]),
        1..10 => 0,
        _ => 0x40,
    };
    let tos = random.pick(&[0, 0, 1, 2, 2, 3, 0xb8, 0xb9, random.byte()]);
    let version_length = 0x45 + u8::try_from(options / 4).expect("at most ten words");
    let identification = random.word().to_be_bytes();
    let offset = if random.percent(4) { random.byte() } else { 0 };
    let mut header = vec![version_length, tos, total[0], total[1]];
    header.extend(identification);
    header.extend([flags, offset, random.pick(&[64, 64, 1, 0]), protocol, 0, 0]);
    header.extend(from);
    header.extend(to);
    header.extend((0..options).map(|_| random.pick(&[0, 1, 0x94, 0x83])));
    let sum = if random.percent(95) { checksum(&header) } else { random.bytes() };
    header.splice(10..12, sum);
    let padding = if random.percent(10) { random.below(30) } else { 0 };
    [header, payload, vec![0; padding]].concat()
}

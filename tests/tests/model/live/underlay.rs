//! What other hosts send: the kernel does what the fast path leaves to it, and its vxlan device gives it back.

use std::net::IpAddr;

use anyhow::Result;
use netctl_common::{Direction, Outcome, config};
use testbed::{
    frames::{UDP, checksum, ethernet, ipv4, udp, vxlan},
    random::Random,
};

use super::{Expected, delivered, run};
use crate::{
    generate,
    path::{self, Answer, Input, tunnel::Tunnelled},
    place,
    world::{LOCAL4, LOCAL6, UNDERLAY, UNDERLAY_MAC, VXLAN, World},
};

const ROUTER: [u8; 6] = [2, 0, 0, 0, 5, 6];

#[test]
fn what_comes_by_the_underlay_goes_as_the_model_says() -> Result<()> {
    let programs =
        [(config::FROM_UNDERLAY, place::name(UNDERLAY)), (config::FROM_TUNNEL, place::name(VXLAN))];
    let tally = run(&programs, |random, world| {
        let (tunnelled, packets) = packet(random, world);
        let expected = expected(world, &tunnelled, &packets);
        (UNDERLAY, packets, expected)
    })?;
    for verdict in ["to-container", "to-host", "flooded", "not-local", "inner-source"] {
        let ended = |(direction, outcome): &(Direction, Outcome)| {
            *direction == Direction::FromTunnel && outcome.as_str() == verdict
        };
        let packets: u64 =
            tally.iter().filter(|(key, _)| ended(key)).map(|(_, counted)| counted.0).sum();
        assert!(packets >= 5, "only {packets} packets ended {verdict}");
    }
    Ok(())
}

/// What becomes of the packets of one frame.
fn expected(world: &World, tunnelled: &Tunnelled, packets: &[Vec<u8>]) -> Expected {
    let input = Input { device: UNDERLAY, bytes: packets[0].clone(), segment: 0 };
    let first = path::answer(world, Direction::FromUnderlay, &input);
    let mut counted = vec![(Direction::FromUnderlay, first.outcome())];
    // What the program does not take for its own, the kernel does here.
    let copies = match (&first, path::tunnel::received(tunnelled)) {
        (Answer::Pass(_) | Answer::NotOurs, Some(received)) => {
            let second = path::tunnel::answer(world, tunnelled, &received);
            counted.push((Direction::FromTunnel, second.outcome()));
            delivered(world, tunnelled.vni, &second)
        }
        _ => delivered(world, tunnelled.vni, &first),
    };
    Expected { counted, copies }
}

/// A frame in a tunnel whose outer headers are right, with a checksum or without; and the packet, sometimes in two
/// parts, or with headers that only the kernel looks behind.
fn packet(random: &Random, world: &World) -> (Tunnelled, Vec<Vec<u8>>) {
    let (sender, host) = generate::sender(random, world);
    let frame = generate::tunnelled_frame(random, world, &sender);
    // Behind a VLAN tag the kernel would look for marks in the wrong place.
    let plain = matches!(frame.get(12..14), Some([0x08, 0x00] | [0x86, 0xdd]));
    let tos = if plain { random.pick(&[0, 0, 1, 2, 3, 0xb8]) } else { 0 };
    let datagram = udp(50_000, world.vxlan_port, &vxlan(sender.vni, &frame));
    let checked = random.percent(25);
    let packets = match host {
        IpAddr::V4(host) => {
            let datagram = with_checksum(datagram, &host.octets(), &LOCAL4, checked);
            over_ipv4(random, host.octets(), tos, &datagram)
        }
        IpAddr::V6(host) => {
            let datagram = with_checksum(datagram, &host.octets(), &LOCAL6, checked);
            vec![over_ipv6(random, host.octets(), tos, &datagram)]
        }
    };
    (Tunnelled { vni: sender.vni, host, tos, frame }, packets)
}

fn over_ipv4(random: &Random, host: [u8; 4], tos: u8, datagram: &[u8]) -> Vec<Vec<u8>> {
    let packet = |fragment: [u8; 4], options: usize, payload: &[u8]| {
        let rest = [&vec![1; options][..], payload].concat();
        let mut packet = ipv4(host, LOCAL4, tos, UDP, &rest);
        packet[0] += u8::try_from(options / 4).expect("few");
        packet.splice(4..8, fragment);
        packet.splice(10..12, [0; 2]);
        let sum = checksum(&packet[..20 + options]);
        packet.splice(10..12, sum);
        ethernet(UNDERLAY_MAC, ROUTER, 0x0800, &packet)
    };
    match random.below(20) {
        0 => vec![packet([0; 4], 4 * (1 + random.below(3)), datagram)],
        1 if datagram.len() > 24 => {
            let [a, b] = random.bytes();
            let (first, second) = datagram.split_at(24);
            vec![packet([a, b, 0x20, 0], 0, first), packet([a, b, 0, 3], 0, second)]
        }
        _ => vec![packet([0, 0, 0x40, 0], 0, datagram)],
    }
}

fn over_ipv6(random: &Random, host: [u8; 16], tos: u8, datagram: &[u8]) -> Vec<u8> {
    let (next, extension) = match random.below(20) {
        // Destination options: padding.
        0 => (60, vec![UDP, 0, 1, 4, 0, 0, 0, 0]),
        _ => (UDP, Vec::new()),
    };
    let length = u16::try_from(extension.len() + datagram.len()).expect("short").to_be_bytes();
    let start = [0x60 + tos / 16, tos % 16 * 16, 0, 0, length[0], length[1], next, 64];
    let packet = [&start[..], &host, &LOCAL6, &extension, datagram].concat();
    ethernet(UNDERLAY_MAC, ROUTER, 0x86dd, &packet)
}

fn with_checksum(mut datagram: Vec<u8>, from: &[u8], to: &[u8], checked: bool) -> Vec<u8> {
    if checked {
        let length = u16::try_from(datagram.len()).expect("a short datagram").to_be_bytes();
        let mut covered = [from, to, &[0, UDP], &length, &datagram].concat();
        covered.resize(covered.len().next_multiple_of(2), 0);
        let sum = match checksum(&covered) {
            [0, 0] => [0xff; 2],
            sum => sum,
        };
        datagram.splice(6..8, sum);
    }
    datagram
}

//! Packets that really come by the underlay: what the fast path leaves to the kernel's vxlan device comes back from it,
//! and what is delivered is seen where it comes out.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use netctl_common::{Direction, Outcome, config};
use testbed::frames::{UDP, checksum, ethernet, ipv4, udp, vxlan};

use crate::{
    counters::Counters,
    generate, hex, list,
    path::{self, Answer, Copy, Input, Sent, tunnel::Tunnelled},
    place::{self, Place},
    programs::Programs,
    random::Random,
    seed,
    world::{LOCAL4, LOCAL6, Place as Station, UNDERLAY, UNDERLAY_MAC, World},
};

const WORLDS: usize = 50;
const PACKETS: usize = 200;
/// How long a packet may take to be counted. It is counted at once, unless the machine is busy.
const PATIENCE: Duration = Duration::from_secs(5);
const ROUTER: [u8; 6] = [2, 0, 0, 0, 5, 6];

#[test]
fn what_comes_by_the_underlay_goes_as_the_model_says() -> Result<()> {
    let seed = seed()?;
    println!("MODEL_SEED={seed:#x}");
    let place = Place::new()?;
    let tally = place.host.within(|| run(&place, seed))?;
    place.end()?;
    for ((direction, outcome), (packets, _)) in &tally {
        println!("{packets:8} {} {}", direction.as_str(), outcome.as_str());
    }
    for verdict in ["to-container", "to-host", "flooded", "not-local", "inner-source"] {
        let (_, (packets, _)) = tally
            .iter()
            .find(|((direction, outcome), _)| {
                *direction == Direction::FromTunnel && outcome.as_str() == verdict
            })
            .unwrap_or_else(|| panic!("no packet ended {verdict}"));
        assert!(*packets >= 5, "only {packets} packets ended {verdict}");
    }
    Ok(())
}

fn run(place: &Place, seed: u64) -> Result<Counters> {
    let random = Random::new(seed);
    let mut programs = Programs::load()?;
    programs.attach(config::FROM_UNDERLAY, &place::name(UNDERLAY))?;
    programs.attach(config::FROM_TUNNEL, &place::name(crate::world::VXLAN))?;
    for _ in 0..WORLDS {
        let world = World::any(&random);
        programs.know(&world)?;
        for _ in 0..PACKETS {
            let (tunnelled, packets) = packet(&random, &world);
            let difference = compare(place, &programs, &world, &tunnelled, &packets)?;
            let packets: Vec<_> = packets.iter().map(|packet| hex(packet)).collect();
            ensure!(
                difference.is_empty(),
                "MODEL_SEED={seed:#x}, {difference}\n{packets:#?}\n{world:?}"
            );
        }
    }
    programs.all_counted()
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
        1 => {
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

/// Sends the packets of one frame and says in what the programs and the model differ: nothing where they do not.
fn compare(
    place: &Place,
    programs: &Programs,
    world: &World,
    tunnelled: &Tunnelled,
    packets: &[Vec<u8>],
) -> Result<String> {
    let input = Input { device: UNDERLAY, bytes: packets[0].clone(), segment: 0 };
    let first = path::answer(world, Direction::FromUnderlay, &input);
    let mut outcomes = vec![(Direction::FromUnderlay, first.outcome())];
    let mut last = (tunnelled.frame.clone(), first.clone());
    // What the program does not take for its own, the kernel does here.
    if let Answer::Pass(_) | Answer::NotOurs = first
        && let Some(received) = path::tunnel::received(tunnelled)
    {
        let second = path::tunnel::answer(world, tunnelled, &received);
        outcomes.push((Direction::FromTunnel, second.outcome()));
        last = (received, second);
    }
    let expected: Vec<(Direction, Outcome)> = outcomes
        .into_iter()
        .filter_map(|(direction, outcome)| Some((direction, outcome?)))
        .collect();
    let before: Vec<_> = expected
        .iter()
        .map(|(direction, outcome)| programs.counted(*direction, *outcome))
        .collect::<Result<_>>()?;
    for packet in packets {
        place.send(packet)?;
    }
    let end = Instant::now() + PATIENCE;
    for ((direction, outcome), before) in expected.iter().zip(before) {
        while programs.counted(*direction, *outcome)?.0 != before.0 + 1 {
            if Instant::now() > end {
                return Ok(format!("{direction:?} did not count {outcome:?}"));
            }
        }
    }

    let copies = match &last.1 {
        Answer::Send(_, Sent::Bytes(bytes)) => {
            vec![Copy::Local(device(world, tunnelled), bytes.clone())]
        }
        Answer::Flood(copies) => copies.clone(),
        _ => Vec::new(),
    };
    let mut copies: Vec<_> = copies.into_iter().filter_map(place::as_received).collect();
    copies.sort();
    let seen = place.copies(copies.len())?;
    if copies == seen {
        Ok(String::new())
    } else {
        Ok(format!("copies {}\n    seen {}", list(&copies), list(&seen)))
    }
}

/// Where the station is that the frame is for.
fn device(world: &World, tunnelled: &Tunnelled) -> u32 {
    let to: [u8; 6] = tunnelled.frame[..6].try_into().expect("six bytes");
    match world.stations.get(&(tunnelled.vni, to)) {
        Some(Station::Container(device) | Station::Bridging(device) | Station::Host(device)) => {
            *device
        }
        other => panic!("nobody here has it: {other:?}"),
    }
}

//! IP packets of any protocol and of a length that is short, long, or near the limits; sometimes with options or
//! extension headers, a part of another packet, or with fields that say what is not so.

use testbed::{
    frames::{TCP, UDP, checksum},
    random::Random,
};

use crate::world::{Ip4, Ip6};

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const ICMPV6: u8 = 58;
const NO_NEXT_HEADER: u8 = 59;
const DESTINATION_OPTIONS: u8 = 60;

pub(super) fn ipv4(random: &Random, from: Ip4, to: Ip4) -> Vec<u8> {
    let protocol = random.pick(&[TCP, TCP, TCP, UDP, UDP, UDP, 1, 132, 2, 47, random.byte()]);
    let payload = payload(random, 20);
    let options = if random.percent(8) { 4 * (1 + random.below(10)) } else { 0 };
    let total = length(random, 20 + options + payload.len());
    let flags = match random.below(20) {
        0 => random.pick(&[0x20, 0x60, 0x80, 0x3f]),
        1..10 => 0,
        _ => 0x40,
    };
    let version_length = 0x45 + u8::try_from(options / 4).expect("at most ten words");
    let offset = if random.percent(4) { random.byte() } else { 0 };
    let ttl = random.pick(&[64, 64, 1, 0]);
    let mut header = vec![version_length, tos(random), total[0], total[1]];
    header.extend(random.bytes::<2>());
    header.extend([flags, offset, ttl, protocol, 0, 0]);
    header.extend(from);
    header.extend(to);
    header.extend((0..options).map(|_| random.pick(&[0, 1, 0x94, 0x83])));
    let sum = if random.percent(95) { checksum(&header) } else { random.bytes() };
    header.splice(10..12, sum);
    [header, payload, padding(random)].concat()
}

pub(super) fn ipv6(random: &Random, from: Ip6, to: Ip6) -> Vec<u8> {
    let last = random.pick(&[
        TCP,
        TCP,
        TCP,
        UDP,
        UDP,
        UDP,
        ICMPV6,
        ICMPV6,
        132,
        FRAGMENT,
        NO_NEXT_HEADER,
        random.byte(),
    ]);
    let (next, extensions) = extensions(random, last);
    let mut payload = payload(random, 40 + extensions.len());
    if last == ICMPV6 && !payload.is_empty() {
        payload[0] = random.pick(&[128, 129, 131, 143, 133, 134, 135, 136, 137]);
    }
    if last == NO_NEXT_HEADER && random.percent(50) {
        payload.clear();
    }
    let tos = tos(random);
    let length = length(random, extensions.len() + payload.len());
    let hops = random.pick(&[64, 64, 255, 1, 0]);
    let class = [0x60 + tos / 16, tos % 16 * 16 + random.byte() % 16, random.byte(), random.byte()];
    let start = [&class[..], &length, &[next, hops], &from, &to].concat();
    [start, extensions, payload, padding(random)].concat()
}

/// No extension headers, most often, or some; and the number of the first.
fn extensions(random: &Random, last: u8) -> (u8, Vec<u8>) {
    if random.percent(84) {
        return (last, Vec::new());
    }
    let kinds: Vec<u8> = (0..=random.below(6))
        .map(|_| random.pick(&[HOP_BY_HOP, ROUTING, FRAGMENT, DESTINATION_OPTIONS]))
        .collect();
    let mut headers = Vec::new();
    for (index, kind) in kinds.iter().enumerate() {
        let next = kinds.get(index + 1).copied().unwrap_or(last);
        if *kind == FRAGMENT {
            // The first part, or all of it, or any part.
            let offset = random.pick(&[[0, 0], [0, 1], [0, 7], [0, 8], random.bytes()]);
            headers
                .extend([[next, random.byte()], offset, random.bytes(), random.bytes()].concat());
            continue;
        }
        if kinds.len() == 1 && random.percent(50) {
            // What the kernel puts there where it has merged more than a length can say.
            headers.extend([next, 0, 0xc2, 4, 0, 1, 0, 0]);
            continue;
        }
        let more = random.pick(&[0, 0, 0, 1, 2, 31]);
        headers.extend([next, more, 1, 4 + 8 * more, 0, 0, 0, 0]);
        headers.extend(vec![0; 8 * usize::from(more)]);
    }
    (kinds[0], headers)
}

fn payload(random: &Random, headers: usize) -> Vec<u8> {
    let wanted = match random.below(10) {
        // What fits the tunnels exactly, and a little more or less.
        0..4 => {
            let fits: usize = random.pick(&[1450, 1430, 1400, 1280]) + random.below(12);
            fits.saturating_sub(headers + 6)
        }
        4 => random.below(3000),
        _ => random.below(64),
    };
    (0..wanted).map(|_| random.byte()).collect()
}

/// The length, or sometimes another.
fn length(random: &Random, length: usize) -> [u8; 2] {
    let said = match random.below(40) {
        0 => 0,
        1 => length + 1 + random.below(40),
        2 => random.below(length + 1),
        _ => length,
    };
    u16::try_from(said).expect("a short packet").to_be_bytes()
}

fn tos(random: &Random) -> u8 {
    random.pick(&[0, 0, 1, 2, 2, 3, 0xb8, 0xb9, random.byte()])
}

fn padding(random: &Random) -> Vec<u8> {
    vec![0; if random.percent(10) { random.below(30) } else { 0 }]
}

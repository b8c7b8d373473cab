//! Neighbour discovery (RFC 4861).

use testbed::{
    frames::{checksum, ethernet},
    random::Random,
};

use super::frames::{Target, any_ip6, any_mac};
use crate::world::{Ip6, Mac, Station, World};

const ROUTER_SOLICITATION: u8 = 133;
const ROUTER_ADVERTISEMENT: u8 = 134;
const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;
const REDIRECT: u8 = 137;

pub(super) fn frame(
    random: &Random,
    world: &World,
    own: Station,
    from: Mac,
    target: &Target,
) -> Vec<u8> {
    let kind = random.pick(&[
        SOLICITATION,
        SOLICITATION,
        SOLICITATION,
        SOLICITATION,
        ADVERTISEMENT,
        ADVERTISEMENT,
        ROUTER_SOLICITATION,
        ROUTER_ADVERTISEMENT,
        REDIRECT,
    ]);
    let probes = kind == SOLICITATION && random.percent(25);
    let source = match random.below(20) {
        _ if probes => [0; 16],
        0 => any_ip6(random, world),
        1..5 => own.link_local(),
        _ => own.ip6,
    };
    let asked = match (kind, random.below(20)) {
        (_, 0) => any_ip6(random, world),
        (ADVERTISEMENT, 1..3) => own.link_local(),
        (ADVERTISEMENT, _) => own.ip6,
        (_, 1) => own.ip6,
        _ => target.ip6,
    };
    let (to, mac) = match kind {
        SOLICITATION if random.percent(90) => solicited(asked),
        ADVERTISEMENT if random.percent(50) => (all(1), [0x33, 0x33, 0, 0, 0, 1]),
        ROUTER_SOLICITATION => (all(2), [0x33, 0x33, 0, 0, 0, 2]),
        _ => (target.ip6, target.mac),
    };
    let flags = match kind {
        ADVERTISEMENT => random.pick(&[0x20, 0x20, 0x60, 0xa0, 0]),
        _ => 0,
    };
    let mut message = [&[kind, 0, 0, 0, flags, 0, 0, 0][..], &asked].concat();
    match random.below(20) {
        // One that is no link-layer address; one cut short; none.
        0 => message.extend([14, 1, 1, 2, 3, 4, 5, 6]),
        1 => message.extend(&[1, 1, 2][..=random.below(3)]),
        2 => {}
        _ if probes => {}
        _ => {
            let option = if kind == ADVERTISEMENT { 2 } else { 1 };
            let mac = if random.percent(95) { from } else { any_mac(random, world) };
            message.extend([option, if random.percent(98) { 1 } else { random.byte() }]);
            message.extend(mac);
        }
    }
    if random.percent(3) {
        message[1] = random.byte();
    }
    let length = u16::try_from(message.len()).expect("short").to_be_bytes();
    let hops = if random.percent(97) { 255 } else { random.byte() };
    // The checksum is for the receiver.
    let sum = if message.len().is_multiple_of(2) {
        checksum(&[&source[..], &to, &[0, 0], &length, &[0, 0, 0, 58], &message].concat())
    } else {
        [0; 2]
    };
    message.splice(2..4, sum);
    let start = [0x60, 0, 0, 0, length[0], length[1], 58, hops];
    ethernet(mac, from, 0x86dd, &[&start[..], &source, &to, &message].concat())
}

/// The group in which one asks for the address, and Ethernet's address of that.
fn solicited(asked: Ip6) -> (Ip6, Mac) {
    let [.., a, b, c] = asked;
    let group = [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, a, b, c];
    (group, [0x33, 0x33, 0xff, a, b, c])
}

fn all(last: u8) -> Ip6 {
    [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last]
}

//! Neighbour discovery.

use anyhow::Result;
use netctl_common::{
    Direction, DropReason, Verdict,
    maps::{Network, Port},
};

use testbed::frames::{ICMPV6, UDP, advertisement, ethernet, icmpv6, ipv6, solicitation, udp};

use crate::{
    rig::{BESIDE, BRIDGE, DISTANT, FAR, FLOODED, GATEWAY, NEAR, Rig, Station, dropped, sent, six},
    table::{Case, Table, check},
};

const NOWHERE: [u8; 16] = [0; 16];
const NOBODY: [u8; 16] = [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x99];
const ALL_NODES: [u8; 16] = [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
const ALL_ROUTERS: [u8; 16] = [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2];
const REPORTS: [u8; 16] = [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x16];
/// The options that hold a sender's and a target's link-layer address, and a random number (RFC 7527).
const OWN: &[u8] = &[1, 1, 2, 0, 0, 0, 0, 0x11];
const FORGED: &[u8] = &[1, 1, 2, 0, 0, 0, 0, 0x12];
const TARGET_OWN: &[u8] = &[2, 1, 2, 0, 0, 0, 0, 0x11];
const TARGET_FORGED: &[u8] = &[2, 1, 2, 0, 0, 0, 0, 0x12];
const NONCE: &[u8] = &[14, 1, 1, 2, 3, 4, 5, 6];
/// Extension headers.
const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const DESTINATION_OPTIONS: u8 = 60;
const FRAGMENT: u8 = 44;

fn from_near(packet: &[u8]) -> Vec<u8> {
    let group: [u8; 4] = packet[36..40].try_into().expect("four bytes");
    let to = if packet[24] == 0xff {
        [0x33, 0x33, group[0], group[1], group[2], group[3]]
    } else {
        FAR.0
    };
    ethernet(to, NEAR.0, 0x86dd, packet)
}

/// The link-local address that a station of these addresses has (RFC 4291, appendix A).
fn link_local(station: Station) -> [u8; 16] {
    let [first, oui1, oui2, low @ ..] = station.0;
    [0xfe, 0x80, 0, 0, 0, 0, 0, 0, first - 2, oui1, oui2, 0xff, 0xfe, low[0], low[1], low[2]]
}

/// The group in which one asks for the address (RFC 4291 section 2.7.1).
fn group(target: [u8; 16]) -> [u8; 16] {
    [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, target[13], target[14], target[15]]
}

fn ask(from: [u8; 16], target: [u8; 16], options: &[u8]) -> Vec<u8> {
    from_near(&solicitation(from, group(target), target, options))
}

fn announce(to: [u8; 16], target: [u8; 16], options: &[u8]) -> Vec<u8> {
    let flags = if to[0] == 0xff { 0x20 } else { 0x60 };
    from_near(&advertisement(six(NEAR), to, flags, target, options))
}

fn changed(mut frame: Vec<u8>, place: usize, value: u8) -> Vec<u8> {
    frame[place] = value;
    frame
}

/// A message behind extension headers of these kinds, each as short as can be.
fn behind(headers: &[u8], last: u8, payload: &[u8]) -> Vec<u8> {
    let next = headers.iter().skip(1).chain([&last]);
    let chain = next.flat_map(|next| [*next, 0, 1, 4, 0, 0, 0, 0]);
    let payload: Vec<u8> = chain.chain(payload.iter().copied()).collect();
    let mut packet = ipv6(six(NEAR), six(FAR), 0, headers[0], &payload);
    packet[7] = 255;
    from_near(&packet)
}

fn router(kind: u8, to: [u8; 16]) -> Vec<u8> {
    from_near(&icmpv6(link_local(NEAR), to, &[&[kind, 0, 0, 0][..], &[0; 36]].concat()))
}

fn report(from: [u8; 16]) -> Vec<u8> {
    // A hop-by-hop header with the router alert option, and an MLDv2 report of no group (RFC 3810 section 5).
    let message = icmpv6(from, REPORTS, &[143, 0, 0, 0, 0, 0, 0, 0]);
    let payload = [&[ICMPV6, 0, 5, 2, 0, 0, 1, 0], &message[40..]].concat();
    from_near(&ipv6(from, REPORTS, 0, HOP_BY_HOP, &payload))
}

pub(crate) fn tables() -> Vec<Table> {
    let direction = Direction::FromContainer;
    let (near, far) = (six(NEAR), six(FAR));
    #[rustfmt::skip]
    let open = vec![
        ("for nobody known", ask(near, NOBODY, OWN), 0, FLOODED),
        ("for nobody known, of a host", from_near(&solicitation(near, far, NOBODY, OWN)), 0, sent(Verdict::ToUnderlay)),
        ("whether it is free", ask(NOWHERE, NOBODY, &[]), 0, FLOODED),
        ("for one who is known", ask(near, far, OWN), 0, sent(Verdict::NdAnswered)),
        ("for oneself", ask(NOWHERE, near, &[]), 0, dropped(DropReason::NdOwnAddress)),
    ];
    let host = vec![
        ("router advertisement", router(134, ALL_NODES), 0, FLOODED),
        ("redirect", router(137, far), 0, sent(Verdict::ToUnderlay)),
        ("advertisement for another", announce(far, NOBODY, &[]), 0, sent(Verdict::ToUnderlay)),
        ("of another's", announce(far, far, TARGET_FORGED), 0, dropped(DropReason::NdSource)),
    ];
    let cases = [solicitations(), advertisements(), others(), chains()].concat();
    vec![
        Table { direction, setting: |_| Ok(()), cases },
        Table { direction, setting: |rig| rig.set_network(Network::OPEN), cases: open },
        Table { direction, setting: |rig| rig.set_port(Port::ANY_SOURCE), cases: host },
    ]
}

fn solicitations() -> Vec<Case> {
    let (near, far) = (six(NEAR), six(FAR));
    let mut unknown = link_local(FAR);
    unknown[15] = 0x99;
    let mut nobodys = far;
    nobodys[0] = 0xff;
    #[rustfmt::skip]
    let cases = vec![
        ("solicitation", ask(near, far, OWN), 0, sent(Verdict::NdAnswered)),
        ("whether it is free", ask(NOWHERE, far, &[]), 0, sent(Verdict::NdAnswered)),
        ("for nobody", ask(near, NOBODY, OWN), 0, dropped(DropReason::NdUnknown)),
        ("whether nobody's is free", ask(NOWHERE, NOBODY, NONCE), 0, dropped(DropReason::NdUnknown)),
        ("for a link-local address of nobody", ask(near, unknown, OWN), 0, dropped(DropReason::NdUnknown)),
        ("for a link-local address that tells nothing", ask(near, [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1], OWN), 0, dropped(DropReason::NdUnknown)),
        ("for oneself", ask(near, near, OWN), 0, dropped(DropReason::NdOwnAddress)),
        ("whether one's own is free", ask(NOWHERE, near, NONCE), 0, dropped(DropReason::NdOwnAddress)),
        ("whether one's own link-local is free", ask(NOWHERE, link_local(NEAR), &[]), 0, dropped(DropReason::NdOwnAddress)),
        ("that a router has forwarded", changed(ask(near, far, OWN), 21, 254), 0, dropped(DropReason::MalformedNd)),
        ("with a code", changed(ask(near, far, OWN), 55, 1), 0, dropped(DropReason::MalformedNd)),
        ("cut short", from_near(&icmpv6(near, group(far), &[&[135, 0, 0, 0, 0, 0, 0, 0][..], &far[..12]].concat())), 0, dropped(DropReason::MalformedNd)),
        ("whether it is free, of a station", changed(from_near(&solicitation(NOWHERE, ALL_NODES, far, &[])), 38, 0xfe), 0, dropped(DropReason::MalformedNd)),
        ("whether it is free, of all", from_near(&solicitation(NOWHERE, ALL_NODES, far, &[])), 0, dropped(DropReason::MalformedNd)),
        ("for a group", ask(near, nobodys, OWN), 0, dropped(DropReason::MalformedNd)),
        ("from another's station", ask(near, far, FORGED), 0, dropped(DropReason::NdSource)),
        ("from another's address", ask(six(BESIDE), far, OWN), 0, dropped(DropReason::SourceAddress)),
    ];
    cases
}

fn advertisements() -> Vec<Case> {
    let (near, far) = (six(NEAR), six(FAR));
    let two = [TARGET_OWN, TARGET_FORGED].concat();
    let answer = announce(far, near, TARGET_OWN);
    #[rustfmt::skip]
    let cases = vec![
        ("advertisement", answer.clone(), 0, sent(Verdict::ToUnderlay)),
        ("without an option", announce(far, near, &[]), 0, sent(Verdict::ToUnderlay)),
        ("of a link-local address", announce(far, link_local(NEAR), TARGET_OWN), 0, sent(Verdict::ToUnderlay)),
        ("to all", announce(ALL_NODES, near, TARGET_OWN), 0, FLOODED),
        ("answer to all", from_near(&advertisement(near, ALL_NODES, 0x60, near, TARGET_OWN)), 0, dropped(DropReason::MalformedNd)),
        ("of another's address", announce(far, six(BESIDE), TARGET_OWN), 0, dropped(DropReason::NdSource)),
        ("of another's link-local address", announce(far, link_local(BESIDE), TARGET_OWN), 0, dropped(DropReason::NdSource)),
        ("of the gateway's address to all", announce(ALL_NODES, six(GATEWAY), TARGET_OWN), 0, dropped(DropReason::NdSource)),
        ("of another's station", announce(far, near, TARGET_FORGED), 0, dropped(DropReason::NdSource)),
        ("with two options", announce(far, near, &two), 0, dropped(DropReason::MalformedNd)),
        ("that a router has forwarded", changed(answer.clone(), 21, 64), 0, dropped(DropReason::MalformedNd)),
        ("with a code", changed(answer, 55, 1), 0, dropped(DropReason::MalformedNd)),
        ("of a group", announce(far, ALL_NODES, TARGET_OWN), 0, dropped(DropReason::MalformedNd)),
    ];
    cases
}

fn others() -> Vec<Case> {
    let echo = from_near(&icmpv6(six(NEAR), six(FAR), &[128, 0, 0, 0, 0, 1, 0, 1]));
    vec![
        ("router solicitation", router(133, ALL_ROUTERS), 0, FLOODED),
        (
            "router advertisement",
            router(134, ALL_NODES),
            0,
            dropped(DropReason::RouterAdvertisement),
        ),
        ("redirect", router(137, six(FAR)), 0, dropped(DropReason::RouterAdvertisement)),
        ("echo request", echo, 0, sent(Verdict::ToUnderlay)),
        (
            "message cut short",
            from_near(&icmpv6(six(NEAR), six(FAR), &[128, 0, 0, 0])),
            0,
            dropped(DropReason::MalformedNd),
        ),
        ("report from no address", report(NOWHERE), 0, FLOODED),
        ("report from a link-local address", report(link_local(NEAR)), 0, FLOODED),
        ("report from another", report(link_local(FAR)), 0, dropped(DropReason::SourceAddress)),
    ]
}

/// Behind one to four headers is looked; who sends more means no good.
fn chains() -> Vec<Case> {
    let message = &announce(six(FAR), six(NEAR), TARGET_OWN)[54..];
    let echo = [128, 0, 0, 0, 0, 1, 0, 1];
    let data = udp(1, 2, b"data");
    let mut cases = Vec::new();
    for kind in [HOP_BY_HOP, ROUTING, DESTINATION_OPTIONS] {
        for length in 1..=5 {
            let headers = vec![kind; length];
            let malformed = dropped(DropReason::MalformedIpv6);
            let (other, nd) = if length <= 4 {
                (sent(Verdict::ToUnderlay), dropped(DropReason::MalformedNd))
            } else {
                (malformed, malformed)
            };
            cases.extend([
                ("advertisement behind headers", behind(&headers, ICMPV6, message), 0, nd),
                ("echo request behind headers", behind(&headers, ICMPV6, &echo), 0, other),
                ("UDP behind headers", behind(&headers, UDP, &data), 0, other),
                ("nothing behind headers", behind(&headers, ICMPV6, &[]), 0, malformed),
            ]);
        }
    }
    let mixed = [HOP_BY_HOP, DESTINATION_OPTIONS, ROUTING, DESTINATION_OPTIONS];
    let past_the_end = changed(behind(&[HOP_BY_HOP], ICMPV6, message), 55, 255);
    cases.extend([
        (
            "advertisement behind headers of each kind",
            behind(&mixed, ICMPV6, message),
            0,
            dropped(DropReason::MalformedNd),
        ),
        ("header past the end", past_the_end, 0, dropped(DropReason::MalformedIpv6)),
        // Nobody takes it from a fragment (RFC 6980).
        (
            "advertisement in a fragment",
            behind(&[FRAGMENT], ICMPV6, message),
            0,
            sent(Verdict::ToUnderlay),
        ),
    ]);
    cases
}

#[test]
fn verdicts() -> Result<()> {
    check(&tables())
}

#[test]
fn a_solicitation_is_answered_byte_for_byte() -> Result<()> {
    let mut rig = Rig::new()?;
    for station in [FAR, DISTANT, BESIDE, BRIDGE, GATEWAY] {
        for target in [six(station), link_local(station)] {
            for asker in [six(NEAR), link_local(NEAR), NOWHERE] {
                for options in [&[][..], OWN, NONCE, &[NONCE, OWN].concat()] {
                    let what = format!("{asker:02x?} asks for {target:02x?} with {options:?}");
                    let question = ask(asker, target, options);
                    let seen = rig.run(Direction::FromContainer, &question, 0);
                    assert_eq!(seen.end, sent(Verdict::NdAnswered), "{what}");
                    let (to, mac, flags) = if asker == NOWHERE {
                        (ALL_NODES, [0x33, 0x33, 0, 0, 0, 1], 0x20)
                    } else {
                        (asker, NEAR.0, 0x60)
                    };
                    let owner = [&[2, 1][..], &station.0].concat();
                    let answer = advertisement(target, to, flags, target, &owner);
                    assert_eq!(seen.packet, ethernet(mac, station.0, 0x86dd, &answer), "{what}");
                }
            }
        }
    }
    Ok(())
}

#[test]
fn a_solicitation_of_the_station_itself_is_answered() -> Result<()> {
    let mut rig = Rig::new()?;
    let question = from_near(&solicitation(six(NEAR), six(FAR), six(FAR), OWN));
    let seen = rig.run(Direction::FromContainer, &question, 0);
    assert_eq!(seen.end, sent(Verdict::NdAnswered));
    let owner = [&[2, 1][..], &FAR.0].concat();
    let answer = advertisement(six(FAR), six(NEAR), 0x60, six(FAR), &owner);
    assert_eq!(seen.packet, ethernet(NEAR.0, FAR.0, 0x86dd, &answer));
    Ok(())
}

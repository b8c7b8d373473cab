//! What is for a group. Who gets it shows only where there are devices: `packet_path`.

use anyhow::Result;
use netctl_common::{Direction, DropReason};

use testbed::frames::{UDP, ethernet, ipv4, ipv6, udp};

use crate::{
    rig::{BESIDE, FAR, FLOODED, NEAR, Rig, dropped, six},
    table::{Case, Table, check},
};

const BROADCAST: [u8; 6] = [0xff; 6];
const MDNS4: ([u8; 6], [u8; 4]) = ([1, 0, 0x5e, 0, 0, 0xfb], [224, 0, 0, 251]);
const MDNS6: ([u8; 6], [u8; 16]) =
    ([0x33, 0x33, 0, 0, 0, 0xfb], [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xfb]);

fn four(mac: [u8; 6], from: [u8; 4], to: [u8; 4]) -> Vec<u8> {
    ethernet(mac, NEAR.0, 0x0800, &ipv4(from, to, 0, UDP, &udp(68, 67, &[0x5a; 240])))
}

fn six_to(mac: [u8; 6], from: [u8; 16], to: [u8; 16]) -> Vec<u8> {
    ethernet(mac, NEAR.0, 0x86dd, &ipv6(from, to, 0, UDP, &udp(5353, 5353, &[0x5a; 240])))
}

/// A frame to one of the groups that bridges keep to themselves (IEEE 802.1Q, table 8-1), or beyond them.
fn control(last: u8) -> Vec<u8> {
    ethernet([1, 0x80, 0xc2, 0, 0, last], NEAR.0, 46, &[0x42; 46])
}

pub(crate) fn tables() -> Vec<Table> {
    let direction = Direction::FromContainer;
    let (near, any, all) = (NEAR.1, [0; 4], [255; 4]);
    let beside = six(BESIDE);
    let (mac4, mdns4) = MDNS4;
    let (mac6, mdns6) = MDNS6;
    let large =
        ethernet(BROADCAST, NEAR.0, 0x0800, &ipv4(near, all, 0, UDP, &udp(1, 2, &[0; 3000])));
    #[rustfmt::skip]
    let mut cases: Vec<Case> = vec![
        ("broadcast", four(BROADCAST, near, all), 0, FLOODED),
        ("broadcast in the subnet", four(BROADCAST, near, [10, 0, 0, 255]), 0, FLOODED),
        ("multicast", four(mac4, near, mdns4), 0, FLOODED),
        ("multicast over IPv6", six_to(mac6, six(NEAR), mdns6), 0, FLOODED),
        ("larger than the underlay", large, 0, FLOODED),
        ("DHCP discover", four(BROADCAST, any, all), 0, FLOODED),
        ("to one, from no address", four(FAR.0, any, FAR.1), 0, dropped(DropReason::SourceAddress)),
        ("to one, from no address over IPv6", six_to(FAR.0, [0; 16], six(FAR)), 0, dropped(DropReason::SourceAddress)),
        ("from no address over IPv6", six_to(mac6, [0; 16], mdns6), 0, FLOODED),
        ("from another's address", four(BROADCAST, BESIDE.1, all), 0, dropped(DropReason::SourceAddress)),
        ("from another's address over IPv6", six_to(mac6, beside, mdns6), 0, dropped(DropReason::SourceAddress)),
        ("of another protocol", ethernet(BROADCAST, NEAR.0, 0x88b5, &[0x5a; 60]), 0, FLOODED),
        ("beyond the groups of bridges", control(0x10), 0, FLOODED),
    ];
    for last in 0..16 {
        let end = dropped(DropReason::LinkLocalGroup);
        cases.push(("a group of bridges", control(last), 0, end));
    }
    let nowhere = vec![
        ("no such network", four(BROADCAST, near, all), 0, dropped(DropReason::UnknownVni)),
        (
            "no such network over IPv6",
            six_to(mac6, six(NEAR), mdns6),
            0,
            dropped(DropReason::UnknownVni),
        ),
    ];
    vec![
        Table { direction, setting: |_| Ok(()), cases },
        Table { direction, setting: Rig::remove_network, cases: nowhere },
    ]
}

#[test]
fn verdicts() -> Result<()> {
    check(&tables())
}

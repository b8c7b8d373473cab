//! What comes over IPv6, and either family out of either.

use anyhow::Result;
use netctl_common::{Direction, DropReason, Verdict};

use testbed::frames::{TCP, UDP, arp, ethernet, ipv4, ipv6, udp, vxlan};

use crate::{
    object::PORT,
    rig::{
        BESIDE, BRIDGE, DISTANT, FAR, GATEWAY, HOST_A, HOST_A6, HOST_B, HOST_D6, LEFT, NEAR,
        NOT_OURS, Rig, Station, VNI, dropped, sent, six,
    },
    table::{Case, Table, check},
};

/// The address of the underlay's device: the program's own device is `lo`.
const DEVICE: [u8; 6] = [0; 6];
const ROUTER: [u8; 6] = [2, 0, 0, 0, 1, 1];
const STRANGER: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x99];

fn over_ipv6(host: [u8; 16], tos: u8, vni: u32, frame: &[u8]) -> Vec<u8> {
    let datagram = udp(50_000, PORT, &vxlan(vni, frame));
    ethernet(DEVICE, ROUTER, 0x86dd, &ipv6(host, HOST_A6, tos, UDP, &datagram))
}

fn over_ipv4(tos: u8, frame: &[u8]) -> Vec<u8> {
    let datagram = udp(50_000, PORT, &vxlan(VNI, frame));
    ethernet(DEVICE, ROUTER, 0x0800, &ipv4(HOST_B, HOST_A, tos, UDP, &datagram))
}

/// A frame with IPv4 or IPv6 inside.
fn inner(is_v6: bool, from: Station, to: Station, tos: u8) -> Vec<u8> {
    let payload = udp(53, 5353, &[0x5a; 1000]);
    if is_v6 {
        let mut packet = ipv6(six(from), six(to), tos, UDP, &payload);
        // A flow label, half of whose first byte is of the traffic class.
        packet[1] |= 0x0a;
        packet[2..4].copy_from_slice(&[0xbc, 0xde]);
        ethernet(to.0, from.0, 0x86dd, &packet)
    } else {
        ethernet(to.0, from.0, 0x0800, &ipv4(from.1, to.1, tos, UDP, &payload))
    }
}

fn to(station: Station) -> Vec<u8> {
    over_ipv6(HOST_D6, 0, VNI, &inner(true, DISTANT, station, 0))
}

/// Some bytes of an ordinary packet changed.
fn changed(changes: &[(usize, u8)]) -> Vec<u8> {
    let mut packet = to(NEAR);
    for (place, value) in changes {
        packet[*place] = *value;
    }
    packet
}

/// An ordinary packet with one byte of the frame in it changed.
fn inside(place: usize, value: u8) -> Vec<u8> {
    changed(&[(70 + place, value)])
}

pub(crate) fn tables() -> Vec<Table> {
    let payload = to(NEAR).len() - 54;
    let [high, low] = u16::try_from(payload).expect("a short packet").to_be_bytes();
    let from = |station| over_ipv6(HOST_D6, 0, VNI, &inner(true, station, NEAR, 0));
    let segmented = {
        let packet = ipv6(six(DISTANT), six(NEAR), 0, TCP, &[0x50; 1000]);
        over_ipv6(HOST_D6, 0, VNI, &ethernet(NEAR.0, DISTANT.0, 0x86dd, &packet))
    };
    let group = ([0x33, 0x33, 0, 0, 0, 1], [0; 4]);
    let host = (GATEWAY.0, DISTANT.1);
    let frame = inner(true, DISTANT, NEAR, 0);
    let malformed_outer = dropped(DropReason::MalformedOuter);
    let malformed_inner = dropped(DropReason::MalformedInner);
    #[rustfmt::skip]
    let cases: Vec<Case> = vec![
        ("to a container", to(NEAR), 0, sent(Verdict::ToContainer)),
        ("to another container", to(BESIDE), 0, sent(Verdict::ToContainer)),
        ("to a container that bridges", to(BRIDGE), 0, sent(Verdict::ToContainer)),
        ("to the host", to(GATEWAY), 0, sent(Verdict::ToHost)),
        ("from another host itself", from(host), 0, sent(Verdict::ToContainer)),
        ("reserved bits", changed(&[(62, 0xff), (63, 0xff), (69, 0xff)]), 0, sent(Verdict::ToContainer)),
        ("padded", [to(NEAR), vec![0; 4]].concat(), 0, sent(Verdict::ToContainer)),
        ("UDP segments", to(NEAR), 500, LEFT),
        ("outer checksum", changed(&[(60, 1)]), 0, LEFT),
        ("datagram shorter than its packet", changed(&[(58, high), (59, low - 1)]), 0, LEFT),
        ("group", to(group), 0, LEFT),
        ("inner ARP", over_ipv6(HOST_D6, 0, VNI, &arp(1, DISTANT, ([0; 6], NEAR.1))), 0, LEFT),
        ("another next header", changed(&[(20, TCP)]), 0, NOT_OURS),
        ("fragment", changed(&[(20, 44)]), 0, NOT_OURS),
        ("another port", changed(&[(57, 0)]), 0, NOT_OURS),
        ("another address", changed(&[(53, 9)]), 0, NOT_OURS),
        ("another station", changed(&[(0, 2)]), 0, NOT_OURS),
        ("version", changed(&[(14, 0x40)]), 0, malformed_outer),
        ("length past the end", changed(&[(18, high), (19, low + 1)]), 0, malformed_outer),
        ("datagram past its packet", changed(&[(58, high), (59, low + 1)]), 0, malformed_outer),
        ("no valid VNI", changed(&[(62, 0xf7)]), 0, dropped(DropReason::MalformedVxlan)),
        ("inner version", inside(14, 0x40), 0, malformed_inner),
        ("inner length past the end", inside(18, 0x40), 0, malformed_inner),
        ("unknown host", over_ipv6(STRANGER, 0, VNI, &frame), 0, dropped(DropReason::UnknownTunnelSource)),
        ("unknown VNI", over_ipv6(HOST_D6, 0, VNI + 1, &frame), 0, dropped(DropReason::UnknownVni)),
        ("station of another host", from(FAR), 0, dropped(DropReason::InnerSource)),
        ("station of ours", from(BESIDE), 0, dropped(DropReason::InnerSource)),
        ("station of another host over IPv4", over_ipv4(0, &frame), 0, dropped(DropReason::InnerSource)),
        ("to an unknown station", to(([2; 6], NEAR.1)), 0, dropped(DropReason::NotLocal)),
        ("to another host", to(FAR), 0, dropped(DropReason::NotLocal)),
        ("congestion marked on the unwitting", over_ipv6(HOST_D6, 3, VNI, &frame), 0, dropped(DropReason::CongestionMark)),
        // The kernel refuses to shrink what is merged of neither TCP nor UDP, and a test cannot say which it is.
        ("segments the kernel refuses", segmented, 500, dropped(DropReason::DecapFailed)),
    ];
    vec![Table { direction: Direction::FromUnderlay, setting: |_| Ok(()), cases }]
}

#[test]
fn verdicts() -> Result<()> {
    check(&tables())
}

/// RFC 6040, figure 4: rows by the inner mark and columns by the outer one, each in the order of its bits.
const MARKS: [[Option<u8>; 4]; 4] = [
    [Some(0), Some(0), Some(0), None],
    [Some(1), Some(1), Some(1), Some(3)],
    [Some(2), Some(1), Some(2), Some(3)],
    [Some(3), Some(3), Some(3), Some(3)],
];

#[test]
fn either_family_comes_out_of_either_byte_for_byte() -> Result<()> {
    let mut rig = Rig::new()?;
    for (is_v6, over_v6) in [(false, false), (false, true), (true, false), (true, true)] {
        for (inner_mark, row) in (0..).zip(MARKS) {
            for (outer_mark, mark) in (0..).zip(row) {
                for (dscp, outer_dscp) in [(0, 0), (46 << 2, 0), (0, 46 << 2), (63 << 2, 63 << 2)] {
                    let from = if over_v6 { DISTANT } else { FAR };
                    let frame = inner(is_v6, from, NEAR, dscp | inner_mark);
                    let outer_tos = outer_dscp | outer_mark;
                    let packet = if over_v6 {
                        over_ipv6(HOST_D6, outer_tos, VNI, &frame)
                    } else {
                        over_ipv4(outer_tos, &frame)
                    };
                    let seen = rig.run(Direction::FromUnderlay, &packet, 0);
                    let what = format!(
                        "IPv6 {is_v6} over IPv6 {over_v6}, {inner_mark} in {outer_mark}, {dscp}"
                    );
                    if let Some(mark) = mark {
                        assert_eq!(seen.end, sent(Verdict::ToContainer), "{what}");
                        let expected = inner(is_v6, from, NEAR, dscp | mark);
                        assert_eq!(seen.packet, expected, "{what}");
                    } else {
                        assert_eq!(seen.end, dropped(DropReason::CongestionMark), "{what}");
                    }
                }
            }
        }
    }
    Ok(())
}

#[test]
fn cut_anywhere_it_is_dropped_or_passed() -> Result<()> {
    let mut rig = Rig::new()?;
    let whole = to(NEAR);
    // The kernel takes no shorter ones for a test; `packet_path` sends them.
    for length in 54..whole.len() {
        let seen = rig.run(Direction::FromUnderlay, &whole[..length], 0);
        let expected = if length < 62 { NOT_OURS } else { dropped(DropReason::MalformedOuter) };
        assert_eq!(seen.end, expected, "cut to {length} bytes");
    }
    Ok(())
}

/// The same with lengths that agree at each cut, so that the later checks are reached.
#[test]
fn a_short_packet_is_dropped() -> Result<()> {
    let mut rig = Rig::new()?;
    let whole = vxlan(VNI, &inner(true, DISTANT, NEAR, 0));
    for length in 0..whole.len() {
        let datagram = udp(50_000, PORT, &whole[..length]);
        let packet = ethernet(DEVICE, ROUTER, 0x86dd, &ipv6(HOST_D6, HOST_A6, 0, UDP, &datagram));
        let seen = rig.run(Direction::FromUnderlay, &packet, 0);
        let reason =
            if length < 8 { DropReason::MalformedVxlan } else { DropReason::MalformedInner };
        assert_eq!(seen.end, dropped(reason), "{length} bytes of VXLAN");
    }
    Ok(())
}

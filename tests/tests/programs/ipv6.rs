//! IPv6 from a container, and either family over either.

use std::collections::BTreeSet;

use anyhow::Result;
use netctl_common::{Direction, DropReason, Outcome, Verdict, maps::Port};

use testbed::frames::{TCP, UDP, checksum, ethernet, ipv4, ipv6, tcp, udp, vxlan};

use crate::{
    object::PORT,
    rig::{
        BESIDE, BRIDGE, DISTANT, FAR, GATEWAY, HOST_A, HOST_A6, HOST_B, HOST_D6, LOST, MTU, NEAR,
        Rig, Station, VNI, dropped, sent, six,
    },
    table::{Case, Table, check},
};

/// A frame from `NEAR` that carries so many bytes of UDP over IPv6, for a station's address and another's MAC.
fn to(mac: [u8; 6], address: [u8; 16], bytes: usize) -> Vec<u8> {
    let payload = udp(1000, 2000, &vec![0x5a; bytes]);
    ethernet(mac, NEAR.0, 0x86dd, &ipv6(six(NEAR), address, 0, UDP, &payload))
}

fn datagram(station: Station, bytes: usize) -> Vec<u8> {
    to(station.0, six(station), bytes)
}

fn from(source: [u8; 16]) -> Vec<u8> {
    ethernet(FAR.0, NEAR.0, 0x86dd, &ipv6(source, six(FAR), 0, UDP, &udp(1, 2, b"data")))
}

/// A frame to `FAR` with one byte of it changed.
fn changed(place: usize, value: u8) -> Vec<u8> {
    let mut frame = datagram(FAR, 4);
    frame[place] = value;
    frame
}

pub(crate) fn tables() -> Vec<Table> {
    let direction = Direction::FromContainer;
    let elsewhere = [0x20, 1, 0xd, 0xb8, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7];
    vec![
        Table { direction, setting: |_| Ok(()), cases: [unicast(), refused()].concat() },
        Table {
            direction,
            setting: |rig| rig.set_port(Port::ANY_SOURCE),
            cases: vec![
                ("any source", from(elsewhere), 0, sent(Verdict::ToUnderlay)),
                ("no source", from([0; 16]), 0, sent(Verdict::ToUnderlay)),
            ],
        },
    ]
}

fn unicast() -> Vec<Case> {
    let segmented = |next| {
        let payload = ipv6(six(NEAR), six(FAR), 0, next, &tcp(1, 2, &[0; 1000]));
        ethernet(FAR.0, NEAR.0, 0x86dd, &payload)
    };
    let most = MTU as usize - 48;
    let own = [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xfe, 0, 0, 0x11];
    #[rustfmt::skip]
    let cases = vec![
        ("to a container here", datagram(BESIDE, 4), 0, sent(Verdict::ToContainer)),
        ("to a container that bridges", datagram(BRIDGE, 4), 0, sent(Verdict::ToContainer)),
        ("to the host", datagram(GATEWAY, 4), 0, sent(Verdict::ToHost)),
        ("to another host", datagram(FAR, 4), 0, sent(Verdict::ToUnderlay)),
        ("to another host over IPv6", datagram(DISTANT, 4), 0, sent(Verdict::ToUnderlay)),
        ("from the link-local address", from(own), 0, sent(Verdict::ToUnderlay)),
        ("as large as can be", datagram(FAR, most), 0, sent(Verdict::ToUnderlay)),
        ("as large as can be over IPv6", datagram(DISTANT, most - 20), 0, sent(Verdict::ToUnderlay)),
        ("of any size to a container here", datagram(BESIDE, 3000), 0, sent(Verdict::ToContainer)),
        ("UDP segments", datagram(FAR, 3000), 1000, sent(Verdict::HandedOver)),
        ("UDP segments over IPv6", datagram(DISTANT, 3000), 1000, sent(Verdict::HandedOver)),
        // The kernel refuses to grow what is merged of neither TCP nor UDP, and a test cannot say which it is.
        ("segments the kernel refuses", segmented(TCP), 500, sent(Verdict::HandedOver)),
        ("no next header", ethernet(FAR.0, NEAR.0, 0x86dd, &ipv6(six(NEAR), six(FAR), 0, 59, &[])), 0, sent(Verdict::ToUnderlay)),
    ];
    cases
}

fn refused() -> Vec<Case> {
    #[rustfmt::skip]
    let cases = vec![
        ("unknown station", to([2; 6], [0xfd; 16], 4), 0, dropped(DropReason::UnknownDestination)),
        ("station of no host", to(LOST, six(FAR), 4), 0, dropped(DropReason::UnknownVtep)),
        ("forged address", from(six(BESIDE)), 0, dropped(DropReason::SourceAddress)),
        ("no address", from([0; 16]), 0, dropped(DropReason::SourceAddress)),
        ("not version 6", changed(14, 0x40), 0, dropped(DropReason::MalformedIpv6)),
        ("length past the end", changed(19, 13), 0, dropped(DropReason::MalformedIpv6)),
        ("no length", changed(19, 0), 0, dropped(DropReason::MalformedIpv6)),
    ];
    cases
}

#[test]
fn verdicts() -> Result<()> {
    check(&tables())
}

/// A frame to the station with IPv4 or IPv6 inside.
fn frame(is_v6: bool, station: Station, tos: u8, source_port: u16) -> Vec<u8> {
    let payload = udp(source_port, 5353, b"a question");
    if is_v6 {
        let packet = ipv6(six(NEAR), six(station), tos, UDP, &payload);
        ethernet(station.0, NEAR.0, 0x86dd, &packet)
    } else {
        ethernet(station.0, NEAR.0, 0x0800, &ipv4(NEAR.1, station.1, tos, UDP, &payload))
    }
}

/// What shows of the flow's hash, which is the program's own business, over IPv4: source port and identification.
fn shown4(packet: &[u8]) -> (u16, [u8; 2]) {
    (u16::from_be_bytes([packet[34], packet[35]]), [packet[18], packet[19]])
}

/// Over IPv6: source port and flow label.
fn shown6(packet: &[u8]) -> (u16, [u8; 3]) {
    let label = [packet[15] & 0x0f, packet[16], packet[17]];
    (u16::from_be_bytes([packet[54], packet[55]]), label)
}

#[test]
fn either_family_is_wrapped_over_either_byte_for_byte() -> Result<()> {
    let mut rig = Rig::new()?;
    for is_v6 in [false, true] {
        for tos in [0, 0b10, 0b01, 0b11, 46 << 2, 46 << 2 | 0b01, 0xff] {
            let inner = frame(is_v6, FAR, tos, 53);
            let seen = rig.run(Direction::FromContainer, &inner, 0);
            assert_eq!(seen.end, sent(Verdict::ToUnderlay));
            let (source, identification) = shown4(&seen.packet);
            let [high, low] = u16::try_from(36 + inner.len())?.to_be_bytes();
            let mut ip = vec![0x45, tos, high, low];
            ip.extend(identification);
            ip.extend([0x40, 0, 64, UDP, 0, 0]);
            ip.extend([HOST_A, HOST_B].concat());
            let checksum = checksum(&ip);
            ip.splice(10..12, checksum);
            let datagram = udp(source, PORT, &vxlan(VNI, &inner));
            // The outer Ethernet header is the kernel's to write: the program leaves what is in its place.
            assert_eq!(seen.packet[14..], [ip, datagram].concat(), "{is_v6} {tos:#04x}");

            let inner = frame(is_v6, DISTANT, tos, 53);
            let seen = rig.run(Direction::FromContainer, &inner, 0);
            assert_eq!(seen.end, sent(Verdict::ToUnderlay));
            let (source, label) = shown6(&seen.packet);
            let datagram = udp(source, PORT, &vxlan(VNI, &inner));
            let mut ip = ipv6(HOST_A6, HOST_D6, tos, UDP, &datagram);
            ip[1] |= label[0];
            ip[2..4].copy_from_slice(&label[1..]);
            assert_eq!(seen.packet[14..], ip, "{is_v6} {tos:#04x}");
        }
    }
    Ok(())
}

/// The way over the underlay is chosen by the source port, or by the flow label: both have to differ between flows,
/// and be the same for all packets of one.
#[test]
fn flows_spread() -> Result<()> {
    let mut rig = Rig::new()?;
    for is_v6 in [false, true] {
        let mut shown = |source_port, tos| {
            let four = rig.run(Direction::FromContainer, &frame(is_v6, FAR, tos, source_port), 0);
            let six =
                rig.run(Direction::FromContainer, &frame(is_v6, DISTANT, tos, source_port), 0);
            (shown4(&four.packet).0, shown6(&six.packet))
        };
        let seen: Vec<_> = (1000..1064).map(|port| shown(port, 0)).collect();
        let again: Vec<_> = (1000..1064).map(|port| shown(port, 0b10)).collect();
        assert_eq!(seen, again);
        let count = |values: Vec<u32>| values.into_iter().collect::<BTreeSet<_>>().len();
        for (what, values) in [
            ("source ports over IPv4", seen.iter().map(|(port, _)| (*port).into()).collect()),
            ("source ports over IPv6", seen.iter().map(|(_, (port, _))| (*port).into()).collect()),
            (
                "flow labels",
                seen.iter()
                    .map(|(_, (_, [a, b, c]))| u32::from_be_bytes([0, *a, *b, *c]))
                    .collect(),
            ),
        ] {
            let distinct = count(values);
            assert!(distinct > 60, "64 flows have {distinct} {what}");
        }
        let ports = seen.iter().flat_map(|(four, (six, _))| [*four, *six]);
        assert!(ports.min().is_some_and(|port| port >= 49_152));
    }
    Ok(())
}

#[test]
fn a_frame_for_a_station_that_is_gone_goes_to_who_has_its_address_now() -> Result<()> {
    let mut rig = Rig::new()?;
    let gone = [2, 0, 0, 0, 0xff, 1];
    for (name, station, verdict, inner_at) in [
        ("here", BESIDE, Verdict::ToContainer, 0),
        ("the host", GATEWAY, Verdict::ToHost, 0),
        ("on another host", FAR, Verdict::ToUnderlay, 50),
        ("on another host over IPv6", DISTANT, Verdict::ToUnderlay, 70),
    ] {
        let seen = rig.run(Direction::FromContainer, &to(gone, six(station), 4), 0);
        assert_eq!(seen.end, sent(verdict), "{name}");
        assert_eq!(seen.packet[inner_at..], datagram(station, 4), "{name}");
    }
    Ok(())
}

#[test]
fn cut_anywhere_it_is_dropped_and_counted() -> Result<()> {
    let mut rig = Rig::new()?;
    let whole = datagram(FAR, 20);
    // The kernel takes no shorter ones for a test; `packet_path` sends them.
    for length in 54..whole.len() {
        let seen = rig.run(Direction::FromContainer, &whole[..length], 0);
        let end = seen.end.1;
        assert_eq!(end, Some(Outcome::Dropped(DropReason::MalformedIpv6)), "{length} bytes");
    }
    Ok(())
}

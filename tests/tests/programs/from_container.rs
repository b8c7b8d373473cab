use anyhow::Result;
use netctl_common::{Direction, DropReason, Outcome, Verdict, maps::Port};

use testbed::frames::{TCP, UDP, arp, ethernet, ipv4, tcp, udp};

use crate::{
    rig::{
        BESIDE, BRIDGE, DISTANT, FAR, GATEWAY, HOST_A, HOST_B, LOST, MTU, NEAR, Rig, Seen, Station,
        VNI, dropped, sent,
    },
    table::{Case, Table, check},
};

const NOWHERE: [u8; 4] = [0; 4];

fn run(rig: &mut Rig, packet: &[u8], segment: u32) -> Seen {
    rig.run(Direction::FromContainer, packet, segment)
}

/// A frame from `NEAR` that carries so many bytes of UDP, for a station of one host and an address of another.
fn to(to: [u8; 6], address: [u8; 4], bytes: usize) -> Vec<u8> {
    let payload = udp(1000, 2000, &vec![0x5a; bytes]);
    ethernet(to, NEAR.0, 0x0800, &ipv4(NEAR.1, address, 0, UDP, &payload))
}

pub(crate) fn datagram(station: Station, bytes: usize) -> Vec<u8> {
    to(station.0, station.1, bytes)
}

fn forged() -> Vec<u8> {
    ethernet(FAR.0, BESIDE.0, 0x0800, &ipv4(NEAR.1, FAR.1, 0, UDP, &udp(1, 2, b"")))
}

fn from(source: [u8; 4]) -> Vec<u8> {
    ethernet(FAR.0, NEAR.0, 0x0800, &ipv4(source, FAR.1, 0, UDP, &udp(1, 2, b"data")))
}

/// A frame to `FAR` with one byte of it changed.
fn changed(place: usize, value: u8) -> Vec<u8> {
    let mut frame = datagram(FAR, 4);
    frame[place] = value;
    frame
}

/// IPv4 and everything but IP and ARP.
pub(crate) fn tables() -> Vec<Table> {
    let direction = Direction::FromContainer;
    vec![
        Table { direction, setting: |_| Ok(()), cases: [unicast(), refused(), others()].concat() },
        Table {
            direction,
            setting: |rig| rig.set_port(Port::ANY_SOURCE),
            cases: vec![
                ("any source", from([198, 51, 100, 7]), 0, sent(Verdict::ToUnderlay)),
                ("no source", from(NOWHERE), 0, sent(Verdict::ToUnderlay)),
                ("forged station", forged(), 0, dropped(DropReason::SourceMac)),
            ],
        },
        Table {
            direction,
            setting: Rig::remove_port,
            cases: vec![(
                "a device of no endpoint",
                datagram(FAR, 4),
                0,
                dropped(DropReason::UnknownPort),
            )],
        },
    ]
}

fn unicast() -> Vec<Case> {
    let segmented =
        ethernet(FAR.0, NEAR.0, 0x0800, &ipv4(NEAR.1, FAR.1, 0, TCP, &tcp(1, 2, &[0; 1000])));
    let most = MTU as usize - 28;
    #[rustfmt::skip]
    let cases = vec![
        ("to a container here", datagram(BESIDE, 4), 0, sent(Verdict::ToContainer)),
        ("to a container that bridges", datagram(BRIDGE, 4), 0, sent(Verdict::ToContainer)),
        ("to the host", datagram(GATEWAY, 4), 0, sent(Verdict::ToHost)),
        ("to another host", datagram(FAR, 4), 0, sent(Verdict::ToUnderlay)),
        ("to another host over IPv6", datagram(DISTANT, 4), 0, sent(Verdict::ToUnderlay)),
        ("as large as can be", datagram(FAR, most), 0, sent(Verdict::ToUnderlay)),
        ("a byte too large", datagram(FAR, most + 1), 0, sent(Verdict::HandedOver)),
        ("as large as can be over IPv6", datagram(DISTANT, most - 20), 0, sent(Verdict::ToUnderlay)),
        ("a byte too large over IPv6", datagram(DISTANT, most - 19), 0, sent(Verdict::TooBigReported)),
        ("of any size to a container here", datagram(BESIDE, 3000), 0, sent(Verdict::ToContainer)),
        ("UDP segments", datagram(FAR, 3000), 1000, sent(Verdict::HandedOver)),
        ("UDP segments over IPv6", datagram(DISTANT, 3000), 1000, sent(Verdict::HandedOver)),
        ("UDP segments to a container here", datagram(BESIDE, 3000), 1000, sent(Verdict::ToContainer)),
        ("TCP segments too large", segmented.clone(), MTU - 39, sent(Verdict::HandedOver)),
        ("UDP segments too large", datagram(FAR, 3000), MTU - 27, sent(Verdict::HandedOver)),
        // The kernel refuses to grow what is merged of neither TCP nor UDP, and a test cannot say which it is.
        ("segments the kernel refuses", segmented, 500, sent(Verdict::HandedOver)),
    ];
    cases
}

fn refused() -> Vec<Case> {
    #[rustfmt::skip]
    let cases = vec![
        ("to oneself", to(NEAR.0, NEAR.1, 4), 0, dropped(DropReason::OwnStation)),
        ("unknown station", to([2; 6], NOWHERE, 4), 0, dropped(DropReason::UnknownDestination)),
        ("station of no host", to(LOST, FAR.1, 4), 0, dropped(DropReason::UnknownVtep)),
        ("forged station", forged(), 0, dropped(DropReason::SourceMac)),
        ("forged address", from(BESIDE.1), 0, dropped(DropReason::SourceAddress)),
        ("no address", from(NOWHERE), 0, dropped(DropReason::SourceAddress)),
        ("not version 4", changed(14, 0x65), 0, dropped(DropReason::MalformedIpv4)),
        ("header too short", changed(14, 0x44), 0, dropped(DropReason::MalformedIpv4)),
        ("header past the end", changed(14, 0x4f), 0, dropped(DropReason::MalformedIpv4)),
        ("total past the end", changed(17, 33), 0, dropped(DropReason::MalformedIpv4)),
        ("total within the header", changed(17, 19), 0, dropped(DropReason::MalformedIpv4)),
    ];
    cases
}

/// A tag that stands in the frame, as a test gives it: what a device receives has it beside (`packet_path`).
fn others() -> Vec<Case> {
    let frame = |to: [u8; 6], ether_type| ethernet(to, NEAR.0, ether_type, &[0x5a; 60]);
    let mut cases = Vec::new();
    for (name, ether_type) in [("VLAN", 0x8100), ("MPLS", 0x8847), ("IEEE 802.3", 60)] {
        cases.extend([
            (name, frame(FAR.0, ether_type), 0, sent(Verdict::HandedOver)),
            (name, frame(DISTANT.0, ether_type), 0, sent(Verdict::HandedOver)),
            (name, frame(BESIDE.0, ether_type), 0, sent(Verdict::ToContainer)),
            (name, frame(BRIDGE.0, ether_type), 0, sent(Verdict::ToContainer)),
            (name, frame(GATEWAY.0, ether_type), 0, sent(Verdict::ToHost)),
            (name, frame([2; 6], ether_type), 0, dropped(DropReason::UnknownDestination)),
            (name, frame(LOST, ether_type), 0, dropped(DropReason::UnknownVtep)),
        ]);
    }
    cases
}

#[test]
fn verdicts() -> Result<()> {
    check(&tables())
}

#[test]
fn a_packet_is_wrapped_byte_for_byte() -> Result<()> {
    let mut rig = Rig::new()?;
    for tos in [0, 0b10, 0b11, 46 << 2 | 0b01] {
        let inner = ethernet(
            FAR.0,
            NEAR.0,
            0x0800,
            &ipv4(NEAR.1, FAR.1, tos, UDP, &udp(53, 5353, b"a question")),
        );
        let seen = run(&mut rig, &inner, 0);
        assert_eq!(seen.end, sent(Verdict::ToUnderlay));

        // The flow's hash shows in two places, and is the kernel's secret: both must agree with each other.
        let identification = [seen.packet[18], seen.packet[19]];
        let source_port = u16::from_be_bytes([seen.packet[34], seen.packet[35]]);
        assert!(source_port >= 49_152, "{source_port}");
        let mut expected =
            vec![0x45, tos, 0, 0, identification[0], identification[1], 0x40, 0, 64, UDP, 0, 0];
        expected.splice(2..4, u16::try_from(36 + inner.len())?.to_be_bytes());
        expected.extend(HOST_A);
        expected.extend(HOST_B);
        let checksum = testbed::frames::checksum(&expected);
        expected.splice(10..12, checksum);
        let vxlan = testbed::frames::vxlan(VNI, &inner);
        expected.extend(udp(source_port, crate::object::PORT, &vxlan));
        // The outer Ethernet header is the kernel's to write: the program leaves the inner one in its place.
        assert_eq!(seen.packet, [&inner[..14], &expected].concat());
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
    ] {
        let seen = run(&mut rig, &to(gone, station.1, 4), 0);
        assert_eq!(seen.end, sent(verdict), "{name}");
        assert_eq!(seen.packet[inner_at..], datagram(station, 4), "{name}");
    }
    Ok(())
}

#[test]
fn a_flow_keeps_its_source_port_and_flows_differ() -> Result<()> {
    let mut rig = Rig::new()?;
    let mut port = |from: u16| {
        let payload = ipv4(NEAR.1, FAR.1, 0, UDP, &udp(from, 2000, b"data"));
        let seen = run(&mut rig, &ethernet(FAR.0, NEAR.0, 0x0800, &payload), 0);
        u16::from_be_bytes([seen.packet[34], seen.packet[35]])
    };
    let ports: Vec<_> = (1000..1064).map(&mut port).collect();
    let again: Vec<_> = (1000..1064).map(&mut port).collect();
    assert_eq!(ports, again);
    let distinct = ports.iter().collect::<std::collections::BTreeSet<_>>().len();
    assert!(distinct > 48, "64 flows have {distinct} source ports");
    Ok(())
}

#[test]
fn cut_anywhere_it_is_dropped_and_counted() -> Result<()> {
    let mut rig = Rig::new()?;
    // The kernel takes no shorter ones for a test; `packet_path` sends them.
    for (whole, shortest) in [(datagram(FAR, 20), 34), (arp(1, NEAR, ([0; 6], FAR.1)), 15)] {
        for length in shortest..whole.len() {
            let seen = run(&mut rig, &whole[..length], 0);
            let dropped = matches!(seen.end.1, Some(Outcome::Dropped(_)));
            assert!(dropped, "cut to {length} bytes: {:?}", seen.end);
        }
    }
    Ok(())
}

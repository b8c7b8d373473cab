use anyhow::Result;
use netctl_common::{Direction, DropReason, Outcome, Verdict, maps::Port};

use testbed::frames::{TCP, UDP, arp, ethernet, ipv4, udp};

use crate::rig::{
    BESIDE, Case, DROP, FAR, GATEWAY, HOST_A, HOST_B, LOST, MTU, NEAR, REDIRECT, Rig, Seen, VNI,
    dropped, forwarded,
};

const ANYBODY: [u8; 6] = [0; 6];
const NOWHERE: [u8; 4] = [0; 4];

fn run(rig: &mut Rig, packet: &[u8], segment: u32) -> Seen {
    rig.run(Direction::FromContainer, packet, segment)
}

/// A frame from `NEAR` that carries so many bytes of UDP.
fn datagram(to: [u8; 6], address: [u8; 4], bytes: usize) -> Vec<u8> {
    let payload = udp(1000, 2000, &vec![0x5a; bytes]);
    ethernet(to, NEAR.0, 0x0800, &ipv4(NEAR.1, address, 0, UDP, &payload))
}

fn from(source: [u8; 4]) -> Vec<u8> {
    ethernet(FAR.0, NEAR.0, 0x0800, &ipv4(source, FAR.1, 0, UDP, &udp(1, 2, b"data")))
}

/// A frame to `FAR` with one byte of it changed.
fn changed(place: usize, value: u8) -> Vec<u8> {
    let mut frame = datagram(FAR.0, FAR.1, 4);
    frame[place] = value;
    frame
}

fn changed_arp(place: usize, value: u8) -> Vec<u8> {
    let mut frame = arp(1, NEAR, (ANYBODY, FAR.1));
    frame[place] = value;
    frame
}

#[test]
fn verdicts() -> Result<()> {
    let mut rig = Rig::new()?;
    let segmented = ethernet(FAR.0, NEAR.0, 0x0800, &ipv4(NEAR.1, FAR.1, 0, TCP, &[0; 1000]));
    #[rustfmt::skip]
    let cases: &[Case<'_>] = &[
        ("to a container here", datagram(BESIDE.0, BESIDE.1, 4), 0, REDIRECT, forwarded(Verdict::ToContainer)),
        ("to the host", datagram(GATEWAY.0, GATEWAY.1, 4), 0, REDIRECT, forwarded(Verdict::ToHost)),
        ("to another host", datagram(FAR.0, FAR.1, 4), 0, REDIRECT, forwarded(Verdict::ToUnderlay)),
        ("as large as can be", datagram(FAR.0, FAR.1, MTU as usize - 28), 0, REDIRECT, forwarded(Verdict::ToUnderlay)),
        ("a byte too large", datagram(FAR.0, FAR.1, MTU as usize - 27), 0, DROP, dropped(DropReason::TooBig)),
        ("UDP segments", datagram(FAR.0, FAR.1, 3000), 1000, REDIRECT, forwarded(Verdict::HandedOver)),
        ("UDP segments to a container here", datagram(BESIDE.0, BESIDE.1, 3000), 1000, REDIRECT, forwarded(Verdict::ToContainer)),
        ("TCP segments too large", segmented.clone(), MTU - 39, DROP, dropped(DropReason::TooBig)),
        ("UDP segments too large", datagram(FAR.0, FAR.1, 3000), MTU, DROP, dropped(DropReason::TooBig)),
        // The kernel refuses to grow what is merged of neither TCP nor UDP, and a test cannot say which it is.
        ("segments the kernel refuses", segmented, 500, DROP, dropped(DropReason::EncapFailed)),
        ("unknown station", datagram([2; 6], NOWHERE, 4), 0, DROP, dropped(DropReason::UnknownDestination)),
        ("station of no host", datagram(LOST, FAR.1, 4), 0, DROP, dropped(DropReason::UnknownVtep)),
        ("broadcast", datagram([0xff; 6], [255; 4], 4), 0, DROP, dropped(DropReason::GroupDestination)),
        ("multicast", datagram([1, 0, 0x5e, 0, 0, 0xfb], [224, 0, 0, 251], 4), 0, DROP, dropped(DropReason::GroupDestination)),
        ("forged station", ethernet(FAR.0, BESIDE.0, 0x0800, &ipv4(NEAR.1, FAR.1, 0, UDP, &udp(1, 2, b""))), 0, DROP, dropped(DropReason::SourceMac)),
        ("forged address", from(BESIDE.1), 0, DROP, dropped(DropReason::SourceAddress)),
        ("no address", from(NOWHERE), 0, DROP, dropped(DropReason::SourceAddress)),
        ("IPv6", ethernet(FAR.0, NEAR.0, 0x86dd, &[0x60; 40]), 0, DROP, dropped(DropReason::Ipv6)),
        ("VLAN", ethernet(FAR.0, NEAR.0, 0x8100, &[0; 40]), 0, DROP, dropped(DropReason::EtherType)),
        ("not version 4", changed(14, 0x65), 0, DROP, dropped(DropReason::MalformedIpv4)),
        ("header too short", changed(14, 0x44), 0, DROP, dropped(DropReason::MalformedIpv4)),
        ("header past the end", changed(14, 0x4f), 0, DROP, dropped(DropReason::MalformedIpv4)),
        ("total past the end", changed(17, 33), 0, DROP, dropped(DropReason::MalformedIpv4)),
        ("total within the header", changed(17, 19), 0, DROP, dropped(DropReason::MalformedIpv4)),
        ("ARP for nobody", arp(1, NEAR, (ANYBODY, [10, 0, 0, 99])), 0, DROP, dropped(DropReason::ArpUnknown)),
        ("ARP for oneself", arp(1, (NEAR.0, NOWHERE), (ANYBODY, NEAR.1)), 0, DROP, dropped(DropReason::ArpOwnAddress)),
        ("ARP announcement", arp(1, NEAR, (ANYBODY, NEAR.1)), 0, DROP, forwarded(Verdict::ArpAbsorbed)),
        ("ARP announcement as a reply", arp(2, NEAR, ([0xff; 6], NEAR.1)), 0, DROP, forwarded(Verdict::ArpAbsorbed)),
        ("ARP announcement of another's", arp(1, (NEAR.0, FAR.1), (ANYBODY, FAR.1)), 0, DROP, dropped(DropReason::ArpSource)),
        ("ARP from another's address", arp(1, (NEAR.0, BESIDE.1), (ANYBODY, FAR.1)), 0, DROP, dropped(DropReason::ArpSource)),
        ("ARP from another's station", changed_arp(27, 0x12), 0, DROP, dropped(DropReason::ArpSource)),
        ("ARP reply", arp(2, NEAR, (FAR.0, FAR.1)), 0, DROP, dropped(DropReason::ArpReply)),
        ("ARP of another format", changed_arp(18, 8), 0, DROP, dropped(DropReason::MalformedArp)),
        ("ARP of another kind", changed_arp(21, 3), 0, DROP, dropped(DropReason::MalformedArp)),
        ("ARP cut short", arp(1, NEAR, (ANYBODY, FAR.1))[..41].to_vec(), 0, DROP, dropped(DropReason::MalformedArp)),
    ];
    for (name, packet, segment, action, outcome) in cases {
        let seen = run(&mut rig, packet, *segment);
        assert_eq!((seen.action, seen.outcome), (*action, *outcome), "{name}");
        if *outcome != forwarded(Verdict::ToUnderlay) {
            assert_eq!(seen.packet, *packet, "{name}: the packet is left as it was");
        }
    }
    Ok(())
}

#[test]
fn arp_is_answered_in_place() -> Result<()> {
    let mut rig = Rig::new()?;
    for (name, asker, asked) in [
        ("a container of another host", NEAR, FAR),
        ("a container here", NEAR, BESIDE),
        ("the gateway", NEAR, GATEWAY),
        ("a probe for an address that is taken", (NEAR.0, NOWHERE), FAR),
    ] {
        let seen = run(&mut rig, &arp(1, asker, (ANYBODY, asked.1)), 0);
        assert_eq!(
            (seen.action, seen.outcome),
            (REDIRECT, forwarded(Verdict::ArpAnswered)),
            "{name}"
        );
        assert_eq!(seen.packet, arp(2, asked, asker), "{name}");
    }
    Ok(())
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
        assert_eq!((seen.action, seen.outcome), (REDIRECT, forwarded(Verdict::ToUnderlay)));

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
        let seen = run(&mut rig, &datagram(gone, station.1, 4), 0);
        assert_eq!((seen.action, seen.outcome), (REDIRECT, forwarded(verdict)), "{name}");
        assert_eq!(seen.packet[inner_at..], datagram(station.0, station.1, 4), "{name}");
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
fn the_host_may_send_from_any_address() -> Result<()> {
    let mut rig = Rig::new()?;
    rig.set_port(Port::ANY_SOURCE)?;
    let seen = run(&mut rig, &from([198, 51, 100, 7]), 0);
    assert_eq!(seen.outcome, forwarded(Verdict::ToUnderlay));
    Ok(())
}

#[test]
fn a_device_of_no_endpoint_sends_nothing() -> Result<()> {
    let mut rig = Rig::new()?;
    rig.remove_port()?;
    let seen = run(&mut rig, &datagram(FAR.0, FAR.1, 4), 0);
    assert_eq!((seen.action, seen.outcome), (DROP, dropped(DropReason::UnknownPort)));
    Ok(())
}

#[test]
fn cut_anywhere_it_is_dropped_and_counted() -> Result<()> {
    let mut rig = Rig::new()?;
    // The kernel takes no shorter ones for a test; `packet_path` sends them.
    for (whole, shortest) in
        [(datagram(FAR.0, FAR.1, 20), 34), (arp(1, NEAR, (ANYBODY, FAR.1)), 15)]
    {
        for length in shortest..whole.len() {
            let seen = run(&mut rig, &whole[..length], 0);
            assert_eq!(seen.action, DROP, "cut to {length} bytes");
            assert!(
                matches!(seen.outcome, Some(Outcome::Dropped(_))),
                "cut to {length} bytes: {:?}",
                seen.outcome
            );
        }
    }
    Ok(())
}

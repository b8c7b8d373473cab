//! What is sent to the gateway for a station of the network: it goes there as a router would send it.

use anyhow::Result;
use netctl_common::{Direction, DropReason, Verdict, maps::Port};

use testbed::frames::{TCP, UDP, checksum, ethernet, icmpv6, ipv4, ipv6, tcp, udp};

use crate::rig::{
    BESIDE, BRIDGE, DISTANT, End, FAR, GATEWAY, MTU, NEAR, Rig, Station, dropped, sent, six,
};

/// Sets bytes of a frame; the checksum of an IPv4 header stays right.
pub(crate) fn set(mut frame: Vec<u8>, bytes: &[(usize, u8)]) -> Vec<u8> {
    for (place, byte) in bytes {
        frame[*place] = *byte;
    }
    if frame[12..14] == [8, 0] {
        let end = 14 + usize::from(frame[14] % 16) * 4;
        frame.splice(24..26, [0, 0]);
        let sum = checksum(&frame[14..end]);
        frame.splice(24..26, sum);
    }
    frame
}

/// A packet of this protocol as the gateway gets it, and as the station does: IPv4 where there is no `is_v6`.
fn routed(station: Station, is_v6: bool, protocol: u8, bytes: usize, hops: u8) -> [Vec<u8>; 2] {
    let payload = match protocol {
        TCP => tcp(1000, 2000, &vec![0x5a; bytes]),
        _ => udp(1000, 2000, &vec![0x5a; bytes]),
    };
    let (ether_type, place, packet) = if is_v6 {
        (0x86dd, 21, ipv6(six(NEAR), six(station), 0, protocol, &payload))
    } else {
        let mut packet = ipv4(NEAR.1, station.1, 0, protocol, &payload);
        packet[6] = 0x40;
        (0x0800, 22, packet)
    };
    [
        set(ethernet(GATEWAY.0, NEAR.0, ether_type, &packet), &[(place, hops)]),
        set(ethernet(station.0, GATEWAY.0, ether_type, &packet), &[(place, hops - 1)]),
    ]
}

#[test]
fn it_goes_where_a_bridged_packet_would_go() -> Result<()> {
    let mut rig = Rig::new()?;
    let (here, tunnel) = (sent(Verdict::ToContainer), sent(Verdict::ToUnderlay));
    let most = MTU as usize - 48;
    #[rustfmt::skip]
    let cases: [(Station, u8, usize, u32, End, usize); 9] = [
        (BESIDE, UDP, 4, 0, here, 0),
        (BESIDE, TCP, 3000, 1400, here, 0),
        (BRIDGE, UDP, 4, 0, here, 0),
        (FAR, UDP, 4, 0, tunnel, 50),
        (FAR, TCP, 4, 0, tunnel, 50),
        (FAR, UDP, most, 0, tunnel, 50),
        (DISTANT, UDP, 4, 0, tunnel, 70),
        // What the fast path leaves to the kernel's vxlan device.
        (FAR, UDP, 3000, 1000, sent(Verdict::HandedOver), 0),
        (DISTANT, UDP, 3000, 1000, sent(Verdict::HandedOver), 0),
    ];
    for (station, protocol, bytes, segment, end, inner_at) in cases {
        for is_v6 in [false, true] {
            for hops in [2, 64, 255] {
                let [packet, expected] = routed(station, is_v6, protocol, bytes, hops);
                let seen = rig.run(Direction::FromContainer, &packet, segment);
                assert_eq!(seen.end, end, "{station:?} {is_v6} {hops}");
                assert_eq!(seen.packet[inner_at..], expected, "{station:?} {is_v6} {hops}");
            }
        }
    }
    Ok(())
}

#[test]
fn a_header_with_options_is_routed_too() -> Result<()> {
    let mut rig = Rig::new()?;
    let [packet, expected] = routed(BESIDE, false, UDP, 20, 64);
    // The first of its eight words are a header then, and the options do nothing (RFC 791 section 3.1).
    let with_options = |frame| set(frame, &[(14, 0x47), (34, 1), (35, 1), (36, 1), (37, 0)]);
    let seen = rig.run(Direction::FromContainer, &with_options(packet), 0);
    assert_eq!(seen.end, sent(Verdict::ToContainer));
    assert_eq!(seen.packet, with_options(expected));
    Ok(())
}

#[test]
fn what_does_not_fit_the_tunnel_is_reported_as_a_bridged_packet_is() -> Result<()> {
    let mut rig = Rig::new()?;
    for (station, mtu) in [(FAR, 1450_u16), (DISTANT, 1430)] {
        let [packet, routed4] = routed(station, false, UDP, 2000, 64);
        let seen = rig.run(Direction::FromContainer, &packet, 0);
        assert_eq!(seen.end, sent(Verdict::TooBigReported));
        let icmp = [&[3, 4, 0, 0, 0, 0][..], &mtu.to_be_bytes(), &routed4[14..][..512]].concat();
        assert_eq!(seen.packet[..12], [NEAR.0, station.0].concat());
        assert_eq!(seen.packet[26..34], [station.1, NEAR.1].concat());
        let sum = checksum(&icmp);
        assert_eq!(seen.packet[34..], [&icmp[..2], &sum, &icmp[4..]].concat());

        let [packet, routed6] = routed(station, true, UDP, 2000, 64);
        let seen = rig.run(Direction::FromContainer, &packet, 0);
        assert_eq!(seen.end, sent(Verdict::TooBigReported));
        let mtu = u32::from(mtu).to_be_bytes();
        let message = [&[2, 0, 0, 0][..], &mtu, &routed6[14..][..1232]].concat();
        assert_eq!(seen.packet[54..], icmpv6(six(station), six(NEAR), &message)[40..]);
    }
    Ok(())
}

/// The host gets what no station has the address of, and what no router may forward, as it is.
#[test]
fn all_else_is_the_hosts() -> Result<()> {
    let mut rig = Rig::new()?;
    let data = udp(1, 2, b"data");
    let own = [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xfe, 0, 0, 0x11];
    let beside = [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xfe, 0, 0, 0x12];
    let elsewhere = [0x20, 1, 0xd, 0xb8, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7];
    let four = |to| ethernet(GATEWAY.0, NEAR.0, 0x0800, &ipv4(NEAR.1, to, 0, UDP, &data));
    let six_from = |from, to| ethernet(GATEWAY.0, NEAR.0, 0x86dd, &ipv6(from, to, 0, UDP, &data));
    for (name, packet) in [
        ("the gateway", four(GATEWAY.1)),
        ("beyond the network", four([198, 51, 100, 7])),
        ("nobody", four([10, 0, 0, 99])),
        ("a group", four([224, 0, 0, 251])),
        ("the gateway over IPv6", six_from(six(NEAR), six(GATEWAY))),
        ("beyond the network over IPv6", six_from(six(NEAR), elsewhere)),
        ("a link-local address", six_from(six(NEAR), beside)),
        ("from a link-local address", six_from(own, six(BESIDE))),
        ("tagged", {
            let [packet, _] = routed(BESIDE, false, UDP, 4, 64);
            [&packet[..12], &[0x81, 0, 0, 7], &packet[12..]].concat()
        }),
    ] {
        let seen = rig.run(Direction::FromContainer, &packet, 0);
        assert_eq!((seen.end, seen.packet), (sent(Verdict::ToHost), packet), "{name}");
    }
    Ok(())
}

#[test]
fn nobody_gets_what_he_sent_himself() -> Result<()> {
    let mut rig = Rig::new()?;
    for is_v6 in [false, true] {
        let [packet, _] = routed(NEAR, is_v6, UDP, 4, 64);
        let seen = rig.run(Direction::FromContainer, &packet, 0);
        assert_eq!(seen.end, dropped(DropReason::OwnStation));
    }
    Ok(())
}

/// A container that may send from any address is a router itself, and gets no other treatment.
#[test]
fn whoever_sends_it() -> Result<()> {
    let mut rig = Rig::new()?;
    rig.set_port(Port::ANY_SOURCE)?;
    let four = |to: [u8; 6], from: [u8; 6], ttl| {
        let packet = ipv4([198, 51, 100, 7], FAR.1, 0, UDP, &udp(1, 2, b"data"));
        set(ethernet(to, from, 0x0800, &packet), &[(22, ttl)])
    };
    let seen = rig.run(Direction::FromContainer, &four(GATEWAY.0, NEAR.0, 64), 0);
    assert_eq!(seen.end, sent(Verdict::ToUnderlay));
    assert_eq!(seen.packet[50..], four(FAR.0, GATEWAY.0, 63));
    Ok(())
}

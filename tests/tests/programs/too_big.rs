//! Reports that a packet is too big.

use anyhow::Result;
use netctl_common::{Direction, DropReason, Verdict, maps::Vtep};

use testbed::frames::{ICMPV6, TCP, UDP, checksum, ethernet, ipv4, ipv6, tcp, udp};

use crate::{
    object,
    rig::{
        BESIDE, DISTANT, FAR, HOST_A, HOST_B, MTU, NEAR, Rig, Station, VTEP_B, dropped, sent, six,
    },
    table::{Table, check},
};

/// An IPv4 packet under these flags and this offset (RFC 791 section 3.1), with so many bytes in all.
fn four(station: Station, address: [u8; 4], flags: u8, protocol: u8, bytes: usize) -> Vec<u8> {
    let transport = match protocol {
        TCP => tcp(1, 2, &pattern(bytes - 40)),
        _ => udp(1, 2, &pattern(bytes - 28)),
    };
    let mut packet = ipv4(NEAR.1, address, 0, protocol, &transport);
    packet[6] = flags;
    packet.splice(10..12, [0, 0]);
    let checksum = checksum(&packet[..20]);
    packet.splice(10..12, checksum);
    ethernet(station.0, NEAR.0, 0x0800, &packet)
}

/// The same for IPv6.
fn six_of(station: Station, address: [u8; 16], next: u8, bytes: usize) -> Vec<u8> {
    let transport = match next {
        TCP => tcp(1, 2, &pattern(bytes - 60)),
        _ => udp(1, 2, &pattern(bytes - 48)),
    };
    ethernet(station.0, NEAR.0, 0x86dd, &ipv6(six(NEAR), address, 0, next, &transport))
}

/// Bytes that do not repeat soon, so that a wrong sum shows.
fn pattern(bytes: usize) -> Vec<u8> {
    (0_u8..251).cycle().zip((0_u8..=255).cycle()).map(|(a, b)| a ^ b).take(bytes).collect()
}

const WHOLE: u8 = 0x40;

pub(crate) fn tables() -> Vec<Table> {
    let direction = Direction::FromContainer;
    let most = MTU as usize;
    let reported = sent(Verdict::TooBigReported);
    let (far, far6) = (FAR.1, six(FAR));
    let group6 = [0xff, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7];
    let too_big = dropped(DropReason::TooBig);
    #[rustfmt::skip]
    let cases = vec![
        ("as large as can be", four(FAR, far, WHOLE, UDP, most), 0, sent(Verdict::ToUnderlay)),
        ("a byte too large", four(FAR, far, WHOLE, UDP, most + 1), 0, reported),
        ("a byte too large, and may be cut", four(FAR, far, 0, UDP, most + 1), 0, sent(Verdict::HandedOver)),
        ("over IPv6", four(DISTANT, DISTANT.1, WHOLE, UDP, most - 19), 0, reported),
        ("as large as can be, IPv6", six_of(FAR, far6, UDP, most), 0, sent(Verdict::ToUnderlay)),
        ("a byte too large, IPv6", six_of(FAR, far6, UDP, most + 1), 0, reported),
        ("IPv6 over IPv6", six_of(DISTANT, six(DISTANT), UDP, most - 19), 0, reported),
        ("to a container here", four(BESIDE, BESIDE.1, WHOLE, UDP, 3400), 0, sent(Verdict::ToContainer)),
        ("first fragment", four(FAR, far, WHOLE | 0x20, UDP, most + 1), 0, reported),
        ("later fragment", four(FAR, far, WHOLE | 1, UDP, most + 1), 0, too_big),
        ("for a group", four(FAR, [224, 0, 0, 1], WHOLE, UDP, most + 1), 0, too_big),
        ("for all", four(FAR, [255; 4], WHOLE, UDP, most + 1), 0, too_big),
        ("for a group, IPv6", six_of(FAR, group6, UDP, most + 1), 0, too_big),
        ("TCP segments", four(FAR, far, WHOLE, TCP, 3000), MTU - 39, reported),
        ("TCP segments, IPv6", six_of(FAR, far6, TCP, 3000), MTU - 59, reported),
        ("UDP segments", four(FAR, far, WHOLE, UDP, 3000), MTU - 27, reported),
        ("UDP segments, IPv6", six_of(FAR, far6, UDP, 3000), MTU - 47, reported),
        ("UDP segments that fit", four(FAR, far, WHOLE, UDP, 3000), MTU - 28, sent(Verdict::HandedOver)),
        ("UDP segments that fit, IPv6", six_of(FAR, far6, UDP, 3000), MTU - 48, sent(Verdict::HandedOver)),
        ("TCP segments that fit", four(FAR, far, WHOLE, TCP, 3000), MTU - 40, sent(Verdict::HandedOver)),
        ("TCP segments that fit, IPv6", six_of(FAR, far6, TCP, 3000), MTU - 60, sent(Verdict::HandedOver)),
        // What the kernel cuts where it was joined: SCTP.
        ("joined of whole chunks", four(FAR, far, WHOLE, 132, 3000), 0xffff, sent(Verdict::HandedOver)),
        ("joined of whole chunks, IPv6", six_of(FAR, far6, 132, 3000), 0xffff, sent(Verdict::HandedOver)),
    ];
    // No network may be so narrow; such a packet has not what a report would quote.
    let narrow = vec![
        ("less than is quoted", four(FAR, far, WHOLE, UDP, 511), 0, too_big),
        ("as much as is quoted", four(FAR, far, WHOLE, UDP, 512), 0, reported),
        ("less than is quoted, IPv6", six_of(FAR, far6, UDP, 1231), 0, too_big),
        ("as much as is quoted, IPv6", six_of(FAR, far6, UDP, 1232), 0, reported),
    ];
    vec![
        Table { direction, setting: |_| Ok(()), cases },
        Table {
            direction,
            setting: |rig| rig.set_vtep(VTEP_B, Vtep::new_v4(HOST_A, HOST_B, object::PORT, 400)),
            cases: narrow,
        },
    ]
}

#[test]
fn verdicts() -> Result<()> {
    check(&tables())
}

#[test]
fn ipv4_is_reported_byte_for_byte() -> Result<()> {
    let mut rig = Rig::new()?;
    for (station, mtu, protocol, segment) in [
        (FAR, 1450_u16, UDP, 0),
        (FAR, 1450, UDP, 2000),
        (FAR, 1450, TCP, 1500),
        (DISTANT, 1430, UDP, 0),
    ] {
        for bytes in [1451, 2000, 3400] {
            let packet = four(station, station.1, WHOLE, protocol, bytes);
            let seen = rig.run(Direction::FromContainer, &packet, segment);
            assert_eq!(seen.end, sent(Verdict::TooBigReported));
            let [high, low] = mtu.to_be_bytes();
            let mut icmp = vec![3, 4, 0, 0, 0, 0, high, low];
            icmp.extend(&packet[14..14 + 512]);
            let sum = checksum(&icmp);
            icmp.splice(2..4, sum);
            let mut ip = ipv4(station.1, NEAR.1, 0xc0, 1, &icmp);
            // It has no identification, because it is not to be cut.
            ip.splice(4..8, [0, 0, 0x40, 0]);
            ip.splice(10..12, [0, 0]);
            let sum = checksum(&ip[..20]);
            ip.splice(10..12, sum);
            assert_eq!(seen.packet, ethernet(NEAR.0, station.0, 0x0800, &ip), "{bytes} bytes");
        }
    }
    Ok(())
}

#[test]
fn ipv6_is_reported_byte_for_byte() -> Result<()> {
    let mut rig = Rig::new()?;
    for (station, mtu, next, segment) in [
        (FAR, 1450_u32, UDP, 0),
        (FAR, 1450, UDP, 2000),
        (FAR, 1450, TCP, 1500),
        (DISTANT, 1430, UDP, 0),
    ] {
        for bytes in [1451, 2000, 3400] {
            let packet = six_of(station, six(station), next, bytes);
            let seen = rig.run(Direction::FromContainer, &packet, segment);
            assert_eq!(seen.end, sent(Verdict::TooBigReported));
            let quoted = &packet[14..14 + 1232];
            let message = [&[2, 0, 0, 0][..], &mtu.to_be_bytes(), quoted].concat();
            let mut ip = testbed::frames::icmpv6(six(station), six(NEAR), &message);
            assert_eq!((ip.len(), ip[6]), (1280, ICMPV6));
            ip.splice(0..2, [0x6c, 0]);
            ip[7] = 64;
            assert_eq!(seen.packet, ethernet(NEAR.0, station.0, 0x86dd, &ip), "{bytes} bytes");
        }
    }
    Ok(())
}

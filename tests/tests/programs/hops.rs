//! What may pass no further router, sent to the gateway for a station of the network.

use anyhow::Result;
use netctl_common::{Direction, DropReason, Verdict};

use testbed::frames::{TCP, UDP, checksum, ethernet, icmpv6, ipv4, ipv6, tcp, udp};

use crate::{
    rig::{BESIDE, DISTANT, FAR, GATEWAY, NEAR, Rig, dropped, sent, six},
    routed::set,
    table::{Case, Table, check},
};

/// A frame for the gateway with this TTL.
fn four(to: [u8; 4], protocol: u8, payload: &[u8], ttl: u8) -> Vec<u8> {
    set(ethernet(GATEWAY.0, NEAR.0, 0x0800, &ipv4(NEAR.1, to, 0, protocol, payload)), &[(22, ttl)])
}

/// The same for IPv6.
fn six_to(to: [u8; 16], next: u8, payload: &[u8], hops: u8) -> Vec<u8> {
    set(ethernet(GATEWAY.0, NEAR.0, 0x86dd, &ipv6(six(NEAR), to, 0, next, payload)), &[(21, hops)])
}

fn message6(kind: u8) -> Vec<u8> {
    let packet =
        icmpv6(six(NEAR), six(FAR), &[&[kind, 0, 0, 0, 0, 0, 0, 0][..], &[7; 48]].concat());
    set(ethernet(GATEWAY.0, NEAR.0, 0x86dd, &packet), &[(21, 1)])
}

pub(crate) fn tables() -> Vec<Table> {
    let direction = Direction::FromContainer;
    let (told, untold) = (sent(Verdict::TtlReported), dropped(DropReason::TtlExpired));
    let datagram = udp(1000, 2000, &[7; 32]);
    let segment = tcp(1000, 2000, &[7; 32]);
    let message = |kind: u8| [&[kind, 0, 0, 0, 0, 0, 0, 0][..], &[7; 28]].concat();
    let cut = |high, low| set(four(FAR.1, UDP, &datagram, 1), &[(20, high), (21, low)]);
    let with_options = {
        let options = [&[1, 1, 1, 0][..], &datagram].concat();
        set(four(FAR.1, UDP, &options, 1), &[(14, 0x46)])
    };
    #[rustfmt::skip]
    let mut cases: Vec<Case> = vec![
        ("to a container here", four(BESIDE.1, UDP, &datagram, 1), 0, told),
        ("to another host", four(FAR.1, UDP, &datagram, 1), 0, told),
        ("to another host over IPv6", four(DISTANT.1, UDP, &datagram, 1), 0, told),
        ("with none at all", four(FAR.1, UDP, &datagram, 0), 0, told),
        ("TCP", four(FAR.1, TCP, &segment, 1), 0, told),
        ("TCP segments", four(FAR.1, TCP, &tcp(1, 2, &[7; 3000]), 1), 1400, told),
        ("as much as must be quoted", four(FAR.1, UDP, &datagram[..8], 1), 0, told),
        ("less", four(FAR.1, UDP, &datagram[..7], 1), 0, untold),
        ("first fragment", cut(0x20, 0), 0, told),
        ("later fragment", cut(0, 1), 0, untold),
        ("with options", with_options, 0, untold),
        ("to the gateway", four(GATEWAY.1, UDP, &datagram, 1), 0, sent(Verdict::ToHost)),
        ("beyond the network", four([198, 51, 100, 7], UDP, &datagram, 1), 0, sent(Verdict::ToHost)),
        ("IPv6 to a container here", six_to(six(BESIDE), UDP, &datagram, 1), 0, told),
        ("IPv6 to another host", six_to(six(FAR), UDP, &datagram, 1), 0, told),
        ("IPv6 with none at all", six_to(six(FAR), UDP, &datagram, 0), 0, told),
        ("TCP over IPv6", six_to(six(FAR), TCP, &segment, 1), 0, told),
        ("TCP segments over IPv6", six_to(six(FAR), TCP, &tcp(1, 2, &[7; 3000]), 1), 1400, told),
        ("as much as must be quoted of IPv6", six_to(six(FAR), UDP, &datagram[..8], 1), 0, told),
        ("less of IPv6", six_to(six(FAR), UDP, &datagram[..7], 1), 0, untold),
        ("an echo over IPv6", message6(128), 0, told),
        ("IPv6 to the gateway", six_to(six(GATEWAY), UDP, &datagram, 1), 0, sent(Verdict::ToHost)),
    ];
    for kind in [0, 8, 13] {
        cases.push(("ICMP", four(FAR.1, 1, &message(kind), 1), 0, told));
    }
    for kind in [3, 4, 5, 11, 12] {
        cases.push(("an ICMP error", four(FAR.1, 1, &message(kind), 1), 0, untold));
    }
    for kind in [1, 2, 3, 4, 127] {
        cases.push(("an ICMPv6 error", message6(kind), 0, untold));
    }
    let nameless = vec![
        ("from a gateway with no address", four(FAR.1, UDP, &datagram, 1), 0, untold),
        ("the same, IPv6", six_to(six(FAR), UDP, &datagram, 1), 0, untold),
    ];
    vec![
        Table { direction, setting: |_| Ok(()), cases },
        Table { direction, setting: Rig::forget_gateways, cases: nameless },
    ]
}

#[test]
fn verdicts() -> Result<()> {
    check(&tables())
}

#[test]
fn the_sender_is_told_byte_for_byte() -> Result<()> {
    let mut rig = Rig::new()?;
    let datagram = udp(1000, 2000, &[0x5a; 9]);
    for (protocol, payload, quoted, segment) in [
        (UDP, datagram, 8, 0),
        (UDP, udp(1000, 2000, &[0x5a; 3000]), 20, 1400),
        (TCP, tcp(1000, 2000, &[0xa5; 3000]), 20, 1400),
    ] {
        let packet = four(FAR.1, protocol, &payload, 1);
        let icmp = [&[11, 0, 0, 0, 0, 0, 0, 0], &packet[14..][..20 + quoted]].concat();
        let mut report = ipv4(GATEWAY.1, NEAR.1, 0xc0, 1, &set_sum(icmp, 2));
        // It has no identification, because it is not to be cut.
        report.splice(4..8, [0, 0, 0x40, 0]);
        report.splice(10..12, [0, 0]);
        let sum = checksum(&report[..20]);
        report.splice(10..12, sum);
        let seen = rig.run(Direction::FromContainer, &packet, segment);
        assert_eq!(seen.end, sent(Verdict::TtlReported));
        assert_eq!(seen.packet, ethernet(NEAR.0, GATEWAY.0, 0x0800, &report));

        let packet = six_to(six(FAR), protocol, &payload, 1);
        let message = [&[3, 0, 0, 0, 0, 0, 0, 0], &packet[14..][..40 + quoted]].concat();
        let mut report = icmpv6(six(GATEWAY), six(NEAR), &message);
        report.splice(0..2, [0x6c, 0]);
        report[7] = 64;
        let seen = rig.run(Direction::FromContainer, &packet, segment);
        assert_eq!(seen.end, sent(Verdict::TtlReported));
        assert_eq!(seen.packet, ethernet(NEAR.0, GATEWAY.0, 0x86dd, &report));
    }
    Ok(())
}

fn set_sum(mut message: Vec<u8>, place: usize) -> Vec<u8> {
    let sum = checksum(&message);
    message.splice(place..place + 2, sum);
    message
}

//! What the programs tell of packets while somebody listens, and that they tell nothing where nobody does.

use std::collections::BTreeMap;

use anyhow::Result;
use netctl_common::{
    Direction, DropReason, MacAddr, Outcome, Verdict,
    counter::{self, Count},
    event::{Budget, EVENT_HEAD, Event, EventKind},
    traffic::{LossKey, PairKey},
};

use testbed::frames::{TCP, UDP, ethernet, icmpv6, ipv4, tcp, udp, vxlan};

use crate::{
    object::PORT,
    rig::{
        BESIDE, BESIDE_DEVICE, DISTANT, FAR, GATEWAY, GATEWAY_DEVICE, HOST_A, HOST_B, NEAR, Rig,
        Station, VNI, six,
    },
};

const FOR_EVER: u64 = u64::MAX;
const LO: u32 = 1;
const ALL: [EventKind; 2] = EventKind::ALL;

/// What became of a packet, and the device that it was given to.
type Way = (Verdict, u32);

fn frame(from: Station, to: Station, protocol: u8, payload: &[u8]) -> Vec<u8> {
    ethernet(to.0, from.0, 0x0800, &ipv4(from.1, to.1, 0, protocol, payload))
}

/// A segment of TCP with these flags.
fn segment(flags: u8) -> Vec<u8> {
    let mut segment = tcp(5000, 80, b"data");
    segment[13] = flags;
    segment
}

/// A frame as another host sends it.
fn tunnelled(from: [u8; 4], inner: &[u8]) -> Vec<u8> {
    let outer = ipv4(from, HOST_A, 0, UDP, &udp(50_000, PORT, &vxlan(VNI, inner)));
    ethernet([0; 6], [2, 0, 0, 0, 1, 1], 0x0800, &outer)
}

/// An echo of `NEAR` by IPv6, or the answer to one of that identifier.
fn echo(kind: u8, from: Station, to: Station, identifier: u8) -> Vec<u8> {
    let message = icmpv6(six(from), six(to), &[kind, 0, 0, 0, 0, identifier, 0, 1]);
    ethernet(to.0, from.0, 0x86dd, &message)
}

fn outcome(event: &Event) -> (Direction, Outcome) {
    counter::at(event.about.place).expect("a place of COUNTERS")
}

fn head(event: &Event) -> &[u8] {
    &event.head[..event.about.head_length as usize]
}

#[test]
fn nothing_is_told_where_nobody_listens_or_not_any_more() -> Result<()> {
    let mut rig = Rig::new()?;
    let dropped = frame(FAR, BESIDE, UDP, &udp(1, 2, b"data"));
    let flow = frame(NEAR, BESIDE, TCP, &segment(2));
    for (kinds, until, told) in
        [(&ALL[..0], 0, 0), (&ALL, 1, 0), (&ALL[..1], FOR_EVER, 1), (&ALL[1..], FOR_EVER, 1)]
    {
        rig.listen(kinds, until)?;
        rig.run(Direction::FromContainer, &dropped, 0);
        rig.run(Direction::FromContainer, &flow, 0);
        assert_eq!(rig.told()?.len(), told, "{kinds:?} until {until}");
    }
    Ok(())
}

#[test]
fn a_drop_is_told_with_what_the_packet_begins_with() -> Result<()> {
    use Direction::{FromContainer, FromTunnel, FromUnderlay, UnderlayFilter};
    let mut rig = Rig::new()?;
    rig.listen(&ALL, FOR_EVER)?;
    let long = frame(NEAR, (FAR.0, [10, 0, 0, 99]), UDP, &udp(1, 2, &[7; 300]));
    let forged = frame(FAR, BESIDE, UDP, &udp(1, 2, b"data"));
    let stranger = tunnelled([192, 0, 2, 99], &frame(FAR, NEAR, UDP, &udp(1, 2, b"data")));
    let alien = tunnelled(HOST_B, &frame(BESIDE, NEAR, UDP, &udp(1, 2, b"data")));
    let mut unknown = long.clone();
    unknown[5] = 0x77;
    for (direction, packet, reason, vni) in [
        (FromContainer, &forged, DropReason::SourceMac, VNI),
        (FromContainer, &unknown, DropReason::UnknownDestination, VNI),
        (FromUnderlay, &stranger, DropReason::UnknownTunnelSource, 0),
        (FromUnderlay, &alien, DropReason::InnerSource, 0),
        (FromTunnel, &long, DropReason::NoTunnelKey, 0),
        (UnderlayFilter, &stranger, DropReason::UnknownTunnelSource, 0),
    ] {
        rig.run(direction, packet, 0);
        let told = rig.told()?;
        assert_eq!(told.len(), 1, "{direction:?} {reason:?}");
        let Event { about, .. } = told[0];
        assert_eq!(outcome(&told[0]), (direction, Outcome::Dropped(reason)));
        assert_eq!((about.device, about.to, about.vni), (LO, 0, vni), "{direction:?} {reason:?}");
        assert_eq!(about.length as usize, packet.len());
        assert_eq!(head(&told[0]), &packet[..packet.len().min(EVENT_HEAD)]);
    }
    rig.remove_port()?;
    rig.run(FromContainer, &forged, 0);
    let told = rig.told()?;
    let unknown = (FromContainer, Outcome::Dropped(DropReason::UnknownPort));
    assert_eq!((outcome(&told[0]), told[0].about.vni), (unknown, 0));
    Ok(())
}

#[test]
fn the_first_packet_of_a_flow_is_told_and_no_other() -> Result<()> {
    use Direction::{FromContainer, FromUnderlay};
    const UNREACHABLE: [u8; 8] = [3, 1, 0, 0, 0, 0, 0, 0];
    let mut rig = Rig::new()?;
    rig.listen(&ALL, FOR_EVER)?;
    let datagram = |from, to, ports: (u16, u16)| frame(from, to, UDP, &udp(ports.0, ports.1, b""));
    let fragment = {
        let mut frame = datagram(NEAR, BESIDE, (9, 9));
        frame[21] = 100;
        frame
    };
    let options = {
        // A SYN behind a header with four bytes of options.
        let mut frame = frame(NEAR, BESIDE, TCP, &[&[1; 4][..], &segment(2)].concat());
        frame[14] = 0x46;
        frame
    };
    let near = |inner: &[u8]| tunnelled(HOST_B, inner);
    #[rustfmt::skip]
    let cases: Vec<(&str, Direction, Vec<u8>, Option<Way>)> = vec![
        ("a SYN", FromContainer, frame(NEAR, BESIDE, TCP, &segment(2)), Some((Verdict::ToContainer, BESIDE_DEVICE))),
        ("the same again", FromContainer, frame(NEAR, BESIDE, TCP, &segment(2)), Some((Verdict::ToContainer, BESIDE_DEVICE))),
        ("a SYN behind options", FromContainer, options, Some((Verdict::ToContainer, BESIDE_DEVICE))),
        ("an answer to one", FromContainer, frame(NEAR, BESIDE, TCP, &segment(0x12)), None),
        ("data", FromContainer, frame(NEAR, BESIDE, TCP, &segment(0x10)), None),
        ("a datagram", FromContainer, datagram(NEAR, BESIDE, (1, 2)), Some((Verdict::ToContainer, BESIDE_DEVICE))),
        ("another of it", FromContainer, datagram(NEAR, BESIDE, (1, 2)), None),
        ("one of another port", FromContainer, datagram(NEAR, BESIDE, (1, 3)), Some((Verdict::ToContainer, BESIDE_DEVICE))),
        ("a later fragment", FromContainer, fragment, None),
        ("to the host", FromContainer, datagram(NEAR, GATEWAY, (1, 53)), Some((Verdict::ToHost, GATEWAY_DEVICE))),
        ("to another host", FromContainer, datagram(NEAR, FAR, (1, 2)), Some((Verdict::ToUnderlay, 0))),
        ("its answer", FromUnderlay, near(&datagram(FAR, NEAR, (2, 1))), None),
        ("to another host by IPv6", FromContainer, echo(128, NEAR, DISTANT, 1), Some((Verdict::ToUnderlay, 0))),
        ("the next echo", FromContainer, echo(128, NEAR, DISTANT, 1), None),
        ("from another host", FromUnderlay, near(&datagram(FAR, NEAR, (7, 8))), Some((Verdict::ToContainer, LO))),
        ("our answer", FromContainer, datagram(NEAR, FAR, (8, 7)), None),
        ("a SYN from another host", FromUnderlay, near(&frame(FAR, NEAR, TCP, &segment(2))), Some((Verdict::ToContainer, LO))),
        ("an error", FromContainer, frame(NEAR, BESIDE, 1, &UNREACHABLE), None),
        ("another protocol", FromContainer, frame(NEAR, BESIDE, 47, b"tunnel"), Some((Verdict::ToContainer, BESIDE_DEVICE))),
        ("what is not IP", FromContainer, ethernet(BESIDE.0, NEAR.0, 0x88cc, b"data"), None),
        ("for a group", FromContainer, datagram(NEAR, ([0xff; 6], [10, 0, 0, 255]), (1, 2)), None),
    ];
    for (name, direction, packet, expected) in cases {
        rig.run(direction, &packet, 0);
        let told = rig.told()?;
        let Some((verdict, to)) = expected else {
            assert!(told.is_empty(), "{name}: {told:?}");
            continue;
        };
        assert_eq!(told.len(), 1, "{name}");
        assert_eq!(outcome(&told[0]), (direction, Outcome::Forwarded(verdict)), "{name}");
        let Event { about, .. } = told[0];
        assert_eq!((about.device, about.to, about.vni), (LO, to, VNI), "{name}");
        assert_eq!(about.length as usize, packet.len(), "{name}");
        // Outer headers are told with the packet where they are put on, and gone where they were taken off.
        let inner = match (direction, verdict) {
            (FromContainer, Verdict::ToUnderlay) if packet[12] == 0x86 => (70, &packet[..]),
            (FromContainer, Verdict::ToUnderlay) => (50, &packet[..]),
            (FromUnderlay, _) => (0, &packet[50..]),
            _ => (0, &packet[..]),
        };
        let shown = &head(&told[0])[inner.0..];
        assert!(inner.1.starts_with(shown) && shown.len() >= 40, "{name}: {shown:?}");
    }
    Ok(())
}

/// What is counted by who sends to whom is so for stations and not for devices, with bytes from the inner frame on; a drop is
/// counted for the device that it came from.
#[test]
fn traffic_is_counted_by_stations_and_drops_by_devices() -> Result<()> {
    use Direction::{FromContainer, FromTunnel, FromUnderlay, UnderlayFilter};
    let mut rig = Rig::new()?;
    let datagram = |from, to, length| frame(from, to, UDP, &udp(1, 2, &vec![7; length]));
    let stranger = tunnelled([192, 0, 2, 99], &datagram(FAR, NEAR, 4));
    let forged = datagram(FAR, BESIDE, 4);
    let sent = [
        (FromContainer, datagram(NEAR, BESIDE, 100)),
        (FromContainer, datagram(NEAR, BESIDE, 50)),
        (FromContainer, datagram(NEAR, FAR, 100)),
        (FromContainer, echo(128, NEAR, DISTANT, 1)),
        (FromContainer, datagram(NEAR, GATEWAY, 10)),
        (FromUnderlay, tunnelled(HOST_B, &datagram(FAR, NEAR, 30))),
        // What is for a group, and what is answered here, is between nobody.
        (FromContainer, datagram(NEAR, ([0xff; 6], [10, 0, 0, 255]), 4)),
        (FromContainer, forged.clone()),
        (FromContainer, forged.clone()),
        (FromUnderlay, stranger.clone()),
        (FromTunnel, datagram(FAR, NEAR, 4)),
        (UnderlayFilter, stranger.clone()),
    ];
    let run = |rig: &mut Rig| {
        for (direction, packet) in &sent {
            rig.run(*direction, packet, 0);
        }
    };
    run(&mut rig);
    rig.listen(&ALL, FOR_EVER)?;
    run(&mut rig);
    rig.count_traffic(1)?;
    run(&mut rig);
    assert!(rig.pairs()?.is_empty() && rig.losses()?.is_empty(), "nobody looks");

    rig.told()?;
    rig.count_traffic(FOR_EVER)?;
    run(&mut rig);
    assert!(rig.told()?.is_empty(), "nobody listens");
    // Ethernet, IPv4 and UDP; and an echo of 8 bytes behind Ethernet and IPv6.
    let udp = |length: u64| 14 + 20 + 8 + length;
    let key = |source: Station, destination: Station, tunnelled| {
        PairKey::new(MacAddr(source.0), MacAddr(destination.0), VNI, tunnelled)
    };
    let expected = BTreeMap::from([
        (key(NEAR, BESIDE, false), Count { packets: 2, bytes: udp(100) + udp(50) }),
        (key(NEAR, FAR, false), Count { packets: 1, bytes: udp(100) }),
        (key(NEAR, DISTANT, false), Count { packets: 1, bytes: 14 + 40 + 8 }),
        (key(NEAR, GATEWAY, false), Count { packets: 1, bytes: udp(10) }),
        (key(FAR, NEAR, true), Count { packets: 1, bytes: udp(30) }),
    ]);
    assert_eq!(rig.pairs()?, expected);
    let key = |direction, reason| LossKey {
        device: LO,
        place: counter::index(direction, Outcome::Dropped(reason)),
    };
    let dropped =
        |packets: u64, packet: &[u8]| Count { packets, bytes: packets * packet.len() as u64 };
    let expected = BTreeMap::from([
        (key(FromContainer, DropReason::SourceMac), dropped(2, &forged)),
        (key(FromUnderlay, DropReason::UnknownTunnelSource), dropped(1, &stranger)),
        (key(FromTunnel, DropReason::NoTunnelKey), dropped(1, &sent[10].1)),
        (key(UnderlayFilter, DropReason::UnknownTunnelSource), dropped(1, &stranger)),
    ]);
    assert_eq!(rig.losses()?, expected);
    Ok(())
}

/// However many packets are dropped, a processor tells of so many in a span, and counts the rest.
#[test]
fn a_flood_is_counted() -> Result<()> {
    const PACKETS: u64 = 5000;
    let mut rig = Rig::new()?;
    rig.listen(&ALL, FOR_EVER)?;
    let forged = frame(FAR, BESIDE, UDP, &udp(1, 2, b"data"));
    for _ in 0..PACKETS {
        rig.run(Direction::FromContainer, &forged, 0);
    }
    let told = u64::try_from(rig.told()?.len())?;
    let lost = rig.lost(EventKind::Drop)?;
    assert_eq!(told + lost, PACKETS);
    assert!(told >= Budget::EACH && lost > 0, "{told} told, {lost} lost");
    assert_eq!(rig.lost(EventKind::Flow)?, 0);
    Ok(())
}

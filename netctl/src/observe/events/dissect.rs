//! What the beginning of a packet says.

use std::net::IpAddr;

use netctl_common::wire::{ether_type, protocol};

use crate::model::{EndView, MacAddr};

/// Where the type stands in an Ethernet header, and what is behind that, in bytes.
const ETHER_TYPE: usize = 12;
const ETHERNET: usize = 14;
/// The ether types of VLAN tags, and how long a tag is in bytes (IEEE 802.1Q).
const TAGS: [u16; 2] = [0x8100, 0x88a8];
const TAG: usize = 4;
/// The shortest headers of IP, in bytes.
const IPV4: usize = 20;
const IPV6: usize = 40;
/// The headers of UDP and of VXLAN, in bytes.
const UDP: usize = 8;
const VXLAN: usize = 8;
/// The flags of TCP that say most.
const TCP_FLAGS: [(u8, &str); 4] = [(0x02, "syn"), (0x10, "ack"), (0x01, "fin"), (0x04, "rst")];

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Dissected {
    pub(super) tunnel: Option<Tunnel>,
    /// The stations that it is from and for.
    pub(super) stations: Option<[MacAddr; 2]>,
    pub(super) source: EndView,
    pub(super) destination: EndView,
    /// See [`crate::model::PacketView`].
    pub(super) protocol: String,
    /// See [`crate::model::PacketView`].
    pub(super) detail: String,
}

/// Outer headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tunnel {
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    pub(super) vni: u32,
}

/// Reads a frame as far as it goes; with `outer` headers, what is in the tunnel.
pub(super) fn dissect(frame: &[u8], outer: bool) -> Dissected {
    if !outer {
        return read(frame).unwrap_or_default();
    }
    let Some((tunnel, inner)) = open(frame) else {
        return read(frame).unwrap_or_default();
    };
    Dissected { tunnel: Some(tunnel), ..read(inner).unwrap_or_default() }
}

/// Takes the outer headers off.
fn open(frame: &[u8]) -> Option<(Tunnel, &[u8])> {
    let packet = frame.get(ETHERNET..)?;
    let (source, destination, header) = match word(frame, ETHER_TYPE)? {
        ether_type::IPV4 => {
            (four(packet, 12)?, four(packet, 16)?, usize::from(packet.first()? & 15) * 4)
        }
        ether_type::IPV6 => (six(packet, 8)?, six(packet, 24)?, IPV6),
        _ => return None,
    };
    let vxlan = packet.get(header + UDP..)?;
    let [_, a, b, c] = array::<4>(vxlan, 3)?;
    let vni = u32::from_be_bytes([0, a, b, c]);
    Some((Tunnel { source, destination, vni }, vxlan.get(VXLAN..)?))
}

fn read(frame: &[u8]) -> Option<Dissected> {
    let stations = [array(frame, 6)?, array(frame, 0)?].map(MacAddr);
    let [source, destination] =
        stations.map(|mac| EndView { mac: Some(mac.to_string()), ..EndView::default() });
    let mut found =
        Dissected { stations: Some(stations), source, destination, ..Dissected::default() };
    let mut at = ETHER_TYPE;
    while word(frame, at).is_some_and(|kind| TAGS.contains(&kind)) {
        at += TAG;
    }
    let Some(kind) = word(frame, at) else { return Some(found) };
    let packet = frame.get(at + 2..).unwrap_or_default();
    let cut = match kind {
        ether_type::IPV4 => ipv4(packet, &mut found),
        ether_type::IPV6 => ipv6(packet, &mut found),
        ether_type::ARP => arp(packet, &mut found),
        other => {
            found.protocol = format!("0x{other:04x}");
            Some(())
        }
    };
    // What it says before its end stands.
    if cut.is_none() && found.protocol.is_empty() {
        let name = match kind {
            ether_type::IPV4 => "ipv4",
            ether_type::IPV6 => "ipv6",
            _ => "arp",
        };
        name.clone_into(&mut found.protocol);
    }
    Some(found)
}

fn ipv4(packet: &[u8], found: &mut Dissected) -> Option<()> {
    // What is no header says nothing.
    if packet.len() < IPV4 || packet[0] >> 4 != 4 {
        return None;
    }
    found.source.address = four(packet, 12);
    found.destination.address = four(packet, 16);
    let number = *packet.get(9)?;
    found.protocol = protocol_name(number);
    if word(packet, 6)? & 0x1fff != 0 {
        "fragment".clone_into(&mut found.detail);
        return Some(());
    }
    transport(number, packet.get(usize::from(packet.first()? & 15) * 4..)?, found)
}

fn ipv6(packet: &[u8], found: &mut Dissected) -> Option<()> {
    if packet.len() < IPV6 || packet[0] >> 4 != 6 {
        return None;
    }
    found.source.address = six(packet, 8);
    found.destination.address = six(packet, 24);
    let mut number = *packet.get(6)?;
    let mut rest = packet.get(IPV6..).unwrap_or_default();
    // Headers of options and routes say how long they are, in eights (RFC 8200 section 4).
    while [protocol::HOP_BY_HOP, protocol::ROUTING, protocol::DESTINATION_OPTIONS].contains(&number)
    {
        found.protocol = protocol_name(number);
        number = *rest.first()?;
        rest = rest.get((usize::from(*rest.get(1)?) + 1) * 8..)?;
    }
    found.protocol = protocol_name(number);
    transport(number, rest, found)
}

fn transport(number: u8, packet: &[u8], found: &mut Dissected) -> Option<()> {
    match number {
        protocol::TCP | protocol::UDP | protocol::SCTP => {
            found.source.port = Some(word(packet, 0)?);
            found.destination.port = Some(word(packet, 2)?);
            if number == protocol::TCP {
                let flags = *packet.get(13)?;
                let set = TCP_FLAGS.iter().filter(|(bit, _)| flags & bit != 0);
                found.detail = set.map(|(_, name)| *name).collect::<Vec<_>>().join(",");
            }
        }
        protocol::ICMP | protocol::ICMPV6 => {
            let kind = *packet.first()?;
            found.detail = match (number, kind) {
                (protocol::ICMP, 0) | (protocol::ICMPV6, 129) => "echo reply".to_owned(),
                (protocol::ICMP, 8) | (protocol::ICMPV6, 128) => "echo request".to_owned(),
                (protocol::ICMP, 3) | (protocol::ICMPV6, 1) => "unreachable".to_owned(),
                (protocol::ICMPV6, 2) => "too big".to_owned(),
                (protocol::ICMP, 11) | (protocol::ICMPV6, 3) => "time exceeded".to_owned(),
                (protocol::ICMPV6, 133) => "router solicitation".to_owned(),
                (protocol::ICMPV6, 134) => "router advertisement".to_owned(),
                (protocol::ICMPV6, 135) => {
                    let target = six(packet, 8).map_or(String::new(), |six| format!(" for {six}"));
                    format!("neighbour solicitation{target}")
                }
                (protocol::ICMPV6, 136) => "neighbour advertisement".to_owned(),
                (_, other) => format!("type {other}"),
            };
        }
        _ => {}
    }
    Some(())
}

/// ARP for IPv4 over Ethernet (RFC 826).
fn arp(packet: &[u8], found: &mut Dissected) -> Option<()> {
    "arp".clone_into(&mut found.protocol);
    found.source.address = Some(four(packet, 14)?);
    found.destination.address = Some(four(packet, 24)?);
    // Whom it asks for, its destination says.
    found.detail = match word(packet, 6)? {
        1 => "request".to_owned(),
        2 => "reply".to_owned(),
        other => format!("operation {other}"),
    };
    Some(())
}

fn protocol_name(number: u8) -> String {
    match number {
        protocol::TCP => "tcp".to_owned(),
        protocol::UDP => "udp".to_owned(),
        protocol::ICMP => "icmp".to_owned(),
        protocol::ICMPV6 => "icmpv6".to_owned(),
        protocol::SCTP => "sctp".to_owned(),
        other => format!("ip-{other}"),
    }
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}

fn word(bytes: &[u8], at: usize) -> Option<u16> {
    array(bytes, at).map(u16::from_be_bytes)
}

fn four(bytes: &[u8], at: usize) -> Option<IpAddr> {
    array::<4>(bytes, at).map(IpAddr::from)
}

fn six(bytes: &[u8], at: usize) -> Option<IpAddr> {
    array::<16>(bytes, at).map(IpAddr::from)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const STATIONS: [u8; 12] = [2, 0, 0, 0, 0, 0x22, 2, 0, 0, 0, 0, 0x11];

    fn frame(kind: u16, payload: &[u8]) -> Vec<u8> {
        [&STATIONS[..], &kind.to_be_bytes(), payload].concat()
    }

    fn in4(protocol: u8, fragment: u16, payload: &[u8]) -> Vec<u8> {
        let [high, low] = fragment.to_be_bytes();
        let head = [0x45, 0, 0, 0, 0, 0, high, low, 64, protocol, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];
        frame(ether_type::IPV4, &[&head[..], payload].concat())
    }

    fn in6(next: u8, payload: &[u8]) -> Vec<u8> {
        let address = |last| [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last];
        let head = [0x60, 0, 0, 0, 0, 0, next, 64];
        frame(ether_type::IPV6, &[&head[..], &address(1), &address(2), payload].concat())
    }

    fn tcp(flags: u8) -> Vec<u8> {
        [&[0x13, 0x88, 0, 80][..], &[0; 9], &[flags], &[0; 6]].concat()
    }

    #[test]
    fn packets_are_told_as_people_call_them() {
        let target = [&[0; 8][..], &[0xfe, 0x80], &[0; 13], &[9]].concat();
        let solicitation = [&[135], &target[1..]].concat();
        let arp = [&[0, 1, 8, 0, 6, 4, 0, 1][..], &[0; 6], &[10, 0, 0, 1], &[0; 6], &[10, 0, 0, 7]];
        for (name, frame, expected) in [
            ("TCP", in4(6, 0, &tcp(0x12)), "10.0.0.1:5000 10.0.0.2:80 tcp syn,ack"),
            ("UDP", in6(17, &[0, 53, 0x13, 0x88]), "fd00::1:53 fd00::2:5000 udp "),
            ("SCTP", in4(132, 0, &[0, 1, 0, 2]), "10.0.0.1:1 10.0.0.2:2 sctp "),
            ("an echo", in4(1, 0, &[8, 0]), "10.0.0.1 10.0.0.2 icmp echo request"),
            ("a reply", in6(58, &[129, 0]), "fd00::1 fd00::2 icmpv6 echo reply"),
            ("an error", in4(1, 0, &[3, 4]), "10.0.0.1 10.0.0.2 icmp unreachable"),
            (
                "discovery",
                in6(58, &solicitation),
                "fd00::1 fd00::2 icmpv6 neighbour solicitation for fe80::9",
            ),
            ("a fragment", in4(17, 100, &[1; 8]), "10.0.0.1 10.0.0.2 udp fragment"),
            ("GRE", in4(47, 0, &[]), "10.0.0.1 10.0.0.2 ip-47 "),
            (
                "options",
                in6(0, &[&[17, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 2][..]].concat()),
                "fd00::1:1 fd00::2:2 udp ",
            ),
            ("ARP", frame(ether_type::ARP, &arp.concat()), "10.0.0.1 10.0.0.7 arp request"),
            (
                "a tag",
                {
                    let mut tagged = in4(6, 0, &tcp(2));
                    tagged.splice(12..12, [0x81, 0, 0, 5]);
                    tagged
                },
                "10.0.0.1:5000 10.0.0.2:80 tcp syn",
            ),
            ("another", frame(0x88cc, &[1]), "- - 0x88cc "),
            ("cut ports", in4(6, 0, &[0, 1]), "10.0.0.1:1 10.0.0.2 tcp "),
            ("a cut header", frame(ether_type::IPV4, &[0x45; 15]), "- - ipv4 "),
            ("another version", frame(ether_type::IPV4, &[0x60; 40]), "- - ipv4 "),
            ("no header", frame(ether_type::IPV6, &[]), "- - ipv6 "),
        ] {
            let found = dissect(&frame, false);
            let end = |end: &EndView| match (end.address, end.port) {
                (Some(address), Some(port)) => format!("{address}:{port}"),
                (Some(address), None) => address.to_string(),
                (None, _) => "-".to_owned(),
            };
            let said = format!(
                "{} {} {} {}",
                end(&found.source),
                end(&found.destination),
                found.protocol,
                found.detail
            );
            assert_eq!(said, expected, "{name}");
            assert_eq!(found.source.mac.as_deref(), Some("02:00:00:00:00:11"), "{name}");
            assert_eq!(found.tunnel, None, "{name}");
        }
        assert_eq!(dissect(&STATIONS[..11], false), Dissected::default());
    }

    #[test]
    fn what_is_in_a_tunnel_is_told_with_its_ends() {
        let inner = in4(6, 0, &tcp(2));
        let vxlan = [&[0; 8][..], &[8, 0, 0, 0, 0, 0x10, 1, 0], &inner].concat();
        for (outer, ends) in [
            (in4(17, 0, &vxlan), ["10.0.0.1", "10.0.0.2"]),
            (in6(17, &vxlan), ["fd00::1", "fd00::2"]),
        ] {
            let [source, destination] = ends.map(|end| end.parse().expect("an address"));
            let expected = Dissected {
                tunnel: Some(Tunnel { source, destination, vni: 4097 }),
                ..dissect(&inner, false)
            };
            assert_eq!(dissect(&outer, true), expected);
        }
        // What is no tunnel is told as it is.
        assert_eq!(dissect(&in4(1, 0, &[8, 0]), true), dissect(&in4(1, 0, &[8, 0]), false));
    }

    proptest! {
        #[test]
        fn no_packet_is_too_much(
            mut frame in prop::collection::vec(any::<u8>(), 0..=128),
            kind in prop::sample::select(vec![0x0800_u16, 0x86dd, 0x0806, 0x8100]),
            outer in any::<bool>(),
        ) {
            if let Some(place) = frame.get_mut(12..14) {
                place.copy_from_slice(&kind.to_be_bytes());
            }
            dissect(&frame, outer);
        }
    }
}

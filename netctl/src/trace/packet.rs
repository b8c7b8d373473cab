//! The packet as a sandbox would send it.

use std::{
    array, fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use netctl_common::{
    MacAddr, checksum,
    wire::{ether_type, protocol},
};
use serde::Serialize;

use super::{Error, Question};
use crate::{dataplane::LONGEST, model::Vni};

/// How long headers are, in bytes.
const ETHERNET: usize = 14;
const IPV4: usize = 20;
const IPV6: usize = 40;
/// How many routers it may pass, as Linux has it.
const HOPS: u8 = 64;
/// What ping sends behind its header.
const PING: usize = 56;
/// What stands in front of a frame in a tunnel by IPv6.
const OUTER: usize = ETHERNET + IPV6 + 8 + 8;
/// The port that it is sent from: of those that are given to who asks for none.
const SOURCE_PORT: u16 = 49_999;

/// What a packet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// The first of a connection
    Tcp,
    /// A datagram
    Udp,
    /// A ping
    Icmp,
}

/// An IP packet that is not to be cut.
#[derive(Clone, Debug)]
pub(super) struct Packet {
    pub(super) protocol: Protocol,
    pub(super) port: u16,
    pub(super) size: usize,
    pub(super) source: Option<IpAddr>,
    pub(super) destination: IpAddr,
    /// Whether it is the answer to one: to an echo, to who asks for a connection, or to a datagram.
    is_answer: bool,
}

impl Packet {
    pub(super) fn new(question: &Question, destination: IpAddr) -> Result<Self, Error> {
        let Question { protocol, port, size, .. } = *question;
        let least = headers(protocol, destination);
        let usual = if protocol == Protocol::Icmp { least + PING } else { least };
        let size = size.map_or(usual, |size| usize::try_from(size).unwrap_or(usize::MAX));
        if size < least || size > usize::from(u16::MAX) {
            return Err(Error::Unknown(format!(
                "--size {size} is not usable: such a packet has {least} to {} bytes",
                u16::MAX
            )));
        }
        Ok(Self { protocol, port, size, source: None, destination, is_answer: false })
    }

    /// The answer that goes to `source`. That of a ping is as long, and others are as short as they are usually.
    pub(super) fn answer(&self, source: IpAddr) -> Self {
        let least = headers(self.protocol, source);
        let size = if self.protocol == Protocol::Icmp { self.size } else { least };
        let (source, destination) = (Some(self.destination), source);
        Self { size, source, destination, is_answer: true, ..self.clone() }
    }

    /// The port of a transport that has ports.
    pub(super) fn port(&self) -> Option<u16> {
        (self.protocol != Protocol::Icmp).then_some(self.port)
    }

    /// The frame that carries it; of one that is longer than can be tried, as much as can.
    pub(super) fn frame(&self, source: MacAddr, destination: MacAddr) -> Vec<u8> {
        let size = self.size.min(LONGEST - ETHERNET);
        let mut frame = [destination.0, source.0].concat();
        let (protocol, payload) = self.payload();
        match (self.source, self.destination) {
            (Some(IpAddr::V6(source)), IpAddr::V6(destination)) => {
                frame.extend(ipv6(protocol, size - IPV6, source, destination));
            }
            (source, IpAddr::V4(destination)) => {
                let source = match source {
                    Some(IpAddr::V4(source)) => source,
                    _ => Ipv4Addr::UNSPECIFIED,
                };
                frame.extend(ipv4(protocol, size, source, destination));
            }
            (_, IpAddr::V6(_)) => {}
        }
        frame.extend(payload);
        frame.resize(ETHERNET + size, 0);
        frame
    }

    /// The same of one that comes in a tunnel, with as much less as that takes.
    pub(super) fn frame_in_tunnel(&self, source: MacAddr, destination: MacAddr) -> Vec<u8> {
        let size = self.size.min(LONGEST - ETHERNET - OUTER);
        Self { size, ..self.clone() }.frame(source, destination)
    }

    /// The protocol's number, and its header.
    fn payload(&self) -> (u8, Vec<u8>) {
        let mut ports = [SOURCE_PORT, self.port];
        if self.is_answer {
            ports.reverse();
        }
        let ports = ports.map(u16::to_be_bytes).concat();
        match self.protocol {
            Protocol::Tcp => {
                // SYN; and with ACK, where it was asked for (RFC 9293 section 3.1).
                let flags = if self.is_answer { 0x12 } else { 0x02 };
                let rest = [0x50, flags, 0xff, 0xff, 0, 0, 0, 0];
                (protocol::TCP, [&ports[..], &[0; 8], &rest].concat())
            }
            Protocol::Udp => {
                let ip = if self.destination.is_ipv4() { IPV4 } else { IPV6 };
                let length = length(self.size.min(LONGEST - ETHERNET) - ip);
                (protocol::UDP, [&ports[..], &length, &[0; 2]].concat())
            }
            Protocol::Icmp => {
                let (protocol, kind) = match (self.destination.is_ipv4(), self.is_answer) {
                    (true, false) => (protocol::ICMP, 8),
                    (true, true) => (protocol::ICMP, 0),
                    (false, false) => (protocol::ICMPV6, 128),
                    (false, true) => (protocol::ICMPV6, 129),
                };
                (protocol, vec![kind, 0, 0, 0, 0, 1, 0, 1])
            }
        }
    }
}

/// The frame in VXLAN (RFC 7348 section 5), from one end to the other, as the device with this address receives it.
pub(super) fn tunnelled(
    frame: &[u8],
    device: MacAddr,
    [source, destination]: [IpAddr; 2],
    port: u16,
    vni: Vni,
) -> Vec<u8> {
    let udp = 8 + 8 + frame.len();
    let mut packet = device.0.to_vec();
    // From a station that is local and no group.
    packet.extend([2, 0, 0, 0, 0, 1]);
    packet.extend(match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            ipv4(protocol::UDP, IPV4 + udp, source, destination)
        }
        (source, destination) => {
            let [source, destination] = [source, destination].map(|address| match address {
                IpAddr::V6(address) => address,
                IpAddr::V4(address) => address.to_ipv6_mapped(),
            });
            ipv6(protocol::UDP, udp, source, destination)
        }
    });
    packet.extend([SOURCE_PORT.to_be_bytes(), port.to_be_bytes(), length(udp), [0; 2]].concat());
    packet.extend([8, 0, 0, 0]);
    packet.extend((vni.get() << 8).to_be_bytes());
    packet.extend(frame);
    packet
}

/// How many bytes the headers of such a packet have.
fn headers(protocol: Protocol, destination: IpAddr) -> usize {
    let ip = if destination.is_ipv4() { IPV4 } else { IPV6 };
    ip + if protocol == Protocol::Tcp { 20 } else { 8 }
}

/// The header of an IPv4 packet of `size` bytes, behind its Ethernet type.
fn ipv4(protocol: u8, size: usize, source: Ipv4Addr, destination: Ipv4Addr) -> Vec<u8> {
    let mut header = vec![0x45, 0];
    header.extend(length(size));
    // Not to be cut; and its checksum is still to come.
    header.extend([0, 0, 0x40, 0, HOPS, protocol, 0, 0]);
    header.extend([source.octets(), destination.octets()].concat());
    let words: [_; IPV4 / 2] = array::from_fn(|word| [header[2 * word], header[2 * word + 1]]);
    header[10..12].copy_from_slice(&checksum::finish(checksum::sum_words(words)));
    [&ether_type::IPV4.to_be_bytes(), &header[..]].concat()
}

/// The header of an IPv6 packet with `payload` bytes behind it, behind its Ethernet type.
fn ipv6(protocol: u8, payload: usize, source: Ipv6Addr, destination: Ipv6Addr) -> Vec<u8> {
    let mut header = ether_type::IPV6.to_be_bytes().to_vec();
    header.extend([0x60, 0, 0, 0]);
    header.extend(length(payload));
    header.extend([protocol, HOPS]);
    header.extend([source.octets(), destination.octets()].concat());
    header
}

/// A length as headers have it.
fn length(bytes: usize) -> [u8; 2] {
    u16::try_from(bytes).unwrap_or(u16::MAX).to_be_bytes()
}

impl fmt::Display for Packet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { protocol, port, size, .. } = self;
        match protocol {
            Protocol::Tcp => write!(f, "TCP to port {port}, {size} bytes,"),
            Protocol::Udp => write!(f, "UDP to port {port}, {size} bytes,"),
            Protocol::Icmp => write!(f, "A ping of {size} bytes"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(protocol: Protocol, size: Option<u32>) -> Question {
        let (source, destination) = (String::new(), String::new());
        Question { source, destination, protocol, port: 80, ipv6: false, size }
    }

    #[test]
    fn packets_are_as_long_as_they_say() {
        for (protocol, address, size) in [
            (Protocol::Icmp, "10.0.0.2", 84),
            (Protocol::Icmp, "fd00::2", 104),
            (Protocol::Tcp, "10.0.0.2", 40),
            (Protocol::Tcp, "fd00::2", 60),
            (Protocol::Udp, "10.0.0.2", 28),
        ] {
            let address: IpAddr = address.parse().expect("an address");
            let mut packet = Packet::new(&question(protocol, None), address).expect("usable");
            assert_eq!(packet.size, size);
            packet.source = Some(address);
            assert_eq!(packet.frame(MacAddr([2; 6]), MacAddr([4; 6])).len(), 14 + size);
            let error = Packet::new(&question(protocol, Some(20)), address).expect_err("too short");
            assert!(error.to_string().starts_with("--size 20 is not usable: such a packet has "));
        }
        let long = question(Protocol::Udp, Some(9000));
        let mut packet = Packet::new(&long, [10, 0, 0, 2].into()).expect("usable");
        packet.source = Some([10, 0, 0, 1].into());
        assert_eq!(packet.frame(MacAddr([2; 6]), MacAddr([4; 6])).len(), LONGEST);
    }

    #[test]
    fn an_answer_goes_the_other_way_about() {
        let (one, other): (IpAddr, IpAddr) = ([10, 0, 0, 1].into(), [10, 0, 0, 2].into());
        // Behind Ethernet and IPv4: where the ports stand, or the type; and TCP's flags.
        let frame = |protocol, is_answer| {
            let question = Packet::new(&question(protocol, Some(100)), other).expect("usable");
            let mut packet = if is_answer { question.answer(one) } else { question };
            packet.source = packet.source.or(Some(one));
            (packet.size, packet.frame(MacAddr([2; 6]), MacAddr([4; 6])))
        };
        let (size, ping) = frame(Protocol::Icmp, true);
        assert_eq!((size, ping[34], &ping[26..34]), (100, 0, &[10, 0, 0, 2, 10, 0, 0, 1][..]));
        assert_eq!(frame(Protocol::Icmp, false).1[34], 8);
        let (size, answer) = frame(Protocol::Tcp, true);
        assert_eq!((size, &answer[34..38], answer[47]), (40, &[0, 80, 0xc3, 0x4f][..], 0x12));
        let (_, asks) = frame(Protocol::Tcp, false);
        assert_eq!((&asks[34..38], asks[47]), (&[0xc3, 0x4f, 0, 80][..], 0x02));
    }

    #[test]
    fn the_headers_sum_is_that_of_rfc_1071() {
        let address: IpAddr = [10, 0, 0, 2].into();
        let mut packet = Packet::new(&question(Protocol::Icmp, None), address).expect("usable");
        packet.source = Some(address);
        let frame = packet.frame(MacAddr([2; 6]), MacAddr([4; 6]));
        let words: [_; 10] = array::from_fn(|word| [frame[14 + 2 * word], frame[15 + 2 * word]]);
        assert_eq!(checksum::finish(checksum::sum_words(words)), [0, 0]);
    }
}

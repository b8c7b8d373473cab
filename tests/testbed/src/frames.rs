//! Packets for tests, written byte by byte from the RFCs and sharing nothing with the code under test.

/// The protocol number of TCP.
pub const TCP: u8 = 6;
/// The protocol number of UDP.
pub const UDP: u8 = 17;
/// The protocol number of ICMPv6.
pub const ICMPV6: u8 = 58;

/// An Ethernet frame.
pub fn ethernet(to: [u8; 6], from: [u8; 6], ether_type: u16, payload: &[u8]) -> Vec<u8> {
    [&to[..], &from, &ether_type.to_be_bytes(), payload].concat()
}

/// An IPv4 packet with a right checksum.
pub fn ipv4(from: [u8; 4], to: [u8; 4], tos: u8, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let total = u16::try_from(20 + payload.len()).expect("a short packet").to_be_bytes();
    let mut header = vec![0x45, tos, total[0], total[1], 0, 1, 0, 0, 64, protocol, 0, 0];
    header.extend(from);
    header.extend(to);
    let checksum = checksum(&header);
    header.splice(10..12, checksum);
    header.extend(payload);
    header
}

/// An IPv6 packet that any number of routers may forward.
pub fn ipv6(from: [u8; 16], to: [u8; 16], tos: u8, next: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).expect("a short packet").to_be_bytes();
    let header = [0x60 + tos / 16, tos % 16 * 16, 0, 0, length[0], length[1], next, 64];
    [&header[..], &from, &to, payload].concat()
}

/// An IPv6 packet with an ICMPv6 message that is sent on this link; the message's checksum is put in.
pub fn icmpv6(from: [u8; 16], to: [u8; 16], message: &[u8]) -> Vec<u8> {
    let mut packet = ipv6(from, to, 0, ICMPV6, message);
    packet[7] = 255;
    let length = u32::try_from(message.len()).expect("a short message").to_be_bytes();
    let checksum = checksum(&[&from[..], &to, &length, &[0, 0, 0, ICMPV6], message].concat());
    packet.splice(42..44, checksum);
    packet
}

/// A neighbour solicitation (RFC 4861 section 4.3) without its Ethernet header.
pub fn solicitation(from: [u8; 16], to: [u8; 16], target: [u8; 16], options: &[u8]) -> Vec<u8> {
    icmpv6(from, to, &[&[135, 0, 0, 0, 0, 0, 0, 0][..], &target, options].concat())
}

/// A neighbour advertisement (RFC 4861 section 4.4) without its Ethernet header.
pub fn advertisement(
    from: [u8; 16],
    to: [u8; 16],
    flags: u8,
    target: [u8; 16],
    options: &[u8],
) -> Vec<u8> {
    icmpv6(from, to, &[&[136, 0, 0, 0, flags, 0, 0, 0][..], &target, options].concat())
}

/// The Internet checksum (RFC 1071) of an even number of bytes.
pub fn checksum(bytes: &[u8]) -> [u8; 2] {
    let mut sum: u32 =
        bytes.chunks(2).map(|pair| u32::from(pair[0]) * 256 + u32::from(pair[1])).sum();
    while sum > 0xffff {
        sum = sum % 65_536 + sum / 65_536;
    }
    u16::try_from(0xffff - sum).expect("folded").to_be_bytes()
}

/// A UDP datagram without a checksum.
pub fn udp(from: u16, to: u16, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(8 + payload.len()).expect("a short datagram");
    let words = [from, to, length, 0].map(u16::to_be_bytes).concat();
    [&words[..], payload].concat()
}

/// A TCP segment without options and without a checksum.
pub fn tcp(from: u16, to: u16, payload: &[u8]) -> Vec<u8> {
    let ports = [from, to].map(u16::to_be_bytes).concat();
    [&ports[..], &[0, 0, 0, 1, 0, 0, 0, 2, 0x50, 0x10, 0xff, 0xff, 0, 0, 0, 0], payload].concat()
}

/// A VXLAN header and a frame.
pub fn vxlan(vni: u32, frame: &[u8]) -> Vec<u8> {
    [&[8, 0, 0, 0][..], &(vni * 256).to_be_bytes(), frame].concat()
}

/// An ARP packet, in a broadcast frame if it is a request.
pub fn arp(operation: u16, sender: ([u8; 6], [u8; 4]), target: ([u8; 6], [u8; 4])) -> Vec<u8> {
    let to = if operation == 1 { [0xff; 6] } else { target.0 };
    let format = [0, 1, 8, 0, 6, 4];
    let words = [&format[..], &operation.to_be_bytes(), &sender.0, &sender.1, &target.0, &target.1];
    ethernet(to, sender.0, 0x0806, &words.concat())
}

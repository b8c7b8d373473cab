//! Packets for tests, written byte by byte from the RFCs and sharing nothing with the code under test.

/// The protocol number of TCP.
pub const TCP: u8 = 6;
/// The protocol number of UDP.
pub const UDP: u8 = 17;

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

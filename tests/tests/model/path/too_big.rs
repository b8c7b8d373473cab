//! Telling a sender that its packet is too big.

use netctl_common::{DropReason, Verdict};
use testbed::frames::{checksum, ipv4};

use super::{
    Answer, Sent,
    frame::{Payload, array},
};
use crate::world::{Endpoint, Ip4, Ip6};

/// How much of the packet is quoted: with the headers it fits what every host takes, 576 and 1280 bytes.
const QUOTED4: usize = 512;
const QUOTED6: usize = 1232;

/// The report comes from whom the packet was for.
pub(super) fn report(
    endpoint: &Endpoint,
    bytes: &[u8],
    payload: &Payload,
    mtu: usize,
) -> Result<Answer, DropReason> {
    let mtu = u32::try_from(mtu).map_err(|_large| DropReason::TooBig)?.to_be_bytes();
    let packet = &bytes[14..];
    let report = match payload {
        // None about later fragments or to groups (RFC 1122 section 3.2.2, RFC 4443 section 2.4).
        Payload::Ipv4(ip) if ip.later_fragment || ip.to[0] >= 224 => {
            return Err(DropReason::TooBig);
        }
        Payload::Ipv6(ip) if ip.to[0] == 0xff => return Err(DropReason::TooBig),
        Payload::Ipv4(ip) => {
            let quoted = packet.get(..QUOTED4).ok_or(DropReason::TooBig)?;
            icmp(ip.to, ip.from, [&[3, 4, 0, 0], &mtu, quoted].concat())
        }
        Payload::Ipv6(ip) => {
            let quoted = packet.get(..QUOTED6).ok_or(DropReason::TooBig)?;
            icmpv6(ip.to, ip.from, 0xc0, 64, [&[2, 0, 0, 0], &mtu, quoted].concat())
        }
        Payload::Arp(_) | Payload::Other => unreachable!("nobody told its sender of a size"),
    };
    let ethernet = [&endpoint.station.mac[..], &array::<6>(bytes, 0), &bytes[12..14]].concat();
    let sent = Sent::Bytes([ethernet, report].concat());
    Ok(Answer::Send(Verdict::TooBigReported, sent))
}

/// An IPv4 packet with an ICMP message, whose checksum is still zero.
pub(super) fn icmp(from: Ip4, to: Ip4, mut message: Vec<u8>) -> Vec<u8> {
    let sum = checksum(&message);
    message.splice(2..4, sum);
    let mut packet = ipv4(from, to, 0xc0, 1, &message);
    // No identification, and not to be cut.
    packet.splice(4..8, [0, 0, 0x40, 0]);
    packet.splice(10..12, [0, 0]);
    let sum = checksum(&packet[..20]);
    packet.splice(10..12, sum);
    packet
}

/// An IPv6 packet with an ICMPv6 message, whose checksum is still zero.
pub(super) fn icmpv6(from: Ip6, to: Ip6, tos: u8, hops: u8, mut message: Vec<u8>) -> Vec<u8> {
    let length = u16::try_from(message.len()).expect("a short message").to_be_bytes();
    let pseudo = [&from[..], &to, &[0, 0], &length, &[0, 0, 0, 58], &message].concat();
    let sum = checksum(&pseudo);
    message.splice(2..4, sum);
    let start = [0x60 + tos / 16, tos % 16 * 16, 0, 0, length[0], length[1], 58, hops];
    [&start[..], &from, &to, &message].concat()
}

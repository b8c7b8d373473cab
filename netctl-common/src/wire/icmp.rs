//! Telling the sender of a packet that it was too big, or that it may pass no further router, in front of what is quoted
//! of it.

use super::protocol;
use crate::{addr6, checksum};

/// How much of a packet is quoted over IPv4, in bytes: with the headers it fits what every host takes, 576 bytes (RFC
/// 1812 section 4.3.2.3).
pub const QUOTED4: u32 = 512;
/// The same over IPv6: with the headers it is the smallest MTU, 1280 bytes (RFC 4443 section 2.4, c).
pub const QUOTED6: u32 = 1280 - HEADERS6;

/// The IPv4 and the ICMP header, in words of four bytes.
pub type Report4 = [u32; 7];
/// The IPv6 and the ICMPv6 header, in words of four bytes.
pub type Report6 = [u32; 12];

const HEADERS4: u32 = 28;
const HEADERS6: u32 = 48;
const _: () = assert!(size_of::<Report4>() == HEADERS4 as usize);
const _: () = assert!(size_of::<Report6>() == HEADERS6 as usize);
const _: () = assert!(QUOTED4 + HEADERS4 <= 576);
// `bpf_csum_diff` sums words of four bytes.
const _: () = assert!(QUOTED4.is_multiple_of(4) && QUOTED6.is_multiple_of(4));

const TTL: u8 = 64;
/// What routers send themselves has this precedence (RFC 1812 section 4.3.2.5: internetwork control).
const TOS: u8 = 0xc0;
/// "Don't fragment": the packet is atomic, so its identification may be zero (RFC 6864 section 4.1).
const DONT_FRAGMENT: u8 = 0x40;
/// "Destination unreachable", "fragmentation needed and DF set" (RFC 792).
const UNREACHABLE: u8 = 3;
const FRAGMENTATION_NEEDED: u8 = 4;
/// ICMPv6's "packet too big" (RFC 4443 section 3.2).
const PACKET_TOO_BIG: u8 = 2;
/// "Time exceeded", "in transit" by its code of zero (RFC 792, RFC 4443 section 3.3).
const TIME_EXCEEDED4: u8 = 11;
const TIME_EXCEEDED6: u8 = 3;

/// Whether an ICMP message of this type tells of an error, about which none is told (RFC 1122 section 3.2.2).
#[inline(always)]
pub const fn is_error4(kind: u8) -> bool {
    // Destination unreachable, source quench, redirect, time exceeded, parameter problem.
    matches!(kind, 3 | 4 | 5 | 11 | 12)
}

/// The headers in front of the first `quoted` bytes of an IPv4 packet, to say that no more than `mtu` bytes fit (RFC
/// 1191 section 4). Addresses are in wire order.
///
/// `quoted_sum` is the sum of the quoted bytes as `bpf_csum_diff` returns it.
#[inline(always)]
pub const fn frag_needed(
    source: [u8; 4],
    destination: [u8; 4],
    mtu: u32,
    quoted: u32,
    quoted_sum: u32,
) -> Report4 {
    let [_, _, mtu_high, mtu_low] = mtu.to_be_bytes();
    let start = [[UNREACHABLE, FRAGMENTATION_NEEDED, 0, 0], [0, 0, mtu_high, mtu_low]];
    report4(source, destination, start, quoted, quoted_sum)
}

/// The headers in front of the first `quoted` bytes of an IPv4 packet, to say that its TTL has ended. Addresses are in
/// wire order.
///
/// `quoted_sum` is the sum of the quoted bytes as `bpf_csum_diff` returns it.
#[inline(always)]
pub const fn time_exceeded4(
    source: [u8; 4],
    destination: [u8; 4],
    quoted: u32,
    quoted_sum: u32,
) -> Report4 {
    let start = [[TIME_EXCEEDED4, 0, 0, 0], [0; 4]];
    report4(source, destination, start, quoted, quoted_sum)
}

/// The IPv4 header, and the ICMP header that starts so, with the checksum still zero.
#[inline(always)]
const fn report4(
    source: [u8; 4],
    destination: [u8; 4],
    [icmp, rest]: [[u8; 4]; 2],
    quoted: u32,
    quoted_sum: u32,
) -> Report4 {
    let [_, _, total_high, total_low] = (quoted + HEADERS4).to_be_bytes();
    let mut words = [
        u32::from_ne_bytes([0x45, TOS, total_high, total_low]),
        u32::from_ne_bytes([0, 0, DONT_FRAGMENT, 0]),
        u32::from_ne_bytes([TTL, protocol::ICMP, 0, 0]),
        u32::from_ne_bytes(source),
        u32::from_ne_bytes(destination),
        u32::from_ne_bytes(icmp),
        u32::from_ne_bytes(rest),
    ];
    let [ip @ .., _, _] = words;
    let [_, _, _, _, _, icmp @ ..] = words;
    words[2] |= in_lower_half(checksum::finish_native(checksum::add_native(0, ip)));
    let sum = checksum::add_native(quoted_sum as u64, icmp);
    words[5] |= in_lower_half(checksum::finish_native(sum));
    words
}

/// The headers in front of the first `quoted` bytes of an IPv6 packet, to say that no more than `mtu` bytes fit (RFC
/// 4443 section 3.2). Addresses are in wire order.
///
/// `quoted_sum` is the sum of the quoted bytes as `bpf_csum_diff` returns it.
#[inline(always)]
pub const fn packet_too_big(
    source: [u8; 16],
    destination: [u8; 16],
    mtu: u32,
    quoted: u32,
    quoted_sum: u32,
) -> Report6 {
    let start = [[PACKET_TOO_BIG, 0, 0, 0], mtu.to_be_bytes()];
    report6(source, destination, start, quoted, quoted_sum)
}

/// The headers in front of the first `quoted` bytes of an IPv6 packet, to say that its hop limit has ended (RFC 4443
/// section 3.3). Addresses are in wire order.
///
/// `quoted_sum` is the sum of the quoted bytes as `bpf_csum_diff` returns it.
#[inline(always)]
pub const fn time_exceeded6(
    source: [u8; 16],
    destination: [u8; 16],
    quoted: u32,
    quoted_sum: u32,
) -> Report6 {
    let start = [[TIME_EXCEEDED6, 0, 0, 0], [0; 4]];
    report6(source, destination, start, quoted, quoted_sum)
}

/// The IPv6 header, and the ICMPv6 header that starts so, with the checksum still zero.
#[inline(always)]
const fn report6(
    source: [u8; 16],
    destination: [u8; 16],
    [icmp, rest]: [[u8; 4]; 2],
    quoted: u32,
    quoted_sum: u32,
) -> Report6 {
    let ([s0, s1, s2, s3], [d0, d1, d2, d3]) = (addr6::words(source), addr6::words(destination));
    let [_, _, payload_high, payload_low] = (quoted + 8).to_be_bytes();
    let mut words = [
        u32::from_ne_bytes([0x60 | TOS >> 4, TOS << 4, 0, 0]),
        u32::from_ne_bytes([payload_high, payload_low, protocol::ICMPV6, TTL]),
        s0,
        s1,
        s2,
        s3,
        d0,
        d1,
        d2,
        d3,
        u32::from_ne_bytes(icmp),
        u32::from_ne_bytes(rest),
    ];
    // The pseudo-header (RFC 8200 section 8.1): addresses, length and next header.
    let [_, _, addresses_and_icmp @ ..] = words;
    let sum = checksum::add_native(quoted_sum as u64, addresses_and_icmp);
    let lengths = [
        u32::from_ne_bytes([0, 0, payload_high, payload_low]),
        u32::from_ne_bytes([0, 0, 0, protocol::ICMPV6]),
    ];
    words[10] |= in_lower_half(checksum::finish_native(checksum::add_native(sum, lengths)));
    words
}

/// A word whose last two bytes in memory are these.
#[inline(always)]
const fn in_lower_half(bytes: [u8; 2]) -> u32 {
    u32::from_ne_bytes([0, 0, bytes[0], bytes[1]])
}

#[cfg(test)]
mod tests {
    use etherparse::{
        Icmpv4Header, Icmpv4Type, Icmpv6Header, Icmpv6Type, IpNumber, Ipv4Header, Ipv6Header,
        icmpv4::{DestUnreachableHeader, TimeExceededCode},
        icmpv6,
    };
    use proptest::{collection::vec, prelude::*};

    use super::*;

    /// As `bpf_csum_diff` sums with nothing to subtract: 32 bits at a time, with the carry around.
    fn sum(bytes: &[u8]) -> u32 {
        bytes.chunks_exact(4).fold(0, |sum: u32, word| {
            let word = u32::from_ne_bytes(word.try_into().expect("four bytes"));
            let (sum, carry) = sum.overflowing_add(word);
            sum + u32::from(carry)
        })
    }

    fn bytes(words: &[u32]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_ne_bytes()).collect()
    }

    proptest! {
        #[test]
        fn frag_needed_is_as_others_write_it(
            source: [u8; 4], destination: [u8; 4], mtu: u16, words in vec(any::<[u8; 4]>(), 5..128),
        ) {
            let quoted = words.concat();
            let length = u32::try_from(quoted.len()).expect("short");
            let built = frag_needed(source, destination, mtu.into(), length, sum(&quoted));

            let why = DestUnreachableHeader::FragmentationNeeded { next_hop_mtu: mtu };
            let icmp =
                Icmpv4Header::with_checksum(Icmpv4Type::DestinationUnreachable(why), &quoted);
            let total = u16::try_from(8 + quoted.len()).expect("short");
            let mut ip = Ipv4Header::new(total, 64, IpNumber::ICMP, source, destination)
                .expect("a header");
            ip.dscp = 48.try_into().expect("six bits");
            ip.dont_fragment = true;
            ip.header_checksum = ip.calc_header_checksum();
            prop_assert_eq!(bytes(&built), [&ip.to_bytes()[..], &icmp.to_bytes()].concat());

            let built = time_exceeded4(source, destination, length, sum(&quoted));
            let why = Icmpv4Type::TimeExceeded(TimeExceededCode::TtlExceededInTransit);
            let icmp = Icmpv4Header::with_checksum(why, &quoted);
            prop_assert_eq!(bytes(&built), [&ip.to_bytes()[..], &icmp.to_bytes()].concat());
        }

        #[test]
        fn packet_too_big_is_as_others_write_it(
            source: [u8; 16], destination: [u8; 16], mtu: u32,
            words in vec(any::<[u8; 4]>(), 10..308),
        ) {
            let quoted = words.concat();
            let length = u32::try_from(quoted.len()).expect("short");
            let built = packet_too_big(source, destination, mtu, length, sum(&quoted));

            let kind = Icmpv6Type::PacketTooBig { mtu };
            let icmp = Icmpv6Header::with_checksum(kind, source, destination, &quoted)
                .expect("short");
            let ip = Ipv6Header {
                traffic_class: 48 << 2,
                payload_length: u16::try_from(8 + quoted.len()).expect("short"),
                next_header: IpNumber::IPV6_ICMP,
                hop_limit: 64,
                source,
                destination,
                ..Ipv6Header::default()
            };
            prop_assert_eq!(bytes(&built), [&ip.to_bytes()[..], &icmp.to_bytes()].concat());

            let built = time_exceeded6(source, destination, length, sum(&quoted));
            let kind = Icmpv6Type::TimeExceeded(icmpv6::TimeExceededCode::HopLimitExceeded);
            let icmp = Icmpv6Header::with_checksum(kind, source, destination, &quoted)
                .expect("short");
            prop_assert_eq!(bytes(&built), [&ip.to_bytes()[..], &icmp.to_bytes()].concat());
        }
    }
}

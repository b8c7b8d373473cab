//! The outer headers of a tunnelled packet: IPv4 (RFC 791) or IPv6 (RFC 8200), UDP (RFC 768), VXLAN (RFC 7348 section
//! 5).
//!
//! A template holds what is the same in all packets to one host; [`finish4`] and [`finish6`] fill in the rest.

mod v6;

pub use v6::{OUTER6, OUTER6_WORDS, OVERHEAD6, Outer6, finish6, template6};

use core::net::IpAddr;

use crate::checksum;

/// How long the outer headers are over IPv4, without Ethernet, in words of four bytes.
pub const OUTER4_WORDS: usize = 9;
/// The same in bytes.
pub const OUTER4: u32 = 36;
/// What encapsulation over IPv4 adds to a packet, in bytes: the outer headers and the inner Ethernet header.
pub const OVERHEAD4: u32 = OUTER4 + 14;

/// What encapsulation adds on the way to a tunnel address: [`OVERHEAD4`] or [`OVERHEAD6`].
pub const fn overhead(vtep: IpAddr) -> u32 {
    if vtep.is_ipv4() { OVERHEAD4 } else { OVERHEAD6 }
}

/// The outer headers over IPv4. Each word is as it stands in memory, so that a program writes nine times, not 36.
pub type Outer4 = [u32; OUTER4_WORDS];

/// The outer TTL and hop limit: Linux's default, since the outer packet is routed like the host's own.
pub const TTL: u8 = 64;
/// "Don't fragment", in the third 16-bit word of the second row.
///
/// A VTEP must not fragment (RFC 7348 section 4.3), and a router must not either: the UDP checksum is zero and the
/// 16-bit identification wraps within milliseconds, so fragments of two packets would be joined unnoticed (RFC 4963).
/// With this flag the packet is atomic, and its identification need not be unique (RFC 6864 section 4.1).
const DONT_FRAGMENT: u16 = 0x4000;
const UDP: u8 = 17;
/// The flag that says that the VNI is valid.
const VNI_VALID: u8 = 0x08;
/// The first of the 16,384 ports that carry a flow's entropy (RFC 6335 section 6: dynamic ports).
const FIRST_SOURCE_PORT: u16 = 49_152;

/// What differs from packet to packet.
#[derive(Clone, Copy, Debug)]
pub struct Inner {
    /// The inner frame's length in bytes, Ethernet header included.
    pub length: u32,
    /// The inner packet's DSCP and ECN, as they stand in its second byte.
    pub tos: u8,
    /// The flow's hash.
    pub hash: u32,
    /// The network's identifier.
    pub vni: u32,
}

/// The template for packets from `local` to `remote`, in wire order, with `port` as the destination.
///
/// What differs from packet to packet is zero in it, and so is the UDP checksum, as RFC 7348 section 4.3 has it.
pub const fn template4(local: [u8; 4], remote: [u8; 4], port: u16) -> Outer4 {
    let [flags_high, flags_low] = DONT_FRAGMENT.to_be_bytes();
    let [port_high, port_low] = port.to_be_bytes();
    [
        u32::from_ne_bytes([0x45, 0, 0, 0]), // version and header length; DSCP and ECN; total length
        u32::from_ne_bytes([0, 0, flags_high, flags_low]), // identification; flags
        u32::from_ne_bytes([TTL, UDP, 0, 0]), // TTL; protocol; checksum
        u32::from_ne_bytes(local),
        u32::from_ne_bytes(remote),
        u32::from_ne_bytes([0, 0, port_high, port_low]), // source port; destination port
        0,                                               // length; checksum
        u32::from_ne_bytes([VNI_VALID, 0, 0, 0]),        // flags
        0,                                               // VNI
    ]
}

/// The sum of a template's IPv4 header, unfolded.
pub const fn template4_sum(template: &Outer4) -> u32 {
    let mut words = [[0; 2]; 10];
    let mut index = 0;
    while index < words.len() / 2 {
        let [a, b, c, d] = template[index].to_ne_bytes();
        words[2 * index] = [a, b];
        words[2 * index + 1] = [c, d];
        index += 1;
    }
    checksum::sum_words(words)
}

/// The outer headers of one packet. `sum` is the template's [`template4_sum`].
///
/// The lengths are zero where the packet is too long for their 16 bits, as the kernel has it for what is segmented
/// later (BIG TCP, `iph_totlen` in `include/linux/ip.h`).
#[inline(always)]
pub const fn finish4(template: &Outer4, sum: u32, inner: &Inner) -> Outer4 {
    let total = inner.length + OUTER4;
    let (total, datagram) = if total > 0xffff { (0, 0) } else { (total, total - 20) };
    // The identification of an atomic packet is free; the flow's hash keeps it from being one constant for all.
    let identification = inner.hash & 0xffff;
    let tos = tunnel_tos(inner.tos);
    let [check_high, check_low] = checksum::finish(sum + tos as u32 + total + identification);
    let [_, _, total_high, total_low] = total.to_be_bytes();
    let [_, _, id_high, id_low] = identification.to_be_bytes();
    let [port_high, port_low] = source_port(inner.hash).to_be_bytes();
    let [_, _, datagram_high, datagram_low] = datagram.to_be_bytes();
    [
        template[0] | u32::from_ne_bytes([0, tos, total_high, total_low]),
        template[1] | u32::from_ne_bytes([id_high, id_low, 0, 0]),
        template[2] | u32::from_ne_bytes([0, 0, check_high, check_low]),
        template[3],
        template[4],
        template[5] | u32::from_ne_bytes([port_high, port_low, 0, 0]),
        template[6] | u32::from_ne_bytes([datagram_high, datagram_low, 0, 0]),
        template[7],
        template[8] | (inner.vni << 8).to_be(),
    ]
}

/// The outer DSCP and ECN for an inner one: both are copied (RFC 6040 section 4.1, normal mode; RFC 2983, uniform).
#[inline(always)]
pub const fn tunnel_tos(inner: u8) -> u8 {
    inner
}

/// The source port that carries the entropy of a flow's hash, so that the underlay spreads flows over its paths.
#[inline(always)]
pub const fn source_port(hash: u32) -> u16 {
    // The high bits: a hash table or a multipath selector in the kernel often takes the low ones.
    let [_, _, high, low] = (hash >> 18).to_be_bytes();
    FIRST_SOURCE_PORT | u16::from_be_bytes([high, low])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LOCAL: [u8; 4] = [192, 0, 2, 1];
    const REMOTE: [u8; 4] = [192, 0, 2, 77];

    /// The headers written field by field from the RFCs, sharing nothing with the code above.
    fn reference(port: u16, inner: &Inner) -> Vec<u8> {
        let total = 20 + 8 + 8 + inner.length;
        let ip_length = u16::try_from(total).unwrap_or(0);
        let udp_length = ip_length.saturating_sub(20);
        let mut out = Vec::new();
        out.push(4 * 16 + 5);
        out.push(inner.tos);
        out.extend(ip_length.to_be_bytes());
        out.extend((inner.hash & 0xffff).to_be_bytes().split_at(2).1);
        out.extend([0b0100_0000, 0, 64, 17, 0, 0]);
        out.extend(LOCAL);
        out.extend(REMOTE);
        let mut sum =
            out.chunks(2).map(|pair| u32::from(pair[0]) * 256 + u32::from(pair[1])).sum::<u32>();
        while sum > 0xffff {
            sum = sum % 65_536 + sum / 65_536;
        }
        out.splice(10..12, (0xffff - sum).to_be_bytes()[2..].to_vec());
        out.extend((49_152 + (inner.hash / (1 << 18)) as u16).to_be_bytes());
        out.extend(port.to_be_bytes());
        out.extend(udp_length.to_be_bytes());
        out.extend([0, 0, 8, 0, 0, 0]);
        out.extend((inner.vni * 256).to_be_bytes());
        out
    }

    proptest! {
        #[test]
        fn equals_the_reference(
            length in 14_u32..200_000, tos: u8, hash: u32, vni in 1_u32..(1 << 24), port: u16,
        ) {
            let inner = Inner { length, tos, hash, vni };
            let template = template4(LOCAL, REMOTE, port);
            let header = finish4(&template, template4_sum(&template), &inner);
            let bytes: Vec<u8> = header.iter().flat_map(|word| word.to_ne_bytes()).collect();
            prop_assert_eq!(bytes, reference(port, &inner));
        }

        #[test]
        fn source_ports_are_dynamic(hash: u32) {
            prop_assert!(source_port(hash) >= 49_152);
        }
    }

    #[test]
    fn source_ports_reach_both_ends() {
        assert_eq!((source_port(0), source_port(u32::MAX)), (49_152, 65_535));
    }
}

use super::{Inner, TTL, UDP, VNI_VALID, source_port, tunnel_tos};
use crate::addr6;

/// How long the outer headers are over IPv6, without Ethernet, in words of four bytes.
pub const OUTER6_WORDS: usize = 14;
/// The same in bytes.
pub const OUTER6: u32 = 56;
/// What encapsulation over IPv6 adds to a packet, in bytes: the outer headers and the inner Ethernet header.
pub const OVERHEAD6: u32 = OUTER6 + 14;

/// The outer headers over IPv6. Each word is as it stands in memory.
pub type Outer6 = [u32; OUTER6_WORDS];

/// The length of the IPv6 header, which its payload length leaves out.
const HEADER: u32 = 40;
/// The bits of a flow label (RFC 8200 section 3).
const FLOW_LABEL: u32 = 0xf_ffff;

/// The template for packets from `local` to `remote`, in wire order, with `port` as the destination.
///
/// What differs from packet to packet is zero in it, and so is the UDP checksum: a tunnel may leave it out over IPv6
/// too (RFC 6935), and what it would protect is protected by the inner packet's own checksum and by validation at the
/// far end (RFC 6936 section 5).
pub const fn template6(local: [u8; 16], remote: [u8; 16], port: u16) -> Outer6 {
    let ([l0, l1, l2, l3], [r0, r1, r2, r3]) = (addr6::words(local), addr6::words(remote));
    let [port_high, port_low] = port.to_be_bytes();
    [
        u32::from_ne_bytes([0x60, 0, 0, 0]), // version; traffic class; flow label
        u32::from_ne_bytes([0, 0, UDP, TTL]), // payload length; next header; hop limit
        l0,
        l1,
        l2,
        l3,
        r0,
        r1,
        r2,
        r3,
        u32::from_ne_bytes([0, 0, port_high, port_low]), // source port; destination port
        0,                                               // length; checksum
        u32::from_ne_bytes([VNI_VALID, 0, 0, 0]),        // flags
        0,                                               // VNI
    ]
}

/// The outer headers of one packet.
///
/// The flow's hash is in the flow label as in the source port, so that routers can spread flows that do not look
/// behind the IPv6 header (RFC 6438). The lengths are zero where the packet is too long for their 16 bits.
#[inline(always)]
pub const fn finish6(template: &Outer6, inner: &Inner) -> Outer6 {
    let payload = inner.length + OUTER6 - HEADER;
    let payload = if payload > 0xffff { 0 } else { payload };
    let class_label = (tunnel_tos(inner.tos) as u32) << 20 | inner.hash & FLOW_LABEL;
    let [_, _, payload_high, payload_low] = payload.to_be_bytes();
    let [port_high, port_low] = source_port(inner.hash).to_be_bytes();
    let payload = u32::from_ne_bytes([payload_high, payload_low, 0, 0]);
    let [_, _, l0, l1, l2, l3, r0, r1, r2, r3, ..] = *template;
    [
        template[0] | class_label.to_be(),
        template[1] | payload,
        l0,
        l1,
        l2,
        l3,
        r0,
        r1,
        r2,
        r3,
        template[10] | u32::from_ne_bytes([port_high, port_low, 0, 0]),
        payload,
        template[12],
        (inner.vni << 8).to_be(),
    ]
}

#[cfg(test)]
mod tests {
    use etherparse::{IpNumber, Ipv6FlowLabel, Ipv6Header, UdpHeader};
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn is_as_others_write_it(
            local: [u8; 16], remote: [u8; 16], port: u16,
            length in 14_u32..200_000, tos: u8, hash: u32, vni in 1_u32..(1 << 24),
        ) {
            let header = finish6(&template6(local, remote, port), &Inner { length, tos, hash, vni });

            let payload = u16::try_from(8 + 8 + length).unwrap_or(0);
            let ip = Ipv6Header {
                traffic_class: tos,
                flow_label: Ipv6FlowLabel::try_new(hash % (1 << 20)).expect("20 bits"),
                payload_length: payload,
                next_header: IpNumber::UDP,
                hop_limit: 64,
                source: local,
                destination: remote,
            };
            let udp = UdpHeader {
                source_port: 49_152 + (hash / (1 << 18)) as u16,
                destination_port: port,
                length: payload,
                checksum: 0,
            };
            let vxlan = [[8, 0, 0, 0], (vni * 256).to_be_bytes()].concat();
            let bytes: Vec<u8> = header.iter().flat_map(|word| word.to_ne_bytes()).collect();
            prop_assert_eq!(bytes, [&ip.to_bytes()[..], &udp.to_bytes(), &vxlan].concat());
        }
    }
}

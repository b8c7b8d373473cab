//! Whether a packet fits the way to its host.

use netctl_common::{
    maps::Vtep,
    wire::{Ipv4, Ipv6, protocol},
};

use crate::{
    packet::Packet,
    parse::{ETHERNET, IPV6},
};

/// The UDP header (RFC 768), in bytes.
const UDP_HEADER: u32 = 8;
/// The header with which the kernel says how much TCP it has merged, where a payload length cannot (`struct
/// hop_jumbo_hdr` in `include/net/ipv6.h`), in bytes.
const JUMBO: u32 = 8;
/// Where a TCP header says how long it is, in words of four bytes, in its upper half (RFC 9293 section 3.1).
const DATA_OFFSET: u32 = 12;
/// What the kernel cuts at the borders of its own buffers (`GSO_BY_FRAGS`): SCTP.
const BY_FRAGMENTS: u32 = 0xffff;

/// How a packet goes through a tunnel.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fit {
    /// As it is, or as the parts that the kernel cuts it into.
    Whole,
    /// In an outer packet that is cut itself: nobody said that it must not be.
    InParts,
    /// Not at all, which its sender has to be told.
    Never,
}

#[inline(always)]
pub(crate) fn fit4(packet: &Packet, ip: &Ipv4, vtep: &Vtep) -> Fit {
    // The kernel's tunnels cut no outer packet of IPv6 (`ip6_fragment` without `ignore_df`).
    let may_be_cut = ip.may_be_cut() && !vtep.is_over_v6();
    if longest(packet, ip.header(), 0, ip.protocol()) <= vtep.mtu() {
        Fit::Whole
    } else if may_be_cut || packet.segment() == BY_FRAGMENTS {
        Fit::InParts
    } else {
        Fit::Never
    }
}

#[inline(always)]
pub(crate) fn fit6(packet: &Packet, ip: &Ipv6, vtep: &Vtep) -> Fit {
    // That header is not on the parts.
    let (jumbo, protocol) = match ip.next_header() {
        protocol::HOP_BY_HOP if packet.segment() != 0 => (JUMBO, protocol::TCP),
        other => (0, other),
    };
    if longest(packet, IPV6 as u32, jumbo, protocol) <= vtep.mtu() {
        Fit::Whole
    } else if packet.segment() == BY_FRAGMENTS {
        Fit::InParts
    } else {
        Fit::Never
    }
}

/// The longest packet that leaves, in bytes from the network layer on: itself, or one of the parts that it is cut into
/// (`skb_gso_network_seglen`). `between` bytes stand between the IP header and the next, and are not on the parts.
#[inline(always)]
fn longest(packet: &Packet, ip_header: u32, between: u32, protocol: u8) -> u32 {
    match packet.segment() {
        0 => packet.len() - ETHERNET as u32,
        segment if protocol == protocol::UDP => segment + ip_header + UDP_HEADER,
        segment => {
            let at = ETHERNET as u32 + ip_header + between + DATA_OFFSET;
            let words = packet.load::<u8>(at).unwrap_or(0) >> 4;
            segment + ip_header + u32::from(words) * 4
        }
    }
}

//! Taking the outer headers off.

use aya_ebpf::{
    bindings::{
        BPF_F_ADJ_ROOM_DECAP_L3_IPV4, BPF_F_ADJ_ROOM_DECAP_L3_IPV6, BPF_F_ADJ_ROOM_FIXED_GSO,
        BPF_F_ADJ_ROOM_NO_CSUM_RESET, bpf_adj_room_mode::BPF_ADJ_ROOM_MAC,
    },
    helpers::generated::{bpf_csum_update, bpf_skb_adjust_room},
};
use netctl_common::{
    DropReason, ecn,
    wire::{Ipv4, Ipv6},
};

use crate::{
    outer::Outer,
    packet::Packet,
    parse::{ETHERNET, Frame, Payload},
};

const KEEP: u64 = (BPF_F_ADJ_ROOM_NO_CSUM_RESET | BPF_F_ADJ_ROOM_FIXED_GSO) as u64;

/// Strips the packet down to `frame`, which stands `INNER` bytes from the start, and carries a congestion mark over.
#[inline(always)]
pub(crate) fn strip<const INNER: usize>(
    packet: &Packet,
    outer: &Outer,
    frame: &Frame,
) -> Result<(), DropReason> {
    let inner_tos = frame.payload.tos();
    let tos = ecn::combine(inner_tos, outer.tos).ok_or(DropReason::CongestionMark)?;
    if tos != inner_tos {
        mark::<INNER>(packet, &frame.payload, tos)?;
    }
    // What the kernel takes the packet for is the outer family, unless it is told that it changes.
    let family = match (frame.is_ipv6(), outer.is_ipv6) {
        (true, false) => BPF_F_ADJ_ROOM_DECAP_L3_IPV6,
        (false, true) => BPF_F_ADJ_ROOM_DECAP_L3_IPV4,
        _ => 0,
    };
    // It is cut behind the Ethernet header: the outer one stays in front, and the inner one goes.
    // SAFETY: a helper call on a valid context; views of the packet end here.
    let failed = unsafe {
        bpf_skb_adjust_room(
            packet.raw(),
            -(INNER as i32),
            BPF_ADJ_ROOM_MAC,
            KEEP | u64::from(family),
        )
    };
    if failed != 0 {
        return Err(DropReason::DecapFailed);
    }
    *packet.at(0).ok_or(DropReason::NotWritable)? = frame.ethernet;
    Ok(())
}

/// Sets the inner packet's DSCP and ECN.
#[inline(always)]
fn mark<const INNER: usize>(packet: &Packet, payload: &Payload, tos: u8) -> Result<(), DropReason> {
    if let Payload::Ipv6(_) = payload {
        // No checksum in the packet covers it, but the sum that a device may have made of the whole packet does
        // (`CHECKSUM_COMPLETE`): over IPv4 the header's checksum keeps that as it was.
        let first = packet.at::<[u8; 4]>(INNER + ETHERNET).ok_or(DropReason::NotWritable)?;
        let before = u32::from_ne_bytes(*first);
        let ip = packet.at::<Ipv6>(INNER + ETHERNET).ok_or(DropReason::NotWritable)?;
        ip.set_tos(tos);
        let first = packet.at::<[u8; 4]>(INNER + ETHERNET).ok_or(DropReason::NotWritable)?;
        let change = u64::from(u32::from_ne_bytes(*first)) + u64::from(!before);
        let change = (change as u32).wrapping_add((change >> 32) as u32);
        // SAFETY: a helper call on a valid context. It refuses where there is no such sum.
        unsafe { bpf_csum_update(packet.raw(), change) };
    } else {
        let ip = packet.at::<Ipv4>(INNER + ETHERNET).ok_or(DropReason::NotWritable)?;
        ip.set_tos(tos);
    }
    Ok(())
}

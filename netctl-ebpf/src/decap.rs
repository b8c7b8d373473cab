//! Taking the outer headers off.

use aya_ebpf::{
    bindings::{
        BPF_F_ADJ_ROOM_DECAP_L3_IPV4, BPF_F_ADJ_ROOM_DECAP_L3_IPV6, BPF_F_ADJ_ROOM_FIXED_GSO,
        BPF_F_ADJ_ROOM_NO_CSUM_RESET, bpf_adj_room_mode::BPF_ADJ_ROOM_MAC,
    },
    helpers::generated::bpf_skb_adjust_room,
};
use netctl_common::{DropReason, ecn};

use crate::{
    outer::{INNER6, Outer},
    packet::Packet,
    parse::{ETHERNET, Frame},
    payload::Payload,
};

const KEEP: u32 = BPF_F_ADJ_ROOM_NO_CSUM_RESET | BPF_F_ADJ_ROOM_FIXED_GSO;

/// Strips the packet down to `frame`, which stands `INNER` bytes from the start, and carries a congestion mark over.
#[inline(always)]
pub(crate) fn strip<const INNER: usize, P: Payload>(
    packet: &Packet,
    outer: &Outer,
    frame: &Frame<P>,
) -> Result<(), DropReason> {
    let inner_tos = frame.payload.tos();
    let tos = ecn::combine(inner_tos, outer.tos).ok_or(DropReason::CongestionMark)?;
    if tos != inner_tos {
        // The network header stands behind the inner Ethernet header.
        if INNER == INNER6 {
            P::mark::<{ INNER6 + ETHERNET }>(packet, tos)?;
        } else {
            P::mark::<{ crate::outer::INNER4 + ETHERNET }>(packet, tos)?;
        }
    }
    // What the kernel takes the packet for is the outer family, unless it is told that it changes.
    let family = match (P::IS_IPV6, INNER == INNER6) {
        (true, false) => BPF_F_ADJ_ROOM_DECAP_L3_IPV6,
        (false, true) => BPF_F_ADJ_ROOM_DECAP_L3_IPV4,
        _ => 0,
    };
    // It is cut behind the Ethernet header: the outer one stays in front, and the inner one goes.
    // SAFETY: a helper call on a valid context; views of the packet end here.
    let failed = unsafe {
        bpf_skb_adjust_room(packet.raw(), -(INNER as i32), BPF_ADJ_ROOM_MAC, (KEEP | family).into())
    };
    if failed != 0 {
        return Err(DropReason::DecapFailed);
    }
    packet.forget_a_sum();
    *packet.at(0).ok_or(DropReason::NotWritable)? = frame.ethernet;
    Ok(())
}

//! Taking the outer headers off.

use aya_ebpf::{
    bindings::{
        BPF_F_ADJ_ROOM_FIXED_GSO, BPF_F_ADJ_ROOM_NO_CSUM_RESET, bpf_adj_room_mode::BPF_ADJ_ROOM_MAC,
    },
    helpers::generated::bpf_skb_adjust_room,
};
use netctl_common::{
    DropReason, ecn,
    outer::OVERHEAD4,
    wire::{Ethernet, Ipv4},
};

use crate::{packet::Packet, parse};

const KEEP: u64 = (BPF_F_ADJ_ROOM_NO_CSUM_RESET | BPF_F_ADJ_ROOM_FIXED_GSO) as u64;

/// Strips the packet down to the inner frame, whose Ethernet header is `ethernet`, and carries a congestion mark over.
#[inline(always)]
pub(crate) fn strip(
    packet: &Packet,
    ethernet: &Ethernet,
    inner_tos: u8,
    outer_tos: u8,
) -> Result<(), DropReason> {
    let tos = ecn::combine(inner_tos, outer_tos).ok_or(DropReason::CongestionMark)?;
    if tos != inner_tos {
        let ip = packet.at::<Ipv4>(parse::INNER + size_of::<Ethernet>());
        ip.ok_or(DropReason::NotWritable)?.set_tos(tos);
    }
    // It is cut behind the Ethernet header: the outer one stays in front, and the inner one goes.
    // SAFETY: a helper call on a valid context; views of the packet end here.
    let failed =
        unsafe { bpf_skb_adjust_room(packet.raw(), -(OVERHEAD4 as i32), BPF_ADJ_ROOM_MAC, KEEP) };
    if failed != 0 {
        return Err(DropReason::DecapFailed);
    }
    *packet.at::<Ethernet>(0).ok_or(DropReason::NotWritable)? = *ethernet;
    Ok(())
}

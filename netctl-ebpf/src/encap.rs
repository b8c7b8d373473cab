//! Putting outer headers on, or having the kernel's vxlan device do it.

use core::mem;

use aya_ebpf::{
    bindings::{
        __sk_buff, BPF_F_ADJ_ROOM_ENCAP_L2_ETH, BPF_F_ADJ_ROOM_ENCAP_L3_IPV4,
        BPF_F_ADJ_ROOM_ENCAP_L3_IPV6, BPF_F_ADJ_ROOM_ENCAP_L4_UDP, BPF_F_ADJ_ROOM_FIXED_GSO,
        BPF_F_ADJ_ROOM_NO_CSUM_RESET, BPF_F_DONT_FRAGMENT, BPF_F_TUNINFO_IPV6, BPF_F_ZERO_CSUM_TX,
        bpf_adj_room_mode::BPF_ADJ_ROOM_MAC, bpf_tunnel_key,
    },
    helpers::generated::{bpf_skb_adjust_room, bpf_skb_set_tunnel_key},
};
use netctl_common::{
    DropReason, addr6,
    maps::Vtep,
    outer::{self, Inner, OVERHEAD4, OVERHEAD6},
    wire::{Ethernet, ether_type},
};

use crate::{
    Decision, config, lookup,
    packet::Packet,
    parse::{ETHERNET, Frame},
    payload::Payload,
};

/// Keep checksums and segment sizes as they are: without `FIXED_GSO` each encapsulation shortens the segments by 50.
const KEEP: u64 = (BPF_F_ADJ_ROOM_NO_CSUM_RESET | BPF_F_ADJ_ROOM_FIXED_GSO) as u64;
/// Mark the packet as a UDP tunnel around an Ethernet frame, so that it can be segmented below.
///
/// The length of the inner L2 header is 14 (bits 56 to 63), not 22 with VXLAN's: `bpf_skb_net_grow` takes it off the
/// new room to find the inner MAC header, and what segments later trusts that.
const TUNNEL: u64 =
    (BPF_F_ADJ_ROOM_ENCAP_L4_UDP | BPF_F_ADJ_ROOM_ENCAP_L2_ETH) as u64 | (ETHERNET as u64) << 56;
const OVER_IPV4: u64 = BPF_F_ADJ_ROOM_ENCAP_L3_IPV4 as u64;
const OVER_IPV6: u64 = BPF_F_ADJ_ROOM_ENCAP_L3_IPV6 as u64;

/// Puts the outer headers on for the host at `index`, whose entry is `vtep`.
#[inline(always)]
pub(crate) fn wrap<P: Payload>(
    packet: &Packet,
    vni: u32,
    index: u32,
    vtep: &Vtep,
    frame: &Frame<P>,
) -> Result<Decision, DropReason> {
    let (tos, hash) = (frame.payload.tos(), frame.hash(packet));
    let inner = Inner { length: packet.len(), tos, hash, vni };
    if vtep.is_over_v6() {
        if !grow(packet, OVERHEAD6, OVER_IPV6, P::IS_IPV6) {
            return hand_over(packet, vni, vtep, tos, true);
        }
        write(packet, &frame.ethernet, outer::finish6(vtep.outer6(), &inner))?;
        leave(packet, index, tos, ether_type::IPV6)
    } else {
        if !grow(packet, OVERHEAD4, OVER_IPV4, !P::IS_IPV6) {
            return hand_over(packet, vni, vtep, tos, true);
        }
        let headers = outer::finish4(vtep.outer4(), vtep.checksum(), &inner);
        write(packet, &frame.ethernet, headers)?;
        leave(packet, index, tos, ether_type::IPV4)
    }
}

/// Makes room for outer headers; `false` where the kernel gives none. The packet is unchanged then.
///
/// A packet that came out of a tunnel still carries its marks where a container forwards it back into one. The kernel
/// refuses to mark it twice (`-EALREADY`, `bpf_skb_net_grow`), but gives the room without. It does not change what it
/// takes the packet for then, so that must be right already: `same_family`.
#[inline(always)]
fn grow(packet: &Packet, overhead: u32, family: u64, same_family: bool) -> bool {
    let room = |flags| {
        // SAFETY: a helper call on a valid context; views of the packet end here.
        let failed = unsafe {
            bpf_skb_adjust_room(packet.raw(), overhead as i32, BPF_ADJ_ROOM_MAC, KEEP | flags)
        };
        failed == 0
    };
    room(TUNNEL | family) || same_family && room(0)
}

/// Writes the headers of type `T` behind the place of the outer Ethernet header, and the inner one behind them.
#[inline(always)]
fn write<T: Copy>(packet: &Packet, ethernet: &Ethernet, headers: T) -> Result<(), DropReason> {
    let behind = packet.at::<Ethernet>(ETHERNET + size_of::<T>());
    *behind.ok_or(DropReason::NotWritable)? = *ethernet;
    *packet.at::<T>(ETHERNET).ok_or(DropReason::NotWritable)? = headers;
    Ok(())
}

/// Sends it to the next hop, if that is known; else the kernel looks the way up and writes the Ethernet header.
///
/// What is known is the way of packets without a DSCP: routes can be of one DSCP alone (`ip route … tos`).
#[inline(always)]
fn leave(packet: &Packet, index: u32, tos: u8, ether_type: u16) -> Result<Decision, DropReason> {
    let known = || lookup::next_hop(index)?.ethernet(ether_type);
    let Some(ethernet) = (if tos >> 2 == 0 { known() } else { None }) else {
        return Ok(Decision::ToRoute);
    };
    *packet.at::<Ethernet>(0).ok_or(DropReason::NotWritable)? = ethernet;
    Ok(Decision::ToNextHop)
}

/// Says where the packet has to go, and leaves the rest to the kernel's vxlan device. Where it is not `whole`, the
/// outer packet may be cut.
#[inline(always)]
pub(crate) fn hand_over(
    packet: &Packet,
    vni: u32,
    vtep: &Vtep,
    tos: u8,
    whole: bool,
) -> Result<Decision, DropReason> {
    if set_key(packet.raw(), vni, vtep, tos, whole) {
        Ok(Decision::ToVxlanDevice)
    } else {
        Err(DropReason::HandOverFailed)
    }
}

/// Puts the tunnel key on; `false` where the kernel refuses.
#[inline(always)]
pub(crate) fn set_key(skb: *mut __sk_buff, vni: u32, vtep: &Vtep, tos: u8, whole: bool) -> bool {
    // SAFETY: it is made of integers alone, for which zero is valid.
    let mut key: bpf_tunnel_key = unsafe { mem::zeroed() };
    key.tunnel_id = vni;
    key.tunnel_tos = outer::tunnel_tos(tos);
    key.tunnel_ttl = outer::TTL;
    let mut flags = BPF_F_ZERO_CSUM_TX;
    if whole {
        flags |= BPF_F_DONT_FRAGMENT;
    }
    if vtep.is_over_v6() {
        flags |= BPF_F_TUNINFO_IPV6;
        key.__bindgen_anon_1.remote_ipv6 = addr6::words(vtep.remote().octets());
        key.__bindgen_anon_3.local_ipv6 = addr6::words(config::local_vtep6());
    } else {
        // The kernel wants IPv4 addresses in host order here, and IPv6 addresses as they are.
        key.__bindgen_anon_1.remote_ipv4 = u32::from_be_bytes(vtep.remote().low());
        key.__bindgen_anon_3.local_ipv4 = u32::from_be_bytes(config::local_vtep4());
    }
    // SAFETY: a helper call on a valid context and a key of the size given.
    let failed = unsafe {
        bpf_skb_set_tunnel_key(skb, &raw mut key, size_of::<bpf_tunnel_key>() as u32, flags.into())
    };
    failed == 0
}

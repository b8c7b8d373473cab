//! Putting outer headers on, or having the kernel's vxlan device do it.

use core::mem;

use aya_ebpf::{
    bindings::{
        BPF_F_ADJ_ROOM_ENCAP_L2_ETH, BPF_F_ADJ_ROOM_ENCAP_L3_IPV4, BPF_F_ADJ_ROOM_ENCAP_L4_UDP,
        BPF_F_ADJ_ROOM_FIXED_GSO, BPF_F_ADJ_ROOM_NO_CSUM_RESET, BPF_F_DONT_FRAGMENT,
        BPF_F_ZERO_CSUM_TX, bpf_adj_room_mode::BPF_ADJ_ROOM_MAC, bpf_tunnel_key,
    },
    helpers::generated::{bpf_skb_adjust_room, bpf_skb_set_tunnel_key},
};
use netctl_common::{
    DropReason,
    maps::Vtep,
    outer::{self, Inner, OUTER4, OVERHEAD4, Outer4},
    wire::{Ethernet, Ipv4, protocol},
};

use crate::{Decision, config, packet::Packet};

const ETHERNET: usize = size_of::<Ethernet>();
/// The shortest IPv4 header (RFC 791), in bytes.
const IP_HEADER: u32 = 20;
/// The shortest TCP header (RFC 9293), in bytes.
const TCP_HEADER: u32 = 20;
/// The UDP header (RFC 768), in bytes.
const UDP_HEADER: u32 = 8;
/// Keep checksums and segment sizes as they are: without `FIXED_GSO` each encapsulation shortens the segments by 50.
const KEEP: u64 = (BPF_F_ADJ_ROOM_NO_CSUM_RESET | BPF_F_ADJ_ROOM_FIXED_GSO) as u64;
/// Mark the packet as a UDP tunnel around an Ethernet frame, so that it can be segmented below.
///
/// The length of the inner L2 header is 14 (bits 56 to 63), not 22 with VXLAN's: `bpf_skb_net_grow` takes it off the
/// new room to find the inner MAC header, and what segments later trusts that.
const TUNNEL: u64 = (BPF_F_ADJ_ROOM_ENCAP_L3_IPV4
    | BPF_F_ADJ_ROOM_ENCAP_L4_UDP
    | BPF_F_ADJ_ROOM_ENCAP_L2_ETH) as u64
    | (ETHERNET as u64) << 56;

/// Whether the packet, or each part that it is cut into with at least the shortest headers, fits the path to the host.
#[inline(always)]
pub(crate) fn check_size(packet: &Packet, vtep: &Vtep, ip: &Ipv4) -> Result<(), DropReason> {
    let longest = match packet.segment() {
        0 => packet.len() - ETHERNET as u32,
        segment if ip.protocol() == protocol::TCP => segment + IP_HEADER + TCP_HEADER,
        segment => segment + IP_HEADER + UDP_HEADER,
    };
    if longest > vtep.mtu() { Err(DropReason::TooBig) } else { Ok(()) }
}

/// Puts the outer headers on. The outer Ethernet header is left for `bpf_redirect_neigh` to write.
#[inline(always)]
pub(crate) fn wrap(
    packet: &Packet,
    vni: u32,
    vtep: &Vtep,
    ethernet: &Ethernet,
    ip: &Ipv4,
) -> Result<Decision, DropReason> {
    let inner = Inner { length: packet.len(), tos: ip.tos(), hash: packet.hash(), vni };
    // A packet that came out of a tunnel still carries its marks where a container forwards it back into one. The
    // kernel refuses to mark it twice (`-EALREADY`, `bpf_skb_net_grow`), but gives the room without.
    if grow(packet, KEEP | TUNNEL).is_err() && grow(packet, KEEP).is_err() {
        return Err(DropReason::EncapFailed);
    }
    let Some(behind) = packet.at::<Ethernet>(ETHERNET + OUTER4 as usize) else {
        return Err(DropReason::NotWritable);
    };
    *behind = *ethernet;
    let Some(headers) = packet.at::<Outer4>(ETHERNET) else {
        return Err(DropReason::NotWritable);
    };
    *headers = outer::finish4(vtep.outer4(), vtep.checksum(), &inner);
    Ok(Decision::ToUnderlay)
}

#[inline(always)]
fn grow(packet: &Packet, flags: u64) -> Result<(), ()> {
    // SAFETY: a helper call on a valid context; views of the packet end here.
    let failed =
        unsafe { bpf_skb_adjust_room(packet.raw(), OVERHEAD4 as i32, BPF_ADJ_ROOM_MAC, flags) };
    if failed == 0 { Ok(()) } else { Err(()) }
}

/// Says where the packet has to go, and leaves the rest to the kernel's vxlan device.
#[inline(always)]
pub(crate) fn hand_over(
    packet: &Packet,
    vni: u32,
    vtep: &Vtep,
    ip: &Ipv4,
) -> Result<Decision, DropReason> {
    // SAFETY: it is made of integers alone, for which zero is valid.
    let mut key: bpf_tunnel_key = unsafe { mem::zeroed() };
    key.tunnel_id = vni;
    // The kernel wants addresses in host order here.
    key.__bindgen_anon_1.remote_ipv4 = u32::from_be_bytes(vtep.remote().low());
    key.__bindgen_anon_3.local_ipv4 = u32::from_be_bytes(config::local_vtep4());
    key.tunnel_tos = outer::tunnel_tos(ip.tos());
    key.tunnel_ttl = outer::TTL;
    let flags = BPF_F_ZERO_CSUM_TX | BPF_F_DONT_FRAGMENT;
    // SAFETY: a helper call on a valid context and a key of the size given.
    let failed = unsafe {
        bpf_skb_set_tunnel_key(
            packet.raw(),
            &raw mut key,
            size_of::<bpf_tunnel_key>() as u32,
            flags.into(),
        )
    };
    if failed == 0 { Ok(Decision::ToVxlanDevice) } else { Err(DropReason::HandOverFailed) }
}

//! What the kernel's vxlan device received and decapsulated, because the fast path could not.
//!
//! It has done for the packet what `decap` does for others, ECN included (`vxlan_rcv`).

use core::mem;

use aya_ebpf::{
    bindings::{BPF_F_TUNINFO_IPV6, bpf_tunnel_key},
    helpers::generated::bpf_skb_get_tunnel_key,
};
use netctl_common::{DropReason, addr6, maps::TunnelAddr, wire::ether_type};

use crate::{Decision, deliver, flood, packet::Packet, parse, payload::Payload, validate};

const MALFORMED: DropReason = DropReason::MalformedInner;

#[inline(always)]
pub(crate) fn decide(packet: &Packet) -> Result<Decision, DropReason> {
    let (vni, source) = key(packet)?;
    let (ethernet, ether_type) = parse::ethernet(packet, MALFORMED)?;
    let from_host = match ether_type {
        Some(ether_type::IPV4) => parse::ipv4::<0>(packet, MALFORMED)?.is_from_host(),
        Some(ether_type::IPV6) => parse::ipv6::<0>(packet, MALFORMED)?.is_from_host(),
        _ => false,
    };
    validate::tunnel(vni, ethernet.source(), &source)?;
    if ethernet.destination().is_group() {
        flood::from_tunnel(packet, vni, &ethernet, from_host)
    } else {
        deliver::local(vni, ethernet.destination())
    }
}

/// The VNI, and the outer source address.
#[inline(always)]
pub(crate) fn key(packet: &Packet) -> Result<(u32, TunnelAddr), DropReason> {
    if let Some(key) = read(packet, 0) {
        // SAFETY: without `BPF_F_TUNINFO_IPV6` the kernel writes the IPv4 form, in host order.
        let source = unsafe { key.__bindgen_anon_1.remote_ipv4 };
        Ok((key.tunnel_id, TunnelAddr::from_v4(source.to_be_bytes())))
    } else if let Some(key) = read(packet, BPF_F_TUNINFO_IPV6.into()) {
        // SAFETY: with the flag it writes the IPv6 form, in wire order.
        let source = unsafe { key.__bindgen_anon_1.remote_ipv6 };
        let source = addr6::from_words(source);
        if addr6::is_mapped(source) {
            return Err(DropReason::UnknownTunnelSource);
        }
        Ok((key.tunnel_id, TunnelAddr::from_v6(source)))
    } else {
        Err(DropReason::NoTunnelKey)
    }
}

/// The tunnel key of one family; `None` where the tunnel is of the other.
#[inline(always)]
fn read(packet: &Packet, flags: u64) -> Option<bpf_tunnel_key> {
    // SAFETY: it is made of integers alone, for which zero is valid.
    let mut key: bpf_tunnel_key = unsafe { mem::zeroed() };
    let size = size_of::<bpf_tunnel_key>() as u32;
    // SAFETY: a helper call on a valid context and a buffer of the size given.
    let failed = unsafe { bpf_skb_get_tunnel_key(packet.raw(), &raw mut key, size, flags) };
    if failed == 0 { Some(key) } else { None }
}

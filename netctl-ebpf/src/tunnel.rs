//! What the kernel's vxlan device received and decapsulated, because the fast path could not.
//!
//! It has done for the packet what `decap` does for others, ECN included (`vxlan_rcv`).

use core::mem;

use aya_ebpf::{bindings::bpf_tunnel_key, helpers::generated::bpf_skb_get_tunnel_key};
use netctl_common::DropReason;

use crate::{Decision, deliver, packet::Packet, parse, validate};

#[inline(always)]
pub(crate) fn decide(packet: &Packet) -> Result<Decision, DropReason> {
    let (vni, source) = key(packet)?;
    let frame = parse::stripped(packet)?;
    validate::tunnelled(&frame)?;
    validate::tunnel(vni, frame.source(), source)?;
    deliver::local(vni, frame.destination())
}

/// The VNI, and the outer source address in wire order.
#[inline(always)]
fn key(packet: &Packet) -> Result<(u32, [u8; 4]), DropReason> {
    // SAFETY: it is made of integers alone, for which zero is valid.
    let mut key: bpf_tunnel_key = unsafe { mem::zeroed() };
    // SAFETY: a helper call on a valid context and a buffer of the size given.
    let failed = unsafe {
        bpf_skb_get_tunnel_key(packet.raw(), &raw mut key, size_of::<bpf_tunnel_key>() as u32, 0)
    };
    if failed != 0 {
        return Err(DropReason::NoTunnelKey);
    }
    // SAFETY: without `BPF_F_TUNINFO_IPV6` the kernel writes the IPv4 form, in host order.
    let source = unsafe { key.__bindgen_anon_1.remote_ipv4 };
    Ok((key.tunnel_id, source.to_be_bytes()))
}

//! Keeping forged VXLAN away from the kernel, where the driver lets a program see what it received.
//!
//! What is dropped here would be dropped by `from_underlay` too, which sees the rest: this is only cheaper.

use aya_ebpf::programs::XdpContext;
use netctl_common::{
    DropReason, addr6,
    maps::TunnelAddr,
    wire::{Ethernet, Ipv4, Ipv6, PROBE_VNI, Udp, Vxlan, ether_type, protocol},
};

use crate::{config, lookup, parse::ETHERNET};

/// Whether it is VXLAN for this host from a host of ours in a network that is here; `Ok(false)` where it is something
/// else, or something that only the kernel can tell.
#[inline(always)]
pub(crate) fn decide(ctx: &XdpContext) -> Result<bool, DropReason> {
    let Some(ethernet) = at::<Ethernet>(ctx, 0) else { return Ok(false) };
    match ethernet.ether_type() {
        ether_type::IPV4 => {
            let Some(ip) = at::<Ipv4>(ctx, ETHERNET) else { return Ok(false) };
            if !ip.has_no_options()
                || ip.is_fragment()
                || ip.protocol() != protocol::UDP
                || !config::is_local4(ip.destination())
            {
                return Ok(false);
            }
            vxlan::<{ ETHERNET + size_of::<Ipv4>() }>(ctx, TunnelAddr::from_v4(ip.source()))
        }
        ether_type::IPV6 => {
            let Some(ip) = at::<Ipv6>(ctx, ETHERNET) else { return Ok(false) };
            if ip.next_header() != protocol::UDP || !config::is_local6(ip.destination()) {
                return Ok(false);
            }
            if addr6::is_mapped(ip.source()) {
                return Err(DropReason::UnknownTunnelSource);
            }
            vxlan::<{ ETHERNET + size_of::<Ipv6>() }>(ctx, TunnelAddr::from_v6(ip.source()))
        }
        _ => Ok(false),
    }
}

/// Decides by what stands at `UDP` and behind.
#[inline(always)]
fn vxlan<const UDP: usize>(ctx: &XdpContext, source: TunnelAddr) -> Result<bool, DropReason> {
    let Some(udp) = at::<Udp>(ctx, UDP) else { return Ok(false) };
    if udp.destination() != config::vxlan_port() {
        return Ok(false);
    }
    // A driver may have put what follows the UDP header elsewhere.
    let Some(vxlan) = at::<Vxlan>(ctx, UDP + size_of::<Udp>()) else { return Ok(false) };
    let vni = vxlan.vni().ok_or(DropReason::MalformedVxlan)?;
    if !lookup::is_vtep(&source) {
        Err(DropReason::UnknownTunnelSource)
    } else if vni != PROBE_VNI && lookup::network(vni).is_none() {
        Err(DropReason::UnknownVni)
    } else {
        Ok(true)
    }
}

/// What stands `offset` bytes from the start, if all of it can be seen.
#[inline(always)]
fn at<T: Copy>(ctx: &XdpContext, offset: usize) -> Option<&T> {
    if ctx.data() + offset + size_of::<T>() > ctx.data_end() {
        return None;
    }
    // SAFETY: the comparison above has shown that the bytes are there, and nobody writes them meanwhile. `T` may be
    // misaligned: see `Packet::at`.
    Some(unsafe { &*((ctx.data() + offset) as *const T) })
}

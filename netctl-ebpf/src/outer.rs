//! Reading the outer headers of a packet from another host.

use netctl_common::{
    DropReason, addr6,
    maps::TunnelAddr,
    wire::{Ethernet, Ipv4, Ipv6, Udp, Vxlan, ether_type, protocol},
};

use crate::{config, packet::Packet, parse::ETHERNET};

const IPV4: usize = size_of::<Ipv4>();
const IPV6: usize = size_of::<Ipv6>();
const UDP_VXLAN: usize = size_of::<Udp>() + size_of::<Vxlan>();
/// What stands in front of the inner frame over IPv4 without options, in bytes.
pub(crate) const INNER4: usize = ETHERNET + IPV4 + UDP_VXLAN;
/// The same over IPv6.
pub(crate) const INNER6: usize = ETHERNET + IPV6 + UDP_VXLAN;

/// The outer headers of a packet from another host.
pub(crate) struct Outer {
    pub(crate) is_ipv6: bool,
    pub(crate) source: TunnelAddr,
    pub(crate) tos: u8,
    /// It is sound, but not what the fast path takes.
    pub(crate) for_kernel: bool,
    pub(crate) vni: u32,
}

/// Reads the outer headers; `None` where the packet is not VXLAN for this host.
///
/// Fragments and headers with options are left to the kernel: it reassembles them, and its vxlan device hands the
/// result to `from_tunnel`.
#[inline(always)]
pub(crate) fn read(packet: &Packet) -> Result<Option<Outer>, DropReason> {
    packet.pull((INNER6 + ETHERNET) as u32);
    if packet.vlan().is_some() || !packet.is_for_device() {
        return Ok(None);
    }
    let Some(ethernet) = packet.at::<Ethernet>(0) else { return Ok(None) };
    match ethernet.ether_type() {
        ether_type::IPV4 => read4(packet),
        ether_type::IPV6 => read6(packet),
        _ => Ok(None),
    }
}

#[inline(always)]
fn read4(packet: &Packet) -> Result<Option<Outer>, DropReason> {
    let Some(udp) = packet.at::<Udp>(ETHERNET + IPV4) else { return Ok(None) };
    let Some(ip) = packet.at::<Ipv4>(ETHERNET) else { return Ok(None) };
    if !ip.has_no_options()
        || ip.protocol() != protocol::UDP
        || ip.is_fragment()
        || udp.destination() != config::vxlan_port()
        || !config::is_local4(ip.destination())
    {
        return Ok(None);
    }
    if !ip.is_sound(packet.len() - ETHERNET as u32, packet.segment() != 0) || !ip.sums_up() {
        return Err(DropReason::MalformedOuter);
    }
    // Zero stays zero: merged, it says nothing.
    let payload = u32::from(ip.total()).saturating_sub(IPV4 as u32);
    let (vni, for_kernel) = vxlan::<{ ETHERNET + IPV4 }>(packet, udp, payload)?;
    let source = TunnelAddr::from_v4(ip.source());
    Ok(Some(Outer { is_ipv6: false, source, tos: ip.tos(), for_kernel, vni }))
}

#[inline(always)]
fn read6(packet: &Packet) -> Result<Option<Outer>, DropReason> {
    let Some(udp) = packet.at::<Udp>(ETHERNET + IPV6) else { return Ok(None) };
    let Some(ip) = packet.at::<Ipv6>(ETHERNET) else { return Ok(None) };
    if ip.next_header() != protocol::UDP
        || udp.destination() != config::vxlan_port()
        || !config::is_local6(ip.destination())
    {
        return Ok(None);
    }
    if addr6::is_mapped(ip.source()) {
        return Err(DropReason::UnknownTunnelSource);
    }
    if !ip.is_sound(packet.len() - ETHERNET as u32, packet.segment() != 0) {
        return Err(DropReason::MalformedOuter);
    }
    let payload = u32::from(ip.payload());
    let (vni, for_kernel) = vxlan::<{ ETHERNET + IPV6 }>(packet, udp, payload)?;
    let source = TunnelAddr::from_v6(ip.source());
    Ok(Some(Outer { is_ipv6: true, source, tos: ip.tos(), for_kernel, vni }))
}

/// The VNI in the VXLAN header behind the UDP header that stands at `UDP`, in an IP packet with so many bytes of
/// `payload`; and whether the packet is for the kernel.
#[inline(always)]
fn vxlan<const UDP: usize>(
    packet: &Packet,
    udp: &Udp,
    payload: u32,
) -> Result<(u32, bool), DropReason> {
    let datagram = u32::from(udp.length());
    let whole = datagram == payload || packet.segment() != 0 && payload == 0;
    if datagram > payload && !whole {
        return Err(DropReason::MalformedOuter);
    }
    // A checksum is for the kernel to verify, a datagram shorter than its packet for it to trim.
    let for_kernel = udp.has_checksum() || !whole;
    let vxlan = packet.at::<Vxlan>(UDP + size_of::<Udp>()).ok_or(DropReason::MalformedVxlan)?;
    let vni = vxlan.vni().ok_or(DropReason::MalformedVxlan)?;
    Ok((vni, for_kernel))
}

//! Whether a packet's sender may send it.

use netctl_common::{
    DropReason, MacAddr, addr6,
    maps::{FdbTarget, Port, TunnelAddr},
    wire::{Ethernet, Ipv4, Ipv6},
};

use crate::{lookup, payload::Payload};

/// A container sends under its own link-layer address.
#[inline(always)]
pub(crate) fn station(port: &Port, frame: &Ethernet) -> Result<(), DropReason> {
    if frame.source().same(port.mac()) { Ok(()) } else { Err(DropReason::SourceMac) }
}

/// A container sends from its own addresses, and from none to groups: so it asks for one (RFC 2131 section 4.1).
#[inline(always)]
pub(crate) fn source4(port: &Port, frame: &Ethernet, ip: &Ipv4) -> Result<(), DropReason> {
    let asks = || u32::from_ne_bytes(ip.source()) == 0 && frame.destination().is_group();
    if port.may_send_from4(ip.source()) || asks() { Ok(()) } else { Err(DropReason::SourceAddress) }
}

/// The same for IPv6: a station that is not sure of its address yet asks and joins groups from none (RFC 4862 section
/// 5.4.2, RFC 3590).
#[inline(always)]
pub(crate) fn source6(port: &Port, frame: &Ethernet, ip: &Ipv6) -> Result<(), DropReason> {
    let asks = || addr6::is_unspecified(ip.source()) && frame.destination().is_group();
    if port.may_send_from6(ip.source()) || asks() { Ok(()) } else { Err(DropReason::SourceAddress) }
}

/// The host's own stack would take VXLAN with the source of another host for that host's, and open it. Only ports that
/// may send from any address can try.
#[inline(always)]
pub(crate) fn for_host<P: Payload>(port: &Port, payload: &P) -> Result<(), DropReason> {
    if port.any_source() && payload.is_from_host() {
        Err(DropReason::SourceAddress)
    } else {
        Ok(())
    }
}

/// A station's frames come from the host that the station is on: this validates the tunnel's source and the frame's
/// at once.
#[inline(always)]
pub(crate) fn tunnel(vni: u32, station: MacAddr, source: &TunnelAddr) -> Result<(), DropReason> {
    let sent_from_there = match lookup::station(vni, station) {
        Some(FdbTarget::Remote(index)) => match lookup::vtep(index) {
            Some(vtep) => vtep.remote().same(source),
            None => false,
        },
        // A host's own endpoint has the same address on every host.
        Some(FdbTarget::Host(_)) => lookup::is_member(vni, source),
        Some(FdbTarget::Container(_) | FdbTarget::Bridging(_)) | None => false,
    };
    if sent_from_there { Ok(()) } else { Err(explain_tunnel(vni, source)) }
}

/// Why a frame from a tunnel is not accepted. Only forged and late packets get here.
#[inline(always)]
fn explain_tunnel(vni: u32, source: &TunnelAddr) -> DropReason {
    if !lookup::is_vtep(source) {
        DropReason::UnknownTunnelSource
    } else if lookup::network(vni).is_none() {
        DropReason::UnknownVni
    } else if !lookup::is_member(vni, source) {
        DropReason::NotMember
    } else {
        DropReason::InnerSource
    }
}

//! Whether a packet's sender may send it.

use netctl_common::{
    DropReason, MacAddr,
    maps::{FdbTarget, Port, TunnelAddr},
    wire::Ipv4,
};

use crate::{
    lookup,
    parse::{Frame, Payload},
};

/// A container sends under its own link-layer address.
#[inline(always)]
pub(crate) fn station(port: &Port, frame: &Frame) -> Result<(), DropReason> {
    if frame.source().same(port.mac()) { Ok(()) } else { Err(DropReason::SourceMac) }
}

/// A container sends from its own addresses.
#[inline(always)]
pub(crate) fn source4(port: &Port, ip: &Ipv4) -> Result<(), DropReason> {
    if port.may_send_from4(ip.source()) { Ok(()) } else { Err(DropReason::SourceAddress) }
}

/// What comes out of a tunnel has to be what networks forward.
#[inline(always)]
pub(crate) fn tunnelled(frame: &Frame) -> Result<&Ipv4, DropReason> {
    match &frame.payload {
        Payload::Ipv4(ip) => Ok(ip),
        Payload::Arp | Payload::Ipv6 | Payload::Other => Err(DropReason::InnerEtherType),
    }
}

/// A station's frames come from the host that the station is on: this validates the tunnel's source and the frame's
/// at once.
#[inline(always)]
pub(crate) fn tunnel(vni: u32, station: MacAddr, source: [u8; 4]) -> Result<(), DropReason> {
    let sent_from_there = match lookup::station(vni, station) {
        Some(FdbTarget::Remote(index)) => match lookup::vtep(index) {
            Some(vtep) => u32::from_ne_bytes(vtep.remote().low()) == u32::from_ne_bytes(source),
            None => false,
        },
        // A host's own endpoint has the same address on every host.
        Some(FdbTarget::Host(_)) => lookup::is_vtep(&TunnelAddr::from_v4(source)),
        Some(FdbTarget::Container(_)) | None => false,
    };
    if sent_from_there { Ok(()) } else { Err(explain_tunnel(vni, source)) }
}

/// Why a frame from a tunnel is not accepted. Only forged and late packets get here.
#[inline(always)]
fn explain_tunnel(vni: u32, source: [u8; 4]) -> DropReason {
    if !lookup::is_vtep(&TunnelAddr::from_v4(source)) {
        DropReason::UnknownTunnelSource
    } else if !lookup::has_network(vni) {
        DropReason::UnknownVni
    } else {
        DropReason::InnerSource
    }
}

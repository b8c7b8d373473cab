//! Answering probes of the path between two hosts, which a known host may send.
//!
//! A probe takes the way that packets in tunnels take, and so does its answer: what keeps those from arriving keeps these.

use netctl_common::{
    DropReason,
    wire::{Ethernet, Ipv4, Ipv6, PROBE_PORTS, Probe, Udp, Vxlan},
};

use crate::{
    Decision,
    outer::{INNER6, Outer},
    packet::Packet,
    parse::ETHERNET,
};

const NONE: DropReason = DropReason::UnknownVni;

/// Sends a probe back, or gives an answer to who had asked. `INNER` is where the inner frame of a tunnelled packet would
/// stand.
#[inline(always)]
pub(crate) fn answer<const INNER: usize>(
    packet: &Packet,
    outer: &Outer,
) -> Result<Decision, DropReason> {
    // No probe has a checksum, and none is merged.
    if outer.for_kernel || packet.segment() != 0 {
        return Err(NONE);
    }
    let vxlan = packet.at::<Vxlan>(INNER - size_of::<Vxlan>()).ok_or(NONE)?;
    let udp = packet.at::<Udp>(INNER - size_of::<Vxlan>() - size_of::<Udp>()).ok_or(NONE)?;
    match vxlan.probe().ok_or(NONE)? {
        Probe::Answer if udp.source() < PROBE_PORTS => return Err(NONE),
        Probe::Answer => {
            udp.turn();
            return Ok(Decision::ToProber);
        }
        Probe::Back => udp.turn(),
        Probe::Tunnel => *vxlan = Vxlan::of_probe(Probe::Answer),
    }
    if INNER == INNER6 {
        packet.at::<Ipv6>(ETHERNET).ok_or(NONE)?.turn();
    } else {
        packet.at::<Ipv4>(ETHERNET).ok_or(NONE)?.turn();
    }
    packet.at::<Ethernet>(0).ok_or(NONE)?.turn();
    Ok(Decision::SendBack)
}

//! Routing between the subnets of one network.
//!
//! Each host's endpoint is the router of the network, and has one link-layer address everywhere: what is sent there for
//! a station of the same network would come back out of the host's stack to this station. So it goes there at once, with
//! what a router changes. All else for the gateway is the host's.

use netctl_common::{
    DropReason, MacAddr, Verdict, addr6,
    maps::{FdbTarget, Port},
    wire::{Ethernet, Icmpv6, Ipv4, Ipv6, icmp, protocol},
};

use crate::{
    Decision, lookup,
    packet::Packet,
    parse::{ETHERNET, Frame, IPV4, IPV6},
    payload::Payload,
    report::{cut, put, sum},
};

/// What is quoted of a packet whose hops have ended, in bytes behind the IP header: all of a TCP header, where there is so
/// much, else what is enough to know a flow by (RFC 792). The kernel cuts no packet in front of a checksum that it has
/// yet to fill in (`__bpf_skb_min_len`), and that of TCP is not among the first eight.
const QUOTED: u32 = 20;
const QUOTED_LEAST: u32 = 8;

/// The station that a frame for the gateway is routed to; `None` where it is for the host, or the host's to route.
#[inline(always)]
pub(crate) fn station<P: Payload>(vni: u32, frame: &Frame<P>) -> Option<(MacAddr, FdbTarget)> {
    let owner = frame.payload.beyond_router(vni)?;
    // One look-up less for what is for the host itself, which is the most.
    if owner.same(frame.destination()) {
        return None;
    }
    match lookup::station(vni, owner)? {
        FdbTarget::Host(_) => None,
        target => Some((owner, target)),
    }
}

/// Makes the frame for the gateway one from it, for the station. `Some` where it may not pass the router.
#[inline(always)]
pub(crate) fn pass<P: Payload>(
    packet: &Packet,
    port: &Port,
    frame: &mut Frame<P>,
    station: MacAddr,
) -> Result<Option<Decision>, DropReason> {
    let (gateway, ether_type) = (frame.destination(), frame.ethernet.ether_type());
    if frame.payload.hops() <= 1 {
        frame.payload.expire(packet, port, Ethernet::new(port.mac(), gateway, ether_type))?;
        return Ok(Some(Decision::Answer(packet.device(), Verdict::TtlReported)));
    }
    frame.ethernet = Ethernet::new(station, gateway, ether_type);
    *packet.at::<Ethernet>(0).ok_or(DropReason::NotWritable)? = frame.ethernet;
    frame.payload.pass_router(packet)?;
    Ok(None)
}

#[inline(always)]
pub(crate) fn pass4(packet: &Packet) -> Result<(), DropReason> {
    packet.at::<Ipv4>(ETHERNET).ok_or(DropReason::NotWritable)?.pass_router();
    Ok(())
}

#[inline(always)]
pub(crate) fn pass6(packet: &Packet) -> Result<(), DropReason> {
    let ip = packet.at::<Ipv6>(ETHERNET).ok_or(DropReason::NotWritable)?;
    let before = ip.second_word();
    ip.pass_router();
    packet.correct_sum_of(before, ip.second_word());
    Ok(())
}

/// Makes the packet the report that its TTL has ended, from the gateway, in an Ethernet frame of this header.
#[inline(always)]
pub(crate) fn expire4(
    packet: &Packet,
    port: &Port,
    ip: &Ipv4,
    back: Ethernet,
) -> Result<(), DropReason> {
    let is_error = || match packet.at::<u8>(ETHERNET + IPV4) {
        Some(kind) if ip.protocol() == protocol::ICMP => icmp::is_error4(*kind),
        _ => false,
    };
    let gateway = port.gateway4();
    if u32::from_ne_bytes(gateway) == 0
        || !ip.has_no_options()
        || ip.is_later_fragment()
        || is_error()
    {
        return Err(DropReason::TtlExpired);
    }
    let report = |quoted, sum| icmp::time_exceeded4(gateway, ip.source(), quoted, sum);
    if packet.len() >= ETHERNET as u32 + IPV4 as u32 + QUOTED {
        quote::<{ IPV4 + QUOTED as usize }, _>(packet, back, report)
    } else {
        quote::<{ IPV4 + QUOTED_LEAST as usize }, _>(packet, back, report)
    }
}

/// The same for IPv6.
#[inline(always)]
pub(crate) fn expire6(
    packet: &Packet,
    port: &Port,
    ip: &Ipv6,
    back: Ethernet,
) -> Result<(), DropReason> {
    let is_error = || match packet.at::<Icmpv6>(ETHERNET + IPV6) {
        Some(message) if ip.next_header() == protocol::ICMPV6 => message.is_error(),
        _ => false,
    };
    let gateway = port.gateway6();
    if addr6::is_unspecified(gateway) || is_error() {
        return Err(DropReason::TtlExpired);
    }
    let report = |quoted, sum| icmp::time_exceeded6(gateway, ip.source(), quoted, sum);
    if packet.len() >= ETHERNET as u32 + IPV6 as u32 + QUOTED {
        quote::<{ IPV6 + QUOTED as usize }, _>(packet, back, report)
    } else {
        quote::<{ IPV6 + QUOTED_LEAST as usize }, _>(packet, back, report)
    }
}

/// Leaves so many bytes of the packet, behind the headers that `report` makes of their number and sum.
#[inline(always)]
fn quote<const BYTES: usize, T: Copy>(
    packet: &Packet,
    back: Ethernet,
    report: impl FnOnce(u32, u32) -> T,
) -> Result<(), DropReason> {
    let quoted = BYTES as u32;
    if packet.len() < ETHERNET as u32 + quoted || !cut(packet, quoted) {
        return Err(DropReason::TtlExpired);
    }
    let untold = |_| DropReason::TtlExpired;
    let sum = sum::<BYTES>(packet, ETHERNET, 0).map_err(untold)?;
    put(packet, back, report(quoted, sum)).map_err(untold)
}

//! Telling the sender of a packet that it is too big for the underlay (RFC 1191, RFC 8201).
//!
//! The report comes from the address that the packet was for: whoever sends to it can be reached from it, whatever
//! the network has of routers. Reports about reports are not to be feared: both sizes are far below any MTU.

use netctl_common::{
    DropReason, Verdict, addr6,
    maps::Port,
    wire::{
        Ethernet, Ipv4, Ipv6,
        icmp::{self, QUOTED4, QUOTED6},
    },
};

use crate::{
    Decision,
    packet::Packet,
    parse::{ETHERNET, Frame},
    payload::Payload,
    report::{cut, put, sum},
};

/// What `bpf_csum_diff` sums at once; older kernels take no more.
const PIECE: usize = 512;
const REST6: usize = QUOTED6 as usize - 2 * PIECE;

/// `None` where the kernel does not let the packet become its report; it is as it was then.
#[inline(always)]
pub(crate) fn report<P: Payload>(
    packet: &Packet,
    port: &Port,
    frame: &Frame<P>,
    mtu: u32,
) -> Result<Option<Decision>, DropReason> {
    let Frame { ethernet, payload } = frame;
    // It may have been routed: its source is the gateway then.
    let back = Ethernet::new(port.mac(), ethernet.destination(), ethernet.ether_type());
    let reported = payload.report(packet, back, mtu)?;
    Ok(reported.then(|| Decision::Answer(packet.device(), Verdict::TooBigReported)))
}

#[inline(always)]
pub(crate) fn report4(
    packet: &Packet,
    ip: &Ipv4,
    back: Ethernet,
    mtu: u32,
) -> Result<bool, DropReason> {
    // Errors are sent about first fragments only, and never from a group (RFC 1122 section 3.2.2).
    if ip.is_later_fragment() || ip.destination()[0] >= 224 {
        return Err(DropReason::TooBig);
    }
    if packet.len() < ETHERNET as u32 + QUOTED4 {
        return Err(DropReason::TooBig);
    }
    if !cut(packet, QUOTED4) {
        return Ok(false);
    }
    let sum = sum::<PIECE>(packet, ETHERNET, 0)?;
    let headers = icmp::frag_needed(ip.destination(), ip.source(), mtu, QUOTED4, sum);
    put(packet, back, headers).map(|()| true)
}

#[inline(always)]
pub(crate) fn report6(
    packet: &Packet,
    ip: &Ipv6,
    back: Ethernet,
    mtu: u32,
) -> Result<bool, DropReason> {
    if addr6::is_multicast(ip.destination()) {
        return Err(DropReason::TooBig);
    }
    if packet.len() < ETHERNET as u32 + QUOTED6 {
        return Err(DropReason::TooBig);
    }
    if !cut(packet, QUOTED6) {
        return Ok(false);
    }
    let sum0 = sum::<PIECE>(packet, ETHERNET, 0)?;
    let sum1 = sum::<PIECE>(packet, ETHERNET + PIECE, sum0)?;
    let sum2 = sum::<REST6>(packet, ETHERNET + 2 * PIECE, sum1)?;
    let headers = icmp::packet_too_big(ip.destination(), ip.source(), mtu, QUOTED6, sum2);
    put(packet, back, headers).map(|()| true)
}

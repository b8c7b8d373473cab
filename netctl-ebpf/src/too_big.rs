//! Telling the sender of a packet that it is too big for the underlay (RFC 1191, RFC 8201).
//!
//! The report comes from the address that the packet was for: whoever sends to it can be reached from it, whatever
//! the network has of routers. Reports about reports are not to be feared: both sizes are far below any MTU.

use aya_ebpf::helpers::generated::{bpf_csum_diff, bpf_skb_change_head};
use core::ptr;
use netctl_common::{
    DropReason, Verdict, addr6,
    wire::{
        Ethernet, Ipv4, Ipv6,
        icmp::{self, FragNeeded, PacketTooBig, QUOTED4, QUOTED6},
    },
};

use crate::{
    Decision,
    packet::Packet,
    parse::{ETHERNET, Frame},
    payload::Payload,
};

/// What `bpf_csum_diff` sums at once; older kernels take no more.
const PIECE: usize = 512;
const REST6: usize = QUOTED6 as usize - 2 * PIECE;

/// `None` where the kernel does not let the packet become its report; it is as it was then.
#[inline(always)]
pub(crate) fn report<P: Payload>(
    packet: &Packet,
    frame: &Frame<P>,
    mtu: u32,
) -> Result<Option<Decision>, DropReason> {
    let Frame { ethernet, payload } = frame;
    let back = Ethernet::new(ethernet.source(), ethernet.destination(), ethernet.ether_type());
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
    if !cut(packet, QUOTED4)? {
        return Ok(false);
    }
    let sum = sum::<PIECE>(packet, ETHERNET, 0)?;
    let headers: FragNeeded = icmp::frag_needed(ip.destination(), ip.source(), mtu, QUOTED4, sum);
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
    if !cut(packet, QUOTED6)? {
        return Ok(false);
    }
    let sum0 = sum::<PIECE>(packet, ETHERNET, 0)?;
    let sum1 = sum::<PIECE>(packet, ETHERNET + PIECE, sum0)?;
    let sum2 = sum::<REST6>(packet, ETHERNET + 2 * PIECE, sum1)?;
    let headers: PacketTooBig =
        icmp::packet_too_big(ip.destination(), ip.source(), mtu, QUOTED6, sum2);
    put(packet, back, headers).map(|()| true)
}

/// Leaves of the packet what is quoted. It is one packet then, where the kernel was to cut it into many. `false` where
/// the kernel refuses: it does not cut what came out of a tunnel (`bpf_skb_change_tail`, `skb->encapsulation`).
#[inline(always)]
fn cut(packet: &Packet, quoted: u32) -> Result<bool, DropReason> {
    let length = quoted + ETHERNET as u32;
    if packet.len() < length {
        return Err(DropReason::TooBig);
    }
    if packet.set_len(length).is_err() {
        return Ok(false);
    }
    packet.pull(length);
    Ok(true)
}

#[inline(always)]
fn sum<const BYTES: usize>(packet: &Packet, offset: usize, sum: u32) -> Result<u32, DropReason> {
    let bytes = packet.at::<[u8; BYTES]>(offset).ok_or(DropReason::TooBigReportFailed)?;
    // SAFETY: a helper call on bytes of the packet, as many as were shown to be there.
    let sum = unsafe {
        bpf_csum_diff(ptr::null_mut(), 0, ptr::from_mut(bytes).cast(), BYTES as u32, sum)
    };
    // Negative where the kernel refused the length, which it does for none of those used here.
    u32::try_from(sum).map_err(|_negative| DropReason::TooBigReportFailed)
}

/// Puts the headers in front of what is quoted, instead of its Ethernet header.
#[inline(always)]
fn put<T: Copy>(packet: &Packet, ethernet: Ethernet, headers: T) -> Result<(), DropReason> {
    // SAFETY: a helper call on a valid context; views of the packet end here.
    let failed = unsafe { bpf_skb_change_head(packet.raw(), size_of::<T>() as u32, 0) };
    if failed != 0 {
        return Err(DropReason::TooBigReportFailed);
    }
    *packet.at::<Ethernet>(0).ok_or(DropReason::TooBigReportFailed)? = ethernet;
    *packet.at::<T>(ETHERNET).ok_or(DropReason::TooBigReportFailed)? = headers;
    Ok(())
}

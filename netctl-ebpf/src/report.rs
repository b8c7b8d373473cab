//! Making of a packet an ICMP error about it, for its sender.

use aya_ebpf::helpers::generated::{bpf_csum_diff, bpf_skb_change_head};
use core::ptr;
use netctl_common::{DropReason, wire::Ethernet};

use crate::{packet::Packet, parse::ETHERNET};

/// Leaves of the packet, which must be as long, what is quoted. It is one packet then, where the kernel was to cut it
/// into many. `false` where the kernel refuses: it does not cut what came out of a tunnel (`bpf_skb_change_tail`,
/// `skb->encapsulation`).
#[inline(always)]
pub(crate) fn cut(packet: &Packet, quoted: u32) -> bool {
    let length = quoted + ETHERNET as u32;
    let cut = packet.set_len(length).is_ok();
    packet.pull(length);
    cut
}

/// Adds `BYTES` of the packet to a sum.
#[inline(always)]
pub(crate) fn sum<const BYTES: usize>(
    packet: &Packet,
    offset: usize,
    sum: u32,
) -> Result<u32, DropReason> {
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
pub(crate) fn put<T: Copy>(
    packet: &Packet,
    ethernet: Ethernet,
    headers: T,
) -> Result<(), DropReason> {
    // SAFETY: a helper call on a valid context; views of the packet end here.
    let failed = unsafe { bpf_skb_change_head(packet.raw(), size_of::<T>() as u32, 0) };
    if failed != 0 {
        return Err(DropReason::TooBigReportFailed);
    }
    *packet.at::<Ethernet>(0).ok_or(DropReason::TooBigReportFailed)? = ethernet;
    *packet.at::<T>(ETHERNET).ok_or(DropReason::TooBigReportFailed)? = headers;
    Ok(())
}

//! What stands behind IPv6 extension headers.

use netctl_common::{
    DropReason,
    wire::{ExtensionHeader, FragmentHeader, Icmpv6, Ipv6, protocol},
};

use crate::{packet::Packet, parse::ETHERNET};

/// How many extension headers are looked behind. Nobody has use for more.
const MOST: u32 = 4;

/// Refuses neighbour discovery behind extension headers, and chains of headers that nobody can look behind.
///
/// Receivers skip such headers and believe what follows (`ndisc_rcv`), so a message there would be one that nobody
/// has validated. No sender has a reason to send one.
#[inline(always)]
pub(crate) fn look_behind(packet: &Packet, first: u8) -> Result<(), DropReason> {
    let mut at = (ETHERNET + size_of::<Ipv6>()) as u32;
    let mut next = first;
    for _ in 0..=MOST {
        match next {
            protocol::HOP_BY_HOP | protocol::ROUTING | protocol::DESTINATION_OPTIONS => {
                let header: ExtensionHeader = packet.load(at).ok_or(DropReason::MalformedIpv6)?;
                at += header.length();
                next = header.next_header();
            }
            protocol::FRAGMENT => {
                let header: FragmentHeader = packet.load(at).ok_or(DropReason::MalformedIpv6)?;
                if header.is_later() {
                    return Ok(());
                }
                at += size_of::<FragmentHeader>() as u32;
                next = header.next_header();
            }
            protocol::ICMPV6 => {
                let message: Icmpv6 = packet.load(at).ok_or(DropReason::MalformedIpv6)?;
                return if message.ndp().is_some() { Err(DropReason::MalformedNd) } else { Ok(()) };
            }
            _ => return Ok(()),
        }
    }
    Err(DropReason::MalformedIpv6)
}

//! Reading a frame once, into what the later stages need to know of it.

use netctl_common::{
    DropReason, MacAddr,
    wire::{Ethernet, Ipv4, Ipv6, Ports},
};

use crate::packet::Packet;

pub(crate) const ETHERNET: usize = size_of::<Ethernet>();
pub(crate) const IPV4: usize = size_of::<Ipv4>();
pub(crate) const IPV6: usize = size_of::<Ipv6>();
const PORTS: usize = size_of::<Ports>();

/// A frame that a station of a network sent, with a payload of the kind `P`.
pub(crate) struct Frame<P> {
    pub(crate) ethernet: Ethernet,
    pub(crate) payload: P,
}

impl<P> Frame<P> {
    #[inline(always)]
    pub(crate) fn source(&self) -> MacAddr {
        self.ethernet.source()
    }

    #[inline(always)]
    pub(crate) fn destination(&self) -> MacAddr {
        self.ethernet.destination()
    }
}

/// The header of the frame that is the packet, and its type; `None` for that says that a VLAN tag hides what follows.
#[inline(always)]
pub(crate) fn ethernet(
    packet: &Packet,
    short: DropReason,
) -> Result<(Ethernet, Option<u16>), DropReason> {
    packet.pull(ETHERNET as u32);
    // VLAN 0 is none: the tag has only a priority (IEEE 802.1Q section 9.6), and receivers take off as many as there
    // are (`__netif_receive_skb_core`). What would stand behind a second one is not looked at, so it must not get there.
    if packet.vlan() == Some(0) && (!packet.untag() || packet.vlan() == Some(0)) {
        return Err(short);
    }
    let ethernet = *packet.at::<Ethernet>(0).ok_or(short)?;
    let ether_type = if packet.vlan().is_some() { None } else { Some(ethernet.ether_type()) };
    Ok((ethernet, ether_type))
}

/// The IPv4 header of the frame that stands `OFFSET` bytes from the start. The ports behind it can be seen then.
///
/// No more than that is asked for: all that the kernel's own sockets send has its headers where they can be seen, and
/// its data where they would have to be copied from.
#[inline(always)]
pub(crate) fn ipv4<const OFFSET: usize>(
    packet: &Packet,
    malformed: DropReason,
) -> Result<Ipv4, DropReason> {
    packet.pull((OFFSET + ETHERNET + IPV4 + PORTS) as u32);
    let ip = *packet.at::<Ipv4>(OFFSET + ETHERNET).ok_or(malformed)?;
    let available = packet.len() - (OFFSET + ETHERNET) as u32;
    if ip.is_sound(available, packet.segment() != 0) { Ok(ip) } else { Err(malformed) }
}

/// The same for IPv6.
#[inline(always)]
pub(crate) fn ipv6<const OFFSET: usize>(
    packet: &Packet,
    malformed: DropReason,
) -> Result<Ipv6, DropReason> {
    packet.pull((OFFSET + ETHERNET + IPV6 + PORTS) as u32);
    let ip = *packet.at::<Ipv6>(OFFSET + ETHERNET).ok_or(malformed)?;
    let available = packet.len() - (OFFSET + ETHERNET) as u32;
    if ip.is_sound(available, packet.segment() != 0) { Ok(ip) } else { Err(malformed) }
}

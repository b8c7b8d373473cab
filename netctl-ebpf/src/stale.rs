//! Frames for a station that is gone, from senders that have not noticed.
//!
//! A kernel keeps a neighbour for as long as it believes in it, and traffic keeps the belief up. Where an address went
//! to another station, its packets would be dropped for up to a minute: so they are sent on to who has it now, and the
//! sender finds out when it next asks.

use netctl_common::{
    DropReason,
    maps::FdbTarget,
    wire::{Ethernet, Ipv4, ether_type},
};

use crate::{lookup, packet::Packet};

/// Makes the frame, whose destination MAC nobody has, one for the station that has its destination address.
#[inline(always)]
pub(crate) fn readdress(
    packet: &Packet,
    vni: u32,
    ethernet: &mut Ethernet,
    ip: &Ipv4,
) -> Result<FdbTarget, DropReason> {
    if ethernet.destination().is_group() {
        return Err(DropReason::GroupDestination);
    }
    let owner = lookup::neighbour4(vni, ip.destination()).ok_or(DropReason::UnknownDestination)?;
    let target = lookup::station(vni, owner).ok_or(DropReason::UnknownDestination)?;
    *ethernet = Ethernet::new(owner, ethernet.source(), ether_type::IPV4);
    *packet.at::<Ethernet>(0).ok_or(DropReason::NotWritable)? = *ethernet;
    Ok(target)
}

//! Frames for a station that is gone, from senders that have not noticed.
//!
//! A kernel keeps a neighbour for as long as it believes in it, and traffic keeps the belief up. Where an address went
//! to another station, its packets would be dropped for up to a minute: so they are sent on to who has it now, and the
//! sender finds out when it next asks.

use netctl_common::{DropReason, maps::FdbTarget, wire::Ethernet};

use crate::{lookup, packet::Packet, parse::Frame, payload::Payload};

/// Makes the frame, whose destination MAC nobody has, one for the station that has its destination address.
#[inline(always)]
pub(crate) fn readdress<P: Payload>(
    packet: &Packet,
    vni: u32,
    frame: &mut Frame<P>,
) -> Result<FdbTarget, DropReason> {
    let owner = frame.payload.owner(vni).ok_or(DropReason::UnknownDestination)?;
    let target = lookup::station(vni, owner).ok_or(DropReason::UnknownDestination)?;
    frame.ethernet = Ethernet::new(owner, frame.source(), frame.ethernet.ether_type());
    *packet.at::<Ethernet>(0).ok_or(DropReason::NotWritable)? = frame.ethernet;
    Ok(target)
}

//! Answering ARP in the sender's stead: nobody floods.

use netctl_common::{
    DropReason, MacAddr, Verdict,
    maps::Port,
    wire::{Arp, ArpKind, Ethernet, ether_type},
};

use crate::{Decision, lookup, packet::Packet};

const ETHERNET: usize = size_of::<Ethernet>();
const FRAME: usize = ETHERNET + size_of::<Arp>();

/// Turns a request into its answer, in place. `None` says that the packet is to be forwarded: it tells the truth, or
/// asks for what only the members themselves can know.
#[inline(always)]
pub(crate) fn answer(packet: &Packet, port: &Port) -> Result<Option<Decision>, DropReason> {
    packet.pull(FRAME as u32);
    let arp = packet.at::<Arp>(ETHERNET).ok_or(DropReason::MalformedArp)?;
    let kind = arp.kind().ok_or(DropReason::MalformedArp)?;
    if !arp.sender_mac().same(port.mac()) {
        return Err(DropReason::ArpSource);
    }
    match kind {
        ArpKind::Probe => {}
        ArpKind::Request | ArpKind::Announcement | ArpKind::Reply => {
            if !port.may_send_from4(arp.sender()) {
                return Err(DropReason::ArpSource);
            }
        }
    }
    match kind {
        ArpKind::Announcement | ArpKind::Reply => Ok(None),
        ArpKind::Request | ArpKind::Probe => {
            let Some(owner) = owner(port, arp)? else { return Ok(None) };
            *arp = arp.reply(owner);
            let ethernet = packet.at::<Ethernet>(0).ok_or(DropReason::MalformedArp)?;
            *ethernet = Ethernet::new(port.mac(), owner, ether_type::ARP);
            Ok(Some(Decision::Answer(packet.device(), Verdict::ArpAnswered)))
        }
    }
}

/// Who, other than the endpoint itself, has the address that is asked for; `None` where all members are to be asked.
#[inline(always)]
fn owner(port: &Port, arp: &Arp) -> Result<Option<MacAddr>, DropReason> {
    match lookup::neighbour4(port.vni(), arp.target()) {
        Some(owner) if owner.same(port.mac()) => Err(DropReason::ArpOwnAddress),
        Some(owner) => Ok(Some(owner)),
        None if lookup::is_open(port.vni()) => Ok(None),
        None => Err(DropReason::ArpUnknown),
    }
}

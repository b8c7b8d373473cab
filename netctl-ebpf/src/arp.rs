//! Answering ARP in the sender's stead: nobody floods.

use netctl_common::{
    DropReason, MacAddr,
    maps::Port,
    wire::{Arp, ArpKind, Ethernet, ether_type},
};

use crate::{Decision, lookup, packet::Packet};

const ETHERNET: usize = size_of::<Ethernet>();
const FRAME: usize = ETHERNET + size_of::<Arp>();

/// Turns a request into its answer, in place.
#[inline(always)]
pub(crate) fn answer(packet: &Packet, port: &Port) -> Result<Decision, DropReason> {
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
        ArpKind::Announcement => Ok(Decision::Absorb),
        ArpKind::Reply => Err(DropReason::ArpReply),
        ArpKind::Request | ArpKind::Probe => {
            let owner = owner(port, arp)?;
            *arp = arp.reply(owner);
            let ethernet = packet.at::<Ethernet>(0).ok_or(DropReason::MalformedArp)?;
            *ethernet = Ethernet::new(port.mac(), owner, ether_type::ARP);
            Ok(Decision::Answer(packet.device()))
        }
    }
}

/// Who, other than the endpoint itself, has the address that is asked for.
#[inline(always)]
fn owner(port: &Port, arp: &Arp) -> Result<MacAddr, DropReason> {
    match lookup::neighbour4(port.vni(), arp.target()) {
        None => Err(DropReason::ArpUnknown),
        Some(owner) if owner.same(port.mac()) => Err(DropReason::ArpOwnAddress),
        Some(owner) => Ok(owner),
    }
}

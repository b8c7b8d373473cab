//! Answering neighbour solicitations in the sender's stead, and seeing to it that nobody poses as another.

use netctl_common::{
    DropReason, MacAddr, Verdict,
    maps::Port,
    wire::{
        Ethernet, Icmpv6, Ipv6, LinkLayerOption, NdpKind, NeighbourAnswer, NeighbourMessage,
        protocol,
    },
};

use crate::{Decision, extension, lookup, packet::Packet, parse::ETHERNET};

const MESSAGE: usize = ETHERNET + size_of::<Ipv6>();
const OPTION: usize = MESSAGE + size_of::<NeighbourMessage>();
const ANSWER: usize = ETHERNET + size_of::<NeighbourAnswer>();

/// Answers an IPv6 packet if it is a solicitation that can be. `None` says that it is to be
/// forwarded.
#[inline(always)]
pub(crate) fn answer(
    packet: &Packet,
    port: &Port,
    frame: &Ethernet,
    ip: &Ipv6,
) -> Result<Option<Decision>, DropReason> {
    let kind = match ip.next_header() {
        protocol::ICMPV6 => {
            packet.pull((MESSAGE + size_of::<Icmpv6>()) as u32);
            packet.at::<Icmpv6>(MESSAGE).ok_or(DropReason::MalformedNd)?.ndp()
        }
        protocol::HOP_BY_HOP
        | protocol::ROUTING
        | protocol::FRAGMENT
        | protocol::DESTINATION_OPTIONS => {
            extension::look_behind(packet, ip.next_header())?;
            None
        }
        _ => None,
    };
    match kind {
        Some(NdpKind::NeighbourSolicitation) => solicitation(packet, port, frame, ip),
        Some(NdpKind::NeighbourAdvertisement) => advertisement(packet, port, ip),
        Some(NdpKind::RouterAdvertisement | NdpKind::Redirect) if !port.any_source() => {
            Err(DropReason::RouterAdvertisement)
        }
        _ => Ok(None),
    }
}

#[inline(always)]
fn solicitation(
    packet: &Packet,
    port: &Port,
    frame: &Ethernet,
    ip: &Ipv6,
) -> Result<Option<Decision>, DropReason> {
    let message = sound(packet, ip)?;
    let (target, asker) = (message.target(), ip.source());
    if option(packet, LinkLayerOption::source).is_some_and(|mac| !mac.same(port.mac())) {
        return Err(DropReason::NdSource);
    }
    let owner = match lookup::neighbour6(port.vni(), target) {
        Some(owner) if owner.same(port.mac()) => return Err(DropReason::NdOwnAddress),
        Some(owner) => owner,
        None if lookup::is_open(port.vni()) => return Ok(None),
        None => return Err(DropReason::NdUnknown),
    };
    // Without the option in the question the packet is shorter than its answer.
    packet.set_len(ANSWER as u32).map_err(|()| DropReason::NotWritable)?;
    packet.pull(ANSWER as u32);
    let answer = NeighbourAnswer::new(owner, target, asker);
    *packet.at::<Ethernet>(0).ok_or(DropReason::NotWritable)? =
        answer.ethernet(owner, frame.source());
    *packet.at::<NeighbourAnswer>(ETHERNET).ok_or(DropReason::NotWritable)? = answer;
    Ok(Some(Decision::Answer(packet.device(), Verdict::NdAnswered)))
}

/// An advertisement tells the truth, or nobody gets it.
#[inline(always)]
fn advertisement(packet: &Packet, port: &Port, ip: &Ipv6) -> Result<Option<Decision>, DropReason> {
    let target = sound(packet, ip)?.target();
    // One option is all that an advertisement has (RFC 4861 section 4.4), and all that is looked at here.
    if usize::from(ip.payload()) > OPTION + size_of::<LinkLayerOption>() - MESSAGE {
        return Err(DropReason::MalformedNd);
    }
    if !port.may_send_from6(target)
        || option(packet, LinkLayerOption::target).is_some_and(|mac| !mac.same(port.mac()))
    {
        return Err(DropReason::NdSource);
    }
    Ok(None)
}

#[inline(always)]
fn sound(packet: &Packet, ip: &Ipv6) -> Result<NeighbourMessage, DropReason> {
    packet.pull((OPTION + size_of::<LinkLayerOption>()) as u32);
    let message = *packet.at::<NeighbourMessage>(MESSAGE).ok_or(DropReason::MalformedNd)?;
    if message.is_sound(ip) { Ok(message) } else { Err(DropReason::MalformedNd) }
}

/// The address in the first option, where it is of the kind that `read` reads.
#[inline(always)]
fn option(packet: &Packet, read: impl Fn(&LinkLayerOption) -> Option<MacAddr>) -> Option<MacAddr> {
    packet.at::<LinkLayerOption>(OPTION).and_then(|option| read(option))
}

//! What a container sent.

use netctl_common::{DropReason, maps::FdbTarget};

use crate::{
    Decision, arp, encap, lookup,
    packet::Packet,
    parse::{self, Payload},
    stale, validate,
};

#[inline(always)]
pub(crate) fn decide(packet: &Packet) -> Result<Decision, DropReason> {
    let port = lookup::port(packet.device())?;
    let mut frame = parse::frame(packet)?;
    validate::station(port, &frame)?;
    let ip = match &frame.payload {
        Payload::Ipv4(ip) => *ip,
        Payload::Arp => return arp::answer(packet, port),
        Payload::Ipv6 => return Err(DropReason::Ipv6),
        Payload::Other => return Err(DropReason::EtherType),
    };
    validate::source4(port, &ip)?;
    let target = match lookup::station(port.vni(), frame.destination()) {
        Some(target) => target,
        None => stale::readdress(packet, port.vni(), &mut frame.ethernet, &ip)?,
    };
    match target {
        FdbTarget::Container(device) => Ok(Decision::ToContainer(device)),
        FdbTarget::Host(device) => Ok(Decision::ToHost(device)),
        FdbTarget::Remote(index) => {
            let vtep = lookup::vtep(index).ok_or(DropReason::UnknownVtep)?;
            encap::check_size(packet, vtep, &ip)?;
            if frame.payload.survives_tunnel(packet) {
                encap::wrap(packet, port.vni(), vtep, &frame.ethernet, &ip)
            } else {
                encap::hand_over(packet, port.vni(), vtep, &ip)
            }
        }
    }
}

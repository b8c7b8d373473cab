//! What a container sent.

use netctl_common::{
    DropReason,
    maps::{FdbTarget, Port},
};

use crate::{
    Decision, arp, encap, flood, lookup, ndp,
    packet::Packet,
    parse::{self, Frame, Payload},
    size::{self, Fit},
    stale, too_big, validate,
};

#[inline(always)]
pub(crate) fn decide(packet: &Packet) -> Result<Decision, DropReason> {
    let port = lookup::port(packet.device())?;
    let frame = parse::frame(packet)?;
    validate::station(port, &frame)?;
    let answer = match &frame.payload {
        Payload::Ipv4(ip) => {
            validate::source4(port, &frame, ip)?;
            None
        }
        Payload::Ipv6(ip) => ndp::answer(packet, port, &frame, ip)?,
        Payload::Arp => arp::answer(packet, port)?,
        Payload::Other => None,
    };
    match answer {
        Some(decision) => Ok(decision),
        None => forward(packet, port, frame),
    }
}

#[inline(always)]
fn forward(packet: &Packet, port: &Port, mut frame: Frame) -> Result<Decision, DropReason> {
    let target = match lookup::station(port.vni(), frame.destination()) {
        Some(target) => target,
        None if frame.destination().is_group() => {
            return flood::from_here(packet, port.vni(), &frame);
        }
        None => stale::readdress(packet, port.vni(), &mut frame)?,
    };
    match target {
        FdbTarget::Container(device) => Ok(Decision::ToContainer(device)),
        FdbTarget::Bridging(device) => Ok(Decision::ToBridge(device)),
        FdbTarget::Host(device) => Ok(Decision::ToHost(device)),
        FdbTarget::Remote(index) => tunnel(packet, port, &frame, index),
    }
}

/// Sends the frame to the host at this index, in the way that it can go.
#[inline(always)]
fn tunnel(packet: &Packet, port: &Port, frame: &Frame, index: u32) -> Result<Decision, DropReason> {
    let vtep = lookup::vtep(index).ok_or(DropReason::UnknownVtep)?;
    let (tos, fit) = match &frame.payload {
        Payload::Ipv4(ip) => (ip.tos(), size::fit4(packet, ip, vtep.mtu())),
        Payload::Ipv6(ip) => (ip.tos(), size::fit6(packet, ip, vtep.mtu())),
        Payload::Arp | Payload::Other => (0, Fit::InParts),
    };
    match fit {
        Fit::Whole if frame.payload.survives_tunnel(packet) => {
            let hash = parse::flow_hash(packet, &frame.payload);
            encap::wrap(packet, port.vni(), index, vtep, frame, encap::Flow { tos, hash })
        }
        Fit::Whole => encap::hand_over(packet, port.vni(), vtep, tos, true),
        // As the kernel's own tunnels do with what nobody forbids to cut: the outer packet goes in fragments.
        Fit::InParts => encap::hand_over(packet, port.vni(), vtep, tos, false),
        Fit::Never => too_big::report(packet, port, frame, vtep.mtu()),
    }
}

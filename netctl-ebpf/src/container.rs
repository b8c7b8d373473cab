//! What a container sent.

use netctl_common::{
    DropReason,
    maps::{FdbTarget, Port},
    wire::{Ethernet, ether_type},
};

use crate::{
    Decision, arp, encap, flood, lookup, ndp,
    packet::Packet,
    parse::{self, Frame},
    payload::{Opaque, Payload},
    router,
    size::Fit,
    stale, too_big, validate,
};

#[inline(always)]
pub(crate) fn decide(packet: &Packet) -> Result<Decision, DropReason> {
    let port = lookup::port(packet.device())?;
    let (ethernet, ether_type) = parse::ethernet(packet, DropReason::MalformedEthernet)?;
    validate::station(port, &ethernet)?;
    match ether_type {
        Some(ether_type::IPV4) => {
            let payload = parse::ipv4::<0>(packet, DropReason::MalformedIpv4)?;
            validate::source4(port, &ethernet, &payload)?;
            forward(packet, port, Frame { ethernet, payload })
        }
        Some(ether_type::IPV6) => {
            let payload = parse::ipv6::<0>(packet, DropReason::MalformedIpv6)?;
            validate::source6(port, &ethernet, &payload)?;
            match ndp::answer(packet, port, &ethernet, &payload)? {
                Some(answer) => Ok(answer),
                None => forward(packet, port, Frame { ethernet, payload }),
            }
        }
        Some(ether_type::ARP) => match arp::answer(packet, port)? {
            Some(answer) => Ok(answer),
            None => forward(packet, port, opaque(ethernet)),
        },
        Some(_) | None => forward(packet, port, opaque(ethernet)),
    }
}

#[inline(always)]
fn opaque(ethernet: Ethernet) -> Frame<Opaque> {
    Frame { ethernet, payload: Opaque }
}

#[inline(always)]
fn forward<P: Payload>(
    packet: &Packet,
    port: &Port,
    mut frame: Frame<P>,
) -> Result<Decision, DropReason> {
    let target = match lookup::station(port.vni(), frame.destination()) {
        Some(target) => target,
        None if frame.destination().is_group() => {
            return flood::from_here(packet, port, &frame);
        }
        None => stale::readdress(packet, port.vni(), &mut frame)?,
    };
    let target = match target {
        FdbTarget::Host(_) => match router::station(port.vni(), &frame) {
            Some(_) if port.is_isolated() => return Err(DropReason::Isolated),
            Some((station, beyond)) => match router::pass(packet, port, &mut frame, station)? {
                Some(told) => return Ok(told),
                None => beyond,
            },
            None => target,
        },
        other => other,
    };
    match target {
        // A frame for its own sender stays where it is, as on every wire.
        FdbTarget::Container(device) | FdbTarget::Bridging(device) if device == packet.device() => {
            Err(DropReason::OwnStation)
        }
        FdbTarget::Host(device) => {
            validate::for_host(port, &frame.payload)?;
            Ok(Decision::ToHost(device))
        }
        _ if port.is_isolated() => Err(DropReason::Isolated),
        FdbTarget::Container(device) => Ok(Decision::ToContainer(device)),
        FdbTarget::Bridging(device) => Ok(Decision::ToBridge(device)),
        FdbTarget::Remote(index) => tunnel(packet, port, &frame, index),
    }
}

/// Sends the frame to the host at this index, in the way that it can go.
#[inline(always)]
fn tunnel<P: Payload>(
    packet: &Packet,
    port: &Port,
    frame: &Frame<P>,
    index: u32,
) -> Result<Decision, DropReason> {
    let vni = port.vni();
    let vtep = lookup::vtep(index).ok_or(DropReason::UnknownVtep)?;
    match frame.payload.fit(packet, vtep) {
        Fit::Whole if frame.payload.survives_tunnel(packet) => {
            encap::wrap(packet, vni, index, vtep, frame)
        }
        Fit::Whole => encap::hand_over(packet, vni, vtep, frame.payload.tos(), true),
        // As the kernel's own tunnels do with what nobody forbids to cut: the outer packet goes in fragments.
        Fit::InParts => encap::hand_over(packet, vni, vtep, frame.payload.tos(), false),
        Fit::Never => match too_big::report(packet, port, frame, vtep.mtu())? {
            Some(answer) => Ok(answer),
            None => encap::hand_over(packet, vni, vtep, frame.payload.tos(), false),
        },
    }
}

//! What the underlay device received.

use netctl_common::{
    DropReason,
    wire::{Ethernet, PROBE_VNI, ether_type},
};

use crate::{
    Decision, decap, deliver, echo,
    outer::{self, INNER4, INNER6, Outer},
    packet::Packet,
    parse::{self, Frame},
    payload::Payload,
    validate,
};

#[inline(always)]
pub(crate) fn decide(packet: &Packet) -> Result<Decision, DropReason> {
    match outer::read(packet)? {
        None => Ok(Decision::NotOurs),
        Some(outer) if outer.is_ipv6 => inside::<INNER6>(packet, &outer),
        Some(outer) => inside::<INNER4>(packet, &outer),
    }
}

/// Decides by the frame that stands `INNER` bytes from the start.
#[inline(always)]
fn inside<const INNER: usize>(packet: &Packet, outer: &Outer) -> Result<Decision, DropReason> {
    const MALFORMED: DropReason = DropReason::MalformedInner;
    let ethernet = *packet.at::<Ethernet>(INNER).ok_or(MALFORMED)?;
    if let Err(reason) = validate::tunnel(outer.vni, ethernet.source(), &outer.source) {
        // It is from a known host then.
        return if outer.vni == PROBE_VNI && reason as u32 == DropReason::UnknownVni as u32 {
            echo::answer::<INNER>(packet, outer)
        } else {
            Err(reason)
        };
    }
    match ethernet.ether_type() {
        ether_type::IPV4 => {
            let payload = parse::ipv4::<INNER>(packet, MALFORMED)?;
            unwrap::<INNER, _>(packet, outer, &Frame { ethernet, payload })
        }
        ether_type::IPV6 => {
            let payload = parse::ipv6::<INNER>(packet, MALFORMED)?;
            unwrap::<INNER, _>(packet, outer, &Frame { ethernet, payload })
        }
        _ => Ok(Decision::LeaveToKernel),
    }
}

#[inline(always)]
fn unwrap<const INNER: usize, P: Payload>(
    packet: &Packet,
    outer: &Outer,
    frame: &Frame<P>,
) -> Result<Decision, DropReason> {
    if outer.for_kernel || frame.destination().is_group() || !frame.payload.survives_tunnel(packet)
    {
        // It comes back as `from_tunnel`'s.
        return Ok(Decision::LeaveToKernel);
    }
    let decision = deliver::local(outer.vni, frame.destination())?;
    decap::strip::<INNER, P>(packet, outer, frame)?;
    Ok(decision)
}

//! What the underlay device received.

use netctl_common::DropReason;

use crate::{Decision, decap, deliver, packet::Packet, parse, validate};

#[inline(always)]
pub(crate) fn decide(packet: &Packet) -> Result<Decision, DropReason> {
    let Some(outer) = parse::outer(packet)? else {
        return Ok(Decision::NotOurs);
    };
    if outer.for_kernel {
        return Ok(Decision::LeaveToKernel);
    }
    let frame = parse::inner(packet)?;
    if !frame.payload.survives_tunnel(packet) {
        return Ok(Decision::LeaveToKernel);
    }
    let ip = validate::tunnelled(&frame)?;
    validate::tunnel(outer.vni, frame.source(), outer.source)?;
    let decision = deliver::local(outer.vni, frame.destination())?;
    decap::strip(packet, &frame.ethernet, ip.tos(), outer.tos)?;
    Ok(decision)
}
